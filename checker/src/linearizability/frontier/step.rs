//! One return: every way in which a configuration can go on so that the operation that returns has taken effect.

use super::configuration::{Configuration, Slots};
use super::sweep::{Pending, Sweep};
use super::trail::By;
use super::{Act, Ended};

/// Says that a change was a write, before which others may have gone by unseen.
#[derive(PartialEq)]
struct Absorbs;

impl<S: Slots> Sweep<'_, S> {
    /// Fills `done` with what the configurations become once `x` has taken effect.
    pub(super) fn place(&mut self, x: Pending, frontier: Vec<Configuration<S>>) -> Result<(), Ended> {
        for configuration in frontier {
            self.begin(x, configuration);
        }
        while let Some(place) = self.open.pop() {
            let comparisons = self.seen.take_comparisons() + self.done.take_comparisons();
            self.meter.spend(comparisons)?;
            // Meanwhile something may have come that can do all it can.
            let Some(configuration) = self.seen.get(place).cloned() else {
                continue;
            };
            self.go_on(x, &configuration);
            self.meter
                .hold(self.seen.bytes() + self.done.bytes() + self.trail.bytes() + self.counts.bytes())?;
        }
        self.seen.drain().for_each(drop);
        Ok(())
    }

    fn begin(&mut self, x: Pending, configuration: Configuration<S>) {
        let goes_on = match x.act {
            Act::Saw(_) | Act::SawOther(_) => !configuration.served.has(x.slot),
            Act::Replaced(..) => !configuration.replaced.has(x.slot),
            Act::Wrote(_) if configuration.used.has(x.slot) => false,
            // It may have gone by unseen, and may as well become visible now, if that can help somebody.
            Act::Wrote(value) if configuration.written_at >= x.invoked_at => {
                self.done.insert(configuration.clone(), &self.counts);
                if self.looks[value as usize] == 0 && self.failed == 0 {
                    return;
                }
                true
            }
            Act::Wrote(_) => true,
        };
        if goes_on {
            self.open.extend(self.seen.insert(configuration, &self.counts));
        } else {
            self.done.insert(configuration, &self.counts);
        }
    }

    /// Every change that one configuration allows and that helps somebody, or is `x`.
    fn go_on(&mut self, x: Pending, from: &Configuration<S>) {
        self.want(from);
        let anonymous = self.change_what_returns(x, from);
        self.change_what_is_unknown(x, from, anonymous);
    }

    /// Finds out which values help: those that somebody under way looks for, and those that lead there.
    fn want(&mut self, from: &Configuration<S>) {
        self.wanted.clear();
        for observer in self.observers.iter().filter(|observer| !from.served.has(observer.slot)) {
            match observer.act {
                Act::Saw(value) => {
                    self.wanted.insert(value);
                }
                _ => self.wanted.any_other = true,
            }
        }
        for change in self.changes.iter().filter(|change| !from.replaced.has(change.slot)) {
            if let Act::Replaced(expected, _) = change.act {
                self.wanted.insert(expected);
            }
        }
        let mut grows = true;
        while grows {
            grows = false;
            for place in 0..self.open_classes.len() {
                let class = self.open_classes[place];
                if let Act::Replaced(expected, new) = self.register.classes[class as usize].act
                    && self.wanted.has(new, expected)
                    && self.has_left(from, class)
                {
                    grows |= self.wanted.insert(expected);
                }
            }
        }
    }

    /// Whether some of a class is not used up.
    fn has_left(&mut self, from: &Configuration<S>, class: u32) -> bool {
        let left = self.counts.count(from.counts, class) < self.counts.available[class as usize];
        if !left && !self.counts.is_compared(class) {
            self.blocked[class as usize] = self.now;
        }
        left
    }

    /// The changes that will return. Whether one of them left a value that nobody mentions.
    fn change_what_returns(&mut self, x: Pending, from: &Configuration<S>) -> bool {
        // Of the changes under way that do the same, the one that must return first; the others do no better. All values that nobody
        // mentions are the same.
        let mut tried: Option<Act> = None;
        let mut anonymous: Option<Pending> = None;
        for place in 0..self.changes.len() {
            let change = self.changes[place];
            let is_used = from.used.has(change.slot) || from.replaced.has(change.slot);
            if is_used || tried == Some(change.act) {
                continue;
            }
            match change.act {
                // One that writes what is there already gets by unseen before a compare-and-set that looks for it.
                Act::Wrote(value) if change.slot == x.slot || self.wanted.is_looked_for(value) || self.wanted.has(value, from.value) => {
                    if change.slot != x.slot && self.is_forgotten(value) {
                        let known = anonymous.filter(|known| known.returned_ns <= change.returned_ns);
                        anonymous = known.or(Some(change));
                        continue;
                    }
                }
                Act::Replaced(expected, _) if expected == from.value => {}
                _ => continue,
            }
            tried = Some(change.act);
            self.change_known(x, from, change);
        }
        if let Some(change) = anonymous {
            self.change_known(x, from, change);
        }
        anonymous.is_some()
    }

    fn change_known(&mut self, x: Pending, from: &Configuration<S>, change: Pending) {
        let mut to = from.clone();
        if matches!(change.act, Act::Wrote(_)) {
            to.used.insert(change.slot);
            to.written_at = self.now;
        } else {
            to.replaced.insert(change.slot);
        }
        self.arrive(x, to, change.act, By::Item(change.item));
    }

    /// The changes that will never return. Those that leave what nobody mentions help only where anything else helps; of the writes among
    /// them one is enough, but a compare-and-set will find no more what it finds now.
    fn change_what_is_unknown(&mut self, x: Pending, from: &Configuration<S>, mut anonymous: bool) {
        for place in 0..self.open_classes.len() {
            self.change_unknown(x, from, self.open_classes[place]);
        }
        if !self.wanted.any_other {
            return;
        }
        for place in 0..self.forgotten_classes.len() {
            let class = self.forgotten_classes[place];
            let is_write = matches!(self.register.classes[class as usize].act, Act::Wrote(_));
            if !(is_write && anonymous) {
                anonymous |= self.change_unknown(x, from, class) == Some(Absorbs);
            }
        }
    }

    /// Uses one of a class, if that helps and some are left.
    fn change_unknown(&mut self, x: Pending, from: &Configuration<S>, class: u32) -> Option<Absorbs> {
        let act = self.register.classes[class as usize].act;
        let absorbs = match act {
            Act::Wrote(value) if self.wanted.has(value, from.value) => Some(Absorbs),
            // Others go by unseen before it, and then a compare-and-set finds what was there.
            Act::Wrote(value) if self.wanted.is_looked_for(value) && from.written_at < self.now => Some(Absorbs),
            Act::Replaced(expected, new) if expected == from.value && self.wanted.has(new, from.value) => None,
            _ => return None,
        };
        if self.has_unused(from, act) || !self.has_left(from, class) {
            return None;
        }
        let mut to = from.clone();
        if absorbs.is_some() {
            to.written_at = self.now;
        }
        to.counts = self.counts.with_one(to.counts, class);
        self.arrive(x, to, act, By::Class(class));
        absorbs
    }

    /// Whether something under way does the same, and must anyway.
    fn has_unused(&self, from: &Configuration<S>, act: Act) -> bool {
        let begin = self.changes.partition_point(|change| change.act < act);
        self.changes[begin..]
            .iter()
            .take_while(|change| change.act == act)
            .any(|change| !from.used.has(change.slot) && !from.replaced.has(change.slot))
    }

    fn arrive(&mut self, x: Pending, mut to: Configuration<S>, act: Act, by: By) {
        to.value = act.left().expect("only what changes the register is a change");
        for observer in &self.observers {
            if observer.act.sees(to.value) {
                to.served.insert(observer.slot);
            }
        }
        let is_done = match x.act {
            Act::Saw(_) | Act::SawOther(_) => to.served.has(x.slot),
            Act::Replaced(..) => to.replaced.has(x.slot),
            // One that another write would hide now does as well before that write.
            Act::Wrote(_) => to.used.has(x.slot),
        };
        let before = to.trail;
        let into = if is_done { &mut self.done } else { &mut self.seen };
        if let Some(place) = into.insert(to, &self.counts) {
            into.set_trail(place, self.trail.push(before, by, self.now));
            if !is_done {
                self.open.push(place);
            }
        }
    }
}
