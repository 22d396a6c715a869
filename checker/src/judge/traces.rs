//! The rules on the nodes' traces, and what keeps them from being applied: a trace that is missing, cannot be read, or lacks its tail.
//!
//! Rules on progress (K7, T14, T15) follow the same law as readiness: they are asked only after a proved heal, and only if the harness itself was never
//! held up. What the traces cannot know of T15, whether clients got answers after the heal, is asked here of the history.

use std::collections::BTreeSet;

use super::finding::{Class, RuleFinding};
use super::readiness::STALL_MS;
use super::timeline::{Injection, Timeline};
use super::vacuity::is_conclusive;
use crate::history::History;
use crate::history::mark::Header;
use crate::seconds::seconds;
use crate::trace::{Calm, Conditions, NodeTraces, Promise, Violation};
use crate::verdict::Verdict;

const RULE: &str = "traces";

/// So many operations in a row without an answer are no chance.
const FRESH_MIN: usize = 50;

/// A client's whole patience, and twenty election timeouts of 150 ms: what was begun later than this after the heal must have been answered.
const FRESH_NS: u64 = 5_000_000_000;

/// What the traces show, for a run whose nodes wrote some.
pub(super) fn findings(history: &History, timeline: &Timeline, traces: &NodeTraces) -> Vec<RuleFinding> {
    let Some(header) = expected(history) else { return Vec::new() };
    let conditions = Conditions {
        origin_ns: header.clock.origin_ns,
        // Without the last word of the recording the nodes may have been running while their traces were read, one after another.
        settled: timeline.end.is_some(),
        calm: calm(header, timeline),
    };
    let stall_ms = timeline.worst_stall_ms;
    let broken = traces.check(&conditions).into_iter().map(|violation| broken(violation, stall_ms));
    let fresh = conditions
        .calm
        .as_ref()
        .and_then(|calm| nothing_answered(history, traces, calm, stall_ms));
    broken
        .chain(fresh)
        .chain(not_judged(header, timeline, traces, &conditions))
        .collect()
}

/// The header of a history whose nodes wrote traces.
pub(super) fn expected(history: &History) -> Option<&Header> {
    history.header.as_ref().filter(|header| header.traces)
}

fn broken(violation: Violation, stall_ms: u64) -> RuleFinding {
    let Violation {
        rule,
        promise,
        message,
        evidence,
        neighbourhood,
    } = violation;
    let finding = match promise {
        Promise::Safety => RuleFinding::broken(rule, Class::Safety, message),
        Promise::Liveness => late(rule, message, stall_ms),
    };
    RuleFinding {
        neighbourhood,
        ..finding.with_evidence(evidence)
    }
}

/// A promise about time, which a machine that was held up cannot judge.
fn late(rule: &str, message: String, stall_ms: u64) -> RuleFinding {
    if stall_ms < STALL_MS {
        return RuleFinding::broken(rule, Class::Liveness, message);
    }
    let message = format!("{message}; but this cannot be judged: the harness itself was held up for {stall_ms} ms");
    RuleFinding::new(rule, Verdict::Unknown, message)
}

/// The time after the last heal, if every heal is proved; in a run without faults, all of it after the start.
fn calm(header: &Header, timeline: &Timeline) -> Option<Calm> {
    let until_ns = timeline.end.as_ref()?.time_ns;
    let healed = |injection: &Injection| injection.healed_ns.filter(|_| injection.healed == Some(true));
    let heals: Option<Vec<u64>> = timeline.injected().map(healed).collect();
    let started_ns = header.nodes.iter().filter_map(|node| ready_ns(timeline, node).min()).max()?;
    let from_ns = heals?.into_iter().fold(started_ns, u64::max);
    let is_up = |node: &&String| {
        let last_exit_ns = timeline
            .exits
            .iter()
            .filter(|exit| exit.node == **node)
            .map(|exit| exit.time_ns)
            .max();
        // A node that ended after its last word of readiness, or between heal and end, was not up all the time.
        let last_ready_ns = ready_ns(timeline, node).max();
        last_ready_ns.is_some() && last_exit_ns.is_none_or(|exit_ns| exit_ns < from_ns && last_ready_ns > Some(exit_ns))
    };
    let live: BTreeSet<String> = header.nodes.iter().filter(is_up).cloned().collect();
    Some(Calm {
        from_ns,
        until_ns,
        live,
        spares: header.spares.iter().cloned().collect(),
    })
}

/// When this node was seen to be ready.
fn ready_ns<'a>(timeline: &'a Timeline, node: &'a str) -> impl Iterator<Item = u64> + 'a {
    let ready = timeline.readiness.iter().filter(move |ready| ready.ok && ready.node == node);
    ready.map(|ready| ready.time_ns)
}

/// T15, the clients' side: after the heal and some patience, operations that are begun are answered. Asked of systems with Raft traces only.
fn nothing_answered(history: &History, traces: &NodeTraces, calm: &Calm, stall_ms: u64) -> Option<RuleFinding> {
    traces.raft()?;
    let header = history.header.as_ref()?;
    if calm.live.len() <= header.nodes.len() / 2 {
        return None;
    }
    let due_ns = calm.from_ns.saturating_add(FRESH_NS);
    let begun = || history.operations.iter().filter(|operation| operation.invoked_ns >= due_ns);
    // One that was begun just before the end may still have been under way.
    let n_tried = begun()
        .filter(|operation| operation.invoked_ns.saturating_add(FRESH_NS) <= calm.until_ns)
        .count();
    if n_tried < FRESH_MIN || begun().any(is_conclusive) {
        return None;
    }
    let message = format!(
        "none of {n_tried} operations begun {} or more after the last heal succeeded, with {} of {} nodes up",
        seconds(FRESH_NS),
        calm.live.len(),
        header.nodes.len()
    );
    Some(late("trace T15", message, stall_ms))
}

/// One finding for all traces that are missing or damaged. A node that never came up has written none.
fn not_judged(header: &Header, timeline: &Timeline, traces: &NodeTraces, conditions: &Conditions) -> Option<RuleFinding> {
    let missing = header.nodes.iter().filter(|node| !traces.has(node)).filter_map(|node| {
        let ready = timeline.readiness.iter().find(|ready| ready.ok && ready.node == *node)?;
        Some(format!(
            "the trace of {node} is missing, although it was ready at {}",
            seconds(ready.time_ns)
        ))
    });
    let damaged = traces
        .errors()
        .map(|(node, error)| format!("the trace of {node} cannot be read: {error}"));
    let doubtful = traces.raft().into_iter().flat_map(|raft| raft.doubts(conditions));
    let doubtful = doubtful.map(|doubt| format!("the trace of {} says too little: {}", doubt.node, doubt.reason));
    let mut sentences = missing.chain(damaged).chain(doubtful);
    let first = sentences.next()?;
    Some(RuleFinding::new(RULE, Verdict::Unknown, first).with_evidence(sentences))
}
