//! A replica: what one node keeps, and what of it may be shown.
//!
//! **Shown means durable.** A version that is only on its way to the disk is seen by nobody: a crash could take it back after a get
//! returned it. **Versions never go back**: a write of what is durable already, or was replaced, changes nothing (merge), and is
//! acknowledged, because what its coordinator needs - this version or one that replaces it is durable here - holds. The one thing that takes
//! a key away is the reaping of its tombstone, of which [`reaper`](super::reaper) says when it may be; what must be known afterwards stays
//! in the `floor` and the `fences`.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::cell::{Cell, SIBLINGS_MAX, Stored};
use super::log::Log;
use super::message::OpId;
use super::outgoing::Outgoing;
use super::record::Entry;
use crate::members::{Members, NodeIndex, Text};
use crate::version::Version;

/// Whom to tell that a write is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiter {
    pub(super) to: NodeIndex,
    pub(super) op: OpId,
}

/// What follows from a write.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It, or what replaces it, is durable: acknowledge.
    Durable,
    /// It, or what replaces it, is on its way to the disk; the acknowledgement follows.
    Pending,
    /// It is older than a fence or would be a sibling too many: no answer, as if the message were lost.
    Refused,
}

/// The keys of one node. Ordered, because the replay prints them and anti-entropy walks them.
#[derive(Debug, Default)]
pub(super) struct Replica {
    durable: BTreeMap<Text, Cell>,
    /// For each key with records on their way: what it will hold, and the number of the last of them.
    coming: BTreeMap<Text, (Cell, u64)>,
    /// The largest counter of a tombstone that was reaped. A put that finds nothing takes a larger one: what a replica still holds that
    /// has not reaped yet must not hide it.
    floor: u64,
    /// For each member the operations whose values are refused: a tombstone that would have overruled them is gone.
    fences: BTreeMap<NodeIndex, OpId>,
    /// The last reaping of each key that was found in the log, until the trace was told.
    reaped: BTreeMap<Text, Version>,
}

impl Replica {
    /// What may be shown of a key.
    pub(super) fn read(&self, key: &str) -> Option<&Cell> {
        self.durable.get(key)
    }

    /// Everything durable, by key.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Text, &Cell)> {
        self.durable.iter()
    }

    /// Takes the record of a reaping from the log.
    pub(super) fn load_reap(&mut self, key: Text, version: Version, fences: &[(Text, OpId)], members: &Members) {
        self.settle_reap(0, &key, &version, fences, members);
        self.reaped.insert(key, version);
    }

    /// The last reaping of each key that was found in the log, once.
    pub(super) fn take_reaped(&mut self) -> BTreeMap<Text, Version> {
        std::mem::take(&mut self.reaped)
    }

    /// Everything durable behind `after`, by key.
    pub(super) fn behind(&self, after: Option<&Text>) -> impl Iterator<Item = (&Text, &Cell)> {
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.clone()));
        self.durable.range((from, Bound::Unbounded))
    }

    /// How many keys are durable.
    pub(super) fn key_count(&self) -> usize {
        self.durable.len()
    }

    /// See the field.
    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    /// Takes a write.
    pub(super) fn write(&mut self, key: Text, incoming: &Cell, waiter: Waiter, log: &mut Log, out: &mut Outgoing<'_>) -> Taken {
        if self.fences.get(&waiter.to).is_some_and(|fence| waiter.op <= *fence) {
            return Taken::Refused;
        }
        let durable = self.durable.get(&key);
        if durable.is_some_and(|durable| durable.covers_all(incoming)) {
            return Taken::Durable;
        }
        let coming = self.coming.get(&key);
        if let Some((cell, number)) = coming
            && cell.covers_all(incoming)
        {
            log.wait(*number, waiter);
            return Taken::Pending;
        }
        let mut cell = coming.map(|(cell, _)| cell).or(durable).cloned().unwrap_or_default();
        let new: Vec<Stored> = incoming.iter().filter(|stored| cell.merge((*stored).clone())).cloned().collect();
        if cell.len() > SIBLINGS_MAX {
            return Taken::Refused;
        }
        for stored in new {
            let number = log.append(Entry::Put { key: key.clone(), stored }, out);
            self.coming.insert(key.clone(), (cell.clone(), number));
        }
        if let Some((_, number)) = self.coming.get(&key) {
            log.wait(*number, waiter);
        }
        Taken::Pending
    }

    /// Lets a tombstone go if it is all that is held and nothing else is on its way. Takes effect once durable.
    pub(super) fn reap(&mut self, key: &Text, version: &Version, fences: Vec<(Text, OpId)>, log: &mut Log, out: &mut Outgoing<'_>) {
        let held = self.durable.get(key).and_then(Cell::tombstone);
        if self.coming.contains_key(key) || held.is_none_or(|held| held.version != *version) {
            return;
        }
        let (key, version) = (key.clone(), version.clone());
        let entry = Entry::Reap {
            key: key.clone(),
            version,
            fences,
        };
        let number = log.append(entry, out);
        self.coming.insert(key, (Cell::default(), number));
    }

    /// Record `number` of this life is durable: a version is shown from now on.
    pub(super) fn settle_put(&mut self, number: u64, key: &Text, stored: Stored) {
        self.settle(number, key);
        self.durable.entry(key.clone()).or_default().merge(stored);
    }

    /// Record `number` of this life is durable: a tombstone is gone. True unless it had gone before.
    pub(super) fn settle_reap(&mut self, number: u64, key: &Text, version: &Version, fences: &[(Text, OpId)], members: &Members) -> bool {
        self.settle(number, key);
        self.floor = self.floor.max(version.counter);
        for (node, op) in fences {
            if let Some(node) = members.index(node) {
                let fence = self.fences.entry(node).or_insert(*op);
                *fence = (*fence).max(*op);
            }
        }
        let is_all = self
            .durable
            .get(key)
            .and_then(Cell::tombstone)
            .is_some_and(|held| held.version == *version);
        is_all && self.durable.remove(key).is_some()
    }

    fn settle(&mut self, number: u64, key: &Text) {
        if self.coming.get(key).is_some_and(|(_, last)| *last == number) {
            self.coming.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::cell::tests::plain;
    use super::super::log::Settled;
    use super::*;
    use crate::core::Effect;

    /// A replica with its log, and nobody around it.
    #[derive(Default)]
    struct Bench {
        replica: Replica,
        log: Log,
        records: Vec<Vec<u8>>,
    }

    impl Bench {
        fn with<T>(&mut self, act: impl FnOnce(&mut Replica, &mut Log, &mut Outgoing<'_>) -> T) -> T {
            let (mut effects, mut to_self) = (Vec::new(), std::collections::VecDeque::new());
            let mut out = Outgoing {
                me: NodeIndex(0),
                effects: &mut effects,
                to_self: &mut to_self,
            };
            let answer = act(&mut self.replica, &mut self.log, &mut out);
            self.records.extend(effects.into_iter().filter_map(|effect| match effect {
                Effect::Append { record } => Some(record),
                _ => None,
            }));
            answer
        }

        fn write(&mut self, stored: Stored, op: u64) -> Taken {
            self.with(|replica, log, out| replica.write("k".into(), &Cell::of(stored), waiter(op), log, out))
        }

        fn reap(&mut self, counter: u64, fence: u64) {
            let fences = vec![(Text::from("n2"), op(fence))];
            self.with(|replica, log, out| replica.reap(&"k".into(), &plain(counter).version, fences, log, out));
        }

        /// The first `appended` records are durable: for each put its counter and how many wait for it.
        fn settle(&mut self, appended: u64) -> Vec<(u64, usize)> {
            let mut settled = Vec::new();
            while let Some(Settled { number, entry, waiters }) = self.log.settle_next(appended) {
                match entry {
                    Entry::Put { key, stored } => {
                        settled.push((stored.version.counter, waiters.len()));
                        self.replica.settle_put(number, &key, stored);
                    }
                    Entry::Reap { key, version, fences } => {
                        let members = Members::new(["n1", "n2"]).unwrap();
                        assert!(self.replica.settle_reap(number, &key, &version, &fences, &members));
                    }
                    other => panic!("{other:?}"),
                }
            }
            settled
        }

        fn shown(&self) -> Option<&Stored> {
            self.replica.read("k").and_then(Cell::newest)
        }
    }

    fn op(number: u64) -> OpId {
        OpId { incarnation: 1, number }
    }

    fn waiter(number: u64) -> Waiter {
        Waiter {
            to: NodeIndex(1),
            op: op(number),
        }
    }

    fn tombstone(counter: u64) -> Stored {
        Stored {
            value: None,
            ..plain(counter)
        }
    }

    #[test]
    fn shows_a_version_only_once_it_is_durable() {
        let mut bench = Bench::default();
        assert_eq!(bench.write(plain(1), 1), Taken::Pending);
        assert_eq!((bench.shown(), bench.records.len()), (None, 1));
        assert_eq!(bench.settle(1), [(1, 1)]);
        assert_eq!(bench.shown(), Some(&plain(1)));
    }

    #[test]
    fn acknowledges_an_older_write_at_once_and_keeps_the_newer() {
        let mut bench = Bench::default();
        bench.write(plain(5), 1);
        bench.settle(1);
        assert_eq!(bench.write(plain(4), 2), Taken::Durable);
        assert_eq!(bench.write(plain(5), 3), Taken::Durable);
        assert_eq!(bench.shown(), Some(&plain(5)));
    }

    #[test]
    fn a_write_behind_a_pending_newer_one_waits_for_that_one() {
        let mut bench = Bench::default();
        bench.write(plain(3), 1);
        bench.write(plain(5), 2);
        assert_eq!(bench.write(plain(4), 3), Taken::Pending);
        assert_eq!(bench.write(plain(5), 4), Taken::Pending, "the same write again");
        assert_eq!(bench.records.len(), 2);
        assert_eq!(bench.settle(1), [(3, 1)]);
        assert_eq!(bench.settle(2), [(5, 3)]);
        bench.write(plain(6), 5);
        assert_eq!(bench.records.len(), 3, "nothing is pending any more");
    }

    #[test]
    fn a_tombstone_goes_and_leaves_its_counter_and_the_fences() {
        let mut bench = Bench::default();
        bench.write(tombstone(7), 3);
        bench.settle(1);
        bench.reap(7, 9);
        assert_eq!(bench.shown(), Some(&tombstone(7)), "until that is durable");
        bench.settle(2);
        assert_eq!((bench.shown(), bench.replica.floor()), (None, 7));
        assert_eq!(bench.write(plain(6), 9), Taken::Refused, "sent before the fence");
        assert_eq!(bench.write(plain(8), 10), Taken::Pending);
    }

    #[test]
    fn a_tombstone_stays_while_something_newer_is_on_its_way() {
        let mut bench = Bench::default();
        bench.write(tombstone(7), 3);
        bench.settle(1);
        bench.write(plain(8), 4);
        bench.reap(7, 9);
        assert_eq!(bench.settle(2), [(8, 1)]);
        bench.reap(7, 9);
        assert_eq!((bench.shown(), bench.records.len()), (Some(&plain(8)), 2));
    }

    #[test]
    fn a_write_behind_a_pending_reap_survives_it() {
        let mut bench = Bench::default();
        bench.write(tombstone(7), 3);
        bench.settle(1);
        bench.reap(7, 9);
        assert_eq!(bench.write(plain(8), 10), Taken::Pending);
        assert_eq!(bench.settle(3), [(8, 1)]);
        assert_eq!(bench.shown(), Some(&plain(8)));
    }

    #[test]
    fn a_sibling_too_many_is_refused() {
        let mut bench = Bench::default();
        let sibling = |number: u64| {
            let mut stored = plain(1);
            (stored.version.sequence, stored.version.node) = (1, format!("n{number}").into());
            stored.vector.include(&stored.version);
            stored
        };
        for number in 0..SIBLINGS_MAX as u64 {
            assert_eq!(bench.write(sibling(number), number), Taken::Pending);
        }
        assert_eq!(bench.write(sibling(1000), 1000), Taken::Refused);
    }
}
