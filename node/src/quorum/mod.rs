//! The quorum store: multi-writer registers after Attiya, Bar-Noy and Dolev (JACM 1995) and Lynch and Shvartsman (1997), with the knobs
//! of Dynamo (N, R, W), so that a user can turn a correct store into an incorrect one and see it judged.
//!
//! - **Put**: read versions from a majority of the key's N home replicas, take a larger one, send to all N, W durable acknowledgements.
//! - **Delete**: a put of a tombstone. When the tombstone itself may go is a question of its own (`reaper`).
//! - **Get**: ask all N, take the newest of the first R replies; before it is returned, it is durable on W replicas, unless so many
//!   replies carried it that no later operation can miss it ([`QuorumConfig::holders_enough`]). Digest reads ask one for the value.
//! - **Upkeep**: what a home replica did not acknowledge its coordinator sends later (`hints`), and home replicas compare what they hold
//!   (`anti_entropy`). Neither counts towards W or R.
//!
//! Linearizable if R + W > N, W + majority > N, gets write back, and versions come from a quorum (or from clocks that agree). With version
//! vectors a key may hold several values at a time; then each acknowledged value is in every later get, or one that replaced it is.
//! What is absent: no substitute that is counted as a replica, no retry of a put under a new version (a value would be written
//! twice), no replica that shows what its disk may lose, no change of members.

mod anti_entropy;
mod cell;
mod config;
mod coordinator;
mod core;
mod get;
mod hints;
mod hybrid_clock;
mod log;
mod message;
mod outgoing;
mod pushes;
mod put;
mod reaper;
mod record;
mod replica;
mod version_source;
mod work;

pub use cell::{Cell, Stored};
pub use config::{QuorumConfig, Reaping, Upkeep, VersionScheme};
pub use core::QuorumCore;
pub use message::{OpId, QuorumMessage, Sibling};
