//! K7: some time after the last heal, do all home replicas hold the same version of each key?
//!
//! Only a store that repairs on its own promises it: a `start` with `anti_entropy_ms`, the longest time between two exchanges of a pair of
//! replicas. Asked are keys that nobody wrote in the last [`ROUNDS`] such times, of a quiet time at least as long. Traces do not name a
//! key's home replicas, so those count that ever held it; that they are N is K1's question.

use std::collections::BTreeMap;

use super::Conditions;
use super::breaches::Breaches;
use super::event::{Name, Version, What};
use super::scene::{Scene, Sight};

/// An exchange meets one peer, and what it brings may be what the next one passes on: N is at most five or so.
const ROUNDS: u64 = 8;

/// And some time for a machine that is busy.
const GRACE_NS: u64 = 2_000_000_000;

const NS_PER_MS: u64 = 1_000_000;

pub(super) fn check<'a>(scene: &'a Scene<'a>, conditions: &Conditions) -> Breaches<'a> {
    let mut breaches = Breaches::default();
    let Some(due_ns) = quiet_from(scene, conditions) else {
        return breaches;
    };
    for (key, holders) in holders(scene) {
        let newest_of_all = holders.values().map(|held| held.newest).max();
        let is_quiet = holders.values().all(|held| held.first_told.event.mono_ns <= due_ns);
        let Some(newest) = newest_of_all.filter(|_| is_quiet) else {
            continue;
        };
        let behind = holders.values().find(|held| held.newest < newest);
        let ahead = holders.values().find(|held| held.newest == newest);
        if let (Some(behind), Some(ahead)) = (behind, ahead) {
            let (behind, ahead) = (*behind, *ahead);
            breaches.add(behind.first_told, move || {
                let node = &behind.first_told.trace.node;
                let message = format!(
                    "{node} still holds version {} of key `{key}` at the end, although nothing was written or cut for long and others hold {newest}",
                    behind.newest
                );
                (message, vec![scene.tell(ahead.first_told), scene.tell(behind.first_told)])
            });
        }
    }
    breaches
}

/// What a replica holds of a key at the end, and since when.
#[derive(Clone, Copy)]
struct Held<'a> {
    newest: &'a Version,
    first_told: Sight<'a>,
}

fn holders<'a>(scene: &'a Scene<'a>) -> BTreeMap<&'a Name, BTreeMap<&'a Name, Held<'a>>> {
    let mut holders: BTreeMap<&Name, BTreeMap<&Name, Held<'a>>> = BTreeMap::new();
    for sight in scene.sights() {
        let What::Put { key, version, .. } = &sight.event.what else {
            continue;
        };
        let first = Held {
            newest: version,
            first_told: sight,
        };
        let held = holders.entry(key).or_default().entry(&sight.trace.node).or_insert(first);
        if held.newest < version {
            *held = first;
        }
    }
    holders
}

/// Until when the last write of a key must have been told of, so that there was time to repair. `None` if nobody promised, if a node was
/// down or its trace is not whole, or if the time was too short.
fn quiet_from(scene: &Scene<'_>, conditions: &Conditions) -> Option<u64> {
    let calm = conditions.calm.as_ref().filter(|_| conditions.settled)?;
    let mut longest_ms = 0;
    for trace in scene.traces() {
        let interval_ms = trace.lives.last()?.settings.anti_entropy_ms?;
        let is_there = trace.error.is_none() && calm.live.contains(trace.node.as_ref());
        longest_ms = longest_ms.max(interval_ms);
        if !is_there {
            return None;
        }
    }
    let until_ns = conditions.origin_ns.saturating_add(calm.until_ns);
    let from_ns = conditions.origin_ns.saturating_add(calm.from_ns);
    let need_ns = longest_ms.saturating_mul(ROUNDS * NS_PER_MS).saturating_add(GRACE_NS);
    let due_ns = until_ns.checked_sub(need_ns)?;
    (due_ns >= from_ns).then_some(due_ns)
}
