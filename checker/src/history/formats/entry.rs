//! One operation's begin or end as a file with an order tells it, before processes are paired.

use super::edn::Form;
use crate::history::event::{EventType, Process};

/// What stands in one map of an EDN history, or on one line of a Jepsen log.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) line: u64,
    /// Where it begins in its line, in bytes from 1.
    pub(super) column: usize,
    /// How many entries stand before it in the file.
    pub(super) place: u64,
    pub(super) index: Option<u64>,
    /// Nanoseconds; `None` where the file has none.
    pub(super) time_ns: Option<u64>,
    pub(super) kind: EventType,
    pub(super) process: Process,
    pub(super) f: Box<str>,
    /// Where the file says it beside the value.
    pub(super) key: Option<Box<str>>,
    pub(super) value: Form,
    pub(super) node: Option<Box<str>>,
    pub(super) error: Option<Form>,
    /// Every other field of an entry that is no operation, as names and values.
    pub(super) extra: Vec<(String, Form)>,
}

impl Entry {
    /// Whether it belongs to an operation of a client.
    pub(super) fn is_of_client(&self) -> bool {
        matches!(self.process, Process::Client(_))
    }
}
