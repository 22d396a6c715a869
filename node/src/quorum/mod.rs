//! The quorum store: multi-writer registers after Attiya, Bar-Noy and Dolev (JACM 1995) and Lynch and Shvartsman (1997), with the knobs
//! of Dynamo (N, R, W), so that a user can turn a correct store into an incorrect one and see it judged.
//!
//! - **Put**: read versions from a majority of the key's N home replicas, take a larger one, send to all N, W durable acknowledgements.
//! - **Get**: ask all N, take the newest of the first R replies; before it is returned, it is durable on W replicas, unless so many
//!   replies carried it that no later operation can miss it ([`QuorumConfig::holders_enough`]).
//!
//! Linearizable if R + W > N, W + majority > N, gets write back, and versions come from a quorum (or from clocks that agree).
//! What is absent: no hand-off to substitutes, no background repair, no retry of a put under a new version (a value would be written
//! twice), no replica that shows what its disk may lose.

mod config;
mod coordinator;
mod core;
mod get;
mod message;
mod outgoing;
mod put;
mod record;
mod replica;
mod version_source;

pub use config::{QuorumConfig, VersionScheme};
pub use core::QuorumCore;
pub use message::{OpId, QuorumMessage};
pub use replica::Stored;
