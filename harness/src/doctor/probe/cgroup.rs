//! Control groups, both versions: a group `squall-doctor-<pid>` is made below our own, a process joins it, both go away.
//!
//! The one thing a probe makes on the host, because cgroups have no private form; so it is removed here, by the parent (`sweep`) if
//! this process was killed in between, and by the next probe (`remove_of_the_dead`) if the parent was killed too.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use squall_nemeses::limits::place::places;

use super::{Failure, Step, process};

/// 500 ms: the kernel lets go of a group a moment after its last process was reaped.
const REMOVED_WITHIN: Duration = Duration::from_millis(500);

const GROUP_PREFIX: &str = "squall-doctor-";

pub(super) fn v1() -> Result<String, Failure> {
    let places = places(false)?;
    if places.is_empty() {
        return Err(Failure::absent("a mounted cgroup v1 hierarchy"));
    }
    let tried: Vec<_> = places.iter().map(|place| (place, try_place(&place.folder))).collect();
    let working: Vec<_> = tried
        .iter()
        .filter(|(_, result)| result.is_ok())
        .map(|(place, _)| place.controllers.as_str())
        .collect();
    match tried.iter().find_map(|(_, result)| result.as_ref().err()) {
        Some(failure) if working.is_empty() => Err(failure.clone()),
        _ => Ok(working.join(" ")),
    }
}

pub(super) fn v2() -> Result<String, Failure> {
    let places = places(true)?;
    let Some(place) = places.first() else {
        return Err(Failure::absent("a mounted cgroup v2 hierarchy"));
    };
    try_place(&place.folder)?;
    let controllers = fs::read_to_string(place.folder.join("cgroup.controllers")).step("read cgroup.controllers")?;
    let controllers = controllers.trim();
    Ok(if controllers.is_empty() {
        "freeze and kill only: no controllers".to_owned()
    } else {
        controllers.to_owned()
    })
}

/// Removes what the probe of process `pid` may have left behind, in every hierarchy. Finding nothing is the usual case.
pub(in crate::doctor) fn sweep(pid: u32) {
    for v2 in [false, true] {
        for place in places(v2).unwrap_or_default() {
            let folder = group(&place.folder, pid);
            if folder.exists() {
                let _ = remove(&folder);
            }
        }
    }
}

fn group(folder: &Path, pid: u32) -> PathBuf {
    folder.join(format!("{GROUP_PREFIX}{pid}"))
}

fn try_place(folder: &Path) -> Result<(), Failure> {
    let group = group(folder, std::process::id());
    remove_of_the_dead(folder);
    fs::create_dir(&group).step(&format!("mkdir in {}", folder.display()))?;
    let joined = join(&group);
    let removed = remove(&group).step(&format!("rmdir {}", group.display()));
    joined.and(removed)
}

fn remove_of_the_dead(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name
            .to_str()
            .and_then(|name| name.strip_prefix(GROUP_PREFIX))
            .and_then(|pid| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            // One try: a group that is in use after all refuses.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// Moving a process is what needs a delegated subtree: making a folder alone proves too little.
fn join(group: &Path) -> Result<(), Failure> {
    let sleeper = process::start_sleeper()?;
    let joined = inherit_cpus(group)
        .and_then(|()| fs::write(group.join("cgroup.procs"), sleeper.pid().to_string()))
        .step(&format!("move a process into {}", group.display()));
    let _ = kill(sleeper.pid(), Signal::SIGKILL);
    sleeper.wait()?;
    joined
}

/// A new group of the v1 cpuset hierarchy has no CPU and takes no process until it is given some.
fn inherit_cpus(group: &Path) -> std::io::Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let (own, parent) = (group.join(file), group.with_file_name(file));
        if own.exists() && fs::read_to_string(&own)?.trim().is_empty() && parent.exists() {
            fs::write(own, fs::read_to_string(parent)?)?;
        }
    }
    Ok(())
}

fn remove(group: &Path) -> std::io::Result<()> {
    let started = Instant::now();
    loop {
        match fs::remove_dir(group) {
            Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) && started.elapsed() < REMOVED_WITHIN => {
                std::thread::yield_now()
            }
            other => return other,
        }
    }
}
