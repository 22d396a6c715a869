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

impl<'a> Placement<'a> {
    pub(super) fn of(history: &'a History, order: &'a [u32]) -> Placement<'a> {
        let times = Times::of(history);
        let mut values = vec![ValueId::NULL];
        let mut latest_ns: Vec<i64> = Vec::with_capacity(order.len());
        for &place in order {
            let written = Meaning::at(history, Place::of(place)).written();
            values.push(written.unwrap_or(values[values.len() - 1]));
            let before_ns = latest_ns.last().copied().unwrap_or(i64::MIN);
            latest_ns.push(before_ns.max(times.invoked_ns(Place::of(place))));
        }
        let mut earliest_ns = vec![Times::NEVER; order.len()];
        let mut after_ns = Times::NEVER;
        for (earliest_ns, &place) in earliest_ns.iter_mut().zip(order).rev() {
            after_ns = after_ns.min(times.returned_ns(Place::of(place)));
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

    /// A place before which the register does not hold `expected`, and the operation fits. The values are all different, so `expected` is
    /// there during one stretch, and looking at both ends is enough; the moment of the invocation is looked at before, because operations
    /// that are placed there never stand in each other's way.
    fn place(&self, operation: Place, expected: ValueId) -> Option<usize> {
        let (first, last) = self.fits(operation);
        let begun = self.begun_by(Times::of(self.history).invoked_ns(operation));
        [begun, last, first].into_iter().find(|&place| self.values[place] != expected)
    }

    /// Puts the failed compare-and-sets into the order. Those that do not fit are returned instead.
    pub(super) fn with(&self, failed: &[Place]) -> Result<Vec<u32>, Vec<Place>> {
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
        for &(_, invoked_ns, place) in &placed {
            if times.returned_ns(Place::of(place)) < latest_ns {
                left.push(Place::of(place));
            }
            latest_ns = latest_ns.max(invoked_ns);
        }
        if !left.is_empty() {
            return Err(left);
        }
        let mut placed = placed.into_iter().peekable();
        let mut order = Vec::with_capacity(self.order.len() + placed.len());
        for before in 0..=self.order.len() {
            while let Some((.., place)) = placed.next_if(|(at, ..)| *at == before) {
                order.push(place);
            }
            order.extend(self.order.get(before));
        }
        Ok(order)
    }
}
