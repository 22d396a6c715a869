//! The groups of a run on the host: made before the sandbox, as `/sys` is read-only inside, and removed after it.
//!
//! A group is called `squall-RUN.PID` after the process that keeps it. Whoever makes groups removes those whose keeper is dead first, so that
//! nothing outlives a second run, however the first one died.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::place::{Place, places};
use crate::{Error, Result};

/// What every group of ours begins with.
const PREFIX: &str = "squall-";

/// First pause before a group that is still in use is tried again; it doubles.
const RETRY_MIN: Duration = Duration::from_millis(1);
const RETRY_MAX: Duration = Duration::from_millis(50);

/// How long leftovers of one dead keeper may hold up whoever makes groups: the kernel lets go of its last process in milliseconds.
const LEFTOVER_BOUND: Duration = Duration::from_millis(100);

/// What a group can limit, by the kernel's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Controller {
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
}

/// The version of a hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Version {
    /// A hierarchy per controller.
    V1,
    /// One for all.
    V2,
}

/// The folder of a run's group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Folder {
    /// Of the hierarchy it stands in.
    pub version: Version,
    /// Where.
    pub path: PathBuf,
}

/// The groups of a run, by what they limit, and why others could not be had.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Groups {
    /// Those that were made.
    pub folders: BTreeMap<Controller, Folder>,
    /// What the machine refused, and why.
    pub refused: BTreeMap<Controller, String>,
}

impl Controller {
    /// Every one of them.
    pub const ALL: [Controller; 2] = [Controller::Cpu, Controller::Memory];

    /// The kernel's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Controller::Cpu => "cpu",
            Controller::Memory => "memory",
        }
    }
}

impl Groups {
    /// Makes the groups of a run that is kept by this process, for as many controllers as the machine allows; what dead keepers left is
    /// removed first.
    ///
    /// # Errors
    /// Only if `/proc` does not tell where groups are.
    pub fn create(run: &str) -> Result<Groups> {
        let (v1, v2) = (places(false)?, places(true)?);
        remove_leftovers(&v1, &v2);
        let name = format!("{PREFIX}{run}.{}", std::process::id());
        let mut groups = Groups::default();
        for controller in Controller::ALL {
            match create(controller, &name, &v1, &v2) {
                Ok(folder) => drop(groups.folders.insert(controller, folder)),
                Err(why) => drop(groups.refused.insert(controller, why)),
            }
        }
        Ok(groups)
    }

    /// Removes the groups that dead keepers left, and tells which.
    ///
    /// # Errors
    /// Only if `/proc` does not tell where groups are.
    pub fn remove_leftovers() -> Result<Vec<PathBuf>> {
        Ok(remove_leftovers(&places(false)?, &places(true)?))
    }

    /// Removes the groups and those of the nodes below; what is still in use is tried again until `bound`.
    ///
    /// # Errors
    /// Names the group that is still there.
    pub fn remove(&self, bound: Duration) -> Result<()> {
        let deadline = Instant::now() + bound;
        let paths = self.folders.values().map(|folder| &folder.path);
        paths.map(|path| remove_tree(path, deadline)).fold(Ok(()), Result::and)
    }
}

fn create(controller: Controller, name: &str, v1: &[Place], v2: &[Place]) -> Result<Folder, String> {
    let has = |place: &&Place| place.controllers.split(',').any(|other| other == controller.name());
    if let Some(place) = v1.iter().find(has) {
        let path = place.folder.join(name);
        make(&path)?;
        return Ok(Folder {
            version: Version::V1,
            path,
        });
    }
    let mut why = format!("no hierarchy has the controller `{}`", controller.name());
    // The root of a hierarchy may hold processes and groups, any other group one of both.
    for parent in v2.iter().flat_map(|place| [&place.folder, &place.root]) {
        match create_v2(controller, parent, name) {
            Ok(path) => {
                return Ok(Folder {
                    version: Version::V2,
                    path,
                });
            }
            Err(refused) => why = refused,
        }
    }
    Err(why)
}

fn create_v2(controller: Controller, parent: &Path, name: &str) -> Result<PathBuf, String> {
    let known = fs::read_to_string(parent.join("cgroup.controllers")).unwrap_or_default();
    if !known.split_whitespace().any(|known| known == controller.name()) {
        return Err(format!("no hierarchy has the controller `{}`", controller.name()));
    }
    enable(controller, parent)?;
    let path = parent.join(name);
    make(&path)?;
    // For the nodes' groups below.
    enable(controller, &path).inspect_err(|_| drop(fs::remove_dir(&path)))?;
    Ok(path)
}

fn enable(controller: Controller, group: &Path) -> Result<(), String> {
    let file = group.join("cgroup.subtree_control");
    let enabled = fs::read_to_string(&file).unwrap_or_default();
    if enabled.split_whitespace().any(|name| name == controller.name()) {
        return Ok(());
    }
    fs::write(&file, format!("+{}", controller.name())).map_err(|error| format!("write {}: {error}", file.display()))
}

fn make(path: &Path) -> Result<(), String> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(format!("mkdir {}: {error}", path.display())),
        _ => Ok(()),
    }
}

fn remove_leftovers(v1: &[Place], v2: &[Place]) -> Vec<PathBuf> {
    let parents = v1.iter().map(|place| &place.folder);
    let parents = parents.chain(v2.iter().flat_map(|place| [&place.folder, &place.root]));
    parents.flat_map(|parent| remove_of_the_dead(parent)).collect()
}

fn remove_of_the_dead(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let dead = entries.filter(|entry| entry.file_name().to_str().and_then(keeper).is_some_and(is_dead));
    // A group that is in use after all refuses.
    dead.map(|entry| entry.path())
        .filter(|path| remove_tree(path, Instant::now() + LEFTOVER_BOUND).is_ok())
        .collect()
}

/// The process that keeps a group of this name, if it is one of a run.
fn keeper(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.rsplit_once('.')?.1.parse().ok()
}

/// One that nobody has reaped is dead as well.
fn is_dead(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    // The name may hold anything, so the last parenthesis ends it (proc(5)).
    stat.map_or(true, |stat| {
        stat.rsplit_once(')')
            .is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
    })
}

/// The nodes' groups, then their parent: a group with groups below cannot be removed.
fn remove_tree(path: &Path, deadline: Instant) -> Result<()> {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_tree(&entry.path(), deadline)?;
        }
    }
    let mut pause = RETRY_MIN;
    loop {
        match fs::remove_dir(path) {
            // The kernel lets go of a group a moment after its last process was reaped.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(RETRY_MAX);
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::system(format!("remove the group {}", path.display()))(error));
            }
            _ => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_runs_tell_who_keeps_them() {
        assert_eq!(keeper("squall-20260214T093012Z-quorum-seed7.4711"), Some(4711));
        for other in ["squall-doctor-77", "squall-", "user.slice", "squall-x.y", "other-run.5"] {
            assert_eq!(keeper(other), None, "{other}");
        }
    }

    #[test]
    fn the_groups_of_dead_keepers_go_and_those_of_live_ones_stay() {
        let parent = tempfile::tempdir().unwrap();
        let dead = parent.path().join("squall-run.4194999"); // above the kernel's largest pid, 2^22
        let live = parent.path().join(format!("squall-run.{}", std::process::id()));
        for path in [&dead.join("n1"), &live.join("n1"), &parent.path().join("other")] {
            fs::create_dir_all(path).unwrap();
        }
        assert_eq!(remove_of_the_dead(parent.path()), [dead.as_path()]);
        assert!(!dead.exists() && live.join("n1").exists() && parent.path().join("other").exists());
    }

    #[test]
    fn a_controller_that_no_hierarchy_has_is_refused_by_name() {
        let why = create(Controller::Memory, "squall-x.1", &[], &[]).unwrap_err();
        assert_eq!(why, "no hierarchy has the controller `memory`");
    }

    #[test]
    fn a_version_2_hierarchy_without_controllers_is_as_good_as_none() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("cgroup.controllers"), "hugetlb\n").unwrap();
        let place = Place {
            controllers: String::new(),
            folder: root.path().into(),
            root: root.path().into(),
        };
        let why = create(Controller::Cpu, "squall-x.1", &[], &[place]).unwrap_err();
        assert_eq!(why, "no hierarchy has the controller `cpu`");
    }

    #[test]
    fn in_a_version_2_hierarchy_the_controller_is_enabled_for_the_nodes_groups() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("cgroup.controllers"), "cpu memory\n").unwrap();
        fs::write(root.path().join("cgroup.subtree_control"), "cpu\n").unwrap();
        let path = create_v2(Controller::Cpu, root.path(), "squall-x.1").unwrap();
        assert_eq!(path, root.path().join("squall-x.1"));
        assert_eq!(fs::read_to_string(path.join("cgroup.subtree_control")).unwrap(), "+cpu");
        assert_eq!(fs::read_to_string(root.path().join("cgroup.subtree_control")).unwrap(), "cpu\n");
    }
}
