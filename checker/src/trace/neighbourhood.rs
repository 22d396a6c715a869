//! The events and messages around a violation, as plain data from which a space-time diagram is drawn.
//!
//! A lane is a node; time runs along it. `events` are in an order in which they can have happened (Lamport's), so drawing them one after
//! the other never lets an arrow point back, whatever the clocks show; `time_ns` is for the axis. Texts hold names and keys of the store as
//! they came: whoever draws them escapes them.

use serde::{Deserialize, Serialize};

/// What happened around a violation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbourhood {
    /// The nodes, by name; those without an event here too.
    pub lanes: Vec<Lane>,
    /// The events, causes before effects.
    pub events: Vec<NeighbourEvent>,
    /// The messages of which at least one end is among the events.
    pub messages: Vec<NeighbourMessage>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lane {
    /// The node's name.
    pub node: String,
    /// The member it was at that moment, if that is another name: a wiped node returns under a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
}

/// One event on a lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeighbourEvent {
    /// The place in [`Neighbourhood::lanes`].
    pub lane: usize,
    /// The line in the node's trace, counted from 1.
    pub line: u64,
    /// Nanoseconds on the history's axis; negative before its begin.
    pub time_ns: i64,
    /// The Lamport stamp.
    pub lamport: u64,
    /// A word for its shape: `start`, `vote`, `role`, `append`, `truncate`, `fsync`, `commit`, `apply`, `snapshot`, `config`, `ack`,
    /// `read`, `send`, `receive` or `health`.
    pub kind: String,
    /// The least that names it within a picture: `commit 7 t3` is about index 7 of term 3.
    #[serde(default)]
    pub label: String,
    /// One short line for a person.
    pub text: String,
    /// Whether it is one of the events that break the rule.
    pub breaks: bool,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeighbourMessage {
    /// The sender's lane; `None` if its member is no node of this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<usize>,
    /// The receiver's lane; `None` if its member is no node of this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<usize>,
    /// The place of its `send` in [`Neighbourhood::events`]; `None` if that lies outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<usize>,
    /// The place of its `receive` in [`Neighbourhood::events`]; `None` if that lies outside, or if it was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<usize>,
    /// What it is: `vote request`, `append reply`.
    pub kind: String,
    /// Its term.
    pub term: u64,
}
