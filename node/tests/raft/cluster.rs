//! Cores with disks, without a network and without time: what scripts and storms have in common.

use std::collections::BTreeMap;

use squall_node::core::{Core, Effect, Event, Now};
use squall_node::members::{Members, NodeIndex};
use squall_node::raft::{RaftConfig, RaftCore, RaftMessage};

pub(crate) const MS: u64 = 1_000_000;

/// What a node hands to its disk.
#[derive(Clone, Debug)]
enum Write {
    Record(Vec<u8>),
    Replacement(Vec<Vec<u8>>),
}

/// A node: its core while it runs, and what survives.
pub(crate) struct Node {
    pub(crate) core: Option<RaftCore>,
    pub(crate) config: RaftConfig,
    pub(crate) life: u64,
    pub(crate) disk: Vec<Vec<u8>>,
    unsynced: Vec<Write>,
    reported: u64,
}

impl Node {
    pub(crate) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    fn write(&mut self, count: usize) {
        for write in self.unsynced.drain(..count) {
            match write {
                Write::Record(record) => self.disk.push(record),
                Write::Replacement(records) => self.disk = records,
            }
        }
    }
}

pub(crate) struct Cluster {
    pub(crate) book: Members,
    nodes: BTreeMap<NodeIndex, Node>,
    seed: u64,
}

impl Cluster {
    /// Nodes that do not run yet.
    pub(crate) fn new(configs: impl Iterator<Item = RaftConfig>, book: &Members, seed: u64) -> Cluster {
        let nodes = configs.map(|config| {
            config.check().unwrap();
            let node = Node {
                core: None,
                life: 0,
                disk: Vec::new(),
                unsynced: Vec::new(),
                reported: 0,
                config,
            };
            (node.config.me, node)
        });
        Cluster {
            book: book.clone(),
            nodes: nodes.collect(),
            seed,
        }
    }

    pub(crate) fn node(&self, at: NodeIndex) -> &Node {
        &self.nodes[&at]
    }

    pub(crate) fn node_mut(&mut self, at: NodeIndex) -> &mut Node {
        self.nodes.get_mut(&at).unwrap()
    }

    pub(crate) fn core(&self, at: NodeIndex) -> Option<&RaftCore> {
        self.nodes[&at].core.as_ref()
    }

    /// Steps a node; what goes to the disk is kept, the rest comes back in order.
    pub(crate) fn step(&mut self, at: NodeIndex, now: Now, event: Event<RaftMessage>) -> Vec<Effect<RaftMessage>> {
        let node = self.node_mut(at);
        let Some(core) = &mut node.core else { return Vec::new() };
        let mut effects = Vec::new();
        core.step(now, event, &mut effects);
        let mut rest = Vec::new();
        for effect in effects {
            match effect {
                Effect::Append { record } => node.unsynced.push(Write::Record(record)),
                Effect::Compact { records } => node.unsynced.push(Write::Replacement(records)),
                Effect::Send { to, .. } if to == at => panic!("a core sends to itself"),
                other => rest.push(other),
            }
        }
        rest
    }

    /// The first `count` unsynced writes become durable; the number to report.
    pub(crate) fn sync(&mut self, at: NodeIndex, count: usize) -> u64 {
        let node = self.node_mut(at);
        node.write(count);
        node.reported += count as u64;
        node.reported
    }

    /// The node dies; of what was not synced, the first `kept` writes were on the disk nevertheless.
    pub(crate) fn crash(&mut self, at: NodeIndex, kept: usize) {
        let node = self.node_mut(at);
        node.core = None;
        node.write(kept.min(node.unsynced.len()));
        node.unsynced.clear();
    }

    /// A new life on what the disk holds.
    pub(crate) fn start(&mut self, at: NodeIndex, now: Now) -> Vec<Effect<RaftMessage>> {
        let seed = self.seed;
        let node = self.node_mut(at);
        node.life += 1;
        node.reported = 0;
        let mut core = RaftCore::new(node.config.clone(), node.life, seed);
        for record in &node.disk {
            core.load(record).unwrap();
        }
        node.core = Some(core);
        self.step(at, now, Event::Start { mono_offset_ns: 0 })
    }
}
