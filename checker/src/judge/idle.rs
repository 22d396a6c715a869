//! Whether clients did nothing at all while faults were in force that left a majority of the nodes together.
//!
//! Source: ARCHITECTURE.md, "Verdicts", vacuity (e). A history cannot know who could reach a quorum, so everything that could explain the
//! silence of an honest run does: faults whose effect is not spelled out, clients that were held up, a pace too slow for the time there was.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::timeline::{Injection, Timeline};
use super::vacuity::is_conclusive;
use crate::history::History;
use crate::history::mark::Header;

/// Shorter faults may pass between two operations of a client that waits for a slow answer: ten heartbeats of 50 ms.
const TOGETHER_NS_MIN: u64 = 500_000_000;

/// Fewest operations that clients would have begun in that time at the pace before the first fault; below, silence may be chance.
const EXPECTED_MIN: u128 = 10;

/// Most nodes and faults that are looked at: a file may name as many as it likes, and the work grows with their squares.
const NODES_MAX: usize = 100;
const FAULTS_MAX: usize = 1_000;

/// What a fault does to the nodes, as `resolved` spells it out. A field that is not known here may do anything.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Effect {
    #[serde(default)]
    pub(super) cuts: Vec<(String, String)>,
    #[serde(default)]
    pub(super) down: Vec<String>,
    #[serde(default)]
    pub(super) paused: Vec<String>,
}

/// One injection as an interval of nanoseconds with its effect.
struct InForce<'a> {
    began_ns: u64,
    ended_ns: u64,
    injection: &'a Injection,
}

/// Whether no operation was begun or concluded during any fault, although there was every reason to.
pub(super) fn during_the_faults(header: &Header, history: &History, timeline: &Timeline) -> bool {
    let faults: Vec<InForce<'_>> = timeline.injected().filter_map(in_force).collect();
    if header.nodes.len() > NODES_MAX || faults.len() > FAULTS_MAX {
        return false;
    }
    let (Some(began_ns), Some(ended_ns)) = (
        faults.iter().map(|fault| fault.began_ns).min(),
        faults.iter().map(|fault| fault.ended_ns).max(),
    ) else {
        return false;
    };
    let during = |time_ns: u64| faults.iter().any(|fault| (fault.began_ns..=fault.ended_ns).contains(&time_ns));
    let nothing_happened = !history
        .operations
        .iter()
        .any(|operation| during(operation.invoked_ns) || (is_conclusive(operation) && operation.returned_ns().is_some_and(during)));
    nothing_happened && {
        let together_ns = longest_together_ns(header, &faults);
        together_ns >= TOGETHER_NS_MIN
            && expected(history, began_ns, together_ns) >= EXPECTED_MIN
            && !all_clients_held_up(header, history, began_ns, ended_ns)
    }
}

fn in_force(injection: &Injection) -> Option<InForce<'_>> {
    Some(InForce {
        began_ns: injection.began_ns()?,
        ended_ns: injection.healed_ns?,
        injection,
    })
}

/// The longest time between two changes of the faults in force in which these left a majority of the nodes up and mutually connected.
fn longest_together_ns(header: &Header, faults: &[InForce<'_>]) -> u64 {
    let changes: BTreeSet<u64> = faults.iter().flat_map(|fault| [fault.began_ns, fault.ended_ns]).collect();
    let changes: Vec<u64> = changes.into_iter().collect();
    let spans = changes.windows(2).filter(|span| {
        let mut now = faults
            .iter()
            .filter(|fault| fault.began_ns <= span[0] && span[1] <= fault.ended_ns)
            .peekable();
        // Between two faults nothing is in force, and nothing is asked of the clients here.
        now.peek().is_some()
            && now
                .map(|fault| effect(fault.injection))
                .collect::<Option<Vec<Effect>>>()
                .is_some_and(|effects| majority_together(&header.nodes, &effects))
    });
    spans.map(|span| span[1] - span[0]).max().unwrap_or(0)
}

/// What a fault did, if that is spelled out.
pub(super) fn effect(injection: &Injection) -> Option<Effect> {
    Effect::deserialize(injection.resolved.as_ref()?.get("resolved")?.get("state")?).ok()
}

/// Whether a majority is found that is up, unpaused and mutually connected. May miss one, never claims one that is not there.
pub(super) fn majority_together(nodes: &[String], effects: &[Effect]) -> bool {
    let cuts: BTreeSet<(&str, &str)> = effects
        .iter()
        .flat_map(|effect| &effect.cuts)
        .map(|(from, to)| (from.as_str(), to.as_str()))
        .collect();
    let gone: BTreeSet<&str> = effects
        .iter()
        .flat_map(|effect| effect.down.iter().chain(&effect.paused))
        .map(String::as_str)
        .collect();
    let named = |name: &str| nodes.iter().any(|node| node == name);
    if !cuts.iter().all(|(from, to)| named(from) && named(to)) {
        // Perhaps the clients were cut off.
        return false;
    }
    let up: Vec<&str> = nodes.iter().map(String::as_str).filter(|node| !gone.contains(node)).collect();
    let connected = |one: &str, other: &str| !cuts.contains(&(one, other)) && !cuts.contains(&(other, one));
    (0..up.len()).any(|first| {
        let mut together = vec![up[first]];
        for node in &up {
            if *node != up[first] && together.iter().all(|member| connected(member, node)) {
                together.push(node);
            }
        }
        2 * together.len() > nodes.len()
    })
}

/// How many operations clients would have begun within `span_ns` at their pace before the first fault.
fn expected(history: &History, first_fault_ns: u64, span_ns: u64) -> u128 {
    let before = || {
        history
            .operations
            .iter()
            .map(|operation| operation.invoked_ns)
            .filter(|invoked_ns| *invoked_ns < first_fault_ns)
    };
    let Some(first_ns) = before().min() else { return 0 };
    before().count() as u128 * u128::from(span_ns) / u128::from(first_fault_ns - first_ns)
}

/// Whether as many operations as there are clients may have waited for an answer from before the first fault to past the last.
fn all_clients_held_up(header: &Header, history: &History, began_ns: u64, ended_ns: u64) -> bool {
    let held_up = history
        .operations
        .iter()
        .filter(|operation| operation.invoked_ns <= began_ns && operation.returned_ns().is_none_or(|returned_ns| returned_ns >= ended_ns))
        .count();
    held_up >= (header.clients as usize).max(1)
}
