//! Programs that only start others (a script, `env`, an init): they are followed until the real one runs, and then nobody is traced any more.
//!
//! A redirect ends with an exec, as all memory does. So a process that runs a script or a launcher stays traced, and so do the children it
//! makes; whatever they exec gets the redirect, and is let go if it is a program of its own. A process in a stop by signal stays in it
//! (`PTRACE_LISTEN`), or a pause would not reach who is followed.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::install::install;
use super::raw;
use crate::{Error, Result};

/// Programs that start what somebody really wants to run.
const LAUNCHERS: [&str; 20] = [
    "ash",
    "bash",
    "busybox",
    "dash",
    "dumb-init",
    "env",
    "gosu",
    "ionice",
    "ksh",
    "nice",
    "nohup",
    "runuser",
    "setpriv",
    "setsid",
    "sh",
    "stdbuf",
    "su-exec",
    "timeout",
    "tini",
    "zsh",
];

/// `PTRACE_EVENT_STOP`, which nix does not name.
pub(super) const EVENT_STOP: i32 = libc::PTRACE_EVENT_STOP;

/// Who starts nodes hands it every wait status; it lets nobody stand still.
#[derive(Debug)]
pub struct Follower {
    page: PathBuf,
}

impl Follower {
    pub(super) fn new(page: &Path) -> Follower {
        Follower { page: page.to_owned() }
    }

    /// Lets a process go that stands at its exec stop with the redirect installed, or follows it if it is a launcher.
    pub(super) fn let_go(&self, pid: Pid) -> Result<()> {
        if !is_launcher(pid) {
            return unless_gone(ptrace::detach(pid, None)).map_err(Error::system(format!("let process {pid} go")));
        }
        // Traced from its first instruction, it cannot be listened to when it stops (ptrace(2), group-stop). So it is left in a stop, seized,
        // and continued.
        let seize = || -> nix::Result<()> {
            ptrace::detach(pid, Signal::SIGSTOP)?;
            let options =
                Options::PTRACE_O_TRACEEXEC | Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK | Options::PTRACE_O_TRACECLONE;
            ptrace::seize(pid, options)?;
            kill(pid, Signal::SIGCONT)
        };
        unless_gone(seize()).map_err(Error::system(format!("follow process {pid}")))
    }

    /// Does what a stop of a followed process asks for; every other status is left alone. Wait with `__WALL`, as threads are followed too.
    ///
    /// # Errors
    /// If the redirect cannot be installed; the process then goes on with the true time.
    pub fn heed(&self, status: &WaitStatus) -> Result<()> {
        let done = match *status {
            WaitStatus::PtraceEvent(pid, _, libc::PTRACE_EVENT_EXEC) => return self.after_exec(pid),
            WaitStatus::PtraceEvent(pid, signal, EVENT_STOP) if is_stop(signal) => raw::listen(pid),
            WaitStatus::PtraceEvent(pid, ..) => ptrace::cont(pid, None),
            WaitStatus::Stopped(pid, signal) => ptrace::cont(pid, signal),
            _ => return Ok(()),
        };
        unless_gone(done).map_err(Error::system("let a followed process go on"))
    }

    fn after_exec(&self, pid: Pid) -> Result<()> {
        // It stands inside execve, which would overwrite the result of whatever it is made to call.
        let step = || -> nix::Result<WaitStatus> {
            ptrace::step(pid, None)?;
            waitpid(pid, Some(WaitPidFlag::__WALL))
        };
        match step() {
            Ok(WaitStatus::Stopped(..) | WaitStatus::PtraceEvent(..)) => {}
            Ok(_) | Err(Errno::ESRCH) => return Ok(()),
            Err(error) => return Err(Error::system(format!("step process {pid} out of its exec"))(error)),
        }
        let installed = install(pid, &self.page);
        let done = if installed.is_ok() && is_launcher(pid) {
            ptrace::cont(pid, None)
        } else {
            ptrace::detach(pid, None)
        };
        unless_gone(done).map_err(Error::system(format!("let process {pid} go")))?;
        installed
    }
}

/// A process that was killed meanwhile needs nothing.
pub(super) fn unless_gone(done: nix::Result<()>) -> nix::Result<()> {
    match done {
        Err(Errno::ESRCH) => Ok(()),
        other => other,
    }
}

pub(super) fn is_stop(signal: Signal) -> bool {
    matches!(signal, Signal::SIGSTOP | Signal::SIGTSTP | Signal::SIGTTIN | Signal::SIGTTOU)
}

/// Whether a process runs a script, or a program of [`LAUNCHERS`].
fn is_launcher(pid: Pid) -> bool {
    let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let known = program
        .file_name()
        .and_then(OsStr::to_str)
        .is_some_and(|name| LAUNCHERS.contains(&name));
    known || is_script(pid)
}

/// Whether what was executed begins with `#!`: the kernel tells its path on the stack of the process (getauxval(3), `AT_EXECFN`).
fn is_script(pid: Pid) -> bool {
    let read = || -> Option<[u8; 2]> {
        let vector = fs::read(format!("/proc/{pid}/auxv")).ok()?;
        let address = entry_of(&vector, libc::AT_EXECFN)?;
        let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
        let path = text_at(&memory, address)?;
        let folder = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
        let mut begin = [0; 2];
        File::open(folder.join(path)).ok()?.read_exact(&mut begin).ok()?;
        Some(begin)
    };
    read() == Some(*b"#!")
}

/// A value of the auxiliary vector: pairs of 64-bit words.
fn entry_of(vector: &[u8], kind: u64) -> Option<u64> {
    let words: Vec<u64> = vector
        .chunks_exact(8)
        .map(|word| u64::from_ne_bytes(word.try_into().expect("chunks have 8 bytes")))
        .collect();
    words.chunks_exact(2).find(|pair| pair[0] == kind).map(|pair| pair[1])
}

fn text_at(memory: &File, address: u64) -> Option<PathBuf> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; 4096];
    // The stack may end before the buffer does.
    let n = memory.read_at(&mut bytes, address).ok()?;
    let end = bytes[..n].iter().position(|byte| *byte == 0)?;
    Some(PathBuf::from(OsStr::from_bytes(&bytes[..end])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_is_no_launcher() {
        assert!(!is_launcher(nix::unistd::getpid()));
    }

    #[test]
    fn launchers_are_sorted_so_that_a_person_finds_them() {
        assert!(LAUNCHERS.is_sorted());
    }

    #[test]
    fn finds_a_value_in_the_auxiliary_vector() {
        let vector: Vec<u8> = [33u64, 7, libc::AT_EXECFN, 9, 0, 0]
            .into_iter()
            .flat_map(u64::to_ne_bytes)
            .collect();
        assert_eq!((entry_of(&vector, libc::AT_EXECFN), entry_of(&vector, 5)), (Some(9), None));
    }
}
