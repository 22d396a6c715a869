//! The rules on traces of Raft nodes, T1 to T16, as machines that take one event at a time.
//!
//! Main decision: all nodes' events are taken in the order of their Lamport stamps, which is an order in which they can have happened, and
//! every rule joins them by term and index: it asks for causes only, never whether two concurrent events came in one order or the other. So
//! the same machines judge a run while it goes on ([`RaftRules::feed`], [`RaftRules::settle`]) and saved files. The decision not taken was a
//! pass per rule over all events, as the quorum rules do: a Raft run has a hundred times the events, and must be judged in bounded memory.
//!
//! What is kept is state per live index, per term and per client, each with a stated bound. Two rules ask for time, T9 and T12; `commit`
//! and `fresh` say why that is sound and `clocks` when it is not. What follows from a node's silence is reported only if its trace is whole.
//!
//! `scan`, `line`, `words` and `stream` make bytes into events; `node`, `log` and `slots` are what is known; `machine` calls the rules: `election`
//! (T1, T2), `monotone` (T3), `matching` (T4, T5), `state` (T6), `completeness` (T7), `commit` (T8, T9), `once` (T10, T11), `fresh` (T12),
//! `membership` (T13), `amplification` (T14), `progress` (T15), `confirm` (T16). `alarm` is what they say while the run goes on.

mod alarm;
mod amplification;
mod breach;
mod clocks;
mod commit;
mod completeness;
mod confirm;
mod election;
pub mod event;
mod fresh;
mod letters;
mod line;
mod log;
mod lost;
mod machine;
mod matching;
mod membership;
mod monotone;
mod names;
mod neighbours;
mod node;
mod once;
mod progress;
mod scan;
mod scene;
mod slots;
mod state;
mod stream;
mod tell;
#[cfg(test)]
mod tests;
mod words;

use std::io;

pub use self::alarm::Alarm;
use self::breach::{Breach, Node, Nodes, Rule};
use self::event::{Told, What};
use self::machine::Machine;
pub use self::names::NameId;
use self::names::Names;
use self::progress::Quiet;
use self::stream::Stream;
pub use self::words::MessageId;
use super::error::TraceError;
use super::{Conditions, Promise, Violation, seconds};

/// Most nodes: a set of them is one number.
const NODES_MAX: usize = 64;

/// The rules on a cluster of Raft nodes, and all that they have seen.
#[derive(Debug)]
pub struct RaftRules {
    /// By name.
    streams: Vec<Stream>,
    names: Names,
    machine: Machine,
    /// Whether events were taken before all those with smaller stamps were read.
    is_out_of_order: bool,
}

/// Why something could not be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// The node whose trace is the reason.
    pub node: String,
    /// One sentence, lower case, without a full stop.
    pub reason: String,
}

impl RaftRules {
    /// For nodes of these names, in any order. More than 64 are not judged: those past the 64th are left out.
    pub fn new<'n>(nodes: impl IntoIterator<Item = &'n str>) -> RaftRules {
        let mut names: Vec<String> = nodes.into_iter().map(str::to_owned).collect();
        names.sort_unstable();
        names.dedup();
        names.truncate(NODES_MAX);
        RaftRules {
            streams: names.iter().map(|_| Stream::default()).collect(),
            names: Names::default(),
            machine: Machine::of(&names),
            is_out_of_order: false,
        }
    }

    /// Takes more bytes of a node's trace, cut anywhere. Nothing is judged yet. A node that is not known is passed over.
    pub fn feed(&mut self, node: &str, bytes: &[u8]) {
        if let Some(place) = self.place(node) {
            self.streams[place].take(node, bytes, &mut self.names);
        }
    }

    /// The number of a member's or client's name in what is [told](RaftRules::tell).
    pub fn name(&mut self, text: &str) -> NameId {
        self.names.intern(text)
    }

    /// Takes the next event of a node's trace as a value, instead of bytes. Nothing is judged yet. A node that is not known is passed over.
    pub fn tell(&mut self, node: &str, told: &Told, what: What) {
        if let Some(place) = self.place(node) {
            self.streams[place].tell(told, what);
        }
    }

    /// A node's trace could not be opened or read on.
    pub fn fail(&mut self, node: &str, error: io::Error) {
        if let Some(place) = self.place(node) {
            self.streams[place].fail_io(error);
        }
    }

    /// Judges, while the run goes on, every event that was stamped up to `drained_from_ns`: what the monotonic clock showed right before
    /// the last round of draining **all** nodes' traces began. A node writes an event before anything of it leaves, so whatever an event
    /// of that time depends on had been written then, and that round has read it.
    ///
    /// An event that was stamped by then and written later, because its node was held up in between, is taken after events that do not depend
    /// on it and have larger stamps. No rule minds that, but a silence may be the mere delay of a line: nodes are not known by their silence any more,
    /// neither now nor at the end. Saved files are judged by [`advance`](RaftRules::advance).
    pub fn settle(&mut self, drained_from_ns: u64) {
        self.is_out_of_order = true;
        self.judge(|event| event.mono_ns <= drained_from_ns, |_| true);
    }

    /// Judges what can be judged while files are read side by side: no unread event has a smaller stamp than its node's last one.
    /// `is_open` says whether a node's file has more.
    pub fn advance(&mut self, is_open: impl Fn(&str) -> bool) {
        let nodes = self.machine.nodes.iter().zip(&self.streams);
        let open: Vec<bool> = nodes
            .map(|(state, stream)| stream.error.is_none() && is_open(&state.name))
            .collect();
        let stamps = self.streams.iter().zip(&open).filter(|(_, open)| **open);
        let Some(bound) = stamps.map(|(stream, _)| stream.stamp).min() else {
            return self.finish();
        };
        self.judge(|event| event.lamport <= bound, |node| open[node]);
    }

    /// Judges all that was fed.
    pub fn finish(&mut self) {
        self.judge(|_| true, |_| false);
    }

    /// Takes events whose time has come, smallest stamp first, but no message before it was sent. `goes_on` says of a node whether more of its trace
    /// will come.
    ///
    /// Stamps tell that by themselves, but for nodes that lost their power together (node/src/lamport.rs): their next lives may begin below the
    /// last stamps of those before.
    fn judge(&mut self, is_due: impl Fn(&event::Event) -> bool, goes_on: impl Fn(Node) -> bool) {
        let mut fronts: Vec<(u64, Node)> = Vec::with_capacity(self.streams.len());
        loop {
            let due = |node: Node, stream: &Stream| {
                let event = stream.events.front().filter(|event| is_due(event))?;
                Some((event.lamport, node))
            };
            fronts.clear();
            fronts.extend(self.streams.iter().enumerate().filter_map(|(node, stream)| due(node, stream)));
            fronts.sort_unstable();
            let Some(&(_, smallest)) = fronts.first() else { return };
            if !self.is_early(smallest, &goes_on) {
                self.take_until(smallest, fronts.get(1).copied(), &is_due, &goes_on);
                continue;
            }
            let sent = fronts.iter().find(|(_, node)| !self.is_early(*node, &goes_on));
            match sent {
                Some(&(_, node)) => self.take_next(node),
                // Each waits for another one: no such thing can have happened, so some file is not what a node wrote.
                None if !(0..self.streams.len()).any(&goes_on) => self.take_next(smallest),
                None => return,
            }
        }
    }

    /// Takes events of a node until the first one of another node has its turn.
    fn take_until(
        &mut self,
        node: Node,
        next: Option<(u64, Node)>,
        is_due: impl Fn(&event::Event) -> bool,
        goes_on: impl Fn(Node) -> bool,
    ) {
        let is_next = |event: &event::Event| is_due(event) && next.is_none_or(|next| (event.lamport, node) <= next);
        while self.streams[node].events.front().is_some_and(is_next) && !self.is_early(node, &goes_on) {
            self.take_next(node);
        }
    }

    fn take_next(&mut self, node: Node) {
        if let Some(event) = self.streams[node].events.pop_front() {
            self.machine.take(node, &event, &self.names);
        }
    }

    /// Whether a node's first event is a message whose sending may still be to be taken.
    fn is_early(&self, node: Node, goes_on: impl Fn(Node) -> bool) -> bool {
        let event = self.streams[node].events.front();
        let Some((sender, sent)) = event.and_then(|event| self.machine.sender(event, &self.names)) else {
            return false;
        };
        let life = self.machine.nodes[sender].start.as_ref().map_or(0, |start| start.incarnation);
        sender != node && self.streams[sender].may_hold(sent, life, goes_on(sender))
    }

    fn place(&self, node: &str) -> Option<Node> {
        self.machine.nodes.binary_search_by(|state| state.name.as_str().cmp(node)).ok()
    }

    /// Whether this node's trace holds a line.
    pub fn has(&self, node: &str) -> bool {
        self.place(node)
            .is_some_and(|place| self.streams[place].has_begun() || self.streams[place].error.is_some())
    }

    /// How many events were read and not judged yet.
    pub fn n_waiting(&self) -> usize {
        self.streams.iter().map(|stream| stream.events.len()).sum()
    }

    /// How many events were judged.
    pub fn n_events(&self) -> u64 {
        self.machine.n_events
    }

    /// When nodes became leader, in nanoseconds of the monotonic clock: the last eight thousand times.
    pub fn elections_ns(&self) -> impl Iterator<Item = u64> {
        self.machine.progress.elections_ns()
    }

    /// The node that led at this moment of the monotonic clock, in nanoseconds: the one elected last, if two believed it.
    pub fn leader_at(&self, time_ns: u64) -> Option<&str> {
        let node = self.machine.progress.leader_at(time_ns)?;
        Some(&self.machine.nodes[node].name)
    }

    /// The longest election timeout that a node was started with, in milliseconds.
    pub fn election_ms(&self) -> Option<u64> {
        let starts = self.machine.nodes.iter().filter_map(|node| node.start.as_ref());
        starts.map(|start| start.election_ms).max()
    }

    /// Traces that could not be read to their end, by node.
    pub fn errors(&self) -> impl Iterator<Item = (&str, &TraceError)> {
        let nodes = self.machine.nodes.iter().zip(&self.streams);
        nodes.filter_map(|(state, stream)| Some((state.name.as_str(), stream.error.as_ref()?)))
    }

    /// What could not be judged for want of lines or of clocks that agree, besides [`errors`](RaftRules::errors).
    pub fn doubts(&self, conditions: &Conditions) -> Vec<Doubt> {
        let mut doubts: Vec<Doubt> = Vec::new();
        if conditions.settled {
            doubts.extend((0..self.machine.nodes.len()).filter_map(|node| self.lost_tail(node)));
        }
        doubts.extend(self.machine.clocks.doubts().map(|(node, reason)| Doubt {
            node: self.machine.nodes[node].name.clone(),
            reason: format!("{reason}: no rule on time was asked of it"),
        }));
        doubts
    }

    /// What a reader must know of what was forgotten on the way.
    pub fn notes(&self) -> Vec<String> {
        let given_up = self.machine.slots.given_up;
        let note = (given_up > 0).then(|| {
            format!("a node stayed behind for so long that what it did up to index {given_up} was not compared with what others did there")
        });
        note.into_iter().collect()
    }

    fn lost_tail(&self, node: Node) -> Option<Doubt> {
        if self.streams[node].error.is_some() {
            return None;
        }
        let (incarnation, has_begun, at) = self.machine.lost.of_node(node)?;
        let receiver = &self.machine.nodes[usize::from(at.node)].name;
        let which = if has_begun { "lines at the end of" } else { "all lines of" };
        let reason = format!(
            "{which} incarnation {incarnation} are missing: {receiver}, line {}, received a message that no line says was sent",
            at.line
        );
        let node = self.machine.nodes[node].name.clone();
        Some(Doubt { node, reason })
    }

    /// The nodes from whose silence nothing follows.
    fn not_whole(&self, conditions: &Conditions) -> Nodes {
        if !conditions.settled || self.is_out_of_order {
            return Nodes::MAX;
        }
        let is_cut = |node: &Node| self.streams[*node].error.is_some() || self.machine.lost.of_node(*node).is_some();
        (0..self.streams.len())
            .filter(is_cut)
            .fold(0, |nodes, node| nodes | scene::bit(node))
    }

    /// Every rule that is broken, by its number; of each the first breach that can be relied on.
    pub fn violations(&self, conditions: &Conditions) -> Vec<Violation> {
        let not_whole = self.not_whole(conditions);
        let untimed = self.machine.clocks.doubts().fold(0, |nodes, (node, _)| nodes | scene::bit(node));
        let mut breaches: Vec<&Breach> = self.machine.breaches.all().iter().collect();
        breaches.retain(|breach| breach.rests.absent & not_whole == 0 && breach.rests.timed & untimed == 0);
        // Stable: of each rule the one found first.
        breaches.sort_by_key(|breach| breach.rule);
        let mut violations: Vec<Violation> = Vec::new();
        for group in breaches.chunk_by(|one, other| one.rule == other.rule) {
            let n_all = group.iter().map(|breach| breach.n_all).sum();
            violations.push(self.violation(group[0], n_all, conditions.origin_ns));
        }
        violations.extend(self.liveness(conditions));
        violations
    }

    fn violation(&self, breach: &Breach, n_all: u64, origin_ns: u64) -> Violation {
        let nodes = &self.machine.nodes;
        let rule = std::iter::once(breach.rule.sentence().to_owned());
        let facts = breach.facts.iter().map(|fact| {
            let node = &nodes[usize::from(fact.sight.node)].name;
            format!(
                "{node}, line {}, at {}: {}",
                fact.sight.line,
                seconds(fact.sight.mono_ns, origin_ns),
                fact.text
            )
        });
        let count = (n_all > 1).then(|| format!("the rule is broken {n_all} times in all; this is the first"));
        Violation {
            rule: breach.rule.id(),
            promise: if breach.rule == Rule::Amplification {
                Promise::Liveness
            } else {
                Promise::Safety
            },
            message: breach.message.clone(),
            evidence: rule.chain(facts).chain(count).collect(),
            neighbourhood: Some(neighbours::neighbourhood(breach, nodes, &self.names, origin_ns)),
        }
    }

    fn liveness(&self, conditions: &Conditions) -> Option<Violation> {
        let calm = conditions.calm.as_ref()?;
        if self.not_whole(conditions) != 0 || self.machine.clocks.doubts().next().is_some() {
            return None;
        }
        let quiet = Quiet {
            from_ns: conditions.origin_ns.saturating_add(calm.from_ns),
            until_ns: conditions.origin_ns.saturating_add(calm.until_ns),
            live: calm.live.iter().filter_map(|node| self.place(node)).collect(),
            spares: calm.spares.iter().filter_map(|node| self.place(node)).collect(),
        };
        let (message, evidence) = self.machine.progress.missed(&self.machine.nodes, &self.names, &quiet)?;
        let rule = "liveness: after the last heal a leader is there soon, and every live voter has what was committed before";
        Some(Violation {
            rule: "trace T15",
            promise: Promise::Liveness,
            message,
            evidence: std::iter::once(rule.to_owned()).chain(evidence).collect(),
            neighbourhood: None,
        })
    }
}
