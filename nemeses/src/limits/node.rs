//! One node's group: its limits, and what the kernel counts in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::groups::{Controller, Folder, Groups, Version};
use crate::{Error, Result};

/// The kernel's own default, 100 ms: a quota is counted within each (Documentation/scheduler/sched-bwc.rst).
const PERIOD_US: u32 = 100_000;

/// A node's groups, one per controller.
#[derive(Clone, Debug)]
pub struct NodeGroup {
    folders: BTreeMap<Controller, Folder>,
}

impl NodeGroup {
    /// Makes the group of a node below those of the run, where they are seen at the same paths.
    ///
    /// # Errors
    /// If a folder cannot be made.
    pub fn create(groups: &Groups, node: &str) -> Result<NodeGroup> {
        let mut folders = BTreeMap::new();
        for (controller, folder) in &groups.folders {
            let path = folder.path.join(node);
            fs::create_dir_all(&path).map_err(Error::system(format!("make the group {}", path.display())))?;
            let version = folder.version;
            folders.insert(*controller, Folder { version, path });
        }
        Ok(NodeGroup { folders })
    }

    /// The files that a process writes `0` into to join.
    #[must_use]
    pub fn doors(&self) -> Vec<PathBuf> {
        self.folders.values().map(|folder| folder.path.join("cgroup.procs")).collect()
    }

    /// The version of the hierarchy that a controller is of, if it is to be had.
    #[must_use]
    pub fn version(&self, controller: Controller) -> Option<Version> {
        self.folders.get(&controller).map(|folder| folder.version)
    }

    /// Limits processor time to so many percent of one processor, or no more.
    ///
    /// # Errors
    /// If the controller is not to be had, or the kernel refuses.
    pub fn limit_cpu(&self, percent: Option<u32>) -> Result<()> {
        let folder = self.folder(Controller::Cpu)?;
        let quota_us = percent.map(|percent| percent.saturating_mul(PERIOD_US / 100).max(1_000));
        match (folder.version, quota_us) {
            (Version::V1, Some(quota_us)) => {
                write(&folder.path, "cpu.cfs_period_us", PERIOD_US)?;
                write(&folder.path, "cpu.cfs_quota_us", quota_us)
            }
            (Version::V1, None) => write(&folder.path, "cpu.cfs_quota_us", -1),
            (Version::V2, Some(quota_us)) => write(&folder.path, "cpu.max", format!("{quota_us} {PERIOD_US}")),
            (Version::V2, None) => write(&folder.path, "cpu.max", format!("max {PERIOD_US}")),
        }
    }

    /// How many periods ended with the group throttled.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn times_throttled(&self) -> Result<u64> {
        let folder = self.folder(Controller::Cpu)?;
        column(&folder.path, "cpu.stat", "nr_throttled")
    }

    /// Limits memory to what is used now and so much more, or no more. Returns the limit, in bytes.
    ///
    /// # Errors
    /// If the controller is not to be had, or the kernel refuses.
    pub fn limit_memory(&self, spare_kib: Option<u32>) -> Result<Option<u64>> {
        let folder = self.folder(Controller::Memory)?;
        let Some(spare_kib) = spare_kib else {
            match folder.version {
                Version::V1 => {
                    // Memory and swap together first: their limit is never below that of memory alone.
                    write_if_there(&folder.path, "memory.memsw.limit_in_bytes", -1)?;
                    write(&folder.path, "memory.limit_in_bytes", -1)?;
                }
                Version::V2 => {
                    write_if_there(&folder.path, "memory.swap.max", "max")?;
                    write(&folder.path, "memory.max", "max")?;
                }
            }
            return Ok(None);
        };
        let used = match folder.version {
            Version::V1 => number(&folder.path, "memory.usage_in_bytes")?,
            Version::V2 => number(&folder.path, "memory.current")?,
        };
        let limit = used + u64::from(spare_kib) * 1024;
        match folder.version {
            Version::V1 => {
                write(&folder.path, "memory.limit_in_bytes", limit)?;
                write_if_there(&folder.path, "memory.memsw.limit_in_bytes", limit)?;
            }
            Version::V2 => {
                write_if_there(&folder.path, "memory.swap.max", 0)?;
                write(&folder.path, "memory.max", limit)?;
            }
        }
        Ok(Some(limit))
    }

    /// How many processes of the group the kernel killed for want of memory.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn times_out_of_memory(&self) -> Result<u64> {
        let folder = self.folder(Controller::Memory)?;
        let file = match folder.version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        };
        column(&folder.path, file, "oom_kill")
    }

    fn folder(&self, controller: Controller) -> Result<&Folder> {
        let found = self.folders.get(&controller);
        found.ok_or_else(|| Error::Unusable(format!("no group limits {} here", controller.name())))
    }
}

fn write(group: &Path, file: &str, value: impl ToString) -> Result<()> {
    let (path, value) = (group.join(file), value.to_string());
    fs::write(&path, &value).map_err(Error::system(format!("write {value} to {}", path.display())))
}

/// For what only a kernel with accounting of swap has.
fn write_if_there(group: &Path, file: &str, value: impl ToString) -> Result<()> {
    if group.join(file).exists() {
        write(group, file, value)
    } else {
        Ok(())
    }
}

fn read(group: &Path, file: &str) -> Result<String> {
    let path = group.join(file);
    fs::read_to_string(&path).map_err(Error::system(format!("read {}", path.display())))
}

fn number(group: &Path, file: &str) -> Result<u64> {
    let text = read(group, file)?;
    let number = text.trim().parse();
    number.map_err(|_| Error::Unusable(format!("{}/{file} holds `{}`, not a number", group.display(), text.trim())))
}

/// The figure of a name in a file of lines `name figure`.
fn column(group: &Path, file: &str, name: &str) -> Result<u64> {
    let text = read(group, file)?;
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    found.ok_or_else(|| Error::Unusable(format!("{}/{file} does not tell `{name}`", group.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node's group in a folder that is none of the kernel's.
    fn group(version: Version, files: &[(&str, &str)]) -> (tempfile::TempDir, NodeGroup) {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().to_owned();
        let folders = Controller::ALL.map(|controller| {
            (
                controller,
                Folder {
                    version,
                    path: path.clone(),
                },
            )
        });
        let groups = Groups {
            folders: folders.into(),
            refused: BTreeMap::new(),
        };
        let node = NodeGroup::create(&groups, "n1").unwrap();
        for (file, text) in files {
            fs::write(path.join("n1").join(file), text).unwrap();
        }
        (root, node)
    }

    fn said(root: &tempfile::TempDir, file: &str) -> String {
        fs::read_to_string(root.path().join("n1").join(file)).unwrap()
    }

    #[test]
    fn processor_time_is_a_quota_per_period_in_both_versions() {
        let (root, v1) = group(Version::V1, &[]);
        v1.limit_cpu(Some(5)).unwrap();
        assert_eq!(
            (said(&root, "cpu.cfs_quota_us"), said(&root, "cpu.cfs_period_us")),
            ("5000".into(), "100000".into())
        );
        v1.limit_cpu(None).unwrap();
        assert_eq!(said(&root, "cpu.cfs_quota_us"), "-1");
        let (root, v2) = group(Version::V2, &[]);
        v2.limit_cpu(Some(150)).unwrap();
        assert_eq!(said(&root, "cpu.max"), "150000 100000");
        v2.limit_cpu(None).unwrap();
        assert_eq!(said(&root, "cpu.max"), "max 100000");
    }

    #[test]
    fn memory_is_limited_above_what_is_used_and_swap_is_no_way_out() {
        let (root, v1) = group(
            Version::V1,
            &[("memory.usage_in_bytes", "4096\n"), ("memory.memsw.limit_in_bytes", "")],
        );
        assert_eq!(v1.limit_memory(Some(8)).unwrap(), Some(12_288));
        assert_eq!(
            (said(&root, "memory.limit_in_bytes"), said(&root, "memory.memsw.limit_in_bytes")),
            ("12288".into(), "12288".into())
        );
        assert_eq!(v1.limit_memory(None).unwrap(), None);
        assert_eq!(said(&root, "memory.limit_in_bytes"), "-1");
        let (root, v2) = group(Version::V2, &[("memory.current", "4096\n"), ("memory.swap.max", "max\n")]);
        v2.limit_memory(Some(8)).unwrap();
        assert_eq!(
            (said(&root, "memory.max"), said(&root, "memory.swap.max")),
            ("12288".into(), "0".into())
        );
    }

    #[test]
    fn reads_what_the_kernel_counts_and_says_where_it_does_not() {
        let (_root, v1) = group(
            Version::V1,
            &[
                ("cpu.stat", "nr_periods 9\nnr_throttled 4\n"),
                ("memory.oom_control", "under_oom 0\noom_kill 2\n"),
            ],
        );
        assert_eq!((v1.times_throttled().unwrap(), v1.times_out_of_memory().unwrap()), (4, 2));
        let (_root, v2) = group(
            Version::V2,
            &[("memory.events", "oom 3\noom_kill 1\n"), ("cpu.stat", "usage_usec 1\n")],
        );
        assert_eq!(v2.times_out_of_memory().unwrap(), 1);
        let why = v2.times_throttled().unwrap_err().to_string();
        assert!(why.ends_with("cpu.stat does not tell `nr_throttled`"), "{why}");
    }

    #[test]
    fn a_controller_that_was_refused_limits_nothing() {
        let node = NodeGroup::create(&Groups::default(), "n1").unwrap();
        assert_eq!(node.limit_cpu(Some(5)).unwrap_err().to_string(), "no group limits cpu here");
        assert!(node.doors().is_empty());
    }
}
