//! Histories for tests: operations given directly, and a notation that fits on a line.

use super::History;
use super::operation::{Function, KeyId, NEVER_NS, Operation, Outcome, SmallId};
use super::values::ValueId;

/// An operation on the only key, of a process of its own; `None` is null, and a return of `None` is an unknown outcome.
pub(crate) fn operation(place: u32, f: Function, value: Option<i64>, invoked_ns: u64, returned_ns: Option<u64>) -> Operation {
    let value = value.map_or(ValueId::NULL, |value| ValueId::of_integer(value).unwrap());
    let (argument, observed) = match f {
        Function::Read => (ValueId::NULL, if returned_ns.is_some() { value } else { ValueId::NONE }),
        _ => (value, ValueId::NONE),
    };
    Operation {
        process: u64::from(place),
        invoked_ns,
        returned_ns: returned_ns.unwrap_or(NEVER_NS),
        argument,
        observed,
        key: KeyId::new(0),
        invoke_line: 2 * place + 1,
        complete_line: if returned_ns.is_some() { 2 * place + 2 } else { 0 },
        f,
        node: None,
        error_kind: None,
        outcome: if returned_ns.is_some() { Outcome::Ok } else { Outcome::Unknown },
    }
}

impl Operation {
    /// The same read with another value seen.
    pub(crate) fn seeing(self, value: ValueId) -> Operation {
        Operation { observed: value, ..self }
    }

    /// The same times and outcome of something else.
    pub(crate) fn asking(self, f: Function, argument: ValueId) -> Operation {
        Operation {
            f,
            argument,
            observed: ValueId::NONE,
            ..self
        }
    }

    /// The same operation, refused.
    pub(crate) fn refused(self) -> Operation {
        Operation {
            outcome: Outcome::Fail,
            ..self
        }
    }

    /// The same operation while its completion is not recorded yet.
    pub(crate) fn still_open(self) -> Operation {
        Operation {
            returned_ns: NEVER_NS,
            observed: ValueId::NONE,
            outcome: Outcome::Unknown,
            complete_line: 0,
            ..self
        }
    }
}

/// An operation of any model: `("enqueue", key, argument, seen)` as JSON, its times, and its outcome.
pub(crate) struct Written {
    pub(crate) f: &'static str,
    pub(crate) key: Option<&'static str>,
    pub(crate) argument: String,
    pub(crate) seen: Option<String>,
    pub(crate) invoked_ns: u64,
    pub(crate) returned_ns: u64,
    pub(crate) outcome: Outcome,
}

/// A history of such operations, each of a process of its own.
pub(crate) fn of_written(written: &[Written]) -> History {
    let mut history = History::default();
    for (place, operation) in (0..).zip(written) {
        let made = Operation {
            process: u64::from(place),
            invoked_ns: operation.invoked_ns,
            returned_ns: if operation.outcome == Outcome::Unknown {
                NEVER_NS
            } else {
                operation.returned_ns
            },
            argument: history.values.intern(&operation.argument).unwrap(),
            observed: operation
                .seen
                .as_ref()
                .map_or(ValueId::NONE, |seen| history.values.intern(seen).unwrap()),
            key: operation.key.and_then(|key| KeyId::new(history.keys.intern(key))),
            invoke_line: 2 * place + 1,
            complete_line: 2 * place + 2,
            f: match operation.f {
                "read" => Function::Read,
                "write" => Function::Write,
                "cas" => Function::Cas,
                other => Function::Other(SmallId::new(history.functions.intern(other)).unwrap()),
            },
            node: None,
            error_kind: None,
            outcome: operation.outcome,
        };
        history.operations.push(made);
    }
    history
}

/// A history of one key named `k`.
pub(crate) fn of_operations(operations: Vec<Operation>) -> History {
    let mut history = History {
        operations,
        ..History::default()
    };
    history.keys.intern("k");
    history
}

/// A history from lines `process f value invoked_ms returned_ms [ok|fail|unknown]`, through the reader: `3 write 17 1100 1203`. A dash
/// as value is null, a dash as return means no completion. Process p asks node n(p).
pub(crate) fn of_notation(notation: &str) -> History {
    let mut events: Vec<(u64, bool, String)> = Vec::new();
    for row in notation.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let words: Vec<&str> = row.split_whitespace().collect();
        let [process, f, value, invoked_ms, returned_ms] = words[..5] else {
            panic!("{row}")
        };
        let value = if value == "-" { "null" } else { value };
        let kind = match words.get(5).copied() {
            Some("unknown") => "info",
            Some(kind) => kind,
            None => "ok",
        };
        let mut push = |time_ms: &str, kind: &str, value: &str| {
            let time_ns = time_ms.parse::<u64>().unwrap() * 1_000_000;
            let line = format!(
                r#"{{"time":{time_ns},"type":"{kind}","process":{process},"f":"{f}","key":"k","value":{value},"node":"n{process}"}}"#
            );
            events.push((time_ns, kind != "invoke", line));
        };
        push(invoked_ms, "invoke", if f == "read" { "null" } else { value });
        if returned_ms != "-" {
            push(returned_ms, kind, value);
        }
    }
    events.sort();
    let lines: Vec<String> = events.into_iter().map(|(.., line)| line).collect();
    History::read(lines.join("\n").as_bytes()).unwrap()
}
