//! The nodes' own event traces: did the store keep to its protocol, whether or not a client saw the difference?
//!
//! Main decision: every rule joins events by key, version and operation, and orders two nodes only by Lamport's stamps, never by time.
//! A trace is a prefix of what a node did, because nodes are killed; but a node hands an event to the kernel before anything that
//! depends on it leaves, so the traces of all nodes together are causally closed, and no rule asks for an event on which nothing rests. The
//! decision not taken was one machine that follows all nodes' events in the order of their clocks: skewed arrival would raise false alarms.
//!
//! `read` turns a file into events, `holdings` says who held what, and each rule is a file: `acknowledged` (K1), `never_back` (K2),
//! `one_value` (K3), `newest_reply` (K5), `definite_failure` (K6). What a node was not started to promise (W, R, write-back), no rule
//! asks of it. The format is that of `node/src/trace.rs`; `node/tests/golden/trace.jsonl` holds writer and reader together.

mod acknowledged;
mod breaches;
mod definite_failure;
mod error;
mod event;
mod holdings;
mod line;
mod never_back;
mod newest_reply;
mod one_value;
mod read;
mod replaced;
mod scene;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{self, BufRead};

pub use self::error::{TraceError, TraceErrorKind};
use self::event::Name;
use self::line::Names;
use self::read::NodeTrace;
use self::scene::Scene;

/// The traces of a run's nodes, as far as they could be read.
#[derive(Debug, Default)]
pub struct NodeTraces {
    names: Names,
    nodes: BTreeMap<Name, NodeTrace>,
}

/// One rule's word on a set of traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// `trace K3`.
    pub rule: &'static str,
    /// What is broken, first of all: one sentence, lower case, without a full stop.
    pub message: String,
    /// The events that show it, each with node, line, key and version.
    pub evidence: Vec<String>,
}

impl NodeTraces {
    /// Reads a node's trace to its end, or to the first line that cannot be read. A node whose trace does not exist is not added.
    pub fn add(&mut self, node: &str, source: io::Result<impl BufRead>) {
        let name = self.names.intern(node);
        let trace = NodeTrace::read(name.clone(), source, &mut self.names);
        self.nodes.insert(name, trace);
    }

    /// Whether this node's trace is here and holds an event.
    pub fn has(&self, node: &str) -> bool {
        self.nodes
            .get(node)
            .is_some_and(|trace| !trace.events.is_empty() || trace.error.is_some())
    }

    /// The traces that could not be read to their end, by node.
    pub fn errors(&self) -> impl Iterator<Item = (&str, &TraceError)> {
        self.nodes
            .iter()
            .filter_map(|(node, trace)| Some((node.as_ref(), trace.error.as_ref()?)))
    }

    /// Applies every rule. `origin_ns` is what the monotonic clock showed at time 0 of the history. `settled` says that all nodes had ended
    /// when the traces were read; if not, one file may be behind another, and the rules ask for no event that is missing.
    pub fn check(&self, origin_ns: u64, settled: bool) -> Vec<Violation> {
        let scene = Scene::new(self, origin_ns, settled);
        let rules = [
            ("trace K1", acknowledged::check(&scene)),
            ("trace K2", never_back::check(&scene)),
            ("trace K3", one_value::check(&scene)),
            ("trace K5", newest_reply::check(&scene)),
            ("trace K6", definite_failure::check(&scene)),
        ];
        rules.into_iter().filter_map(|(rule, breaches)| breaches.violation(rule)).collect()
    }
}
