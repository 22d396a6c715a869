//! The network of a run: namespaces, veth pairs, forwarding, TUN.

use std::fs::{self, File, OpenOptions};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sched::CloneFlags;
use squall_nemeses::netlink::Netlink;
use squall_nemeses::netlink::overlay::OverlayEnd;
use squall_nemeses::netns;

use super::filesystem::device_failure;
use super::{Failure, Step, enter, fork, process};

pub(super) fn network_namespace() -> Result<String, Failure> {
    enter::sandbox(CloneFlags::CLONE_NEWNET)?;
    let mut netlink = Netlink::open()?;
    let loopback = netlink.index("lo")?;
    netlink.set_link(loopback, true)?;
    Ok(String::new())
}

pub(super) fn veth() -> Result<String, Failure> {
    enter::sandbox(CloneFlags::CLONE_NEWNET)?;
    let other = netns::new_namespace()?;
    Netlink::open()?.add_veth("v-doctor", "eth0", &other)?;
    netns::enter(&other)?;
    Netlink::open()?.index("eth0")?;
    Ok(String::new())
}

/// A device over a veth link, with a peer.
pub(super) fn vxlan() -> Result<String, Failure> {
    enter::sandbox(CloneFlags::CLONE_NEWNET)?;
    let other = netns::new_namespace()?;
    let mut netlink = Netlink::open()?;
    netlink.add_veth("v-doctor", "eth0", &other)?;
    let below = netlink.index("v-doctor")?;
    let end = |number| OverlayEnd {
        address: Ipv4Addr::new(100, 64, 0, number),
        underlay: Ipv4Addr::new(192, 0, 2, number),
    };
    netlink.add_vxlan("vxlan0", below, 77, (end(1), 16), &[end(2)])?;
    Ok(String::new())
}

/// Through a fresh /proc, as in a run: a container's /proc/sys is read-only.
pub(super) fn forwarding() -> Result<String, Failure> {
    enter::sandbox(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWPID)?;
    fork::run(|| {
        process::mount_proc()?;
        fs::write("/proc/sys/net/ipv4/ip_forward", "1").step("write net.ipv4.ip_forward")?;
        Ok(String::new())
    })
}

pub(super) fn tun() -> Result<String, Failure> {
    enter::sandbox(CloneFlags::CLONE_NEWNET)?;
    let path = "/dev/net/tun";
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(|error| device_failure(path, &error))?;
    attach_tun(&device, "doctor").step("ioctl(TUNSETIFF, virtio headers)")?;
    Netlink::open()?.index("doctor")?;
    Ok(String::new())
}

/// Makes `device` the interface `name`: layer 3, no packet information, virtio headers (so that large packets pass whole).
#[allow(unsafe_code, reason = "TUNSETIFF is an ioctl without a safe wrapper")]
fn attach_tun(device: &File, name: &str) -> nix::Result<()> {
    let flags = u16::try_from(libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR).expect("the three flags fit 16 bits");
    // `struct ifreq`: 16 bytes of name, then a union that starts with the flags; 40 bytes on every 64-bit kernel, 32 on others.
    let mut request = [0u8; 40];
    let name_bytes = name.len().min(libc::IFNAMSIZ - 1);
    request[..name_bytes].copy_from_slice(&name.as_bytes()[..name_bytes]);
    request[libc::IFNAMSIZ..libc::IFNAMSIZ + 2].copy_from_slice(&flags.to_ne_bytes());
    // SAFETY: `request` is at least as large as the kernel's `struct ifreq`, which it reads and writes during the call only; the kernel
    // copies bytes and asks for no alignment; `device` is an open descriptor.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, request.as_mut_ptr()) };
    Errno::result(result).map(drop)
}
