//! Machines for which the redirect is not written: it says so.

use std::io;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use nix::sys::wait::WaitStatus;

use super::past::Past;
use crate::{Error, Result};

/// Has nobody to follow here.
#[derive(Debug)]
pub struct Follower(());

impl Follower {
    /// Leaves every status alone.
    ///
    /// # Errors
    /// None here.
    pub fn heed(&self, _status: &WaitStatus) -> Result<()> {
        Ok(())
    }
}

/// Whether clocks can be redirected on this kind of machine.
///
/// # Errors
/// Always here: why not.
pub fn supported() -> Result<()> {
    Err(Error::Unusable(format!(
        "clock faults need x86-64: the redirect of the vDSO is not written for {}",
        std::env::consts::ARCH
    )))
}

/// Refuses.
///
/// # Errors
/// Always here: nothing of the command runs.
pub fn spawn(_command: &mut Command, _page: &Path, _start: impl FnOnce(&mut Command) -> io::Result<Child>) -> Result<(Child, Follower)> {
    supported().map(|()| unreachable!("it is not supported"))
}

/// Refuses.
///
/// # Errors
/// Always here.
pub fn count_past(_init_pid: u32, _page: &Path, _window: Duration) -> Result<Past> {
    supported().map(|()| Past::default())
}
