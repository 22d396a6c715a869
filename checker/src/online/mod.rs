//! The check of registers while a run goes on: events in, the first violation out, as soon as it is certain.
//!
//! It is the rule of [`linearizability`](crate::linearizability) for registers whose written values are all different (clusters that may
//! not each have to come before the other), fed event by event and with bounded memory. It is pure: it has no clock and no thread, and
//! judges the same prefix of a history like the check of the whole file, no sooner and no later.
//!
//! **The watermark** of a key is the invocation of its oldest operation in flight: whatever completes from now on began there or later.
//! Cluster u is *retired* when some v has `f(u) < s(v)` and `f(v)` before the watermark: v must come after u, and had been seen before
//! anything that is still to come began, so every further read of u is a violation and u can say nothing else any more:
//!
//! - `s(u) <= f(v)`, or u and v contradicted each other already; so `s(u)` is before the watermark, and an operation that returns later
//!   cannot have to come before u;
//! - a cluster x that must come before u (`f(x) < s(u)`) must come before v too, or its own return is after v's begin: in either case it is
//!   retired in the same pass. Therefore a pass decides over all live clusters together, and never one by one.
//!
//! What stays is one entry per retired value with the operations that prove the next read of it stale. Operations of unknown outcome do
//! not hold the watermark, or it would stop for ever at the first one: their value, while nobody has read it, orders nothing, and its first
//! reader is stamped after the watermark like everybody.
//!
//! **Compare-and-set.** A successful one read what it expected and wrote something new, in one moment; as two operations in the same time it
//! is allowed whatever it is allowed as one. So what is told of it is certain: it found what nobody wrote or what was replaced before, two
//! replaced the same value, or one of the two values contradicts others. That nothing may stand between its two halves is left to the check
//! of the whole history; so a few violations are told at the end only. One that failed and says what it saw is a read; one of unknown outcome
//! happened if somebody saw what it wrote.
//!
//! **Late lines.** The recorder's queue is causally closed, but a thread may be held up between its stamp and its queue, so times go back
//! a little between processes. The watermark therefore stays behind the newest time by a slack. An invocation that is later
//! still, and older than a retirement of its key, takes the key out of this check, which says so; it never makes a wrong answer.
//!
//! The decision not taken was to run the whole check again every second: it costs the square of the run's length, and finds later.

mod key;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use self::key::Key;
use crate::linearizability::{Certificate, Place};

/// A value as the online check tells values apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Value {
    /// Nothing was ever written.
    Null,
    /// What clients write.
    Integer(i64),
    /// Anything else. Read, it is something nobody wrote; a key to which it is written is left to the check of the whole history.
    Foreign,
}

/// What an invocation asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A read.
    Read,
    /// A write of this value.
    Write(Value),
    /// A compare-and-set.
    Cas {
        /// What has to be there.
        expected: Value,
        /// What is there afterwards.
        new: Value,
    },
    /// Anything else; its key is left to the check of the whole history.
    Other,
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// `ok`; what a read saw. The value of a write is ignored.
    Ok(Value),
    /// `fail`: it did not happen and never will.
    Failed,
    /// `fail` of a compare-and-set: it did not happen, and this was there instead of what it expected.
    Differed(Value),
    /// `info`: it may have happened, then or later.
    Unknown,
}

/// The first violation of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The key; `None` for operations without one.
    pub key: Option<Arc<str>>,
    /// Its proof, over the numbers under which the operations were invoked. Where compare-and-sets take part it names the operations that
    /// contradict each other; how their values follow from one another, the check of the whole history tells.
    pub certificate: Certificate,
    /// The stamp of the completion that made it certain, in nanoseconds.
    pub completed_ns: u64,
}

/// A key that this check does not judge, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftKey {
    /// The key; `None` for operations without one.
    pub key: Option<Arc<str>>,
    /// Why, lower case, without a full stop.
    pub reason: String,
}

/// What the check remembers, summed over its keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Values that may still be read.
    pub live: usize,
    /// Values of writes that have not returned and that nobody has read.
    pub unread: usize,
    /// Values that nobody may read any more, and refused ones: one small entry each.
    pub retired: usize,
}

/// The check. It takes lines in the order of the recorder's queue.
#[derive(Debug, Default)]
pub struct Online {
    slack_ns: i64,
    newest_ns: i64,
    keys: Vec<Key>,
    /// Never iterated: its order is nobody's.
    key_of: FxHashMap<Option<Arc<str>>, usize>,
    /// The operation in flight of each process. Never iterated.
    in_flight: FxHashMap<u64, InFlight>,
    left: Vec<LeftKey>,
    /// Keys in which something can be retired, each once. One of them is visited per completion, so that keys which nobody uses any more
    /// shrink, too, and no completion costs more than one key's live values.
    to_visit: VecDeque<usize>,
}

#[derive(Debug, Clone, Copy)]
struct InFlight {
    key: usize,
    asked: Asked,
    place: u32,
    invoked_ns: i64,
}

impl Online {
    /// A check that allows lines to come up to `slack_ns` after lines with later stamps. 0 for a history in order of time.
    pub fn new(slack_ns: u64) -> Online {
        Online {
            slack_ns: finite(slack_ns),
            ..Online::default()
        }
    }

    /// Takes an invocation. `place` is the caller's number of the operation, different for each and below 2^32 - 1.
    pub fn invoke(&mut self, process: u64, place: u32, key: Option<Arc<str>>, asked: Asked, time_ns: u64) {
        let invoked_ns = finite(time_ns);
        self.newest_ns = self.newest_ns.max(invoked_ns);
        let number = *self.key_of.entry(key).or_insert_with_key(|name| {
            self.keys.push(Key::new(name.clone()));
            self.keys.len() - 1
        });
        let in_flight = InFlight {
            key: number,
            asked,
            place,
            invoked_ns,
        };
        let key = &mut self.keys[number];
        if !std::mem::replace(&mut key.is_to_be_visited, true) {
            self.to_visit.push_back(number);
        }
        let left = key.invoke(&in_flight);
        self.left.extend(left);
        self.in_flight.insert(process, in_flight);
    }

    /// Takes the completion of the process's operation, and says whether the history is broken now and was not before. A completion of nothing is
    /// passed over, and so is everything on a key whose violation was told.
    pub fn complete(&mut self, process: u64, ended: Ended, time_ns: u64) -> Option<Violation> {
        let returned_ns = finite(time_ns);
        self.newest_ns = self.newest_ns.max(returned_ns);
        let operation = self.in_flight.remove(&process)?;
        let key = &mut self.keys[operation.key];
        let violation = key.complete(&operation, ended, returned_ns).map(|certificate| Violation {
            key: key.name().cloned(),
            certificate,
            completed_ns: time_ns,
        });
        self.visit_a_key();
        violation
    }

    fn visit_a_key(&mut self) {
        let Some(number) = self.to_visit.pop_front() else { return };
        let key = &mut self.keys[number];
        key.is_to_be_visited = key.retire(self.newest_ns.saturating_sub(self.slack_ns));
        if key.is_to_be_visited {
            self.to_visit.push_back(number);
        }
    }

    /// Keys that were taken out of this check since the last call, in their order.
    pub fn newly_left(&mut self) -> Vec<LeftKey> {
        std::mem::take(&mut self.left)
    }

    /// What it remembers.
    pub fn size(&self) -> Size {
        self.keys.iter().map(Key::size).fold(Size::default(), |sum, size| Size {
            live: sum.live + size.live,
            unread: sum.unread + size.unread,
            retired: sum.retired + size.retired,
        })
    }
}

/// Before everything that happened: the write of null.
const ALWAYS: i64 = i64::MIN;

/// A time that is neither before nor after everything.
fn finite(time_ns: u64) -> i64 {
    i64::try_from(time_ns).unwrap_or(i64::MAX).min(i64::MAX - 1)
}

fn place(number: u32) -> Place {
    Place::from(Some(number))
}
