//! K2: does a replica's version of a key never go back, neither within a life nor from one life to the next?
//!
//! Replicas merge by maximum, and a restarted replica first says what it found in its log (`replayed`). That everything is said is known
//! from the first event of another kind: `start` and the replay go out in one batch, before anything else happens.
//!
//! What lets a key go is the reaping of its tombstone; whether that was safe is no question of one replica. Where versions are vectors,
//! [`replaced`](super::replaced) asks in the place of the comparison.

use std::collections::{BTreeMap, BTreeSet};

use super::breaches::Breaches;
use super::event::{Event, Version, What};
use super::read::NodeTrace;
use super::replaced;
use super::scene::{Scene, Sight};

pub(super) fn check<'a>(scene: &'a Scene<'a>) -> Breaches<'a> {
    let mut breaches = Breaches::default();
    for trace in scene.traces() {
        check_node(scene, trace, &mut breaches);
        replaced::check_node(scene, trace, &mut breaches);
    }
    breaches
}

fn check_node<'a>(scene: &'a Scene<'a>, trace: &'a NodeTrace, breaches: &mut Breaches<'a>) {
    let mut newest: BTreeMap<&str, (&Version, &Event)> = BTreeMap::new();
    // Keys that this life has told of, and keys of former lives that it has not found again so far.
    let mut told: Vec<&str> = Vec::new();
    let mut not_found: BTreeSet<&str> = BTreeSet::new();
    for event in &trace.events {
        let sight = Sight { trace, event };
        let put = match &event.what {
            What::Start => {
                not_found.extend(told.drain(..));
                continue;
            }
            What::Reap { key, replayed, .. } => {
                newest.remove(key.as_ref());
                told.retain(|told| *told != key.as_ref());
                not_found.remove(key.as_ref());
                if *replayed {
                    continue;
                }
                None
            }
            // With vectors a version that is not the newest may come later; `replaced` looks after those.
            What::Put { vector, .. } if !vector.is_empty() => continue,
            What::Put {
                key, version, replayed, ..
            } => Some((key, version, *replayed)),
            _ => None,
        };
        if !put.is_some_and(|(.., replayed)| replayed) {
            for key in std::mem::take(&mut not_found) {
                // What is lost is no longer what newer versions are compared with.
                if let Some(held) = newest.remove(key) {
                    add_loss(scene, sight, key, held, breaches);
                }
            }
        }
        if let Some((key, version, _)) = put {
            not_found.remove(key.as_ref());
            told.push(key);
            check_put(scene, sight, (key, version), &mut newest, breaches);
        }
    }
}

fn add_loss<'a>(scene: &'a Scene<'a>, sight: Sight<'a>, key: &'a str, held: (&'a Version, &'a Event), breaches: &mut Breaches<'a>) {
    let Sight { trace, event } = sight;
    breaches.add(sight, move || {
        let (version, held) = held;
        let message = format!("{} lost key `{key}` in a restart: it held version {version} before", trace.node);
        let is_start = |other: &&Event| other.life == event.life && other.what == What::Start;
        let start = trace.events.iter().find(is_start).map(|event| Sight { trace, event });
        let start = start.map(|start| format!("{}; its log had nothing of this key", scene.tell(start)));
        let held = scene.tell(Sight { trace, event: held });
        (message, [held].into_iter().chain(start).collect())
    });
}

fn check_put<'a>(
    scene: &'a Scene<'a>,
    sight: Sight<'a>,
    (key, version): (&'a str, &'a Version),
    newest: &mut BTreeMap<&'a str, (&'a Version, &'a Event)>,
    breaches: &mut Breaches<'a>,
) {
    if let Some((before, held)) = newest.insert(key, (version, sight.event))
        && version < before
    {
        breaches.add(sight, move || {
            let message = format!("{} went back from version {before} to {version} of key `{key}`", sight.trace.node);
            let held = Sight { event: held, ..sight };
            (message, vec![scene.tell(held), scene.tell(sight)])
        });
    }
}
