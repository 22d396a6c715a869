//! From a failed probe and the settings of the machine to a reason and commands that are ready to paste. Pure.
//!
//! Main decision: the failed step and its error number choose the branch, and a setting is named only if its value explains that
//! failure. What is *absent*: advice that the caller already follows (no `sudo` for root, no "run as root" for root). Sources: the
//! table "where it fails, and how to say so" of our fault study (Ubuntu: actions/runner-images #10443; containers: Docker manual,
//! "Seccomp security profiles"), user_namespaces(7), namespaces(7).

use nix::errno::Errno;

use super::host::Host;
use super::mechanism::Mechanism;
use super::packages::{self, extra_module, modules, newer_kernel};
use super::probe::{Failure, MOUNT_PROC, Stage};
use super::report::Mend;

/// Why a mechanism does not work, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Explanation {
    pub(super) reason: String,
    /// The mechanism whose failure kept this one from being tried: one cause, one mend, at that one's line.
    pub(super) blocked_by: Option<Mechanism>,
    /// Empty if nothing known helps.
    pub(super) mends: Vec<Mend>,
}

const ROOT_NEEDS_NONE: &str = "or as root, who can do without";

/// Explains one failure.
pub(super) fn explain(mechanism: Mechanism, failure: &Failure, host: &Host) -> Explanation {
    if let Some(blocker) = blocker(mechanism, failure) {
        return Explanation {
            reason: format!("not tried: needs {}", blocker.name()),
            blocked_by: Some(blocker),
            mends: Vec::new(),
        };
    }
    let (reason, mends) = match failure.stage {
        Stage::TimedOut => (format!("timed out: {}", failure.step), Vec::new()),
        Stage::NoAnswer => (format!("the probe gave no answer: {}", cause(failure)), Vec::new()),
        Stage::Absent => (format!("{} is missing", failure.step), packages::absent(mechanism, host)),
        Stage::Enter | Stage::Refused => (cause(failure), refused(mechanism, failure, host)),
    };
    Explanation {
        reason,
        blocked_by: None,
        mends,
    }
}

fn blocker(mechanism: Mechanism, failure: &Failure) -> Option<Mechanism> {
    if failure.stage == Stage::Enter {
        return Some(Mechanism::UserNamespace);
    }
    (failure.step == MOUNT_PROC && mechanism != Mechanism::PidNamespace).then_some(Mechanism::PidNamespace)
}

/// What failed, the error's name and text, and what was said about it.
fn cause(failure: &Failure) -> String {
    let mut text = failure.step.clone();
    if let Some(errno) = failure.errno {
        let errno = Errno::from_raw(errno);
        text += &format!(": {} ({errno:?})", errno.desc());
    }
    if !failure.said.is_empty() {
        text += &format!(": {}", failure.said);
    }
    text
}

fn refused(mechanism: Mechanism, failure: &Failure, host: &Host) -> Vec<Mend> {
    let errno = failure.errno.map(Errno::from_raw);
    if let (Some(Errno::ENOSPC | Errno::EUSERS), Some(kind)) = (errno, namespace_kind(&failure.step)) {
        let mut mends = vec![namespace_limit(kind, host)];
        if mechanism == Mechanism::UserNamespace {
            mends.extend(as_root(ROOT_NEEDS_NONE, host));
        }
        return mends;
    }
    let forbidden = matches!(errno, Some(Errno::EPERM | Errno::EACCES | Errno::EROFS));
    let unknown = matches!(
        errno,
        Some(Errno::ENOSYS | Errno::EINVAL | Errno::ENOENT | Errno::EOPNOTSUPP | Errno::ENODEV | Errno::ENOPROTOOPT)
    );
    match mechanism {
        Mechanism::UserNamespace if forbidden || errno == Some(Errno::ENOSYS) => user_namespace(host),
        Mechanism::UserNamespace => as_root("this kernel has no user namespaces (CONFIG_USER_NS); root needs none", host),
        // Only a fall-back: what helps stands at the user namespace.
        Mechanism::PlainNamespaces => Vec::new(),
        Mechanism::PidNamespace if failure.step == MOUNT_PROC && forbidden => covered_proc(host),
        Mechanism::Tun if forbidden => device("/dev/net/tun", host),
        Mechanism::Fuse if forbidden && failure.step.starts_with("open") => device("/dev/fuse", host),
        Mechanism::Ptrace if forbidden => ptrace(host),
        Mechanism::CgroupV1 | Mechanism::CgroupV2 => cgroup(mechanism, failure, forbidden, host),
        Mechanism::ReadOnlyTree if errno == Some(Errno::ENOSYS) && !host.seccomp_filter => newer_kernel("mount_setattr", "5.12", host),
        Mechanism::Pidfd if errno == Some(Errno::ENOSYS) && !host.seccomp_filter => newer_kernel("pidfds", "5.3", host),
        Mechanism::TimeNamespace if errno == Some(Errno::EINVAL) => newer_kernel("time namespaces", "5.6", host),
        Mechanism::IptablesLegacy => modules("CONFIG_IP_NF_FILTER", &["ip_tables", "iptable_filter"], host),
        Mechanism::IptablesNft => modules("CONFIG_NFT_COMPAT", &["nf_tables", "nft_compat"], host),
        Mechanism::Nfqueue => modules("CONFIG_NETFILTER_XT_TARGET_NFQUEUE", &["xt_NFQUEUE", "nfnetlink_queue"], host),
        Mechanism::Nftables => modules("CONFIG_NF_TABLES", &["nf_tables"], host),
        Mechanism::Nat => modules("CONFIG_NF_NAT", &["nf_nat", "xt_nat", "xt_statistic", "nf_conntrack_netlink"], host),
        Mechanism::Vxlan if unknown => modules("CONFIG_VXLAN", &["vxlan"], host),
        Mechanism::Veth if unknown => modules("CONFIG_VETH", &["veth"], host),
        Mechanism::Tun if unknown => modules("CONFIG_TUN", &["tun"], host),
        Mechanism::Fuse if unknown => modules("CONFIG_FUSE_FS", &["fuse"], host),
        Mechanism::Netem if unknown => extra_module("CONFIG_NET_SCH_NETEM", "sch_netem", host),
        Mechanism::Tbf if unknown => extra_module("CONFIG_NET_SCH_TBF", "sch_tbf", host),
        Mechanism::Htb if unknown => extra_module("CONFIG_NET_SCH_HTB", "sch_htb", host),
        Mechanism::Clsact if unknown => extra_module("CONFIG_NET_SCH_INGRESS", "sch_ingress", host),
        _ if forbidden && host.seccomp_filter => container_flags("a seccomp filter refuses it (the default profile of containers)", host),
        _ => Vec::new(),
    }
}

/// `unshare(NEWNET)` is about `net`.
fn namespace_kind(step: &str) -> Option<&'static str> {
    match step {
        "unshare(NEWUSER)" => Some("user"),
        "unshare(NEWNS)" => Some("mnt"),
        "unshare(NEWNET)" => Some("net"),
        "unshare(NEWPID)" => Some("pid"),
        "unshare(NEWUTS)" => Some("uts"),
        "unshare(NEWIPC)" => Some("ipc"),
        "unshare(NEWTIME)" => Some("time"),
        _ => None,
    }
}

/// 15 000: what distributions with a limit of their own allow; a run takes a few dozen.
fn namespace_limit(kind: &str, host: &Host) -> Mend {
    let setting = format!("user.max_{kind}_namespaces");
    let why = match host.max_user_namespaces {
        Some(0) if kind == "user" => format!("{setting}=0 forbids them"),
        _ => format!("the limit {setting} is used up, here or in an outer user namespace"),
    };
    mend(why, sudo(&format!("sysctl -w {setting}=15000"), host))
}

/// Every setting that is known to refuse a user namespace and is set here.
fn user_namespace(host: &Host) -> Vec<Mend> {
    let mut mends = Vec::new();
    if host.apparmor_restricts_userns.is_some_and(|value| value != 0) && !host.is_root() {
        let why = "AppArmor restricts unprivileged user namespaces (Ubuntu 23.10 and later)";
        mends.push(mend(why, sudo("sysctl -w kernel.apparmor_restrict_unprivileged_userns=0", host)));
        mends.extend(apparmor_profile(host));
    }
    if host.unprivileged_userns_clone == Some(0) && !host.is_root() {
        mends.push(mend(
            "kernel.unprivileged_userns_clone=0 forbids them",
            sudo("sysctl -w kernel.unprivileged_userns_clone=1", host),
        ));
    }
    if host.max_user_namespaces == Some(0) {
        mends.push(namespace_limit("user", host));
    }
    if host.seccomp_filter {
        mends.extend(container_flags(
            "a seccomp filter refuses unshare and mount (the default profile of Docker and Podman)",
            host,
        ));
    }
    if host.chrooted {
        mends.push(mend(
            "the kernel refuses user namespaces to a chrooted process",
            "run squall outside the chroot".to_owned(),
        ));
    }
    if mends.is_empty() && host.container.is_some() {
        mends = container_flags("the container may not make namespaces", host);
    }
    if host.container.is_none() && !host.seccomp_filter {
        mends.extend(as_root(ROOT_NEEDS_NONE, host));
    }
    mends
}

/// A profile that lifts the restriction for this program only. Left out if its path would need quoting.
fn apparmor_profile(host: &Host) -> Option<Mend> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if host.exe.is_empty() || !host.exe.chars().all(plain) {
        return None;
    }
    let profile = format!(
        "abi <abi/4.0>,\\ninclude <tunables/global>\\nprofile squall {} flags=(unconfined) {{\\n  userns,\\n}}\\n",
        host.exe
    );
    let command = format!("printf '{profile}' | sudo tee /etc/apparmor.d/squall && sudo apparmor_parser -r /etc/apparmor.d/squall");
    Some(mend("or allow this program alone", command))
}

fn as_root(why: &str, host: &Host) -> Vec<Mend> {
    if host.is_root() {
        Vec::new()
    } else {
        vec![mend(why, format!("sudo {} doctor", program(host)))]
    }
}

fn program(host: &Host) -> &str {
    if host.exe.is_empty() { "squall" } else { &host.exe }
}

fn container_flags(why: &str, host: &Host) -> Vec<Mend> {
    if host.container.as_deref() == Some("kubernetes") {
        let command = "kubectl patch …: securityContext: {privileged: true}".to_owned();
        return vec![mend(format!("{why}; in the pod's specification"), command)];
    }
    let engine = engine(host);
    let condition = if host.container.is_some() { "" } else { "; if this is a container" };
    let single = "--cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined";
    let rest = format!("--security-opt {} --device /dev/fuse --device /dev/net/tun", unmask(host));
    vec![
        mend(format!("{why}{condition}"), format!("{engine} run --privileged …")),
        mend(format!("or, with less{condition}"), format!("{engine} run {single} {rest} …")),
    ]
}

fn engine(host: &Host) -> &'static str {
    if host.container.as_deref() == Some("podman") {
        "podman"
    } else {
        "docker"
    }
}

/// What makes an engine leave /proc whole.
fn unmask(host: &Host) -> &'static str {
    if engine(host) == "podman" {
        "unmask=ALL"
    } else {
        "systempaths=unconfined"
    }
}

/// A fresh /proc is refused while parts of the one in sight are covered: it would show what the cover hides (mount_namespaces(7)).
fn covered_proc(host: &Host) -> Vec<Mend> {
    if host.container.is_some() {
        let why = "the container covers parts of /proc, so the kernel refuses a fresh one";
        return vec![mend(why, format!("{} run --security-opt {} …", engine(host), unmask(host)))];
    }
    if host.covered_proc.is_empty() {
        return Vec::new();
    }
    let why = "something is mounted over parts of /proc, so the kernel refuses a fresh one";
    vec![mend(why, sudo(&format!("umount {}", host.covered_proc.join(" ")), host))]
}

pub(super) fn device(path: &str, host: &Host) -> Vec<Mend> {
    if host.container.is_some() {
        return vec![mend(
            format!("the container has no access to {path}"),
            format!("{} run --device {path} …", engine(host)),
        )];
    }
    if host.is_root() {
        Vec::new()
    } else {
        vec![mend(
            format!("{path} is closed to ordinary users"),
            sudo(&format!("chmod 0666 {path}"), host),
        )]
    }
}

fn ptrace(host: &Host) -> Vec<Mend> {
    match host.ptrace_scope {
        Some(3) => vec![mend(
            "kernel.yama.ptrace_scope=3 forbids it until the next boot",
            sudo("sysctl -w kernel.yama.ptrace_scope=1 # after a reboot", host),
        )],
        Some(2) => vec![mend(
            "kernel.yama.ptrace_scope=2 forbids it",
            sudo("sysctl -w kernel.yama.ptrace_scope=1", host),
        )],
        _ if host.container.is_some() => vec![mend(
            "the container may not trace",
            format!("{} run --cap-add SYS_PTRACE …", engine(host)),
        )],
        _ => Vec::new(),
    }
}

fn cgroup(mechanism: Mechanism, failure: &Failure, forbidden: bool, host: &Host) -> Vec<Mend> {
    if !forbidden {
        return Vec::new();
    }
    if host.container.is_some() || failure.errno == Some(Errno::EROFS as i32) {
        let flags = "--cgroupns=private --privileged";
        return vec![mend(
            "the container's cgroups are read-only",
            format!("{} run {flags} …", engine(host)),
        )];
    }
    if host.is_root() {
        return Vec::new();
    }
    if mechanism == Mechanism::CgroupV2 {
        let command = format!("systemd-run --user --scope -p Delegate=yes {} doctor", program(host));
        return vec![mend("this session's group is not delegated to the user", command)];
    }
    as_root("version 1 groups belong to root", host)
}

/// The command, with `sudo` unless that is us.
pub(super) fn sudo(command: &str, host: &Host) -> String {
    if host.is_root() {
        command.to_owned()
    } else {
        format!("sudo {command}")
    }
}

pub(super) fn mend(why: impl Into<String>, command: String) -> Mend {
    Mend { why: why.into(), command }
}

#[cfg(test)]
mod tests;
