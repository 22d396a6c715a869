//! The network inside: a star, made by netlink before the first thread starts.
//!
//! One router namespace (the sandbox's own), one per node, one for the clients. On the kernel's network every packet between two of them crosses
//! the router's FORWARD hook, so one rule set there cuts any set of directed links at once; a bridge would need one rule set per node. On the
//! switch's network the arms have no link yet: [`Star::plug_in`] gives each a TUN device, under the same addresses.
//!
//! Nodes in racks have a leaf–spine of routers instead ([`squall_nemeses::fabric`]); who starts nodes in it need not know.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use squall_nemeses::fabric::{self, Leaf};
use squall_nemeses::link;
use squall_nemeses::netlink::Netlink;
use squall_nemeses::netlink::overlay::OverlayEnd;
use squall_nemeses::switch::{End, Switch};
use squall_nemeses::topology::subnets::AddressPlan;
use squall_nemeses::{NetworkKind, Router, Target, Topology, netns};

use crate::plan::{OVERLAY, Overlay};

/// Where namespaces are named, as `ip netns` expects: `ip netns exec n1 …` works inside the sandbox.
const NAMES: &str = "/run/netns";
/// The router's address, the same on every link of a plain star.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 255, 254);
/// The clients' address in a plain star.
const CLIENTS: Ipv4Addr = Ipv4Addr::new(10, 77, 255, 1);
/// A balancer's address in a plain star.
const BALANCER: Ipv4Addr = Ipv4Addr::new(10, 77, 255, 2);
/// The device of an overlay, and the number of its network.
const OVERLAY_DEVICE: &str = "vxlan0";
const OVERLAY_ID: u32 = 77;

/// The network of a run.
#[derive(Debug, Clone)]
pub struct Star {
    /// Which network it is.
    pub kind: NetworkKind,
    /// The router; of a leaf–spine the border, behind which the clients are.
    pub router: Router,
    /// The clients, as an end of a link.
    pub clients: Address,
    /// The nodes, by number.
    pub nodes: Vec<Address>,
    /// The leaves and who is behind each, the border last, where the kernel's network is a leaf–spine.
    pub leaves: Vec<(PathBuf, BTreeSet<String>)>,
    /// The address of a balancer, if there is to be one.
    pub balancer: Ipv4Addr,
    /// The gateway that nodes on the switch are told; it is nobody.
    gateway: Ipv4Addr,
}

/// Where a node is in the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// `n1`, `n2`, …
    pub id: String,
    /// Its address; it exists in this sandbox only.
    pub address: Ipv4Addr,
    /// Its address in the network below, where there is an overlay; else the same.
    pub underlay: Ipv4Addr,
    /// Its namespace, as a path.
    pub namespace: PathBuf,
    /// The router's end of its link.
    pub interface: String,
}

/// Who has which address.
struct Addresses {
    nodes: Vec<(String, Ipv4Addr)>,
    clients: Ipv4Addr,
    balancer: Ipv4Addr,
    gateway: Ipv4Addr,
}

impl Star {
    /// Makes the network in the calling thread's network namespace, which becomes the router, and leaves the thread in the clients'
    /// namespace: whatever it starts afterwards, the client runtime above all, lives there. Nodes in failure domains have the addresses of their
    /// racks' subnets, and on the kernel's network a leaf–spine between them.
    ///
    /// # Errors
    /// Names the step that failed.
    pub fn build(ids: &[String], kind: NetworkKind, topology: Option<&Topology>, overlay: Option<Overlay>) -> Result<Star> {
        std::fs::create_dir_all(NAMES).with_context(|| format!("create {NAMES}"))?;
        let (mut star, clients) = match topology {
            Some(topology) if kind == NetworkKind::Kernel => lay_fabric(ids, topology)?,
            _ => lay_star(kind, addresses(ids, topology)?)?,
        };
        if let Some(Overlay::Vxlan) = overlay {
            star.overlay().context("lay the overlay")?;
        }
        netns::enter(&clients).context("enter the clients' namespace")?;
        Ok(star)
    }

    /// Gives every end a device of an overlay, whose address is its own from now on.
    fn overlay(&mut self) -> Result<()> {
        let n_nodes = u32::try_from(self.nodes.len())?;
        for (place, end) in (1..).zip(self.nodes.iter_mut()) {
            end.address = OVERLAY.at(place);
        }
        self.clients.address = OVERLAY.at(n_nodes + 1);
        let ends: Vec<&Address> = self.nodes.iter().chain([&self.clients]).collect();
        for end in &ends {
            let others = ends.iter().filter(|other| other.id != end.id);
            let peers: Vec<OverlayEnd> = others.map(|other| other.overlaid()).collect();
            netns::in_namespace(netns::open(&end.namespace)?, || -> squall_nemeses::Result<()> {
                let mut netlink = Netlink::open()?;
                let below = netlink.index("eth0")?;
                netlink.add_vxlan(OVERLAY_DEVICE, below, OVERLAY_ID, (end.overlaid(), OVERLAY.bits()), &peers)
            })?
            .with_context(|| format!("join {} to the overlay; `squall doctor` says whether the kernel has VXLAN", end.id))?;
        }
        Ok(())
    }

    /// Starts a switch between all arms of a star that has no links of its own.
    ///
    /// # Errors
    /// If the kernel gives no TUN devices.
    pub fn plug_in(&self, seed: u64) -> Result<Switch> {
        let end = |target: Target| -> Result<End> {
            Ok(End {
                namespace: netns::open(&target.namespace)?,
                address: target.address,
                id: target.id,
            })
        };
        let ends = self.ends().into_iter().map(end).collect::<Result<Vec<_>>>()?;
        Switch::open(&ends, self.gateway, seed).context("start the switch; `squall doctor` says what it needs")
    }

    /// Every end of a link: the nodes, and the clients.
    pub fn ends(&self) -> Vec<Target> {
        self.nodes.iter().chain([&self.clients]).map(Address::target).collect()
    }
}

fn addresses(ids: &[String], topology: Option<&Topology>) -> Result<Addresses> {
    let Some(topology) = topology else {
        let numbered = (1u16..).zip(ids).map(|(number, id)| {
            // 250 to a subnet, which leaves out 0 and 255; the clients' and the router's subnet is past the last of them.
            let subnet = u8::try_from(number / 250).context("too many nodes")?;
            Ok((id.clone(), Ipv4Addr::new(10, 77, subnet, (number % 250 + 1) as u8)))
        });
        return Ok(Addresses {
            nodes: numbered.collect::<Result<_>>()?,
            clients: CLIENTS,
            balancer: BALANCER,
            gateway: GATEWAY,
        });
    };
    let plan = AddressPlan::carve(topology).map_err(|error| anyhow!(error))?;
    let of = |id: &str| plan.ends.get(id).copied().with_context(|| format!("`{id}` is in no rack"));
    Ok(Addresses {
        nodes: ids.iter().map(|id| Ok((id.clone(), of(id)?))).collect::<Result<_>>()?,
        clients: of(link::CLIENTS)?,
        balancer: plan.balancer,
        gateway: plan.border.gateway(),
    })
}

/// A plain star, or arms without links for a switch. Returns the clients' namespace as well.
fn lay_star(kind: NetworkKind, addresses: Addresses) -> Result<(Star, OwnedFd)> {
    let router = netns::own_namespace().context("open the router's namespace")?;
    fabric::make_router()?;
    let mut netlink = Netlink::open().context("open netlink in the router")?;
    let mut arm = |id: &str, interface: String, address: Ipv4Addr| -> Result<(Address, OwnedFd)> {
        let (path, namespace) = arm(kind, &mut netlink, id, &interface, address)?;
        let address = Address {
            id: id.to_owned(),
            address,
            underlay: address,
            namespace: path,
            interface,
        };
        Ok((address, namespace))
    };
    let nodes = addresses.nodes.into_iter();
    let nodes = nodes.map(|(id, address)| Ok(arm(&id, format!("v-{id}"), address)?.0));
    let nodes = nodes.collect::<Result<Vec<_>>>()?;
    let (clients, clients_ns) = arm(link::CLIENTS, "v-clients".into(), addresses.clients)?;
    let star = Star {
        kind,
        router: Router {
            namespace: name(&router, "router")?,
        },
        clients,
        nodes,
        leaves: Vec::new(),
        balancer: addresses.balancer,
        gateway: addresses.gateway,
    };
    Ok((star, clients_ns))
}

/// A leaf–spine; its namespaces are called `leaf1` and so on, `spine1` and so on, and `router`, which is the border.
fn lay_fabric(ids: &[String], topology: &Topology) -> Result<(Star, OwnedFd)> {
    let built = fabric::build(topology).context("build the leaves and spines")?;
    for (number, spine) in (1..).zip(&built.spines) {
        name(spine, &format!("spine{number}"))?;
    }
    let n_racks = topology.racks.len();
    let leaf = |(place, leaf): (usize, Leaf)| {
        let called = if place == n_racks {
            "router".into()
        } else {
            format!("leaf{}", place + 1)
        };
        Ok((name(&leaf.namespace, &called)?, leaf.ends))
    };
    let leaves = built.leaves.into_iter().enumerate().map(leaf).collect::<Result<Vec<_>>>()?;
    let mut named = BTreeMap::new();
    for end in built.ends {
        let address = Address {
            namespace: name(&end.namespace, &end.id)?,
            address: end.address,
            underlay: end.address,
            interface: end.interface,
            id: end.id.clone(),
        };
        named.insert(end.id, (address, end.namespace));
    }
    let mut take = |id: &str| named.remove(id).with_context(|| format!("`{id}` is in no rack"));
    let (clients, clients_ns) = take(link::CLIENTS)?;
    let nodes = ids.iter().map(|id| Ok(take(id)?.0)).collect::<Result<Vec<_>>>()?;
    let (border, _) = leaves.last().context("a fabric has a border")?;
    let star = Star {
        kind: NetworkKind::Kernel,
        router: Router { namespace: border.clone() },
        balancer: built.balancer,
        gateway: clients.address,
        clients,
        nodes,
        leaves,
    };
    Ok((star, clients_ns))
}

/// One arm of a plain star: a namespace, on the kernel's network with a link to the router.
fn arm(kind: NetworkKind, netlink: &mut Netlink, id: &str, interface: &str, address: Ipv4Addr) -> Result<(PathBuf, OwnedFd)> {
    let build = || -> Result<(PathBuf, OwnedFd)> {
        let namespace = netns::new_namespace()?;
        if kind == NetworkKind::Switch {
            netns::in_namespace(&namespace, || -> squall_nemeses::Result<()> {
                let mut netlink = Netlink::open()?;
                let loopback = netlink.index("lo")?;
                netlink.set_link(loopback, true)
            })??;
            return Ok((name(&namespace, id)?, namespace));
        }
        netlink.add_arm(interface, &namespace, address, GATEWAY)?;
        Ok((name(&namespace, id)?, namespace))
    };
    let mut build = build;
    build().with_context(|| format!("link {id} to the router"))
}

fn name(namespace: &OwnedFd, id: &str) -> Result<PathBuf> {
    let path = Path::new(NAMES).join(id);
    netns::bind(namespace, &path).with_context(|| format!("name the namespace of {id}"))?;
    Ok(path)
}

impl Address {
    /// Where it is in an overlay.
    fn overlaid(&self) -> OverlayEnd {
        OverlayEnd {
            address: self.address,
            underlay: self.underlay,
        }
    }

    /// The node as probes see it, without its processes.
    pub fn target(&self) -> Target {
        Target {
            id: self.id.clone(),
            address: self.address,
            namespace: self.namespace.clone(),
            interface: self.interface.clone(),
            init_pid: None,
            data: PathBuf::new(),
        }
    }
}
