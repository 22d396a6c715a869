//! What an object promises when its operations happen one at a time: its sequential specification, as a small trait.
//!
//! A [`Model`] turns an operation of the history into one of its own (`read`), and says what the object holds afterwards, or that it could
//! not have answered so (`step`). That is all that the search of [`general`](crate::linearizability::general) needs; the provided methods
//! make it faster or its witnesses smaller. States are values, not objects with an undo: each different state is stored once and named by
//! a number, so a step that was made before costs one look-up, whatever the state's size.
//!
//! A model of one's own, a register that only grows:
//!
//! ```
//! use squall_checker::history::History;
//! use squall_checker::linearizability::general::{Answer, Options, check_model_of};
//! use squall_checker::model::{Call, Foreign, Model, Value};
//!
//! struct MaxRegister;
//!
//! #[derive(Clone, PartialEq, Eq, Hash)]
//! enum Op {
//!     Write(i64),
//!     Read(i64),
//! }
//!
//! impl Model for MaxRegister {
//!     type Op = Op;
//!     type State = i64;
//!     fn name(&self) -> &'static str {
//!         "max-register"
//!     }
//!     fn read(&self, call: &Call<'_>) -> Result<Option<Op>, Foreign> {
//!         Ok(match call.f {
//!             "write" => Some(Op::Write(call.argument.integer().ok_or(Foreign)?)),
//!             // A read whose reply nobody saw says nothing.
//!             "read" => call.seen.as_ref().and_then(Value::integer).map(Op::Read),
//!             _ => return Err(Foreign),
//!         })
//!     }
//!     fn initial(&self) -> i64 {
//!         0
//!     }
//!     fn step(&self, state: &i64, op: &Op) -> Option<i64> {
//!         match *op {
//!             Op::Write(value) => Some(value.max(*state)),
//!             Op::Read(seen) => (seen == *state).then_some(*state),
//!         }
//!     }
//! }
//!
//! let file = br#"{"time":1,"type":"invoke","process":0,"f":"write","value":5}
//! {"time":2,"type":"ok","process":0,"f":"write","value":5}
//! {"time":3,"type":"invoke","process":0,"f":"read"}
//! {"time":4,"type":"ok","process":0,"f":"read","value":3}"#;
//! let history = History::read(&file[..])?;
//! let results = check_model_of(&history, &MaxRegister, &Options::default());
//! assert!(matches!(results[0].answer, Answer::Invalid(_)));
//! # Ok::<(), squall_checker::history::error::ReadError>(())
//! ```

use std::hash::Hash;

use crate::history::History;
use crate::history::operation::{Operation, Outcome};

mod choice;
mod counter;
mod kv;
mod mutex;
mod queue;
mod register;
mod set;
mod value;

pub use self::choice::ModelChoice;
pub use self::counter::{Counter, CounterOp};
pub use self::kv::{Kv, KvOp, Micro};
pub use self::mutex::{Mutex, MutexOp};
pub use self::queue::{Queue, QueueOp};
pub use self::register::{CasRegister, Register, RegisterOp};
pub use self::set::{Set, SetOp};
pub use self::value::Value;

/// An operation that the model does not know: another function, or a value of another shape. Its object is then `unknown`, never judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreign;

/// One operation as the history has it.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// What it does: `read`, `enqueue`.
    pub f: &'a str,
    /// The object acted on.
    pub key: Option<&'a str>,
    /// The invocation's value.
    pub argument: Value,
    /// How it ended.
    pub outcome: Outcome,
    /// What its completion saw; `None` if nobody knows, or if it failed without saying.
    pub seen: Option<Value>,
    /// The kind of its error: `mismatch`.
    pub error: Option<&'a str>,
}

impl<'a> Call<'a> {
    /// The operation, with its values as values.
    pub fn of(history: &'a History, operation: &Operation) -> Call<'a> {
        let seen = match operation.outcome {
            Outcome::Ok => Some(operation.observed().map_or(Value::Null, |seen| Value::of(history, seen))),
            Outcome::Fail => operation.observed().map(|seen| Value::of(history, seen)),
            Outcome::Unknown => None,
        };
        Call {
            f: history.function(operation),
            key: history.key(operation),
            argument: Value::of(history, operation.argument),
            outcome: operation.outcome,
            seen,
            error: history.error_kind(operation),
        }
    }
}

/// Which objects an operation has to do with. Objects are judged one by one, because linearizability is local (Herlihy and Wing 1990,
/// theorem 1; Horn and Kroening 2015 for parts within an object).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Touches {
    /// The one its key names.
    Key,
    /// A part of it that no operation on other parts can influence: one element of a set.
    Member(Value),
    /// All of these, by their keys' names, in one step.
    Keys(Vec<String>),
    /// Nobody can tell: it may be any of them.
    Any,
}

/// A sequential specification.
pub trait Model {
    /// One operation in the model's words, its result included. Equal operations are interchangeable.
    type Op: Clone + Eq + Hash;
    /// What the object holds.
    type State: Eq + Hash;

    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// What an operation that happened, or of which nobody knows (`call.seen` is then `None`), does and saw. `None` if it says nothing.
    ///
    /// # Errors
    /// [`Foreign`] if no object of this model has such an operation.
    fn read(&self, call: &Call<'_>) -> Result<Option<Self::Op>, Foreign>;

    /// What the object holds before any operation.
    fn initial(&self) -> Self::State;

    /// What it holds after `op`; `None` if `op` could not have ended so in this state.
    fn step(&self, state: &Self::State, op: &Self::Op) -> Option<Self::State>;

    /// [`step`](Model::step) in place, for replays of long histories whose states are large: whether `op` is allowed. If it is not, the state
    /// is left in any condition.
    fn advance(&self, state: &mut Self::State, op: &Self::Op) -> bool {
        match self.step(state, op) {
            Some(after) => {
                *state = after;
                true
            }
            None => false,
        }
    }

    /// What a definite failure tells. It did not happen, so by default nothing; a compare-and-set that failed and says why is a read.
    fn failed(&self, call: &Call<'_>) -> Option<Self::Op> {
        let _ = call;
        None
    }

    /// Which objects an operation has to do with.
    fn touches(&self, call: &Call<'_>) -> Touches {
        let _ = call;
        Touches::Key
    }

    /// Whether `op` leaves every state as it is. A history stays linearizable without it, so a witness may drop it.
    fn observes(&self, op: &Self::Op) -> bool {
        let _ = op;
        false
    }

    /// The values `op` is about, if a history of this model stays linearizable when all operations on a value are dropped together.
    fn values(&self, op: &Self::Op) -> Vec<Value> {
        let _ = op;
        Vec::new()
    }

    /// What is left of `op` when only some values are kept; `None` if nothing.
    fn project(&self, op: &Self::Op, kept: &dyn Fn(&Value) -> bool) -> Option<Self::Op> {
        let _ = kept;
        Some(op.clone())
    }

    /// How much memory a state takes, for the budget: what it points to included.
    fn state_bytes(&self, state: &Self::State) -> usize {
        size_of_val(state)
    }
}
