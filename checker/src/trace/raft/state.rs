//! T6: an index stands for one entry and one state, whoever commits, applies, or takes it from a snapshot.

use super::breach::{Breaches, Rule};
use super::event::{Apply, Index, Start, Term};
use super::scene::Scene;
use super::slots::{Applied, Committed, Slots};
use super::tell::entry;

/// A node holds an entry, and all before it, committed.
pub(super) fn commit(scene: Scene<'_>, to: Index, term_at: Term, slots: &mut Slots, breaches: &mut Breaches) {
    let log = &scene.me().log;
    if to > log.last_index() {
        breaches.add(Rule::StateMachine, || {
            let last = log.last_index();
            let message = format!("{} holds index {to} committed, but its log ends with index {last}", scene.name());
            (message, vec![scene.sight.says(format!("commits up to {}", entry(to, term_at)))])
        });
        return;
    }
    agree_on_term(scene, to, term_at, slots, breaches);
    // What the node says of the entry and what it has there must not differ either.
    if let Some(own) = log.term_at(to).filter(|own| *own != term_at) {
        agree_on_term(scene, to, own, slots, breaches);
    }
}

/// Compares with what others hold committed at this index, or notes it as the first.
fn agree_on_term(scene: Scene<'_>, index: Index, term_at: Term, slots: &mut Slots, breaches: &mut Breaches) {
    let Some(slot) = slots.at(index) else { return };
    let sight = scene.sight;
    let committed = *slot.committed.get_or_insert(Committed {
        term_at,
        counted_in: None,
        sight,
    });
    if committed.term_at != term_at {
        breaches.add(Rule::StateMachine, || {
            let other = &scene.nodes[usize::from(committed.sight.node)].name;
            let (first, second) = (committed.term_at, term_at);
            let message = format!(
                "{other} and {} committed different entries at index {index}: of term {first} and of term {second}",
                scene.name()
            );
            let says = |term| format!("commits {}", entry(index, term));
            (message, vec![committed.sight.says(says(first)), sight.says(says(second))])
        });
    }
}

/// An entry is applied.
pub(super) fn apply(scene: Scene<'_>, apply: &Apply, slots: &mut Slots, breaches: &mut Breaches) {
    let me = scene.me();
    let place = entry(apply.index, apply.term_at);
    if apply.index > me.commit {
        breaches.add(Rule::StateMachine, || {
            let message = format!(
                "{} applied {place}, but knows only index {} to be committed",
                scene.name(),
                me.commit
            );
            (message, vec![scene.sight.says(format!("applies {place}"))])
        });
    }
    if let Some(own) = me.log.get(apply.index)
        && (own.term, own.digest) != (apply.term_at, apply.digest)
    {
        breaches.add(Rule::StateMachine, || {
            let own = entry(apply.index, own.term);
            let message = format!("{} applied {place}, which is not what its log has there: {own}", scene.name());
            (message, vec![scene.sight.says(format!("applies {place}"))])
        });
    }
    let Some(slot) = slots.at(apply.index) else { return };
    let sight = scene.sight;
    let first = *slot.applied.get_or_insert(Applied { apply: *apply, sight });
    if let Some(how) = difference(&first.apply, apply) {
        breaches.add(Rule::StateMachine, || {
            let other = &scene.nodes[usize::from(first.sight.node)].name;
            let message = format!("{other} and {} applied index {} and {how}", scene.name(), apply.index);
            let says = |apply: &Apply| {
                format!(
                    "applies {}; the state is {:016x}",
                    entry(apply.index, apply.term_at),
                    apply.state_hash
                )
            };
            (message, vec![first.sight.says(says(&first.apply)), sight.says(says(apply))])
        });
    }
}

fn difference(one: &Apply, other: &Apply) -> Option<&'static str> {
    if (one.term_at, one.digest) != (other.term_at, other.digest) {
        Some("took different entries")
    } else if one.effect != other.effect {
        Some("gave it effect only on one of them")
    } else if one.state_hash != other.state_hash {
        Some("came to different states")
    } else {
        None
    }
}

/// A node begins in a state that it says.
pub(super) fn start(scene: Scene<'_>, start: &Start, slots: &Slots, breaches: &mut Breaches) {
    if start.applied > 0 {
        state_at(scene, "begins with the state of", start.applied, start.state_hash, slots, breaches);
    }
}

/// A node takes a snapshot of its own state.
pub(super) fn take(scene: Scene<'_>, index: Index, term_at: Term, state_hash: u64, slots: &Slots, breaches: &mut Breaches) {
    let me = scene.me();
    if index > me.applied {
        breaches.add(Rule::StateMachine, || {
            let message = format!(
                "{} took a snapshot at index {index}, but had applied only index {}",
                scene.name(),
                me.applied
            );
            (
                message,
                vec![scene.sight.says(format!("takes a snapshot at {}", entry(index, term_at)))],
            )
        });
    }
    snapshot(scene, "takes a snapshot at", index, term_at, state_hash, slots, breaches);
}

/// A node installs another's snapshot.
pub(super) fn install(scene: Scene<'_>, index: Index, term_at: Term, state_hash: u64, slots: &Slots, breaches: &mut Breaches) {
    snapshot(scene, "installs a snapshot at", index, term_at, state_hash, slots, breaches);
}

fn snapshot(scene: Scene<'_>, how: &str, index: Index, term_at: Term, state_hash: u64, slots: &Slots, breaches: &mut Breaches) {
    let committed = slots.get(index).and_then(|slot| slot.committed);
    if let Some(committed) = committed.filter(|committed| committed.term_at != term_at) {
        breaches.add(Rule::StateMachine, || {
            let (own, other) = (entry(index, term_at), entry(index, committed.term_at));
            let message = format!("{} {how} {own}, but {other} is committed there", scene.name());
            (
                message,
                vec![
                    committed.sight.says(format!("commits {other}")),
                    scene.sight.says(format!("{how} {own}")),
                ],
            )
        });
    }
    state_at(scene, how, index, state_hash, slots, breaches);
}

/// The state after an index is the one that whoever applied it came to.
fn state_at(scene: Scene<'_>, how: &str, index: Index, state_hash: u64, slots: &Slots, breaches: &mut Breaches) {
    let applied = slots.get(index).and_then(|slot| slot.applied);
    if let Some(applied) = applied.filter(|applied| applied.apply.state_hash != state_hash) {
        breaches.add(Rule::StateMachine, || {
            let other = &scene.nodes[usize::from(applied.sight.node)].name;
            let message = format!("{} {how} index {index}, but {other} came to another state there", scene.name());
            let says = format!("applies index {index}; the state is {:016x}", applied.apply.state_hash);
            let own = format!("{how} index {index}; the state is {state_hash:016x}");
            (message, vec![applied.sight.says(says), scene.sight.says(own)])
        });
    }
}
