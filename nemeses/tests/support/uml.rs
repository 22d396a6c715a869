//! Another kernel: User Mode Linux (Debian package `user-mode-linux`), an ordinary process with the host's own files, read-only, as its root.
//!
//! It needs no root, no KVM and no image. A test boots it with its own binary as init; the kernel hands what follows `--` to init as arguments, and
//! `NAME=value` as environment.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Says to init that it is one.
const INIT: &str = "SQUALL_UML_INIT";
/// A boot takes two seconds and the suite half a minute; a loaded machine may need many times that.
const LIMIT: Duration = Duration::from_secs(300);
const MODULES: &str = "/usr/lib/uml/modules";

/// Whether this process is the init of such a kernel.
pub(crate) fn is_init() -> bool {
    std::env::var_os(INIT).is_some()
}

/// Where the kernel is, if it is installed.
pub(crate) fn kernel() -> Option<PathBuf> {
    let found = squall_nemeses::program_folders();
    found.iter().map(|folder| folder.join("linux.uml")).find(|path| path.is_file())
}

/// Boots `kernel` with this binary as init, which is to run `test`, and returns what was written to the console until it was switched off.
pub(crate) fn boot(kernel: &Path, test: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let init = std::env::current_exe().unwrap();
    let mut child = Command::new(kernel)
        .args(["mem=512M", "rootfstype=hostfs", "rootflags=/", "ro", "quiet", "panic=-1"])
        .args(["con=null", "con0=fd:0,fd:1"])
        .arg(format!("uml_dir={}", folder.path().display()))
        .arg(format!("init={}", init.display()))
        .arg(format!("{INIT}=1"))
        .args(["--", "--exact", test, "--nocapture", "--test-threads=1"])
        // Its memory is a file there; elsewhere that would be a disk's.
        .env("TMPDIR", "/dev/shm")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let text = console(&mut child);
    // Of its helpers those that it left.
    let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
    child.wait().unwrap();
    text.unwrap_or_else(|| panic!("the other kernel was not done within {LIMIT:?}"))
}

fn console(child: &mut Child) -> Option<String> {
    let mut stdout = child.stdout.take().unwrap();
    let (done, wait) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).unwrap();
        // Nobody waits any more for what comes too late.
        let _ = done.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    wait.recv_timeout(LIMIT).ok()
}

/// What init does before anything else.
pub(crate) fn set_up(modules: &[&str]) {
    for (kind, place) in [("proc", "/proc"), ("sysfs", "/sys"), ("tmpfs", "/run"), ("tmpfs", "/tmp")] {
        mount(Some(kind), place, Some(kind), MsFlags::empty(), None::<&str>).unwrap_or_else(|error| panic!("mount {place}: {error}"));
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let folder = Path::new(MODULES).join(release.trim());
    let needs = fs::read_to_string(folder.join("modules.dep")).unwrap();
    for module in modules {
        let file = format!("/{module}.ko");
        let line = needs
            .lines()
            .find(|line| line.split(':').next().is_some_and(|path| path.ends_with(&file)))
            .unwrap_or_else(|| panic!("this kernel has no module {module}"));
        // First what it needs, of which the last is needed by the others.
        let (path, others) = line.split_once(':').unwrap();
        for path in others.split_whitespace().rev().chain([path]) {
            load(&folder.join(path));
        }
    }
}

#[allow(unsafe_code, reason = "finit_module has no safe wrapper among the features that are built")]
fn load(module: &Path) {
    let file = File::open(module).unwrap();
    // SAFETY: the descriptor is open for the length of the call, and the parameters are an empty text that ends in NUL.
    let outcome = unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) };
    let error = std::io::Error::last_os_error();
    assert!(
        outcome == 0 || error.raw_os_error() == Some(libc::EEXIST),
        "load {}: {error}",
        module.display()
    );
}

/// Ends this kernel (`o` of linux/Documentation/admin-guide/sysrq.rst).
pub(crate) fn switch_off() -> ! {
    fs::write("/proc/sysrq-trigger", "o").unwrap();
    loop {
        std::thread::park();
    }
}
