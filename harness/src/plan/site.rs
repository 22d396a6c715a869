//! What the nodes are in and behind: failure domains, a balancer, an overlay; and which network can have them.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_nemeses::topology::subnets::Cidr;
use squall_nemeses::{Capability, Mechanism, NetworkKind, Site};

use super::{Plan, SPARES_MAX, node_names};

/// The addresses of an overlay: shared space (RFC 6598), which no plan's network is likely to have.
pub const OVERLAY: Cidr = Cidr::of(std::net::Ipv4Addr::new(100, 64, 0, 0), 16);

/// A network above the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Overlay {
    /// Ethernet in UDP; packets of 1450 bytes at most.
    Vxlan,
}

/// Why links can only be cut, whatever the machine: the network wanted, and what is above or in it; `None` if that is the machine's matter.
pub fn only_cuts(network: Option<NetworkKind>, site: Site<'_>, overlay: Option<Overlay>) -> Option<String> {
    let is_kernel = network == Some(NetworkKind::Kernel);
    let has = [
        (site.topology.is_some() && is_kernel, "topology", "; `switch` can"),
        (site.balancer, "balancer", ""),
        (overlay.is_some(), "overlay", ""),
    ];
    let (_, what, who_can) = has.iter().find(|(has, ..)| *has)?;
    Some(format!(
        "`{what}`: with it the network `kernel` cuts links and cannot make them bad{who_can}"
    ))
}

impl Plan {
    /// What the nodes are in and behind.
    pub fn site(&self) -> Site<'_> {
        Site {
            topology: self.topology.as_ref(),
            balancer: self.balancer,
            spares: self.spares > 0,
        }
    }

    /// The names of all nodes: the members, and behind them the spare nodes.
    pub fn node_names(&self) -> Vec<String> {
        node_names(self.system.nodes() + self.spares)
    }

    /// The names of the spare nodes.
    pub fn spare_names(&self) -> Vec<String> {
        self.node_names().split_off(self.system.nodes() as usize)
    }

    /// Checks that the system can have spare nodes, if it is to have any.
    pub(super) fn validate_spares(&self) -> Result<(), String> {
        if self.spares > SPARES_MAX {
            return Err(format!("`spares` is {}; at most {SPARES_MAX} nodes can be spare", self.spares));
        }
        if self.spares > 0 && !self.system.capabilities().contains(&Capability::Grow) {
            let (system, cannot) = (self.system.name(), Capability::Grow);
            return Err(format!("`spares` is {}: {system} cannot {cannot}", self.spares));
        }
        Ok(())
    }

    /// Whether domains are apart, which only the network `switch` can do.
    pub fn has_latency(&self) -> bool {
        self.topology.as_ref().is_some_and(|topology| !topology.latency.is_none())
    }

    /// Checks what the nodes are in and behind, and whether the network can have it.
    pub(super) fn validate_site(&self, nodes: &[String]) -> Result<(), String> {
        if let Some(topology) = &self.topology {
            topology.check()?;
            topology.check_cluster(nodes)?;
            if self.has_latency() && self.network_kind() == NetworkKind::Kernel {
                return Err("`latency_us`: the network `kernel` cannot keep domains apart, but `switch` can".into());
            }
        }
        if self.has_bad_links() {
            let has = [
                (self.balancer, "balancer", "behind it"),
                (self.overlay.is_some(), "overlay", "below it"),
            ];
            if let Some((_, what, place)) = has.iter().find(|(has, ..)| *has) {
                return Err(format!(
                    "`{what}`: {place} links can be cut here, by `partition`, and not made bad in other ways, so leave out {}; kinds that are not \
                     in `--faults links` and not `region-slow` can be had",
                    self.kinds_of_bad_links().join(", ")
                ));
            }
            if self.network_kind() == NetworkKind::Kernel
                && let Some(why) = only_cuts(self.network, self.site(), self.overlay)
            {
                return Err(why);
            }
        }
        if let Some(why) = self.why_switch() {
            if self.balancer {
                return Err(format!(
                    "`balancer`: it is NAT of the kernel, which the network `switch` has not; leave out {why}"
                ));
            }
            if self.overlay.is_some() {
                return Err(format!(
                    "`overlay`: it is a device of the kernel's network, and the network `switch` would not see into it; leave out {why}"
                ));
            }
        }
        if self.overlay.is_some() && self.balancer {
            return Err("`overlay`: the `balancer` stands below it, and reaches no node in it; take one of them".into());
        }
        let overlaps = self.overlay.is_some() && self.topology.as_ref().is_some_and(|topology| topology.cidr.overlaps(OVERLAY));
        if overlaps {
            return Err(format!("`cidr`: the overlay has {OVERLAY}; take another network below it"));
        }
        Ok(())
    }

    /// The scheduled kinds that make links bad in other ways than by a cut between nodes.
    fn kinds_of_bad_links(&self) -> Vec<&'static str> {
        let bad = self.schedule.iter().map(|injection| injection.fault.info());
        let kinds: BTreeSet<&str> = bad
            .filter(|info| info.mechanism == Mechanism::Links)
            .map(|info| info.name)
            .collect();
        kinds.into_iter().collect()
    }

    /// What takes the network `switch`, beside faults of links; `None` if the plan is on the kernel's.
    fn why_switch(&self) -> Option<&'static str> {
        match self.network {
            Some(NetworkKind::Switch) => Some("`network`"),
            _ if self.network_kind() == NetworkKind::Kernel => None,
            _ if self.pcap => Some("`pcap`"),
            _ => Some("`latency_us`"),
        }
    }
}
