//! The witness of a search: the shortest stretch of the history that no order explains, without the values it does not need.
//!
//! Three cuts keep a linearizable history linearizable, so what is left of a history by them and is not linearizable proves the whole so:
//!
//! - **the end**: what was invoked after a moment is dropped; what returned after it may have happened or not;
//! - **the beginning**: an operation that found or left a value v is the *anchor*. Before its moment lies all that returned before its
//!   invocation, and v hides it; behind it all that was invoked after its return. What overlaps it may be on either side: reads there are
//!   dropped, changes may have happened or not. So the window begins with v;
//! - **values**: all operations of some values go together with everything that compare-and-sets bind them to, provided that no failed
//!   compare-and-set stays that looks for "something else". Reads may go by themselves. A single write may not: its reads would be left.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::budget::Meter;
use super::frontier::{Found, Item, Register, search};
use super::meaning::Meaning;
use super::time::{Place, Times};
use crate::history::History;
use crate::history::values::ValueId;

/// Operations that no order explains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The operation that says what the register held at the beginning; [`Place::INITIAL`] for null before time.
    pub anchor: Place,
    /// The operation at whose return the contradiction is complete.
    pub unplaceable: Place,
    /// All operations of the window, the anchor aside; sorted.
    pub operations: Vec<Place>,
}

/// Configurations that one attempt to make the window smaller may cost.
const CONFIGURATIONS_PER_ATTEMPT: u64 = 100_000;

/// Attempts to drop something.
const ATTEMPTS_MAX: usize = 200;

/// The smallest window found that ends with `unplaceable`, of the operations at `places`, which are not linearizable up to its return.
pub(super) fn shrunk(history: &History, places: &[u32], unplaceable: Place, meter: &Meter<'_>) -> Window {
    let shrink = Shrink {
        history,
        places,
        unplaceable,
        meter,
    };
    let window = shrink.anchored();
    shrink.without_values(shrink.without_reads(window))
}

/// A window of operations around `middle` that no order explains, if there is one that begins and ends within some `margin` operations of it.
pub(super) fn around(history: &History, places: &[u32], middle: Place, margin: usize, meter: &Meter<'_>) -> Option<Window> {
    let times = Times::of(history);
    let (invoked_ns, returned_ns) = (times.invoked_ns(middle), times.returned_ns(middle));
    let mut before = Vec::new();
    let mut after = Vec::new();
    for place in places.iter().map(|&place| Place::of(place)) {
        let at_ns = times.returned_ns(place);
        if at_ns < invoked_ns && anchored_value(history, place).is_some() {
            before.push((at_ns, place));
        } else if at_ns >= returned_ns && at_ns != Times::NEVER {
            after.push((at_ns, place));
        }
    }
    before.sort_unstable();
    let last = margin.min(after.len()).checked_sub(1)?;
    let end = after.select_nth_unstable(last).1.1;
    let shrink = Shrink {
        history,
        places,
        unplaceable: end,
        meter,
    };
    // What overlaps the anchor may happen at any time later, so an anchor further back need not show what a nearer one does.
    let distances = std::iter::successors(Some(1_usize), |distance| distance.checked_mul(2));
    let anchors = distances.take_while(|distance| *distance <= margin.min(before.len()));
    let anchors = anchors.map(|distance| before[before.len() - distance].1);
    let beginning = (margin > before.len()).then_some(Place::INITIAL);
    let found = anchors.chain(beginning).find_map(|anchor| {
        let operations = shrink.within(anchor, end);
        let unplaceable = shrink.contradiction(anchor, end, &operations)?;
        Some(shrink.window(anchor, unplaceable, operations))
    });
    found.map(|window| shrink.without_values(shrink.without_reads(window)))
}

/// What the register held at the anchor's moment.
pub(super) fn anchored_value(history: &History, anchor: Place) -> Option<ValueId> {
    let meaning = Meaning::at(history, anchor);
    meaning.written().or(meaning.found())
}

/// An operation as it counts in a window that begins with `anchor` and ends with `unplaceable`; `None` if it does not.
pub(super) fn windowed(history: &History, place: Place, anchor: Place, unplaceable: Place) -> Option<Item> {
    let times = Times::of(history);
    let mut item = Item::at(history, place.operation()? as u32);
    let is_change = item.meaning.written().is_some();
    let end_ns = times.returned_ns(unplaceable);
    if place == anchor || item.invoked_ns > end_ns || item.returned_ns < times.invoked_ns(anchor) || item.meaning == Meaning::Nothing {
        return None;
    }
    let overlaps_anchor = anchor != Place::INITIAL && item.invoked_ns <= times.returned_ns(anchor);
    if overlaps_anchor || item.returned_ns > end_ns {
        item.returned_ns = Times::NEVER;
    }
    (is_change || item.returned_ns != Times::NEVER).then_some(item)
}

/// The values that an operation writes or looks at.
pub(super) fn values_of(meaning: Meaning) -> impl Iterator<Item = ValueId> {
    meaning.written().into_iter().chain(meaning.found())
}

struct Shrink<'a> {
    history: &'a History,
    places: &'a [u32],
    unplaceable: Place,
    meter: &'a Meter<'a>,
}

impl Shrink<'_> {
    /// Where the operations cannot be ordered, if they surely cannot.
    fn contradiction(&self, anchor: Place, unplaceable: Place, operations: &[Place]) -> Option<Place> {
        let initial = anchored_value(self.history, anchor)?;
        let items = operations
            .iter()
            .filter_map(|&place| windowed(self.history, place, anchor, unplaceable));
        let register = Register::of(items, initial);
        match search(&register, &self.meter.at_most(CONFIGURATIONS_PER_ATTEMPT)) {
            Found::Invalid(item) => register.items[item].place.map(Place::of),
            _ => None,
        }
    }

    /// The window with the latest anchor among those at 1, 2, 4, … operations before the end.
    fn anchored(&self) -> Window {
        let times = Times::of(self.history);
        let end_ns = times.returned_ns(self.unplaceable);
        let known = |place: &Place| times.returned_ns(*place) < end_ns && anchored_value(self.history, *place).is_some();
        let mut anchors: Vec<Place> = self.places.iter().map(|&place| Place::of(place)).filter(known).collect();
        anchors.sort_unstable_by_key(|&place| (times.returned_ns(place), place));
        let distances = std::iter::successors(Some(1_usize), |distance| distance.checked_mul(2));
        for distance in distances.take_while(|distance| *distance <= anchors.len()) {
            let anchor = anchors[anchors.len() - distance];
            let operations = self.within(anchor, self.unplaceable);
            if let Some(unplaceable) = self.contradiction(anchor, self.unplaceable, &operations) {
                return self.window(anchor, unplaceable, operations);
            }
        }
        let operations = self.within(Place::INITIAL, self.unplaceable);
        self.window(Place::INITIAL, self.unplaceable, operations)
    }

    fn within(&self, anchor: Place, unplaceable: Place) -> Vec<Place> {
        let places = self.places.iter().map(|&place| Place::of(place));
        places
            .filter(|&place| windowed(self.history, place, anchor, unplaceable).is_some())
            .collect()
    }

    /// The window with this end: a part of `operations` that was found to be contradictory.
    fn window(&self, anchor: Place, unplaceable: Place, mut operations: Vec<Place>) -> Window {
        operations.retain(|&place| windowed(self.history, place, anchor, unplaceable).is_some());
        Window {
            anchor,
            unplaceable,
            operations,
        }
    }

    /// Drops as many reads and failed compare-and-sets as it can, half of them at first, then ever fewer at once.
    fn without_reads(&self, mut window: Window) -> Window {
        let is_read = |place: &Place| Meaning::at(self.history, *place).written().is_none();
        let mut attempts = 0;
        let reads = window.operations.iter().filter(|place| is_read(place)).count();
        let mut at_once = reads;
        while at_once > 0 && attempts < ATTEMPTS_MAX {
            let reads: Vec<Place> = window.operations.iter().copied().filter(is_read).collect();
            for dropped in reads.chunks(at_once) {
                attempts += 1;
                let dropped: BTreeSet<Place> = dropped.iter().copied().filter(|&place| place != window.unplaceable).collect();
                window = self.without(window, &dropped);
            }
            at_once /= 2;
        }
        window
    }

    /// Drops values with all that belongs to them.
    fn without_values(&self, mut window: Window) -> Window {
        let other = |place: &Place| matches!(Meaning::at(self.history, *place), Meaning::SawOther(_));
        if window.operations.iter().any(other) {
            return window;
        }
        for value in self.groups(&window).into_iter().take(ATTEMPTS_MAX) {
            let belongs = |place: &&Place| values_of(Meaning::at(self.history, **place)).any(|of| value.contains(&of));
            let dropped = window.operations.iter().filter(belongs).copied().collect();
            window = self.without(window, &dropped);
        }
        window
    }

    /// The values of the window in groups that compare-and-sets bind together; not the group of the first value.
    fn groups(&self, window: &Window) -> Vec<BTreeSet<ValueId>> {
        let mut groups: Vec<BTreeSet<ValueId>> = Vec::new();
        let meanings: BTreeMap<Place, Meaning> = self
            .places
            .iter()
            .map(|&place| (Place::of(place), Meaning::at(self.history, Place::of(place))))
            .collect();
        for (&place, &meaning) in &meanings {
            if windowed(self.history, place, window.anchor, window.unplaceable).is_none() {
                continue;
            }
            let mut group: BTreeSet<ValueId> = values_of(meaning).collect();
            groups.retain_mut(|known| {
                let bound = !known.is_disjoint(&group);
                if bound {
                    group.append(known);
                }
                !bound
            });
            groups.push(group);
        }
        let initial = anchored_value(self.history, window.anchor);
        groups.retain(|group| initial.is_none_or(|initial| !group.contains(&initial)));
        groups
    }

    fn without(&self, window: Window, dropped: &BTreeSet<Place>) -> Window {
        if dropped.is_empty() {
            return window;
        }
        let operations: Vec<Place> = window.operations.iter().copied().filter(|place| !dropped.contains(place)).collect();
        match self.contradiction(window.anchor, window.unplaceable, &operations) {
            // A part that ends earlier ends where its own contradiction is complete.
            Some(unplaceable) => self.window(window.anchor, unplaceable, operations),
            None => window,
        }
    }
}
