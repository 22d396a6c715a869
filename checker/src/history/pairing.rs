//! Invocations and completions find each other by their process.
//!
//! A process does one thing at a time, so at most one operation of it is open, and a completion belongs to that one. After an `info` a
//! process is retired: its last operation may still take effect, so whatever its client does next is concurrent with it and needs a
//! process of its own (Jepsen's rule; Knossos and Elle assume it).

use rustc_hash::FxHashMap;

use super::error::ReadErrorKind;
use super::event::EventType;
use super::line::{ErrorNote, Json, Line, Text};
use super::operation::{Function, KeyId, NEVER_NS, Operation, Outcome, SmallId};
use super::values::{DEPTH_MAX, ValueId};
use super::{History, Names};
use crate::escape::visible;

/// Times past this are refused, so that sums of two times fit everywhere. 2^62 ns are 146 years.
pub(super) const TIME_NS_MAX: u64 = 1 << 62;

/// Most kinds of errors that are told apart, and their longest name: both come from nodes. The rest is counted as [`OTHER_ERROR`].
const ERROR_KINDS_MAX: usize = 1_000;
const ERROR_KIND_BYTES_MAX: usize = 100;
const OTHER_ERROR: &str = "other";

/// Longest name that a message shows, in characters.
const NAME_CHARS_MAX: usize = 60;

/// What each process is doing.
#[derive(Default)]
pub(super) struct Pairing {
    /// Never iterated: its order is nobody's.
    processes: FxHashMap<u64, State>,
}

#[derive(Clone, Copy)]
enum State {
    /// Has done nothing yet.
    New,
    /// The line and the time of its last completion.
    Idle { line: u64, time_ns: u64 },
    /// The place of its operation.
    Open(usize),
    /// The line of the `info`.
    Retired(u64),
}

impl Pairing {
    pub(super) fn take(&mut self, history: &mut History, process: u64, line: &Line<'_>, number: u64) -> Result<(), ReadErrorKind> {
        if line.time > TIME_NS_MAX {
            return Err(ReadErrorKind::TimeTooLarge { time_ns: line.time });
        }
        let state = self.processes.entry(process).or_insert(State::New);
        match (line.kind, *state) {
            (
                EventType::Invoke,
                State::Idle {
                    line: completed_line,
                    time_ns,
                },
            ) if line.time < time_ns => Err(ReadErrorKind::InvokedBeforeCompleted {
                process,
                f: shown(line.f.as_str()),
                invoked_ns: line.time,
                completed_line,
                completed_ns: time_ns,
            }),
            (EventType::Invoke, State::New | State::Idle { .. }) => {
                *state = State::Open(history.operations.len());
                let operation = invocation(history, process, line, number)?;
                history.operations.push(operation);
                Ok(())
            }
            (EventType::Invoke, State::Open(place)) => Err(ReadErrorKind::TwoOpenOperations {
                process,
                f: shown(line.f.as_str()),
                open_line: history.operations[place].invoke_line(),
            }),
            (EventType::Invoke, State::Retired(retired_line)) => Err(ReadErrorKind::RetiredProcess {
                process,
                f: shown(line.f.as_str()),
                retired_line,
            }),
            (kind, State::Open(place)) => {
                *state = if kind == EventType::Info {
                    State::Retired(number)
                } else {
                    State::Idle {
                        line: number,
                        time_ns: line.time,
                    }
                };
                complete(history, place, line, number)
            }
            (kind, State::New | State::Idle { .. } | State::Retired(_)) => Err(ReadErrorKind::NothingOpen { process, kind }),
        }
    }

    /// The history once the file has ended: what is still open stays open.
    pub(super) fn finish(self, mut history: History) -> History {
        history.operations.shrink_to_fit();
        history
    }
}

fn invocation(history: &mut History, process: u64, line: &Line<'_>, number: u64) -> Result<Operation, ReadErrorKind> {
    let key = match &line.key {
        None => None,
        Some(key) => Some(KeyId::new(history.keys.intern(key.as_str())).ok_or(ReadErrorKind::TooMany {
            what: "keys",
            limit: u64::from(u32::MAX),
        })?),
    };
    Ok(Operation {
        process,
        invoked_ns: line.time,
        returned_ns: NEVER_NS,
        argument: value(history, line.value)?,
        observed: ValueId::NONE,
        key,
        invoke_line: line_number(number)?,
        complete_line: 0,
        f: function(history, line.f.as_str())?,
        node: node(history, line.node.as_ref())?,
        error_kind: None,
        outcome: Outcome::Unknown,
    })
}

fn complete(history: &mut History, place: usize, line: &Line<'_>, number: u64) -> Result<(), ReadErrorKind> {
    let mut operation = history.operations[place];
    check_same_operation(history, &operation, line)?;
    operation.complete_line = line_number(number)?;
    if operation.node.is_none() {
        operation.node = node(history, line.node.as_ref())?;
    }
    let error = line.error.map(ErrorNote::of).unwrap_or_default();
    operation.error_kind = error.kind.and_then(|kind| error_kind(history, &kind));
    match line.kind {
        EventType::Ok => {
            operation.outcome = Outcome::Ok;
            operation.returned_ns = line.time;
            operation.observed = value(history, line.value)?;
            check_value(history, &operation, line)?;
        }
        EventType::Fail => {
            operation.outcome = Outcome::Fail;
            operation.returned_ns = line.time;
            if error.seen.is_some() {
                operation.observed = value(history, error.seen)?;
            }
        }
        EventType::Invoke | EventType::Info => operation.outcome = Outcome::Unknown,
    }
    history.operations[place] = operation;
    Ok(())
}

/// A completion may leave its key out; where it stands, it must be the invocation's.
fn check_same_operation(history: &History, operation: &Operation, line: &Line<'_>) -> Result<(), ReadErrorKind> {
    let other = |field, found: &str, expected: &str| ReadErrorKind::OtherOperation {
        process: operation.process,
        field,
        found: shown(found),
        expected: shown(expected),
        invoke_line: operation.invoke_line(),
    };
    let f = history.function(operation);
    if line.f.as_str() != f {
        return Err(other("function", line.f.as_str(), f));
    }
    let key = history.key(operation);
    if let Some(found) = &line.key
        && key != Some(found.as_str())
    {
        return Err(other("key", found.as_str(), key.unwrap_or("null")));
    }
    if line.time < operation.invoked_ns {
        return Err(ReadErrorKind::CompletedBeforeInvoked {
            process: operation.process,
            completed_ns: line.time,
            invoked_ns: operation.invoked_ns,
            invoke_line: operation.invoke_line(),
        });
    }
    Ok(())
}

/// An acknowledged write may leave its value out; where it stands, it must be the invocation's. A read has nothing to leave out.
fn check_value(history: &History, operation: &Operation, line: &Line<'_>) -> Result<(), ReadErrorKind> {
    let (process, invoke_line) = (operation.process, operation.invoke_line());
    match operation.f {
        Function::Read if line.value.is_none() => Err(ReadErrorKind::ReadWithoutValue { process, invoke_line }),
        Function::Write if operation.observed != ValueId::NULL && operation.observed != operation.argument => {
            Err(ReadErrorKind::OtherValue {
                process,
                found: shown(&history.value(operation.observed)),
                expected: shown(&history.value(operation.argument)),
                invoke_line,
            })
        }
        _ => Ok(()),
    }
}

/// A name of the file in a message.
fn shown(name: &str) -> String {
    visible(name, NAME_CHARS_MAX)
}

fn line_number(number: u64) -> Result<u32, ReadErrorKind> {
    u32::try_from(number).map_err(|_| ReadErrorKind::TooMany {
        what: "lines",
        limit: u64::from(u32::MAX),
    })
}

fn value(history: &mut History, json: Option<Json<'_>>) -> Result<ValueId, ReadErrorKind> {
    match json {
        None => Ok(ValueId::NULL),
        Some(Json::Known(value)) => Ok(value),
        Some(Json::Text(json)) => history
            .values
            .intern(json)
            .map_err(|_| ReadErrorKind::ValueTooDeep { limit: DEPTH_MAX }),
    }
}

pub(super) fn function(history: &mut History, name: &str) -> Result<Function, ReadErrorKind> {
    Ok(match name {
        "read" => Function::Read,
        "write" => Function::Write,
        "cas" => Function::Cas,
        other => Function::Other(small_id(&mut history.functions, other, "functions")?),
    })
}

fn node(history: &mut History, name: Option<&Text<'_>>) -> Result<Option<SmallId>, ReadErrorKind> {
    name.map(|name| small_id(&mut history.nodes, name.as_str(), "nodes")).transpose()
}

fn small_id(names: &mut Names, name: &str, what: &'static str) -> Result<SmallId, ReadErrorKind> {
    // Asked before it is added, so that a hostile file cannot grow the table past what ids can name.
    let full = names.len() > usize::from(u16::MAX) - 1 && names.find(name).is_none();
    let place = if full { usize::MAX } else { names.intern(name) };
    SmallId::new(place).ok_or(ReadErrorKind::TooMany {
        what,
        limit: u64::from(u16::MAX),
    })
}

fn error_kind(history: &mut History, kind: &str) -> Option<SmallId> {
    let known = history.error_kinds.find(kind).is_some();
    let kind = if known || (kind.len() <= ERROR_KIND_BYTES_MAX && history.error_kinds.len() < ERROR_KINDS_MAX) {
        kind
    } else {
        OTHER_ERROR
    };
    SmallId::new(history.error_kinds.intern(kind))
}
