//! The program: plan, sandbox, systems, runner, recorder, results and report behind the one binary `squall`.
//!
//! Main decision: one run is one process tree in one sandbox, and after the plan data flows one way; every stage can be run again
//! alone from its file. The decision not taken was a long-lived daemon that owns clusters: a crashed daemon leaks, a dead process
//! tree cannot.

pub mod cli;
pub mod clocks;
pub mod cluster;
pub mod doctor;
pub mod exit;
pub mod log;
pub mod plan;
pub mod record;
pub mod report;
pub mod results;
pub mod run;
pub mod sandbox;
pub mod schedule;
pub mod sim;
pub mod supervise;
pub mod systems;
pub mod zoo;
