//! One value that is read, written, and replaced if it is what the client expects.

use std::sync::Arc;

use super::{Call, Foreign, Model, Value};

/// `read` and `write`; null before the first write.
#[derive(Debug, Clone, Copy, Default)]
pub struct Register;

/// [`Register`] with `cas`: `[expected, new]`.
#[derive(Debug, Clone, Copy, Default)]
pub struct CasRegister;

/// What an operation saw of a register and did to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RegisterOp {
    /// It holds this.
    Read(Value),
    /// It does not hold this: a failed compare-and-set that says no more.
    NotRead(Value),
    /// It holds this from now on.
    Write(Value),
    /// It held the first and holds the second from now on.
    Cas(Value, Value),
    /// It holds what it held with this text behind it; null is the empty text. Only of a store ([`Kv`](super::Kv)).
    Append(Arc<str>),
}

impl RegisterOp {
    /// Reads a `read`, `write` or `cas`.
    pub(super) fn of(f: &str, call: &Call<'_>) -> Result<Option<RegisterOp>, Foreign> {
        Ok(match f {
            "read" => call.seen.clone().map(RegisterOp::Read),
            "write" => Some(RegisterOp::Write(call.argument.clone())),
            "cas" => {
                let (expected, new) = call.argument.pair().ok_or(Foreign)?;
                Some(RegisterOp::Cas(expected, new))
            }
            _ => return Err(Foreign),
        })
    }

    /// A failed `cas` that was executed: it reports the value, or at least a mismatch. Any other error (a refused connection) compared
    /// nothing; no error at all is a mismatch, as in Porcupine's etcd model.
    pub(super) fn of_failed(call: &Call<'_>) -> Option<RegisterOp> {
        if call.f != "cas" {
            return None;
        }
        match (&call.seen, call.error) {
            (Some(seen), _) => Some(RegisterOp::Read(seen.clone())),
            (None, None | Some("mismatch")) => call.argument.pair().map(|(expected, _)| RegisterOp::NotRead(expected)),
            (None, Some(_)) => None,
        }
    }

    /// The value after it, if `held` allows it. Nothing can be appended to what is no text.
    pub(super) fn applied(&self, held: &Value) -> Option<Value> {
        match self {
            RegisterOp::Read(seen) => (seen == held).then(|| held.clone()),
            RegisterOp::NotRead(other) => (other != held).then(|| held.clone()),
            RegisterOp::Write(new) => Some(new.clone()),
            RegisterOp::Cas(expected, new) => (expected == held).then(|| new.clone()),
            RegisterOp::Append(text) if *held == Value::Null => Some(Value::of_text(text)),
            RegisterOp::Append(text) => Some(Value::of_text(&(held.text()? + text))),
        }
    }

    pub(super) fn observes(&self) -> bool {
        matches!(self, RegisterOp::Read(_) | RegisterOp::NotRead(_))
    }
}

macro_rules! register {
    ($model:ident, $name:literal, $read:expr, $failed:expr, $values:expr) => {
        impl Model for $model {
            type Op = RegisterOp;
            type State = Value;

            fn name(&self) -> &'static str {
                $name
            }

            fn read(&self, call: &Call<'_>) -> Result<Option<RegisterOp>, Foreign> {
                $read(call)
            }

            fn failed(&self, call: &Call<'_>) -> Option<RegisterOp> {
                $failed(call)
            }

            fn initial(&self) -> Value {
                Value::Null
            }

            fn step(&self, state: &Value, op: &RegisterOp) -> Option<Value> {
                op.applied(state)
            }

            fn observes(&self, op: &RegisterOp) -> bool {
                op.observes()
            }

            fn values(&self, op: &RegisterOp) -> Vec<Value> {
                $values(op)
            }

            fn project(&self, op: &RegisterOp, kept: &dyn Fn(&Value) -> bool) -> Option<RegisterOp> {
                $values(op).iter().all(kept).then(|| op.clone())
            }
        }
    };
}

register!(
    Register,
    "register",
    |call: &Call<'_>| match call.f {
        "cas" => Err(Foreign),
        f => RegisterOp::of(f, call),
    },
    |_: &Call<'_>| None,
    // Null is what everything begins with and cannot be dropped.
    |op: &RegisterOp| match op {
        RegisterOp::Read(value) | RegisterOp::Write(value) if *value != Value::Null => vec![value.clone()],
        _ => Vec::new(),
    }
);

register!(
    CasRegister,
    "cas-register",
    |call: &Call<'_>| RegisterOp::of(call.f, call),
    |call: &Call<'_>| RegisterOp::of_failed(call),
    // A value dropped could be what a failed or a chained compare-and-set needs.
    |_: &RegisterOp| Vec::new()
);
