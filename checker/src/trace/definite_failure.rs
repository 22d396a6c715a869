//! K6: did a put that was answered `failed`, which means that it certainly did not happen, leave its value nowhere?

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::breaches::Breaches;
use super::event::{Function, Name, Outcome, Version, What};
use super::scene::{Scene, Sight};

pub(super) fn check<'a>(scene: &'a Scene<'a>) -> Breaches<'a> {
    let mut breaches = Breaches::default();
    let failed = failed_versions(scene);
    if failed.is_empty() {
        return breaches;
    }
    for sight in scene.sights() {
        let What::Put { key, version, .. } = &sight.event.what else {
            continue;
        };
        if let Some(&answer) = failed.get(&(key, version)) {
            breaches.add(sight, move || {
                let message = format!(
                    "a put of key `{key}` was answered failed, but its version {version} is durable on {}",
                    sight.trace.node
                );
                (message, vec![scene.tell(answer), scene.tell(sight)])
            });
        }
    }
    breaches
}

/// The versions of failed puts with the answers. Never iterated: its order is nobody's.
fn failed_versions<'a>(scene: &Scene<'a>) -> FxHashMap<(&'a Name, &'a Version), Sight<'a>> {
    let mut failed = FxHashMap::default();
    for trace in scene.traces() {
        let mut assigned: BTreeMap<u64, (&Name, &Version)> = BTreeMap::new();
        for event in &trace.events {
            match &event.what {
                What::Start => assigned.clear(),
                What::Assign { op, key, version, .. } => {
                    assigned.insert(*op, (key, version));
                }
                What::Done(done) if done.f == Function::Put => {
                    let assigned = assigned.remove(&done.op);
                    let told = done.version.as_ref().map(|version| (&done.key, version));
                    if done.outcome == Outcome::Failed {
                        failed.extend(assigned.into_iter().chain(told).map(|of| (of, Sight { trace, event })));
                    }
                }
                _ => {}
            }
        }
    }
    failed
}
