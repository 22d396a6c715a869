//! K2 for version vectors, at the coordinator: does a write count everything that the writes it counts had seen?
//!
//! "Happened before" is transitive (Lamport 1978): a write that has seen another one has seen what that one had seen. A vector that leaves
//! such a write out, because somebody pruned it, makes values that were replaced look concurrent again (basho/riak_core#613). That a
//! replica then keeps both is right by the vectors, so this has to be asked where the vector is made.

use rustc_hash::FxHashMap;

use super::breaches::Breaches;
use super::event::{Name, Vector, What, covers};
use super::scene::{Scene, Sight};

/// A write of a key: node, incarnation and sequence of its version.
type Write<'a> = (&'a Name, &'a Name, u64, u64);

pub(super) fn check<'a>(scene: &'a Scene<'a>, breaches: &mut Breaches<'a>) {
    let made = || scene.sights().filter_map(|sight| Some((sight, assigned(sight)?)));
    // Never iterated: its order is nobody's.
    let known: FxHashMap<Write<'a>, (Sight<'a>, &'a Vector)> = made().map(|(sight, (write, vector))| (write, (sight, vector))).collect();
    for (sight, (write, vector)) in made() {
        let (key, node, incarnation, _) = write;
        let others = vector.iter().filter(|((other, life), _)| (other, *life) != (node, incarnation));
        let forgotten = others
            .filter_map(|((node, incarnation), count)| known.get(&(key, node, *incarnation, *count)))
            .find(|(_, seen)| !covers(vector, seen));
        if let Some((seen, _)) = forgotten.copied() {
            breaches.add(sight, move || {
                let message = format!("a write of key `{key}` counts another one, but not everything that one had seen");
                (message, vec![scene.tell(seen), scene.tell(sight)])
            });
        }
    }
}

fn assigned(sight: Sight<'_>) -> Option<(Write<'_>, &Vector)> {
    match &sight.event.what {
        What::Assign { key, version, vector, .. } if !vector.is_empty() => {
            Some(((key, &version.node, version.incarnation, version.sequence), vector))
        }
        _ => None,
    }
}
