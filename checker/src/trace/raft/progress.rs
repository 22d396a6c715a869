//! T15: after the last fault is healed a leader is there soon, and every live voter has what was committed before.
//!
//! The history says when the last heal was proved, which nodes were up, and whether clients got answers (`judge/traces.rs` asks that); the
//! traces say who led and who applied what. Whether the harness itself was held up meanwhile the judge asks too.

use std::collections::VecDeque;

use super::breach::{Node, Sight};
use super::event::{Index, Role};
use super::names::Names;
use super::node::NodeState;

/// A leader must be there within so many election timeouts: each round of a split vote doubles the chance of a decision, so twenty
/// rounds fail once in a million elections.
const ELECTION_TIMEOUTS: u64 = 20;

/// But never within less than this: a machine with two cores runs several clusters.
const BOUND_NS_MIN: u64 = 5_000_000_000;

/// How often the applied index of a node is noted.
const SAMPLE_NS: u64 = 50_000_000;

/// Most notes per node, and most changes of leadership: the oldest go first.
const KEPT_MAX: usize = 1 << 13;

/// A time without faults, on the traces' clock.
#[derive(Debug, Clone)]
pub(super) struct Quiet {
    pub(super) from_ns: u64,
    pub(super) until_ns: u64,
    /// The nodes that were up all the time.
    pub(super) live: Vec<Node>,
    /// Nodes that are no members but while a fault makes them such.
    pub(super) spares: Vec<Node>,
}

/// Who led and who had applied what, over time.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    /// Node, and from when to when it led.
    reigns: VecDeque<(Node, u64, Option<u64>)>,
    samples: Vec<VecDeque<Sample>>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    time_ns: u64,
    commit: Index,
    applied: Index,
}

/// What was missed, with its evidence.
pub(super) type Missed = (String, Vec<String>);

impl Progress {
    /// Of so many nodes.
    pub(super) fn of(n_nodes: usize) -> Progress {
        Progress {
            reigns: VecDeque::new(),
            samples: vec![VecDeque::new(); n_nodes],
        }
    }

    /// A node takes a role, or begins a life as follower.
    pub(super) fn role(&mut self, sight: Sight, role: Role) {
        let node = usize::from(sight.node);
        let reign = self
            .reigns
            .iter_mut()
            .rev()
            .find(|(leader, _, until)| *leader == node && until.is_none());
        if let Some((_, _, until)) = reign {
            *until = Some(sight.mono_ns);
        }
        if role == Role::Leader {
            self.reigns.push_back((node, sight.mono_ns, None));
            if self.reigns.len() > KEPT_MAX {
                self.reigns.pop_front();
            }
        }
    }

    /// When nodes became leader.
    pub(super) fn elections_ns(&self) -> impl Iterator<Item = u64> {
        self.reigns.iter().map(|(_, from_ns, _)| *from_ns)
    }

    /// Who led at this moment.
    pub(super) fn leader_at(&self, time_ns: u64) -> Option<Node> {
        let led =
            |(_, from_ns, until_ns): &&(Node, u64, Option<u64>)| *from_ns <= time_ns && until_ns.is_none_or(|until_ns| until_ns > time_ns);
        self.reigns.iter().rev().find(led).map(|(node, ..)| *node)
    }

    /// A node has come this far.
    pub(super) fn reached(&mut self, sight: Sight, commit: Index, applied: Index) {
        let samples = &mut self.samples[usize::from(sight.node)];
        let time_ns = sight.mono_ns;
        let sample = Sample { time_ns, commit, applied };
        match samples.back_mut() {
            Some(last) if time_ns.saturating_sub(last.time_ns) < SAMPLE_NS => {
                (last.commit, last.applied) = (commit, applied);
            }
            _ => samples.push_back(sample),
        }
        if samples.len() > KEPT_MAX {
            samples.pop_front();
        }
    }

    /// What the quiet time should have brought and did not. Nothing is asked of a time that is too short.
    pub(super) fn missed(&self, nodes: &[NodeState], names: &Names, quiet: &Quiet) -> Option<Missed> {
        let election_ms = nodes.iter().filter_map(|node| Some(node.start.as_ref()?.election_ms)).max()?;
        let bound_ns = election_ms.saturating_mul(1_000_000 * ELECTION_TIMEOUTS).max(BOUND_NS_MIN);
        let due_ns = quiet.from_ns.saturating_add(bound_ns);
        if due_ns > quiet.until_ns {
            return None;
        }
        self.no_leader(nodes, quiet, due_ns)
            .or_else(|| self.left_behind(nodes, names, quiet, due_ns))
    }

    fn no_leader(&self, nodes: &[NodeState], quiet: &Quiet, due_ns: u64) -> Option<Missed> {
        let led = |(_, from_ns, until_ns): &(Node, u64, Option<u64>)| {
            *from_ns <= due_ns && until_ns.is_none_or(|until_ns| until_ns >= quiet.from_ns)
        };
        // The last word of a node that was killed while it led is that it leads. Of a spare node nobody says whether it was up, so it may lead.
        let is_up = |node: Node| quiet.live.contains(&node) || quiet.spares.contains(&node);
        let n_members = nodes.len() - quiet.spares.len();
        if self.reigns.iter().any(|reign| led(reign) && (is_up(reign.0) || reign.2.is_some())) || quiet.live.len() <= n_members / 2 {
            return None;
        }
        let message = format!(
            "no node was leader within {} ms after the last heal",
            (due_ns - quiet.from_ns) / 1_000_000
        );
        let last = self
            .reigns
            .back()
            .map(|(node, from_ns, _)| format!("the last leader was {}, from {from_ns} ns on", nodes[*node].name));
        Some((message, last.into_iter().collect()))
    }

    fn left_behind(&self, nodes: &[NodeState], names: &Names, quiet: &Quiet, due_ns: u64) -> Option<Missed> {
        let config = &nodes[self.reigns.back()?.0].config;
        let at = |node: Node, time_ns: u64| self.samples[node].iter().take_while(|sample| sample.time_ns <= time_ns).last();
        let target = (0..nodes.len()).filter_map(|node| Some(at(node, quiet.from_ns)?.commit)).max()?;
        let is_voter = |node: Node| {
            nodes[node]
                .member()
                .is_some_and(|member| config.sets().flatten().any(|voter| *voter == member))
        };
        let mut behind = quiet.live.iter().copied().filter(|node| is_voter(*node)).filter_map(|node| {
            let applied = at(node, due_ns)?.applied;
            (applied < target).then_some((node, applied))
        });
        let (node, applied) = behind.next()?;
        let member = nodes[node].member().map(|member| names.get(member)).unwrap_or_default();
        let message = format!(
            "{member} had applied index {applied} only, {} ms after the last heal, although index {target} was committed before it",
            (due_ns - quiet.from_ns) / 1_000_000
        );
        let others = behind.map(|(node, applied)| format!("{} had applied index {applied}", nodes[node].name));
        Some((message, others.collect()))
    }
}
