//! Failed compare-and-sets that fit nowhere into an order: a stretch of the order around them is put in another order.
//!
//! **Why the pieces make a whole.** A *stretch* is the part of an order between two places of it. What stands before it keeps standing before
//! it, and what stands behind it behind, so whatever order its operations get, time allows the whole exactly if it allows the stretch. It
//! begins with the value that the order has there, and behind it stands a write that finds nothing, or nothing at all, so no later operation
//! notices what it ends with. A failed compare-and-set may go into a stretch if all places at which time allows it lie in there: then
//! nothing before or behind the stretch forbids it any place within. Stretches that touch become one. So an order of each stretch that
//! the frontier finds, put in place of the old one, is an order of all.
//!
//! A stretch that has no order proves nothing: a longer one may have. What proves that there is none at all is a
//! [`window`](super::window) in time, and both grow in turns.

use rustc_hash::FxHashSet;

use super::budget::Meter;
use super::failed::{Placed, Placement};
use super::frontier::{Found, Item, Register, search};
use super::meaning::{Facts, Meaning};
use super::time::{Place, Times};
use super::window::{Window, around};
use crate::history::History;

/// What became of an order and the failed compare-and-sets that did not fit into it.
pub(super) enum Repaired {
    /// An order with all of them.
    Valid(Vec<u32>),
    /// Operations that no order explains.
    Invalid(Window),
    /// Neither was found near them.
    Open,
}

/// Writes on either side of those around a failed compare-and-set, in the first attempt, and how much more in each further one.
const MARGIN_MIN: usize = 2;
const MARGIN_FACTOR: usize = 4;

/// Where the whole key is searched instead.
const MARGIN_MAX: usize = 1_000;

/// Configurations that one stretch may cost, per operation in it.
const CONFIGURATIONS_PER_OPERATION: u64 = 1_000;

/// Compare-and-sets for which a contradiction is looked for in one attempt: each costs a pass through the key.
const WINDOWS_MAX: usize = 4;

/// Unread writes of unknown outcome that are offered to one stretch.
const UNREAD_MAX: usize = 4;

/// Puts all into an order, if it can. `places` are all operations of the key, `unread` its writes that need not have happened.
pub(super) fn repaired<'a>(
    facts: &'a Facts<'a>,
    places: &[u32],
    mut placed: Placed<'a>,
    unread: &[Place],
    threads: usize,
    meter: &Meter<'_>,
) -> Repaired {
    let mut unread = Unread::of(facts, unread);
    let mut margin = MARGIN_MIN;
    loop {
        if placed.left.is_empty() {
            return Repaired::Valid(placed.placement.into_order());
        }
        if margin > MARGIN_MAX {
            return Repaired::Open;
        }
        let (order, left) = attempt(facts, &placed, margin, &mut unread, meter);
        if left.is_empty() {
            return Repaired::Valid(order);
        }
        let mut windows = left.iter().take(WINDOWS_MAX);
        if let Some(window) = windows.find_map(|&cas| around(facts.history(), places, cas, margin, meter)) {
            return Repaired::Invalid(window);
        }
        let placement = Placement::of(facts, order, threads);
        placed = Placed { placement, left };
        margin *= MARGIN_FACTOR;
    }
}

/// Part of an order, and what is to be put into it.
struct Stretch {
    from: usize,
    to: usize,
    failed: Vec<Place>,
}

/// The order with some stretches put in another order, and the failed compare-and-sets for which none was found.
fn attempt(facts: &Facts<'_>, placed: &Placed<'_>, margin: usize, unread: &mut Unread<'_>, meter: &Meter<'_>) -> (Vec<u32>, Vec<Place>) {
    let placement = &placed.placement;
    let order = placement.order();
    let (mut next, mut left) = (Vec::with_capacity(order.len() + placed.left.len()), Vec::new());
    let mut done = 0;
    for stretch in stretches(facts, placed, margin) {
        next.extend(&order[done..stretch.from]);
        done = stretch.to;
        match reordered(facts.history(), &stretch, placement, unread, meter) {
            Some(found) => next.extend(found),
            None => {
                next.extend(&order[stretch.from..stretch.to]);
                left.extend(stretch.failed);
            }
        }
    }
    next.extend(&order[done..]);
    (next, left)
}

/// The stretches around those that are left, in their order; no two of them touch.
fn stretches(facts: &Facts<'_>, placed: &Placed<'_>, margin: usize) -> Vec<Stretch> {
    let placement = &placed.placement;
    let order = placement.order();
    let is_cut = |place: &usize| {
        let next = order.get(*place).map(|&place| facts.meaning(place));
        matches!(next, None | Some(Meaning::Wrote(_)))
    };
    let mut ranges: Vec<(usize, usize, Place)> = placed
        .left
        .iter()
        .map(|&cas| {
            let (first, last) = placement.fits(cas, 0);
            let from = (0..first).rev().filter(is_cut).nth(margin - 1).unwrap_or(0);
            let to = (last..order.len()).filter(is_cut).nth(margin - 1).unwrap_or(order.len());
            (from, to, cas)
        })
        .collect();
    ranges.sort_unstable();
    let mut stretches: Vec<Stretch> = Vec::new();
    for (from, to, cas) in ranges {
        match stretches.last_mut() {
            Some(last) if from <= last.to => {
                last.to = last.to.max(to);
                last.failed.push(cas);
            }
            _ => stretches.push(Stretch {
                from,
                to,
                failed: vec![cas],
            }),
        }
    }
    stretches
}

/// Another order of a stretch, with all that is to be put into it.
fn reordered(
    history: &History,
    stretch: &Stretch,
    placement: &Placement<'_>,
    unread: &mut Unread<'_>,
    meter: &Meter<'_>,
) -> Option<Vec<u32>> {
    let failed = stretch.failed.iter().filter_map(|cas| cas.operation()).map(|place| place as u32);
    let offered = unread.before(placement.earliest_ns(stretch.to));
    let places = placement.order()[stretch.from..stretch.to]
        .iter()
        .copied()
        .chain(failed)
        .chain(offered);
    let register = Register::of(places.map(|place| Item::at(history, place)), placement.value(stretch.from));
    let meter = meter.at_most(CONFIGURATIONS_PER_OPERATION * register.items.len() as u64);
    let Found::Valid(found) = search(&register, &meter) else {
        return None;
    };
    unread.use_up(&found);
    Some(found)
}

/// Writes of unknown outcome that nobody read: none is in an order, and each may be put into it once, anywhere behind its invocation.
struct Unread<'a> {
    times: Times<'a>,
    /// By invocation.
    writes: Vec<u32>,
}

impl<'a> Unread<'a> {
    fn of(facts: &Facts<'a>, unread: &[Place]) -> Unread<'a> {
        let times = *facts.times();
        let is_write = |place: &&Place| matches!(facts.meaning_at(**place), Meaning::Wrote(_));
        let writes = unread.iter().filter(is_write).filter_map(|place| place.operation());
        let mut writes: Vec<u32> = writes.map(|place| place as u32).collect();
        writes.sort_unstable_by_key(|&place| (times.invoked_ns(Place::of(place)), place));
        Unread { times, writes }
    }

    /// The last of those that may stand before everything that returned at `time_ns` or later.
    fn before(&self, time_ns: i64) -> Vec<u32> {
        let end = self
            .writes
            .partition_point(|&place| self.times.invoked_ns(Place::of(place)) <= time_ns);
        self.writes[end.saturating_sub(UNREAD_MAX)..end].to_vec()
    }

    fn use_up(&mut self, order: &[u32]) {
        let used: FxHashSet<u32> = order.iter().copied().collect();
        self.writes.retain(|place| !used.contains(place));
    }
}
