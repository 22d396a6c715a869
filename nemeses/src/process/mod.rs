//! The processes of a node: who they are, killing them, stopping them.
//!
//! A node is a pid namespace with an init of ours as its pid 1. The kernel kills everything in a namespace whose pid 1 dies, so one
//! signal kills a node with however many processes; and nothing that ever started in it can leave, so they can be found.
//!
//! - [`mod@kill`]: the whole namespace dies, and is seen to be dead
//! - [`mod@pause`]: everything but the init stops, and is seen to have stopped

pub mod kill;
pub mod pause;
mod table;

pub use kill::{Killed, kill, kill_and};
pub use pause::{Paused, is_paused, pause, pause_and, resume};
pub use table::processes_of;

use crate::Result;
use crate::pidfd::Pidfd;

/// The signals a harness sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGKILL.
    Kill,
    /// SIGTERM.
    Terminate,
}

/// Sends a signal; `false` if there is no such process (any more).
///
/// # Errors
/// If the kernel forbids it.
pub fn signal(pid: u32, signal: Signal) -> Result<bool> {
    let signal = match signal {
        Signal::Kill => rustix::process::Signal::KILL,
        Signal::Terminate => rustix::process::Signal::TERM,
    };
    Pidfd::open(pid)?.map_or(Ok(false), |process| process.signal(signal))
}
