//! The network of a run while it runs: its links, the probes that prove what was done to them, and what is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use squall_nemeses::balancer::{Balancer, BalancerProbe, BalancerReport, BalancerTrouble, Setup};
use squall_nemeses::disk::Rules;
use squall_nemeses::effect::{EffectReport, LinkProber, Prepared, Turn};
use squall_nemeses::fabric::Leaf;
use squall_nemeses::limits::{Controller, Version};
use squall_nemeses::link::{Pair, Quality};
use squall_nemeses::links::{Abilities, Applied, BackEnd, Links, Shaping};
use squall_nemeses::partition::Cuts;
use squall_nemeses::probe::{ProbeReport, Prober};
use squall_nemeses::switch::{Passing, Released, Switch};
use squall_nemeses::{Fabric, KernelNetwork, NetworkKind, Topology, netns};

use super::gate::HOLD_BOUND;
use crate::plan::Plan;
use crate::record::RunClock;
use crate::results::RunFolder;
use crate::sandbox::groups::Provided;
use crate::sandbox::{Address, Star};

/// How long a probe may take to see what it must: idle it needs milliseconds, so this is patience with a loaded machine.
const PROBE_BOUND: Duration = Duration::from_secs(5);

/// How long the switch itself holds a packet at most. Later than whoever asked it to lets go, who is told then.
const PACKET_BOUND: Duration = Duration::from_secs(HOLD_BOUND.as_secs() + 1);

/// The network, its links and its probes. All calls block for milliseconds: call them off the async threads.
pub(super) struct Network {
    nodes: Vec<Address>,
    links: Wires,
    /// What links are like while nothing is wrong; who is not named has nothing.
    base: BTreeMap<Pair, Quality>,
    balancer: Option<(Balancer, BalancerProbe)>,
    prober: Mutex<Prober>,
    link_prober: Mutex<LinkProber>,
    /// Packets dropped by cuts that are no more, by the node they were meant for.
    dropped: Mutex<BTreeMap<String, u64>>,
    /// For the progress bar.
    pub(super) faults_in_force: AtomicU64,
}

/// Whose links they are.
enum Wires {
    Kernel(KernelNetwork),
    Fabric(Fabric),
    Switch(Switch),
}

impl Wires {
    fn get(&self) -> &dyn squall_nemeses::Network {
        match self {
            Wires::Kernel(network) => network,
            Wires::Fabric(fabric) => fabric,
            Wires::Switch(switch) => switch,
        }
    }

    /// What the kernel's network can do to links beside cuts, if the plan wants any of it.
    fn abilities(&self) -> Option<&Abilities> {
        match self {
            Wires::Kernel(network) => network.abilities(),
            Wires::Fabric(_) | Wires::Switch(_) => None,
        }
    }

    /// What makes links bad in other ways than by cuts.
    fn made_bad_by(&self) -> Option<String> {
        match self {
            Wires::Kernel(network) => network.abilities().map(|abilities| abilities.shaping.describe().to_owned()),
            Wires::Fabric(_) => None,
            Wires::Switch(_) => Some("switch".to_owned()),
        }
    }

    /// Whether chance on the links comes from the plan's seed; netem's is the kernel's own.
    fn has_seed(&self) -> bool {
        match self {
            Wires::Kernel(network) => network.abilities().is_some_and(|abilities| abilities.shaping == Shaping::Emulated),
            Wires::Fabric(_) => false,
            Wires::Switch(_) => true,
        }
    }

    fn refused(&self) -> BTreeMap<String, String> {
        let refused = match self {
            Wires::Kernel(network) => network.refused(),
            Wires::Fabric(fabric) => fabric.refused(),
            Wires::Switch(_) => &[],
        };
        let reason = |(back_end, why): &(BackEnd, String)| (back_end.name().to_owned(), why.clone());
        refused.iter().map(reason).collect()
    }
}

/// `resolved.json`: what this machine made of the plan.
#[derive(Serialize)]
struct Resolved<'a> {
    squall_resolved: u32,
    network: NetworkKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_seed: Option<u64>,
    /// The leaves and spines between nodes, where the kernel's network has any.
    #[serde(skip_serializing_if = "is_zero")]
    leaves: usize,
    partitions_by: &'a str,
    /// What makes links bad in other ways.
    #[serde(skip_serializing_if = "Option::is_none")]
    links_by: Option<String>,
    /// What that cannot do here, and why; on the kernel's network alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    links: Option<&'a Abilities>,
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
    /// Opens links and probes for a star, and writes down which mechanism was taken and why no better one.
    pub(super) fn open(star: &Star, folder: &RunFolder, plan: &Plan, provided: &Provided) -> Result<Network> {
        let links = match star.kind {
            NetworkKind::Kernel if star.leaves.is_empty() => Wires::Kernel(open_kernel(star, plan)?),
            NetworkKind::Kernel => Wires::Fabric(open_fabric(star, plan.balancer)?),
            NetworkKind::Switch => Wires::Switch(star.plug_in(plan.network_seed())?),
        };
        let resolved = Resolved {
            squall_resolved: 1,
            network: star.kind,
            network_seed: links.has_seed().then(|| plan.network_seed()),
            leaves: star.leaves.len(),
            partitions_by: links.get().back_end().name(),
            links_by: links.made_bad_by(),
            links: links.abilities(),
            refused: links.refused(),
            groups: provided
                .groups
                .folders
                .iter()
                .map(|(controller, folder)| (*controller, folder.version))
                .collect(),
            disks: (plan.needs_disks() && provided.no_disks.is_none()).then_some(plan.disk_rules),
            left_out: &provided.left_out,
        };
        let text = serde_json::to_string_pretty(&resolved).expect("string keys only") + "\n";
        std::fs::write(folder.resolved(), text).context("write resolved.json")?;
        let targets: Vec<_> = star.nodes.iter().map(Address::target).collect();
        let network = Network {
            nodes: star.nodes.clone(),
            links,
            base: plan.topology.as_ref().map(Topology::base).unwrap_or_default(),
            balancer: plan.balancer.then(|| open_balancer(star, plan)).transpose()?,
            prober: Mutex::new(Prober::open(&targets).context("open the probes' sockets")?),
            link_prober: Mutex::new(LinkProber::open(&star.ends()).context("open the sockets of the links' probes")?),
            dropped: Mutex::default(),
            faults_in_force: AtomicU64::new(0),
        };
        network.keep_apart().context("keep the domains as far apart as the plan says")?;
        Ok(network)
    }

    /// Gives links what they are like while nothing is wrong, and proves it.
    fn keep_apart(&self) -> Result<()> {
        if self.base.is_empty() {
            return Ok(());
        }
        self.links.get().apply(&self.base)?;
        let turn = |(pair, quality): (&Pair, &Quality)| {
            let turn = Turn {
                before: Quality::default(),
                now: quality.clone(),
            };
            (pair.clone(), turn)
        };
        let turned = self.base.iter().map(turn).collect();
        let mut prober = self.link_prober.lock().expect("no holder of this lock panics");
        let seen = prober.prove(&turned, &mut Prepared::default(), PROBE_BOUND)?;
        ensure!(
            seen.ok,
            "links are not as slow as they are to be: {}",
            serde_json::to_string(&seen)?
        );
        Ok(())
    }

    /// The address that clients talk to, if there is a balancer.
    pub(super) fn balancer(&self) -> Option<Ipv4Addr> {
        self.balancer.as_ref().map(|(balancer, _)| balancer.address())
    }

    fn balanced(&self) -> Result<&(Balancer, BalancerProbe)> {
        self.balancer.as_ref().context("no balancer is in front of the nodes")
    }

    /// Changes what is wrong with the balancer, and proves it: by connections, or by its flow table alone where `is_reached` says that every node is cut
    /// off from the clients.
    pub(super) fn rebalance(&self, before: BalancerTrouble, now: BalancerTrouble, is_reached: bool) -> Result<BalancerReport> {
        let (balancer, probe) = self.balanced()?;
        if !is_reached {
            balancer.apply(now)?;
            return Ok(balancer.look_up(now)?);
        }
        let bound = probe.bound();
        let standing = if before.no_ports { None } else { probe.prepare(bound)? };
        balancer.apply(now)?;
        Ok(probe.prove((before, now), standing, bound, || balancer.refill().map(drop))?)
    }

    /// Uses up the ports of the balancer that came back.
    pub(super) fn refill_balancer(&self) -> Result<()> {
        Ok(self.balanced()?.0.refill().map(drop)?)
    }

    /// Proves that the balancer's ports are used up still.
    pub(super) fn prove_exhausted(&self, is_reached: bool) -> Result<BalancerReport> {
        let (balancer, probe) = self.balanced()?;
        Ok(balancer.prove_still_exhausted(is_reached.then_some(probe))?)
    }

    /// A link's quality by faults, on top of what it is like anyway.
    fn with_base(&self, pair: &Pair, quality: &Quality) -> Quality {
        self.base.get(pair).map_or_else(|| quality.clone(), |base| base.with(quality))
    }

    /// All links that are not perfect, with faults of these qualities.
    fn all_links(&self, links: &BTreeMap<Pair, Quality>) -> BTreeMap<Pair, Quality> {
        let mut all = self.base.clone();
        all.extend(links.iter().map(|(pair, quality)| (pair.clone(), self.with_base(pair, quality))));
        all
    }

    fn all_turns(&self, turned: &BTreeMap<Pair, Turn>) -> BTreeMap<Pair, Turn> {
        let turn = |(pair, turn): (&Pair, &Turn)| {
            let turn = Turn {
                before: self.with_base(pair, &turn.before),
                now: self.with_base(pair, &turn.now),
            };
            (pair.clone(), turn)
        };
        turned.iter().map(turn).collect()
    }

    /// Its name for the history's header: nothing for the kernel's network with cuts alone, as figures of the others are not to be compared with its.
    pub(super) fn label(&self) -> Option<String> {
        match &self.links {
            Wires::Switch(_) => Some("network switch".to_owned()),
            Wires::Kernel(_) | Wires::Fabric(_) => self.links.made_bad_by().map(|by| format!("network kernel ({by})")),
        }
    }

    /// Writes every packet from now on to files in `folder`, on the time axis of the history.
    pub(super) fn capture(&self, folder: &RunFolder, clock: &RunClock) -> Result<()> {
        let Wires::Switch(switch) = &self.links else {
            anyhow::bail!("the kernel's network writes no packets to files");
        };
        let folder = folder.packets();
        std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        switch.capture(&folder, clock.now_ns())?;
        Ok(())
    }

    /// Ends what [`Network::capture`] began; nothing if it did not.
    pub(super) fn stop_capture(&self) -> Result<()> {
        if let Wires::Switch(switch) = &self.links {
            let n_missed = switch.stop_capture()?;
            tracing::debug!(n_missed, "packets are written");
        }
        Ok(())
    }

    /// Has every packet with a payload asked about, before it enters its link; see [`Switch::ask_before_packet`].
    pub(super) fn ask_before_packet(&self, asker: impl Fn(&Passing<'_>) -> bool + Send + Sync + 'static) -> Result<()> {
        let Wires::Switch(switch) = &self.links else {
            anyhow::bail!("the kernel's network holds no packets");
        };
        Ok(switch.ask_before_packet(PACKET_BOUND, asker)?)
    }

    /// Lets a held packet go, and says what became of it, if it was still held.
    pub(super) fn release_packet(&self, number: u64) -> Option<Released> {
        let Wires::Switch(switch) = &self.links else { return None };
        match switch.release(number) {
            Ok(released) => released,
            Err(error) => {
                tracing::warn!(%error, "a held packet is not let go, but by its bound");
                None
            }
        }
    }

    /// Makes these the qualities of all links, cuts and all. Returns what [`Network::prove_turned`] needs of the time before.
    pub(super) fn apply(&self, links: &BTreeMap<Pair, Quality>, turned: &BTreeMap<Pair, Turn>) -> Result<(Applied, Prepared)> {
        let prober = self.link_prober.lock().expect("no holder of this lock panics");
        let prepared = prober.prepare(&self.all_turns(turned))?;
        Ok((self.links.get().apply(&self.all_links(links))?, prepared))
    }

    /// Proves what each link that `turned` does now, cuts aside.
    pub(super) fn prove_turned(&self, turned: &BTreeMap<Pair, Turn>, prepared: &mut Prepared) -> Result<EffectReport> {
        let mut prober = self.link_prober.lock().expect("no holder of this lock panics");
        Ok(prober.prove(&self.all_turns(turned), prepared, PROBE_BOUND)?)
    }

    /// Proves that exactly `cuts` are cut: every other pair passes, and these are silent for as long as `links` delay anything.
    pub(super) fn prove(&self, cuts: &Cuts, links: &BTreeMap<Pair, Quality>) -> Result<ProbeReport> {
        let links = self.all_links(links);
        let slowest_us = links.values().map(|quality| quality.delay_us + 3 * quality.jitter_us).max();
        let mut prober = self.prober.lock().expect("no holder of this lock panics");
        prober.wait_longer(Duration::from_micros(slowest_us.unwrap_or(0)));
        Ok(prober.prove(cuts, PROBE_BOUND)?)
    }

    /// TCP segments each node sent again, and packets to it that cuts dropped.
    pub(super) fn counters(&self) -> BTreeMap<String, BTreeMap<String, u64>> {
        self.count_drops();
        let counts = self.links.get().dropped().is_ok_and(|dropped| dropped.is_some());
        let dropped = self.dropped.lock().expect("no holder of this lock panics");
        let of_node = |node: &Address| {
            let mut counters = BTreeMap::new();
            // A figure that cannot be had is left out rather than shown as 0.
            if counts {
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
        let network = self.links.get();
        let Ok(Some(by_link)) = network.dropped() else { return };
        let mut dropped = self.dropped.lock().expect("no holder of this lock panics");
        if !network.forgets() {
            dropped.clear();
        }
        let to_nodes = by_link
            .into_iter()
            .filter(|(pair, _)| self.nodes.iter().any(|node| node.id == pair.to));
        for (pair, packets) in to_nodes {
            *dropped.entry(pair.to).or_default() += packets;
        }
    }
}

fn open_kernel(star: &Star, plan: &Plan) -> Result<KernelNetwork> {
    let router = netns::open(&star.router.namespace)?;
    let ends = star.ends();
    let n_ends = u8::try_from(ends.len()).context("too many nodes")?;
    let links = Links::open_for(n_ends, &router, None, &squall_nemeses::program_folders()).context("find a way to cut links")?;
    if plan.has_bad_links() {
        let network = KernelNetwork::shaped(links, &ends, None, plan.network_seed()).context("find a way to make links bad")?;
        // What was settled outside of the sandbox is asked again: here it counts.
        let refused = network.abilities().and_then(|abilities| plan.refused_by(abilities).pop_first());
        return match refused {
            Some((kind, why)) => Err(anyhow::anyhow!("fault {kind}: {why}")),
            None => Ok(network),
        };
    }
    let addresses = star.nodes.iter().map(|node| (node.id.clone(), node.underlay)).collect();
    Ok(KernelNetwork::new(links, addresses))
}

fn open_fabric(star: &Star, has_balancer: bool) -> Result<Fabric> {
    let leaf = |(namespace, ends): &(PathBuf, BTreeSet<String>)| -> Result<Leaf> {
        Ok(Leaf {
            namespace: netns::open(namespace)?,
            ends: ends.clone(),
        })
    };
    let leaves = star.leaves.iter().map(leaf).collect::<Result<Vec<_>>>()?;
    let ends = star.nodes.iter().chain([&star.clients]).cloned();
    let addresses = ends.map(|end| (end.id, end.underlay)).collect();
    let fabric = Fabric::open(leaves, addresses, &squall_nemeses::program_folders()).context("find a way to cut links at the leaves")?;
    Ok(if has_balancer {
        fabric.with_balancer(star.balancer)
    } else {
        fabric
    })
}

/// A balancer, seen to let connections through.
fn open_balancer(star: &Star, plan: &Plan) -> Result<(Balancer, BalancerProbe)> {
    // Who joins later is nobody the balancer was told of.
    let members = || star.nodes.iter().take(plan.system.nodes() as usize);
    let setup = Setup {
        router: netns::open(&star.router.namespace)?,
        address: star.balancer,
        port: plan.system.port(),
        nodes: members().map(|node| (node.id.clone(), node.address)).collect(),
    };
    let balancer = Balancer::open(setup, &squall_nemeses::program_folders());
    let balancer = balancer.context("put a balancer in front of the nodes; `squall doctor` says what it needs")?;
    let nodes: Vec<_> = members().map(Address::target).collect();
    let probe = BalancerProbe::open(star.clients.target(), &nodes, star.balancer)?;
    ensure!(
        probe.prepare(probe.bound())?.is_some(),
        "the balancer lets no connection through to any node"
    );
    Ok((balancer, probe))
}

fn is_zero(number: &usize) -> bool {
    *number == 0
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
