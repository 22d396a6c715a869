//! T4, T5: what stands in the nodes' logs, and what is removed from them.

use super::breach::{Breaches, Rule};
use super::event::{Index, Role, Term};
use super::scene::Scene;
use super::slots::{Seen, Slots};
use super::tell::entry;

/// An entry is appended. Returns the hash of the prefix that it ends, if it is known; what was seen before may tell it.
pub(super) fn append(scene: Scene<'_>, index: Index, term: Term, digest: u64, slots: &mut Slots, breaches: &mut Breaches) -> Option<u64> {
    let log = &scene.me().log;
    let hash = log.hash_with(term, digest);
    let (last, last_term) = log.last();
    if last.checked_add(1) != Some(index) {
        breaches.add(Rule::LogMatching, || {
            let message = format!("{} appends index {index} to a log that ends with index {last}", scene.name());
            (
                message,
                vec![
                    scene
                        .sight
                        .says(format!("append of {}, after {}", entry(index, term), entry(last, last_term))),
                ],
            )
        });
    } else if term < last_term {
        breaches.add(Rule::LogMatching, || {
            let message = format!("{} appends an entry of term {term} after one of term {last_term}", scene.name());
            (
                message,
                vec![
                    scene
                        .sight
                        .says(format!("append of {}, after {}", entry(index, term), entry(last, last_term))),
                ],
            )
        });
    }
    let slot = slots.at(index)?;
    let Some(seen) = slot.seen(term).copied() else {
        let sight = scene.sight;
        slot.add_seen(Seen { term, digest, hash, sight });
        return hash;
    };
    match (hash, seen.hash) {
        _ if seen.digest != digest => differ(scene, index, term, &seen, "hold different commands", breaches),
        (Some(hash), Some(other)) if hash != other => {
            differ(scene, index, term, &seen, "follow different entries before it", breaches);
        }
        (Some(hash), None) => slot.set_hash(term, hash),
        // By this very rule the prefix is the one that was seen. What is below the node's first entry is not compared.
        (None, known) => return known,
        _ => {}
    }
    hash
}

fn differ(scene: Scene<'_>, index: Index, term: Term, seen: &Seen, how: &str, breaches: &mut Breaches) {
    breaches.add(Rule::LogMatching, || {
        let other = &scene.nodes[usize::from(seen.sight.node)].name;
        let place = entry(index, term);
        let message = format!("{other} and {} both have {place}, but {how}", scene.name());
        let says = format!("append of {place}");
        (message, vec![seen.sight.says(says.clone()), scene.sight.says(says)])
    });
}

/// A node says where its log ends: there its events must have brought it.
pub(super) fn ends(scene: Scene<'_>, last: (Index, Term), breaches: &mut Breaches) {
    let known = scene.me().log.last();
    if last != known {
        breaches.add(Rule::LogMatching, || {
            let (said, known) = (entry(last.0, last.1), entry(known.0, known.1));
            let message = format!(
                "the log of {} ends with {said}, but what it appended and removed leads to {known}",
                scene.name()
            );
            (message, vec![scene.sight.says(format!("log up to {said}"))])
        });
    }
}

/// Entries are removed.
pub(super) fn truncate(scene: Scene<'_>, from: Index, term: Term, slots: &Slots, breaches: &mut Breaches) {
    let me = scene.me();
    let now = || scene.sight.says(format!("removes index {from} and what follows, in term {term}"));
    let last = me.log.last_index();
    if from > last {
        breaches.add(Rule::LogMatching, || {
            let message = format!(
                "{} removed index {from}, but what it appended and removed leads to a log up to index {last}",
                scene.name()
            );
            (message, vec![now()])
        });
    }
    if me.role == Role::Leader {
        breaches.add(Rule::AppendOnly, || {
            let message = format!("{}, leader in term {term}, removed entries from index {from} on", scene.name());
            let elected = me.role_at.map(|sight| sight.says("becomes leader"));
            (message, elected.into_iter().chain([now()]).collect())
        });
    }
    if from <= me.commit {
        breaches.add(Rule::AppendOnly, || {
            let message = format!(
                "{} removed index {from}, which it knew to be committed up to index {}",
                scene.name(),
                me.commit
            );
            (message, vec![now()])
        });
        return;
    }
    let committed = slots.get(from).and_then(|slot| slot.committed);
    if let Some(committed) = committed
        // One that is committed in a higher term than this was perhaps not committed yet when it was removed.
        && committed.counted_in.is_some_and(|counted_in| counted_in <= term)
        && me.log.term_at(from) == Some(committed.term_at)
    {
        breaches.add(Rule::AppendOnly, || {
            let place = entry(from, committed.term_at);
            let message = format!("{} removed {place}, which was committed", scene.name());
            (message, vec![committed.sight.says(format!("commits {place}")), now()])
        });
    }
}
