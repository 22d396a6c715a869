//! A topology in a word: `3x2` is three racks of two nodes, `2x3x2` two zones of such racks, `2x2x3x2` two regions of such zones.

use std::fmt;
use std::str::FromStr;

use super::check::{NODES_MAX, RACKS_MAX};
use super::subnets::Cidr;
use super::{Latency, Rack, Topology};

/// As many spines as it takes to lose one and have one left.
pub(super) const SPINES: u32 = 2;

/// How many of each there are in the next larger one, from the largest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Regions.
    pub regions: u32,
    /// Zones in a region.
    pub zones: u32,
    /// Racks in a zone.
    pub racks: u32,
    /// Nodes in a rack.
    pub nodes: u32,
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Shape, String> {
        let form = || {
            format!(
                "`{text}` is no topology; write RACKSxNODES, as 3x2: three racks of two nodes; or ZONESxRACKSxNODES, or REGIONSxZONESxRACKSxNODES"
            )
        };
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let parts: Vec<&str> = text.split('x').collect();
        if !(2..=4).contains(&parts.len()) || !parts.iter().all(|part| digits(part)) {
            return Err(form());
        }
        let mut factors = [1; 4];
        let own = &mut factors[4 - parts.len()..];
        for (factor, part) in own.iter_mut().zip(&parts) {
            // What does not fit is too many in any case.
            *factor = part.parse().unwrap_or(u32::MAX);
        }
        if own.contains(&0) {
            return Err(format!(
                "`{text}`: a topology has at least one of each, and this one has 0 of something"
            ));
        }
        let [regions, zones, racks, nodes] = factors;
        let n_racks = u64::from(regions).saturating_mul(u64::from(zones)).saturating_mul(u64::from(racks));
        let n_nodes = n_racks.saturating_mul(u64::from(nodes));
        if n_racks > RACKS_MAX as u64 {
            return Err(format!(
                "`{text}` has more than {RACKS_MAX} racks, which is the most a topology has"
            ));
        }
        if n_nodes > NODES_MAX as u64 {
            return Err(format!("`{text}` has {n_nodes} nodes; a cluster has 1 to {NODES_MAX}"));
        }
        Ok(Shape {
            regions,
            zones,
            racks,
            nodes,
        })
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape {
            regions,
            zones,
            racks,
            nodes,
        } = self;
        match (regions, zones) {
            (1, 1) => write!(formatter, "{racks}x{nodes}"),
            (1, _) => write!(formatter, "{zones}x{racks}x{nodes}"),
            _ => write!(formatter, "{regions}x{zones}x{racks}x{nodes}"),
        }
    }
}

impl From<Shape> for Topology {
    /// Nodes are numbered rack by rack: the first rack of `3x2` has `n1` and `n2`.
    fn from(shape: Shape) -> Topology {
        let n_racks = shape.regions * shape.zones * shape.racks;
        let rack = |place: u32| Rack {
            name: format!("rack{}", place + 1),
            zone: format!("zone{}", place / shape.racks + 1),
            region: format!("region{}", place / (shape.racks * shape.zones) + 1),
            nodes: (1..=shape.nodes)
                .map(|number| format!("n{}", place * shape.nodes + number))
                .collect(),
        };
        Topology {
            cidr: Cidr::default(),
            spines: SPINES,
            latency: Latency::default(),
            racks: (0..n_racks).map(rack).collect(),
        }
    }
}
