//! The sweep: configurations from event to event.

use super::antichain::Antichain;
use super::compared::Compared;
use super::configuration::{Configuration, Slots};
use super::counts::{self, Counts};
use super::register::Item;
use super::trail::{START, Trail};
use super::wanted::Wanted;
use super::{Act, Ended, Found, Meter, Register, Unfinished};

/// An operation under way, in a slot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    pub(super) slot: usize,
    pub(super) item: u32,
    pub(super) act: Act,
    pub(super) invoked_at: u32,
    pub(super) returned_ns: i64,
}

/// One pass through a register's events.
pub(super) struct Sweep<'a, S> {
    pub(super) register: &'a Register,
    pub(super) meter: &'a Meter<'a>,
    /// Operations under way: changes sorted by what they do and then by their return, observers in any fixed order.
    pub(super) changes: Vec<Pending>,
    pub(super) observers: Vec<Pending>,
    free: Vec<usize>,
    /// How many operations that have not returned look for each value.
    pub(super) looks: Vec<u32>,
    /// How many failed compare-and-sets that have not returned, those to come included, expect each value; and how many there are.
    others: Vec<u32>,
    pub(super) failed: u32,
    /// The classes of which some were invoked: those whose value somebody may still mention, and the others.
    pub(super) open_classes: Vec<u32>,
    pub(super) forgotten_classes: Vec<u32>,
    /// Per class: the last event at which a configuration had none left where another that was dropped may have had one; 0 if there was
    /// none.
    pub(super) blocked: Vec<u32>,
    frontier: Vec<Configuration<S>>,
    pub(super) trail: Trail,
    pub(super) counts: Counts,
    pub(super) now: u32,
    /// Between two returns empty; kept for their memory.
    pub(super) done: Antichain<S>,
    pub(super) seen: Antichain<S>,
    pub(super) open: Vec<usize>,
    pub(super) wanted: Wanted,
    waiting_since: Vec<u32>,
}

impl<'a, S: Slots> Sweep<'a, S> {
    pub(super) fn of(register: &'a Register, meter: &'a Meter<'a>, compared: Compared) -> Sweep<'a, S> {
        // One more than there are: a value that nobody mentions any more.
        let (mut looks, mut others, mut failed) = (vec![0; register.values + 1], vec![0; register.values + 1], 0);
        for act in &register.acts {
            match *act {
                Act::Saw(value) | Act::Replaced(value, _) => looks[value as usize] += 1,
                Act::SawOther(value) => {
                    others[value as usize] += 1;
                    failed += 1;
                }
                Act::Wrote(_) => {}
            }
        }
        Sweep {
            register,
            meter,
            changes: Vec::new(),
            observers: Vec::new(),
            free: (0..register.width).rev().collect(),
            wanted: Wanted::new(looks.len()),
            looks,
            others,
            failed,
            open_classes: Vec::new(),
            forgotten_classes: Vec::new(),
            blocked: vec![0; register.classes.len()],
            frontier: vec![Configuration {
                value: register.initial,
                written_at: 0,
                used: S::none(register.width),
                replaced: S::none(register.width),
                served: S::none(register.width),
                counts: counts::NONE,
                trail: START,
            }],
            trail: Trail::new(),
            counts: Counts::new(compared),
            now: 0,
            done: Antichain::new(),
            seen: Antichain::new(),
            open: Vec::new(),
            waiting_since: Vec::new(),
        }
    }

    /// What was found, at which event, and when each class was blocked last.
    pub(super) fn run(mut self) -> (Found, u32, Vec<u32>) {
        let register = self.register;
        let mut since = None;
        for &(_, is_return, item) in &register.events {
            self.now += 1;
            if !is_return {
                self.invoke(item);
                continue;
            }
            self.counts.at(self.now);
            let open = self.changes.len() + self.observers.len();
            match self.return_of(item) {
                Ok(()) if self.frontier.is_empty() => return (Found::Invalid(item as usize), self.now, self.blocked),
                Ok(()) => {}
                Err(why) => {
                    let unfinished = Unfinished {
                        why,
                        at: item as usize,
                        since,
                        open,
                        unknown: self.counts.available.iter().map(|count| *count as usize).sum(),
                    };
                    return (Found::Open(unfinished), self.now, self.blocked);
                }
            }
            if self.frontier.len() == 1 {
                since = Some(item as usize);
            }
        }
        let order = self.trail.order(self.frontier[0].trail, register);
        (Found::Valid(order), self.now, self.blocked)
    }

    fn invoke(&mut self, item: u32) {
        let act = self.register.acts[item as usize];
        if let Some(&class) = self.register.class_of.get(&item) {
            if self.counts.available[class as usize] == 0 {
                match act.left().is_some_and(|value| self.is_forgotten(value)) {
                    true => self.forgotten_classes.push(class),
                    false => self.open_classes.push(class),
                }
            }
            self.counts.available[class as usize] += 1;
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
            if act.sees(configuration.value) {
                configuration.served.insert(slot);
            }
        }
    }

    /// Whether nobody will look for a value any more, nor for anything else than it.
    pub(super) fn is_forgotten(&self, value: u32) -> bool {
        self.looks[value as usize] == 0 && self.others[value as usize] == 0
    }

    fn return_of(&mut self, item: u32) -> Result<(), Ended> {
        let pending = self.changes.iter().chain(&self.observers).find(|pending| pending.item == item);
        let x = *pending.expect("what returns was invoked");
        let frontier = std::mem::take(&mut self.frontier);
        self.place(x, frontier)?;
        self.looks_no_more(x);
        self.free.push(x.slot);
        match x.act.left() {
            Some(_) => self.changes.retain(|pending| pending.item != item),
            None => self.observers.retain(|pending| pending.item != item),
        }
        self.settle(x)
    }

    fn looks_no_more(&mut self, x: Pending) {
        let value = match x.act {
            Act::Saw(value) | Act::Replaced(value, _) => {
                self.looks[value as usize] -= 1;
                value
            }
            Act::SawOther(value) => {
                self.others[value as usize] -= 1;
                self.failed -= 1;
                value
            }
            Act::Wrote(_) => return,
        };
        if self.is_forgotten(value) {
            self.close_classes();
        }
    }

    fn close_classes(&mut self) {
        let mut classes = std::mem::take(&mut self.open_classes);
        classes.retain(|&class| {
            let value = self.register.classes[class as usize].act.left();
            let is_open = value.is_some_and(|value| !self.is_forgotten(value));
            if !is_open {
                self.forgotten_classes.push(class);
            }
            is_open
        });
        self.open_classes = classes;
    }

    /// Makes the configurations in which `x` has returned as alike as they can be, and keeps those that are not needless.
    fn settle(&mut self, x: Pending) -> Result<(), Ended> {
        self.waiting_since.clear();
        let writes = self.changes.iter().filter(|pending| matches!(pending.act, Act::Wrote(_)));
        self.waiting_since.extend(writes.map(|pending| pending.invoked_at));
        self.waiting_since.sort_unstable();
        let (looks, failed, classes) = (&self.looks, self.failed, &self.register.classes);
        let matters = |class: u32| {
            let value = classes[class as usize].act.left();
            value.is_some_and(|value| looks[value as usize] > 0 || failed > 0)
        };
        let forgotten = self.register.values as u32;
        for mut configuration in self.done.drain() {
            for slots in [&mut configuration.used, &mut configuration.replaced, &mut configuration.served] {
                slots.remove(x.slot);
            }
            if looks[configuration.value as usize] == 0 && self.others[configuration.value as usize] == 0 {
                configuration.value = forgotten;
            }
            // Only which of the writes under way it absorbs counts; so more configurations become comparable.
            let absorbs = self
                .waiting_since
                .partition_point(|invoked_at| *invoked_at <= configuration.written_at);
            configuration.written_at = absorbs.checked_sub(1).map_or(0, |place| self.waiting_since[place]);
            configuration.counts = self.counts.without(configuration.counts, matters);
            self.seen.insert(configuration, &self.counts);
        }
        self.meter.spend(self.seen.take_comparisons())?;
        self.frontier.extend(self.seen.drain());
        if self.trail.is_due() {
            self.trail
                .sweep(self.frontier.iter_mut().map(|configuration| &mut configuration.trail));
        }
        if self.counts.is_due() {
            self.counts
                .sweep(self.frontier.iter_mut().map(|configuration| &mut configuration.counts));
        }
        Ok(())
    }
}
