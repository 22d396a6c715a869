//! Links, addresses and routes: what a routed star is built from (`man 7 rtnetlink`).
//!
//! A veth pair is made by one message whose peer is born inside the other namespace: moving a link later costs an RCU grace period per move
//! (measured 38 ms).

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd};

use super::socket::{CREATE, EXCLUSIVE, Netlink};
use super::wire::Message;
use crate::{Error, Result, netns};

/// Bytes of `struct ifinfomsg`.
const LINK_PART: usize = 16;
const UP: u32 = libc::IFF_UP as u32;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const VETH_PEER: u16 = 1;
const ON_LINK: u32 = 4;
const ANY_INDEX: u32 = 0;
/// linux/if_link.h; the kernel's usual value is `GSO_MAX_SEGS`.
const ATTRIBUTE_LARGE_SEND: u16 = 40;
const LARGE_SEND_PACKETS: u32 = 65_535;
/// `IFNAMSIZ` without the closing NUL.
const NAME_BYTES_MAX: usize = 15;

impl Netlink {
    /// Index of the link called `name`.
    ///
    /// # Errors
    /// If there is none in this namespace.
    pub fn index(&mut self, name: &str) -> Result<u32> {
        check_name(name)?;
        let request = Message::new(libc::RTM_GETLINK, 0)
            .fixed(&link(ANY_INDEX, 0, 0))
            .text(libc::IFLA_IFNAME, name);
        let replies = self.request(&format!("find link `{name}`"), request)?;
        let index = replies
            .iter()
            .find(|reply| reply.kind == libc::RTM_NEWLINK)
            .and_then(|reply| reply.body.get(4..8));
        match index {
            Some(&[a, b, c, d]) => Ok(u32::from_ne_bytes([a, b, c, d])),
            _ => Err(Error::Unusable(format!("the kernel's answer about link `{name}` has no index"))),
        }
    }

    /// Makes a veth pair: `name` here and up, `peer` inside the namespace that `namespace` refers to and down (an end cannot be up before the
    /// pair is whole).
    ///
    /// # Errors
    /// If a name is taken or too long, or the kernel has no veth.
    pub fn add_veth(&mut self, name: &str, peer: &str, namespace: impl AsFd) -> Result<()> {
        check_name(name)?;
        check_name(peer)?;
        let namespace = namespace.as_fd().as_raw_fd().cast_unsigned();
        let request = Message::new(libc::RTM_NEWLINK, CREATE | EXCLUSIVE)
            .fixed(&link(ANY_INDEX, UP, UP))
            .text(libc::IFLA_IFNAME, name)
            .nest(libc::IFLA_LINKINFO, |info| {
                info.text(INFO_KIND, "veth").nest(INFO_DATA, |data| {
                    data.nest(VETH_PEER, |end| {
                        end.fixed(&link(ANY_INDEX, 0, 0))
                            .text(libc::IFLA_IFNAME, peer)
                            .u32(libc::IFLA_NET_NS_FD, namespace)
                    })
                })
            });
        self.request(&format!("make veth pair `{name}` - `{peer}`"), request)?;
        Ok(())
    }

    /// Sets a link up or down.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn set_link(&mut self, index: u32, up: bool) -> Result<()> {
        let request = Message::new(libc::RTM_NEWLINK, 0).fixed(&link(index, if up { UP } else { 0 }, UP));
        self.request(&format!("set link {index} {}", if up { "up" } else { "down" }), request)?;
        Ok(())
    }

    /// Sets how many packets may wait in front of a link's device.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn set_queue_length(&mut self, index: u32, n_packets: u32) -> Result<()> {
        let request = Message::new(libc::RTM_NEWLINK, 0)
            .fixed(&link(index, 0, 0))
            .u32(libc::IFLA_TXQLEN, n_packets);
        self.request(&format!("give link {index} a queue of {n_packets} packets"), request)?;
        Ok(())
    }

    /// Says whether a link's driver gets large sends, each for many packets, or the packets themselves, which the kernel then cuts them into.
    ///
    /// # Errors
    /// If the kernel refuses; it takes this since Linux 4.16.
    pub fn set_large_sends(&mut self, index: u32, allowed: bool) -> Result<()> {
        let packets = if allowed { LARGE_SEND_PACKETS } else { 1 };
        let request = Message::new(libc::RTM_NEWLINK, 0)
            .fixed(&link(index, 0, 0))
            .u32(ATTRIBUTE_LARGE_SEND, packets);
        self.request(&format!("give link {index} large sends of {packets} packets"), request)?;
        Ok(())
    }

    /// Gives a link an address with a prefix of `prefix_bits` bits.
    ///
    /// # Errors
    /// If the link has it already, or is not there.
    pub fn add_address(&mut self, index: u32, address: Ipv4Addr, prefix_bits: u8) -> Result<()> {
        let [i0, i1, i2, i3] = index.to_ne_bytes();
        let request = Message::new(libc::RTM_NEWADDR, CREATE | EXCLUSIVE)
            .fixed(&[libc::AF_INET as u8, prefix_bits, 0, libc::RT_SCOPE_UNIVERSE, i0, i1, i2, i3])
            .address(libc::IFA_LOCAL, address)
            .address(libc::IFA_ADDRESS, address);
        self.request(&format!("add address {address}/{prefix_bits} to link {index}"), request)?;
        Ok(())
    }

    /// Routes one host out of a link, without a gateway.
    ///
    /// # Errors
    /// If the route is there already, or the link is down.
    pub fn add_host_route(&mut self, host: Ipv4Addr, index: u32) -> Result<()> {
        let request = Message::new(libc::RTM_NEWROUTE, CREATE | EXCLUSIVE)
            .fixed(&route(32, libc::RT_SCOPE_LINK, 0))
            .address(libc::RTA_DST, host)
            .u32(libc::RTA_OIF, index);
        self.request(&format!("route {host} out of link {index}"), request)?;
        Ok(())
    }

    /// Routes a network to `gateway`, which is taken to be on this link even if no address says so.
    ///
    /// # Errors
    /// If the route is there already, or the link is down.
    pub fn add_route(&mut self, (network, bits): (Ipv4Addr, u8), gateway: Ipv4Addr, index: u32) -> Result<()> {
        let request = Message::new(libc::RTM_NEWROUTE, CREATE | EXCLUSIVE)
            .fixed(&route(bits, libc::RT_SCOPE_UNIVERSE, ON_LINK))
            .address(libc::RTA_DST, network)
            .address(libc::RTA_GATEWAY, gateway)
            .u32(libc::RTA_OIF, index);
        self.request(&format!("route {network}/{bits} to {gateway} out of link {index}"), request)?;
        Ok(())
    }

    /// Makes an arm of a star: a veth pair whose end `eth0`, in the other namespace, has this address and sends everything to `gateway`; the end
    /// here, called `interface`, has the gateway's address and the way to the arm.
    ///
    /// # Errors
    /// Those of the steps.
    pub fn add_arm(&mut self, interface: &str, namespace: impl AsFd, address: Ipv4Addr, gateway: Ipv4Addr) -> Result<()> {
        self.add_veth(interface, "eth0", &namespace)?;
        let index = self.index(interface)?;
        self.add_address(index, gateway, 32)?;
        self.add_host_route(address, index)?;
        netns::in_namespace(namespace, || -> Result<()> {
            let mut inside = Netlink::open()?;
            let (loopback, eth0) = (inside.index("lo")?, inside.index("eth0")?);
            inside.set_link(loopback, true)?;
            inside.set_link(eth0, true)?;
            inside.add_address(eth0, address, 32)?;
            inside.add_default_route(gateway, eth0)
        })?
    }

    /// Routes everything else to `gateway`, which is taken to be on this link even if no address says so.
    ///
    /// # Errors
    /// If there is a default route already, or the link is down.
    pub fn add_default_route(&mut self, gateway: Ipv4Addr, index: u32) -> Result<()> {
        let request = Message::new(libc::RTM_NEWROUTE, CREATE | EXCLUSIVE)
            .fixed(&route(0, libc::RT_SCOPE_UNIVERSE, ON_LINK))
            .address(libc::RTA_GATEWAY, gateway)
            .u32(libc::RTA_OIF, index);
        self.request(&format!("route everything to {gateway} out of link {index}"), request)?;
        Ok(())
    }
}

/// `struct ifinfomsg`: family, pad, type, index, flags, changed flags.
pub(super) fn link(index: u32, flags: u32, change: u32) -> [u8; LINK_PART] {
    let mut part = [0; LINK_PART];
    part[4..8].copy_from_slice(&index.to_ne_bytes());
    part[8..12].copy_from_slice(&flags.to_ne_bytes());
    part[12..16].copy_from_slice(&change.to_ne_bytes());
    part
}

/// `struct rtmsg`: family, destination bits, source bits, service, table, protocol, scope, type, flags.
fn route(destination_bits: u8, scope: u8, flags: u32) -> [u8; 12] {
    let [f0, f1, f2, f3] = flags.to_ne_bytes();
    let inet = libc::AF_INET as u8;
    [
        inet,
        destination_bits,
        0,
        0,
        libc::RT_TABLE_MAIN,
        libc::RTPROT_STATIC,
        scope,
        libc::RTN_UNICAST,
        f0,
        f1,
        f2,
        f3,
    ]
}

pub(super) fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains('\0') {
        return Err(Error::Unusable(format!("link name {name:?} must have 1 to {NAME_BYTES_MAX} bytes")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_a_link_name_that_the_kernel_would_cut() {
        assert!(check_name("v-n1").is_ok());
        for name in ["", "a-name-of-16-byte", "a\0b"] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }
}
