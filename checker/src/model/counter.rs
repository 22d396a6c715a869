//! A number that operations add to.

use super::{Call, Foreign, Model, Value};

/// `add` an integer, negative too, and `read` the sum; 0 at the start. `inc` and `dec` (or `increment`, `decrement`) add and take away their
/// value, or 1 if they have none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counter;

/// An operation on a [`Counter`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CounterOp {
    /// It is larger by this from now on.
    Add(i64),
    /// It is this.
    Read(i128),
}

impl Model for Counter {
    type Op = CounterOp;
    /// Wide enough for the sum of every file's additions.
    type State = i128;

    fn name(&self) -> &'static str {
        "counter"
    }

    fn read(&self, call: &Call<'_>) -> Result<Option<CounterOp>, Foreign> {
        let step = || match call.argument {
            Value::Null => Ok(1),
            ref amount => amount.integer().ok_or(Foreign),
        };
        match call.f {
            "inc" | "increment" => Ok(Some(CounterOp::Add(step()?))),
            "dec" | "decrement" => Ok(Some(CounterOp::Add(step()?.checked_neg().ok_or(Foreign)?))),
            "add" => Ok(Some(CounterOp::Add(call.argument.integer().ok_or(Foreign)?))),
            "read" => match &call.seen {
                None => Ok(None),
                Some(seen) => Ok(Some(CounterOp::Read(seen.integer().ok_or(Foreign)?.into()))),
            },
            _ => Err(Foreign),
        }
    }

    fn initial(&self) -> i128 {
        0
    }

    fn step(&self, state: &i128, op: &CounterOp) -> Option<i128> {
        match *op {
            CounterOp::Add(amount) => Some(state + i128::from(amount)),
            CounterOp::Read(seen) => (seen == *state).then_some(*state),
        }
    }

    fn observes(&self, op: &CounterOp) -> bool {
        matches!(op, CounterOp::Read(_))
    }
}
