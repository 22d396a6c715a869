//! What clients do: operation generators, final reads, which model applies, and the interface through which a client asks a store.
//!
//! Main decision: a generator is a pure state machine. It is told the time and the last outcome and answers with an operation, a wait
//! or the end, so that the runner, a test and a simulator drive it alike, and an operation is a function of (seed, client, count)
//! alone. The decision not taken was Jepsen's one shared generator that hands operations to whichever client is free: there the
//! order of arrival decides what is asked, and no run can be repeated.
//!
//! The crate knows no socket, process, fault, clock or runtime.
#![forbid(unsafe_code)]

mod chance;
mod client;
mod generator;
mod options;
mod retry;
mod rotation;
mod stream;
mod workload;

pub use client::{Argument, BoxFuture, Client, ErrorNote, Function, MISMATCH, Operation, Outcome, Seen, Stamp};
pub use generator::{FinalRead, Generator, Step, final_reads};
pub use options::Options;
pub use retry::{Attempts, Next, Retry};
pub use workload::{Kind, WORKLOADS, Workload, WorkloadInfo};
