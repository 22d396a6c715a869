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
    order: Vec<u32>,
    /// At i the value before place i of the order.
    values: Vec<ValueId>,
    /// At i the largest invocation up to and with place i.
    latest_ns: Vec<i64>,
    /// At i the smallest return from place i on.
    earliest_ns: Vec<i64>,
}

/// An order with failed compare-and-sets in it, and those for which it has no place.
pub(super) struct Placed<'a> {
    pub(super) placement: Placement<'a>,
    pub(super) left: Vec<Place>,
}

impl<'a> Placement<'a> {
    /// Two passes that see nothing of each other, at once if there may be so many `threads`.
    pub(super) fn of(facts: &'a Facts<'a>, order: Vec<u32>, threads: usize) -> Placement<'a> {
        let times = facts.times();
        let forwards = || {
            let mut values = Vec::with_capacity(order.len() + 1);
            let mut latest_ns: Vec<i64> = Vec::with_capacity(order.len());
            let (mut value, mut before_ns) = (ValueId::NULL, i64::MIN);
            values.push(value);
            for &place in &order {
                value = facts.meaning(place).written().unwrap_or(value);
                values.push(value);
                before_ns = before_ns.max(times.invoked_ns(Place::of(place)));
                latest_ns.push(before_ns);
            }
            (values, latest_ns)
        };
        let backwards = || {
            let mut after_ns = Times::NEVER;
            let mut earliest_ns = vec![0; order.len()];
            for (earliest_ns, &place) in earliest_ns.iter_mut().zip(&order).rev() {
                after_ns = after_ns.min(times.returned_ns(Place::of(place)));
                *earliest_ns = after_ns;
            }
            earliest_ns
        };
        let ((values, latest_ns), earliest_ns) = parallel::both(threads, forwards, backwards);
        Placement {
            facts,
            order,
            values,
            latest_ns,
            earliest_ns,
        }
    }

    /// The operations in their order.
    pub(super) fn order(&self) -> &[u32] {
        &self.order
    }

    /// Nothing but the order.
    pub(super) fn into_order(self) -> Vec<u32> {
        self.order
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
    pub(super) fn with(self, failed: &[Place], threads: usize) -> Placed<'a> {
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
        let placement = if placed.is_empty() { self } else { self.merged(&placed, threads) };
        Placed { placement, left }
    }

    /// The order with these in it: each the place before which it stands, its invocation, and itself.
    fn merged(self, placed: &[(usize, i64, u32)], threads: usize) -> Placement<'a> {
        let count = self.order.len() + placed.len();
        let forwards = || {
            let (mut order, mut values, mut latest_ns): (_, _, Vec<i64>) =
                (Vec::with_capacity(count), Vec::with_capacity(count + 1), Vec::with_capacity(count));
            let (mut from, mut before_ns) = (0, i64::MIN);
            for &(before, invoked_ns, place) in placed {
                order.extend(&self.order[from..before]);
                values.extend(&self.values[from..before]);
                latest_ns.extend(self.latest_ns[from..before].iter().map(|latest_ns| before_ns.max(*latest_ns)));
                from = before;
                before_ns = before_ns.max(invoked_ns);
                order.push(place);
                values.push(self.values[before]);
                latest_ns.push(latest_ns.last().map_or(before_ns, |latest_ns| before_ns.max(*latest_ns)));
            }
            order.extend(&self.order[from..]);
            values.extend(&self.values[from..]);
            latest_ns.extend(self.latest_ns[from..].iter().map(|latest_ns| before_ns.max(*latest_ns)));
            (order, values, latest_ns)
        };
        let backwards = || {
            let times = self.facts.times();
            let mut earliest_ns = vec![Times::NEVER; count + 1];
            let (mut to, mut end, mut after_ns) = (self.order.len(), count, Times::NEVER);
            for &(before, _, place) in placed.iter().rev() {
                let stretch = &self.earliest_ns[before..to];
                for (earliest_ns, of_order) in earliest_ns[end - stretch.len()..end].iter_mut().zip(stretch) {
                    *earliest_ns = after_ns.min(*of_order);
                }
                end -= stretch.len() + 1;
                to = before;
                after_ns = after_ns.min(times.returned_ns(Place::of(place)));
                earliest_ns[end] = after_ns.min(earliest_ns[end + 1]);
            }
            for (earliest_ns, of_order) in earliest_ns[..end].iter_mut().zip(&self.earliest_ns[..to]) {
                *earliest_ns = after_ns.min(*of_order);
            }
            earliest_ns.truncate(count);
            earliest_ns
        };
        let ((order, values, latest_ns), earliest_ns) = parallel::both(threads, forwards, backwards);
        Placement {
            facts: self.facts,
            order,
            values,
            latest_ns,
            earliest_ns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::History;

    /// Reads of the initial null at `[begin, end]`, which fit anywhere.
    fn history(times: &[(u64, u64)]) -> History {
        let line = |process: usize, kind: &str, time: u64| {
            format!(r#"{{"time":{time},"type":"{kind}","process":{process},"f":"cas","value":[1,2]}}"#)
        };
        let mut lines: Vec<(u64, usize, String)> = Vec::new();
        for (process, &(begin, end)) in times.iter().enumerate() {
            lines.push((begin, 0, line(process, "invoke", begin)));
            lines.push((end, 1, line(process, "fail", end)));
        }
        lines.sort();
        let text: Vec<String> = lines.into_iter().map(|(.., line)| line).collect();
        History::read(text.join("\n").as_bytes()).unwrap()
    }

    #[test]
    fn an_order_with_more_in_it_is_what_it_would_be_if_made_anew() {
        let times: Vec<(u64, u64)> = (0..60_u64).map(|n| (10 + n * 7 % 200, 220 + n * 13 % 90)).collect();
        let history = history(&times);
        let facts = Facts::of(&history, 1);
        for (every, threads) in [(2, 1), (3, 2), (1, 2), (60, 1)] {
            let (late, base): (Vec<u32>, Vec<u32>) = (0..60).partition(|place| place % every == 0);
            let placed: Vec<(usize, i64, u32)> = late
                .iter()
                .map(|&place| {
                    let before = base.len() * place as usize / 60;
                    (before, facts.times().invoked_ns(Place::of(place)), place)
                })
                .collect();
            let merged = Placement::of(&facts, base, 1).merged(&placed, threads);
            let anew = Placement::of(&facts, merged.order.clone(), 1);
            assert_eq!(merged.order.len(), 60);
            assert_eq!(merged.values, anew.values);
            assert_eq!(merged.latest_ns, anew.latest_ns);
            assert_eq!(merged.earliest_ns, anew.earliest_ns);
        }
    }
}
