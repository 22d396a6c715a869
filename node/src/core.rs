//! What a core is: the rules of one store as a pure state machine.
//!
//! A core is stepped with an event and the time, and answers with effects. It has no socket, no file, no clock and no chance of its own,
//! so a simulator can drive thousands of cores in one thread and get the same decisions as the real driver. One driver serves every core.
//!
//! **What a driver promises.**
//! 1. `load` gets every record of the log in order, then `Event::Start` comes once, before all else.
//! 2. Effects take place in order. Trace events are handed over before any later `Send` or `Reply` leaves.
//! 3. The k-th `Append` or `Compact` since `Start` is durable once `Event::Durable { appended }` with `appended >= k` arrives. A crash may keep any
//!    prefix of what was appended and not yet reported.
//! 4. A message may be lost, doubled, delayed and overtaken, and may arrive in another life of its receiver. It is never altered, and
//!    `from` is true.
//! 5. `Event::Wake` comes at or soon after `wake_at_ns`. Early or needless wakes are allowed.

use crate::members::{NodeIndex, Text};
use crate::message::{Outcome, PeerMessage, RequestBody, RequestHeader};
use crate::status::Standing;
use crate::trace::TraceEvent;

/// The time of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// CLOCK_MONOTONIC, in ns: for deadlines.
    pub mono_ns: u64,
    /// CLOCK_REALTIME, in ns since 1970: only for versions that are made of it.
    pub wall_ns: u64,
}

/// Where a reply goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientRef {
    /// The driver's number of the connection.
    pub connection: u64,
    /// The client's number of the request.
    pub request: u64,
}

/// What happens to a core.
#[derive(Clone, Debug)]
pub enum Event<M> {
    /// The log is loaded and the incarnation durable: serve.
    Start {
        /// The time namespace's shift of the monotonic clock, in ns, for the trace.
        mono_offset_ns: i64,
    },
    /// A client asks.
    Request {
        /// Where the answer goes.
        client: ClientRef,
        /// Deadline, client and sequence.
        header: RequestHeader,
        /// What is asked. The driver answers `status` and `hello` itself.
        body: RequestBody,
    },
    /// A peer's message arrived.
    Message {
        /// The peer.
        from: NodeIndex,
        /// Its message.
        message: M,
    },
    /// The first `appended` records of this life are durable.
    Durable {
        /// A count, never decreasing.
        appended: u64,
    },
    /// A link to a peer was made; what was sent before may be lost.
    LinkUp {
        /// The peer.
        peer: NodeIndex,
    },
    /// Time passed.
    Wake,
}

/// What a core wants done.
#[derive(Clone, Debug)]
pub enum Effect<M> {
    /// Add a record to the log. Numbered from 1 by their order.
    Append {
        /// The record, opaque to the driver, not empty.
        record: Vec<u8>,
    },
    /// Replace the whole log by these records, atomically: whatever happens, the disk holds all that was before, or these. Counts as one
    /// record: it is durable with everything it replaced once `Event::Durable` reaches its number.
    Compact {
        /// The records, not empty.
        records: Vec<Vec<u8>>,
    },
    /// Send to another node (never to itself). May be dropped.
    Send {
        /// The peer.
        to: NodeIndex,
        /// The message.
        message: M,
    },
    /// Answer a client.
    Reply {
        /// Whom.
        client: ClientRef,
        /// The answer.
        outcome: Outcome,
    },
    /// Write to the event trace.
    Trace(TraceEvent),
    /// End the node: it must not take part any more.
    Stop {
        /// A sentence for the operator: why, and what to do.
        reason: String,
    },
}

/// What makes a frame one of a kind, together with the name of its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Which life of the sender.
    pub incarnation: u64,
    /// The Lamport stamp of the frame.
    pub lamport: u64,
}

/// What a core tells about itself for `status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoreHealth {
    /// Keys held durably.
    pub keys: u64,
    /// Operations accepted and not answered.
    pub open_operations: u64,
}

/// The rules of one store, for one node.
pub trait Core {
    /// What nodes of this store say to each other.
    type Message: PeerMessage;

    /// Takes one record of the log at start.
    ///
    /// # Errors
    /// A sentence if the record is none of this core's.
    fn load(&mut self, record: &[u8]) -> Result<(), String>;

    /// One step: `effects` is appended to.
    fn step(&mut self, now: Now, event: Event<Self::Message>, effects: &mut Vec<Effect<Self::Message>>);

    /// When this core wants to be woken, on the monotonic clock in ns.
    fn wake_at_ns(&self) -> Option<u64>;

    /// How the core is.
    fn health(&self) -> CoreHealth;

    /// Where the core stands in its cluster, for `status`.
    fn standing(&self) -> Option<Standing> {
        None
    }

    /// The failure domain that the node knows to be in, for `status`.
    fn domain(&self) -> Option<Text> {
        None
    }

    /// What the trace shall say of a message that leaves in this frame, right before it does.
    fn sent(&self, to: NodeIndex, message: &Self::Message, stamp: Stamp) -> Option<TraceEvent> {
        let _ = (to, message, stamp);
        None
    }

    /// What the trace shall say of a message that arrived in this frame, right before the core is stepped with it.
    fn received(&self, from: NodeIndex, message: &Self::Message, stamp: Stamp) -> Option<TraceEvent> {
        let _ = (from, message, stamp);
        None
    }
}
