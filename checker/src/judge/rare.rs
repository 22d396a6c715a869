//! Rare states that a run must have reached to prove something: an election after a leader was taken away, and a success after a retry.
//!
//! Source: evidence-fuzzing §4.3, reading 6, and §6: a client that never succeeded after a timeout hid three bugs, and "at least one operation
//! succeeded after a retry" would have shown it.
//!
//! What a run must record: the marks of faults with `resolved.resolved.state` (`down`, `paused`, `cuts`), as all do, and `resolved.beat.on_ms` of
//! one that comes and goes, which is how long it is there at a time; who led the traces of
//! Raft nodes say, so other systems are not asked. A workload whose policy retries says `"retries": true` in the header, and the
//! [`Finding::Counters`](crate::history::mark::Finding::Counters) of `clients` then hold `retried_ok`, the number of operations that succeeded
//! after more than one attempt. Where the counter is absent, nothing is said.

use serde_json::Value;

use super::idle::{Effect, effect, majority_together};
use super::timeline::{Injection, Timeline};
use crate::history::mark::Header;
use crate::trace::raft::RaftRules;

const NS_PER_MS: u64 = 1_000_000;

/// How many election timeouts a leader must be away before another one is due.
const ELECTION_TIMEOUTS: u64 = 2;

/// A leader was taken away, the others were together, and nobody was elected.
pub(super) fn no_election(header: &Header, timeline: &Timeline, raft: Option<&RaftRules>) -> Option<String> {
    let raft = raft?;
    let election_ns = raft.election_ms()?.saturating_mul(NS_PER_MS);
    let origin_ns = header.clock.origin_ns;
    let mut of_leaders = timeline.injected().filter_map(|injection| {
        let (began_ns, ended_ns) = (injection.applied_ns?, injection.heal_asked_ns?);
        let effect = effect(injection)?;
        let leader = raft.leader_at(origin_ns.saturating_add(began_ns))?;
        // Of a fault that comes and goes the longest time in one piece counts.
        let lasted_ns = ended_ns.saturating_sub(began_ns).min(beat_ns(injection).unwrap_or(u64::MAX));
        takes_away(header, &effect, leader, lasted_ns > election_ns.saturating_mul(ELECTION_TIMEOUTS))
            .then_some((injection, leader, began_ns))
    });
    let (injection, leader, began_ns) = of_leaders.next()?;
    let was_elected = raft
        .elections_ns()
        .any(|elected_ns| elected_ns > origin_ns.saturating_add(began_ns));
    (!was_elected).then(|| without_election(injection, leader))
}

/// How long a fault that comes and goes is there at a time.
fn beat_ns(injection: &Injection) -> Option<u64> {
    let on_ms = injection.resolved.as_ref()?.get("beat")?.get("on_ms")?.as_u64()?;
    Some(on_ms.saturating_mul(NS_PER_MS))
}

fn without_election(injection: &Injection, leader: &str) -> String {
    format!(
        "{} took the leader {leader} away, and no node was elected after that",
        injection.name()
    )
}

/// Whether a fault kills this leader, or keeps it from a majority for long, and leaves one that can elect another.
fn takes_away(header: &Header, effect: &Effect, leader: &str, is_long: bool) -> bool {
    let is_listed = |nodes: &[String]| nodes.iter().any(|node| node == leader);
    let cut_off = |node: &&String| {
        let is_between = |(from, to): &(String, String)| (from == leader && to == *node) || (to == leader && from == *node);
        effect.cuts.iter().any(is_between)
    };
    let n_cut_off = header.nodes.iter().filter(cut_off).count();
    let is_isolated = 2 * (header.nodes.len() - n_cut_off.min(header.nodes.len())) <= header.nodes.len();
    let is_away = is_listed(&effect.down) || (is_long && (is_listed(&effect.paused) || is_isolated));
    is_away && majority_together(&header.nodes, std::slice::from_ref(effect))
}

/// The workload's policy retries, faults were injected, and no retry was ever answered.
pub(super) fn no_success_after_a_retry(header: &Header, timeline: &Timeline) -> Option<String> {
    let retries = header.extra.get("retries").and_then(Value::as_bool).unwrap_or(false);
    let retried_ok = timeline.counters.get("clients")?.get("retried_ok")?;
    let is_missing = retries && *retried_ok == 0 && timeline.injected().next().is_some();
    is_missing.then(|| "no operation succeeded after a retry, although the clients retry".into())
}
