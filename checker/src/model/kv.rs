//! Registers by name, and transactions over several of them.

use std::collections::BTreeMap;

use super::register::RegisterOp;
use super::{Call, Foreign, Model, Touches, Value};

/// `read`, `write`, `cas` and `append` (of text) on the operation's key, and `txn`: a list of `["r", key, value]` and `["w", key, value]` in one step.
///
/// Only keys that some transaction spans are judged together.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kv;

/// The parts of an operation on a [`Kv`], in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KvOp(pub Vec<Micro>);

/// What happens to one key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Micro {
    /// The key.
    pub key: String,
    /// What is seen there or done to it.
    pub op: RegisterOp,
}

impl Model for Kv {
    type Op = KvOp;
    /// The keys that are not null.
    type State = BTreeMap<String, Value>;

    fn name(&self) -> &'static str {
        "kv"
    }

    fn read(&self, call: &Call<'_>) -> Result<Option<KvOp>, Foreign> {
        if call.f == "append" {
            // As Porcupine's key-value model has it: a key that was never written holds the empty text.
            let text = call.argument.text().ok_or(Foreign)?;
            return Ok(Some(KvOp(vec![on(call, RegisterOp::Append(text.into()))])));
        }
        if call.f != "txn" {
            return Ok(RegisterOp::of(call.f, call)?.map(|op| KvOp(vec![on(call, op)])));
        }
        let seen = call.seen.as_ref().map(parts).transpose()?;
        let mut micros = Vec::new();
        for (place, part) in parts(&call.argument)?.into_iter().enumerate() {
            let value = match (&seen, part.reads) {
                (_, false) => part.value,
                // Nobody knows what it saw.
                (None, true) => continue,
                (Some(seen), true) => {
                    let seen = seen.get(place).filter(|seen| seen.reads && seen.key == part.key);
                    seen.ok_or(Foreign)?.value.clone()
                }
            };
            let op = if part.reads {
                RegisterOp::Read(value)
            } else {
                RegisterOp::Write(value)
            };
            micros.push(Micro { key: part.key, op });
        }
        Ok((!micros.is_empty()).then_some(KvOp(micros)))
    }

    fn failed(&self, call: &Call<'_>) -> Option<KvOp> {
        RegisterOp::of_failed(call).map(|op| KvOp(vec![on(call, op)]))
    }

    fn touches(&self, call: &Call<'_>) -> Touches {
        match parts(&call.argument) {
            _ if call.f != "txn" => Touches::Key,
            Ok(parts) => Touches::Keys(parts.into_iter().map(|part| part.key).collect()),
            Err(Foreign) => Touches::Any,
        }
    }

    fn initial(&self) -> BTreeMap<String, Value> {
        BTreeMap::new()
    }

    fn step(&self, state: &BTreeMap<String, Value>, op: &KvOp) -> Option<BTreeMap<String, Value>> {
        let mut after = state.clone();
        for micro in &op.0 {
            let held = after.get(&micro.key).unwrap_or(&Value::Null);
            match micro.op.applied(held)? {
                Value::Null => drop(after.remove(&micro.key)),
                value => drop(after.insert(micro.key.clone(), value)),
            }
        }
        Some(after)
    }

    fn advance(&self, state: &mut BTreeMap<String, Value>, op: &KvOp) -> bool {
        op.0.iter().all(|micro| {
            let held = state.get(&micro.key).unwrap_or(&Value::Null);
            let Some(after) = micro.op.applied(held) else {
                return false;
            };
            match after {
                Value::Null => drop(state.remove(&micro.key)),
                value => drop(state.insert(micro.key.clone(), value)),
            }
            true
        })
    }

    fn observes(&self, op: &KvOp) -> bool {
        op.0.iter().all(|micro| micro.op.observes())
    }

    fn state_bytes(&self, state: &BTreeMap<String, Value>) -> usize {
        let names: usize = state.keys().map(String::capacity).sum();
        size_of_val(state) + names + state.len() * (size_of::<String>() + size_of::<Value>()) * 3 / 2
    }
}

fn on(call: &Call<'_>, op: RegisterOp) -> Micro {
    let key = call.key.unwrap_or_default().to_owned();
    Micro { key, op }
}

struct Part {
    reads: bool,
    key: String,
    value: Value,
}

fn parts(list: &Value) -> Result<Vec<Part>, Foreign> {
    let part = |item: &Value| {
        let [f, key, value] = <[Value; 3]>::try_from(item.items()?).ok()?;
        // A keyword of EDN keeps its colon.
        let f = f.name();
        let reads = match f.strip_prefix(':').unwrap_or(&f) {
            "r" | "read" => true,
            "w" | "write" => false,
            _ => return None,
        };
        Some(Part {
            reads,
            key: key.name(),
            value,
        })
    };
    list.items().ok_or(Foreign)?.iter().map(|item| part(item).ok_or(Foreign)).collect()
}
