//! K2 for version vectors: does a replica give up a value only for one that had seen it?
//!
//! With vectors a replica holds several values of a key side by side, so its versions have no one direction. What must not happen is that it
//! takes a value which something it holds has replaced already, or that a restart finds less than was held: of each value held before, the
//! log must give back it or one that replaced it. What a life says it found ends with the first event of another kind, see `never_back`.

use std::collections::BTreeMap;

use super::breaches::Breaches;
use super::event::{Event, Vector, Version, What, covers};
use super::read::NodeTrace;
use super::scene::{Scene, Sight};

/// The values a replica holds of one key.
type Siblings<'a> = Vec<(&'a Version, &'a Vector, &'a Event)>;

pub(super) fn check_node<'a>(scene: &'a Scene<'a>, trace: &'a NodeTrace, breaches: &mut Breaches<'a>) {
    let mut held: BTreeMap<&str, Siblings<'a>> = BTreeMap::new();
    // What former lives held, until this one has said what it found.
    let mut former: BTreeMap<&str, Siblings<'a>> = BTreeMap::new();
    for event in &trace.events {
        let sight = Sight { trace, event };
        let is_replay = matches!(
            &event.what,
            What::Start | What::Put { replayed: true, .. } | What::Reap { replayed: true, .. }
        );
        if !is_replay && !former.is_empty() {
            check_found(scene, sight, &held, std::mem::take(&mut former), breaches);
        }
        match &event.what {
            // A life that was killed while it told what it found has lost nothing by that.
            What::Start => former.extend(std::mem::take(&mut held)),
            What::Reap { key, .. } => {
                held.remove(key.as_ref());
                former.remove(key.as_ref());
            }
            What::Put { key, version, vector, .. } if !vector.is_empty() => {
                let siblings = held.entry(key).or_default();
                take(scene, sight, (version, vector), siblings, breaches);
            }
            _ => {}
        }
    }
}

fn take<'a>(
    scene: &'a Scene<'a>,
    sight: Sight<'a>,
    (version, vector): (&'a Version, &'a Vector),
    siblings: &mut Siblings<'a>,
    breaches: &mut Breaches<'a>,
) {
    let replaced_by = siblings
        .iter()
        .find(|(_, other, _)| covers(other, vector) && *other != vector)
        .copied();
    if let Some((newer, _, event)) = replaced_by {
        breaches.add(sight, move || {
            let message = format!(
                "{} took version {version}, although it held {newer}, which had replaced it",
                sight.trace.node
            );
            let held = Sight { event, ..sight };
            (message, vec![scene.tell(held), scene.tell(sight)])
        });
        return;
    }
    siblings.retain(|(_, other, _)| !covers(vector, other));
    siblings.push((version, vector, sight.event));
}

fn check_found<'a>(
    scene: &'a Scene<'a>,
    sight: Sight<'a>,
    found: &BTreeMap<&str, Siblings<'a>>,
    former: BTreeMap<&'a str, Siblings<'a>>,
    breaches: &mut Breaches<'a>,
) {
    for (key, siblings) in former {
        let found = found.get(key).map_or(&[][..], Vec::as_slice);
        let lost = siblings
            .into_iter()
            .find(|(_, vector, _)| !found.iter().any(|(_, other, _)| covers(other, vector)));
        if let Some((version, _, event)) = lost {
            breaches.add(sight, move || {
                let node = &sight.trace.node;
                let message = format!("{node} lost version {version} of key `{key}` in a restart, and found nothing that replaced it");
                let held = Sight { event, ..sight };
                (message, vec![scene.tell(held)])
            });
        }
    }
}
