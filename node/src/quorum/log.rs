//! Records on their way to the disk, and who waits for them. The driver numbers what a life appends from 1, and says up to which number all
//! is durable.

use std::collections::VecDeque;

use super::outgoing::Outgoing;
use super::record::{self, Entry};
use super::replica::Waiter;

/// What a life appended and has not been told to be durable.
#[derive(Debug, Default)]
pub(super) struct Log {
    pending: VecDeque<Pending>,
    /// Records reported durable: the front of `pending` is number `settled + 1`.
    settled: u64,
}

#[derive(Debug)]
struct Pending {
    entry: Entry,
    waiters: Vec<Waiter>,
}

/// A record that became durable.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) number: u64,
    pub(super) entry: Entry,
    pub(super) waiters: Vec<Waiter>,
}

impl Log {
    /// Appends a record; returns its number.
    pub(super) fn append(&mut self, entry: Entry, out: &mut Outgoing<'_>) -> u64 {
        out.append(record::encode(&entry));
        self.pending.push_back(Pending {
            entry,
            waiters: Vec::new(),
        });
        self.settled + self.pending.len() as u64
    }

    /// Somebody is to be told once this record is durable, which it is not.
    pub(super) fn wait(&mut self, number: u64, waiter: Waiter) {
        let place = usize::try_from(number - self.settled - 1).expect("the queue is in memory");
        self.pending[place].waiters.push(waiter);
    }

    /// The first `appended` records are durable: the next of them that was not reported yet.
    pub(super) fn settle_next(&mut self, appended: u64) -> Option<Settled> {
        if self.settled >= appended {
            return None;
        }
        let Pending { entry, waiters } = self.pending.pop_front()?;
        self.settled += 1;
        Some(Settled {
            number: self.settled,
            entry,
            waiters,
        })
    }
}
