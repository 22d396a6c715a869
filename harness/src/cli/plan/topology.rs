//! Options about failure domains: how nodes are spread, how far apart they are, and whether replicas keep out of each other's.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Result;
use serde::Deserialize;
use squall_nemeses::Topology;
use squall_nemeses::topology::subnets::Cidr;
use squall_nemeses::topology::{Latency, Tier};

use crate::exit::usage;
use crate::plan::{Overlay, toml_error};

/// The options.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Topology")]
pub(super) struct TopologyArgs {
    /// Racks, zones and regions of the nodes: 3x2 are three racks of two nodes, 2x3x2 two zones of such racks, 2x2x3x2 two regions of such zones; or a
    /// file with the table `[topology]` of a plan, NAME.toml
    #[arg(long, value_name = "SHAPE")]
    topology: Option<String>,

    /// The network that the subnets of racks are carved from; 10.77.0.0/16
    #[arg(long, value_name = "NETWORK", requires = "topology")]
    cidr: Option<Cidr>,

    /// Spines that join the racks' leaves; 2
    #[arg(long, value_name = "NUM", requires = "topology")]
    spines: Option<u32>,

    /// Time one way between racks of a zone, zones of a region, and regions: racks=500us,zones=2ms,regions=40ms; takes the network `switch`
    #[arg(long, value_name = "TIMES", requires = "topology", value_parser = parse_latency)]
    latency: Option<Latency>,

    /// quorum: replicas of a key are in distinct domains as far as there are: `rack`, `zone`, `region`, or `domain`, the largest that there are several
    /// of; by default wherever the ring puts them
    #[arg(long, value_name = "WHERE", value_enum)]
    placement: Option<Placement>,

    /// Puts a balancer in front of the nodes: clients talk to one address, and each connection gets a node, by NAT of the network `kernel`
    #[arg(long)]
    pub(super) lb: bool,

    /// Joins nodes and clients by a network above the network `kernel`, with packets of 1450 bytes at most
    #[arg(long, value_name = "KIND", value_enum)]
    pub(super) overlay: Option<Overlay>,
}

/// Ids of [`TopologyArgs`], none of which goes with a ready plan.
pub(super) const ARGUMENTS: [&str; 7] = ["topology", "cidr", "spines", "latency", "placement", "lb", "overlay"];

/// Where replicas of a key may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Placement {
    /// Wherever the ring puts them
    Ring,
    /// In distinct racks
    Rack,
    /// In distinct zones
    Zone,
    /// In distinct regions
    Region,
    /// In distinct ones of the largest domains that there are several of
    Domain,
}

/// Longest table that is read.
const TABLE_BYTES_MAX: u64 = 1 << 20;

impl TopologyArgs {
    /// The topology asked for, if any.
    ///
    /// # Errors
    /// A usage error with the value that is wrong.
    pub(super) fn open(&self) -> Result<Option<Topology>> {
        let Some(text) = &self.topology else { return Ok(None) };
        let refuse = |error: String| usage(format!("--topology {text}: {error}"), "see `squall run --help`, \"Topology\"");
        let read = if text.ends_with(".toml") {
            read_table(Path::new(text))
        } else {
            serde_json::from_value(serde_json::Value::String(text.clone())).map_err(|error| error.to_string())
        };
        let mut topology: Topology = read.map_err(refuse)?;
        topology.cidr = self.cidr.unwrap_or(topology.cidr);
        topology.spines = self.spines.unwrap_or(topology.spines);
        topology.latency = self.latency.unwrap_or(topology.latency);
        topology.check().map_err(refuse)?;
        Ok(Some(topology))
    }

    /// The number of nodes, where so many are typed, or so many are usual.
    ///
    /// # Errors
    /// A usage error if others are typed than the topology has.
    pub(super) fn nodes(&self, topology: Option<&Topology>, typed: Option<u32>, usual: u32) -> Result<u32> {
        let Some(topology) = topology else {
            return Ok(typed.unwrap_or(usual));
        };
        let n_nodes = u32::try_from(topology.n_nodes())?;
        match typed {
            Some(typed) if typed != n_nodes => Err(usage(
                format!("--nodes {typed}: the topology has {n_nodes} nodes"),
                "leave out `--nodes`; the topology says how many there are",
            )),
            _ => Ok(n_nodes),
        }
    }

    /// Whether a placement is asked for.
    pub(super) fn has_placement(&self) -> bool {
        self.placement.is_some()
    }

    /// The domain of each node by which replicas are to be kept apart; empty if they are not.
    ///
    /// # Errors
    /// A usage error if there are no domains.
    pub(super) fn placed(&self, topology: Option<&Topology>) -> Result<BTreeMap<String, String>> {
        let wanted = self.placement.unwrap_or(Placement::Ring);
        if wanted == Placement::Ring {
            return Ok(BTreeMap::new());
        }
        let Some(topology) = topology else {
            return Err(usage(
                "--placement: there are no failure domains to keep replicas apart by",
                "give the cluster some by `--topology 3x2`",
            ));
        };
        let tier = match wanted {
            Placement::Ring | Placement::Rack => Tier::Rack,
            Placement::Zone => Tier::Zone,
            Placement::Region => Tier::Region,
            Placement::Domain => topology.outermost().unwrap_or(Tier::Rack),
        };
        let nodes = topology.racks.iter().flat_map(|rack| &rack.nodes);
        let domain = |node: &String| Some((node.clone(), topology.domain_of(node, tier)?.to_owned()));
        Ok(nodes.filter_map(domain).collect())
    }
}

/// Reads a table from a file: the fields of `[topology]`, with that heading or without.
fn read_table(path: &Path) -> Result<Topology, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Headed {
        topology: Topology,
    }
    let mut text = String::new();
    let file = File::open(path).map_err(|error| format!("cannot read the file: {error}"))?;
    let n_bytes = file.take(TABLE_BYTES_MAX + 1).read_to_string(&mut text);
    if n_bytes.map_err(|error| format!("cannot read the file: {error}"))? as u64 > TABLE_BYTES_MAX {
        return Err(format!(
            "longer than {TABLE_BYTES_MAX} bytes; a topology has a few lines for each rack"
        ));
    }
    let is_headed = text.parse::<toml::Table>().is_ok_and(|table| table.contains_key("topology"));
    let read = if is_headed {
        toml::from_str(&text).map(|headed: Headed| headed.topology)
    } else {
        toml::from_str(&text)
    };
    read.map_err(|error| toml_error(&text, &error))
}

/// Reads `racks=500us,zones=2ms,regions=40ms`, or some of them.
fn parse_latency(text: &str) -> Result<Latency, String> {
    let mut latency = Latency::default();
    for part in text.split(',') {
        let (tier, time) = part
            .split_once('=')
            .ok_or_else(|| format!("`{part}` has no time; write racks=500us,zones=2ms,regions=40ms, or some of them"))?;
        let field = match tier.trim() {
            "racks" => &mut latency.racks,
            "zones" => &mut latency.zones,
            "regions" => &mut latency.regions,
            other => return Err(format!("`{other}` is none of racks, zones and regions")),
        };
        if *field > 0 {
            return Err(format!("{} stands there twice", tier.trim()));
        }
        *field = parse_time_us(time.trim())?;
    }
    Ok(latency)
}

fn parse_time_us(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        _ => return Err(format!("`{text}` is no time; write 500us, 2ms or 1s")),
    };
    let number: u64 = number.parse().map_err(|_| format!("`{text}` is no time; write 500us, 2ms or 1s"))?;
    let us = number.checked_mul(factor).filter(|us| (1..=10_000_000).contains(us));
    us.ok_or_else(|| format!("`{text}`: between 1us and 10s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_latencies_and_refuses_the_rest() {
        let all = Latency {
            racks: 500,
            zones: 2_000,
            regions: 40_000,
        };
        assert_eq!(parse_latency("racks=500us,zones=2ms,regions=40ms"), Ok(all));
        assert_eq!(
            parse_latency("regions=1s"),
            Ok(Latency {
                regions: 1_000_000,
                ..Latency::default()
            })
        );
        for wrong in [
            "",
            "5ms",
            "racks",
            "racks=",
            "racks=5",
            "racks=0us",
            "racks=-1ms",
            "racks=11s",
            "planets=1ms",
            "racks=1ms,racks=2ms",
            "racks=1ms,",
        ] {
            assert!(parse_latency(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_table_is_read_with_its_heading_and_without() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("racks.toml");
        let racks = "racks = [{ name = \"a\", nodes = [\"n1\"] }, { name = \"b\", nodes = [\"n2\"] }]\n";
        let read = |text: &str| {
            std::fs::write(&path, text).expect("room for a table");
            read_table(&path)
        };
        let plain = read(racks).expect("a table");
        assert_eq!((plain.n_nodes(), plain.domains(Tier::Rack)), (2, vec!["a", "b"]));
        assert_eq!(read(&format!("[topology]\n{racks}")), Ok(plain));
        assert!(read("[topology]\nrakcs = []\n").expect_err("a typo").contains("rakcs"));
        assert!(
            read_table(Path::new("/nowhere.toml"))
                .expect_err("no file")
                .contains("cannot read the file")
        );
    }
}
