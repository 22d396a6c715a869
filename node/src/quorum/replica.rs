//! A replica: what one node keeps, and what of it may be shown.
//!
//! **Shown means durable.** A version that is only on its way to the disk is seen by nobody: a crash could take it back after a get
//! returned it. **Versions never go back**: a write that is not newer than what is durable changes nothing (max-merge), and is
//! acknowledged, because what its coordinator needs - this version or a newer one is durable here - holds.

use std::collections::{BTreeMap, VecDeque};

use super::message::OpId;
use super::record;
use crate::members::{NodeIndex, Text};
use crate::version::Version;

/// A value with its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The version.
    pub version: Version,
    /// The value.
    pub value: Text,
}

/// Whom to tell that a write is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiter {
    pub(super) to: NodeIndex,
    pub(super) op: OpId,
}

/// What follows from a write.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// This version or a newer one is durable: acknowledge.
    Durable,
    /// It is on its way to the disk already, or a newer one is; the acknowledgement follows.
    Pending,
    /// Append this record; the acknowledgement follows.
    Append(Vec<u8>),
}

/// A write that became durable.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) key: Text,
    pub(super) stored: Stored,
    pub(super) waiters: Vec<Waiter>,
}

#[derive(Debug)]
struct Pending {
    key: Text,
    stored: Stored,
    waiters: Vec<Waiter>,
}

/// The keys of one node. Ordered, because the replay prints them.
#[derive(Debug, Default)]
pub(super) struct Replica {
    durable: BTreeMap<Text, Stored>,
    /// Appended, not yet durable, in the order of the log.
    pending: VecDeque<Pending>,
    /// Records reported durable: the front of `pending` is number `settled + 1`.
    settled: u64,
    /// For each key in `pending` its newest version there, and the number of that record.
    newest_pending: BTreeMap<Text, (Version, u64)>,
}

impl Replica {
    /// Takes a record of the log at start.
    pub(super) fn load(&mut self, bytes: &[u8]) -> Result<(), String> {
        let (key, stored) = record::decode(bytes)?;
        self.merge(key, stored);
        Ok(())
    }

    /// What may be shown of a key.
    pub(super) fn read(&self, key: &str) -> Option<&Stored> {
        self.durable.get(key)
    }

    /// Everything durable, by key.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Text, &Stored)> {
        self.durable.iter()
    }

    /// How many keys are durable.
    pub(super) fn key_count(&self) -> usize {
        self.durable.len()
    }

    /// Takes a write.
    pub(super) fn write(&mut self, key: Text, stored: Stored, waiter: Waiter) -> Taken {
        if self.durable.get(&key).is_some_and(|held| held.version >= stored.version) {
            return Taken::Durable;
        }
        if let Some((version, number)) = self.newest_pending.get(&key)
            && *version >= stored.version
        {
            let place = usize::try_from(number - self.settled - 1).expect("the queue is in memory");
            self.pending[place].waiters.push(waiter);
            return Taken::Pending;
        }
        let record = record::encode(&key, &stored);
        let number = self.settled + self.pending.len() as u64 + 1;
        self.newest_pending.insert(key.clone(), (stored.version.clone(), number));
        self.pending.push_back(Pending {
            key,
            stored,
            waiters: vec![waiter],
        });
        Taken::Append(record)
    }

    /// The first `appended` records are durable: the next of them that was not reported yet.
    pub(super) fn settle_next(&mut self, appended: u64) -> Option<Settled> {
        if self.settled >= appended {
            return None;
        }
        let Pending { key, stored, waiters } = self.pending.pop_front()?;
        self.settled += 1;
        if self.newest_pending.get(&key).is_some_and(|(_, number)| *number == self.settled) {
            self.newest_pending.remove(&key);
        }
        self.merge(key.clone(), stored.clone());
        Some(Settled { key, stored, waiters })
    }

    fn merge(&mut self, key: Text, stored: Stored) {
        match self.durable.get_mut(&key) {
            Some(held) if held.version >= stored.version => {}
            Some(held) => *held = stored,
            None => {
                self.durable.insert(key, stored);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(counter: u64) -> Stored {
        Stored {
            version: Version {
                counter,
                node: "n1".into(),
                incarnation: 1,
                sequence: counter,
            },
            value: counter.to_string().into(),
        }
    }

    fn waiter(number: u64) -> Waiter {
        Waiter {
            to: NodeIndex(1),
            op: OpId { incarnation: 1, number },
        }
    }

    fn write(replica: &mut Replica, counter: u64, op: u64) -> Taken {
        replica.write("k".into(), stored(counter), waiter(op))
    }

    fn settle(replica: &mut Replica, appended: u64) -> Vec<(u64, usize)> {
        std::iter::from_fn(|| replica.settle_next(appended))
            .map(|done| (done.stored.version.counter, done.waiters.len()))
            .collect()
    }

    #[test]
    fn shows_a_version_only_once_it_is_durable() {
        let mut replica = Replica::default();
        assert!(matches!(write(&mut replica, 1, 1), Taken::Append(_)));
        assert_eq!(replica.read("k"), None);
        assert_eq!(settle(&mut replica, 1), [(1, 1)]);
        assert_eq!(replica.read("k"), Some(&stored(1)));
    }

    #[test]
    fn acknowledges_an_older_write_at_once_and_keeps_the_newer() {
        let mut replica = Replica::default();
        write(&mut replica, 5, 1);
        settle(&mut replica, 1);
        assert_eq!(write(&mut replica, 4, 2), Taken::Durable);
        assert_eq!(write(&mut replica, 5, 3), Taken::Durable);
        assert_eq!(replica.read("k"), Some(&stored(5)));
    }

    #[test]
    fn a_write_behind_a_pending_newer_one_waits_for_that_one() {
        let mut replica = Replica::default();
        write(&mut replica, 3, 1);
        write(&mut replica, 5, 2);
        assert_eq!(write(&mut replica, 4, 3), Taken::Pending);
        assert_eq!(write(&mut replica, 5, 4), Taken::Pending, "the same write again");
        assert_eq!(settle(&mut replica, 1), [(3, 1)]);
        assert_eq!(settle(&mut replica, 2), [(5, 3)]);
        assert!(matches!(write(&mut replica, 6, 5), Taken::Append(_)), "nothing is pending any more");
    }

    #[test]
    fn a_replay_in_log_order_gives_the_newest() {
        let mut replica = Replica::default();
        for counter in [2, 7, 7] {
            replica.load(&record::encode(&"k".into(), &stored(counter))).unwrap();
        }
        assert_eq!(replica.read("k"), Some(&stored(7)));
        assert_eq!(replica.key_count(), 1);
    }
}
