//! One key: which algorithm decides it.

use super::Options;
use super::budget::Meter;
use super::certificate::Certificate;
use super::failed::Placement;
use super::frontier::{Found, Item, Register, Unfinished, search};
use super::meaning::Facts;
use super::order::{self, Reads};
use super::repair::{Repaired, repaired};
use super::time::{Place, Times};
use super::window::shrunk;
use super::zones::Zones;
use crate::history::History;
use crate::history::values::ValueId;
use crate::parallel;
use crate::seconds::{digits_of, with_digits};

/// The answer for one key.
pub(super) enum Judged {
    /// An order proves it, if it was made.
    Valid(Option<Vec<u32>>),
    Invalid(Certificate),
    Unknown(String),
}

/// The algorithms' names.
const ZONES: &str = "zones";
const FRONTIER: &str = "frontier";

/// Zones where they decide, with the frontier on parts where failed compare-and-sets want it; else the frontier.
pub(super) fn judge(facts: &Facts<'_>, places: &[u32], options: &Options<'_>) -> (&'static str, Judged) {
    let (zones, reads) = parallel::both(
        options.threads,
        || Zones::of(facts, places, options.threads),
        || facts.has_cas().then(|| Reads::of(facts, places)),
    );
    let zones = match zones {
        Ok(zones) => zones,
        Err(reason) => return (ZONES, Judged::Unknown(reason)),
    };
    // The order is worth nothing where there is a contradiction, but only violations pay for that.
    let reads = reads.filter(|_| !zones.undecided && !zones.failed.is_empty());
    let (contradiction, order) = parallel::both(
        options.threads,
        || zones.contradiction(facts, places),
        || reads.map(|reads| order::linearization(facts, &zones, &reads)),
    );
    if let Some(certificate) = contradiction {
        return (ZONES, Judged::Invalid(certificate));
    }
    let meter = Meter::of(options.budget, options.stop);
    let by_zones = match order {
        Some(order) => with_failed(facts, places, &zones, order, options.threads, &meter),
        None if zones.undecided => None,
        None => Some(Judged::Valid(None)),
    };
    match by_zones {
        Some(judged) => (ZONES, judged),
        None => (FRONTIER, search_all(facts.history(), places, &meter)),
    }
}

/// An order that proves a key linearizable.
pub(super) fn order(facts: &Facts<'_>, places: &[u32], options: &Options<'_>) -> Option<Vec<usize>> {
    let order = match judge(facts, places, options) {
        (_, Judged::Valid(Some(order))) => order,
        (_, Judged::Valid(None)) => {
            let zones = Zones::of(facts, places, options.threads).ok()?;
            order::linearization(facts, &zones, &Reads::of(facts, places))
        }
        _ => return None,
    };
    Some(order.into_iter().map(|place| place as usize).collect())
}

/// The zones' order with the failed compare-and-sets in it, or what contradicts them.
fn with_failed(facts: &Facts<'_>, places: &[u32], zones: &Zones, order: Vec<u32>, threads: usize, meter: &Meter<'_>) -> Option<Judged> {
    let placed = Placement::of(facts, order, threads).with(&zones.failed, threads);
    match repaired(facts, places, placed, &zones.unread, threads, meter) {
        Repaired::Valid(order) => Some(Judged::Valid(Some(order))),
        Repaired::Invalid(window) => Some(Judged::Invalid(Certificate::Window(window))),
        Repaired::Open => None,
    }
}

fn search_all(history: &History, places: &[u32], meter: &Meter<'_>) -> Judged {
    let register = whole(history, places);
    match search(&register, meter) {
        Found::Valid(order) => Judged::Valid(Some(order)),
        Found::Invalid(item) => {
            let unplaceable = place_of(&register, item);
            Judged::Invalid(Certificate::Window(shrunk(history, places, unplaceable, meter)))
        }
        Found::Open(unfinished) => Judged::Unknown(reason(history, &register, &unfinished)),
    }
}

fn whole(history: &History, places: &[u32]) -> Register {
    Register::of(places.iter().map(|&place| Item::at(history, place)), ValueId::NULL)
}

fn place_of(register: &Register, item: usize) -> Place {
    register.items[item].place.map_or(Place::INITIAL, Place::of)
}

/// Where the search ended, and why there.
fn reason(history: &History, register: &Register, unfinished: &Unfinished) -> String {
    let Unfinished {
        why,
        at,
        since,
        open,
        unknown,
    } = *unfinished;
    let line = |item: usize| {
        let operation = place_of(register, item).operation().map(|place| history.operations[place]);
        operation.map_or(0, |operation| operation.complete_line().unwrap_or(operation.invoke_line()))
    };
    let time_ns = |item: usize| {
        let item = &register.items[item];
        let time_ns = if item.returned_ns == Times::NEVER {
            item.invoked_ns
        } else {
            item.returned_ns
        };
        time_ns.max(0).unsigned_abs()
    };
    let digits = since.map_or(3, |since| digits_of(&[time_ns(since), time_ns(at)]));
    let shown = |item: usize| format!("{} (line {})", with_digits(time_ns(item), digits), line(item));
    let since = since.map_or_else(|| "the beginning".to_owned(), shown);
    let until = shown(at);
    format!(
        "{why} between {since} and {until}, with {open} operations at once and {unknown} of unknown outcome open; \
         everything that returned before {until} is linearizable"
    )
}
