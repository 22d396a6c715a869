//! The rule that a run must have proved something.
//!
//! Source: ARCHITECTURE.md, "Verdicts", vacuity (a) to (g). A run whose faults did nothing, or whose clients did nothing, says nothing about the
//! system, however green it looks (the field's tools report such runs as passed: openraft #1975). It is judged only where all phases ran:
//! what is missing from a prefix may just not have come yet.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::RuleFinding;
use super::idle;
use super::rare;
use super::timeline::{Injection, Timeline};
use crate::history::History;
use crate::history::mark::Header;
use crate::history::operation::{Function, KeyId, Operation, Outcome};
use crate::trace::raft::RaftRules;
use crate::verdict::Verdict;

const RULE: &str = "vacuity";

/// Fewest conclusive operations before the first fault, and again after the last heal (ARCHITECTURE.md gives the number).
pub const OPERATIONS_MIN: usize = 100;

/// Longest list of keys or nodes that a sentence spells out.
const NAMES_MAX: usize = 5;

/// For a file without a run of ours, and for a run that a person ended early: vacuous only if nothing in it concludes.
pub(super) fn of_nothing(history: &History) -> Vec<RuleFinding> {
    if history.operations.iter().any(is_conclusive) {
        return Vec::new();
    }
    vec![RuleFinding::new(
        RULE,
        Verdict::Vacuous,
        "no operation in this history says what it saw or did",
    )]
}

/// For a complete run of ours: one finding for everything that proved nothing.
pub(super) fn of_run(header: &Header, history: &History, timeline: &Timeline, raft: Option<&RaftRules>) -> Vec<RuleFinding> {
    let mut found = Vec::new();
    found.extend(too_few_operations(history, timeline));
    found.extend(unread_keys(history, timeline));
    found.extend(silent_nodes(header, history, timeline));
    found.extend(kinds_that_never_bit(header, timeline));
    found.extend(timeline.injected().filter_map(without_effect));
    found.extend(timeline.injected().filter_map(with_a_gap));
    if idle::during_the_faults(header, history, timeline) {
        found.push("no operation during the faults, although they left a majority of the nodes together".into());
    }
    found.extend(rare::no_election(header, timeline, raft));
    found.extend(rare::no_success_after_a_retry(header, timeline));
    found
        .into_iter()
        .map(|message| RuleFinding::new(RULE, Verdict::Vacuous, message))
        .collect()
}

/// Whether an operation says something about the system: it was done, or it failed and reports what it saw instead
/// (`{"kind": "mismatch", "seen": 5}`). A mere refusal is no evidence.
pub fn is_conclusive(operation: &Operation) -> bool {
    match operation.outcome {
        Outcome::Ok => true,
        Outcome::Fail => operation.observed().is_some(),
        Outcome::Unknown => false,
    }
}

/// (a) at least 100 operations before the first fault, and 100 after the last heal; 100 in all without faults.
fn too_few_operations(history: &History, timeline: &Timeline) -> Vec<String> {
    let conclusive = || history.operations.iter().filter(|operation| is_conclusive(operation));
    let too_few = |count: usize, when: &str| {
        (count < OPERATIONS_MIN).then(|| format!("{count} conclusive operations {when}, at least {OPERATIONS_MIN} are needed"))
    };
    let Some(first_fault_ns) = timeline.injected().filter_map(Injection::began_ns).min() else {
        return too_few(conclusive().count(), "in all").into_iter().collect();
    };
    let before = conclusive()
        .filter(|operation| operation.returned_ns().is_some_and(|returned_ns| returned_ns <= first_fault_ns))
        .count();
    let mut found: Vec<String> = too_few(before, "before the first fault").into_iter().collect();
    match last_heal_ns(timeline) {
        Ok(last_heal_ns) => {
            let after = conclusive().filter(|operation| operation.invoked_ns >= last_heal_ns).count();
            found.extend(too_few(after, "after the last heal"));
        }
        Err(unhealed) => found.push(format!("{} was never seen healed, so nothing is proved after it", unhealed.name())),
    }
    found
}

/// The moment from which no fault was in force, or the first fault that was never seen healed.
fn last_heal_ns(timeline: &Timeline) -> Result<u64, &Injection> {
    let mut last_ns = 0;
    // One that was only asked for never came into force, and (d) says so.
    for injection in timeline.injected().filter(|injection| injection.went_past_asked()) {
        match injection.healed_ns {
            Some(healed_ns) if injection.healed.is_some() => last_ns = last_ns.max(healed_ns),
            _ => return Err(injection),
        }
    }
    Ok(last_ns)
}

/// (b) every key written has a successful final read. A write of unknown outcome counts as written: it may have happened.
fn unread_keys(history: &History, timeline: &Timeline) -> Option<String> {
    let may_have_written =
        |operation: &&Operation| matches!(operation.f, Function::Write | Function::Cas) && operation.outcome != Outcome::Fail;
    // In order of first appearance, in which the history numbers its keys.
    let written: BTreeSet<KeyId> = history
        .operations
        .iter()
        .filter(may_have_written)
        .filter_map(|operation| operation.key)
        .collect();
    let read: BTreeSet<KeyId> = final_reads(history, timeline).filter_map(|operation| operation.key).collect();
    let unread: Vec<&str> = written.difference(&read).filter_map(|key| history.keys.get(key.index())).collect();
    listed(
        &unread,
        "key",
        "was written and has no successful final read",
        "were written and have no successful final read",
    )
}

/// (b) every live node answered a final read.
fn silent_nodes(header: &Header, history: &History, timeline: &Timeline) -> Option<String> {
    let answered: BTreeSet<&str> = final_reads(history, timeline)
        .filter_map(|operation| history.node(operation))
        .collect();
    let final_ns = timeline.phase_began_ns(FINAL).unwrap_or(u64::MAX);
    let dead = dead_at(timeline, final_ns);
    let silent: Vec<&str> = header
        .nodes
        .iter()
        .map(String::as_str)
        .filter(|node| !answered.contains(node) && !dead.contains(node))
        .collect();
    listed(
        &silent,
        "node",
        "is alive and answered no final read",
        "are alive and answered no final read",
    )
}

/// The phase in which every key is read once more, from every live node.
const FINAL: &str = "final";

fn final_reads<'a>(history: &'a History, timeline: &Timeline) -> impl Iterator<Item = &'a Operation> {
    let began_ns = timeline.phase_began_ns(FINAL);
    history.operations.iter().filter(move |operation| {
        operation.f == Function::Read
            && operation.outcome == Outcome::Ok
            && began_ns.is_some_and(|began_ns| operation.invoked_ns >= began_ns)
    })
}

/// Nodes whose process had ended by `time_ns` and was not seen ready again since.
fn dead_at(timeline: &Timeline, time_ns: u64) -> BTreeSet<&str> {
    let ended: BTreeMap<&str, u64> = timeline
        .exits
        .iter()
        .filter(|exit| exit.time_ns <= time_ns)
        .map(|exit| (exit.node.as_str(), exit.time_ns))
        .collect();
    let back_since = |node: &str, ended_ns: u64| {
        timeline
            .readiness
            .iter()
            .any(|ready| ready.ok && ready.node == node && (ended_ns..=time_ns).contains(&ready.time_ns))
    };
    ended
        .into_iter()
        .filter(|(node, ended_ns)| !back_since(node, *ended_ns))
        .map(|(node, _)| node)
        .collect()
}

/// (c) each requested kind bit at least once.
fn kinds_that_never_bit(header: &Header, timeline: &Timeline) -> Vec<String> {
    let mut found = Vec::new();
    for kind in &header.requested {
        let of_kind = || timeline.injections.iter().filter(|injection| injection.kind == *kind);
        let first_reason = of_kind().find_map(|injection| injection.skipped.as_deref());
        match first_reason {
            None if of_kind().next().is_none() => found.push(format!("{kind} was requested and never injected")),
            Some(reason) if of_kind().all(|injection| injection.skipped.is_some()) => {
                found.push(format!("{kind} was requested and every injection was skipped: {reason}"));
            }
            // Something of this kind was injected: if it did not bite, (d) says so of each.
            _ => {}
        }
    }
    found
}

/// (d) no injected fault has a negative probe, neither at its beginning nor before its heal, and none went without one.
fn without_effect(injection: &Injection) -> Option<String> {
    let name = injection.name();
    match injection.bit {
        Some(true) => None,
        Some(false) if injection.ceased => Some(format!("{name} was seen to bite, but its probe before the heal saw no effect")),
        Some(false) => Some(format!("{name} did nothing: its own probe saw no effect")),
        None if injection.went_past_asked() => Some(format!("{name} was never probed, so nothing shows that it bit")),
        None => Some(format!("{name} was begun and never came into force")),
    }
}

/// A stage that must have come before one that is there. Without it nobody knows from when to when the fault was in force.
fn with_a_gap(injection: &Injection) -> Option<String> {
    let healed = injection.healed_ns.is_some();
    let missing = [
        ("asked", injection.asked_ns.is_none()),
        ("applied", injection.applied_ns.is_none() && injection.went_past_asked()),
        ("heal-asked", injection.heal_asked_ns.is_none() && healed),
    ];
    let (stage, _) = missing.into_iter().find(|(_, missing)| *missing)?;
    Some(format!("{} has no stage `{stage}` in the history", injection.name()))
}

/// `key k1, k2 and 7 more were written …`; nothing for no names.
fn listed(names: &[&str], noun: &str, one: &str, many: &str) -> Option<String> {
    let spelled = names.iter().take(NAMES_MAX).copied().collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => None,
        1 => Some(format!("{noun} {spelled} {one}")),
        count if count <= NAMES_MAX => Some(format!("{noun}s {spelled} {many}")),
        count => Some(format!("{noun}s {spelled} and {} more {many}", count - NAMES_MAX)),
    }
}
