//! Failure domains: which node stands in which rack, zone and region, and how racks are joined.
//!
//! ```text
//!  spine 1 ─┬──────────┬──────────┬─ …          every leaf is linked to every spine
//!  spine 2 ─┼┬─────────┼┬─────────┼┬─ …
//!          leaf        leaf       border         a leaf is the router of its rack; the border is the clients'
//!          n1 n2       n3 n4      clients
//! ```
//!
//! Pure data: subnets, ways and qualities follow from it without a look at any machine. Who builds it is another matter: on the kernel's network
//! leaves and spines are namespaces ([`crate::Fabric`]); on the switch a way is the same and a hop is not counted.
//!
//! **The main decision: the way of a packet is known.** Between two racks it goes by one spine, chosen by the leaf for each destination, as a router
//! that hashes addresses does (Linux: `fib_multipath_hash_policy` 0, RFC 2992), but by a rule that everybody can repeat. So a lost spine is a set of
//! directed links, which is applied, proved and healed like any partition; and the way back may be another one.
//!
//! **The one not taken:** equal-cost routes hashed by the kernel. Its seed is the kernel's own, so nobody could say beforehand whom a lost spine hits.
//!
//! - [`Topology`], [`Rack`], [`Tier`]: the domains, and who is in which
//! - `shape`: `3x2`; `written`: the table of a plan; `check`: what makes no sense
//! - [`subnets`]: one network carved into subnets
//! - `ways`: spines, and the links that a domain's loss or distance concerns

mod check;
mod shape;
pub mod subnets;
#[cfg(test)]
mod tests;
mod ways;
mod written;

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::shape::Shape;
use self::subnets::Cidr;
use self::written::Table;

/// How the nodes of a cluster are spread over failure domains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "written::Written", into = "Table")]
pub struct Topology {
    /// The network that the subnets of racks are carved from.
    pub cidr: Cidr,
    /// How many spines join the leaves.
    pub spines: u32,
    /// How far apart domains are.
    pub latency: Latency,
    /// The racks, with all nodes.
    pub racks: Vec<Rack>,
}

/// A rack: the nodes behind one leaf, which are lost together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rack {
    /// Its name. No two domains have the same.
    pub name: String,
    /// The zone it stands in.
    #[serde(default = "written::only_zone")]
    pub zone: String,
    /// The region of that zone.
    #[serde(default = "written::only_region")]
    pub region: String,
    /// Its nodes.
    pub nodes: Vec<String>,
}

/// Time on the way from one domain to another, in microseconds; within a rack, and between clients and nodes, there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Latency {
    /// Between racks of the same zone.
    pub racks: u64,
    /// Between zones of the same region.
    pub zones: u64,
    /// Between regions.
    pub regions: u64,
}

/// A size of failure domains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Nodes behind one leaf.
    Rack,
    /// Racks that share power and building.
    Zone,
    /// Zones that share a city.
    Region,
}

impl Tier {
    /// From the smallest to the largest.
    pub const ALL: [Tier; 3] = [Tier::Rack, Tier::Zone, Tier::Region];

    /// The name that flags and messages use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Tier::Rack => "rack",
            Tier::Zone => "zone",
            Tier::Region => "region",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Latency {
    /// Whether all domains are next to each other.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Latency::default()
    }
}

impl Rack {
    /// The domain of a tier that it is in, or is.
    #[must_use]
    pub fn domain(&self, tier: Tier) -> &str {
        match tier {
            Tier::Rack => &self.name,
            Tier::Zone => &self.zone,
            Tier::Region => &self.region,
        }
    }

    /// The largest tier that divides it from another; `None` if it is the same.
    fn divided_from(&self, other: &Rack) -> Option<Tier> {
        Tier::ALL.into_iter().rev().find(|tier| self.domain(*tier) != other.domain(*tier))
    }
}

impl Topology {
    /// The place of a node's rack among the racks.
    #[must_use]
    pub fn rack_of(&self, node: &str) -> Option<usize> {
        self.racks.iter().position(|rack| rack.nodes.iter().any(|known| known == node))
    }

    /// The domain of a tier that a node is in.
    #[must_use]
    pub fn domain_of(&self, node: &str, tier: Tier) -> Option<&str> {
        self.rack_of(node).map(|rack| self.racks[rack].domain(tier))
    }

    /// The names of all domains of a tier, in the order of their first racks.
    #[must_use]
    pub fn domains(&self, tier: Tier) -> Vec<&str> {
        let mut seen = BTreeSet::new();
        let names = self.racks.iter().map(|rack| rack.domain(tier));
        names.filter(|name| seen.insert(*name)).collect()
    }

    /// The tier of a domain, and its nodes; `None` if no domain is called so.
    #[must_use]
    pub fn domain(&self, name: &str) -> Option<(Tier, Vec<String>)> {
        let tier = Tier::ALL.into_iter().find(|tier| self.domains(*tier).contains(&name))?;
        let inside = self.racks.iter().filter(|rack| rack.domain(tier) == name);
        Some((tier, inside.flat_map(|rack| rack.nodes.clone()).collect()))
    }

    /// The largest tier that divides the nodes; `None` if all are in one rack.
    #[must_use]
    pub fn outermost(&self) -> Option<Tier> {
        Tier::ALL.into_iter().rev().find(|tier| self.domains(*tier).len() > 1)
    }

    /// Gives more nodes places: one after the other into the racks by turns.
    pub fn place_more(&mut self, nodes: &[String]) {
        let n_racks = self.racks.len().max(1);
        for (place, node) in nodes.iter().enumerate() {
            if let Some(rack) = self.racks.get_mut(place % n_racks) {
                rack.nodes.push(node.clone());
            }
        }
    }

    /// Number of nodes.
    #[must_use]
    pub fn n_nodes(&self) -> usize {
        self.racks.iter().map(|rack| rack.nodes.len()).sum()
    }
}

impl fmt::Display for Topology {
    /// `3 racks in 1 zone, 2 spines`, as the report has it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |n: usize, noun: &str| format!("{n} {noun}{}", if n == 1 { "" } else { "s" });
        write!(formatter, "{}", count(self.racks.len(), "rack"))?;
        for tier in [Tier::Zone, Tier::Region] {
            let n = self.domains(tier).len();
            if n > 1 {
                write!(formatter, " in {}", count(n, tier.name()))?;
            }
        }
        write!(formatter, ", {}", count(self.spines as usize, "spine"))
    }
}
