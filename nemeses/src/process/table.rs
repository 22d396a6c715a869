//! The kernel's process table, as far as `/proc` shows it (`man 5 proc`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use crate::{Error, Result};

/// Numbers, as we see them, of every process in the pid namespace whose pid 1 is `init_pid`, that one left out and zombies too.
///
/// A process belongs to it if it descends from the init (whoever loses a parent inside is adopted by the init, and namespaces made inside have
/// their first process there), or if it entered the namespace from outside.
///
/// # Errors
/// If `/proc` cannot be read. An init that is gone has no processes.
pub fn processes_of(init_pid: u32) -> Result<Vec<u32>> {
    let table = read_table()?;
    let namespace = namespace_of(init_pid);
    let mut inside = BTreeSet::from([init_pid]);
    loop {
        let belongs = |pid: u32, parent: u32| inside.contains(&parent) || (namespace.is_some() && namespace_of(pid) == namespace);
        let found: Vec<u32> = table
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
    Ok(inside.into_iter().filter(|pid| !live_states(*pid).is_empty()).collect())
}

/// Whether a process lives and every thread of it is stopped.
pub(super) fn is_stopped(pid: u32) -> bool {
    let states = live_states(pid);
    !states.is_empty() && states.into_iter().all(means_stopped)
}

/// Whether any thread of a process is stopped.
pub(super) fn has_stopped(pid: u32) -> bool {
    live_states(pid).into_iter().any(means_stopped)
}

/// The part of a line of `/proc/PID/stat` that matters here.
struct Stat {
    state: char,
    parent: u32,
}

/// Every process with its parent.
fn read_table() -> Result<BTreeMap<u32, u32>> {
    let fail = || "list the processes in /proc";
    let mut table = BTreeMap::new();
    for folder in fs::read_dir("/proc").map_err(Error::system(fail()))? {
        let name = folder.map_err(Error::system(fail()))?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process that ended in between has no line any more.
        if let Some(stat) = fs::read_to_string(format!("/proc/{pid}/stat")).ok().as_deref().and_then(parse_stat) {
            table.insert(pid, stat.parent);
        }
    }
    Ok(table)
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

/// The states of the threads that still run. A process lives on in its threads when the first of them has ended and shows as a zombie.
fn live_states(pid: u32) -> Vec<char> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lines = threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
    let states = lines.filter_map(|line| parse_stat(&line)).map(|stat| stat.state);
    states.filter(|state| !matches!(state, 'Z' | 'X' | 'x')).collect()
}

fn means_stopped(state: char) -> bool {
    matches!(state, 'T' | 't')
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
    fn this_process_is_alive_and_not_stopped() {
        let own = std::process::id();
        assert!(read_table().unwrap().contains_key(&own));
        assert!(!is_stopped(own) && !has_stopped(own));
        assert!(!is_stopped(0) && !has_stopped(0), "there is no such process");
    }
}
