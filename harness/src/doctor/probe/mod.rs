//! The probes: each does its mechanism for real, inside namespaces of its own where that is possible, and says what happened.
//!
//! Main decision: a probe may leave its process in any state (other namespaces, mounts, descriptors), because the process ends right
//! after. So a process runs exactly one probe.

mod cgroup;
mod enter;
mod filesystem;
mod fork;
mod network;
mod partition;
mod process;
mod program;
mod shaping;

pub(super) use cgroup::sweep;
pub(super) use process::MOUNT_PROC;

use std::fmt;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use squall_nemeses::links::BackEnd;

use super::mechanism::Mechanism;

/// What one probe found; the child prints it as one line of JSON on stdout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeOutcome {
    /// It was done, and it had its effect.
    Works {
        /// Which variant, version or part was found; may be empty.
        detail: String,
    },
    /// It was refused.
    Fails(Failure),
}

/// Where a probe failed, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which kind of failure.
    pub stage: Stage,
    /// What was being done, for example `mount tmpfs`; for [`Stage::Absent`] the thing that is absent.
    pub step: String,
    /// The kernel's error number, if it gave one.
    pub errno: Option<i32>,
    /// What a program or the kernel said about it, if anything.
    pub said: String,
}

/// The kind of a probe's failure: decides which mends can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The namespaces in which the mechanism is tried could not be made.
    Enter,
    /// The mechanism itself was refused.
    Refused,
    /// A program or a device file is not there.
    Absent,
    /// The probe did not end within its time limit.
    TimedOut,
    /// The probe's process did not answer (a panic, a signal, no such executable).
    NoAnswer,
}

impl Failure {
    /// A step refused by the kernel.
    pub(super) fn refused(step: impl Into<String>, errno: Errno) -> Failure {
        Failure {
            stage: Stage::Refused,
            step: step.into(),
            errno: Some(errno as i32),
            said: String::new(),
        }
    }

    /// A step that had no effect, or that a program refused in its own words.
    pub(super) fn said(step: impl Into<String>, said: impl Into<String>) -> Failure {
        Failure {
            stage: Stage::Refused,
            step: step.into(),
            errno: None,
            said: said.into(),
        }
    }

    /// A program or a file that is not there.
    pub(super) fn absent(thing: impl Into<String>) -> Failure {
        Failure {
            stage: Stage::Absent,
            step: thing.into(),
            errno: None,
            said: String::new(),
        }
    }

    pub(super) fn io(step: impl Into<String>, error: &std::io::Error) -> Failure {
        let errno = error.raw_os_error();
        let said = if errno.is_some() { String::new() } else { error.to_string() };
        Failure {
            stage: Stage::Refused,
            step: step.into(),
            errno,
            said,
        }
    }

    fn while_entering(mut self) -> Failure {
        self.stage = Stage::Enter;
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.step)?;
        if let Some(errno) = self.errno {
            write!(formatter, ": {}", Errno::from_raw(errno).desc())?;
        }
        if !self.said.is_empty() {
            write!(formatter, ": {}", self.said)?;
        }
        if self.stage == Stage::Absent {
            formatter.write_str(" is not there")?;
        }
        Ok(())
    }
}

impl From<squall_nemeses::Error> for Failure {
    fn from(error: squall_nemeses::Error) -> Failure {
        match error {
            squall_nemeses::Error::System { what, source } => Failure::io(what, &source),
            squall_nemeses::Error::Refused { what, source, text } => Failure {
                said: text.unwrap_or_default(),
                ..Failure::io(what, &source)
            },
            other => Failure::said("netlink", other.to_string()),
        }
    }
}

/// Turns the result of a system call into one that names the step.
trait Step<T> {
    fn step(self, step: &str) -> Result<T, Failure>;
}

impl<T> Step<T> for nix::Result<T> {
    fn step(self, step: &str) -> Result<T, Failure> {
        self.map_err(|errno| Failure::refused(step, errno))
    }
}

impl<T> Step<T> for rustix::io::Result<T> {
    fn step(self, step: &str) -> Result<T, Failure> {
        self.map_err(|errno| Failure::refused(step, Errno::from_raw(errno.raw_os_error())))
    }
}

impl<T> Step<T> for std::io::Result<T> {
    fn step(self, step: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::io(step, &error))
    }
}

/// 20 s: more than any time limit a parent sets; ends a probe whose parent was killed before it could ask to be told.
const LONGEST_LIFE_S: u32 = 20;

/// The probe of what the kernel's network can do to links, which answers with [`squall_nemeses::links::Abilities`] as JSON: no part of the report.
pub(super) const LINKS: &str = "links";

/// Runs the probe of that name **in this process**, which must be a fresh, single-threaded one that ends right after: the probe may
/// leave it in other namespaces. An unknown name is a failure, not a panic.
pub fn run_probe(name: &str) -> ProbeOutcome {
    let mechanism = Mechanism::from_name(name);
    if mechanism.is_none() && name != LINKS {
        return ProbeOutcome::Fails(Failure::absent(format!("probe `{name}`")));
    }
    nix::unistd::alarm::set(LONGEST_LIFE_S);
    // A probe of cgroups has something to put away, so it ends by itself, a moment after its parent.
    if !matches!(mechanism, Some(Mechanism::CgroupV1 | Mechanism::CgroupV2)) {
        // Best effort: the alarm above is the backstop where the kernel forgets this at a change of credentials.
        let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
    }
    match mechanism.map_or_else(partition::links, probe) {
        Ok(detail) => ProbeOutcome::Works { detail },
        Err(failure) => ProbeOutcome::Fails(failure),
    }
}

fn probe(mechanism: Mechanism) -> Result<String, Failure> {
    match mechanism {
        Mechanism::UserNamespace => enter::user_namespace_and_mount(),
        Mechanism::PlainNamespaces => enter::plain_namespaces(),
        Mechanism::PrivateMounts => filesystem::private_mounts(),
        Mechanism::ReadOnlyTree => filesystem::read_only_tree(),
        Mechanism::Tmpfs => filesystem::tmpfs(),
        Mechanism::PidNamespace => process::pid_namespace(),
        Mechanism::NetworkNamespace => network::network_namespace(),
        Mechanism::Veth => network::veth(),
        Mechanism::Forwarding => network::forwarding(),
        Mechanism::Pidfd => process::pidfd(),
        Mechanism::IptablesLegacy => partition::cuts(BackEnd::IptablesLegacy),
        Mechanism::IptablesNft => partition::cuts(BackEnd::IptablesNft),
        Mechanism::Nftables => partition::cuts(BackEnd::Nftables),
        Mechanism::PolicyRules => partition::cuts(BackEnd::PolicyRules),
        Mechanism::Nat => partition::nat(),
        Mechanism::Vxlan => network::vxlan(),
        Mechanism::Nfqueue => partition::nfqueue(),
        Mechanism::Tun => network::tun(),
        Mechanism::Netem => shaping::netem(),
        Mechanism::Tbf => shaping::tbf(),
        Mechanism::Htb => shaping::htb(),
        Mechanism::Clsact => shaping::clsact(),
        Mechanism::Fuse => filesystem::fuse(),
        Mechanism::Ptrace => process::ptrace(),
        Mechanism::TimeNamespace => process::time_namespace(),
        Mechanism::CgroupV1 => cgroup::v1(),
        Mechanism::CgroupV2 => cgroup::v2(),
        Mechanism::UserModeLinux => program::user_mode_linux(),
        Mechanism::Etcd => program::etcd(),
    }
}
