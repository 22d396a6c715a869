//! Pausing a node: SIGSTOP to every process but its init.
//!
//! SIGSTOP is asynchronous (measured 2 to 31 ms until it shows), and a process may start another between the look at the table and its own
//! stop. So the table is read again until everything in it is stopped, and then once more: what was stopped before that last look has
//! started nothing since, and nobody can be missing from it. The init goes on, so that it can reap and can be killed. The node's network goes
//! on too: its peers see a stall, not a reset.
//!
//! One kind of process never shows that it is stopped: the parent of a `vfork` (which `posix_spawn`, and so Rust's and Go's standard
//! libraries, use) sleeps without interruption until its child execs, and a child that was stopped before that does not. The stop
//! has reached such a parent; it cannot run a line before it takes it. So it counts as stopped.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::table::{Process, family, has_stop_pending};
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
    /// From the first look to the proof.
    pub duration_us: u64,
}

/// Stops every process in the pid namespace of `init_pid` but the init, and waits at most `bound` until all of them show it.
///
/// # Errors
/// If the kernel forbids the signal, or `/proc` cannot be read.
pub fn pause(init_pid: u32, bound: Duration) -> Result<Paused> {
    pause_and(init_pid, bound, || ())
}

/// The same, with something that has to be done when nobody runs any more: a process that waits for its disk shows that it is stopped when the
/// disk has answered, and does not see the answer.
///
/// # Errors
/// As [`pause`].
pub fn pause_and(init_pid: u32, bound: Duration, at_rest: impl FnOnce()) -> Result<Paused> {
    bring(init_pid, Signal::STOP, not_stopped, bound, at_rest)
}

/// Continues every process in the pid namespace of `init_pid`, and waits at most `bound` until none shows that it is stopped.
///
/// # Errors
/// If the kernel forbids the signal, or `/proc` cannot be read.
pub fn resume(init_pid: u32, bound: Duration) -> Result<Paused> {
    // To all of them, whatever they show: who has not taken the stop yet would take it afterwards. A continue cancels it.
    send(&pids(&family(init_pid)?), init_pid, Signal::CONT)?;
    bring(init_pid, Signal::CONT, still_stopped, bound, || ())
}

/// Whether the node has processes and all of them are stopped.
///
/// # Errors
/// If `/proc` cannot be read.
pub fn is_paused(init_pid: u32) -> Result<bool> {
    let family_now = family(init_pid)?;
    let stopped = !family_now.is_empty() && not_stopped(&family_now).is_empty();
    Ok(stopped && pids(&family(init_pid)?) == pids(&family_now))
}

/// Signals whoever is not as wanted until a look at the table finds nobody; after a stop, until a second look finds the same processes.
/// `at_rest` is called when a look finds nobody who is neither stopped nor waits for a disk, or at the end.
fn bring(
    init_pid: u32,
    signal: Signal,
    unlike: impl Fn(&[Process]) -> Vec<u32>,
    bound: Duration,
    at_rest: impl FnOnce(),
) -> Result<Paused> {
    let start = Instant::now();
    let mut pause = LOOK_MIN;
    let mut found_before = None;
    let mut at_rest = Some(at_rest);
    for rounds in 1.. {
        let family = family(init_pid)?;
        let (processes, unlike) = (pids(&family), unlike(&family));
        if rounds > 1 && family.iter().all(is_at_rest) {
            at_rest.take().into_iter().for_each(|act| act());
        }
        let found = unlike.is_empty() && !processes.is_empty();
        let ok = found && (signal != Signal::STOP || found_before.as_ref() == Some(&processes));
        if ok || start.elapsed() >= bound {
            at_rest.take().into_iter().for_each(|act| act());
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
fn send(to: &[u32], init_pid: u32, signal: Signal) -> Result<()> {
    let mut held = Vec::new();
    for pid in to {
        held.extend(Pidfd::open(*pid)?.map(|process| (pid, process)));
    }
    let still = pids(&family(init_pid)?);
    for (pid, process) in held {
        if still.contains(pid) {
            process.signal(signal)?;
        }
    }
    Ok(())
}

fn pids(family: &[Process]) -> Vec<u32> {
    family.iter().map(|process| process.pid).collect()
}

/// Whether none of its threads runs a line before its disk answers: each is stopped, or waits and cannot be woken by a signal.
fn is_at_rest(process: &Process) -> bool {
    process.states.iter().all(|state| is_stop(*state) || *state == 'D')
}

/// Processes that may still run a line.
fn not_stopped(family: &[Process]) -> Vec<u32> {
    let mut still: Vec<u32> = family
        .iter()
        .filter(|process| process.states.iter().all(|state| is_stop(*state)))
        .map(|process| process.pid)
        .collect();
    // A parent that waits for such a parent is one too.
    while let Some(parent) = family
        .iter()
        .find(|process| !still.contains(&process.pid) && waits_for_stopped_child(process, family, &still))
    {
        still.push(parent.pid);
    }
    family
        .iter()
        .map(|process| process.pid)
        .filter(|pid| !still.contains(pid))
        .collect()
}

/// A process in `vfork`: the stop has reached it, and what does not show it sleeps without interruption.
fn waits_for_stopped_child(process: &Process, family: &[Process], still: &[u32]) -> bool {
    let has_stopped_child = family.iter().any(|child| child.parent == process.pid && still.contains(&child.pid));
    let nothing_runs = process.states.iter().all(|state| is_stop(*state) || *state == 'D');
    let was_reached = || process.states.iter().any(|state| is_stop(*state)) || has_stop_pending(process.pid);
    has_stopped_child && nothing_runs && was_reached()
}

fn still_stopped(family: &[Process]) -> Vec<u32> {
    family
        .iter()
        .filter(|process| process.states.iter().any(|state| is_stop(*state)))
        .map(|process| process.pid)
        .collect()
}

/// Stopped by a signal, or by a tracer.
fn is_stop(state: char) -> bool {
    matches!(state, 'T' | 't')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, parent: u32, states: &str) -> Process {
        Process {
            pid,
            parent,
            states: states.chars().collect(),
        }
    }

    #[test]
    fn every_thread_must_be_stopped() {
        assert_eq!(
            not_stopped(&[process(10, 1, "TTt"), process(11, 1, "TS"), process(12, 1, "R")]),
            [11, 12]
        );
        assert_eq!(still_stopped(&[process(10, 1, "TS"), process(11, 1, "SR")]), [10]);
    }

    #[test]
    fn the_parent_of_a_stopped_vfork_child_counts_as_stopped() {
        let vfork = [process(10, 1, "TD"), process(11, 10, "TD"), process(12, 11, "T")];
        assert!(not_stopped(&vfork).is_empty());
        let disk = [process(10, 1, "TD"), process(12, 11, "T")];
        assert_eq!(not_stopped(&disk), [10], "sleeps for another reason, and will stop by itself");
        let child_runs = [process(10, 1, "TD"), process(11, 10, "R")];
        assert_eq!(not_stopped(&child_runs), [10, 11]);
        let never_reached = [process(u32::MAX, 1, "D"), process(11, u32::MAX, "T")];
        assert_eq!(not_stopped(&never_reached), [u32::MAX]);
    }
}
