//! The operator's numbers: how much was done, how fast, what the faults cost, and what the nodes counted.
//!
//! Everything follows from the history, so that `squall check` prints what `squall run` printed. What they mean:
//!
//! - A *first success* after a moment is the earliest return of an operation that itself began after it. One that was under way when
//!   the fault struck, or waited for the heal inside a node, says nothing about service afterwards.
//! - A fault is *in force* from the moment its mechanism said so to the moment its heal was asked for.
//! - *Worst client* is the client that waited longest for its own first success; clients that tried nothing more do not count.

mod latency;
mod success;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use squall_checker::history::History;
use squall_checker::history::operation::Outcome;
use squall_checker::judge::timeline::{Injection, Timeline};

pub use self::latency::LatencyRow;
use self::success::Successes;
pub use self::success::{FirstSuccess, Share};

/// Under which name the clients' own counters stand in the history.
const CLIENTS: &str = "clients";

/// All numbers of one history.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Numbers {
    /// How operations ended.
    pub outcomes: Outcomes,
    /// Length of the load, from the first invocation to the last return, in milliseconds.
    pub load_ms: u64,
    /// Failed and unknown operations by the kind of their error, most frequent first.
    pub errors: Vec<(String, u64)>,
    /// What the clients counted themselves: `retries`, `reconnects`.
    pub clients: BTreeMap<String, u64>,
    /// Latency per kind and phase; empty if nobody asked.
    pub latency: Vec<LatencyRow>,
    /// What operations are called, by name.
    #[serde(skip)]
    pub kinds: BTreeSet<String>,
    /// What each injection was and did, in the order of the schedule.
    pub faults: Vec<FaultRow>,
    /// What each node counted, by name.
    pub nodes: BTreeMap<String, BTreeMap<String, u64>>,
    /// The worst lateness of the harness's own ticker, in milliseconds.
    pub worst_stall_ms: u64,
}

/// How operations ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Outcomes {
    /// Successes.
    pub ok: u64,
    /// Definite failures.
    pub failed: u64,
    /// Outcomes nobody knows.
    pub unknown: u64,
}

impl Outcomes {
    fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Ok => self.ok += 1,
            Outcome::Fail => self.failed += 1,
            Outcome::Unknown => self.unknown += 1,
        }
    }

    /// All of them.
    pub fn all(&self) -> u64 {
        self.ok + self.failed + self.unknown
    }
}

/// One injection, for the operator.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FaultRow {
    /// Its number in the schedule.
    pub id: u64,
    /// Its kind.
    pub kind: String,
    /// What was asked, as the plan has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<Value>,
    /// What it came to, as the nemesis recorded it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved: Option<Value>,
    /// Why it was not injected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// Whether its probe saw it bite.
    pub bit: bool,
    /// Whether its bite was seen on a program of ours that stood for the node.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub by_proxy: bool,
    /// Whether its probe saw it healed.
    pub healed: bool,
    /// What clients had of it; `None` if it never came into force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub felt: Option<Felt>,
}

/// What clients had of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Felt {
    /// When it came into force, in nanoseconds of the history.
    pub applied_ns: u64,
    /// How long it was in force, in milliseconds.
    pub lasted_ms: u64,
    /// Operations begun while it was in force.
    pub availability: Share,
    /// After it came into force.
    pub first_success: FirstSuccess,
    /// After it came into force, for the client that waited longest.
    pub first_success_worst_client: FirstSuccess,
    /// After its heal was probed.
    pub first_success_healed: FirstSuccess,
    /// After its heal was probed, for the client that waited longest.
    pub first_success_healed_worst_client: FirstSuccess,
}

impl Numbers {
    /// Counts a history; latencies too, if they are wanted, which costs as much again as everything else.
    pub fn of(history: &History, with_latencies: bool) -> Numbers {
        let timeline = Timeline::of(history);
        let Sums { outcomes, load_ms, kinds } = Sums::of(history);
        let mut nodes = timeline.counters.clone();
        let clients = nodes.remove(CLIENTS).unwrap_or_default();
        Numbers {
            outcomes,
            load_ms,
            errors: errors(history),
            clients,
            latency: if with_latencies {
                latency::rows(history, &timeline.phases)
            } else {
                Vec::new()
            },
            kinds,
            faults: faults(history, &timeline),
            nodes,
            worst_stall_ms: timeline.worst_stall_ms,
        }
    }

    /// The largest value of a counter with the node that has it; the first node by name where several have.
    pub fn worst_node(&self, counter: &str) -> Option<(&str, u64)> {
        let values = self
            .nodes
            .iter()
            .filter_map(|(node, counters)| Some((node.as_str(), *counters.get(counter)?)));
        values.rev().max_by_key(|(_, value)| *value)
    }
}

/// What one pass through the operations tells.
struct Sums {
    outcomes: Outcomes,
    load_ms: u64,
    kinds: BTreeSet<String>,
}

impl Sums {
    fn of(history: &History) -> Sums {
        let mut outcomes = Outcomes::default();
        let mut kinds = BTreeSet::new();
        let mut last = None;
        let (mut began_ns, mut ended_ns) = (u64::MAX, 0);
        for operation in &history.operations {
            outcomes.add(operation.outcome);
            began_ns = began_ns.min(operation.invoked_ns);
            ended_ns = ended_ns.max(operation.returned_ns().unwrap_or(operation.invoked_ns));
            // Most histories have a few names in long runs or none new after the first lines.
            if last != Some(operation.f) {
                last = Some(operation.f);
                let name = history.function(operation);
                if !kinds.contains(name) {
                    kinds.insert(name.to_owned());
                }
            }
        }
        Sums {
            outcomes,
            load_ms: ended_ns.saturating_sub(began_ns) / 1_000_000,
            kinds,
        }
    }
}

fn errors(history: &History) -> Vec<(String, u64)> {
    // Counted by number, as there may be a million of them: without a reason, without a reply, and each kind.
    let mut counts = vec![0; history.error_kinds.len() + 2];
    for operation in history.operations.iter().filter(|operation| operation.outcome != Outcome::Ok) {
        let place = match operation.error_kind {
            Some(kind) => kind.index() + 2,
            None => usize::from(operation.is_open()),
        };
        counts[place] += 1;
    }
    let kinds = ["no reason given", "no reply"].into_iter().chain(history.error_kinds.iter());
    let mut by_kind: BTreeMap<&str, u64> = BTreeMap::new();
    for (kind, count) in kinds.zip(counts).filter(|(_, count)| *count > 0) {
        // A kind may be called as we call the want of one.
        *by_kind.entry(kind).or_default() += count;
    }
    let mut errors: Vec<(String, u64)> = by_kind.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect();
    // Stable: kinds that are equally frequent stay in the order of their names.
    errors.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    errors
}

fn faults(history: &History, timeline: &Timeline) -> Vec<FaultRow> {
    // The index of successes costs 50 bytes per operation: not for nothing.
    if timeline.injections.is_empty() {
        return Vec::new();
    }
    let stride = history.header.as_ref().and_then(|header| {
        let seats = header.extra.get("seats").and_then(Value::as_u64).filter(|seats| *seats > 0)?;
        Some((seats, u64::from(header.clients)))
    });
    // A client goes on as process + seats after each unknown outcome; seats beyond the clients only do final reads.
    let client_of = |process| {
        stride
            .map(|(seats, clients)| (process % seats, clients))
            .filter(|(seat, clients)| seat < clients)
            .map(|(seat, _)| seat)
    };
    let successes = Successes::of(&history.operations, client_of);
    let end_ns = history
        .operations
        .iter()
        .map(|operation| operation.invoked_ns.saturating_add(1))
        .max()
        .unwrap_or(0);
    timeline
        .injections
        .iter()
        .map(|injection| fault(injection, &successes, end_ns))
        .collect()
}

/// Whether a clock, or of several nodes any, was looked at by proxy (`squall_nemeses::clock::By`).
fn is_by_proxy(probe: &Value) -> bool {
    let of_one = |probe: &Value| probe.pointer("/clock/by").and_then(Value::as_str) == Some("proxy");
    let of_several = probe.get("proofs").and_then(Value::as_array);
    of_one(probe) || of_several.is_some_and(|proofs| proofs.iter().any(of_one))
}

fn fault(injection: &Injection, successes: &Successes, end_ns: u64) -> FaultRow {
    let felt = injection.applied_ns.filter(|_| injection.skipped.is_none()).map(|applied_ns| {
        let until_ns = injection.heal_asked_ns.or(injection.healed_ns).unwrap_or(end_ns).max(applied_ns);
        let healed = |first: &dyn Fn(u64) -> FirstSuccess| injection.healed_ns.map_or(FirstSuccess::NothingTried, first);
        Felt {
            applied_ns,
            lasted_ms: (until_ns - applied_ns) / 1_000_000,
            availability: successes.share(applied_ns, until_ns),
            first_success: successes.first(applied_ns),
            first_success_worst_client: successes.worst_client(applied_ns),
            first_success_healed: healed(&|time_ns| successes.first(time_ns)),
            first_success_healed_worst_client: healed(&|time_ns| successes.worst_client(time_ns)),
        }
    });
    FaultRow {
        id: injection.id,
        kind: injection.kind.clone(),
        asked: injection.asked.clone(),
        resolved: injection.resolved.clone(),
        skipped: injection.skipped.clone(),
        bit: injection.bit == Some(true),
        by_proxy: injection.bite_probe.as_ref().is_some_and(is_by_proxy),
        healed: injection.healed == Some(true),
        felt,
    }
}
