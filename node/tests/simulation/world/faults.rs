//! What is done to the cluster of the test: crashes with restarts, and partitions of any shape, one-way ones among them.

use std::collections::BTreeSet;

use squall_node::members::NodeIndex;
use squall_node::quorum::QuorumCore;
use squall_node::sim::{Chance, Cluster};

use super::{MS, Timer, Timers};

pub(super) struct Faults {
    chance: Chance,
    nodes: usize,
}

impl Faults {
    pub(super) fn new(seed: u64, nodes: usize) -> Faults {
        Faults {
            chance: Chance::new(seed, "test.faults"),
            nodes,
        }
    }

    pub(super) fn begin(&mut self, cluster: &mut Cluster<QuorumCore>, timers: &mut Timers) {
        timers.call_in(cluster, 20 * MS, Timer::Fault);
    }

    /// Does one thing, and comes back later; returns whom it killed.
    pub(super) fn act(&mut self, cluster: &mut Cluster<QuorumCore>, timers: &mut Timers) -> Option<NodeIndex> {
        let delay_ns = 5 * MS + self.chance.below(45 * MS);
        timers.call_in(cluster, delay_ns, Timer::Fault);
        let at = NodeIndex(u16::try_from(self.chance.below(self.nodes as u64)).unwrap());
        match self.chance.below(4) {
            0 if cluster.is_up(at) => {
                cluster.kill(at);
                return Some(at);
            }
            0 | 1 => {
                let down: Vec<NodeIndex> = cluster.nodes().filter(|node| !cluster.is_up(*node)).collect();
                down.into_iter().for_each(|node| cluster.start(node));
            }
            2 => cluster.set_cuts(&BTreeSet::new()),
            _ => {
                let island: Vec<bool> = (0..self.nodes).map(|_| self.chance.happens(400)).collect();
                let is_one_way = self.chance.happens(300);
                let inside = |node: NodeIndex| island[usize::from(node.0)];
                let all: Vec<NodeIndex> = cluster.nodes().collect();
                let pairs = all.iter().flat_map(|from| all.iter().map(|to| (*from, *to)));
                let cuts = pairs.filter(|(from, to)| inside(*from) != inside(*to) && (inside(*from) || !is_one_way));
                cluster.set_cuts(&cuts.collect());
            }
        }
        None
    }
}
