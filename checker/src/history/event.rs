//! One line of a history file, with every field, known or not.
//!
//! The shapes are in ARCHITECTURE.md, "The history"; the meaning of the types is Jepsen's.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a line says about its operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventType {
    /// The operation begins: stamped right before the request is handed to the socket.
    Invoke,
    /// It happened, and the value says what was seen.
    Ok,
    /// It certainly did not happen and never will.
    Fail,
    /// It may have happened, then or later: open to the end of time. Also the type of every line that is not an operation.
    Info,
}

/// Who acts: a logical single-threaded process (a number) or a named actor such as `nemesis` or `harness`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Process {
    /// A client's process. After an operation that ended in `info` its client goes on under a new number.
    Client(u64),
    /// An actor that issues no operations.
    Named(String),
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Process::Client(number) => write!(f, "{number}"),
            Process::Named(name) => f.write_str(name),
        }
    }
}

/// One line of a history file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Identity only; order is by time. 0 where a foreign file has none.
    #[serde(default)]
    pub index: u64,
    /// Nanoseconds on the clock the header names.
    pub time: u64,
    /// What the line says.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// Who acts.
    pub process: Process,
    /// The operation's or mark's name: `read`, `write`, `partition`, `phase`, …
    #[serde(deserialize_with = "super::line::name")]
    pub f: String,
    /// The object acted on; absent for marks and for whole-store operations.
    #[serde(default, deserialize_with = "super::line::optional_name", skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The argument (invoke) or what was seen (ok).
    #[serde(default)]
    pub value: Value,
    /// The node that was asked.
    #[serde(default, deserialize_with = "super::line::optional_name", skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Why a `fail` or `info`: `{"kind": "timeout", …}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Value>,
    /// Every other field, kept as it came.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}
