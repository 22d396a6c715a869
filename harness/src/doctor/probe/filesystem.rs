//! Mounts that only the run sees: bind, tmpfs, recursive read-only, FUSE.

use std::fs::{self, OpenOptions};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::CloneFlags;

use super::{Failure, Step, enter};

/// Where the probes mount: exists everywhere, and what they mount there is seen by this process alone.
const PLACE: &str = "/tmp";

pub(super) fn private_mounts() -> Result<String, Failure> {
    enter::sandbox(CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC)?;
    mount(Some("/"), PLACE, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>).step("bind mount")?;
    nix::unistd::sethostname("squall-doctor").step("sethostname")?;
    Ok(String::new())
}

pub(super) fn tmpfs() -> Result<String, Failure> {
    enter::sandbox(CloneFlags::empty())?;
    mount_tmpfs()?;
    fs::write(format!("{PLACE}/written"), "squall").step("write to the tmpfs")?;
    Ok(String::new())
}

pub(super) fn read_only_tree() -> Result<String, Failure> {
    enter::sandbox(CloneFlags::empty())?;
    // A mount below the root that is writable for sure, so that the recursion is seen to reach it.
    mount_tmpfs()?;
    let file = format!("{PLACE}/written");
    fs::write(&file, "squall").step("write to the tmpfs")?;
    set_read_only_recursively().step("mount_setattr(/, recursive, read-only)")?;
    match fs::write(&file, "again") {
        Err(error) if error.raw_os_error() == Some(Errno::EROFS as i32) => Ok(String::new()),
        Err(error) => Err(Failure::io("write to a read-only mount", &error)),
        Ok(()) => Err(Failure::said("write to a read-only mount", "the write was accepted")),
    }
}

/// As far as FUSE goes without a server: the kernel queues its first request at mount and waits for nobody.
pub(super) fn fuse() -> Result<String, Failure> {
    enter::sandbox(CloneFlags::empty())?;
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .map_err(|error| device_failure("/dev/fuse", &error))?;
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
    mount(
        Some("squall-doctor"),
        PLACE,
        Some("fuse"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some(options.as_str()),
    )
    .step("mount fuse")?;
    umount2(PLACE, MntFlags::MNT_DETACH).step("unmount fuse")?;
    Ok(String::new())
}

/// A device file that is not there is absent; any other failure is a refusal.
pub(super) fn device_failure(path: &str, error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::NotFound {
        Failure::absent(path)
    } else {
        Failure::io(format!("open {path}"), error)
    }
}

fn mount_tmpfs() -> Result<(), Failure> {
    mount(
        Some("tmpfs"),
        PLACE,
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some("size=1m"),
    )
    .step("mount tmpfs")
}

/// Makes every mount under / read-only for this mount namespace (mount_setattr(2), Linux 5.12).
#[allow(unsafe_code, reason = "neither nix nor rustix wraps mount_setattr")]
fn set_read_only_recursively() -> nix::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the path is a NUL-terminated constant and `attributes` outlives the call; its size is passed as the kernel asks. The
    // call reads both and writes no memory of ours.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            c"/".as_ptr(),
            libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    Errno::result(result).map(drop)
}
