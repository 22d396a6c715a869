//! A limit on the file descriptors of a running node: prlimit(2) on each of its processes.
//!
//! `RLIMIT_NOFILE` bounds the numbers of descriptors, not how many are open. So the limit is the number below which just so many are
//! free, per process; what is open stays open. Only the soft limit is lowered, as the hard one could not be raised again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde::{Deserialize, Serialize};

use crate::process::processes_of;
use crate::{Error, Result};

/// The limits of a node's processes before they were lowered, to be given back.
#[derive(Debug, Default)]
pub struct Descriptors {
    before: BTreeMap<u32, Option<u64>>,
}

/// What was done to a node's limits, and what `/proc` then showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DescriptorLimits {
    /// Whether every process has the limit that was set, with at most so many free descriptors below it, and there is a process.
    pub ok: bool,
    /// What each may still open; none: the limits were given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spare: Option<u32>,
    /// The soft limit of each process, by the number that we see.
    pub soft: BTreeMap<u32, u64>,
}

impl Descriptors {
    /// Lets every process of the node open `spare` descriptors more, or as many as before.
    ///
    /// # Errors
    /// If the kernel refuses for another reason than that a process has ended.
    pub fn limit(&mut self, init_pid: u32, spare: Option<u32>) -> Result<DescriptorLimits> {
        let mut soft = BTreeMap::new();
        let mut ok = true;
        for pid in processes_of(init_pid)? {
            let Some(open) = open_descriptors(pid) else { continue };
            let Some(wanted) = self.wanted(pid, &open, spare) else { continue };
            if !set(pid, wanted)? {
                continue; // it ended
            }
            let Some(shown) = shown_limit(pid) else { continue };
            let free = |limit: u64| (0..limit).filter(|number| !open.contains(number)).count() as u64;
            ok &= shown == wanted.unwrap_or(u64::MAX) && spare.is_none_or(|spare| free(shown) <= u64::from(spare));
            soft.insert(pid, shown);
        }
        if spare.is_none() {
            self.before.clear();
        }
        Ok(DescriptorLimits {
            ok: ok && !soft.is_empty(),
            spare,
            soft,
        })
    }

    /// The soft limit that a process is to get; `None` if it has ended. One that was never lowered, having been started by one that was, gets what
    /// its siblings get.
    fn wanted(&mut self, pid: u32, open: &BTreeSet<u64>, spare: Option<u32>) -> Option<Option<u64>> {
        let Rlimit { current, .. } = limits_of(pid)?;
        Some(match spare {
            Some(spare) => {
                self.before.entry(pid).or_insert(current);
                Some(limit_with_spare(open, spare))
            }
            None => *self.before.get(&pid).or_else(|| self.before.values().next()).unwrap_or(&current),
        })
    }
}

/// The number below which just `spare` are free.
fn limit_with_spare(open: &BTreeSet<u64>, spare: u32) -> u64 {
    let mut free = (0..).filter(|number| !open.contains(number));
    free.nth(spare as usize).expect("there are more numbers than descriptors")
}

/// `None` if it has ended.
fn open_descriptors(pid: u32) -> Option<BTreeSet<u64>> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    Some(
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect(),
    )
}

/// Sets the soft limit; `false` if the process has ended.
fn set(pid: u32, soft: Option<u64>) -> Result<bool> {
    let (Some(process), Some(Rlimit { maximum, .. })) = (i32::try_from(pid).ok().and_then(Pid::from_raw), limits_of(pid)) else {
        return Ok(false);
    };
    match prlimit(Some(process), Resource::Nofile, Rlimit { current: soft, maximum }) {
        Ok(_) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(error) => Err(Error::system(format!("limit the descriptors of process {pid}"))(error)),
    }
}

/// The soft limit that `/proc` shows; the largest number if there is none.
fn shown_limit(pid: u32) -> Option<u64> {
    limits_of(pid).map(|limits| limits.current.unwrap_or(u64::MAX))
}

/// `None` if it has ended.
fn limits_of(pid: u32) -> Option<Rlimit> {
    parse_limits(&fs::read_to_string(format!("/proc/{pid}/limits")).ok()?)
}

/// The line `Max open files` of `/proc/PID/limits`: soft, hard; no limit is `unlimited`.
fn parse_limits(text: &str) -> Option<Rlimit> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let mut words = line.split_whitespace();
    let mut limit = || match words.next()? {
        "unlimited" => Some(None),
        number => number.parse().ok().map(Some),
    };
    Some(Rlimit {
        current: limit()?,
        maximum: limit()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_leaves_just_so_many_numbers_free() {
        let open = BTreeSet::from([0, 1, 2, 5, 6]);
        assert_eq!([0, 1, 2, 3, 4].map(|spare| limit_with_spare(&open, spare)), [3, 4, 7, 8, 9]);
        assert_eq!(limit_with_spare(&BTreeSet::new(), 0), 0);
    }

    #[test]
    fn reads_the_kernels_table_of_limits() {
        let table =
            "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 unlimited            files     \n";
        let limits = parse_limits(table).unwrap();
        assert_eq!((limits.current, limits.maximum), (Some(1024), None));
        assert!(parse_limits("Max processes 1 1").is_none() && parse_limits("Max open files x y").is_none());
    }
}
