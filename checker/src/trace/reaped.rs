//! K2 for deleted keys: does nothing that a tombstone replaced come back once the tombstone went?
//!
//! A tombstone that goes while an older value is still held or under way somewhere lets that value come back (basho/riak_kv#1094). Where
//! nodes were started to reap safely, a replica that let a tombstone go takes nothing that it had replaced, in whatever life. The
//! tombstone itself may come back, from a home replica that did not hear of the reaping. With vectors a smaller version may have been
//! concurrent, so there the tombstone's vector decides, if the trace tells it.

use std::collections::BTreeMap;

use super::breaches::Breaches;
use super::event::{Event, Vector, Version, What, covers};
use super::read::NodeTrace;
use super::scene::{Scene, Sight};

/// The newest tombstone of a key that went.
struct Reaped<'a> {
    version: &'a Version,
    /// What its write had seen, if it is known.
    vector: Option<&'a Vector>,
    event: &'a Event,
}

impl Reaped<'_> {
    fn had_replaced(&self, version: &Version, vector: &Vector) -> bool {
        if vector.is_empty() {
            version < self.version
        } else {
            self.vector.is_some_and(|seen| seen != vector && covers(seen, vector))
        }
    }
}

pub(super) fn check_node<'a>(scene: &'a Scene<'a>, trace: &'a NodeTrace, breaches: &mut Breaches<'a>) {
    let mut taken_last: BTreeMap<&str, (&Version, &Vector)> = BTreeMap::new();
    let mut reaped: BTreeMap<&str, Reaped<'a>> = BTreeMap::new();
    for event in &trace.events {
        let sight = Sight { trace, event };
        match &event.what {
            What::Reap { key, version, .. } if sight.settings().reaps_safely => {
                let last = taken_last.get(key.as_ref()).filter(|(last, _)| *last == version);
                let vector = last.map(|(_, vector)| *vector);
                if reaped.get(key.as_ref()).is_none_or(|before| before.version < version) {
                    reaped.insert(key, Reaped { version, vector, event });
                }
            }
            What::Put { key, version, vector, .. } => {
                taken_last.insert(key, (version, vector));
                if let Some(gone) = reaped.get(key.as_ref())
                    && gone.had_replaced(version, vector)
                {
                    let (reap, tombstone) = (Sight { trace, event: gone.event }, gone.version);
                    breaches.add(sight, move || {
                        let message = format!(
                            "{} took version {version} of key `{key}`, which the tombstone {tombstone} had replaced before it went",
                            trace.node
                        );
                        (message, vec![scene.tell(reap), scene.tell(sight)])
                    });
                }
            }
            _ => {}
        }
    }
}
