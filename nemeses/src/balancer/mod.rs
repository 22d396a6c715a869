//! A balancer in front of the nodes: one address for all of them, behind which each connection gets a node (layer 4, by NAT in the kernel).
//!
//! ```text
//!  client ──► VIP:port ══ DNAT: the next node ══ SNAT: VIP and one of a few ports ──► node:port
//! ```
//!
//! It is the flow table (conntrack) that knows which connection belongs to which node, and the few ports that tell connections to the same node apart.
//! Both can be lost, as with any such device:
//!
//! - its flow table is flushed: connections that stand are known to nobody, and whoever sends in one is reset;
//! - its ports are used up: connections that stand go on, and no new one is let through. One that ends gives its port back, which has to be used up again
//!   ([`Balancer::refill`]) before somebody gets it.
//!
//! Middle-of-stream pickup is off (`nf_conntrack_tcp_loose`), or a flushed connection would be taken for a new one and given to any node.
//!
//! - `rules`: the NAT, by iptables
//! - `flows`: the flow table, by ctnetlink; what is used up is flows that nobody uses, in every place that a port could have
//! - `probe`: connections of our own through the balancer
//! - `table`: what the flow table says where no connection can be had

mod flows;
mod probe;
mod rules;
mod table;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::flows::Flows;
pub use self::probe::{BalancerProbe, BalancerReport, Through};
use crate::netlink::Netlink;
use crate::world::Compose;
use crate::{Error, Result, netns};

/// How many ports of the balancer tell connections to one node apart. Few, so that they are soon used up; more than the clients of a run have at a time.
pub const N_PORTS: u16 = 128;
/// The first of them.
const FIRST_PORT: u16 = 20_000;
/// Where probes listen, on each node.
pub const PROBE_PORT: u16 = 19_999;

/// No pickup in midstream; and connections that are over give their ports back within seconds. By default one keeps its port for two minutes, and clients
/// that reconnect a lot would use all of them up without any fault.
const SETTINGS: [(&str, &str); 7] = [
    ("loose", "0"),
    ("timeout_syn_sent", "5"),
    ("timeout_fin_wait", "2"),
    ("timeout_close_wait", "2"),
    ("timeout_last_ack", "2"),
    ("timeout_time_wait", "1"),
    ("timeout_close", "1"),
];

/// What should be wrong with the balancer; by default nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BalancerTrouble {
    /// How many flushes of its flow table were asked for. Each time the number rises the table is flushed.
    #[serde(skip_serializing_if = "is_default")]
    pub flushes: u32,
    /// Whether all of its ports are used up.
    #[serde(skip_serializing_if = "is_default")]
    pub no_ports: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Compose for BalancerTrouble {
    fn and(&mut self, other: &BalancerTrouble) {
        self.flushes = self.flushes.saturating_add(other.flushes);
        self.no_ports |= other.no_ports;
    }
}

/// Where the balancer is, and what is behind it.
#[derive(Debug)]
pub struct Setup {
    /// The namespace that clients' packets cross first.
    pub router: OwnedFd,
    /// The address that clients talk to.
    pub address: Ipv4Addr,
    /// The port on which the nodes serve.
    pub port: u16,
    /// The nodes.
    pub nodes: BTreeMap<String, Ipv4Addr>,
}

/// The balancer of a run.
#[derive(Debug)]
pub struct Balancer {
    setup: Setup,
    now: Mutex<Now>,
}

/// What is wrong with a balancer.
#[derive(Debug, Default)]
struct Now {
    trouble: BalancerTrouble,
    /// Ports that came back since they were used up, and were used up again.
    n_back: usize,
}

/// What one change of the balancer did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rebalanced {
    /// Flows that were made to use ports up, or taken away.
    pub n_flows: usize,
    /// From the command to its return, in microseconds.
    pub duration_us: u64,
}

impl Balancer {
    /// Puts the balancer in front of the nodes.
    ///
    /// # Errors
    /// If the kernel or its programs cannot do NAT.
    pub fn open(setup: Setup, folders: &[PathBuf]) -> Result<Balancer> {
        netns::in_namespace(&setup.router, || -> Result<()> {
            rules::install(&setup, folders)?;
            for (name, value) in SETTINGS {
                let path = format!("/proc/sys/net/netfilter/nf_conntrack_tcp_{name}");
                std::fs::write(&path, value).map_err(Error::system(format!("write {value} to {path}")))?;
            }
            let mut netlink = Netlink::open()?;
            let loopback = netlink.index("lo")?;
            netlink.add_address(loopback, setup.address, 32)
        })??;
        Ok(Balancer {
            setup,
            now: Mutex::default(),
        })
    }

    /// The address that clients talk to.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.setup.address
    }

    /// Makes this what is wrong with the balancer.
    ///
    /// # Errors
    /// If the kernel refuses a change of its flow table.
    pub fn apply(&self, wanted: BalancerTrouble) -> Result<Rebalanced> {
        let began = Instant::now();
        let mut now = self.now.lock().expect("no holder of this lock panics");
        let before = now.trouble;
        let n_flows = netns::in_namespace(self.setup.router.as_fd(), || -> Result<usize> {
            let mut flows = Flows::open()?;
            let flushes = wanted.flushes > before.flushes;
            if flushes {
                flows.flush()?;
            }
            let fillers = self.fillers();
            match (wanted.no_ports, before.no_ports) {
                // Again, too: those that were there went with a flush, and a connection that ended gave its port back.
                (true, _) => flows.occupy(&fillers),
                (false, true) => flows.free(&fillers),
                _ => Ok(0),
            }
        })??;
        now.trouble = wanted;
        if !before.no_ports {
            now.n_back = 0;
        }
        Ok(Rebalanced {
            n_flows,
            duration_us: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
        })
    }

    /// Uses up the ports that came back, if they are to be used up at all, and says how many they were. To be called again and again: connections that
    /// stood end.
    ///
    /// # Errors
    /// If the kernel refuses a change of its flow table.
    pub fn refill(&self) -> Result<usize> {
        let mut now = self.now.lock().expect("no holder of this lock panics");
        if !now.trouble.no_ports {
            return Ok(0);
        }
        let n_back = netns::in_namespace(self.setup.router.as_fd(), || Flows::open()?.occupy(&self.fillers()))??;
        now.n_back += n_back;
        Ok(n_back)
    }

    /// A flow for every place that a connection to a node, or to its probe, could have.
    fn fillers(&self) -> Vec<flows::Flow> {
        let ports = || FIRST_PORT..FIRST_PORT + N_PORTS;
        let to = self
            .setup
            .nodes
            .values()
            .flat_map(|node| [(*node, self.setup.port), (*node, PROBE_PORT)]);
        let all = to.flat_map(|to| ports().map(move |port| (port, to)));
        all.map(|(port, to)| flows::Flow {
            from: (self.setup.address, port),
            to,
        })
        .collect()
    }
}
