//! What is done to a simulated cluster: nodes start, die, stop and go on, clocks are moved, links are cut and healed.

use std::collections::BTreeSet;

use super::super::process::Process;
use super::{Cluster, EPOCH_NS, Happening, Notice};
use crate::core::{Core, Event};
use crate::members::NodeIndex;

impl<C: Core> Cluster<C> {
    /// Starts a node that is down: its next life, with whatever its disk holds.
    pub fn start(&mut self, at: NodeIndex) {
        let core_life = self.node(at).life + 1;
        let core = (self.make)(at, core_life);
        let node = self.node_mut(at);
        if node.process.is_some() {
            return;
        }
        node.life = core_life;
        let disk = node.disk.clone();
        self.counts.starts += 1;
        match Process::start(core, self.counts.starts, disk) {
            Err(reason) => self.notices.push_back(Notice::Exited { node: at, reason }),
            Ok((process, replayed)) => {
                self.node_mut(at).process = Some(process);
                self.counts.replayed += replayed;
                self.step(at, Event::Start { mono_offset_ns: 0 });
                for peer in self.nodes().filter(|peer| *peer != at) {
                    self.link_up(at, peer);
                }
            }
        }
    }

    /// Ends a node's process and takes its power away: of what it wrote and did not sync, the disk keeps what it likes.
    pub fn kill(&mut self, at: NodeIndex) {
        if self.node_mut(at).process.take().is_some() {
            self.nodes[usize::from(at.0)].disk.crash(&mut self.disks);
        }
    }

    /// Stops a node's process: it does nothing, and what arrives waits. The disk goes on.
    pub fn pause(&mut self, at: NodeIndex) {
        if let Some(process) = &mut self.node_mut(at).process {
            process.pause();
        }
    }

    /// Continues a paused node: first it takes what arrived meanwhile, then it finds its timers late.
    pub fn resume(&mut self, at: NodeIndex) {
        if !self.is_paused(at) {
            return;
        }
        let Some(process) = &mut self.node_mut(at).process else { return };
        process.wake = None;
        for inbound in process.resume() {
            self.deliver(at, inbound);
        }
        self.wake_later(at);
        // Its peers heard nothing from it and have dropped their links; they dial again.
        for peer in self.nodes().filter(|peer| *peer != at) {
            self.link_up(at, peer);
        }
    }

    /// What a true wall clock shows now, in ns since 1970.
    pub fn true_wall_ns(&self) -> u64 {
        EPOCH_NS + self.now_ns
    }

    /// What a node's wall clock shows now.
    pub fn wall_ns(&self, at: NodeIndex) -> u64 {
        (self.node(at).wall_clock)(self.true_wall_ns())
    }

    /// Gives a node another wall clock than it has from its world: it says what it shows at a true time. It outlives the node's lives.
    pub fn set_wall_clock(&mut self, at: NodeIndex, wall_clock: impl Fn(u64) -> u64 + 'static) {
        self.node_mut(at).wall_clock = Box::new(wall_clock);
    }

    /// Cuts exactly these directed links, and heals all others.
    pub fn set_cuts(&mut self, cuts: &BTreeSet<(NodeIndex, NodeIndex)>) {
        let mut healed = BTreeSet::new();
        for from in self.nodes() {
            for to in self.nodes().filter(|to| *to != from) {
                match (self.network.is_cut(from, to), cuts.contains(&(from, to))) {
                    (false, true) => self.network.cut(from, to),
                    (true, false) => {
                        self.heal(from, to);
                        healed.insert((from.min(to), from.max(to)));
                    }
                    _ => {}
                }
            }
        }
        healed.into_iter().for_each(|(one, other)| self.link_up(one, other));
    }

    fn heal(&mut self, from: NodeIndex, to: NodeIndex) {
        for letter in self.network.heal(from, to) {
            let delay_ns = self.network.delay_ns(&self.world);
            self.enter(delay_ns, Happening::Letter(letter));
        }
    }
}
