//! Leaves and spines as namespaces: links, addresses and routes, by netlink.
//!
//! ```text
//!  spine namespace:  down1 … down9     a subnet's route each, by way of its leaf
//!                      │
//!  leaf namespace:    up1, up2         a route for each end elsewhere, by way of the spine that [`Topology::spine_of`] names
//!                    v-n1, v-n2        a route for each end here
//!                      │
//!  node namespace:    eth0             a default route to the leaf
//! ```
//!
//! No link has a subnet of its own: routers have one address on all of their links, and every route says its gateway is on the link (unnumbered
//! links, RFC 5309).

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};

use super::Leaf;
use crate::link::{CLIENTS, Pair};
use crate::netlink::Netlink;
use crate::topology::Topology;
use crate::topology::subnets::{AddressPlan, Cidr};
use crate::{Error, Result, netns};

/// Who is behind which router's link: the nodes, and the clients.
#[derive(Debug)]
pub struct FabricEnd {
    /// Its name.
    pub id: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its namespace.
    pub namespace: OwnedFd,
    /// Its leaf's end of its link.
    pub interface: String,
}

/// A leaf–spine, ready to carry packets.
#[derive(Debug)]
pub struct Built {
    /// The leaves of the racks, in order, and the border behind them.
    pub leaves: Vec<Leaf>,
    /// The spines, in order.
    pub spines: Vec<OwnedFd>,
    /// The nodes rack by rack, and the clients behind them.
    pub ends: Vec<FabricEnd>,
    /// The address of a balancer at the border, if there is to be one.
    pub balancer: Ipv4Addr,
}

/// What packets are routed by; the same in every router's namespace. Reverse path filtering would drop what comes back by another spine; redirects
/// would tell nodes of shorter ways.
const SETTINGS: [(&str, &str); 4] = [
    ("conf/all/rp_filter", "0"),
    ("conf/default/rp_filter", "0"),
    ("conf/all/send_redirects", "0"),
    ("ip_forward", "1"),
];

/// Makes the calling thread's network namespace a router.
///
/// # Errors
/// If /proc/sys is not to be written.
pub fn make_router() -> Result<()> {
    for (name, value) in SETTINGS {
        let path = format!("/proc/sys/net/ipv4/{name}");
        std::fs::write(&path, value).map_err(Error::system(format!("write {value} to {path}")))?;
    }
    let mut netlink = Netlink::open()?;
    let loopback = netlink.index("lo")?;
    netlink.set_link(loopback, true)
}

/// Builds the leaf–spine of a topology. The calling thread's network namespace becomes the border.
///
/// # Errors
/// If there is no room for the addresses, or the kernel refuses a step.
pub fn build(topology: &Topology) -> Result<Built> {
    let plan = AddressPlan::carve(topology).map_err(Error::Unusable)?;
    let router = || -> Result<OwnedFd> {
        let namespace = netns::new_namespace()?;
        netns::in_namespace(&namespace, make_router)??;
        Ok(namespace)
    };
    make_router()?;
    let spines = (0..topology.spines).map(|_| router()).collect::<Result<Vec<_>>>()?;
    let mut built = Built {
        leaves: Vec::new(),
        spines,
        ends: Vec::new(),
        balancer: plan.balancer,
    };
    let clients = [CLIENTS.to_owned()];
    let racks = topology.racks.iter().map(|rack| rack.nodes.as_slice());
    for (place, nodes) in racks.chain([clients.as_slice()]).enumerate() {
        let namespace = if place == topology.racks.len() {
            netns::own_namespace()?
        } else {
            router()?
        };
        let maker = LeafMaker {
            topology,
            plan: &plan,
            place,
            subnet: plan.racks.get(place).copied().unwrap_or(plan.border),
            nodes,
        };
        built.ends.extend(netns::in_namespace(&namespace, || maker.make(&built.spines))??);
        built.leaves.push(Leaf {
            namespace,
            ends: nodes.iter().cloned().collect::<BTreeSet<_>>(),
        });
    }
    Ok(built)
}

/// One leaf on its way into being; all of it happens in the leaf's namespace.
struct LeafMaker<'a> {
    topology: &'a Topology,
    plan: &'a AddressPlan,
    place: usize,
    subnet: Cidr,
    nodes: &'a [String],
}

impl LeafMaker<'_> {
    fn make(&self, spines: &[OwnedFd]) -> Result<Vec<FabricEnd>> {
        let mut netlink = Netlink::open()?;
        let ends = self
            .nodes
            .iter()
            .map(|node| self.link_end(&mut netlink, node))
            .collect::<Result<Vec<_>>>()?;
        let uplinks = self.link_spines(&mut netlink, spines)?;
        self.route(&mut netlink, &uplinks)?;
        Ok(ends)
    }

    /// A link down to a node, or to the clients.
    fn link_end(&self, netlink: &mut Netlink, id: &str) -> Result<FabricEnd> {
        let (address, gateway) = (self.plan.ends[id], self.subnet.gateway());
        let (namespace, interface) = (netns::new_namespace()?, format!("v-{id}"));
        netlink.add_arm(&interface, &namespace, address, gateway)?;
        Ok(FabricEnd {
            id: id.to_owned(),
            address,
            namespace,
            interface,
        })
    }

    /// A link up to each spine, with the spine's way back to this leaf's subnet. Returns the links' numbers.
    fn link_spines(&self, netlink: &mut Netlink, spines: &[OwnedFd]) -> Result<Vec<u32>> {
        let (gateway, mut uplinks) = (self.subnet.gateway(), Vec::new());
        for (number, (namespace, spine)) in (1..).zip(spines.iter().zip(&self.plan.spines)) {
            let (up, down) = (format!("up{number}"), format!("down{}", self.place + 1));
            netlink.add_veth(&up, &down, namespace.as_fd())?;
            let index = netlink.index(&up)?;
            netlink.add_address(index, gateway, 32)?;
            netns::in_namespace(namespace, || -> Result<()> {
                let mut netlink = Netlink::open()?;
                let index = netlink.index(&down)?;
                netlink.set_link(index, true)?;
                netlink.add_address(index, *spine, 32)?;
                netlink.add_route((self.subnet.network(), self.subnet.bits()), gateway, index)
            })??;
            uplinks.push(index);
        }
        Ok(uplinks)
    }

    /// A route to each end behind another leaf. All ends here send by this leaf, so the first stands for all.
    fn route(&self, netlink: &mut Netlink, uplinks: &[u32]) -> Result<()> {
        let Some(here) = self.nodes.first() else { return Ok(()) };
        for (id, address) in &self.plan.ends {
            let Some(spine) = self.topology.spine_of(&Pair::new(here, id)) else {
                continue;
            };
            let spine = spine as usize;
            netlink.add_route((*address, 32), self.plan.spines[spine], uplinks[spine])?;
            if id == CLIENTS {
                // A balancer stands beside the clients, and is reached like them.
                netlink.add_route((self.plan.balancer, 32), self.plan.spines[spine], uplinks[spine])?;
            }
        }
        Ok(())
    }
}
