//! Failed compare-and-sets that only say what they did not see: where they fit into an order of the others.

use super::meaning::Meaning;
use super::time::{Place, Times};
use crate::history::History;
use crate::history::values::ValueId;

/// An order of operations with the moments it leaves free.
///
/// An operation fits before place i of the order exactly if nothing before i began after its return, and nothing from i on returned before
/// its invocation.
pub(super) struct Placement<'a> {
    history: &'a History,
    order: &'a [u32],
    /// At i the value before place i of the order.
    values: Vec<ValueId>,
    /// At i the largest invocation up to and with place i.
    latest_ns: Vec<i64>,
    /// At i the smallest return from place i on.
    earliest_ns: Vec<i64>,
}

/// An order with failed compare-and-sets in it, and those for which it has no place.
pub(super) struct Placed {
    pub(super) order: Vec<u32>,
    pub(super) left: Vec<Place>,
}

impl<'a> Placement<'a> {
    pub(super) fn of(history: &'a History, order: &'a [u32]) -> Placement<'a> {
        let times = Times::of(history);
        let mut values = Vec::with_capacity(order.len() + 1);
        values.push(ValueId::NULL);
        let mut latest_ns: Vec<i64> = Vec::with_capacity(order.len());
        let mut earliest_ns: Vec<i64> = Vec::with_capacity(order.len());
        let (mut value, mut before_ns) = (ValueId::NULL, i64::MIN);
        for &place in order {
            let place = Place::of(place);
            value = Meaning::at(history, place).written().unwrap_or(value);
            values.push(value);
            before_ns = before_ns.max(times.invoked_ns(place));
            latest_ns.push(before_ns);
            earliest_ns.push(times.returned_ns(place));
        }
        let mut after_ns = Times::NEVER;
        for earliest_ns in earliest_ns.iter_mut().rev() {
            after_ns = after_ns.min(*earliest_ns);
            *earliest_ns = after_ns;
        }
        Placement {
            history,
            order,
            values,
            latest_ns,
            earliest_ns,
        }
    }

    /// The first and the last place of the order before which an operation fits.
    pub(super) fn fits(&self, operation: Place) -> (usize, usize) {
        let times = Times::of(self.history);
        let invoked_ns = times.invoked_ns(operation);
        let first = self.earliest_ns.partition_point(|earliest_ns| *earliest_ns < invoked_ns);
        (first, self.begun_by(times.returned_ns(operation)))
    }

    fn begun_by(&self, time_ns: i64) -> usize {
        self.latest_ns.partition_point(|latest_ns| *latest_ns <= time_ns)
    }

    /// The value before a place of the order.
    pub(super) fn value(&self, place: usize) -> ValueId {
        self.values[place]
    }

    /// The smallest return from a place of the order on.
    pub(super) fn earliest_ns(&self, place: usize) -> i64 {
        self.earliest_ns.get(place).copied().unwrap_or(Times::NEVER)
    }

    /// A place before which the register does not hold `expected`, and the operation fits. The values are all different, so `expected` is
    /// there during one stretch, and looking at both ends is enough; the moment of the invocation is looked at before, because operations
    /// that are placed there never stand in each other's way.
    fn place(&self, operation: Place, expected: ValueId) -> Option<usize> {
        let (first, last) = self.fits(operation);
        let begun = self.begun_by(Times::of(self.history).invoked_ns(operation));
        [begun, last, first].into_iter().find(|&place| self.values[place] != expected)
    }

    /// Puts the failed compare-and-sets into the order, as far as they fit.
    pub(super) fn with(&self, failed: &[Place]) -> Placed {
        let mut placed: Vec<(usize, i64, u32)> = Vec::new();
        let mut left = Vec::new();
        let times = Times::of(self.history);
        for &cas in failed {
            let (Meaning::SawOther(expected), Some(place)) = (Meaning::at(self.history, cas), cas.operation()) else {
                continue;
            };
            match self.place(cas, expected) {
                Some(before) => placed.push((before, times.invoked_ns(cas), place as u32)),
                None => left.push(cas),
            }
        }
        placed.sort_unstable();
        // One that has to stand late may have returned before another one, which has to stand early, began.
        let mut latest_ns = i64::MIN;
        placed.retain(|&(_, invoked_ns, place)| {
            let fits = times.returned_ns(Place::of(place)) >= latest_ns;
            if fits {
                latest_ns = latest_ns.max(invoked_ns);
            } else {
                left.push(Place::of(place));
            }
            fits
        });
        left.sort_unstable();
        Placed {
            order: self.merged(&placed),
            left,
        }
    }

    fn merged(&self, placed: &[(usize, i64, u32)]) -> Vec<u32> {
        let mut order = Vec::with_capacity(self.order.len() + placed.len());
        let mut from = 0;
        for &(before, _, place) in placed {
            order.extend(&self.order[from..before]);
            order.push(place);
            from = before;
        }
        order.extend(&self.order[from..]);
        order
    }
}
