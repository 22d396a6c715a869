//! Which way packets go between racks, and which links a domain's loss or distance concerns.

use std::collections::BTreeMap;

use super::{Tier, Topology};
use crate::link::{CLIENTS, Pair, Quality};

impl Topology {
    /// The spine, from 0, by which packets go from one end to another; `None` if both are behind the same leaf, or one is nobody.
    ///
    /// A leaf chooses for each destination: its own place, that of the destination's rack and that of the destination in it, added up.
    #[must_use]
    pub fn spine_of(&self, pair: &Pair) -> Option<u32> {
        let ((from, _), (to, place)) = (self.leaf_of(&pair.from)?, self.leaf_of(&pair.to)?);
        let number = u32::try_from(from + to + place).unwrap_or(0);
        (from != to).then(|| number % self.spines)
    }

    /// The place of an end's leaf, the border behind all racks, and the end's place behind it.
    fn leaf_of(&self, end: &str) -> Option<(usize, usize)> {
        if end == CLIENTS {
            return Some((self.racks.len(), 0));
        }
        let rack = self.rack_of(end)?;
        let place = self.racks[rack].nodes.iter().position(|node| node == end)?;
        Some((rack, place))
    }

    /// All directed links, the clients' included.
    fn links(&self) -> impl Iterator<Item = Pair> + '_ {
        let ends = || {
            let nodes = self.racks.iter().flat_map(|rack| &rack.nodes);
            nodes.map(String::as_str).chain([CLIENTS])
        };
        ends().flat_map(move |from| ends().filter(move |to| *to != from).map(move |to| Pair::new(from, to)))
    }

    /// The links that are lost with a spine.
    #[must_use]
    pub fn links_by_spine(&self, spine: u32) -> Vec<Pair> {
        self.links().filter(|pair| self.spine_of(pair) == Some(spine)).collect()
    }

    /// The links that are lost with the leaves of a domain: all of its nodes', also among themselves if they are behind a lost leaf.
    #[must_use]
    pub fn links_of_domain(&self, name: &str) -> Vec<Pair> {
        let inside = self.domain(name).map_or_else(Vec::new, |(_, nodes)| nodes);
        let touches = |pair: &Pair| inside.contains(&pair.from) || inside.contains(&pair.to);
        self.links().filter(touches).collect()
    }

    /// The links between a domain and all others, the clients aside.
    #[must_use]
    pub fn links_across(&self, name: &str) -> Vec<Pair> {
        let inside = self.domain(name).map_or_else(Vec::new, |(_, nodes)| nodes);
        let crosses = |pair: &Pair| inside.contains(&pair.from) != inside.contains(&pair.to);
        let between_nodes = |pair: &Pair| pair.from != CLIENTS && pair.to != CLIENTS;
        self.links().filter(between_nodes).filter(crosses).collect()
    }

    /// What links are like while nothing is wrong; who is not named has no latency.
    #[must_use]
    pub fn base(&self) -> BTreeMap<Pair, Quality> {
        let far = |pair: Pair| {
            let delay_us = self.latency_us(&pair)?;
            let quality = Quality {
                delay_us,
                ..Quality::default()
            };
            (delay_us > 0).then_some((pair, quality))
        };
        self.links().filter_map(far).collect()
    }

    /// That of the largest tier that divides two nodes.
    fn latency_us(&self, pair: &Pair) -> Option<u64> {
        let (from, to) = (self.rack_of(&pair.from)?, self.rack_of(&pair.to)?);
        Some(match self.racks[from].divided_from(&self.racks[to])? {
            Tier::Rack => self.latency.racks,
            Tier::Zone => self.latency.zones,
            Tier::Region => self.latency.regions,
        })
    }
}
