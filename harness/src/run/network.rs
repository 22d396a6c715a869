//! The network of a run while it runs: its cuts, the probes that prove them, and what the kernel counts.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use squall_nemeses::disk::Rules;
use squall_nemeses::limits::{Controller, Version};
use squall_nemeses::links::{AddressCuts, Applied, BackEnd, Links};
use squall_nemeses::netns;
use squall_nemeses::partition::Cuts;
use squall_nemeses::probe::{ProbeReport, Prober};

use crate::results::RunFolder;
use crate::sandbox::groups::Provided;
use crate::sandbox::{Address, Star};

/// How long a probe may take to see what it must: idle it needs milliseconds, so this is patience with a loaded machine.
const PROBE_BOUND: Duration = Duration::from_secs(5);

/// The network, its cuts and its probes. All calls block for milliseconds: call them off the async threads.
pub(super) struct Network {
    nodes: Vec<Address>,
    links: Links,
    prober: Mutex<Prober>,
    /// Packets dropped by cuts that are no more, by the node they were meant for.
    dropped: Mutex<BTreeMap<String, u64>>,
    /// For the progress bar.
    pub(super) faults_in_force: AtomicU64,
}

/// `resolved.json`: what this machine made of the plan.
#[derive(Serialize)]
struct Resolved<'a> {
    squall_resolved: u32,
    network: &'static str,
    partitions_by: &'a str,
    refused: BTreeMap<String, String>,
    /// What limits nodes, and of which version.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    groups: BTreeMap<Controller, Version>,
    /// By which rules something becomes durable on the nodes' disks, where they have disks of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    disks: Option<Rules>,
    /// Kinds of faults that this machine cannot do, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    left_out: &'a BTreeMap<String, String>,
}

impl Network {
    /// Opens cuts and probes for a star, and writes down which mechanism was taken and why no better one.
    pub(super) fn open(star: &Star, folder: &RunFolder, provided: &Provided, disks: Option<Rules>) -> Result<Network> {
        let router = netns::open(&star.router.namespace)?;
        let n_nodes = u8::try_from(star.nodes.len()).context("too many nodes")?;
        let links = Links::open_for(n_nodes, &router, None, &squall_nemeses::program_folders()).context("find a way to cut links")?;
        let resolved = Resolved {
            squall_resolved: 1,
            network: "kernel",
            partitions_by: links.back_end().name(),
            refused: links
                .refused()
                .iter()
                .map(|(back_end, why)| (back_end.name().to_owned(), why.clone()))
                .collect(),
            groups: provided
                .groups
                .folders
                .iter()
                .map(|(controller, folder)| (*controller, folder.version))
                .collect(),
            disks,
            left_out: &provided.left_out,
        };
        let text = serde_json::to_string_pretty(&resolved).expect("string keys only") + "\n";
        std::fs::write(folder.resolved(), text).context("write resolved.json")?;
        let targets: Vec<_> = star.nodes.iter().map(Address::target).collect();
        let prober = Prober::open(&targets).context("open the probes' sockets")?;
        Ok(Network {
            nodes: star.nodes.clone(),
            links,
            prober: Mutex::new(prober),
            dropped: Mutex::default(),
            faults_in_force: AtomicU64::new(0),
        })
    }

    /// Makes `cuts` the whole set of cuts.
    pub(super) fn apply(&self, cuts: &Cuts) -> Result<Applied> {
        let address = |id: &str| self.nodes.iter().find(|node| node.id == id).map(|node| node.address);
        let pairs: AddressCuts = cuts.iter().filter_map(|(from, to)| Some((address(from)?, address(to)?))).collect();
        Ok(self.links.apply(&pairs)?)
    }

    /// Proves that exactly `cuts` are cut: every other pair passes, and these are silent.
    pub(super) fn prove(&self, cuts: &Cuts) -> Result<ProbeReport> {
        Ok(self
            .prober
            .lock()
            .expect("no holder of this lock panics")
            .prove(cuts, PROBE_BOUND)?)
    }

    /// TCP segments each node sent again, and packets to it that cuts dropped.
    pub(super) fn counters(&self) -> BTreeMap<String, BTreeMap<String, u64>> {
        self.count_drops();
        let dropped = self.dropped.lock().expect("no holder of this lock panics");
        let of_node = |node: &Address| {
            let mut counters = BTreeMap::new();
            // A figure that cannot be had is left out rather than shown as 0.
            if self.links.back_end() != BackEnd::PolicyRules {
                counters.insert("drops".to_owned(), dropped.get(&node.id).copied().unwrap_or(0));
            }
            counters.extend(retransmits(node).map(|count| ("retransmits".to_owned(), count)));
            (node.id.clone(), counters)
        };
        self.nodes.iter().map(of_node).collect()
    }

    /// Adds up what the standing cuts dropped. To be called before they change, as their counters go with them, and before the change is
    /// asked for, as reading them may take a program's start.
    pub(super) fn count_drops(&self) {
        let Ok(standing) = self.links.standing() else { return };
        let mut dropped = self.dropped.lock().expect("no holder of this lock panics");
        for ((_, to), packets) in standing {
            if let (Some(node), Some(packets)) = (self.id_of(to), packets) {
                *dropped.entry(node).or_default() += packets;
            }
        }
    }

    fn id_of(&self, address: Ipv4Addr) -> Option<String> {
        self.nodes.iter().find(|node| node.address == address).map(|node| node.id.clone())
    }
}

fn retransmits(node: &Address) -> Option<u64> {
    let namespace = netns::open(&node.namespace).ok()?;
    let table = netns::in_namespace(&namespace, || std::fs::read_to_string("/proc/thread-self/net/snmp"))
        .ok()?
        .ok()?;
    column(&table, "Tcp:", "RetransSegs")
}

/// A figure of `/proc/net/snmp`: a line of names and a line of numbers, both beginning with the protocol (proc(5)).
fn column(table: &str, protocol: &str, name: &str) -> Option<u64> {
    let mut lines = table.lines().filter(|line| line.starts_with(protocol));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let place = names.split_whitespace().position(|word| word == name)?;
    numbers.split_whitespace().nth(place)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::column;

    #[test]
    fn finds_retransmitted_segments_in_the_kernels_table() {
        let table = "Ip: Forwarding DefaultTTL\nIp: 1 64\nTcp: RtoMin RetransSegs InErrs\nTcp: 200 17 3\nUdp: A\nUdp: 1\n";
        assert_eq!(column(table, "Tcp:", "RetransSegs"), Some(17));
        assert_eq!(column(table, "Tcp:", "Nothing"), None);
        assert_eq!(column("Tcp: RetransSegs", "Tcp:", "RetransSegs"), None);
    }
}
