//! The disk as programs see it: mounted, used by real programs, its power cut, mounted again.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "part of tests, though outside a #[test]")]

mod append_only;
mod machine;
mod operations;
mod probes;
#[path = "../support/program.rs"]
mod program;
mod programs;
#[path = "../support/redis.rs"]
mod redis;
mod sqlite;
mod trouble;
