//! A machine with one disk: a mount in a namespace of the test's own thread, and its power.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use squall_nemeses::disk::{self, Caching, Cut, Disk, Lost, Rules, Served};

/// Patience with a loaded machine; nothing is measured by it.
pub(crate) const BOUND: Duration = Duration::from_secs(20);

/// A disk that is mounted.
pub(crate) struct Machine {
    pub(crate) disk: Disk,
    pub(crate) mount: PathBuf,
    pub(crate) mirror: PathBuf,
    served: Option<Served>,
    caching: Caching,
    _folder: tempfile::TempDir,
}

/// Runs a test with a machine, on a thread with mounts of its own; says so in one line where that cannot be had.
pub(crate) fn with_machine(rules: Rules, caching: Caching, test: impl FnOnce(&mut Machine) + Send + 'static) {
    let done = std::thread::spawn(move || {
        if let Err(why) = own_mounts() {
            return skip(&format!("no disk can be mounted: {why}"));
        }
        let mut machine = Machine::new(rules, caching);
        test(&mut machine);
        machine.detach();
    });
    if let Err(panic) = done.join() {
        std::panic::resume_unwind(panic);
    }
}

#[allow(unsafe_code, reason = "rustix marks every unshare(2) unsafe, for the sake of CLONE_FILES")]
fn own_mounts() -> Result<(), String> {
    disk::open_device().map_err(|error| error.to_string())?;
    // SAFETY: a mount namespace of its own takes no descriptor from any thread.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.map_err(|error| format!("unshare: {error}"))?;
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE).map_err(|error| format!("make mounts private: {error}"))
}

impl Machine {
    fn new(rules: Rules, caching: Caching) -> Machine {
        let folder = tempfile::tempdir().unwrap();
        let (mount, mirror) = (folder.path().join("mount"), folder.path().join("mirror"));
        std::fs::create_dir(&mount).unwrap();
        let disk = Disk::open(&folder.path().join("objects"), &mirror, rules).unwrap();
        let mut machine = Machine {
            disk,
            mount,
            mirror,
            served: None,
            caching,
            _folder: folder,
        };
        machine.attach();
        machine
    }

    fn attach(&mut self) {
        let device = disk::open_device().unwrap();
        disk::mount(&device, &self.mount).unwrap();
        self.served = Some(self.disk.serve(device, self.caching).unwrap());
    }

    fn detach(&mut self) {
        disk::unmount(&self.mount).unwrap();
        self.served.take().unwrap().join().unwrap();
    }

    /// Cuts the power and gives it back. Whoever used the disk must be dead.
    pub(crate) fn cut_power(&mut self, cut: Cut) -> Lost {
        let lost = self.disk.cut_power(cut).unwrap();
        self.detach();
        self.attach();
        lost
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.mount.join(name)
    }

    /// Starts a Python program in the mount's folder; `None`, with a line, where there is no Python.
    pub(crate) fn python(&self, program: &str) -> Option<Child> {
        let mut command = Command::new("python3");
        command
            .arg("-c")
            .arg(program)
            .current_dir(&self.mount)
            .stdout(Stdio::piped())
            .stdin(Stdio::piped());
        match command.spawn() {
            Ok(child) => Some(child),
            Err(error) => {
                skip(&format!("no python3: {error}"));
                None
            }
        }
    }
}

pub(crate) fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// Says in one line why a test cannot run here; with `CI=true` that is a failure.
pub(crate) fn skip(why: &str) {
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "this test must run in CI: {why}"
    );
    eprintln!("skipped: {why}");
}
