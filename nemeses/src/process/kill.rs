//! `kill -9` of a node: a signal to its init and to every process, and the kernel kills the whole pid namespace before the init's end can be seen
//! (`zap_pid_ns_processes`). So an end that is seen proves that nothing of the node runs any more.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::processes_of;
use crate::Result;
use crate::pidfd::Pidfd;

/// What a kill did, and its proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Killed {
    /// Whether the node was seen to be dead within the bound.
    pub ok: bool,
    /// Its init.
    pub init_pid: u32,
    /// How many processes it had besides; 0 also if the init was dead already.
    pub n_processes: usize,
    /// From the signal to the proof.
    pub duration_us: u64,
}

/// Kills the pid namespace of `init_pid` and waits at most `bound` until all of it is dead. A namespace that is dead already is killed as well.
///
/// # Errors
/// If the kernel forbids the signal, or `/proc` cannot be read.
pub fn kill(init_pid: u32, bound: Duration) -> Result<Killed> {
    kill_and(init_pid, bound, || ())
}

/// The same, with something that has to be done between the signal and the end: a process that waits for its disk dies when the disk has answered.
///
/// Every process has the signal by then, so that none of them sees what is done. The init's alone would not do: it is the init that kills
/// the others, when it comes to run.
///
/// # Errors
/// As [`kill`].
pub fn kill_and(init_pid: u32, bound: Duration, between: impl FnOnce()) -> Result<Killed> {
    let Some(init) = Pidfd::open(init_pid)? else {
        return Ok(Killed {
            ok: true,
            init_pid,
            n_processes: 0,
            duration_us: 0,
        });
    };
    let processes = processes_of(init_pid)?;
    let start = Instant::now();
    init.signal(Signal::KILL)?;
    for pid in &processes {
        if let Some(process) = Pidfd::open(*pid)? {
            process.signal(Signal::KILL)?;
        }
    }
    between();
    let ok = init.wait_until_dead(bound)?;
    Ok(Killed {
        ok,
        init_pid,
        n_processes: processes.len(),
        duration_us: u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX),
    })
}
