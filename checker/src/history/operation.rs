//! One operation of a client: its invocation and its completion as one value of 64 bytes, a cache line.
//!
//! Names and values stand here as numbers and are looked up in the [`History`](super::History) they came from. A history of ten million
//! operations is 640 MB this way; with owned strings it would be several gigabytes and ten million allocations.

use std::num::{NonZeroU16, NonZeroU32};

use super::values::ValueId;

/// A key, numbered in the order in which keys first appear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(NonZeroU32);

impl KeyId {
    /// The id of the key at this place of [`History::keys`](super::History::keys); `None` past four thousand million keys.
    pub fn new(index: usize) -> Option<KeyId> {
        u32::try_from(index).ok()?.checked_add(1).and_then(NonZeroU32::new).map(KeyId)
    }

    /// A number that is never 0.
    pub(super) fn number(self) -> u32 {
        self.0.get()
    }

    /// The key of such a number; `None` for 0.
    pub(super) fn of_number(number: u32) -> Option<KeyId> {
        NonZeroU32::new(number).map(KeyId)
    }

    /// The place in [`History::keys`](super::History::keys).
    pub fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// A node, a function or a kind of error, numbered in the order of first appearance. There are few of them, so two bytes do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SmallId(NonZeroU16);

impl SmallId {
    /// The id of the name at this place of its table; `None` past 65,535 names.
    pub fn new(index: usize) -> Option<SmallId> {
        u16::try_from(index).ok()?.checked_add(1).and_then(NonZeroU16::new).map(SmallId)
    }

    /// The place in its table.
    pub fn index(self) -> usize {
        usize::from(self.0.get()) - 1
    }
}

/// What the operation does. Names that the registers do not know are kept, for other workloads and foreign histories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Function {
    /// `read`: the observed value is what counts.
    Read,
    /// `write`: the argument is the value written.
    Write,
    /// `cas`: the argument is the pair `[expected, new]`, which [`ValueTable::pair`](super::values::ValueTable::pair) takes apart. One that
    /// failed says that the register held something else only if its error's kind is [`MISMATCH`]; any other failure says no more than
    /// that it did not happen.
    Cas,
    /// Any other name, in [`History::functions`](super::History::functions).
    Other(SmallId),
}

/// How the operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// `ok`: it happened between its two times.
    Ok,
    /// `fail`: it certainly did not happen and never will.
    Fail,
    /// `info`, or no completion at all ([`Operation::is_open`]): it may have happened at its invocation, at any time later, or never.
    Unknown,
}

/// One operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// The logical process that issued it.
    pub process: u64,
    /// When it was handed to the socket, in nanoseconds on the history's clock.
    pub invoked_ns: u64,
    /// When it returned; [`NEVER_NS`] if nobody knows that it did.
    pub(super) returned_ns: u64,
    /// The invocation's value; [`ValueId::NULL`] for a read.
    pub argument: ValueId,
    /// What the completion saw; see [`Operation::observed`].
    pub(super) observed: ValueId,
    /// The object acted on; `None` for operations on the whole store.
    pub key: Option<KeyId>,
    pub(super) invoke_line: u32,
    /// 0 if there is none.
    pub(super) complete_line: u32,
    /// What it does.
    pub f: Function,
    /// The node that was asked.
    pub node: Option<SmallId>,
    /// Why it failed or is unknown, in [`History::error_kinds`](super::History::error_kinds).
    pub error_kind: Option<SmallId>,
    /// How it ended.
    pub outcome: Outcome,
}

/// The kind of error of a compare-and-set that the store compared and refused. What it saw instead, if it says so, is
/// [`Operation::observed`].
pub const MISMATCH: &str = "mismatch";

/// The return of an operation that is open to the end of time.
pub(super) const NEVER_NS: u64 = u64::MAX;

impl Operation {
    /// When its reply was read, in nanoseconds; `None` if the outcome is unknown, because then it has no upper bound.
    pub fn returned_ns(&self) -> Option<u64> {
        (self.returned_ns != NEVER_NS).then_some(self.returned_ns)
    }

    /// What the completion saw: the value of an `ok`, or the `seen` of a failure's error (`{"kind": "mismatch", "seen": 5}`).
    pub fn observed(&self) -> Option<ValueId> {
        (self.observed != ValueId::NONE).then_some(self.observed)
    }

    /// The line of the file with its invocation, counted from 1.
    pub fn invoke_line(&self) -> u64 {
        u64::from(self.invoke_line)
    }

    /// The line of the file with its completion, if there is one.
    pub fn complete_line(&self) -> Option<u64> {
        (self.complete_line != 0).then_some(u64::from(self.complete_line))
    }

    /// Whether the file ends before its completion: its outcome is unknown, like that of an `info`.
    pub fn is_open(&self) -> bool {
        self.complete_line == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_one_cache_line() {
        assert_eq!(size_of::<Operation>(), 64);
    }

    #[test]
    fn ids_end_where_their_bytes_end() {
        assert_eq!(SmallId::new(65_534).map(SmallId::index), Some(65_534));
        assert_eq!(SmallId::new(65_535), None);
        assert_eq!(KeyId::new(7).map(KeyId::index), Some(7));
        assert_eq!(KeyId::new(u32::MAX as usize), None);
    }
}
