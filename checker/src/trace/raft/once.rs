//! T10, T11: a command of a session takes effect once, and an answer is about the entry that it names.

use rustc_hash::FxHashMap;

use super::breach::{Breaches, Rule};
use super::event::{Ack, Apply, Command, Outcome};
use super::names::NameId;
use super::scene::Scene;
use super::slots::Slots;
use super::tell::entry;

/// Which commands took effect, by client and session.
#[derive(Debug, Clone, Default)]
pub(super) struct Effects {
    // Never iterated: its order is nobody's.
    done: FxHashMap<(NameId, u64), Intervals>,
}

/// A set of numbers that mostly come in order: as large as it has gaps.
#[derive(Debug, Clone, Default)]
struct Intervals(Vec<(u64, u64)>);

impl Intervals {
    /// Adds a number; false if it was there.
    fn add(&mut self, number: u64) -> bool {
        let place = self.0.partition_point(|(_, last)| *last < number);
        let touches_before = place > 0 && self.0[place - 1].1.checked_add(1) == Some(number);
        let next = self.0.get(place).map(|(first, _)| *first);
        if next.is_some_and(|first| first <= number) {
            return false;
        }
        let touches_next = number.checked_add(1).is_some_and(|after| next == Some(after));
        match (touches_before, touches_next) {
            (true, true) => {
                self.0[place - 1].1 = self.0[place].1;
                self.0.remove(place);
            }
            (true, false) => self.0[place - 1].1 = number,
            (false, true) => self.0[place].0 = number,
            (false, false) => self.0.insert(place, (number, number)),
        }
        true
    }
}

impl Effects {
    /// An entry is applied, and by no node before.
    pub(super) fn first_apply(&mut self, scene: Scene<'_>, apply: &Apply, slots: &Slots, breaches: &mut Breaches) {
        let Some(command) = apply.command.filter(|_| apply.effect && scene.me().has_sessions()) else {
            return;
        };
        let Some(session) = command.session else { return };
        if !self.done.entry((command.client, session)).or_default().add(command.sequence) {
            breaches.add(Rule::ExactlyOnce, || {
                let message = format!("{} took effect again at index {}", name(scene, command), apply.index);
                let earlier = slots
                    .find_applied(|other| other.apply.effect && other.apply.command == Some(command) && other.apply.index != apply.index);
                let earlier = earlier.map(|earlier| {
                    earlier
                        .sight
                        .says(format!("applies it at index {} with effect", earlier.apply.index))
                });
                let now = scene.sight.says(format!("applies it at index {} with effect", apply.index));
                (message, earlier.into_iter().chain([now]).collect())
            });
        }
    }
}

fn name(scene: Scene<'_>, command: Command) -> String {
    format!("command {} of client {}", command.sequence, scene.text(command.client))
}

/// T11, with the answer as the last word: compares it with what is known of the entry.
pub(super) fn ack(scene: Scene<'_>, ack: &Ack, slots: &mut Slots, breaches: &mut Breaches) {
    let Some(slot) = slots.at(ack.index) else { return };
    match ack.outcome {
        Outcome::Ok => ok(scene, ack, slots, breaches),
        Outcome::Failed if ack.always_takes_effect => {
            slot.failed.get_or_insert((ack.term_at, scene.sight));
            failed(ack.index, slots, breaches);
        }
        Outcome::Failed | Outcome::Unknown => {}
    }
}

fn ok(scene: Scene<'_>, ack: &Ack, slots: &Slots, breaches: &mut Breaches) {
    let place = entry(ack.index, ack.term_at);
    let Some(slot) = slots.get(ack.index) else { return };
    let answer = || scene.sight.says(format!("answers ok for {place}"));
    if let Some(committed) = slot.committed.filter(|committed| committed.term_at != ack.term_at) {
        breaches.add(Rule::AckMatches, || {
            let other = entry(ack.index, committed.term_at);
            let message = format!("{} answered ok for {place}, but {other} is committed there", scene.name());
            (message, vec![committed.sight.says(format!("commits {other}")), answer()])
        });
    } else if let Some(seen) = slot.seen(ack.term_at).filter(|seen| seen.digest != ack.digest) {
        breaches.add(Rule::AckMatches, || {
            let message = format!("{} answered ok for another command than the one at {place}", scene.name());
            (message, vec![seen.sight.says(format!("append of {place}")), answer()])
        });
    } else if let (Some(applied), Some(command)) = (slot.applied, ack.command)
        && applied.apply.command.is_some_and(|applied| applied != command)
    {
        breaches.add(Rule::AckMatches, || {
            let message = format!(
                "{} answered {} ok for {place}, which holds another's",
                scene.name(),
                name(scene, command)
            );
            (message, vec![applied.sight.says(format!("applies {place}")), answer()])
        });
    }
}

/// T11, definite failure: what was answered `failed` never takes effect. Asked when either side becomes known.
pub(super) fn failed(index: u64, slots: &Slots, breaches: &mut Breaches) {
    let Some(slot) = slots.get(index) else { return };
    if let (Some((term_at, answered)), Some(applied)) = (slot.failed, slot.applied)
        && applied.apply.term_at == term_at
        && applied.apply.effect
    {
        breaches.add(Rule::AckMatches, || {
            let place = entry(index, term_at);
            let message = format!("{place} was answered failed, which means never, and took effect");
            let facts = vec![
                answered.says(format!("answers failed for {place}")),
                applied.sight.says(format!("applies {place} with effect")),
            ];
            (message, facts)
        });
    }
}
