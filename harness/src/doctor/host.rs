//! The settings of this machine that explain refusals. Nothing here decides whether something works: the probes do.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What was read; `None` where this kernel has no such setting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Release of the running kernel, for example `6.18.44`.
    pub kernel: String,
    /// Effective user id.
    pub euid: u32,
    /// Which packages have which names.
    pub distribution: Distribution,
    /// `docker`, `podman`, `lxc`, `kubernetes` or another name, if this looks like a container.
    pub container: Option<String>,
    /// True if a seccomp filter sits on this process (`Seccomp: 2` in /proc/self/status).
    pub seccomp_filter: bool,
    /// True if / is no mount point, as in a chroot: the kernel then refuses user namespaces.
    pub chrooted: bool,
    /// True if modules for this kernel are installed.
    pub has_modules: bool,
    /// Places below /proc that something is mounted over.
    pub covered_proc: Vec<String>,
    /// `kernel.apparmor_restrict_unprivileged_userns` (Ubuntu 23.10 and later).
    pub apparmor_restricts_userns: Option<u64>,
    /// `kernel.unprivileged_userns_clone` (older Debian, hardened kernels).
    pub unprivileged_userns_clone: Option<u64>,
    /// `user.max_user_namespaces`.
    pub max_user_namespaces: Option<u64>,
    /// `kernel.yama.ptrace_scope`.
    pub ptrace_scope: Option<u64>,
    /// The path of this program, for a rule that names it.
    pub exe: String,
}

/// Families of distributions that share package names and a package manager.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// Debian and derivatives but Ubuntu.
    Debian,
    /// Ubuntu and derivatives.
    Ubuntu,
    /// Fedora, RHEL and derivatives.
    Fedora,
    /// Alpine.
    Alpine,
    /// Arch and derivatives.
    Arch,
    /// Any other.
    #[default]
    Other,
}

impl Host {
    /// Reads the settings; a file that cannot be read is a setting that this machine does not have.
    pub fn read() -> Host {
        let status = text("/proc/self/status");
        let mounts = mount_points(&text("/proc/self/mountinfo"));
        let kernel = text("/proc/sys/kernel/osrelease").trim().to_owned();
        Host {
            euid: nix::unistd::geteuid().as_raw(),
            distribution: distribution(&text("/etc/os-release")),
            container: container(),
            seccomp_filter: status
                .lines()
                .any(|line| line.strip_prefix("Seccomp:").is_some_and(|mode| mode.trim() == "2")),
            chrooted: !mounts.iter().any(|point| point == "/"),
            has_modules: ["/lib/modules", "/usr/lib/modules"]
                .iter()
                .any(|folder| Path::new(folder).join(&kernel).join("kernel").exists()),
            covered_proc: mounts.into_iter().filter(|point| is_covering_proc(point)).collect(),
            apparmor_restricts_userns: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            unprivileged_userns_clone: number("/proc/sys/kernel/unprivileged_userns_clone"),
            max_user_namespaces: number("/proc/sys/user/max_user_namespaces"),
            ptrace_scope: number("/proc/sys/kernel/yama/ptrace_scope"),
            exe: std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default(),
            kernel,
        }
    }

    /// True if the effective user is root, here or in an inner user namespace.
    pub fn is_root(&self) -> bool {
        self.euid == 0
    }
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn number(path: &str) -> Option<u64> {
    text(path).trim().parse().ok()
}

/// The fifth field of every line (proc_pid_mountinfo(5)).
fn mount_points(mountinfo: &str) -> Vec<String> {
    mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(str::to_owned)
        .collect()
}

/// binfmt_misc is an ordinary mount below /proc; it covers an empty folder, which the kernel allows.
fn is_covering_proc(point: &str) -> bool {
    point.starts_with("/proc/") && point != "/proc/sys/fs/binfmt_misc"
}

fn distribution(os_release: &str) -> Distribution {
    let field = |name: &str| {
        os_release
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_default()
            .replace('"', "")
    };
    let names = format!("{} {}", field("ID="), field("ID_LIKE="));
    let known = |name: &str| match name {
        "ubuntu" => Some(Distribution::Ubuntu),
        "debian" => Some(Distribution::Debian),
        "fedora" | "rhel" | "centos" => Some(Distribution::Fedora),
        "alpine" => Some(Distribution::Alpine),
        "arch" => Some(Distribution::Arch),
        _ => None,
    };
    names.split_whitespace().find_map(known).unwrap_or_default()
}

/// The inode of the first pid namespace (`PROC_PID_INIT_INO` in `include/linux/proc_ns.h`).
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// The marks that container engines leave: files of Docker and Podman, the variable of systemd-nspawn and LXC, the cgroup path. They
/// count only outside the machine's first pid namespace: a virtual machine may well boot a root folder that was made for Docker.
fn container() -> Option<String> {
    if fs::read_link("/proc/self/ns/pid").is_ok_and(|namespace| namespace.as_os_str() == FIRST_PID_NAMESPACE) {
        return None;
    }
    if Path::new("/.dockerenv").exists() {
        return Some("docker".to_owned());
    }
    if Path::new("/run/.containerenv").exists() {
        return Some("podman".to_owned());
    }
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        return Some("kubernetes".to_owned());
    }
    if let Ok(name) = std::env::var("container") {
        return Some(name.chars().filter(char::is_ascii_alphanumeric).take(20).collect());
    }
    let cgroup = text("/proc/self/cgroup");
    [
        ("docker", "docker"),
        ("libpod", "podman"),
        ("kubepods", "kubernetes"),
        ("lxc", "lxc"),
    ]
    .iter()
    .find(|(mark, _)| cgroup.contains(mark))
    .map(|(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_distribution_or_its_parent() {
        assert_eq!(distribution("NAME=\"Debian GNU/Linux\"\nID=debian\n"), Distribution::Debian);
        assert_eq!(distribution("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"), Distribution::Ubuntu);
        assert_eq!(distribution("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"), Distribution::Fedora);
        assert_eq!(distribution(""), Distribution::Other);
    }

    #[test]
    fn finds_what_covers_proc() {
        let mountinfo =
            "22 1 8:1 / / rw - ext4 /dev/vda rw\n23 22 0:5 / /proc rw - proc proc rw\n24 23 0:6 /null /proc/kcore rw - devtmpfs d rw";
        let points = mount_points(mountinfo);
        assert_eq!(points, ["/", "/proc", "/proc/kcore"]);
        assert_eq!(points.iter().filter(|point| is_covering_proc(point)).count(), 1);
    }
}
