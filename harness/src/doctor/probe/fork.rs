//! A forked helper of a probe: some things need a second process (pid 1 of a pid namespace, a tracee, a writer of id maps that stayed
//! outside). Its answer comes back through a pipe.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Failure, Step};

/// 64 KiB: a helper answers with one short line; more means that something else writes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// A helper that was started and must be joined.
#[must_use]
pub(super) struct Helper {
    pid: Pid,
    answer: File,
}

/// Starts `work` in a forked child.
pub(super) fn start(work: impl FnOnce() -> Result<String, Failure>) -> Result<Helper, Failure> {
    let (reader, writer) = nix::unistd::pipe().step("pipe")?;
    match fork_single_threaded().step("fork")? {
        ForkResult::Parent { child } => Ok(Helper {
            pid: child,
            answer: File::from(reader),
        }),
        ForkResult::Child => {
            drop(reader);
            if is_orphan(&writer) {
                std::process::exit(1);
            }
            let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Failure::said("helper", "panicked")));
            let line = serde_json::to_vec(&result).expect("strings and numbers always serialise");
            let written = File::from(writer).write_all(&line);
            // Not back into the caller's frames: that is the parent's life.
            std::process::exit(if written.is_ok() { 0 } else { 1 })
        }
    }
}

/// Asks the kernel to end this helper together with its probe, and looks whether the probe ended before that: a tracee that starts as an
/// orphan would be traced by init and stand still for ever. The pipe tells, because `getppid` is always 0 in a new pid namespace.
fn is_orphan(writer: &OwnedFd) -> bool {
    let asked = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
    let mut entry = [PollFd::new(writer, PollFlags::empty())];
    let polled = poll(&mut entry, Some(&Timespec::default()));
    asked.is_err() || polled.is_err() || entry[0].revents().contains(PollFlags::ERR)
}

/// Runs `work` in a forked child and gives back its answer.
pub(super) fn run(work: impl FnOnce() -> Result<String, Failure>) -> Result<String, Failure> {
    start(work)?.join()
}

impl Helper {
    /// Its process id, as seen by the caller.
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits for its end and gives back its answer.
    pub(super) fn join(self) -> Result<String, Failure> {
        let pid = self.pid;
        let answer = self.answer();
        reap(pid)?;
        answer
    }

    /// The answer alone, for a helper that was reaped already.
    pub(super) fn answer(self) -> Result<String, Failure> {
        let mut line = Vec::new();
        self.answer
            .take(ANSWER_BYTES_MAX)
            .read_to_end(&mut line)
            .step("read the helper's answer")?;
        serde_json::from_slice(&line).unwrap_or_else(|_| Err(Failure::said("helper", "ended without an answer")))
    }

    /// Waits for its end, for a helper that is killed and never answers.
    pub(super) fn wait(self) -> Result<(), Failure> {
        reap(self.pid)
    }
}

fn reap(pid: Pid) -> Result<(), Failure> {
    loop {
        match waitpid(pid, None) {
            Err(Errno::EINTR) => {}
            other => return other.map(drop).step("waitpid"),
        }
    }
}

/// Forks if this process has one thread, else refuses with `EDEADLK` (a lock held by another thread would stay held in the child).
#[allow(unsafe_code, reason = "fork has no safe form; a pid namespace, a tracee and a map writer need one")]
fn fork_single_threaded() -> nix::Result<ForkResult> {
    let n_threads = std::fs::read_dir("/proc/self/task").map_err(|_| Errno::ENOENT)?.count();
    if n_threads != 1 {
        return Err(Errno::EDEADLK);
    }
    // SAFETY: the calling thread is the only one (counted above, and nobody else can start one), so no lock or allocator state can be
    // held by a thread that the child lacks; the child may run ordinary code.
    unsafe { nix::unistd::fork() }
}
