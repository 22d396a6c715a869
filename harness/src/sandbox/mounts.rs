//! The file tree inside: everything read-only but the run folder and fresh temporary file systems.
//!
//! What must stay reachable is opened as a detached tree before the temporary file systems cover it, and attached again at its own
//! path afterwards; so the run folder and the binaries may lie under `/tmp` and every path means the same inside and outside.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::CWD;
use rustix::mount::{self, MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags};

/// Where the running binary is inside. A copy: what is bound can be mounted again only as long as its file has a name, and a rebuild
/// during the run takes that away.
pub(super) const SQUALL: &str = "/run/squall/squall";

/// Private temporary file systems: processes of different nodes must not meet there, and none may write to the host's.
const SCRATCH: [&str; 3] = ["/tmp", "/run", "/dev/shm"];

/// Devices that programs expect and that hold nothing of the host.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

/// What to make of the file tree.
pub(super) struct Tree<'a> {
    /// The one writable folder of the host.
    pub(super) writable: &'a Path,
    /// The binary to copy to [`SQUALL`].
    pub(super) squall: &'a Path,
    /// Further folders of the host that stay writable.
    pub(super) open: &'a [PathBuf],
    /// Further files (binaries of systems) that must stay reachable at their own paths.
    pub(super) files: &'a [PathBuf],
    /// A folder that is writable now and shall be read-only but for `writable`.
    pub(super) close: Option<&'a Path>,
    /// Whether `/dev` is left with [`DEVICES`] only. A read-only mount does not keep root from writing to a device.
    pub(super) bare_devices: bool,
}

/// Makes the calling process's mount namespace private and read-only as [`Tree`] says, with a fresh `/proc` for its pid namespace.
///
/// # Errors
/// Names the step and the path. `EPERM` at the first step means that the user namespace was made without capabilities (AppArmor).
pub(super) fn build(tree: &Tree<'_>) -> Result<()> {
    mount::mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE).context("make the mount tree private")?;
    let folder = detach(tree.writable)?;
    let open = tree.open.iter().map(|path| Ok((path, detach(path)?))).collect::<Result<Vec<_>>>()?;
    let mut squall = File::open(tree.squall).with_context(|| format!("open {}", tree.squall.display()))?;
    let devices = if tree.bare_devices { detach_devices()? } else { Vec::new() };
    let files = tree
        .files
        .iter()
        .filter(|file| covered(file))
        .map(|file| Ok((file, detach(file)?)))
        .collect::<Result<Vec<_>>>()?;

    mount::mount(
        "proc",
        "/proc",
        "proc",
        MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC,
        None,
    )
    .context("mount a fresh /proc")?;
    if tree.bare_devices {
        attach_devices(&devices)?;
    }
    for path in SCRATCH.iter().filter(|path| Path::new(path).is_dir()) {
        mount::mount("tmpfs", *path, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=1777"))
            .with_context(|| format!("mount a tmpfs on {path}"))?;
    }
    if let Some(closed) = tree.close.filter(|path| !covered(path)) {
        set_read_only(closed, true, true)?;
    }
    set_read_only(Path::new("/"), true, true)?;
    for path in SCRATCH
        .iter()
        .map(Path::new)
        .filter(|path| path.is_dir())
        .chain([Path::new("/proc")])
    {
        set_read_only(path, false, false)?;
    }

    attach_folder(&folder, tree.writable)?;
    set_read_only(tree.writable, false, false)?;
    for (path, detached) in &open {
        attach(detached, path)?;
        set_read_only(path, false, false)?;
    }
    copy_program(&mut squall)?;
    for (path, detached) in &files {
        attach_file(detached, path)?;
    }
    guard_proc()
}

fn detach_devices() -> Result<Vec<(&'static str, OwnedFd)>> {
    DEVICES
        .iter()
        .map(|name| Ok((*name, detach(&Path::new("/dev").join(name))?)))
        .collect()
}

fn attach_devices(devices: &[(&str, OwnedFd)]) -> Result<()> {
    mount::mount("tmpfs", "/dev", "tmpfs", MountFlags::NOSUID | MountFlags::NOEXEC, Some(c"mode=755")).context("mount a bare /dev")?;
    for (name, device) in devices {
        attach_file(device, &Path::new("/dev").join(name))?;
    }
    for (name, target) in [("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")] {
        std::os::unix::fs::symlink(target, Path::new("/dev").join(name)).with_context(|| format!("link /dev/{name}"))?;
    }
    fs::create_dir("/dev/shm").context("create /dev/shm")
}

fn copy_program(program: &mut File) -> Result<()> {
    let to = Path::new(SQUALL);
    fs::create_dir_all(to.parent().expect("the path has a folder")).with_context(|| format!("create the folder of {SQUALL}"))?;
    let mut copy = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o755)
        .open(to)
        .with_context(|| format!("create {SQUALL}"))?;
    std::io::copy(program, &mut copy).with_context(|| format!("copy the program to {SQUALL}"))?;
    Ok(())
}

/// As real root is mapped to itself, ownership alone would let a node write the host's sysctls: the parts of `/proc` that
/// reach beyond the namespaces are made read-only. (`/proc/sys/net` belongs to the network namespace and is set before.)
fn guard_proc() -> Result<()> {
    for path in [
        "/proc/sysrq-trigger",
        "/proc/irq",
        "/proc/bus",
        "/proc/fs",
        "/proc/acpi",
        "/proc/scsi",
    ] {
        if Path::new(path).exists() {
            mount::mount_bind(path, path).with_context(|| format!("bind {path}"))?;
            set_read_only(Path::new(path), true, false)?;
        }
    }
    Ok(())
}

/// Makes `/proc/sys` read-only: the last step of a node's tree; the controller still needs `/proc/sys/net`.
pub(super) fn guard_sysctls() -> Result<()> {
    mount::mount_bind("/proc/sys", "/proc/sys").context("bind /proc/sys")?;
    set_read_only(Path::new("/proc/sys"), true, false)
}

/// Whether a scratch file system hides the host's `path`.
fn covered(path: &Path) -> bool {
    SCRATCH.iter().any(|scratch| path.starts_with(scratch))
}

fn detach(path: &Path) -> Result<OwnedFd> {
    mount::open_tree(CWD, path, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)
        .with_context(|| format!("clone the mount of {}", path.display()))
}

fn attach(tree: &OwnedFd, path: &Path) -> Result<()> {
    mount::move_mount(tree.as_fd(), "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .with_context(|| format!("attach {}", path.display()))
}

fn attach_folder(tree: &OwnedFd, path: &Path) -> Result<()> {
    if covered(path) {
        fs::create_dir_all(path).with_context(|| format!("create {}", path.display()))?;
    }
    attach(tree, path)
}

fn attach_file(tree: &OwnedFd, path: &Path) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
    }
    fs::write(path, "").with_context(|| format!("create {}", path.display()))?;
    attach(tree, path)
}

/// Sets or clears read-only on the mount at `path`, and on all mounts below it if `recursive`.
fn set_read_only(path: &Path, read_only: bool, recursive: bool) -> Result<()> {
    let bits = libc::MOUNT_ATTR_RDONLY;
    let attributes = libc::mount_attr {
        attr_set: if read_only { bits } else { 0 },
        attr_clr: if read_only { 0 } else { bits },
        propagation: 0,
        userns_fd: 0,
    };
    mount_setattr(path, if recursive { libc::AT_RECURSIVE } else { 0 }, &attributes)
        .with_context(|| format!("make {} read-{}", path.display(), if read_only { "only" } else { "write" }))
}

/// `mount_setattr(2)`, which no wrapper crate offers: the only call that makes a whole tree read-only at once (Linux 5.12).
#[allow(unsafe_code, reason = "no safe wrapper exists for mount_setattr(2)")]
fn mount_setattr(path: &Path, flags: libc::c_int, attributes: &libc::mount_attr) -> std::io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path is a valid C string and the attributes a valid structure of the size passed; both outlive the call, and the
    // kernel only reads them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            std::ptr::from_ref(attributes),
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}
