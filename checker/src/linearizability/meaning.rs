//! What one operation says about a register.

use super::time::Place;
use crate::history::History;
use crate::history::operation::{Function, Operation, Outcome};
use crate::history::values::ValueId;

/// What an operation saw or did at its moment. One of unknown outcome may have done it or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It did not happen, or nobody knows what it saw.
    Nothing,
    /// The register held this: a read, or a failed compare-and-set that reports the value it saw.
    Saw(ValueId),
    /// The register did not hold this: a failed compare-and-set that says no more.
    SawOther(ValueId),
    /// The register holds this from now on.
    Wrote(ValueId),
    /// The register held the first and holds the second from now on.
    Replaced(ValueId, ValueId),
    /// No register knows such an operation.
    Foreign,
}

/// The kind of error that says: executed, compared, and found different. A failure without any error means the same, as Porcupine's etcd
/// model has it; every other kind (a refused connection) means that nothing was compared.
const MISMATCH: &str = "mismatch";

impl Meaning {
    pub(super) fn of(history: &History, operation: &Operation) -> Meaning {
        match (operation.f, operation.outcome) {
            (Function::Read, Outcome::Ok) => Meaning::Saw(operation.observed().unwrap_or(ValueId::NULL)),
            (Function::Read, _) | (Function::Write, Outcome::Fail) => Meaning::Nothing,
            (Function::Write, _) => Meaning::Wrote(operation.argument),
            (Function::Cas, outcome) => match (history.values.pair(operation.argument), outcome) {
                (None, Outcome::Fail) => operation.observed().map_or(Meaning::Nothing, Meaning::Saw),
                (None, _) => Meaning::Foreign,
                (Some((expected, _)), Outcome::Fail) => Meaning::of_failed_cas(history, operation, expected),
                (Some((expected, new)), _) => Meaning::Replaced(expected, new),
            },
            (Function::Other(_), _) => Meaning::Foreign,
        }
    }

    pub(super) fn at(history: &History, place: Place) -> Meaning {
        match place.operation() {
            Some(place) => Meaning::of(history, &history.operations[place]),
            None => Meaning::Wrote(ValueId::NULL),
        }
    }

    fn of_failed_cas(history: &History, operation: &Operation, expected: ValueId) -> Meaning {
        match (operation.observed(), history.error_kind(operation)) {
            (Some(seen), _) => Meaning::Saw(seen),
            (None, None | Some(MISMATCH)) => Meaning::SawOther(expected),
            (None, Some(_)) => Meaning::Nothing,
        }
    }

    /// The value it leaves, if it changes the register.
    pub(super) fn written(self) -> Option<ValueId> {
        match self {
            Meaning::Wrote(value) | Meaning::Replaced(_, value) => Some(value),
            _ => None,
        }
    }

    /// The value it found, if that is known.
    pub(super) fn found(self) -> Option<ValueId> {
        match self {
            Meaning::Saw(value) | Meaning::Replaced(value, _) => Some(value),
            _ => None,
        }
    }
}
