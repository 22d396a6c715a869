//! The sweep: configurations from event to event.

use super::configuration::{Antichain, Configuration, Slots};
use super::register::Item;
use super::trail::{By, START, Trail};
use super::{Act, Ended, Found, Meter, Register, Unfinished};

pub(super) fn sweep<const WORDS: usize>(register: &Register, meter: &Meter<'_>) -> Found {
    Sweep::<WORDS>::of(register, meter).run()
}

/// An operation under way, in a slot.
#[derive(Debug, Clone, Copy)]
struct Pending {
    slot: usize,
    item: u32,
    act: Act,
    invoked_at: u32,
    returned_ns: i64,
}

struct Sweep<'a, const WORDS: usize> {
    register: &'a Register,
    meter: &'a Meter<'a>,
    /// Operations under way: changes sorted by what they do and then by their return, observers in any fixed order.
    changes: Vec<Pending>,
    observers: Vec<Pending>,
    free: Vec<usize>,
    /// How many operations that have not returned look for each value.
    looks: Vec<u32>,
    /// How many failed compare-and-sets have not returned, those to come included.
    failed: u32,
    /// How many of each class of unknown outcomes were invoked.
    available: Vec<u32>,
    /// The classes of which some were invoked, in that order.
    invoked_classes: Vec<u32>,
    frontier: Vec<Configuration<WORDS>>,
    trail: Trail,
    now: u32,
}

impl<'a, const WORDS: usize> Sweep<'a, WORDS> {
    fn of(register: &'a Register, meter: &'a Meter<'a>) -> Sweep<'a, WORDS> {
        let mut looks = vec![0; register.values];
        for value in register.acts.iter().filter_map(|act| act.looks_for()) {
            looks[value as usize] += 1;
        }
        let failed = register.acts.iter().filter(|act| matches!(act, Act::SawOther(_))).count() as u32;
        Sweep {
            register,
            meter,
            changes: Vec::new(),
            observers: Vec::new(),
            free: (0..register.width).rev().collect(),
            looks,
            failed,
            available: vec![0; register.classes.len()],
            invoked_classes: Vec::new(),
            frontier: vec![Configuration {
                value: register.initial,
                written_at: 0,
                used: Slots::NONE,
                replaced: Slots::NONE,
                served: Slots::NONE,
                counts: Vec::new(),
                trail: START,
            }],
            trail: Trail::new(),
            now: 0,
        }
    }

    fn run(mut self) -> Found {
        let register = self.register;
        let mut since = None;
        for &(_, is_return, item) in &register.events {
            self.now += 1;
            if !is_return {
                self.invoke(item);
                continue;
            }
            match self.return_of(item) {
                Ok(()) if self.frontier.is_empty() => return Found::Invalid(item as usize),
                Ok(()) => {}
                Err(why) => {
                    return Found::Open(Unfinished {
                        why,
                        at: item as usize,
                        since,
                        open: self.changes.len() + self.observers.len(),
                        unknown: self.available.iter().map(|count| *count as usize).sum(),
                    });
                }
            }
            if self.frontier.len() == 1 {
                since = Some(item as usize);
            }
        }
        Found::Valid(self.trail.order(self.frontier[0].trail, register))
    }

    fn invoke(&mut self, item: u32) {
        let act = self.register.acts[item as usize];
        if let Some(&class) = self.register.class_of.get(&item) {
            if self.available[class as usize] == 0 {
                self.invoked_classes.push(class);
            }
            self.available[class as usize] += 1;
            return;
        }
        let slot = self
            .free
            .pop()
            .expect("there are as many slots as operations are ever under way at once");
        let Item { returned_ns, .. } = self.register.items[item as usize];
        let pending = Pending {
            slot,
            item,
            act,
            invoked_at: self.now,
            returned_ns,
        };
        if act.left().is_some() {
            let key = |pending: &Pending| (pending.act, pending.returned_ns, pending.item);
            let place = self.changes.partition_point(|known| key(known) < key(&pending));
            self.changes.insert(place, pending);
            return;
        }
        self.observers.push(pending);
        for configuration in &mut self.frontier {
            if sees(act, configuration.value) {
                configuration.served.insert(slot);
            }
        }
    }

    /// Whether somebody still looks for a value: then making it visible may help.
    fn is_useful(&self, value: u32) -> bool {
        self.looks[value as usize] > 0 || self.failed > 0
    }

    fn return_of(&mut self, item: u32) -> Result<(), Ended> {
        let pending = self.changes.iter().chain(&self.observers).find(|pending| pending.item == item);
        let x = *pending.expect("what returns was invoked");
        let mut next = self.continued(x)?;
        self.looks_no_more(x);
        self.free.push(x.slot);
        self.changes.retain(|pending| pending.item != item);
        self.observers.retain(|pending| pending.item != item);

        let mut frontier = Antichain::new();
        let writes = self.changes.iter().filter(|pending| matches!(pending.act, Act::Wrote(_)));
        let mut waiting_since: Vec<u32> = writes.map(|pending| pending.invoked_at).collect();
        waiting_since.sort_unstable();
        for mut configuration in next.drain() {
            for slots in [&mut configuration.used, &mut configuration.replaced, &mut configuration.served] {
                slots.remove(x.slot);
            }
            // Only which of the writes under way it absorbs counts; so more configurations become comparable.
            let absorbs = waiting_since.partition_point(|invoked_at| *invoked_at <= configuration.written_at);
            configuration.written_at = absorbs.checked_sub(1).map_or(0, |place| waiting_since[place]);
            configuration.counts.retain(|(class, _)| {
                let value = self.register.classes[*class as usize].act.left();
                value.is_some_and(|value| self.looks[value as usize] > 0 || self.failed > 0)
            });
            frontier.insert(configuration);
        }
        self.meter.spend(frontier.take_comparisons())?;
        self.frontier = frontier.drain().collect();
        if self.trail.is_due() {
            self.trail
                .sweep(self.frontier.iter_mut().map(|configuration| &mut configuration.trail));
        }
        Ok(())
    }

    fn looks_no_more(&mut self, x: Pending) {
        if let Some(value) = x.act.looks_for() {
            self.looks[value as usize] -= 1;
        }
        if matches!(x.act, Act::SawOther(_)) {
            self.failed -= 1;
        }
    }

    /// All ways in which the frontier can go on so that `x` has taken effect.
    fn continued(&mut self, x: Pending) -> Result<Antichain<WORDS>, Ended> {
        let mut steps = Steps {
            x,
            done: Antichain::new(),
            seen: Antichain::new(),
            open: Vec::new(),
        };
        for configuration in std::mem::take(&mut self.frontier) {
            self.arrive(&mut steps, configuration);
        }
        while let Some(place) = steps.open.pop() {
            let comparisons = steps.seen.take_comparisons() + steps.done.take_comparisons();
            self.meter.spend(comparisons)?;
            // Meanwhile something may have come that can do all it can.
            let Some(configuration) = steps.seen.get(place).cloned() else {
                continue;
            };
            self.go_on(&mut steps, &configuration);
            let held = (steps.seen.kept() + steps.done.kept()) * 2 * size_of::<Configuration<WORDS>>();
            self.meter.hold(held + self.trail.bytes())?;
        }
        Ok(steps.done)
    }

    /// Every change that one configuration allows.
    fn go_on(&mut self, steps: &mut Steps<WORDS>, from: &Configuration<WORDS>) {
        let x = steps.x;
        // Of the changes under way that do the same, the one that must return first; the others do no better.
        let mut tried: Option<Act> = None;
        for place in 0..self.changes.len() {
            let change = self.changes[place];
            let mut to = from.clone();
            match change.act {
                Act::Wrote(value) => {
                    if from.used.has(change.slot) || tried == Some(change.act) || !(change.slot == x.slot || self.is_useful(value)) {
                        continue;
                    }
                    to.used.insert(change.slot);
                    to.written_at = self.now;
                }
                Act::Replaced(expected, _) => {
                    if from.replaced.has(change.slot) || tried == Some(change.act) || from.value != expected {
                        continue;
                    }
                    to.replaced.insert(change.slot);
                }
                _ => continue,
            }
            tried = Some(change.act);
            self.change(steps, to, change.act, By::Item(change.item));
        }
        for place in 0..self.invoked_classes.len() {
            let class = self.invoked_classes[place];
            let act = self.register.classes[class as usize].act;
            let mut to = from.clone();
            match act {
                Act::Wrote(_) => to.written_at = self.now,
                Act::Replaced(expected, _) if expected == from.value => {}
                _ => continue,
            }
            let useful = act.left().is_some_and(|value| self.is_useful(value));
            if !useful || from.count(class) >= self.available[class as usize] || self.has_unused(from, act) {
                continue;
            }
            to.count_one(class);
            self.change(steps, to, act, By::Class(class));
        }
    }

    /// Whether something under way does the same, and must anyway.
    fn has_unused(&self, from: &Configuration<WORDS>, act: Act) -> bool {
        let begin = self.changes.partition_point(|change| change.act < act);
        self.changes[begin..]
            .iter()
            .take_while(|change| change.act == act)
            .any(|change| !from.used.has(change.slot) && !from.replaced.has(change.slot))
    }

    fn change(&mut self, steps: &mut Steps<WORDS>, mut to: Configuration<WORDS>, act: Act, by: By) {
        to.value = act.left().expect("only what changes the register is a change");
        for observer in &self.observers {
            if sees(observer.act, to.value) {
                to.served.insert(observer.slot);
            }
        }
        to.trail = self.trail.push(to.trail, by, self.now);
        self.arrive(steps, to);
    }

    fn arrive(&self, steps: &mut Steps<WORDS>, configuration: Configuration<WORDS>) {
        let x = steps.x;
        let satisfied = match x.act {
            Act::Saw(_) | Act::SawOther(_) => configuration.served.has(x.slot),
            Act::Replaced(..) => configuration.replaced.has(x.slot),
            Act::Wrote(_) => configuration.used.has(x.slot) || configuration.written_at >= x.invoked_at,
        };
        if satisfied {
            // A write that may have gone by unseen may as well become visible now, if somebody looks for it.
            let goes_on = match x.act {
                Act::Wrote(value) => !configuration.used.has(x.slot) && self.is_useful(value),
                _ => false,
            };
            if !goes_on {
                steps.done.insert(configuration);
                return;
            }
            steps.done.insert(configuration.clone());
        }
        steps.open.extend(steps.seen.insert(configuration));
    }
}

/// The search for all ways to place one operation.
struct Steps<const WORDS: usize> {
    x: Pending,
    done: Antichain<WORDS>,
    seen: Antichain<WORDS>,
    open: Vec<usize>,
}

fn sees(act: Act, value: u32) -> bool {
    match act {
        Act::Saw(seen) => seen == value,
        Act::SawOther(expected) => expected != value,
        _ => false,
    }
}
