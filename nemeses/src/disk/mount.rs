//! Mounting: a descriptor of `/dev/fuse` tied to a folder, in the mount namespace of whoever calls.
//!
//! The kernel lets a mount wait for its server: the node's init mounts, and hands the descriptor to the disk's server, which lives outside and
//! never sees the mount. With the node's last process its mount namespace goes, and the mount with it.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::mount::MountFlags;

use crate::error::{Error, Result};

/// The device that FUSE file systems are served through.
const DEVICE: &str = "/dev/fuse";

/// Opens the device; to be done before `/dev` is replaced.
///
/// # Errors
/// The reason: it is missing, or not for this user.
pub fn open_device() -> Result<OwnedFd> {
    let device = OpenOptions::new().read(true).write(true).open(DEVICE);
    device.map(OwnedFd::from).map_err(Error::system(format!("open {DEVICE}")))
}

/// Mounts a device on a folder. Whoever touches the folder waits until [`super::Disk::serve`] has the device.
///
/// # Errors
/// The reason of the kernel.
pub fn mount(device: &OwnedFd, on: &Path) -> Result<()> {
    // All checks of rights are the kernel's, by the modes that we tell it. `allow_other`: a node may run under several ids.
    let options = format!(
        "fd={},rootmode=40000,user_id={},group_id={},default_permissions,allow_other",
        device.as_raw_fd(),
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    let options = CString::new(options).expect("numbers and words hold no zero byte");
    rustix::mount::mount(
        "squall",
        on,
        "fuse.squall",
        MountFlags::NOSUID | MountFlags::NODEV,
        Some(options.as_c_str()),
    )
    .map_err(Error::system(format!("mount a disk on {}", on.display())))
}

/// Takes a mount away at once, whoever still uses it.
///
/// # Errors
/// The reason of the kernel.
pub fn unmount(on: &Path) -> Result<()> {
    rustix::mount::unmount(on, rustix::mount::UnmountFlags::DETACH).map_err(Error::system(format!("unmount {}", on.display())))
}

/// A second descriptor, for whoever serves while the first one mounts.
///
/// # Errors
/// If there are no more descriptors.
pub fn share(device: &OwnedFd) -> Result<OwnedFd> {
    let file = File::from(device.try_clone().map_err(Error::system("share a descriptor"))?);
    Ok(OwnedFd::from(file))
}
