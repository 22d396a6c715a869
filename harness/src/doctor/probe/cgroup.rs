//! Control groups, both versions: a group `squall-doctor-<pid>` is made below our own, a process joins it, both go away.
//!
//! The one thing a probe makes on the host, because cgroups have no private form; so it is removed here, by the parent (`sweep`) if
//! this process was killed in between, and by the next probe (`remove_of_the_dead`) if the parent was killed too.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};

use super::{Failure, Step, process};

/// 500 ms: the kernel lets go of a group a moment after its last process was reaped.
const REMOVED_WITHIN: Duration = Duration::from_millis(500);

const GROUP_PREFIX: &str = "squall-doctor-";

/// The place in one hierarchy where groups of our own would stand.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// The controllers of the hierarchy (v1), or nothing (v2).
    controllers: String,
    folder: PathBuf,
}

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

/// Our own group in every mounted hierarchy of that version.
fn places(v2: bool) -> Result<Vec<Place>, Failure> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").step("read /proc/self/mountinfo")?;
    let own = fs::read_to_string("/proc/self/cgroup").step("read /proc/self/cgroup")?;
    Ok(parse_places(&mounts, &own, v2))
}

/// Joins the mounts (`mountinfo`: `id parent dev root point options … - type source superoptions`, proc(5)) with our own paths
/// (`cgroup`: `id:controllers:path`, cgroups(7)).
fn parse_places(mountinfo: &str, own: &str, v2: bool) -> Vec<Place> {
    let wanted = if v2 { "cgroup2" } else { "cgroup" };
    let mounts = mountinfo.lines().filter_map(|line| {
        let (front, back) = line.split_once(" - ")?;
        let mut front = front.split(' ').skip(3);
        let (root, point) = (front.next()?, front.next()?);
        let mut back = back.split(' ');
        (back.next()? == wanted).then_some(())?;
        Some((root, point, back.nth(1)?))
    });
    mounts
        .filter_map(|(root, point, options)| {
            let (controllers, path) = own.lines().find_map(|line| own_path(line, options, v2))?;
            // A container shows its own part of the tree as the root of the mount.
            let below = path.strip_prefix(root.trim_end_matches('/')).unwrap_or("").trim_start_matches('/');
            Some(Place {
                controllers: controllers.to_owned(),
                folder: Path::new(point).join(below),
            })
        })
        .collect()
}

/// `line` of /proc/self/cgroup as (controllers, path), if it is the hierarchy whose super options these are.
fn own_path<'a>(line: &'a str, options: &str, v2: bool) -> Option<(&'a str, &'a str)> {
    let mut parts = line.splitn(3, ':');
    let (controllers, path) = (parts.nth(1)?, parts.next()?);
    if v2 {
        return controllers.is_empty().then_some(("", path));
    }
    // A hierarchy with a name and no controller (systemd's own) limits nothing.
    let first = controllers
        .split(',')
        .next()
        .filter(|first| !first.is_empty() && !first.starts_with("name="))?;
    options.split(',').any(|option| option == first).then_some((controllers, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mountinfo: &str, own: &str, v2: bool, expected: &[(&str, &str)]) {
        let found = parse_places(mountinfo, own, v2);
        let found: Vec<_> = found
            .iter()
            .map(|place| (place.controllers.as_str(), place.folder.to_str().unwrap()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn finds_our_own_group_in_a_v2_hierarchy() {
        let mounts = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate";
        check(
            mounts,
            "0::/user.slice/user-1000.slice",
            true,
            &[("", "/sys/fs/cgroup/user.slice/user-1000.slice")],
        );
        check(mounts, "0::/user.slice", false, &[]);
    }

    #[test]
    fn joins_v1_hierarchies_by_controller_and_leaves_out_named_ones() {
        let mounts = "\
            31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
            32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
            33 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd";
        let own = "9:name=systemd:/\n4:memory:/a/b\n2:cpu,cpuacct:/";
        check(
            mounts,
            own,
            false,
            &[
                ("cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct/"),
                ("memory", "/sys/fs/cgroup/memory/a/b"),
            ],
        );
    }

    #[test]
    fn a_container_sees_its_part_of_the_tree_as_the_root() {
        let mounts = "32 30 0:28 /docker/7f /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory";
        check(mounts, "4:memory:/docker/7f/x", false, &[("memory", "/sys/fs/cgroup/memory/x")]);
    }

    #[test]
    fn damaged_lines_are_passed_over() {
        check("nonsense\n1 2 - \n1 2 3 4 5 6 - cgroup", "::\nx\n4:memory", false, &[]);
    }
}
