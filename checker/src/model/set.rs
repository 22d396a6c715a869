//! A set of values.

use std::collections::BTreeSet;

use super::{Call, Foreign, Model, Touches, Value};

/// `add` and `remove` a value, ask whether it is there (`contains`, true or false), `read` all; empty at the start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Set;

/// An operation on a [`Set`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SetOp {
    /// In it from now on.
    Add(Value),
    /// Not in it from now on.
    Remove(Value),
    /// Whether the value is in it.
    Contains(Value, bool),
    /// All that is in it.
    Read(BTreeSet<Value>),
    /// A read that saw this value twice: no set has such an answer.
    Twice(Value),
}

impl Model for Set {
    type Op = SetOp;
    type State = BTreeSet<Value>;

    fn name(&self) -> &'static str {
        "set"
    }

    fn read(&self, call: &Call<'_>) -> Result<Option<SetOp>, Foreign> {
        let value = || call.argument.clone();
        Ok(match (call.f, &call.seen) {
            ("add", _) => Some(SetOp::Add(value())),
            ("remove", _) => Some(SetOp::Remove(value())),
            ("contains" | "read", None) => None,
            ("contains", Some(seen)) => Some(SetOp::Contains(value(), seen.boolean().ok_or(Foreign)?)),
            // A set that was never made is empty.
            ("read", Some(Value::Null)) => Some(SetOp::Read(BTreeSet::new())),
            ("read", Some(seen)) => {
                let mut values = BTreeSet::new();
                let twice = seen.members().ok_or(Foreign)?.into_iter().find(|item| !values.insert(item.clone()));
                Some(twice.map_or(SetOp::Read(values), SetOp::Twice))
            }
            _ => return Err(Foreign),
        })
    }

    /// Elements do not influence one another, but where the whole set is read they are seen together.
    fn touches(&self, call: &Call<'_>) -> Touches {
        match call.f {
            "add" | "remove" | "contains" => Touches::Member(call.argument.clone()),
            _ => Touches::Key,
        }
    }

    fn initial(&self) -> BTreeSet<Value> {
        BTreeSet::new()
    }

    fn step(&self, state: &BTreeSet<Value>, op: &SetOp) -> Option<BTreeSet<Value>> {
        let allowed = match op {
            SetOp::Add(_) | SetOp::Remove(_) => true,
            SetOp::Contains(value, there) => state.contains(value) == *there,
            SetOp::Read(seen) => seen == state,
            SetOp::Twice(_) => false,
        };
        allowed.then(|| {
            let mut after = state.clone();
            match op {
                SetOp::Add(value) => drop(after.insert(value.clone())),
                SetOp::Remove(value) => drop(after.remove(value)),
                _ => {}
            }
            after
        })
    }

    fn advance(&self, state: &mut BTreeSet<Value>, op: &SetOp) -> bool {
        match op {
            SetOp::Add(value) => drop(state.insert(value.clone())),
            SetOp::Remove(value) => drop(state.remove(value)),
            SetOp::Contains(value, there) => return state.contains(value) == *there,
            SetOp::Read(seen) => return seen == state,
            SetOp::Twice(_) => return false,
        }
        true
    }

    fn observes(&self, op: &SetOp) -> bool {
        matches!(op, SetOp::Contains(..) | SetOp::Read(_) | SetOp::Twice(_))
    }

    fn values(&self, op: &SetOp) -> Vec<Value> {
        match op {
            SetOp::Add(value) | SetOp::Remove(value) | SetOp::Contains(value, _) | SetOp::Twice(value) => vec![value.clone()],
            SetOp::Read(values) => values.iter().cloned().collect(),
        }
    }

    fn project(&self, op: &SetOp, kept: &dyn Fn(&Value) -> bool) -> Option<SetOp> {
        match op {
            SetOp::Read(values) => Some(SetOp::Read(values.iter().filter(|value| kept(value)).cloned().collect())),
            SetOp::Add(value) | SetOp::Remove(value) | SetOp::Contains(value, _) | SetOp::Twice(value) => kept(value).then(|| op.clone()),
        }
    }

    fn state_bytes(&self, state: &BTreeSet<Value>) -> usize {
        // A B-tree's nodes are about two thirds full.
        size_of_val(state) + state.len() * size_of::<Value>() * 3 / 2
    }
}
