//! T8, T9: what may be committed, and what must be durable for it.
//!
//! **Why time may be asked here.** An acknowledgement that a leader counts was sent after the entry's fsync had returned, and the `fsync`
//! event is stamped in between, on the same host's CLOCK_MONOTONIC as the leader's `commit`. So in a correct run the fsync's stamp is not
//! above the commit's, whatever else the nodes did; a later one is no cause. This holds as long as messages run forward on that clock, which
//! `clocks` watches: where they do not, only the order of causes is asked.

use super::breach::{Breaches, Fact, Nodes, Rests, Rule, Sight};
use super::clocks::Clocks;
use super::event::{By, Index, Role, Term};
use super::node::NodeState;
use super::scene::{Missing, Scene, bit};
use super::slots::{Committed, Slots};
use super::tell::entry;

/// What was counted so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Commits {
    /// The highest index that any leader counted, or that a node knew to be committed when it began.
    upto: Index,
    /// Up to where the slots know which entry was counted.
    filled: Index,
}

impl Commits {
    /// What a node knows at its start was counted in a former life, or before the traces begin.
    pub(super) fn start(&mut self, commit: Index) {
        self.upto = self.upto.max(commit);
    }

    /// A leader counted acknowledgements. Says whether it may have.
    pub(super) fn count(
        &mut self,
        scene: Scene<'_>,
        (to, term_at, term): (Index, Term, Term),
        clocks: &Clocks,
        slots: &mut Slots,
        breaches: &mut Breaches,
    ) -> bool {
        let is_own = own_term(scene, to, term_at, term, breaches);
        self.majority(scene, to, term_at, clocks, breaches);
        self.upto = self.upto.max(to);
        self.fill(scene, to, term, slots);
        is_own
    }

    /// T9: durable on a majority of each set of voters that decides now.
    fn majority(&self, scene: Scene<'_>, to: Index, term_at: Term, clocks: &Clocks, breaches: &mut Breaches) {
        let config = &scene.me().config;
        let is_there = |node: &NodeState| is_durable(scene, node, to, term_at, clocks);
        let Some(missing) = scene.majority_missing(config, |_, node| is_there(node)) else {
            return;
        };
        let rests = Rests {
            absent: missing.absent,
            timed: timed(scene, to, term_at, missing.absent),
        };
        breaches.add_resting(Rule::DurableMajority, rests, || {
            let Missing { n_there, n_voters, .. } = missing;
            let place = entry(to, term_at);
            let message = format!(
                "{} counted {place} as committed, but it was durable on {n_there} of {n_voters} voters",
                scene.name()
            );
            let mut facts: Vec<Fact> = scene.nodes.iter().filter_map(|node| durable_fact(node, to)).collect();
            facts.push(scene.sight.says(format!("commits {place}, counted itself")));
            (message, facts)
        });
    }

    /// Notes for each index which entry the leader counted.
    fn fill(&mut self, scene: Scene<'_>, to: Index, term: Term, slots: &mut Slots) {
        let log = &scene.me().log;
        // What it has forgotten was committed before. A hostile index is bounded by the log.
        let begin = self.filled.max(log.base_index());
        for index in begin + 1..=to.min(log.last_index()) {
            let (Some(term_at), Some(slot)) = (log.term_at(index), slots.at(index)) else {
                continue;
            };
            let sight = scene.sight;
            let committed = slot.committed.get_or_insert(Committed {
                term_at,
                counted_in: None,
                sight,
            });
            if committed.term_at == term_at {
                committed.counted_in.get_or_insert(term);
            }
        }
        self.filled = self.filled.max(to.min(log.last_index()));
    }

    /// What a follower holds committed, some leader counted before.
    pub(super) fn learned(&self, scene: Scene<'_>, to: Index, term_at: Term, by: By, breaches: &mut Breaches) {
        if to <= self.upto || matches!(by, By::Start | By::Other) {
            return;
        }
        breaches.add_absent(Rule::DurableMajority, scene.everybody(), || {
            let message = format!(
                "{} holds index {to} committed, but no leader had counted further than index {}",
                scene.name(),
                self.upto
            );
            (message, vec![scene.sight.says(format!("commits up to {}", entry(to, term_at)))])
        });
    }

    /// What is answered `ok` was counted before.
    pub(super) fn answered(&self, scene: Scene<'_>, index: Index, term_at: Term, breaches: &mut Breaches) {
        if index <= self.upto {
            return;
        }
        breaches.add_absent(Rule::DurableMajority, scene.everybody(), || {
            let place = entry(index, term_at);
            let message = format!(
                "{} answered ok for {place}, but no leader had counted further than index {}",
                scene.name(),
                self.upto
            );
            (message, vec![scene.sight.says(format!("answers ok for {place}"))])
        });
    }
}

/// T8. By counting, older terms' entries are committed only together with one of the leader's own (Raft §5.4.2, Figure 8).
fn own_term(scene: Scene<'_>, to: Index, term_at: Term, term: Term, breaches: &mut Breaches) -> bool {
    let me = scene.me();
    let is_leader = me.role == Role::Leader;
    if is_leader && term_at == term {
        return true;
    }
    breaches.add(Rule::OwnTermCommit, || {
        let place = entry(to, term_at);
        let message = if is_leader {
            format!("{}, leader in term {term}, committed {place} by counting", scene.name())
        } else {
            format!("{} committed {place} by counting, but is not leader in term {term}", scene.name())
        };
        let role = me.role_at.map(|sight| sight.says("its last change of role"));
        let count = scene.sight.says(format!("commits {place}, counted itself, in term {term}"));
        (message, role.into_iter().chain([count]).collect())
    });
    false
}

/// Whether a node had this entry durable before the present moment. Yes, if it cannot be known.
fn is_durable(scene: Scene<'_>, node: &NodeState, index: Index, term: Term, clocks: &Clocks) -> bool {
    if index <= node.snapshot || index <= node.log.base_index() {
        return true;
    }
    durable_since(node, index, term).is_some_and(|at| !clocks.is_later(at, scene.sight))
}

/// The moment at which an entry was first durable on a node, of what was seen so far.
fn durable_since(node: &NodeState, index: Index, term: Term) -> Option<Sight> {
    let mark = node.durable.since(index)?;
    (node.log.term_at(index) == Some(term)).then_some(mark.sight)
}

/// Whose clocks decided that these nodes do not count.
fn timed(scene: Scene<'_>, index: Index, term: Term, absent: Nodes) -> Nodes {
    let late = |node: &usize| absent & bit(*node) != 0 && durable_since(&scene.nodes[*node], index, term).is_some();
    let late = (0..scene.nodes.len()).filter(late).fold(0, |nodes, node| nodes | bit(node));
    if late == 0 { 0 } else { late | bit(scene.node) }
}

fn durable_fact(node: &NodeState, index: Index) -> Option<Fact> {
    let mark = node.durable.since(index).or_else(|| node.durable.last())?;
    Some(mark.sight.says(format!("durable up to {}", entry(mark.upto, mark.term_at))))
}

/// T9 across a restart: what was durable is found again. Asked when the node has told all that it found.
pub(super) fn found_again(scene: Scene<'_>, began: Sight, breaches: &mut Breaches) {
    let me = scene.me();
    let Some(owed) = me.replay.and_then(|replay| replay.owed) else {
        return;
    };
    if owed.upto <= me.snapshot || me.log.term_at(owed.upto) == Some(owed.term_at) {
        return;
    }
    breaches.add(Rule::DurableMajority, || {
        let place = entry(owed.upto, owed.term_at);
        let (last, term) = me.log.last();
        let message = format!("{} lost {place} in a restart, although it was durable", scene.name());
        let facts = vec![
            owed.sight.says(format!("durable up to {place}")),
            began.says(format!("starts with a log up to {}", entry(last, term))),
        ];
        (message, facts)
    });
}
