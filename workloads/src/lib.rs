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
pub mod register;

pub use client::{BoxFuture, Client, ErrorNote, Function, Operation, Outcome, Seen};
pub use generator::{FinalRead, Generator, Step};

/// What `squall list workloads` says of one workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkloadInfo {
    /// The name to type.
    pub name: &'static str,
    /// One line.
    pub about: &'static str,
    /// The sequential specification its histories are judged by.
    pub model: &'static str,
}

/// All workloads.
pub const WORKLOADS: &[WorkloadInfo] = &[register::INFO];
