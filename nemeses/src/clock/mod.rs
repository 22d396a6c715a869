//! The wall clock of a node: moved while the node runs, for any x86-64 program, without touching the host's.
//!
//! Programs read the time through the vDSO, a small library that the kernel maps into every process. At the moment a node's program begins
//! (the exec stop of ptrace(2)) its vDSO is made to lead to a routine of ours, which asks the vDSO's own code and adds what a page of
//! parameters says. Then the process is let go. All processes of a node share the page, so a change is one store into a file.
//!
//! **The main decision: the redirect is installed at birth.** Nothing has been looked up and no thread stands in the way yet, and static programs
//! are reached as well as dynamic ones. **The ones not taken:** `LD_PRELOAD` (libfaketime) does not reach static Go and costs some
//! 400 ns for each reading; patching the code of a running process (Chaos Mesh) has to stop all its threads and misses processes that are
//! started later.
//!
//! **Only clocks that show the time of day are moved**: CLOCK_REALTIME, its coarse form, and CLOCK_TAI. CLOCK_MONOTONIC never is: the C and Rust
//! libraries hand absolute deadlines on it to the kernel, which compares them with the true one, so that a wait of 300 ms took 3.3 s once
//! that clock was moved by 3 s. No real machine does that. What may differ between nodes is where that clock began; a time namespace gives each
//! node its own beginning at birth.
//!
//! What the redirect cannot reach: programs that ask the kernel directly, which [`count_past`] tells, and stamps that the kernel itself makes (of
//! files, of datagrams).
//!
//! - [`Skew`]: what should be wrong with a clock, plain data
//! - [`Course`], [`Slot`]: what such a clock shows over time, and [`Look`], what a reading of it proves
//! - [`Page`]: the parameters that a node's processes share
//! - [`spawn`], [`Follower`]: the redirect, at the exec stop
//! - [`count_past`]: who reads the clock past it

mod course;
mod page;
mod past;
mod seen;
mod skew;
mod slot;

#[cfg(target_arch = "x86_64")]
mod redirect;
#[cfg(not(target_arch = "x86_64"))]
#[path = "elsewhere.rs"]
mod redirect;

pub use course::Course;
pub use page::{Page, Set, true_ns};
pub use past::Past;
pub use redirect::{Follower, count_past, spawn, supported};
pub use seen::{By, Look, Reading, Seen};
pub use skew::{Skew, Strobe};
pub use slot::Slot;
