//! The sandbox: namespaces in which a run can do what it likes and from which nothing can leak.
//!
//! Three processes stand between a user's shell and a node, each with one task:
//!
//! ```text
//! squall run          outside: waits, forwards ctrl-C, judges afterwards          (this is what a user sees and kills)
//!  └ squall __enter   makes the namespaces, gets its ids mapped, starts pid 1     (enter.rs)
//!     └ squall __inside   pid 1 of the sandbox: network, clients, nemesis         (mounts.rs, network.rs, ../run)
//!        └ squall __launch    joins the node's network, makes its pid namespace    (place.rs)
//!           └ squall __init   pid 1 of the node: mounts, hostname, reaping         (place.rs)
//!              └ the node
//! ```
//!
//! Every link of the chain dies with the one above it: `PR_SET_PDEATHSIG`, and a pipe whose end is polled for the moment before
//! that call. The death of pid 1 makes the kernel kill whatever is left in its namespace, and the last process takes links, rules and
//! mounts with it. Re-executing instead of forking keeps every step in safe Rust and single-threaded, which `unshare` needs.
//!
//! Nothing of a run exists on the host but its folder and, if one of its faults needs them, control groups, which a process beside this chain
//! keeps and removes (groups.rs).

pub mod enter;
pub mod groups;
mod mounts;
pub mod network;
pub mod pids;
pub mod place;

pub use network::{Address, Star};
