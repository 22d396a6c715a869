//! The disk as programs see it: mounted, used by real programs, its power cut, mounted again.

mod machine;
mod operations;
mod probes;
mod programs;
mod sqlite;
mod trouble;
