//! First in, first out.

use std::collections::VecDeque;

use super::{Call, Foreign, Model, Value};

/// `enqueue` a value and `dequeue` the oldest, or null from an empty queue; empty at the start.
///
/// A `drain` is many dequeues and not one operation: a history with one is not judged.
#[derive(Debug, Clone, Copy, Default)]
pub struct Queue;

/// An operation on a [`Queue`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum QueueOp {
    /// At the end from now on.
    Enqueue(Value),
    /// Was first.
    Dequeue(Value),
    /// Nothing was there.
    Empty,
    /// Nobody knows what was taken.
    DequeueUnseen,
}

impl Model for Queue {
    type Op = QueueOp;
    type State = VecDeque<Value>;

    fn name(&self) -> &'static str {
        "queue"
    }

    fn read(&self, call: &Call<'_>) -> Result<Option<QueueOp>, Foreign> {
        Ok(Some(match (call.f, &call.seen) {
            // Null is the answer of an empty queue and cannot be told from an element.
            ("enqueue", _) if call.argument == Value::Null => return Err(Foreign),
            ("enqueue", _) => QueueOp::Enqueue(call.argument.clone()),
            ("dequeue", None) => QueueOp::DequeueUnseen,
            ("dequeue", Some(Value::Null)) => QueueOp::Empty,
            ("dequeue", Some(seen)) => QueueOp::Dequeue(seen.clone()),
            _ => return Err(Foreign),
        }))
    }

    fn initial(&self) -> VecDeque<Value> {
        VecDeque::new()
    }

    fn step(&self, state: &VecDeque<Value>, op: &QueueOp) -> Option<VecDeque<Value>> {
        let taken = || {
            let mut rest = state.clone();
            rest.pop_front();
            rest
        };
        match op {
            QueueOp::Enqueue(value) => {
                let mut longer = state.clone();
                longer.push_back(value.clone());
                Some(longer)
            }
            QueueOp::Dequeue(value) => (state.front() == Some(value)).then(taken),
            QueueOp::Empty => state.is_empty().then(VecDeque::new),
            // From an empty queue it takes nothing, which is as if it had never run.
            QueueOp::DequeueUnseen => Some(taken()),
        }
    }

    fn advance(&self, state: &mut VecDeque<Value>, op: &QueueOp) -> bool {
        match op {
            QueueOp::Enqueue(value) => state.push_back(value.clone()),
            QueueOp::Dequeue(value) => return state.pop_front().as_ref() == Some(value),
            QueueOp::Empty => return state.is_empty(),
            QueueOp::DequeueUnseen => drop(state.pop_front()),
        }
        true
    }

    fn observes(&self, op: &QueueOp) -> bool {
        *op == QueueOp::Empty
    }

    fn values(&self, op: &QueueOp) -> Vec<Value> {
        match op {
            QueueOp::Enqueue(value) | QueueOp::Dequeue(value) => vec![value.clone()],
            QueueOp::Empty | QueueOp::DequeueUnseen => Vec::new(),
        }
    }

    /// An unseen dequeue stays: it is optional, so without the value it took it takes nothing.
    fn project(&self, op: &QueueOp, kept: &dyn Fn(&Value) -> bool) -> Option<QueueOp> {
        self.values(op).iter().all(kept).then(|| op.clone())
    }

    fn state_bytes(&self, state: &VecDeque<Value>) -> usize {
        size_of_val(state) + state.capacity() * size_of::<Value>()
    }
}
