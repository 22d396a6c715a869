//! K3: does a version of a key stand for one value, on whatever node?

use rustc_hash::FxHashMap;

use super::breaches::Breaches;
use super::event::{Name, Version, What};
use super::scene::{Scene, Sight};

pub(super) fn check<'a>(scene: &'a Scene<'a>) -> Breaches<'a> {
    let mut breaches = Breaches::default();
    // Never iterated: its order is nobody's.
    let mut first: FxHashMap<(&Name, &Version), (&Name, Sight<'a>)> = FxHashMap::default();
    for sight in scene.sights() {
        let (What::Assign { key, version, value, .. } | What::Put { key, version, value, .. }) = &sight.event.what else {
            continue;
        };
        let (expected, seen) = *first.entry((key, version)).or_insert((value, sight));
        if expected != value {
            breaches.add(sight, move || {
                let message = format!("version {version} of key `{key}` stands for two values, `{expected}` and `{value}`");
                (message, vec![scene.tell(seen), scene.tell(sight)])
            });
        }
    }
    breaches
}
