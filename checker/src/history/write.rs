//! Lines of a history file as the recorder writes them: two per operation, while the load runs.
//!
//! [`OperationLine`] is an [`Event`] that owns nothing and holds no [`serde_json::Value`], so that a line costs one pass over its bytes and no
//! allocation. What stands in it may be hostile (keys, foreign values, errors of nodes): serde_json escapes it, and no line ever holds
//! a line end.

use serde::Serialize;

use super::event::{Event, EventType};
use super::mark::Header;

/// One line of a client's operation.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct OperationLine<'a> {
    /// Identity only; order is by time.
    pub index: u64,
    /// Nanoseconds on the clock the header names.
    #[serde(rename = "time")]
    pub time_ns: u64,
    /// What the line says.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The logical process.
    pub process: u64,
    /// `read`, `write`.
    pub f: &'a str,
    /// The object acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<&'a str>,
    /// The argument or what was seen.
    pub value: LineValue<'a>,
    /// The node that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<&'a str>,
    /// Why a `fail` or `info`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<LineError<'a>>,
}

/// The value of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum LineValue<'a> {
    /// `null`: no argument, nothing seen.
    Null,
    /// An integer.
    Number(i64),
    /// A string.
    Text(&'a str),
    /// `[expected, new]` of a compare-and-set; nothing expected is null.
    Pair(Option<i64>, i64),
    /// A list of integers.
    List(&'a [i64]),
}

/// The error of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LineError<'a> {
    /// One word that tells errors apart: `timeout`.
    pub kind: &'a str,
    /// What a person should know.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub message: &'a str,
    /// What was seen instead of what was expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<LineValue<'a>>,
}

/// Appends the header's line.
pub fn write_header(out: &mut Vec<u8>, header: &Header) {
    write_line(out, header);
}

/// Appends the line of an event of any shape: marks, imports.
pub fn write_event(out: &mut Vec<u8>, event: &Event) {
    write_line(out, event);
}

/// Appends the line of an operation.
pub fn write_operation(out: &mut Vec<u8>, line: &OperationLine<'_>) {
    write_line(out, line);
}

fn write_line(out: &mut Vec<u8>, line: &impl Serialize) {
    serde_json::to_writer(&mut *out, line).expect("a vector takes every byte and our fields have string keys");
    out.push(b'\n');
}
