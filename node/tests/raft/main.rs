//! The Raft core in whole clusters: by scripts whose full output is expected (`scripts/*.txt`, after etcd-io/raft's `testdata`), and by
//! storms of chance that must keep every promise.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod cluster;
// mod script;
mod storm;
mod watch;
#[path = "../simulation/zones.rs"]
mod zones;

