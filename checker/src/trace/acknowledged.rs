//! K1: is a put that was answered ok durable on W home replicas?
//!
//! A replica that holds something newer acknowledges a write without taking it (max-merge), so "this version or a newer one" is what an
//! acknowledgement says, and what is asked for here. Traces do not name the home replicas of a key, but there are N: a key that more than N
//! nodes hold is held by a node that is none.

use std::collections::{BTreeMap, BTreeSet};

use super::breaches::Breaches;
use super::event::{Done, Event, Function, Name, Outcome, Settings, Version, What};
use super::scene::{Scene, Sight};

pub(super) fn check<'a>(scene: &'a Scene<'a>) -> Breaches<'a> {
    let mut breaches = Breaches::default();
    for sight in scene.sights() {
        if let What::Done(done) = &sight.event.what
            && (done.f, done.outcome) == (Function::Put, Outcome::Ok)
        {
            check_put(scene, sight, done, &mut breaches);
        }
    }
    check_homes(scene, &mut breaches);
    breaches
}

fn check_put<'a>(scene: &'a Scene<'a>, sight: Sight<'a>, done: &'a Done, breaches: &mut Breaches<'a>) {
    let w = sight.settings().w;
    let Some(version) = &done.version else {
        breaches.add(sight, move || {
            let message = format!("a put of key `{}` was answered ok without a version", done.key);
            (message, vec![scene.tell(sight)])
        });
        return;
    };
    let n_durable = durable_acks(scene, sight, done, version).len() as u64;
    if n_durable < w {
        breaches.add(sight, move || {
            let message = format!(
                "a put of key `{}` was answered ok with W={w}, but version {version} was durable on {n_durable} of the replicas that \
                 acknowledged it",
                done.key
            );
            (message, unbacked(scene, sight, done, version))
        });
    }
}

/// The members among the acknowledging replicas that held this version or a newer one when the operation was answered, each once.
pub(super) fn durable_acks<'a>(scene: &Scene<'_>, at: Sight<'a>, done: &'a Done, version: &Version) -> BTreeSet<&'a Name> {
    let Settings { members, .. } = at.settings();
    let is_backed = |node: &Name| members.contains(node) && scene.holdings.holds(node, &done.key, version, at.event.lamport);
    done.acks.iter().filter(|node| is_backed(node)).collect()
}

/// The answer, and of each replica without cover what its trace has instead.
pub(super) fn unbacked(scene: &Scene<'_>, at: Sight<'_>, done: &Done, version: &Version) -> Vec<String> {
    let backed = durable_acks(scene, at, done, version);
    let without = done.acks.iter().filter(|node| !backed.contains(node)).collect::<BTreeSet<_>>();
    let mut lines = vec![scene.tell(at)];
    for node in without {
        let trace = scene.traces().find(|trace| trace.node == *node);
        let is_late = |event: &&Event| matches!(&event.what, What::Put { key, version: held, .. } if *key == done.key && held >= version);
        let late = trace.and_then(|trace| trace.events.iter().find(is_late).map(|event| Sight { trace, event }));
        lines.push(match late {
            Some(late) => format!("only later: {}", scene.tell(late)),
            None => format!("{node} has no durable event of this version or a newer one"),
        });
    }
    lines
}

/// At most N nodes hold a key. Replicas of a fixed membership never move.
fn check_homes<'a>(scene: &'a Scene<'a>, breaches: &mut Breaches<'a>) {
    let n = scene
        .traces()
        .flat_map(|trace| &trace.lives)
        .map(|life| life.settings.n)
        .max()
        .unwrap_or(0);
    let mut holders: BTreeMap<&str, Vec<Sight<'a>>> = BTreeMap::new();
    for sight in scene.sights() {
        let What::Put { key, .. } = &sight.event.what else { continue };
        let holders = holders.entry(key).or_default();
        // Traces come node by node, so a node that is known is the last one.
        if holders.last().is_none_or(|last| last.trace.node != sight.trace.node) {
            holders.push(sight);
        }
    }
    for (key, holders) in holders {
        let Some(last) = holders.iter().max_by_key(|sight| sight.event.mono_ns) else {
            continue;
        };
        if holders.len() as u64 > n {
            breaches.add(*last, move || {
                let message = format!(
                    "key `{key}` is durable on {} nodes, but has only N={n} home replicas",
                    holders.len()
                );
                (message, holders.iter().map(|sight| scene.tell(*sight)).collect())
            });
        }
    }
}
