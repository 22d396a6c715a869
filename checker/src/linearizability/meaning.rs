//! What one operation says about a register.

use super::time::{Place, Times};
use crate::history::History;
use crate::history::operation::{Function, Operation, Outcome};
use crate::history::values::ValueId;
use crate::parallel;

/// Operations whose meanings are found out by one piece of work.
const CHUNK: usize = 1 << 15;

/// A history with what its operations mean.
///
/// Of a compare-and-set that is looked up in the table of values, at random, several times per operation: half a second for a million of them.
/// So where there are any, it is looked up once, on all threads. Reads and writes say it themselves, and ten million of them cost no memory
/// here.
pub(super) struct Facts<'a> {
    history: &'a History,
    times: Times<'a>,
    /// Empty if no operation is a compare-and-set.
    meanings: Vec<Vec<Meaning>>,
}

impl<'a> Facts<'a> {
    pub(super) fn of(history: &'a History, threads: usize) -> Facts<'a> {
        let is_cas = |operation: &Operation| operation.f == Function::Cas;
        let chunks: Vec<&[Operation]> = if history.operations.iter().any(is_cas) {
            history.operations.chunks(CHUNK).collect()
        } else {
            Vec::new()
        };
        let meanings = |chunk: &&[Operation]| chunk.iter().map(|operation| Meaning::of(history, operation)).collect();
        Facts {
            history,
            times: Times::of(history),
            meanings: parallel::map(&chunks, threads, |_| 0, meanings),
        }
    }

    pub(super) fn history(&self) -> &'a History {
        self.history
    }

    pub(super) fn times(&self) -> &Times<'a> {
        &self.times
    }

    /// Whether any operation is a compare-and-set.
    pub(super) fn has_cas(&self) -> bool {
        !self.meanings.is_empty()
    }

    /// What the operation at this place of the history says.
    pub(super) fn meaning(&self, place: u32) -> Meaning {
        let place = place as usize;
        match self.meanings.get(place / CHUNK) {
            Some(chunk) => chunk[place % CHUNK],
            None => Meaning::of(self.history, &self.history.operations[place]),
        }
    }

    /// [`Facts::meaning`], also of the write before time.
    pub(super) fn meaning_at(&self, place: Place) -> Meaning {
        place
            .operation()
            .map_or(Meaning::Wrote(ValueId::NULL), |place| self.meaning(place as u32))
    }
}

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
