//! The network inside: a star, made by netlink before the first thread starts.
//!
//! One router namespace (the sandbox's own), one per node, one for the clients. On the kernel's network every packet between two of them crosses
//! the router's FORWARD hook, so one rule set there cuts any set of directed links at once; a bridge would need one rule set per node. On the
//! switch's network the arms have no link yet: [`Star::plug_in`] gives each a TUN device, under the same addresses.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use squall_nemeses::link;
use squall_nemeses::netlink::Netlink;
use squall_nemeses::switch::{End, Switch};
use squall_nemeses::{NetworkKind, Router, Target, netns};

/// Where namespaces are named, as `ip netns` expects: `ip netns exec n1 …` works inside the sandbox.
const NAMES: &str = "/run/netns";
/// The router's address, the same on every link.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 255, 254);
/// The clients' address.
const CLIENTS: Ipv4Addr = Ipv4Addr::new(10, 77, 255, 1);

/// The network of a run.
#[derive(Debug, Clone)]
pub struct Star {
    /// Which network it is.
    pub kind: NetworkKind,
    /// The router.
    pub router: Router,
    /// The clients' namespace.
    pub clients: PathBuf,
    /// The nodes, by number.
    pub nodes: Vec<Address>,
}

/// Where a node is in the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// `n1`, `n2`, …
    pub id: String,
    /// Its address; it exists in this sandbox only.
    pub address: Ipv4Addr,
    /// Its namespace, as a path.
    pub namespace: PathBuf,
    /// The router's end of its link.
    pub interface: String,
}

impl Star {
    /// Makes the star in the calling thread's network namespace, which becomes the router, and leaves the thread in the clients'
    /// namespace: whatever it starts afterwards, the client runtime above all, lives there.
    ///
    /// # Errors
    /// Names the step that failed.
    pub fn build(ids: &[String], kind: NetworkKind) -> Result<Star> {
        std::fs::create_dir_all(NAMES).with_context(|| format!("create {NAMES}"))?;
        // Reverse path filtering would drop what a one-way cut lets through; redirects would tell nodes of shorter ways.
        for (name, value) in [
            ("conf/all/rp_filter", "0"),
            ("conf/default/rp_filter", "0"),
            ("conf/all/send_redirects", "0"),
            ("ip_forward", "1"),
        ] {
            let path = format!("/proc/sys/net/ipv4/{name}");
            std::fs::write(&path, value).with_context(|| format!("write {value} to {path}"))?;
        }
        let router = netns::own_namespace().context("open the router's namespace")?;
        let mut netlink = Netlink::open().context("open netlink in the router")?;
        let loopback = netlink.index("lo")?;
        netlink.set_link(loopback, true)?;

        let mut nodes = Vec::with_capacity(ids.len());
        for (number, id) in (1u16..).zip(ids) {
            // 250 to a subnet, which leaves out 0 and 255; the clients' and the router's subnet is past the last of them.
            let address = Ipv4Addr::new(
                10,
                77,
                u8::try_from(number / 250).context("too many nodes")?,
                (number % 250 + 1) as u8,
            );
            let interface = format!("v-{id}");
            let (namespace, _) = arm(kind, &mut netlink, id, &interface, address)?;
            nodes.push(Address {
                id: id.clone(),
                address,
                namespace,
                interface,
            });
        }
        let (clients, clients_ns) = arm(kind, &mut netlink, link::CLIENTS, "v-clients", CLIENTS)?;
        let router_name = name(&router, "router")?;
        netns::enter(&clients_ns).context("enter the clients' namespace")?;
        Ok(Star {
            kind,
            router: Router { namespace: router_name },
            clients,
            nodes,
        })
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
        Switch::open(&ends, GATEWAY, seed).context("start the switch; `squall doctor` says what it needs")
    }

    /// Every end of a link: the nodes, and the clients.
    pub fn ends(&self) -> Vec<Target> {
        let clients = Address {
            id: link::CLIENTS.into(),
            address: CLIENTS,
            namespace: self.clients.clone(),
            interface: "v-clients".into(),
        };
        self.nodes.iter().chain([&clients]).map(Address::target).collect()
    }
}

/// One arm of the star: a namespace, on the kernel's network with a link to the router.
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
        netlink.add_veth(interface, "eth0", &namespace)?;
        let index = netlink.index(interface)?;
        netlink.add_address(index, GATEWAY, 32)?;
        netlink.add_host_route(address, index)?;
        netns::in_namespace(&namespace, || -> squall_nemeses::Result<()> {
            let mut netlink = Netlink::open()?;
            let loopback = netlink.index("lo")?;
            netlink.set_link(loopback, true)?;
            let eth0 = netlink.index("eth0")?;
            netlink.set_link(eth0, true)?;
            netlink.add_address(eth0, address, 32)?;
            netlink.add_default_route(GATEWAY, eth0)
        })??;
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
