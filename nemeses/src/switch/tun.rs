//! A TUN device: a network interface whose other side is a descriptor (linux/Documentation/networking/tuntap.rst).
//!
//! With a vnet header and the offloads for checksums and large sends, a kernel hands over up to 64 KiB at once, and takes as much.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use crate::netlink::Netlink;
use crate::{Error, Result, netns};

/// Where the kernel offers TUN devices.
pub const DEVICE: &str = "/dev/net/tun";

/// Packets that the kernel keeps for us while our thread is not running. By default 500, which a burst of datagrams overruns.
const QUEUE_PACKETS: u32 = 10_000;

/// What the device can do: partial checksums, and large sends of TCP over IPv4 and IPv6 (linux/if_tun.h).
const OFFLOADS: libc::c_int = 0x01 | 0x02 | 0x04;

nix::ioctl_readwrite_bad!(set_interface, libc::TUNSETIFF, libc::ifreq);
nix::ioctl_write_int_bad!(set_offload, libc::TUNSETOFFLOAD);

/// Makes `eth0` in a network namespace, with an address and a route to everything else, and returns its other side.
///
/// # Errors
/// If the device file cannot be opened (it is for root alone on some machines), or the kernel has no TUN or refuses.
pub(super) fn open(namespace: impl AsFd, address: Ipv4Addr, gateway: Ipv4Addr) -> Result<OwnedFd> {
    netns::in_namespace(namespace, || {
        let device = open_device("eth0")?;
        let mut netlink = Netlink::open()?;
        let link = netlink.index("eth0")?;
        netlink.set_queue_length(link, QUEUE_PACKETS)?;
        netlink.set_link(link, true)?;
        netlink.add_address(link, address, 32)?;
        netlink.add_default_route(gateway, link)?;
        Ok(device)
    })?
}

/// Whether the calling user may open the device file; nothing is made.
///
/// # Errors
/// Says what refuses.
pub fn may_open() -> Result<()> {
    open_file().map(drop)
}

/// Whether TUN devices can be had: opens the device file and makes one in a fresh network namespace.
///
/// # Errors
/// Says what refuses; the caller says what to do about it.
pub fn can_open() -> Result<()> {
    netns::in_namespace(netns::new_namespace()?, || open_device("eth0").map(drop))?
}

/// Makes a device in the calling thread's network namespace; it is down. It goes with the last descriptor.
///
/// # Errors
/// As [`open`].
fn open_device(name: &str) -> Result<OwnedFd> {
    let device = open_file()?;
    configure(&device, name).map_err(Error::system(format!("make a TUN device `{name}`")))?;
    Ok(device)
}

fn open_file() -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(DEVICE, flags, Mode::empty()).map_err(Error::system(format!("open {DEVICE}")))
}

#[allow(unsafe_code, reason = "TUNSETIFF and TUNSETOFFLOAD have no safe wrapper")]
fn configure(device: &OwnedFd, name: &str) -> nix::Result<()> {
    let mut interface = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_flags: (libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short,
        },
    };
    // The last byte stays 0.
    for (to, from) in interface.ifr_name[..libc::IFNAMSIZ - 1].iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    // SAFETY: the descriptor is open for the length of both calls. The first reads and writes one `ifreq` (the kernel writes the name back), a
    // local of that type that nothing else refers to; the second takes a number.
    unsafe {
        set_interface(device.as_raw_fd(), &raw mut interface)?;
        set_offload(device.as_raw_fd(), OFFLOADS)?;
    }
    Ok(())
}
