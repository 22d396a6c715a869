//! Where groups of our own can stand: below our own group in every mounted hierarchy, and at the root of a version 2 one.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// The place in one hierarchy where groups of our own would stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The controllers of the hierarchy, separated by commas (version 1), or nothing (version 2).
    pub controllers: String,
    /// Our own group.
    pub folder: PathBuf,
    /// Where the hierarchy is mounted.
    pub root: PathBuf,
}

/// Our own group in every mounted hierarchy of that version.
///
/// # Errors
/// If `/proc` does not tell.
pub fn places(v2: bool) -> Result<Vec<Place>> {
    let read = |path: &str| fs::read_to_string(path).map_err(Error::system(format!("read {path}")));
    Ok(parse_places(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?, v2))
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
                root: point.into(),
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
