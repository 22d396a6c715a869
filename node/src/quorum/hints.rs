//! Hinted hand-off: what a home replica did not acknowledge, its coordinator keeps and sends later (Dynamo, SOSP 2007, §4.6).
//!
//! A hint is kept by the coordinator itself, not by a substitute: that needs no message that could be lost or come late, and a coordinator
//! knows of its own hints, which the reaping of tombstones depends on. **A hint never counts towards W**: it is no copy that a get could
//! find. So it changes neither what is acknowledged nor what may be read; it brings a replica up to date sooner than anti-entropy would.
//!
//! Hints survive a restart. They are bounded; what finds no place is left to anti-entropy.

use std::collections::BTreeMap;

use super::cell::{Cell, Stored};
use super::log::Log;
use super::outgoing::Outgoing;
use super::record::Entry;
use crate::members::{Members, NodeIndex, Text};

/// Hints at most: a node that was away for longer than these last is brought up to date by anti-entropy.
const HINTS_MAX: usize = 4096;

/// Bytes of keys and values in hints at most.
const BYTES_MAX: usize = 32 << 20;

/// What is kept for other nodes.
#[derive(Debug, Default)]
pub(super) struct Hints {
    kept: BTreeMap<(NodeIndex, Text), Hint>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Hint {
    cell: Cell,
    /// The number of the record that ends it. It counts as kept until that is durable: a crash would bring it back.
    ending: Option<u64>,
}

impl Hints {
    /// A hint found in the log.
    pub(super) fn load(&mut self, to: NodeIndex, key: Text, stored: Stored) {
        self.merge(to, key, stored);
    }

    /// The end of a hint found in the log.
    pub(super) fn load_end(&mut self, to: NodeIndex, key: Text) {
        self.remove(to, key);
    }

    /// Keeps a version for a node that has not acknowledged it. False if there is no place, or it is kept already.
    pub(super) fn keep(
        &mut self,
        to: NodeIndex,
        key: &Text,
        stored: &Stored,
        (members, log): (&Members, &mut Log),
        out: &mut Outgoing<'_>,
    ) -> bool {
        let is_full = self.kept.len() >= HINTS_MAX || self.bytes + key.len() + stored.byte_count() > BYTES_MAX;
        if is_full || !self.merge(to, key.clone(), stored.clone()) {
            return false;
        }
        let entry = Entry::Hint {
            to: members.name(to).clone(),
            key: key.clone(),
            stored: stored.clone(),
        };
        log.append(entry, out);
        true
    }

    /// A node holds all of `cell` durably: ends the hint, unless more is kept by now.
    pub(super) fn delivered(
        &mut self,
        to: NodeIndex,
        key: &Text,
        cell: &Cell,
        (members, log): (&Members, &mut Log),
        out: &mut Outgoing<'_>,
    ) {
        let Some(hint) = self.kept.get_mut(&(to, key.clone())) else {
            return;
        };
        if hint.ending.is_none() && cell.covers_all(&hint.cell) {
            let to = members.name(to).clone();
            hint.ending = Some(log.append(Entry::HintEnd { to, key: key.clone() }, out));
        }
    }

    /// Record `number` of this life, the end of a hint, is durable.
    pub(super) fn settle_end(&mut self, number: u64, to: NodeIndex, key: &Text) {
        let is_over = |hint: &Hint| hint.ending == Some(number);
        if self.kept.get(&(to, key.clone())).is_some_and(is_over) {
            self.remove(to, key.clone());
        }
    }

    /// What is to be sent to a node.
    pub(super) fn due(&self, to: NodeIndex) -> impl Iterator<Item = (&Text, &Cell)> {
        let range = (to, Text::from(""))..(NodeIndex(to.0 + 1), Text::from(""));
        let due = self.kept.range(range).filter(|(_, hint)| hint.ending.is_none());
        due.map(|((_, key), hint)| (key, &hint.cell))
    }

    /// Whether anything is kept for a key, for whatever node.
    pub(super) fn has(&self, key: &Text, members: &Members) -> bool {
        members.indices().any(|to| self.kept.contains_key(&(to, key.clone())))
    }

    /// True if nothing is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    fn merge(&mut self, to: NodeIndex, key: Text, stored: Stored) -> bool {
        let key_bytes = key.len();
        let hint = self.kept.entry((to, key)).or_default();
        let before = if hint.cell.is_empty() {
            0
        } else {
            key_bytes + hint.cell.byte_count()
        };
        if !hint.cell.merge(stored) {
            return false;
        }
        hint.ending = None;
        self.bytes = self.bytes + key_bytes + hint.cell.byte_count() - before;
        true
    }

    fn remove(&mut self, to: NodeIndex, key: Text) {
        let bytes = key.len();
        if let Some(hint) = self.kept.remove(&(to, key)) {
            self.bytes -= bytes + hint.cell.byte_count();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::super::cell::tests::plain;
    use super::*;

    #[derive(Default)]
    struct Bench {
        hints: Hints,
        log: Log,
    }

    impl Bench {
        fn with<T>(&mut self, act: impl FnOnce(&mut Hints, (&Members, &mut Log), &mut Outgoing<'_>) -> T) -> T {
            let (mut effects, mut to_self) = (Vec::new(), VecDeque::new());
            let mut out = Outgoing {
                me: NodeIndex(0),
                effects: &mut effects,
                to_self: &mut to_self,
            };
            let members = Members::new(["n1", "n2", "n3"]).unwrap();
            act(&mut self.hints, (&members, &mut self.log), &mut out)
        }

        fn keep(&mut self, counter: u64) -> bool {
            self.with(|hints, disk, out| hints.keep(NodeIndex(1), &"k".into(), &plain(counter), disk, out))
        }

        fn delivered(&mut self, counter: u64) {
            self.with(|hints, disk, out| hints.delivered(NodeIndex(1), &"k".into(), &Cell::of(plain(counter)), disk, out));
        }

        fn is_kept(&self) -> bool {
            self.hints.has(&"k".into(), &Members::new(["n1", "n2", "n3"]).unwrap())
        }

        fn due(&self) -> Vec<u64> {
            self.hints
                .due(NodeIndex(1))
                .map(|(_, cell)| cell.newest().unwrap().version.counter)
                .collect()
        }
    }

    #[test]
    fn a_hint_is_kept_until_its_end_is_durable() {
        let mut bench = Bench::default();
        assert!(bench.keep(5));
        assert!(!bench.keep(5) && !bench.keep(4), "it is kept already");
        assert_eq!(bench.due(), [5]);
        bench.delivered(5);
        assert!(bench.due().is_empty() && bench.is_kept());
        bench.hints.settle_end(2, NodeIndex(1), &"k".into());
        assert!(!bench.is_kept() && bench.hints.is_empty());
        assert_eq!(bench.hints.bytes, 0);
    }

    #[test]
    fn a_newer_hint_outlives_the_delivery_of_the_older() {
        let mut bench = Bench::default();
        bench.keep(5);
        bench.keep(7);
        bench.delivered(5);
        assert_eq!(bench.due(), [7]);
        bench.delivered(7);
        bench.keep(8);
        bench.hints.settle_end(3, NodeIndex(1), &"k".into());
        assert_eq!(bench.due(), [8], "the record that ended 7 does not end 8");
    }

    #[test]
    fn hints_are_bounded() {
        let mut bench = Bench::default();
        for number in 0..HINTS_MAX {
            let key: Text = format!("k{number}").into();
            assert!(bench.with(|hints, disk, out| hints.keep(NodeIndex(2), &key, &plain(1), disk, out)));
        }
        assert!(!bench.keep(1));
        assert!(bench.due().is_empty(), "those of another node are not due here");
    }
}
