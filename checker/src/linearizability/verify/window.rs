//! Checks a window: its cuts are allowed, and no order explains what they leave.

use rustc_hash::FxHashSet;

use super::super::budget::{Budget, Meter};
use super::super::frontier::{Found, Item, Register, search};
use super::super::meaning::Meaning;
use super::super::time::{Place, Times};
use super::super::window::{Window, anchored_value, values_of, windowed};
use super::{Check, Rejection, require};
use crate::history::values::ValueId;

impl Check<'_> {
    /// The three cuts of a window are allowed, and no order explains what they leave.
    pub(super) fn window(&self, window: &Window) -> Result<(), Rejection> {
        let Window {
            anchor,
            unplaceable,
            ref operations,
        } = *window;
        let returned = |place: Place| Ok(self.operation(place)?.is_none_or(|operation| operation.returned_ns().is_some()));
        require(returned(anchor)? && returned(unplaceable)?, "the window has no beginning or no end")?;
        let initial = anchored_value(self.history, anchor).ok_or(Rejection("the window begins with no value"))?;
        require(operations.is_sorted_by(|one, other| one < other), "an operation is named twice")?;
        let mut items = Vec::new();
        for &place in operations {
            self.operation(place)?;
            let item = windowed(self.history, place, anchor, unplaceable);
            items.push(item.ok_or(Rejection("an operation lies outside of the window"))?);
        }
        let kept: FxHashSet<ValueId> = items.iter().flat_map(|item| values_of(item.meaning)).chain([initial]).collect();
        let looks_for_others = items.iter().any(|item| matches!(item.meaning, Meaning::SawOther(_)));
        let places = (0..)
            .zip(&self.history.operations)
            .filter(|(_, operation)| operation.key == self.key);
        for (place, _) in places.filter(|&(place, _)| operations.binary_search(&Place::of(place)).is_err()) {
            let Some(left_out) = windowed(self.history, Place::of(place), anchor, unplaceable) else {
                continue;
            };
            let bound = looks_for_others || values_of(left_out.meaning).any(|value| kept.contains(&value));
            require(
                left_out.meaning.written().is_none() || !bound,
                "a change is left out that could explain the rest",
            )?;
        }
        require(!has_order(&items, initial), "there is an order that explains the window")
    }
}

/// Most operations of a window for which every order is tried.
const TRIED_MAX: usize = 20;

/// Whether some order explains the operations: every order is tried, and what was tried is remembered. A larger window is left to the
/// search, which finds nothing that is not there, but is no independent witness.
fn has_order(items: &[Item], initial: ValueId) -> bool {
    if items.len() > TRIED_MAX {
        let register = Register::of(items.iter().copied(), initial);
        return !matches!(search(&register, &Meter::of(Budget::default(), None)), Found::Invalid(_));
    }
    let mut tried = FxHashSet::default();
    let mut open = vec![(0_u32, initial)];
    while let Some((done, value)) = open.pop() {
        let left = || (0..items.len()).filter(|place| done >> place & 1 == 0);
        let first_return_ns = left().map(|place| items[place].returned_ns).min().unwrap_or(Times::NEVER);
        if first_return_ns == Times::NEVER {
            return true;
        }
        if !tried.insert((done, value)) {
            continue;
        }
        for place in left().filter(|&place| items[place].invoked_ns <= first_return_ns) {
            let then = match items[place].meaning {
                Meaning::Wrote(written) => Some(written),
                Meaning::Saw(seen) => (seen == value).then_some(value),
                Meaning::SawOther(expected) => (expected != value).then_some(value),
                Meaning::Replaced(expected, new) => (expected == value).then_some(new),
                Meaning::Nothing | Meaning::Foreign => None,
            };
            open.extend(then.map(|then| (done | 1 << place, then)));
        }
    }
    false
}
