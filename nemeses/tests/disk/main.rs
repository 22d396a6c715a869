//! The disk as programs see it: mounted, used by real programs, its power cut, mounted again.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "part of tests, though outside a #[test]")]

mod machine;
mod operations;
mod probes;
mod programs;
mod sqlite;
mod trouble;
