//! Replays an order of operations: the whole of what it means that a register is linearizable, in one function.

use std::collections::BTreeMap;

use super::{Rejection, require};
use crate::history::History;
use crate::history::operation::{Function, KeyId, MISMATCH, Operation, Outcome};
use crate::history::values::ValueId;

/// Replays orders of one history, each of another key.
pub struct Replay<'a> {
    history: &'a History,
    used: Vec<bool>,
    /// How many operations of each key must stand in its order.
    owed: BTreeMap<Option<KeyId>, usize>,
}

/// What an operation of known outcome saw or did; `None` if it says nothing about the register.
enum Claim {
    Was(ValueId),
    WasNot(ValueId),
    Becomes(ValueId),
    WasAndBecomes(ValueId, ValueId),
}

fn claim(history: &History, operation: &Operation) -> Option<Claim> {
    let pair = history.values.pair(operation.argument);
    match (operation.f, operation.outcome) {
        (Function::Read, Outcome::Ok) => Some(Claim::Was(operation.observed().unwrap_or(ValueId::NULL))),
        (Function::Write, Outcome::Ok | Outcome::Unknown) => Some(Claim::Becomes(operation.argument)),
        (Function::Cas, Outcome::Ok | Outcome::Unknown) => pair.map(|(expected, new)| Claim::WasAndBecomes(expected, new)),
        (Function::Cas, Outcome::Fail) => match (operation.observed(), history.error_kind(operation)) {
            (Some(seen), _) => Some(Claim::Was(seen)),
            (None, None | Some(MISMATCH)) => pair.map(|(expected, _)| Claim::WasNot(expected)),
            (None, Some(_)) => None,
        },
        _ => None,
    }
}

impl<'a> Replay<'a> {
    /// Counts what each key's order must have.
    pub fn of(history: &'a History) -> Replay<'a> {
        let mut owed = BTreeMap::new();
        for operation in &history.operations {
            let known = operation.outcome != Outcome::Unknown && claim(history, operation).is_some();
            // No order can have an operation that no register knows: its key is never proved.
            let foreign = match operation.f {
                Function::Other(_) => true,
                Function::Cas => history.values.pair(operation.argument).is_none() && operation.outcome != Outcome::Fail,
                Function::Read | Function::Write => false,
            };
            let must = known || foreign;
            *owed.entry(operation.key).or_default() += usize::from(must);
        }
        Replay {
            history,
            used: vec![false; history.operations.len()],
            owed,
        }
    }

    /// Replays `order` (places in [`History::operations`]) as a linearization of the register `key`.
    ///
    /// # Errors
    /// If the order leaves out or repeats an operation, contradicts time, or a read sees another value than the last one written.
    pub fn order(&mut self, key: Option<KeyId>, order: &[usize]) -> Result<(), Rejection> {
        let mut owed = self.owed.get(&key).copied().unwrap_or(0);
        let (mut value, mut latest_invocation_ns) = (ValueId::NULL, 0);
        for &place in order {
            let operation = self.history.operations.get(place);
            let operation = operation.ok_or(Rejection("the order names an operation that does not exist"))?;
            require(operation.key == key, "the order names an operation on another key")?;
            require(
                !std::mem::replace(&mut self.used[place], true),
                "the order names an operation twice",
            )?;
            latest_invocation_ns = latest_invocation_ns.max(operation.invoked_ns);
            let returned_ns = operation.returned_ns().unwrap_or(u64::MAX);
            require(
                returned_ns.saturating_add(self.history.clock_error_ns()) >= latest_invocation_ns,
                "an operation stands after one that began after its return",
            )?;
            owed -= usize::from(operation.outcome != Outcome::Unknown).min(owed);
            match claim(self.history, operation) {
                Some(Claim::Was(seen)) => require(seen == value, "a read does not see the last value written")?,
                Some(Claim::WasNot(expected)) => require(expected != value, "a failed compare-and-set finds what it expects")?,
                Some(Claim::Becomes(written)) => value = written,
                Some(Claim::WasAndBecomes(expected, new)) => {
                    require(expected == value, "a compare-and-set does not find what it expects")?;
                    value = new;
                }
                None => return Err(Rejection("the order contains an operation that says nothing of a register")),
            }
        }
        require(owed == 0, "the order leaves out an operation that happened")
    }
}
