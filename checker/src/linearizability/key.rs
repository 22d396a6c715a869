//! One key: which algorithm decides it.

use super::budget::{Ended, Meter};
use super::certificate::Certificate;
use super::failed::Placement;
use super::frontier::{Found, Item, Register, Unfinished, search};
use super::time::{Place, Times};
use super::window::shrunk;
use super::zones::Zones;
use super::{Options, order};
use crate::history::History;
use crate::history::values::ValueId;

/// The answer for one key.
pub(super) enum Judged {
    Valid,
    Invalid(Certificate),
    Unknown(String),
}

/// The algorithms' names.
const ZONES: &str = "zones";
const FRONTIER: &str = "frontier";

/// Zones where they decide, else the frontier.
pub(super) fn judge(history: &History, places: &[u32], options: &Options<'_>) -> (&'static str, Judged) {
    let zones = match Zones::of(history, places) {
        Ok(zones) => zones,
        Err(reason) => return (ZONES, Judged::Unknown(reason)),
    };
    if let Some(certificate) = zones.contradiction(history, places) {
        return (ZONES, Judged::Invalid(certificate));
    }
    if !zones.undecided && (zones.failed.is_empty() || placed(history, places, &zones).is_ok()) {
        return (ZONES, Judged::Valid);
    }
    let meter = Meter::of(options.budget, options.stop);
    let register = whole(history, places);
    let judged = match search(&register, &meter) {
        Found::Valid(_) => Judged::Valid,
        Found::Invalid(item) => {
            let unplaceable = place_of(&register, item);
            Judged::Invalid(Certificate::Window(shrunk(history, places, unplaceable, &meter)))
        }
        Found::Open(unfinished) => Judged::Unknown(reason(history, &register, &unfinished)),
    };
    (FRONTIER, judged)
}

/// An order that proves a key linearizable.
pub(super) fn order(history: &History, places: &[u32], options: &Options<'_>) -> Option<Vec<u32>> {
    let zones = Zones::of(history, places).ok()?;
    if zones.contradiction(history, places).is_some() {
        return None;
    }
    if !zones.undecided
        && let Ok(order) = placed(history, places, &zones)
    {
        return Some(order);
    }
    match search(&whole(history, places), &Meter::of(options.budget, options.stop)) {
        Found::Valid(order) => Some(order),
        _ => None,
    }
}

/// The zones' order with the failed compare-and-sets in it, or those that do not fit.
fn placed(history: &History, places: &[u32], zones: &Zones) -> Result<Vec<u32>, Vec<Place>> {
    let order = order::linearization(history, places, zones);
    Placement::of(history, &order).with(&zones.failed)
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
    if let Ended::Width(_) = why {
        return format!("{why}, more than the search has room for");
    }
    let line = |item: usize| {
        let operation = place_of(register, item).operation().map(|place| history.operations[place]);
        operation.map_or(0, |operation| operation.complete_line().unwrap_or(operation.invoke_line()))
    };
    let shown = |item: usize| {
        let returned_ns = register.items[item].returned_ns;
        let time_ns = if returned_ns == Times::NEVER {
            register.items[item].invoked_ns
        } else {
            returned_ns
        };
        format!(
            "{}.{:03} s (line {})",
            time_ns / 1_000_000_000,
            time_ns / 1_000_000 % 1_000,
            line(item)
        )
    };
    let since = since.map_or_else(|| "the beginning".to_owned(), shown);
    let until = shown(at);
    format!(
        "{why} between {since} and {until}, with {open} operations at once and {unknown} of unknown outcome open; \
         everything that returned before {until} is linearizable"
    )
}
