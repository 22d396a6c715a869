//! What makes no sense in a topology that a person wrote.

use std::collections::{BTreeMap, BTreeSet};

use super::subnets::AddressPlan;
use super::{Tier, Topology};
use crate::link::CLIENTS;

/// Most nodes, as of every cluster.
pub(super) const NODES_MAX: usize = 100;
/// Most racks: each is a namespace with rules of its own.
pub(super) const RACKS_MAX: usize = 32;
/// Most spines: what larger networks have for each pod.
const SPINES_MAX: u32 = 8;
/// Longer than any link on earth, and than most time limits of stores.
const LATENCY_US_MAX: u64 = 10_000_000;

impl Topology {
    /// Checks everything that can be said without knowing the cluster.
    ///
    /// # Errors
    /// One sentence with the value at fault.
    pub fn check(&self) -> Result<(), String> {
        if self.racks.is_empty() {
            return Err("a topology needs `racks`, or a `shape` such as \"3x2\"".into());
        }
        if self.racks.len() > RACKS_MAX {
            return Err(format!("`racks`: {} racks; a topology has at most {RACKS_MAX}", self.racks.len()));
        }
        if !(1..=SPINES_MAX).contains(&self.spines) {
            return Err(format!("`spines` is {}; a topology has 1 to {SPINES_MAX}", self.spines));
        }
        for (name, us) in [
            ("racks", self.latency.racks),
            ("zones", self.latency.zones),
            ("regions", self.latency.regions),
        ] {
            if us > LATENCY_US_MAX {
                return Err(format!("`latency_us`: {us} between {name}; it is at most {LATENCY_US_MAX}"));
            }
        }
        self.check_names()?;
        self.check_nodes()?;
        self.check_latency()?;
        AddressPlan::carve(self).map(drop)
    }

    /// Checks that it has exactly the nodes of a cluster.
    ///
    /// # Errors
    /// Names the node that is missing, or that does not exist.
    pub fn check_cluster(&self, nodes: &[String]) -> Result<(), String> {
        let placed: BTreeSet<&String> = self.racks.iter().flat_map(|rack| &rack.nodes).collect();
        if let Some(stranger) = placed.iter().find(|node| !nodes.contains(node)) {
            return Err(format!(
                "the topology has a node `{stranger}`, and the cluster has {} nodes: n1 to n{}",
                nodes.len(),
                nodes.len()
            ));
        }
        match nodes.iter().find(|node| !placed.contains(node)) {
            Some(missing) => Err(format!("the topology has no place for node `{missing}`")),
            None => Ok(()),
        }
    }

    /// Refuses a time between domains that no two nodes are divided by: nothing would be slower for it.
    fn check_latency(&self) -> Result<(), String> {
        let times = [
            (Tier::Rack, self.latency.racks, "racks", "two racks of one zone"),
            (Tier::Zone, self.latency.zones, "zones", "two zones of one region"),
            (Tier::Region, self.latency.regions, "regions", "two regions"),
        ];
        let divides = |tier: Tier| {
            let mut pairs = self.racks.iter().flat_map(|from| self.racks.iter().map(move |to| (from, to)));
            pairs.any(|(from, to)| from.divided_from(to) == Some(tier))
        };
        match times.into_iter().find(|(tier, us, ..)| *us > 0 && !divides(*tier)) {
            Some((_, us, name, which)) => Err(format!(
                "`latency_us`: {us} between {name}, and there are no {which} in this topology"
            )),
            None => Ok(()),
        }
    }

    fn check_names(&self) -> Result<(), String> {
        let mut tiers: BTreeMap<&str, Tier> = BTreeMap::new();
        for tier in Tier::ALL {
            for name in self.domains(tier) {
                check_name(name)?;
                if let Some(other) = tiers.insert(name, tier) {
                    return Err(format!("`{name}` is a {other} and a {tier}; each domain has a name of its own"));
                }
            }
        }
        let names: BTreeSet<&str> = self.racks.iter().map(|rack| rack.name.as_str()).collect();
        if names.len() < self.racks.len() {
            let twice = self
                .racks
                .iter()
                .enumerate()
                .find(|(place, rack)| self.racks[..*place].iter().any(|earlier| earlier.name == rack.name));
            return Err(format!("two racks are called `{}`", twice.map_or("", |(_, rack)| &rack.name)));
        }
        let mut regions: BTreeMap<&str, &str> = BTreeMap::new();
        for rack in &self.racks {
            let region = regions.entry(&rack.zone).or_insert(&rack.region);
            if *region != rack.region {
                return Err(format!(
                    "zone `{}` is in region `{region}` and in region `{}`",
                    rack.zone, rack.region
                ));
            }
        }
        Ok(())
    }

    fn check_nodes(&self) -> Result<(), String> {
        if let Some(empty) = self.racks.iter().find(|rack| rack.nodes.is_empty()) {
            return Err(format!("rack `{}` has no `nodes`", empty.name));
        }
        if self.n_nodes() > NODES_MAX {
            return Err(format!("the topology has {} nodes; a cluster has 1 to {NODES_MAX}", self.n_nodes()));
        }
        let mut seen = BTreeSet::new();
        let mut nodes = self.racks.iter().flat_map(|rack| &rack.nodes);
        match nodes.find(|node| !seen.insert(*node)) {
            Some(twice) => Err(format!("node `{twice}` stands in two places")),
            None => Ok(()),
        }
    }
}

/// Names reach command lines and pages: short and plain.
fn check_name(name: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits = (1..=32).contains(&name.len()) && name.bytes().all(plain) && name != CLIENTS;
    if fits {
        return Ok(());
    }
    Err(format!(
        "`{name}` is no name of a domain: 1 to 32 small letters, digits and hyphens, and not `{CLIENTS}`"
    ))
}
