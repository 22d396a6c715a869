//! The Raft store: one replicated log (Ongaro and Ousterhout 2014; Ongaro's thesis 2014) under a key-value state machine.
//!
//! | file | decides |
//! |---|---|
//! | `terms.rs` | what a message's term does, before its content is looked at |
//! | `election.rs` | who may lead: pre-vote, votes, the up-to-date check, check-quorum's other half |
//! | `leader.rs` | what is sent to whom, what is committed, when to step down |
//! | `follower.rs` | what is taken into the log and what is cut off, fast back-up |
//! | `disk.rs` | what is durable, and what has to wait for it |
//! | `apply.rs` | committed entries: the state machine, answers |
//! | `clients.rs` | requests, their limits and deadlines, what a leader says when it steps down |
//! | `reads.rs`, `forward.rs` | read index, lease, local; reads at nodes that do not lead |
//! | `change.rs`, `membership.rs` | joint changes of the members, learners first |
//! | `transfer.rs` | handing the leadership over |
//! | `snapshot.rs` | taking, sending in parts, installing |
//! | `identity.rs` | that a member which lost its data does not come back under its old id |
//! | `machine.rs`, `session.rs` | keys, values, and that a retry takes effect once |
//! | `log.rs`, `entry.rs`, `record.rs`, `message.rs`, `hash.rs`, `config.rs`, `describe.rs` | data, and how the trace names it |
//!
//! What is absent: no clock and no chance but the seed given at the start; no unordered map; no effect that waits inside the core for
//! anything but an event.

mod apply;
mod change;
mod clients;
mod config;
mod core;
mod describe;
mod disk;
mod election;
mod entry;
mod follower;
mod forward;
mod hash;
mod identity;
mod leader;
mod log;
mod machine;
mod membership;
mod message;
mod reads;
mod record;
mod session;
mod snapshot;
mod terms;
mod transfer;

pub use config::{RaftConfig, Reads};
pub use core::RaftCore;
pub use entry::{Command, Entry, Operation};
pub use hash::fnv1a;
pub use machine::{Answer, Applied, Held, Machine};
pub use membership::Membership;
pub use message::{RaftBody, RaftMessage, SnapshotPart};
