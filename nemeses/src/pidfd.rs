//! Processes by descriptor: no signal can reach a stranger that got a dead process's number (`man 2 pidfd_open`).

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::{Error, Result};

/// A process that stays the same one while this value lives, dead or not.
#[derive(Debug)]
pub(crate) struct Pidfd {
    fd: OwnedFd,
    pid: u32,
}

impl Pidfd {
    /// Opens the process `pid`; `None` if there is none.
    pub(crate) fn open(pid: u32) -> Result<Option<Pidfd>> {
        let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        match pidfd_open(raw, PidfdFlags::empty()) {
            Ok(fd) => Ok(Some(Pidfd { fd, pid })),
            // EINVAL: the number belongs to a thread that leads no process any more.
            Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL) => Ok(None),
            Err(error) => Err(Error::system(format!("open process {pid}"))(error)),
        }
    }

    /// Sends a signal; `false` if the process is dead already.
    pub(crate) fn signal(&self, signal: Signal) -> Result<bool> {
        match pidfd_send_signal(&self.fd, signal) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(error) => Err(Error::system(format!("send {signal:?} to process {}", self.pid))(error)),
        }
    }

    /// Waits until the process is dead, reaped or not; `false` if it still lives after `limit`.
    pub(crate) fn wait_until_dead(&self, limit: Duration) -> Result<bool> {
        wait_until_readable(&self.fd, Instant::now() + limit).map_err(Error::system(format!("wait for process {}", self.pid)))
    }
}

/// Waits until a descriptor is readable; `false` if it is not by `deadline`.
pub(crate) fn wait_until_readable(fd: &impl AsFd, deadline: Instant) -> std::io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
