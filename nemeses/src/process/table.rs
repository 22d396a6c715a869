//! The kernel's process table, as far as `/proc` shows it (`man 5 proc`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use crate::{Error, Result};

/// Numbers, as we see them, of every live process in the pid namespace whose pid 1 is `init_pid`, that one left out.
///
/// A process belongs to it if it descends from the init (whoever loses a parent inside is adopted by the init, and namespaces made inside have
/// their first process there), or if it entered the namespace from outside.
///
/// # Errors
/// If `/proc` cannot be read. An init that is gone has no processes.
pub fn processes_of(init_pid: u32) -> Result<Vec<u32>> {
    Ok(family(init_pid)?.into_iter().map(|process| process.pid).collect())
}

/// A live process of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) parent: u32,
    /// State letters of its live threads, at least one. A process lives on in its threads when the first of them has ended and shows as a
    /// zombie.
    pub(super) states: Vec<char>,
}

/// What [`processes_of`] numbers, by number.
pub(super) fn family(init_pid: u32) -> Result<Vec<Process>> {
    let parents = read_parents()?;
    let namespace = namespace_of(init_pid);
    let mut inside = BTreeSet::from([init_pid]);
    loop {
        let belongs = |pid: u32, parent: u32| inside.contains(&parent) || (namespace.is_some() && namespace_of(pid) == namespace);
        let found: Vec<u32> = parents
            .iter()
            .filter(|(pid, parent)| !inside.contains(pid) && belongs(**pid, **parent))
            .map(|(pid, _)| *pid)
            .collect();
        if found.is_empty() {
            break;
        }
        inside.extend(found);
    }
    inside.remove(&init_pid);
    let live = inside.into_iter().map(|pid| Process {
        pid,
        parent: parents[&pid],
        states: live_states(pid),
    });
    Ok(live.filter(|process| !process.states.is_empty()).collect())
}

/// Whether a stop signal has been sent to a process that has not taken it yet.
pub(super) fn has_stop_pending(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(is_pending_stop)
}

/// `ShdPnd: 0000000000040000`: signals sent to the process (or, `SigPnd`, to its first thread), bit n-1 for signal n.
fn is_pending_stop(line: &str) -> bool {
    let mask = line.strip_prefix("ShdPnd:").or_else(|| line.strip_prefix("SigPnd:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & (1 << (libc::SIGSTOP - 1)) != 0)
}

/// Every process with its parent.
fn read_parents() -> Result<BTreeMap<u32, u32>> {
    let fail = || "list the processes in /proc";
    let mut parents = BTreeMap::new();
    for folder in fs::read_dir("/proc").map_err(Error::system(fail()))? {
        let name = folder.map_err(Error::system(fail()))?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process that ended in between has no line any more.
        if let Some(stat) = fs::read_to_string(format!("/proc/{pid}/stat")).ok().as_deref().and_then(parse_stat) {
            parents.insert(pid, stat.parent);
        }
    }
    Ok(parents)
}

/// The part of a line of `/proc/PID/stat` that matters here.
struct Stat {
    state: char,
    parent: u32,
}

/// `123 (any) name)) S 1 …`: the name may hold anything, so the last parenthesis ends it.
fn parse_stat(line: &str) -> Option<Stat> {
    let mut fields = line.rsplit_once(')')?.1.split_whitespace();
    Some(Stat {
        state: fields.next()?.chars().next()?,
        parent: fields.next()?.parse().ok()?,
    })
}

/// `None` if it is gone or hidden from us; then descent alone decides.
fn namespace_of(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}

fn live_states(pid: u32) -> Vec<char> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lines = threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
    let states = lines.filter_map(|line| parse_stat(&line)).map(|stat| stat.state);
    states.filter(|state| !matches!(state, 'Z' | 'X' | 'x')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_process_whose_name_is_hostile() {
        let stat = parse_stat("42 (evil) T 1 (x)) R 7 42 42 0").unwrap();
        assert_eq!((stat.state, stat.parent), ('R', 7));
        for garbage in ["", "42", "42 (x)", "42 (x) S", "42 (x) S one"] {
            assert!(parse_stat(garbage).is_none(), "{garbage:?}");
        }
    }

    #[test]
    fn this_process_is_alive() {
        assert!(read_parents().unwrap().contains_key(&std::process::id()));
        assert!(!live_states(std::process::id()).is_empty());
        assert!(live_states(0).is_empty(), "there is no such process");
    }

    #[test]
    fn sees_a_pending_stop_among_other_signals() {
        assert!(is_pending_stop("ShdPnd:\t0000000000040000") && is_pending_stop("SigPnd:\t0000000000044100"));
        for line in [
            "ShdPnd:\t0000000000020000",
            "SigBlk:\t0000000000040000",
            "ShdPnd:\tx",
            "Name:\tShdPnd",
        ] {
            assert!(!is_pending_stop(line), "{line}");
        }
    }
}
