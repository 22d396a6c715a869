//! The verifier: replays an order for any model, and tries every order of a small window. It shares nothing with the search but what an
//! operation means to the model and when it was.

pub(super) mod claims;

pub use self::claims::claim;

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use super::problem::{NEVER, Problem, interval, meaning};
use super::refusal::Refusal;
use crate::history::History;
use crate::model::{Call, Model, Value};

/// Why a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Rejection(&'static str);

/// A window is too large to try every order of it.
pub(super) const TOO_LARGE: Rejection = Rejection("the window is too large to try every order");

/// Configurations that trying every order of a window may take: seconds.
pub(super) const WINDOW_MAX: usize = 1_000_000;

fn require(holds: bool, otherwise: &'static str) -> Result<(), Rejection> {
    if holds { Ok(()) } else { Err(Rejection(otherwise)) }
}

/// Replays `order` as a linearization of the object whose operations are at `places`, in one pass.
///
/// # Errors
/// If the order leaves out or repeats an operation, contradicts time, or the model does not allow a step.
pub fn valid<M: Model>(history: &History, model: &M, places: &[u32], order: &[usize]) -> Result<(), Rejection> {
    let mut left = BTreeMap::new();
    for &place in places {
        let operation = history
            .operations
            .get(place as usize)
            .ok_or(Rejection("the object names an operation that does not exist"))?;
        let op = meaning(model, &Call::of(history, operation)).map_err(|_| Rejection("the model does not know an operation"))?;
        if let Some(op) = op {
            left.insert(place as usize, (op, interval(history, operation)));
        }
    }
    let mut state = model.initial();
    let mut latest_invocation_ns = i64::MIN;
    for place in order {
        let (op, (invoked_ns, returned_ns)) = left
            .remove(place)
            .ok_or(Rejection("the order names an operation twice, or one of another object"))?;
        latest_invocation_ns = latest_invocation_ns.max(invoked_ns);
        require(
            returned_ns >= latest_invocation_ns,
            "an operation stands after one that began after its return",
        )?;
        require(model.advance(&mut state, &op), "the model does not allow a step")?;
    }
    let all = left.values().all(|(_, (_, returned_ns))| *returned_ns == NEVER);
    require(all, "the order leaves out an operation that happened")
}

/// Tries every order of a refusal's window.
///
/// # Errors
/// If one is a linearization, if the window names operations that are not the object's, or if it is too large to try in `configurations`.
pub fn invalid<M: Model>(history: &History, model: &M, places: &[u32], refusal: &Refusal, configurations: usize) -> Result<(), Rejection> {
    let own: HashSet<usize> = places.iter().map(|&place| place as usize).collect();
    let kept = |value: &Value| refusal.values.as_ref().is_none_or(|values| values.binary_search(value).is_ok());
    let mut items = Vec::new();
    let distinct: HashSet<&usize> = refusal.window.iter().collect();
    require(distinct.len() == refusal.window.len(), "the window names an operation twice")?;
    for &place in &refusal.window {
        let operation = history.operations.get(place).filter(|_| own.contains(&place));
        let operation = operation.ok_or(Rejection("the window names an operation of another object"))?;
        let op = meaning(model, &Call::of(history, operation)).ok().flatten();
        let op = op
            .and_then(|op| model.project(&op, &kept))
            .ok_or(Rejection("the window names an operation that says nothing"))?;
        let (invoked_ns, returned_ns) = interval(history, operation);
        let by_then = u64::try_from(returned_ns).is_ok_and(|returned_ns| returned_ns <= refusal.certain_ns);
        items.push((op, invoked_ns, if by_then { returned_ns } else { NEVER }));
    }
    // Only observers and whole values may be missing.
    for place in own.iter().filter(|place| !distinct.contains(place)) {
        let operation = history
            .operations
            .get(*place)
            .ok_or(Rejection("the object names an operation that does not exist"))?;
        let op = meaning(model, &Call::of(history, operation)).ok().flatten();
        let begun = interval(history, operation).0 <= i64::try_from(refusal.certain_ns).unwrap_or(NEVER);
        let missing = op
            .filter(|op| begun && !model.observes(op))
            .and_then(|op| model.project(&op, &kept));
        require(missing.is_none(), "the window leaves out an operation that may matter")?;
    }
    match try_all(model, &items, configurations) {
        Some(false) => Ok(()),
        Some(true) => Err(Rejection("the window has a linearization")),
        None => Err(TOO_LARGE),
    }
}

pub(super) fn has_order<M: Model>(model: &M, problem: &Problem<M::Op>, configurations: usize) -> Option<bool> {
    let items = (0..).zip(&problem.items);
    let items: Vec<_> = items
        .map(|(number, item)| (problem.op(number).clone(), item.invoked_ns, item.returned_ns))
        .collect();
    try_all(model, &items, configurations)
}

/// Whether some order is a linearization; `None` if that takes too long. Sets are exact bit sets, so at most 64 operations.
fn try_all<M: Model>(model: &M, items: &[(M::Op, i64, i64)], configurations: usize) -> Option<bool> {
    if items.len() > 64 {
        return None;
    }
    let mut tried: HashSet<(u64, Rc<M::State>)> = HashSet::new();
    let mut open = vec![(0_u64, Rc::new(model.initial()))];
    while let Some((done, state)) = open.pop() {
        let left = || items.iter().enumerate().filter(|(place, _)| done >> place & 1 == 0);
        let first_return_ns = left().map(|(_, item)| item.2).min().unwrap_or(NEVER);
        if first_return_ns == NEVER {
            return Some(true);
        }
        if !tried.insert((done, state.clone())) {
            continue;
        }
        if tried.len() > configurations {
            return None;
        }
        for (place, (op, invoked_ns, returned_ns)) in left() {
            if *invoked_ns <= first_return_ns
                && let Some(after) = model.step(&state, op)
                // What need not happen and changes nothing may as well not happen.
                && (*returned_ns != NEVER || after != *state)
            {
                open.push((done | 1 << place, Rc::new(after)));
            }
        }
    }
    Some(false)
}
