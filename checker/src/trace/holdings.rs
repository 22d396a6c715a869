//! What each replica held durably, and since when.
//!
//! "Before" is Lamport's order (Lamport 1978), not a clock's: a node's stamp is larger than that of everything the event depends on, and
//! a replica's `put` stands in its file before the acknowledgement or reply that rests on it leaves. So what a coordinator counted has
//! a `put` with a smaller stamp, whatever the nodes' clocks show and however they were killed.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use super::NodeTraces;
use super::event::{Version, What};

/// Nodes do not believe stamps above this (node/src/lamport.rs), so past it stamps say nothing about causes. Only a client that lies brings
/// a cluster there.
const STAMP_MAX: u64 = 1 << 53;

/// The durable versions of every replica.
pub(super) struct Holdings<'a> {
    /// Of each node and key, by version. Never iterated: its order is nobody's.
    held: FxHashMap<(&'a str, &'a str), Vec<Held<'a>>>,
    /// Nodes whose trace is whole: of these alone a missing event means that it did not happen.
    whole: BTreeSet<&'a str>,
    /// Whether stamps order causes.
    ordered: bool,
}

struct Held<'a> {
    version: &'a Version,
    /// The smallest stamp of a `put` of this version.
    stamp: u64,
    /// The smallest stamp of a `put` of this version or a newer one.
    stamp_or_newer: u64,
}

impl<'a> Holdings<'a> {
    /// Gathers all `put` events. `settled`: all nodes had ended when the traces were read; if not, one file may be behind another, and no
    /// missing event means anything.
    pub(super) fn of(traces: &'a NodeTraces, settled: bool) -> Holdings<'a> {
        let mut holdings = Holdings {
            held: FxHashMap::default(),
            whole: BTreeSet::new(),
            ordered: true,
        };
        for trace in traces.nodes.values() {
            if settled && trace.error.is_none() {
                holdings.whole.insert(&trace.node);
            }
            // Nodes that lost their power together may begin their next lives below the stamps of those before, unless whoever starts them counts the
            // starts (node/src/lamport.rs).
            holdings.ordered &= trace.events.is_sorted_by_key(|event| event.lamport);
            for event in &trace.events {
                holdings.ordered &= event.lamport <= STAMP_MAX;
                if let What::Put { key, version, .. } = &event.what {
                    holdings.held.entry((&trace.node, key)).or_default().push(Held {
                        version,
                        stamp: event.lamport,
                        stamp_or_newer: event.lamport,
                    });
                }
            }
        }
        holdings.held.values_mut().for_each(sort);
        holdings
    }

    /// Whether this node held this version or a newer one before the stamp. Yes, if it cannot be known.
    pub(super) fn holds(&self, node: &str, key: &str, version: &Version, stamp: u64) -> bool {
        self.find(node, key, version, |held| self.is_before(held.stamp_or_newer, stamp))
    }

    /// Whether this node held exactly this version before the stamp. Yes, if it cannot be known.
    pub(super) fn shows(&self, node: &str, key: &str, version: &Version, stamp: u64) -> bool {
        self.find(node, key, version, |held| {
            held.version == version && self.is_before(held.stamp, stamp)
        })
    }

    fn find(&self, node: &str, key: &str, version: &Version, accept: impl Fn(&Held<'_>) -> bool) -> bool {
        if !self.whole.contains(node) {
            return true;
        }
        let Some(held) = self.held.get(&(node, key)) else { return false };
        let place = held.partition_point(|held| held.version < version);
        held.get(place).is_some_and(accept)
    }

    fn is_before(&self, stamp: u64, other: u64) -> bool {
        stamp < other || !self.ordered
    }
}

/// By version, each once, with the smallest stamp from there on.
fn sort(held: &mut Vec<Held<'_>>) {
    held.sort_by(|a, b| a.version.cmp(b.version).then(a.stamp.cmp(&b.stamp)));
    held.dedup_by(|later, first| later.version == first.version);
    let mut newest_first = u64::MAX;
    for held in held.iter_mut().rev() {
        newest_first = newest_first.min(held.stamp);
        held.stamp_or_newer = newest_first;
    }
}
