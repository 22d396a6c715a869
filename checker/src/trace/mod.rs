//! The nodes' own event traces: did the store keep to its protocol, whether or not a client saw the difference?
//!
//! Main decision: every rule joins events by key, version, term and index, and orders two nodes only by Lamport's stamps, never by time.
//! A trace is a prefix of what a node did, because nodes are killed; but a node hands an event to the kernel before anything that
//! depends on it leaves, so the traces of all nodes together are causally closed, and no rule asks for an event on which nothing rests. The
//! decision not taken was one machine that follows all nodes' events in the order of their clocks: skewed arrival would raise false alarms.
//!
//! A file's first line says whose it is. **Raft** (`raft_start`): [`raft`], rules T1 to T16. **Quorum** (`start`): `read` turns a file into
//! events, `holdings` says who held what, and each rule is a file: `acknowledged` (K1), `never_back` (K2), `one_value` (K3), `intersection`
//! (K4), `newest_reply` (K5), `definite_failure` (K6), `convergence` (K7). What a node was not started to promise (W, R, write-back,
//! anti-entropy), no rule asks of it. `node/tests/golden/trace.jsonl` and `node/tests/golden/raft_trace.jsonl` hold writer and reader together.

mod acknowledged;
mod breaches;
mod causes;
mod convergence;
mod definite_failure;
mod error;
mod event;
mod holdings;
mod intersection;
mod line;
pub mod neighbourhood;
mod never_back;
mod newest_reply;
mod one_value;
pub mod raft;
mod read;
mod reaped;
mod replaced;
mod scene;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Read};

pub use self::error::{TraceError, TraceErrorKind};
use self::event::Name;
use self::line::Names;
use self::neighbourhood::Neighbourhood;
use self::raft::RaftRules;
use self::read::NodeTrace;
use self::scene::Scene;
use crate::history::read::LINE_BYTES_MAX;

/// The traces of a run's nodes, as far as they could be read.
#[derive(Debug, Default)]
pub struct NodeTraces {
    names: Names,
    nodes: BTreeMap<Name, NodeTrace>,
    raft: Option<RaftRules>,
}

/// One rule's word on a set of traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// `trace K3`.
    pub rule: &'static str,
    /// What kind of promise it is.
    pub promise: Promise,
    /// What is broken, first of all: one sentence, lower case, without a full stop.
    pub message: String,
    /// The events that show it, each with node, line and what happened. Of a Raft rule the first line says what the rule asks.
    pub evidence: Vec<String>,
    /// What happened around it, for a diagram; only of Raft's rules T1 to T14.
    pub neighbourhood: Option<Neighbourhood>,
}

/// What kind of promise a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// Something that must never happen. No circumstance excuses it.
    Safety,
    /// Something that must happen, or happen in time: asked only where the harness itself was never held up.
    Liveness,
}

/// What a set of traces is judged under.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// What the monotonic clock showed at time 0 of the history, in nanoseconds.
    pub origin_ns: u64,
    /// All nodes had ended when the traces were read. If not, one file may be behind another, and the rules ask for no event that is missing.
    pub settled: bool,
    /// The time after the last heal; `None` if there was none, or if no heal is proved. Without it no rule asks for progress.
    pub calm: Option<Calm>,
}

/// A time without faults at the end of a run, on the history's axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calm {
    /// When the last heal was proved, in nanoseconds.
    pub from_ns: u64,
    /// Until when the nodes ran, in nanoseconds.
    pub until_ns: u64,
    /// The nodes that were up all the time.
    pub live: BTreeSet<String>,
    /// Nodes that join and leave by faults: a majority is one of the others.
    pub spares: BTreeSet<String>,
}

/// The one quorum rule that asks for progress.
const CONVERGENCE: &str = "trace K7";

/// Bytes of a file taken at once: the files of all nodes are read side by side.
const CHUNK_BYTES: usize = 1 << 18;

impl NodeTraces {
    /// Reads all nodes' traces side by side, and judges those of Raft nodes on the way, so that they are never in memory as a whole. All
    /// nodes of the run are named: one whose trace does not exist ([`io::ErrorKind::NotFound`]) may have done what no line says.
    pub fn read<R: BufRead>(sources: impl IntoIterator<Item = (String, io::Result<R>)>) -> NodeTraces {
        let begun: BTreeMap<String, io::Result<Begun<R>>> = sources.into_iter().map(|(node, source)| (node, begin(source))).collect();
        let mut traces = NodeTraces::default();
        if begun.values().flatten().any(|(first, _)| is_raft(first.get_ref())) {
            traces.raft = Some(read_raft(begun));
            return traces;
        }
        for (node, source) in begun {
            match source {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                source => traces.add(&node, source.map(|(first, rest)| first.chain(rest))),
            }
        }
        traces
    }

    /// Adds a quorum node's trace, read to its end or to the first line that cannot be read.
    pub fn add(&mut self, node: &str, source: io::Result<impl BufRead>) {
        let name = self.names.intern(node);
        let trace = NodeTrace::read(name.clone(), source, &mut self.names);
        self.nodes.insert(name, trace);
    }

    /// Whether this node's trace is here and holds an event.
    pub fn has(&self, node: &str) -> bool {
        let quorum = self.nodes.get(node);
        quorum.is_some_and(|trace| !trace.events.is_empty() || trace.error.is_some())
            || self.raft.as_ref().is_some_and(|raft| raft.has(node))
    }

    /// The traces that could not be read to their end, by node.
    pub fn errors(&self) -> impl Iterator<Item = (&str, &TraceError)> {
        let quorum = self
            .nodes
            .iter()
            .filter_map(|(node, trace)| Some((node.as_ref(), trace.error.as_ref()?)));
        quorum.chain(self.raft.iter().flat_map(RaftRules::errors))
    }

    /// What Raft nodes told as values, all of it judged.
    pub fn of_raft(mut rules: RaftRules) -> NodeTraces {
        rules.finish();
        NodeTraces {
            raft: Some(rules),
            ..NodeTraces::default()
        }
    }

    /// The rules on Raft, if the nodes are Raft nodes.
    pub fn raft(&self) -> Option<&RaftRules> {
        self.raft.as_ref()
    }

    /// Applies every rule.
    pub fn check(&self, conditions: &Conditions) -> Vec<Violation> {
        let scene = Scene::new(self, conditions.origin_ns, conditions.settled);
        let rules = [
            ("trace K1", acknowledged::check(&scene)),
            ("trace K2", never_back::check(&scene)),
            ("trace K3", one_value::check(&scene)),
            ("trace K4", intersection::check(&scene)),
            ("trace K5", newest_reply::check(&scene)),
            ("trace K6", definite_failure::check(&scene)),
            (CONVERGENCE, convergence::check(&scene, conditions)),
        ];
        let quorum = rules.into_iter().filter_map(|(rule, breaches)| breaches.violation(rule));
        let raft = self.raft.iter().flat_map(|raft| raft.violations(conditions));
        quorum.chain(raft).collect()
    }
}

/// A source whose first line was read, and that line.
type Begun<R> = (io::Cursor<Vec<u8>>, R);

fn begin<R: BufRead>(source: io::Result<R>) -> io::Result<Begun<R>> {
    let mut source = source?;
    let mut first = Vec::new();
    source.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut first)?;
    Ok((io::Cursor::new(first), source))
}

/// Whether a first line begins the life of a Raft node.
fn is_raft(line: &[u8]) -> bool {
    let marker = br#""raft_start""#;
    line.windows(marker.len()).any(|window| window == marker)
}

/// Takes one piece after the other of every file, until all have ended.
fn read_raft<R: BufRead>(begun: BTreeMap<String, io::Result<Begun<R>>>) -> RaftRules {
    let mut rules = RaftRules::new(begun.keys().map(String::as_str));
    let mut open = BTreeMap::new();
    for (node, source) in begun {
        match source {
            Ok((first, rest)) => {
                open.insert(node, first.chain(rest));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => rules.fail(&node, error),
        }
    }
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    while !open.is_empty() {
        open.retain(|node, source| {
            chunk.clear();
            match source.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut chunk) {
                Ok(n_read) => {
                    rules.feed(node, &chunk);
                    n_read > 0
                }
                Err(error) => {
                    rules.fail(node, error);
                    false
                }
            }
        });
        rules.advance(|node| open.contains_key(node));
    }
    rules.finish();
    rules
}

/// `12.402 s`: a moment of the history, by the monotonic clock.
fn seconds(mono_ns: u64, origin_ns: u64) -> String {
    crate::seconds::seconds(mono_ns.saturating_sub(origin_ns))
}
