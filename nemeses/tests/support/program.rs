//! Programs not written here: where they are, how long they may take, what they said.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Patience with a loaded machine.
pub(crate) const BOUND: Duration = Duration::from_secs(30);

/// Where a program is, or that it is not installed, with the Debian package that has it.
pub(crate) fn find(name: &str, package: &str) -> Result<PathBuf, String> {
    let folders = squall_nemeses::program_folders();
    let found = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| format!("there is no `{name}`; install the package `{package}`"))
}

/// A program that ends with whoever holds it.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a program said until it ended by itself. It is killed, and the test fails, if it does not end in time.
pub(crate) fn output(command: &mut Command) -> Output {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .env("LC_ALL", "C");
    let child = command.spawn().unwrap_or_else(|error| panic!("start {command:?}: {error}"));
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    let (done, wait) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| done.send(child.wait_with_output()).unwrap());
        if let Ok(output) = wait.recv_timeout(BOUND) {
            return output.unwrap();
        }
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        let output = wait.recv().unwrap().unwrap();
        panic!("{command:?} did not end within {BOUND:?}: {output:?}");
    })
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + BOUND;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited {BOUND:?} for {what}");
        std::thread::yield_now();
    }
}
