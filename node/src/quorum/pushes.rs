//! Values that a node sends of its own accord: hints and repairs. Each is a `Write` under an operation of its own, so that its answer is
//! told from others and a fence can refuse it. It is sent once; what is not acknowledged in time is forgotten, and whoever wanted it sent
//! finds out at its next look that it is still missing.

use std::collections::{BTreeMap, BTreeSet};

use super::cell::Cell;
use crate::members::{NodeIndex, Text};

/// Open pushes to one node at most: enough for ten thousand keys a second at a round trip of a few ms, few enough for a link that has
/// just come up.
const OPEN_PER_NODE_MAX: usize = 256;

/// Why a value is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    Hint,
    Repair,
}

/// A value on its way.
#[derive(Debug)]
pub(super) struct Push {
    pub(super) to: NodeIndex,
    pub(super) key: Text,
    pub(super) cell: Cell,
    pub(super) cause: Cause,
    /// When it is forgotten, on the monotonic clock in ns.
    pub(super) ends_ns: u64,
}

/// The open pushes, by the number of their operation. All last equally long, so the first ends first.
#[derive(Debug, Default)]
pub(super) struct Pushes {
    open: BTreeMap<u64, Push>,
    /// Which are open, to send none twice.
    places: BTreeSet<(NodeIndex, Text, Cause)>,
    per_node: BTreeMap<NodeIndex, usize>,
}

impl Pushes {
    /// Whether this may be sent now: not too many are open, and not this one already.
    pub(super) fn has_room(&self, to: NodeIndex, key: &Text, cause: Cause) -> bool {
        let open = self.per_node.get(&to).copied().unwrap_or(0);
        open < OPEN_PER_NODE_MAX && !self.places.contains(&(to, key.clone(), cause))
    }

    pub(super) fn begin(&mut self, number: u64, push: Push) {
        self.places.insert((push.to, push.key.clone(), push.cause));
        *self.per_node.entry(push.to).or_default() += 1;
        self.open.insert(number, push);
    }

    /// A node holds what was pushed under this number, if it was pushed there.
    pub(super) fn on_ack(&mut self, from: NodeIndex, number: u64) -> Option<Push> {
        self.open.get(&number).filter(|push| push.to == from)?;
        self.end(number)
    }

    /// Forgets what was not acknowledged in time.
    pub(super) fn keep_time(&mut self, mono_ns: u64) {
        while let Some((number, _)) = self.open.first_key_value().filter(|(_, push)| push.ends_ns <= mono_ns) {
            self.end(*number);
        }
    }

    pub(super) fn wake_at_ns(&self) -> Option<u64> {
        self.open.first_key_value().map(|(_, push)| push.ends_ns)
    }

    /// The smallest number that is open.
    pub(super) fn first_open(&self) -> Option<u64> {
        self.open.first_key_value().map(|(number, _)| *number)
    }

    fn end(&mut self, number: u64) -> Option<Push> {
        let push = self.open.remove(&number)?;
        self.places.remove(&(push.to, push.key.clone(), push.cause));
        if let Some(open) = self.per_node.get_mut(&push.to) {
            *open -= 1;
        }
        Some(push)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(to: u16, ends_ns: u64) -> Push {
        Push {
            to: NodeIndex(to),
            key: "k".into(),
            cell: Cell::default(),
            cause: Cause::Hint,
            ends_ns,
        }
    }

    #[test]
    fn is_sent_once_at_a_time_and_ended_by_its_own_answer_alone() {
        let mut pushes = Pushes::default();
        let has_room = |pushes: &Pushes| pushes.has_room(NodeIndex(1), &"k".into(), Cause::Hint);
        pushes.begin(7, push(1, 50));
        assert!(!has_room(&pushes));
        assert!(pushes.on_ack(NodeIndex(2), 7).is_none() && pushes.on_ack(NodeIndex(1), 8).is_none());
        assert!(pushes.on_ack(NodeIndex(1), 7).is_some());
        assert!(has_room(&pushes) && pushes.first_open().is_none());
    }

    #[test]
    fn is_forgotten_in_time() {
        let mut pushes = Pushes::default();
        pushes.begin(7, push(1, 50));
        pushes.begin(9, push(2, 60));
        assert_eq!((pushes.wake_at_ns(), pushes.first_open()), (Some(50), Some(7)));
        pushes.keep_time(50);
        assert_eq!((pushes.wake_at_ns(), pushes.first_open()), (Some(60), Some(9)));
        assert!(pushes.has_room(NodeIndex(1), &"k".into(), Cause::Hint));
    }
}
