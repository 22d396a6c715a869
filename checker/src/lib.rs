//! The judge: history in, verdict and witness out.
//!
//! Main decision: the crate is pure. It takes bytes and slices, returns values, and knows neither clock, file system, network nor
//! chance, so the same history gives the same bytes on every machine. The decision not taken was to judge inside the harness, where
//! the state of the run (processes, pipes, timers) is at hand: whatever decides a verdict must stand in the history instead, so
//! that a saved file and a live run are judged alike.
#![forbid(unsafe_code)]

pub mod escape;
pub mod history;
pub mod judge;
pub mod linearizability;
pub mod model;
pub mod online;
pub mod parallel;
pub mod seconds;
pub mod siblings;
pub mod trace;
pub mod verdict;
