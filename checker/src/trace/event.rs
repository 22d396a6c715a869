//! One line of a trace as the rules see it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// A key, a node's name or a value's short name; equal texts of one set of traces share their bytes.
pub(super) type Name = Arc<str>;

/// A version of a key's value. The derived order is the store's own: counter, node by its name's bytes, incarnation, sequence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Version {
    pub(super) counter: u64,
    pub(super) node: Name,
    pub(super) incarnation: u64,
    pub(super) sequence: u64,
}

/// Which writes a write had seen, itself included: counts by node and incarnation. Empty where versions order all writes.
pub(super) type Vector = BTreeMap<(Name, u64), u64>;

/// Whether the write with vector `a` is the one with `b`, or had seen it.
pub(super) fn covers(a: &Vector, b: &Vector) -> bool {
    b.iter().all(|(actor, count)| a.get(actor).is_some_and(|seen| seen >= count))
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}.{}.{}", self.counter, self.node, self.incarnation, self.sequence)
    }
}

/// One life of a node, from its `start` event on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) incarnation: u64,
    pub(super) settings: Settings,
}

/// What a node was started with, as far as rules depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// Replicas per key.
    pub(super) n: u64,
    /// Replies a get waits for.
    pub(super) r: u64,
    /// Durable acknowledgements a put or a write-back waits for.
    pub(super) w: u64,
    /// Whether gets write back what they are about to return.
    pub(super) write_back: bool,
    /// The longest time between two exchanges of a pair of replicas, in milliseconds; `None` if replicas are repaired by reads only.
    pub(super) anti_entropy_ms: Option<u64>,
    /// All members.
    pub(super) members: BTreeSet<Name>,
}

impl Settings {
    /// From how many replies with the newest version a get needs no write-back: N - min(R, majority) + 1. Every later get (R replies) and
    /// every later put (whose version read takes a majority) then meets one of the holders; N - R + 1 would look only at gets.
    pub(super) fn holders_enough(&self) -> u64 {
        let majority = self.n / 2 + 1;
        self.n.saturating_sub(self.r.min(majority)).saturating_add(1)
    }
}

/// One event of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    /// Its line in the file, counted from 1.
    pub(super) line: u64,
    /// The place of its life in [`NodeTrace::lives`](super::read::NodeTrace).
    pub(super) life: usize,
    /// The host's monotonic clock, the node's own shift taken off.
    pub(super) mono_ns: u64,
    /// Larger than that of every event, of any node, that it depends on.
    pub(super) lamport: u64,
    pub(super) what: What,
}

/// What happened. Operations are numbers within their life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// The first event of a life.
    Start,
    /// The coordinator gave a version to a value.
    Assign { op: u64, key: Name, version: Version, value: Name },
    /// The replica holds this version durably.
    Put {
        key: Name,
        version: Version,
        value: Name,
        /// Found in the log at the start of this life.
        replayed: bool,
        /// What its write had seen.
        vector: Vector,
    },
    /// The replica let a tombstone go: it holds nothing of the key.
    Reap {
        key: Name,
        version: Version,
        /// Found in the log at the start of this life.
        replayed: bool,
    },
    /// The replies a get decides by.
    Get { op: u64, key: Name, replies: Vec<Reply> },
    /// Whether a get makes what it saw durable first.
    WriteBack { op: u64, needed: bool },
    /// An operation is answered.
    Done(Done),
}

/// One reply to a get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) node: Name,
    /// `None`: the key was never held there.
    pub(super) version: Option<Version>,
}

/// The end of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) op: u64,
    pub(super) f: Function,
    pub(super) key: Name,
    pub(super) outcome: Outcome,
    /// The version written or returned.
    pub(super) version: Option<Version>,
    /// Replicas that the coordinator knows to hold that version, or a newer one, durably.
    pub(super) acks: Vec<Name>,
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Put,
    Get,
}

/// How it was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Ok,
    Failed,
    Unknown,
}
