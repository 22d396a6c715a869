//! Pausing a node: SIGSTOP to every process but its init.
//!
//! SIGSTOP is asynchronous (measured 2 to 31 ms until it shows), and a process may start another between the look at the table and its own
//! stop. So the table is read again until everything in it is stopped, and then once more: what was stopped before that last look has
//! started nothing since, and nobody can be missing from it. The init goes on, so that it can reap and can be killed. The node's network goes
//! on too: its peers see a stall, not a reset.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::processes_of;
use super::table::{has_stopped, is_stopped};
use crate::Result;
use crate::pidfd::Pidfd;

/// First pause between two looks at the table; it doubles.
const LOOK_MIN: Duration = Duration::from_micros(100);
const LOOK_MAX: Duration = Duration::from_millis(5);

/// What stopping or continuing a node did, and its proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paused {
    /// Whether every process was seen to be stopped (or none, after a continue) within the bound, and there was one.
    pub ok: bool,
    /// The processes, by the numbers that we see.
    pub processes: Vec<u32>,
    /// Those that are not as they should be.
    pub unlike: Vec<u32>,
    /// Looks at the process table.
    pub rounds: u32,
    /// From the first signal to the proof.
    pub duration_us: u64,
}

/// Stops every process in the pid namespace of `init_pid` but the init, and waits at most `bound` until all of them show it.
///
/// # Errors
/// If the kernel forbids the signal, or `/proc` cannot be read.
pub fn pause(init_pid: u32, bound: Duration) -> Result<Paused> {
    bring(init_pid, Signal::STOP, is_stopped, bound)
}

/// Continues every process in the pid namespace of `init_pid`, and waits at most `bound` until none shows that it is stopped.
///
/// # Errors
/// If the kernel forbids the signal, or `/proc` cannot be read.
pub fn resume(init_pid: u32, bound: Duration) -> Result<Paused> {
    bring(init_pid, Signal::CONT, |pid| !has_stopped(pid), bound)
}

/// Whether the node has processes and all of them are stopped.
///
/// # Errors
/// If `/proc` cannot be read.
pub fn is_paused(init_pid: u32) -> Result<bool> {
    let processes = processes_of(init_pid)?;
    let stopped = !processes.is_empty() && processes.iter().copied().all(is_stopped);
    Ok(stopped && processes_of(init_pid)? == processes)
}

/// Signals whoever is not as wanted until a look at the table finds nobody; after a stop, until a second look finds the same processes.
fn bring(init_pid: u32, signal: Signal, is_as_wanted: impl Fn(u32) -> bool, bound: Duration) -> Result<Paused> {
    let start = Instant::now();
    let mut pause = LOOK_MIN;
    let mut found_before = None;
    for rounds in 1.. {
        let processes = processes_of(init_pid)?;
        let unlike: Vec<u32> = processes.iter().copied().filter(|pid| !is_as_wanted(*pid)).collect();
        let found = unlike.is_empty() && !processes.is_empty();
        let ok = found && (signal != Signal::STOP || found_before.as_ref() == Some(&processes));
        if ok || start.elapsed() >= bound {
            let duration_us = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
            return Ok(Paused {
                ok,
                processes,
                unlike,
                rounds,
                duration_us,
            });
        }
        send(&unlike, init_pid, signal)?;
        if !found {
            sleep(pause);
            pause = (pause * 2).min(LOOK_MAX);
        }
        found_before = found.then_some(processes);
    }
    unreachable!("a look takes microseconds, so the bound comes before four billion of them")
}

/// Sends the signal to those that still are the node's once they are held by descriptor: a number may have changed hands since the look.
fn send(pids: &[u32], init_pid: u32, signal: Signal) -> Result<()> {
    let mut held = Vec::new();
    for pid in pids {
        held.extend(Pidfd::open(*pid)?.map(|process| (pid, process)));
    }
    let still = processes_of(init_pid)?;
    for (pid, process) in held {
        if still.contains(pid) {
            process.signal(signal)?;
        }
    }
    Ok(())
}
