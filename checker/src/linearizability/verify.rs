//! The verifier: replays a proof in one pass, knowing nothing of how it was found.
//!
//! `replay` is all that `valid` rests on: fifty lines that share nothing with the algorithms but the history itself. What `invalid` rests
//! on stands here, one short rule per kind of certificate; it shares with the algorithms what an operation means and the rule of precedence
//! (`a` before `b` if a's return plus the clock error is before b's invocation), and for a window of more than twenty operations the search.

mod replay;
mod window;

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::{FxHashMap, FxHashSet};

pub use self::replay::Replay;
use super::certificate::{Certificate, Side};
use super::meaning::Meaning;
use super::time::Place;
use crate::history::History;
use crate::history::operation::{Function, KeyId, Operation, Outcome};
use crate::history::values::ValueId;

/// Why a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Rejection(&'static str);

impl Rejection {
    pub(super) fn of(why: &'static str) -> Rejection {
        Rejection(why)
    }
}

fn require(holds: bool, otherwise: &'static str) -> Result<(), Rejection> {
    if holds { Ok(()) } else { Err(Rejection(otherwise)) }
}

/// Replays `order` (places in [`History::operations`]) as a linearization of the register `key`.
///
/// # Errors
/// If the order leaves out or repeats an operation, contradicts time, or a read sees another value than the last one written.
pub fn valid(history: &History, key: Option<KeyId>, order: &[usize]) -> Result<(), Rejection> {
    Replay::of(history).order(key, order)
}

/// Checks that `certificate` proves the register `key` not linearizable.
///
/// # Errors
/// If one of its claims does not hold in the history.
pub fn invalid(history: &History, key: Option<KeyId>, certificate: &Certificate) -> Result<(), Rejection> {
    let check = Check::of(history, key)?;
    match *certificate {
        Certificate::Window(ref window) => check.window(window),
        Certificate::PhantomRead { read } => {
            let (_, End::Unwritten(value)) = check.back(read)? else {
                return Err(Rejection("the value read was written"));
            };
            require(!check.refused.contains_key(&value), "the value read was to be written")
        }
        Certificate::RefusedWriteRead { read, write } => {
            let (_, End::Unwritten(value)) = check.back(read)? else {
                return Err(Rejection("a write of the value read did not fail"));
            };
            let refused = check.refused.get(&value).is_some_and(|places| places.contains(&write));
            require(refused, "the write is none of the value read")
        }
        Certificate::ReadFromTheFuture { read, write } => {
            require(check.found(read)? == check.left(write)?, "the read saw another value")?;
            require(check.only_writer(check.left(write)?)? == write, "the value has another writer")?;
            require(check.before(read, write), "the read returned after its write began")
        }
        Certificate::AgainstChain { first, then } => {
            require(check.leads(first, then)?, "no chain leads from the first operation to the second")?;
            require(check.before(then, first), "the second operation returned after the first began")
        }
        Certificate::ReplacedTwice { one, other } => {
            let ((one, _), (other, _)) = (check.back(one)?, check.back(other)?);
            let mut replaced: BTreeMap<ValueId, BTreeSet<Place>> = BTreeMap::new();
            for step in one.iter().chain(&other) {
                let Some(found) = step.found else { continue };
                replaced.entry(found).or_default().insert(step.write);
            }
            let twice = replaced.iter().find(|(_, by)| by.len() > 1);
            let (&value, _) = twice.ok_or(Rejection("no value was replaced by two compare-and-sets"))?;
            // Nobody may have written it, or once; twice would explain both.
            require(
                check.writers.get(&value).is_none_or(|writers| writers.len() == 1),
                "the value has more than one writer",
            )
        }
        Certificate::Circle { operation } => {
            let (_, end) = check.back(operation)?;
            require(end == End::Circle, "a write begins the chain")
        }
        Certificate::FailedAlthoughEqual {
            cas,
            returned_first,
            began_last,
            shown_by,
        } => {
            let Meaning::SawOther(expected) = check.meaning(cas)? else {
                return Err(Rejection("the certificate names a failed compare-and-set that is none"));
            };
            let writer = check.only_writer(expected)?;
            let there = returned_first == writer || check.meaning(returned_first)? == Meaning::Saw(expected);
            require(there, "the first operation neither left nor found the expected value")?;
            require(
                check.found(began_last)? == expected,
                "the last operation did not find the expected value",
            )?;
            require(
                check.happened(began_last, shown_by)?,
                "nothing shows that the last operation happened",
            )?;
            require(check.before(returned_first, cas), "the first operation returned too late")?;
            require(check.before(cas, began_last), "the last operation began too early")
        }
        Certificate::Overlap { one, other } => {
            require(check.side(&one)? != check.side(&other)?, "both sides are the same value")?;
            require(
                check.before(one.returned_first, other.began_last),
                "nothing orders the first value before the second",
            )?;
            require(
                check.before(other.returned_first, one.began_last),
                "nothing orders the second value before the first",
            )
        }
    }
}

fn returned_before(history: &History, operation: &Operation, time_ns: u64) -> bool {
    operation
        .returned_ns()
        .is_some_and(|returned_ns| returned_ns.saturating_add(history.clock_error_ns()) < time_ns)
}

struct Check<'a> {
    history: &'a History,
    key: Option<KeyId>,
    /// Who wrote each value, or may have.
    writers: FxHashMap<ValueId, Vec<Place>>,
    /// Who was refused to write it.
    refused: FxHashMap<ValueId, Vec<Place>>,
}

/// One step back from what an operation saw: the only writer of the value, and what it found if it is a compare-and-set.
struct Step {
    write: Place,
    found: Option<ValueId>,
}

/// Where the way back ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// At a write, or at the null before time.
    Write,
    /// At a value that nobody wrote.
    Unwritten(ValueId),
    /// Where it already was.
    Circle,
}

impl<'a> Check<'a> {
    fn of(history: &'a History, key: Option<KeyId>) -> Result<Check<'a>, Rejection> {
        let mut writers: FxHashMap<ValueId, Vec<Place>> = FxHashMap::from_iter([(ValueId::NULL, vec![Place::INITIAL])]);
        let mut refused: FxHashMap<ValueId, Vec<Place>> = FxHashMap::default();
        let operations = (0..).zip(&history.operations).filter(|(_, operation)| operation.key == key);
        for (place, operation) in operations {
            let meaning = Meaning::of(history, operation);
            require(meaning != Meaning::Foreign, "the key has an operation that no register knows")?;
            if let Some(value) = meaning.written() {
                writers.entry(value).or_default().push(Place::of(place));
            }
            let asked = match operation.f {
                Function::Cas => history.values.pair(operation.argument).map(|(_, new)| new),
                Function::Write => Some(operation.argument),
                _ => None,
            };
            if let Some(value) = asked.filter(|_| operation.outcome == Outcome::Fail) {
                refused.entry(value).or_default().push(Place::of(place));
            }
        }
        Ok(Check {
            history,
            key,
            writers,
            refused,
        })
    }

    fn operation(&self, place: Place) -> Result<Option<&Operation>, Rejection> {
        let Some(place) = place.operation() else { return Ok(None) };
        let operation = self
            .history
            .operations
            .get(place)
            .ok_or(Rejection("the certificate names an operation that does not exist"))?;
        require(operation.key == self.key, "the certificate names an operation on another key")?;
        Ok(Some(operation))
    }

    fn meaning(&self, place: Place) -> Result<Meaning, Rejection> {
        self.operation(place)?;
        Ok(Meaning::at(self.history, place))
    }

    /// The value it found.
    fn found(&self, place: Place) -> Result<ValueId, Rejection> {
        self.meaning(place)?
            .found()
            .ok_or(Rejection("the certificate names a read that is none"))
    }

    /// The value it left.
    fn left(&self, place: Place) -> Result<ValueId, Rejection> {
        self.meaning(place)?
            .written()
            .ok_or(Rejection("the certificate names a write that is none"))
    }

    fn only_writer(&self, value: ValueId) -> Result<Place, Rejection> {
        match self.writers.get(&value).map(Vec::as_slice) {
            Some(&[writer]) => Ok(writer),
            _ => Err(Rejection("a value that is read has more than one writer, or none")),
        }
    }

    /// From an operation back over the only writers of what it and they found. Whatever is on the way happened if the operation did.
    fn back(&self, from: Place) -> Result<(Vec<Step>, End), Rejection> {
        let mut steps = Vec::new();
        let mut seen = FxHashSet::default();
        let mut found = match self.meaning(from)? {
            Meaning::Saw(value) => value,
            Meaning::Replaced(expected, _) if self.operation(from)?.is_some_and(|cas| cas.outcome == Outcome::Ok) => {
                steps.push(Step {
                    write: from,
                    found: Some(expected),
                });
                expected
            }
            Meaning::Wrote(_) => {
                steps.push(Step { write: from, found: None });
                return Ok((steps, End::Write));
            }
            _ => {
                return Err(Rejection(
                    "the certificate names an operation of which nobody knows whether it happened",
                ));
            }
        };
        loop {
            if !seen.insert(found) {
                return Ok((steps, End::Circle));
            }
            if !self.writers.contains_key(&found) {
                return Ok((steps, End::Unwritten(found)));
            }
            let write = self.only_writer(found)?;
            let Meaning::Replaced(expected, _) = self.meaning(write)? else {
                steps.push(Step { write, found: None });
                return Ok((steps, End::Write));
            };
            steps.push(Step {
                write,
                found: Some(expected),
            });
            found = expected;
        }
    }

    /// Whether a chain leads from what `first` left or found to `then`, with at least one step between.
    fn leads(&self, first: Place, then: Place) -> Result<bool, Rejection> {
        let (steps, _) = self.back(then)?;
        let replaced = steps
            .iter()
            .any(|step| step.found.is_some() && step.found == self.meaning(first).ok().and_then(Meaning::found));
        let wrote = steps.iter().any(|step| step.write == first && first != then);
        Ok(wrote || (replaced && matches!(self.meaning(first)?, Meaning::Saw(_))))
    }

    fn happened(&self, place: Place, shown_by: Place) -> Result<bool, Rejection> {
        let known = self.operation(place)?.is_none_or(|operation| operation.outcome != Outcome::Unknown);
        Ok(known || self.back(shown_by)?.0.iter().any(|step| step.write == place))
    }

    /// The first write of the chain that the operations of a side belong to, and the value it wrote.
    fn side(&self, side: &Side) -> Result<(Place, ValueId), Rejection> {
        let value = self.left(side.write)?;
        for place in [side.returned_first, side.began_last] {
            if place == side.write {
                continue;
            }
            let from = if self.happened(place, place).unwrap_or(false) {
                place
            } else {
                side.shown_by
            };
            require(self.happened(place, from)?, "nothing shows that an operation of one side happened")?;
            let (steps, end) = self.back(from)?;
            let begins = end == End::Write && steps.last().is_some_and(|step| step.write == side.write);
            require(begins, "an operation of one side saw another value")?;
        }
        Ok((side.write, value))
    }

    fn before(&self, first: Place, then: Place) -> bool {
        let (Ok(first), Ok(Some(then))) = (self.operation(first), self.operation(then)) else {
            return false;
        };
        first.is_none_or(|first| returned_before(self.history, first, then.invoked_ns))
    }
}
