//! Waiting for a child process while signals ask it to stop.

use std::io;
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// How long a child that was asked to stop may take before it is killed: longer than the longest single deadline of a run's heal
/// and end (5 s for a probe, 1 s for an operation, 2 s for the nodes).
const STOP_GRACE: Duration = Duration::from_secs(15);

/// Signals of this process, read instead of delivered. To be made before the first thread starts.
pub struct Signals(SignalFd);

/// How a child ended.
pub struct Ended {
    /// Its status.
    pub status: ExitStatus,
    /// Whether a signal asked it to stop.
    pub interrupted: bool,
}

impl Signals {
    /// Blocks SIGINT, SIGTERM, SIGHUP and SIGCHLD for delivery; a SIGHUP that was ignored (`nohup`) stays so. SIGXFSZ is blocked too: a
    /// file that may not grow is an error to report, no reason to die. Start children with [`spawn_unblocked`].
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn take() -> Result<Signals> {
        let mut watched = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGCHLD]);
        if !is_ignored(Signal::SIGHUP) {
            watched.add(Signal::SIGHUP);
        }
        let mut blocked = watched;
        blocked.add(Signal::SIGXFSZ);
        blocked.thread_block().context("block signals")?;
        Ok(Signals(
            SignalFd::with_flags(&watched, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).context("open a signalfd")?,
        ))
    }

    /// Waits for `child`. The first signal is told to `ask`, the second kills the child, and so does a child that does not heed.
    ///
    /// # Errors
    /// If waiting itself fails.
    pub fn wait_for(&self, child: &mut Child, mut ask: impl FnMut(&mut Child)) -> Result<Ended> {
        let mut asked_at: Option<Instant> = None;
        loop {
            if let Some(status) = child.try_wait().context("wait for the child process")? {
                return Ok(Ended {
                    status,
                    interrupted: asked_at.is_some(),
                });
            }
            if asked_at.is_some_and(|at| at.elapsed() > STOP_GRACE) {
                child.kill().context("kill the child process")?;
            }
            for _ in 0..self.wait()? {
                match asked_at {
                    None => {
                        asked_at = Some(Instant::now());
                        ask(child);
                    }
                    Some(_) => child.kill().context("kill the child process")?,
                }
            }
        }
    }

    /// Waits for a signal or half a second; how often a person or the system asked this process to stop meanwhile.
    ///
    /// # Errors
    /// If waiting itself fails.
    pub fn wait(&self) -> Result<usize> {
        let mut polled = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        match nix::poll::poll(&mut polled, PollTimeout::from(500u16)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("wait for a signal"),
        }
        let mut asked = 0;
        while let Some(signal) = self.0.read_signal().context("read a signal")? {
            asked += usize::from(signal.ssi_signo != Signal::SIGCHLD as u32);
        }
        Ok(asked)
    }
}

/// Starts a child with no signal blocked: the mask is inherited, and a program that never hears SIGTERM cannot end in order.
///
/// For the moment of the start our own mask is empty, too: a signal that comes then ends us as it would have before.
///
/// # Errors
/// Those of [`Command::spawn`].
pub fn spawn_unblocked(command: &mut Command) -> io::Result<Child> {
    let mask = SigSet::thread_get_mask()?;
    SigSet::empty().thread_set_mask()?;
    let child = command.spawn();
    mask.thread_set_mask()?;
    child
}

/// Whether this process was started with the signal ignored (proc(5), `SigIgn`).
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal as u32 - 1) & 1 == 1)
}
