//! Waiting for a child process while signals ask it to stop.

use std::os::fd::AsFd;
use std::process::{Child, ExitStatus};
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
    /// Blocks SIGINT, SIGTERM, SIGHUP and SIGCHLD for delivery. Children get an empty mask from `std`.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn take() -> Result<Signals> {
        let watched = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGCHLD]);
        watched.thread_block().context("block signals")?;
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
            let mut polled = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            match nix::poll::poll(&mut polled, PollTimeout::from(500u16)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context("wait for a signal"),
            }
            while let Some(signal) = self.0.read_signal().context("read a signal")? {
                match (signal.ssi_signo == Signal::SIGCHLD as u32, asked_at) {
                    (true, _) => {}
                    (false, None) => {
                        asked_at = Some(Instant::now());
                        ask(child);
                    }
                    (false, Some(_)) => child.kill().context("kill the child process")?,
                }
            }
        }
    }
}
