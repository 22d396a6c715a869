//! One network carved into subnets of the same size: one for each rack, and the last for the border, with clients and spines.
//!
//! In a subnet the first address is its leaf's, the ones behind it are the nodes'; network and broadcast address are nobody's (RFC 950).

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Topology;
use crate::link::CLIENTS;

/// A network and how many bits of its addresses are the same: `10.77.0.0/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(into = "String", try_from = "String")]
#[schemars(with = "String")]
pub struct Cidr {
    network: Ipv4Addr,
    bits: u8,
}

/// The addresses of everything in a topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressPlan {
    /// The subnet of each rack, in order.
    pub racks: Vec<Cidr>,
    /// The subnet of clients and spines.
    pub border: Cidr,
    /// The nodes and the clients, by name.
    pub ends: BTreeMap<String, Ipv4Addr>,
    /// The spines, in order.
    pub spines: Vec<Ipv4Addr>,
    /// The address of a balancer, if there is to be one.
    pub balancer: Ipv4Addr,
}

impl Cidr {
    /// A network that is written in the program.
    #[must_use]
    pub const fn of(network: Ipv4Addr, bits: u8) -> Cidr {
        Cidr { network, bits }
    }

    /// Whether an address is in both.
    #[must_use]
    pub fn overlaps(self, other: Cidr) -> bool {
        let mask = u32::MAX << (32 - self.bits.min(other.bits));
        (self.network.to_bits() ^ other.network.to_bits()) & mask == 0
    }

    /// The network's own address.
    #[must_use]
    pub fn network(self) -> Ipv4Addr {
        self.network
    }

    /// How many bits of its addresses are the same.
    #[must_use]
    pub fn bits(self) -> u8 {
        self.bits
    }

    /// The address at a place, from 0, which is the network's own.
    #[must_use]
    pub fn at(self, place: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network.to_bits().wrapping_add(place))
    }

    /// Of a rack's subnet, or the border's: the router's.
    #[must_use]
    pub fn gateway(self) -> Ipv4Addr {
        self.at(1)
    }

    /// Addresses that hosts can have.
    fn room(self) -> u64 {
        (1u64 << (32 - self.bits)).saturating_sub(2)
    }
}

impl Default for Cidr {
    fn default() -> Cidr {
        Cidr {
            network: Ipv4Addr::new(10, 77, 0, 0),
            bits: 16,
        }
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Cidr, String> {
        let form = || format!("`{text}` is no network; write it as 10.77.0.0/16");
        let (network, bits) = text.split_once('/').ok_or_else(form)?;
        let network: Ipv4Addr = network.parse().map_err(|_| form())?;
        let digits = !bits.is_empty() && bits.len() <= 2 && bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits: u8 = bits.parse().ok().filter(|_| digits).ok_or_else(form)?;
        if !(8..=30).contains(&bits) {
            return Err(format!("`{text}`: the network has /8 to /30"));
        }
        let mask = u32::MAX << (32 - bits);
        let inside = Ipv4Addr::from_bits(network.to_bits() & mask);
        if inside != network {
            return Err(format!("`{text}` has bits beyond /{bits}; its network is {inside}/{bits}"));
        }
        let odd = network.is_loopback()
            || network.is_multicast()
            || network.is_link_local()
            || network.octets()[0] == 0
            || network.octets()[0] >= 240;
        if odd {
            return Err(format!(
                "`{text}` is not for hosts; take a part of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16"
            ));
        }
        Ok(Cidr { network, bits })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.network, self.bits)
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> String {
        cidr.to_string()
    }
}

impl TryFrom<String> for Cidr {
    type Error = String;

    fn try_from(text: String) -> Result<Cidr, String> {
        text.parse()
    }
}

impl AddressPlan {
    /// Carves the topology's network.
    ///
    /// # Errors
    /// If a subnet has no room for what is to be in it.
    pub fn carve(topology: &Topology) -> Result<AddressPlan, String> {
        let cidr = topology.cidr;
        let n_subnets = topology.racks.len() as u32 + 1;
        // As many as a power of two holds.
        let bits = u32::from(cidr.bits) + n_subnets.next_power_of_two().trailing_zeros();
        let too_small = |what: &str, n: usize| {
            format!("`cidr` {cidr} is too small: of its {n_subnets} subnets of /{bits} none has room for {n} hosts, as {what} needs")
        };
        let fullest = topology.racks.iter().rev().max_by_key(|rack| rack.nodes.len());
        let n_nodes = fullest.map_or(0, |rack| rack.nodes.len());
        // A leaf and its nodes; the border, the clients, the spines and a balancer.
        let (in_rack, at_border) = (n_nodes + 1, topology.spines as usize + 3);
        let subnet = |place: u32| Cidr {
            network: cidr.at(place << (32 - bits).min(31)),
            bits: bits as u8,
        };
        let room = if bits > 30 { 0 } else { subnet(0).room() };
        if room < in_rack as u64 {
            let name = fullest.map_or("", |rack| &rack.name);
            return Err(too_small(&format!("rack `{name}`"), in_rack));
        }
        if room < at_border as u64 {
            return Err(too_small("the border with the spines", at_border));
        }
        let racks: Vec<Cidr> = (0..n_subnets - 1).map(subnet).collect();
        let border = subnet(n_subnets - 1);
        let in_racks = topology.racks.iter().zip(&racks).flat_map(|(rack, subnet)| {
            let nodes = rack.nodes.iter().zip(2u32..);
            nodes.map(|(node, place)| (node.clone(), subnet.at(place)))
        });
        Ok(AddressPlan {
            ends: in_racks.chain([(CLIENTS.to_owned(), border.at(2))]).collect(),
            spines: (0..topology.spines).map(|spine| border.at(3 + spine)).collect(),
            balancer: border.at(3 + topology.spines),
            border,
            racks,
        })
    }
}
