//! An overlay: a VXLAN device whose peers are all known beforehand (RFC 7348; linux/if_link.h, linux/neighbour.h).
//!
//! Nothing is learned and nothing flooded: every peer's MAC follows from its address, and stands as a permanent neighbour and in the device's
//! forwarding table. So no broadcast has to cross a partition before a packet can, and a cut between two underlay addresses is a cut between two
//! nodes.

use std::net::Ipv4Addr;

use super::links::{check_name, link};
use super::socket::{CREATE, EXCLUSIVE, Netlink};
use super::wire::Message;
use crate::Result;

/// UDP port of VXLAN (RFC 7348, section 8).
pub const VXLAN_PORT: u16 = 4789;
/// Bytes that are left for a packet of 1500: outer IP 20, UDP 8, VXLAN 8, inner Ethernet 14.
pub const VXLAN_MTU: u32 = 1450;

const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const VXLAN_ID: u16 = 1;
const VXLAN_LINK: u16 = 3;
const VXLAN_LOCAL: u16 = 4;
const VXLAN_LEARNING: u16 = 7;
const VXLAN_DESTINATION_PORT: u16 = 15;
const PERMANENT: u16 = 0x80;
const FLAG_SELF: u8 = 2;
const NEIGHBOUR_DESTINATION: u16 = 1;
const NEIGHBOUR_MAC: u16 = 2;

/// One end of an overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverlayEnd {
    /// Its address in the overlay.
    pub address: Ipv4Addr,
    /// Its address in the network below.
    pub underlay: Ipv4Addr,
}

impl OverlayEnd {
    /// A locally administered MAC that follows from the address.
    fn mac(self) -> [u8; 6] {
        let [a, b, c, d] = self.address.octets();
        [2, 0, a, b, c, d]
    }
}

impl Netlink {
    /// Makes a VXLAN device over `below`, up, with its address in a network of `bits` bits, and enters the peers.
    ///
    /// # Errors
    /// If the name is taken, or the kernel has no VXLAN.
    pub fn add_vxlan(&mut self, name: &str, below: u32, id: u32, (own, bits): (OverlayEnd, u8), peers: &[OverlayEnd]) -> Result<()> {
        check_name(name)?;
        let request = Message::new(libc::RTM_NEWLINK, CREATE | EXCLUSIVE)
            .fixed(&link(0, 0, 0))
            .text(libc::IFLA_IFNAME, name)
            .attribute(libc::IFLA_ADDRESS, &own.mac())
            .u32(libc::IFLA_MTU, VXLAN_MTU)
            .nest(libc::IFLA_LINKINFO, |info| {
                info.text(INFO_KIND, "vxlan").nest(INFO_DATA, |data| {
                    data.u32(VXLAN_ID, id)
                        .u32(VXLAN_LINK, below)
                        .address(VXLAN_LOCAL, own.underlay)
                        .attribute(VXLAN_LEARNING, &[0])
                        .attribute(VXLAN_DESTINATION_PORT, &VXLAN_PORT.to_be_bytes())
                })
            });
        self.request(&format!("make the VXLAN device `{name}`"), request)?;
        let index = self.index(name)?;
        self.set_link(index, true)?;
        self.add_address(index, own.address, bits)?;
        peers.iter().try_for_each(|peer| self.add_peer(index, *peer))
    }

    /// Enters where a peer is: which MAC its address has, and behind which underlay address that MAC is.
    fn add_peer(&mut self, index: u32, peer: OverlayEnd) -> Result<()> {
        let neighbour = |family: i32, flags: u8| -> [u8; 12] {
            let [i0, i1, i2, i3] = index.to_ne_bytes();
            let [s0, s1] = PERMANENT.to_ne_bytes();
            [family as u8, 0, 0, 0, i0, i1, i2, i3, s0, s1, flags, 0]
        };
        let address = Message::new(libc::RTM_NEWNEIGH, CREATE | EXCLUSIVE)
            .fixed(&neighbour(libc::AF_INET, 0))
            .address(NEIGHBOUR_DESTINATION, peer.address)
            .attribute(NEIGHBOUR_MAC, &peer.mac());
        self.request(&format!("enter {} as a neighbour", peer.address), address)?;
        let place = Message::new(libc::RTM_NEWNEIGH, CREATE | EXCLUSIVE)
            .fixed(&neighbour(libc::AF_BRIDGE, FLAG_SELF))
            .address(NEIGHBOUR_DESTINATION, peer.underlay)
            .attribute(NEIGHBOUR_MAC, &peer.mac());
        self.request(&format!("enter {} behind {}", peer.address, peer.underlay), place)?;
        Ok(())
    }
}
