//! What must hold in every setting, sound or not: a version names one value; a replica never goes back; an acknowledged put was
//! acknowledged by W; a definitely failed put is nowhere; and what a node showed or acknowledged as durable survives its crash.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use squall_node::core::Core;
use squall_node::members::{NodeIndex, Text};
use squall_node::quorum::{QuorumConfig, QuorumCore};
use squall_node::sim::{Cluster, SimDisk};
use squall_node::trace::TraceEvent;
use squall_node::vector::Vector;
use squall_node::version::Version;
use squall_node::wal::Wal;

pub(super) struct Watch {
    config: QuorumConfig,
    /// Events of each node that were looked at.
    seen: Vec<usize>,
    values: BTreeMap<Version, Text>,
    /// The newest version each node said, or was said, to hold durably, per key.
    held: BTreeMap<(Text, Text), Version>,
    /// The version each node told of last, per key.
    told: BTreeMap<(Text, Text), Version>,
    /// How often nodes did what, by the names of the trace.
    counts: BTreeMap<&'static str, u64>,
    /// The vectors of the values written.
    vectors: BTreeMap<u64, Vector>,
}

/// What of a record in the log matters here.
#[derive(serde::Deserialize)]
struct OnDisk {
    reap: Option<Reaped>,
}

#[derive(serde::Deserialize)]
struct Reaped {
    key: Text,
    version: Version,
}

impl Watch {
    pub(super) fn new(config: &QuorumConfig) -> Watch {
        Watch {
            seen: vec![0; config.members.count()],
            config: config.clone(),
            values: BTreeMap::new(),
            held: BTreeMap::new(),
            told: BTreeMap::new(),
            counts: BTreeMap::new(),
            vectors: BTreeMap::new(),
        }
    }

    /// Looks at what nodes told since the last look: assignments first, for a version is told before any replica holds it.
    pub(super) fn look(&mut self, cluster: &Cluster<QuorumCore>, definitely_failed: &BTreeSet<String>) {
        let mut fresh = Vec::new();
        for at in cluster.nodes() {
            let entries = cluster.trace(at).entries();
            let seen = std::mem::replace(&mut self.seen[usize::from(at.0)], entries.len());
            fresh.extend(entries[seen..].iter().map(|entry| (cluster.trace(at).node(), &entry.event)));
        }
        fresh.iter().for_each(|(_, event)| self.assigned(event));
        fresh.iter().for_each(|(node, event)| self.held(node, event, definitely_failed));
    }

    fn assigned(&mut self, event: &TraceEvent) {
        self.count(event);
        if let TraceEvent::Assign {
            version, value_id, vector, ..
        } = event
        {
            if let Ok(value) = value_id.parse() {
                self.vectors.insert(value, vector.clone());
            }
            let before = self.values.insert(version.clone(), value_id.clone());
            assert_eq!(before, None, "version {version} was given twice");
        }
    }

    fn held(&mut self, node: &Text, event: &TraceEvent, definitely_failed: &BTreeSet<String>) {
        match event {
            TraceEvent::Reap { key, version, replayed } => {
                let told = self.told.remove(&(node.clone(), key.clone()));
                assert!(*replayed || told.as_ref() == Some(version), "{node} reaped what it did not hold");
            }
            TraceEvent::Put {
                key,
                version,
                value_id,
                vector,
                ..
            } => {
                assert_eq!(self.values.get(version), Some(value_id), "version {version} names two values");
                assert!(
                    !definitely_failed.contains(value_id.as_ref()),
                    "{value_id} is on a disk though its put failed definitely"
                );
                let before = self.told.insert((node.clone(), key.clone()), version.clone());
                // Of concurrent siblings the one with the smaller version may come later.
                let is_forward = !vector.is_empty() || before.is_none_or(|told| told <= *version);
                assert!(is_forward, "{node} went back on {key} to {version}");
                self.promise(node, key, version);
            }
            TraceEvent::Get { key, replies, .. } => {
                let shown = replies.iter().filter_map(|reply| Some((&reply.node, reply.version.as_ref()?)));
                shown.for_each(|(node, version)| self.promise(node, key, version));
            }
            TraceEvent::Done {
                f,
                key,
                outcome: "ok",
                version: Some(version),
                acks,
                ..
            } => {
                let needed = if *f == "get" { 1 } else { self.config.w };
                assert!(acks.len() >= needed, "{f} of {key} ended with {acks:?}");
                acks.iter().for_each(|node| self.promise(node, key, version));
            }
            _ => {}
        }
    }

    /// How often nodes did what, and the vectors of the values written.
    pub(super) fn into_figures(self) -> (BTreeMap<&'static str, u64>, BTreeMap<u64, Vector>) {
        (self.counts, self.vectors)
    }

    fn count(&mut self, event: &TraceEvent) {
        let name = match event {
            TraceEvent::Reap { .. } => "reap",
            TraceEvent::HintStore { .. } => "hint_store",
            TraceEvent::HintSend { .. } => "hint_send",
            TraceEvent::Repair { .. } => "repair",
            TraceEvent::Get { replies, .. } if replies.iter().any(|reply| !reply.siblings.is_empty()) => "siblings",
            _ => return,
        };
        *self.counts.entry(name).or_default() += 1;
    }

    /// From now on somebody relies on this version, or a newer one, being on the node's disk.
    fn promise(&mut self, node: &Text, key: &Text, version: &Version) {
        let held = self.held.entry((node.clone(), key.clone())).or_insert_with(|| version.clone());
        if *held < *version {
            *held = version.clone();
        }
    }

    /// A node crashed: everything that anybody relies on is on its disk.
    pub(super) fn survived(&self, disk: &SimDisk, killed: NodeIndex) {
        let mut content = QuorumCore::new(self.config.clone(), u64::MAX);
        let mut reaped: BTreeMap<Text, Version> = BTreeMap::new();
        let load = &mut |record: &[u8]| {
            let OnDisk { reap } = serde_json::from_slice(record).unwrap();
            if let Some(Reaped { key, version }) = reap {
                let newest = reaped.entry(key).or_insert_with(|| version.clone());
                *newest = newest.clone().max(version);
            }
            content.load(record)
        };
        Wal::recover(disk.clone(), Path::new("watch"), load).unwrap();
        let name = self.config.members.name(killed);
        for ((_, key), version) in self.held.iter().filter(|((node, _), _)| node == name) {
            if reaped.get(key).is_some_and(|reaped| reaped >= version) {
                continue; // It was there when it was promised.
            }
            let held = content.durable(key).map(|stored| &stored.version);
            assert!(
                held.is_some_and(|held| held >= version),
                "{name} promised {key} {version}, its disk holds {held:?}"
            );
        }
    }
}
