//! Failed compare-and-sets that only say what they did not see: where they fit into an order of the others.

use super::meaning::{Facts, Meaning};
use super::nearly_sorted::{self, partition_point_near};
use super::time::{Place, Times};
use crate::history::values::ValueId;
use crate::parallel;

/// Failed compare-and-sets for which one piece of work looks for places.
const CHUNK: usize = 1 << 14;

/// An order of operations with the moments it leaves free.
///
/// An operation fits before place i of the order exactly if nothing before i began after its return, and nothing from i on returned before
/// its invocation.
pub(super) struct Placement<'a> {
    facts: &'a Facts<'a>,
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
    pub(super) fn of(facts: &'a Facts<'a>, order: &'a [u32]) -> Placement<'a> {
        let times = facts.times();
        let mut values = Vec::with_capacity(order.len() + 1);
        values.push(ValueId::NULL);
        let mut latest_ns: Vec<i64> = Vec::with_capacity(order.len());
        let mut earliest_ns: Vec<i64> = Vec::with_capacity(order.len());
        let (mut value, mut before_ns) = (ValueId::NULL, i64::MIN);
        for &place in order {
            value = facts.meaning(place).written().unwrap_or(value);
            let place = Place::of(place);
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
            facts,
            order,
            values,
            latest_ns,
            earliest_ns,
        }
    }

    /// The first and the last place of the order before which an operation fits. It is looked for from `near` on.
    pub(super) fn fits(&self, operation: Place, near: usize) -> (usize, usize) {
        let times = self.facts.times();
        let invoked_ns = times.invoked_ns(operation);
        let first = partition_point_near(&self.earliest_ns, near, |earliest_ns| *earliest_ns < invoked_ns);
        (first, self.begun_by(times.returned_ns(operation), first))
    }

    fn begun_by(&self, time_ns: i64, near: usize) -> usize {
        partition_point_near(&self.latest_ns, near, |latest_ns| *latest_ns <= time_ns)
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
    /// that are placed there never stand in each other's way. `near` is where the operation before was looked for, and becomes where this one
    /// was: they come about in the order of time.
    fn place(&self, operation: Place, expected: ValueId, near: &mut usize) -> Option<usize> {
        let begun = self.begun_by(self.facts.times().invoked_ns(operation), *near);
        *near = begun;
        if self.values[begun] != expected {
            return Some(begun);
        }
        let (first, last) = self.fits(operation, begun);
        [last, first].into_iter().find(|&place| self.values[place] != expected)
    }

    /// The places of some of the failed compare-and-sets, and those that have none.
    fn places(&self, failed: &[Place]) -> (Vec<(usize, i64, u32)>, Vec<Place>) {
        let times = self.facts.times();
        let (mut placed, mut left) = (Vec::with_capacity(failed.len()), Vec::new());
        let mut near = 0;
        for &cas in failed {
            let (Meaning::SawOther(expected), Some(place)) = (self.facts.meaning_at(cas), cas.operation()) else {
                continue;
            };
            match self.place(cas, expected, &mut near) {
                Some(before) => placed.push((before, times.invoked_ns(cas), place as u32)),
                None => left.push(cas),
            }
        }
        (placed, left)
    }

    /// Puts the failed compare-and-sets into the order, as far as they fit.
    pub(super) fn with(&self, failed: &[Place], threads: usize) -> Placed {
        let chunks: Vec<&[Place]> = failed.chunks(CHUNK).collect();
        let (placed, left): (Vec<_>, Vec<_>) = parallel::map(&chunks, threads, |_| 0, |chunk| self.places(chunk))
            .into_iter()
            .unzip();
        let (mut placed, mut left) = (placed.concat(), left.concat());
        let times = self.facts.times();
        nearly_sorted::sort_by_key(&mut placed, |placed| *placed);
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
