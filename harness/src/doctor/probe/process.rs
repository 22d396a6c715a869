//! Processes: pid and time namespaces, pidfds, ptrace.

use std::fs;
use std::time::Duration;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{getpid, pause};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::PidfdFlags;

use super::fork::{self, Helper};
use super::{Failure, Step, enter};

/// 1 s: a killed process is gone within milliseconds; the whole probe has 3 s.
const GONE_WITHIN: Duration = Duration::from_secs(1);

/// A thousand seconds: no machine under test is off by that much between two readings.
const SHIFT_S: i64 = 1000;

/// The step that containers refuse by covering parts of /proc; several probes need it.
pub(in crate::doctor) const MOUNT_PROC: &str = "mount proc";

pub(super) fn pid_namespace() -> Result<String, Failure> {
    enter::sandbox(CloneFlags::CLONE_NEWPID)?;
    fork::run(|| {
        mount_proc()?;
        let own = fs::read_link("/proc/self").step("read /proc/self")?;
        if getpid().as_raw() != 1 || own.as_os_str() != "1" {
            return Err(Failure::said(
                "pid 1 of the namespace",
                format!("pid {}, /proc/self -> {}", getpid(), own.display()),
            ));
        }
        Ok(String::new())
    })
}

/// Mounts a /proc that shows the caller's pid namespace.
pub(super) fn mount_proc() -> Result<(), Failure> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>).step(MOUNT_PROC)
}

pub(super) fn time_namespace() -> Result<String, Failure> {
    enter::sandbox(CloneFlags::empty())?;
    unshare(CloneFlags::from_bits_retain(libc::CLONE_NEWTIME)).step("unshare(NEWTIME)")?;
    fs::write("/proc/self/timens_offsets", format!("monotonic {SHIFT_S} 0")).step("write timens_offsets")?;
    let before_s = monotonic_s();
    // The namespace is entered by children only (time_namespaces(7)).
    fork::run(move || match monotonic_s() - before_s {
        SHIFT_S.. => Ok(String::new()),
        seen_s => Err(Failure::said(
            "read the shifted clock",
            format!("{seen_s} s ahead instead of {SHIFT_S} s"),
        )),
    })
}

fn monotonic_s() -> i64 {
    rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_sec
}

pub(super) fn pidfd() -> Result<String, Failure> {
    let sleeper = start_sleeper()?;
    let raw = rustix::process::Pid::from_raw(sleeper.pid().as_raw()).expect("a forked child's pid is positive");
    let done = kill_by_pidfd(raw);
    if done.is_err() {
        let _ = nix::sys::signal::kill(sleeper.pid(), Signal::SIGKILL);
    }
    sleeper.wait()?;
    done.map(|()| String::new())
}

/// A helper that does nothing until it is killed.
pub(super) fn start_sleeper() -> Result<Helper, Failure> {
    fork::start(|| {
        loop {
            pause();
        }
    })
}

fn kill_by_pidfd(pid: rustix::process::Pid) -> Result<(), Failure> {
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).step("pidfd_open")?;
    rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL).step("pidfd_send_signal")?;
    let limit = Timespec {
        tv_sec: GONE_WITHIN.as_secs().cast_signed(),
        tv_nsec: 0,
    };
    let n_ready = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit)).step("poll a pidfd")?;
    if n_ready == 1 {
        Ok(())
    } else {
        Err(Failure::said("poll a pidfd", "a killed process did not become readable within 1 s"))
    }
}

/// Traced from birth, as the clock fault does it: the child asks for it and stops; its registers are read; it is let go.
pub(super) fn ptrace() -> Result<String, Failure> {
    enter::sandbox(CloneFlags::empty())?;
    let tracee = fork::start(|| {
        nix::sys::ptrace::traceme().step("ptrace(TRACEME)")?;
        raise(Signal::SIGSTOP).step("stop itself")?;
        Ok(String::new())
    })?;
    match waitpid(tracee.pid(), None).step("waitpid")? {
        WaitStatus::Stopped(pid, Signal::SIGSTOP) => {
            let done = read_registers(pid).step("read the registers of a stopped child");
            nix::sys::ptrace::detach(pid, None).step("ptrace(DETACH)")?;
            done?;
            tracee.join()
        }
        // It ended instead of stopping: its answer says why.
        _ => tracee.answer().and_then(|_| Err(Failure::said("ptrace", "the child did not stop"))),
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn read_registers(pid: nix::unistd::Pid) -> Result<(), Errno> {
    nix::sys::ptrace::getregset::<nix::sys::ptrace::regset::NT_PRSTATUS>(pid).map(drop)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn read_registers(_pid: nix::unistd::Pid) -> Result<(), Errno> {
    Err(Errno::ENOSYS)
}
