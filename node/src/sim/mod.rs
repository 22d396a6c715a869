//! The simulator: a whole cluster of cores in one thread, in virtual time, decided by one seed.
//!
//! A [`Cluster`] is to cores what the [`driver`](crate::driver) and the kernel are: it keeps the promises in [`core`](crate::core) **and
//! nothing more**. Messages are lost, doubled, late and overtaken; links are cut in one direction or both; an fsync takes its time, and a
//! crash leaves of what was not synced what the disk happened to have; a paused node finds its timers late and its inbox full; wall
//! clocks differ. The log is the real one ([`wal`](crate::wal)), encoded, torn and replayed through [`Core::load`](crate::core::Core::load).
//!
//! **The main decision: the world outside is driven by the same queue.** Whoever owns a cluster asks for timers and gets replies, timers
//! and exits back, one [`Notice`] at a time, in the order of virtual time. So clients and faults live outside (the harness has its own,
//! which read a plan), and the simulator knows no operation, history or schedule. Not taken: a simulated socket and disk below the real
//! driver. It would also test the driver, but the order of its tasks is the runtime's, and a run would cost a hundred times as much.
//!
//! | file | is |
//! |---|---|
//! | `cluster` | what is asked of a cluster, and its turns |
//! | `world` | how the world treats it: delays, losses, skews |
//! | `network` | which message arrives, and when |
//! | `disk` | what survives a crash |
//! | `process` | one life of a node: core, log, clocks |
//! | `trace` | what nodes told, as values; printed on demand |
//! | `agenda`, `chance`, `digest` | what is due when; draws by concern; one number for all that happened |
//!
//! Absent: any clock, any thread, any chance but the seed's.

mod agenda;
mod chance;
mod cluster;
mod digest;
mod disk;
mod network;
mod process;
#[cfg(test)]
mod tests;
mod trace;
mod world;

pub use chance::Chance;
pub use cluster::{Cluster, Counts, Notice};
pub use digest::Digest;
pub use disk::SimDisk;
pub use trace::{TraceEntry, TraceLog};
pub use world::{Delay, World};
