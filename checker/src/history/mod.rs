//! The history: what every client saw and what was done to the cluster, on one clock.
//!
//! [`event`] is one line of the file, [`read`] turns a whole file into a [`History`], which the rules judge; [`mod@write`] writes the lines,
//! [`formats`] reads other people's files, [`binary`] is the same history as bytes that need no parsing.
//!
//! Intervals are closed. An operation that returns at time t and one that is invoked at the same t are concurrent, because one
//! monotonic clock is read by many threads and two readings may be equal: client A writes 1 and its reply is stamped 5; client B's
//! read, handed to the socket in reality a moment before that reply arrived, is stamped 5 as well and returns the old value. With
//! half-open intervals A would precede B and a correct store would be reported. Invocations therefore sort before completions at
//! equal times (the same example stands in Porcupine's `model.go`).

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::value::{Error as ValueError, StrDeserializer};
use serde_json::{Value, json};

use self::event::{Event, EventType, Process};
use self::mark::{FaultStage, Finding, Header, Stage};
use self::names::Names;
use self::operation::{Function, Operation};
use self::values::{ValueId, ValueTable};

pub mod binary;
pub mod build;
mod chunks;
mod cursor;
pub mod error;
pub mod event;
mod fast_line;
pub mod formats;
mod line;
pub mod mark;
pub mod names;
pub mod operation;
mod pairing;
pub mod read;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod values;
pub mod write;

/// A whole history. Names and values of the operations are numbers; the methods give them back.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The header, if the file is ours.
    pub header: Option<Header>,
    /// The clients' operations, in the order of their invocations' lines.
    pub operations: Vec<Operation>,
    /// Every other line, in the order of the file.
    pub marks: Vec<Mark>,
    /// The keys.
    pub keys: Names,
    /// Names of functions other than read, write and cas.
    pub functions: Names,
    /// The nodes that were asked.
    pub nodes: Names,
    /// Kinds of errors, as completions give them.
    pub error_kinds: Names,
    /// Values other than small integers.
    pub values: ValueTable,
    /// How many lines the file has, the cut one included.
    pub lines: u64,
    /// The last line, if the recording was cut within it. It is not part of the history.
    pub cut_line: Option<CutLine>,
}

/// A last line that ends before its JSON does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutLine {
    /// Its number, counted from 1.
    pub line: u64,
    /// How much of it there is.
    pub bytes: usize,
}

/// A line that is no operation: what the nemesis did, what the harness found, or something foreign.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Its line in the file, counted from 1.
    pub line: u64,
    /// The whole line.
    pub event: Event,
}

impl Mark {
    /// The stage of a fault, if the nemesis says so in our words.
    pub fn fault_stage(&self) -> Option<FaultStage> {
        if !self.is_by("nemesis") {
            return None;
        }
        serde_json::from_value(self.event.value.clone()).ok()
    }

    /// The finding, if the harness says so in our words.
    pub fn finding(&self) -> Option<Finding> {
        if !self.is_by("harness") {
            return None;
        }
        serde_json::from_value(json!({ "f": self.event.f, "value": self.event.value })).ok()
    }

    /// Whether a line of ours says something known in a way that cannot be read: what it was to say is lost. `kinds` are the faults
    /// that were asked for. Names that are not known are somebody else's, or a later version's, and nothing is lost with them.
    pub fn is_unreadable(&self, kinds: &[String]) -> bool {
        if self.is_by("harness") {
            return Finding::NAMES.contains(&self.event.f.as_str()) && self.finding().is_none();
        }
        if !self.is_by("nemesis") || self.fault_stage().is_some() {
            return false;
        }
        match self.event.value.get("stage") {
            Some(Value::String(stage)) => Stage::deserialize(StrDeserializer::<ValueError>::new(stage)).is_ok(),
            Some(_) => true,
            None => kinds.contains(&self.event.f),
        }
    }

    /// Whether somebody with a name, who is neither our nemesis nor our harness, begins or ends an operation.
    pub fn is_operation_of_stranger(&self) -> bool {
        self.event.kind != EventType::Info && !self.is_by("nemesis") && !self.is_by("harness")
    }

    fn is_by(&self, actor: &str) -> bool {
        matches!(&self.event.process, Process::Named(name) if name == actor)
    }
}

impl History {
    /// The key an operation acts on.
    pub fn key(&self, operation: &Operation) -> Option<&str> {
        operation.key.and_then(|key| self.keys.get(key.index()))
    }

    /// The name of what an operation does.
    pub fn function(&self, operation: &Operation) -> &str {
        match operation.f {
            Function::Read => "read",
            Function::Write => "write",
            Function::Cas => "cas",
            Function::Other(name) => self.functions.get(name.index()).unwrap_or_default(),
        }
    }

    /// The node that was asked.
    pub fn node(&self, operation: &Operation) -> Option<&str> {
        operation.node.and_then(|node| self.nodes.get(node.index()))
    }

    /// Why an operation failed or is unknown: `timeout`.
    pub fn error_kind(&self, operation: &Operation) -> Option<&str> {
        operation.error_kind.and_then(|kind| self.error_kinds.get(kind.index()))
    }

    /// A value as JSON text.
    pub fn value(&self, value: ValueId) -> Cow<'_, str> {
        self.values.text(value)
    }

    /// The largest possible difference, in nanoseconds, between two readings of the history's clock at one instant; 0 on one machine.
    pub fn clock_error_ns(&self) -> u64 {
        self.header.as_ref().map_or(0, |header| header.clock.error_ns)
    }
}
