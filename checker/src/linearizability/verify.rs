//! The verifier: replays a proof in one pass, knowing nothing of how it was found.
//!
//! It is short so that a person can check it, and it shares no code with the algorithms: only the history and the rule of precedence
//! (`a` before `b` if a's return plus the clock error is before b's invocation) are common.

use super::certificate::{Certificate, Side};
use super::time::Place;
use crate::history::History;
use crate::history::operation::{Function, KeyId, Operation, Outcome};
use crate::history::values::ValueId;

/// Why a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Rejection(&'static str);

fn require(holds: bool, otherwise: &'static str) -> Result<(), Rejection> {
    if holds { Ok(()) } else { Err(Rejection(otherwise)) }
}

/// Replays `order` (places in [`History::operations`]) as a linearization of the register `key`.
///
/// # Errors
/// If the order leaves out or repeats an operation, contradicts time, or a read sees another value than the last one written.
pub fn valid(history: &History, key: Option<KeyId>, order: &[usize]) -> Result<(), Rejection> {
    let mut used = vec![false; history.operations.len()];
    let mut value = ValueId::NULL;
    let mut latest_invocation_ns = 0;
    for &place in order {
        let operation = history
            .operations
            .get(place)
            .ok_or(Rejection("the order names an operation that does not exist"))?;
        require(operation.key == key, "the order names an operation on another key")?;
        require(operation.outcome != Outcome::Fail, "the order contains an operation that failed")?;
        require(!std::mem::replace(&mut used[place], true), "the order names an operation twice")?;
        latest_invocation_ns = latest_invocation_ns.max(operation.invoked_ns);
        require(
            !returned_before(history, operation, latest_invocation_ns),
            "an operation stands after one that began after its return",
        )?;
        match operation.f {
            Function::Write => value = operation.argument,
            Function::Read if operation.outcome == Outcome::Ok => {
                require(operation.observed() == Some(value), "a read does not see the last value written")?;
            }
            _ => return Err(Rejection("the order contains an operation that no register knows")),
        }
    }
    let left_out = history
        .operations
        .iter()
        .zip(used)
        .any(|(operation, used)| operation.key == key && operation.outcome == Outcome::Ok && !used);
    require(!left_out, "the order leaves out an operation that happened")
}

/// Checks that `certificate` proves the register `key` not linearizable.
///
/// # Errors
/// If one of its claims does not hold in the history.
pub fn invalid(history: &History, key: Option<KeyId>, certificate: &Certificate) -> Result<(), Rejection> {
    let check = Check { history, key };
    let mut operations = history.operations.iter().filter(|operation| operation.key == key);
    let register = operations.all(|operation| matches!(operation.f, Function::Read | Function::Write));
    require(register, "the key has an operation that is neither a read nor a write")?;
    match *certificate {
        Certificate::PhantomRead { read } => {
            let value = check.value_read(read)?;
            require(value != ValueId::NULL, "null is the value before any write")?;
            require(check.writes(value).is_empty(), "the value read was written")
        }
        Certificate::RefusedWriteRead { read, write } => {
            let value = check.value_read(read)?;
            require(value != ValueId::NULL, "null is the value before any write")?;
            let writes = check.writes(value);
            require(
                write.operation().is_some_and(|write| writes.contains(&write)),
                "the write is none of the value read",
            )?;
            require(
                writes.iter().all(|&write| history.operations[write].outcome == Outcome::Fail),
                "a write of the value read did not fail",
            )
        }
        Certificate::ReadFromTheFuture { read, write } => {
            check.side(&Side {
                write,
                returned_first: read,
                began_last: write,
            })?;
            require(check.before(read, write), "the read returned after its write began")
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
}

impl Check<'_> {
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

    fn value_read(&self, read: Place) -> Result<ValueId, Rejection> {
        let read = self
            .operation(read)?
            .filter(|read| read.f == Function::Read && read.outcome == Outcome::Ok);
        read.and_then(Operation::observed)
            .ok_or(Rejection("the certificate names a read that is none"))
    }

    /// The places of this key's writes of `value`.
    fn writes(&self, value: ValueId) -> Vec<usize> {
        let of_value = |operation: &Operation| operation.f == Function::Write && operation.argument == value && operation.key == self.key;
        let operations = self.history.operations.iter().enumerate();
        operations
            .filter(|(_, operation)| of_value(operation))
            .map(|(place, _)| place)
            .collect()
    }

    /// The value of a side, once it is sure that all its operations are of that value, and that a value that is read has no other writer.
    fn side(&self, side: &Side) -> Result<ValueId, Rejection> {
        let value = match self.operation(side.write)? {
            None => ValueId::NULL,
            Some(write) => {
                require(
                    write.f == Function::Write && write.outcome != Outcome::Fail,
                    "the certificate names a write that is none",
                )?;
                write.argument
            }
        };
        for place in [side.returned_first, side.began_last] {
            if place == side.write {
                continue;
            }
            require(self.value_read(place)? == value, "a read of one side saw another value")?;
            let happened = self
                .writes(value)
                .into_iter()
                .filter(|&write| self.history.operations[write].outcome != Outcome::Fail);
            require(
                happened.count() + usize::from(value == ValueId::NULL) == 1,
                "a value that is read has more than one writer",
            )?;
        }
        Ok(value)
    }

    fn before(&self, first: Place, then: Place) -> bool {
        let (Ok(first), Ok(Some(then))) = (self.operation(first), self.operation(then)) else {
            return false;
        };
        first.is_none_or(|first| returned_before(self.history, first, then.invoked_ns))
    }
}
