//! T3: term, commit index and applied index of a node only grow. The last two start anew with each life.

use super::breach::{Breaches, Rule};
use super::event::{Index, Role, Start, Term};
use super::scene::Scene;

/// A term is durable.
pub(super) fn hard(scene: Scene<'_>, term: Term, breaches: &mut Breaches) {
    let before = scene.me().hard.0;
    if term < before {
        went_back(scene, before, term, "is durable", breaches);
    }
}

/// A node begins with what was on its disk.
pub(super) fn start(scene: Scene<'_>, start: &Start, breaches: &mut Breaches) {
    let me = scene.me();
    if me.member() == Some(start.member) && start.term < me.hard.0 {
        went_back(scene, me.hard.0, start.term, "is found on the disk", breaches);
    }
}

fn went_back(scene: Scene<'_>, before: Term, term: Term, how: &str, breaches: &mut Breaches) {
    breaches.add(Rule::Monotone, || {
        let message = format!("{} went back from term {before} to term {term}", scene.name());
        let held = scene.me().hard_at.map(|sight| sight.says(format!("term {before} is durable")));
        let now = scene.sight.says(format!("term {term} {how}"));
        (message, held.into_iter().chain([now]).collect())
    });
}

/// A node takes a role: never in a term below its durable one, and as leader in no term that is not durable.
pub(super) fn role(scene: Scene<'_>, role: Role, term: Term, breaches: &mut Breaches) {
    let durable = scene.me().hard.0;
    let is_early = role == Role::Leader && term > durable;
    if term >= durable && !is_early {
        return;
    }
    breaches.add(Rule::Monotone, || {
        let name = scene.name();
        let message = if is_early {
            format!("{name} leads term {term}, but only term {durable} is durable on it")
        } else {
            format!("{name} takes a role in term {term} after term {durable} was durable on it")
        };
        let held = scene.me().hard_at.map(|sight| sight.says(format!("term {durable} is durable")));
        let now = scene.sight.says(format!("a role in term {term}"));
        (message, held.into_iter().chain([now]).collect())
    });
}

/// A node knows more to be committed.
pub(super) fn commit(scene: Scene<'_>, to: Index, breaches: &mut Breaches) {
    let before = scene.me().commit;
    if to < before {
        breaches.add(Rule::Monotone, || {
            let message = format!("the commit index of {} went back from {before} to {to}", scene.name());
            (
                message,
                vec![scene.sight.says(format!("committed up to index {to}, after index {before}"))],
            )
        });
    }
}

/// An entry is applied: the one after the last.
pub(super) fn apply(scene: Scene<'_>, index: Index, breaches: &mut Breaches) {
    let before = scene.me().applied;
    if before.checked_add(1) != Some(index) {
        breaches.add(Rule::Monotone, || {
            let message = format!("{} applied index {index} after index {before}", scene.name());
            (
                message,
                vec![scene.sight.says(format!("applies index {index}, with {before} applied before"))],
            )
        });
    }
}

/// A snapshot replaces the state: never by an older one.
pub(super) fn install(scene: Scene<'_>, index: Index, breaches: &mut Breaches) {
    let before = scene.me().applied;
    if index < before {
        breaches.add(Rule::Monotone, || {
            let message = format!(
                "the applied index of {} went back from {before} to {index} by a snapshot",
                scene.name()
            );
            (
                message,
                vec![
                    scene
                        .sight
                        .says(format!("installs a snapshot at index {index}, with {before} applied")),
                ],
            )
        });
    }
}
