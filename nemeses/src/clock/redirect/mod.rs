//! The redirect of a process's clock on x86-64.
//!
//! - [`routine`]: the machine code, with its source beside it
//! - [`vdso`]: what to redirect
//! - [`remote`]: a stopped process
//! - [`install`]: all of it together
//! - [`follow`]: scripts and launchers
//! - [`past`]: who reads the clock past it
//! - [`raw`]: what needs unsafe code

mod follow;
mod install;
mod past;
mod raw;
mod remote;
mod routine;
mod vdso;

use std::io;
use std::path::Path;
use std::process::{Child, Command};

use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

pub use self::follow::Follower;
pub use self::past::count_past;
use crate::{Error, Result};

/// Whether clocks can be redirected on this kind of machine.
///
/// # Errors
/// Why not.
pub fn supported() -> Result<()> {
    Ok(())
}

/// Starts a command whose wall clock is what `page` says, from its first instruction on; also in every process that it forks. `start` is
/// how the caller starts processes. The calling thread becomes the tracer for as long as the command only launches others, and must
/// hand the follower every status that it waits for.
///
/// # Errors
/// If the command cannot be started, or not be redirected; then nothing of it runs.
pub fn spawn(command: &mut Command, page: &Path, start: impl FnOnce(&mut Command) -> io::Result<Child>) -> Result<(Child, Follower)> {
    let program = command.get_program().to_owned();
    raw::stop_at_exec(command);
    let mut child = start(command).map_err(Error::system(format!("start {}", program.display())))?;
    let follower = Follower::new(page);
    match redirect(&child, &follower, page) {
        Ok(()) => Ok((child, follower)),
        Err(error) => {
            // Better no node than one whose clock is not what the history says.
            let _ = child.kill();
            let _ = child.wait();
            Err(error)
        }
    }
}

fn redirect(child: &Child, follower: &Follower, page: &Path) -> Result<()> {
    let pid = Pid::from_raw(child.id().cast_signed());
    let fail = || format!("wait for the exec of process {pid}");
    match waitpid(pid, Some(WaitPidFlag::__WALL)).map_err(Error::system(fail()))? {
        WaitStatus::Stopped(_, Signal::SIGTRAP) => {}
        other => return Err(Error::Unusable(format!("process {pid} did not stop at its exec but: {other:?}"))),
    }
    install::install(pid, page)?;
    follower.let_go(pid)
}
