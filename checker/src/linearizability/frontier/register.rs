//! One register's operations as the sweep wants them: dense values, events in order, unknown outcomes in classes.

use rustc_hash::FxHashMap;

use super::super::meaning::Meaning;
use super::super::time::{Place, Times};
use crate::history::History;
use crate::history::values::ValueId;

/// One operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Item {
    /// What it says.
    pub(in super::super) meaning: Meaning,
    pub(in super::super) invoked_ns: i64,
    /// [`Times::NEVER`] if its outcome is unknown.
    pub(in super::super) returned_ns: i64,
    /// Where it stands in the history; `None` if it is made up.
    pub(in super::super) place: Option<u32>,
}

impl Item {
    pub(in super::super) fn at(history: &History, place: u32) -> Item {
        let times = Times::of(history);
        let operation = Place::of(place);
        Item {
            meaning: Meaning::at(history, operation),
            invoked_ns: times.invoked_ns(operation),
            returned_ns: times.returned_ns(operation),
            place: Some(place),
        }
    }
}

/// [`Meaning`] with dense values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Act {
    Saw(u32),
    SawOther(u32),
    Wrote(u32),
    Replaced(u32, u32),
}

impl Act {
    /// The value it leaves, if it changes the register.
    pub(super) fn left(self) -> Option<u32> {
        match self {
            Act::Wrote(value) | Act::Replaced(_, value) => Some(value),
            _ => None,
        }
    }

    /// Whether it observes, and finds what it reports where the register holds `value`.
    pub(super) fn sees(self, value: u32) -> bool {
        match self {
            Act::Saw(seen) => seen == value,
            Act::SawOther(expected) => expected != value,
            _ => false,
        }
    }
}

/// Operations of unknown outcome that differ only in their invocations.
pub(super) struct Class {
    pub(super) act: Act,
    /// By invocation.
    pub(super) members: Vec<u32>,
}

/// An event: time, whether it is a return, which item.
pub(super) type Event = (i64, bool, u32);

/// One register's operations.
pub(in super::super) struct Register {
    pub(in super::super) items: Vec<Item>,
    pub(super) acts: Vec<Act>,
    pub(super) initial: u32,
    pub(super) values: usize,
    pub(super) events: Vec<Event>,
    pub(super) classes: Vec<Class>,
    /// The class of each item of unknown outcome.
    pub(super) class_of: FxHashMap<u32, u32>,
    /// The most operations under way at once, those of unknown outcome aside.
    pub(super) width: usize,
}

impl Register {
    /// A register that holds `initial` at first. Items that say nothing are left out. All values that nobody looks for, nor for anything
    /// else than them, become one: nothing tells them apart.
    pub(in super::super) fn of(items: impl IntoIterator<Item = Item>, initial: ValueId) -> Register {
        let items: Vec<Item> = items.into_iter().collect();
        let mut dense: FxHashMap<ValueId, u32> = FxHashMap::from_iter([(initial, 0)]);
        for item in &items {
            if let Meaning::Saw(value) | Meaning::SawOther(value) | Meaning::Replaced(value, _) = item.meaning {
                let next = dense.len() as u32;
                dense.entry(value).or_insert(next);
            }
        }
        let anonymous = dense.len() as u32;
        let mut register = Register {
            items: Vec::new(),
            acts: Vec::new(),
            initial: 0,
            values: 0,
            events: Vec::new(),
            classes: Vec::new(),
            class_of: FxHashMap::default(),
            width: 0,
        };
        for item in items {
            let number = |value: ValueId| dense.get(&value).copied().unwrap_or(anonymous);
            let act = match item.meaning {
                Meaning::Nothing | Meaning::Foreign => continue,
                Meaning::Saw(value) => Act::Saw(number(value)),
                Meaning::SawOther(value) => Act::SawOther(number(value)),
                Meaning::Wrote(value) => Act::Wrote(number(value)),
                Meaning::Replaced(expected, new) => Act::Replaced(number(expected), number(new)),
            };
            let place = register.items.len() as u32;
            register.events.push((item.invoked_ns, false, place));
            if item.returned_ns != Times::NEVER {
                register.events.push((item.returned_ns, true, place));
            }
            register.items.push(item);
            register.acts.push(act);
        }
        register.values = dense.len() + 1;
        register.events.sort_unstable();
        register.classify();
        register
    }

    fn classify(&mut self) {
        let mut by_act: FxHashMap<Act, u32> = FxHashMap::default();
        let (mut open, mut width) = (0_usize, 0);
        for &(_, is_return, item) in &self.events {
            if self.items[item as usize].returned_ns != Times::NEVER {
                open = if is_return { open - 1 } else { open + 1 };
                width = width.max(open);
                continue;
            }
            let act = self.acts[item as usize];
            let class = *by_act.entry(act).or_insert(self.classes.len() as u32);
            if class as usize == self.classes.len() {
                self.classes.push(Class { act, members: Vec::new() });
            }
            self.classes[class as usize].members.push(item);
            self.class_of.insert(item, class);
        }
        self.width = width;
    }

    /// The numbers of each item's two events, counted from 1; the largest number for a return that never came.
    pub(super) fn event_numbers(&self) -> (Vec<u32>, Vec<u32>) {
        let mut invoked = vec![0; self.items.len()];
        let mut returned = vec![u32::MAX; self.items.len()];
        for (number, &(_, is_return, item)) in (1..).zip(&self.events) {
            if is_return {
                returned[item as usize] = number;
            } else {
                invoked[item as usize] = number;
            }
        }
        (invoked, returned)
    }
}
