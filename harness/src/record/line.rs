//! What of a recorded entry stands in its line; the bytes are the checker's, who reads them.

use serde::Serialize;
use serde_json::Value;
use squall_checker::history::event::{Event, EventType, Process};
use squall_checker::history::mark::Finding;
use squall_checker::history::write::{LineError, LineValue, OperationLine, write_event, write_operation};
use squall_workloads::{Argument, Operation, Outcome, Seen};

use super::pen::Entry;

/// Appends the line of `entry`; nothing for [`Entry::Close`].
pub(super) fn append(out: &mut Vec<u8>, index: u64, entry: &Entry) {
    match entry {
        Entry::Invoke {
            time_ns,
            process,
            operation,
            node,
        } => {
            write_operation(out, &operation_line(index, *time_ns, *process, operation, node, None));
        }
        Entry::Complete {
            time_ns,
            process,
            operation,
            node,
            outcome,
        } => {
            write_operation(out, &operation_line(index, *time_ns, *process, operation, node, Some(outcome)));
        }
        Entry::Finding { time_ns, finding } => {
            let (f, value) = name_and_value(finding);
            write_event(out, &mark(index, *time_ns, "harness", f, value));
        }
        Entry::Fault { time_ns, kind, stage } => write_event(out, &mark(index, *time_ns, "nemesis", kind.clone(), json(&**stage))),
        Entry::Close => {}
    }
}

/// The line of an invocation, or with an outcome that of its completion.
pub(crate) fn operation_line<'a>(
    index: u64,
    time_ns: u64,
    process: u64,
    operation: &'a Operation,
    node: &'a str,
    outcome: Option<&'a Outcome>,
) -> OperationLine<'a> {
    let (kind, seen, note) = match outcome {
        None => (EventType::Invoke, &Seen::Nothing, None),
        Some(Outcome::Ok(seen)) => (EventType::Ok, seen, None),
        Some(Outcome::Failed(note)) => (EventType::Fail, &Seen::Nothing, Some(note)),
        Some(Outcome::Unknown(note)) => (EventType::Info, &Seen::Nothing, Some(note)),
    };
    let value = match (seen, operation.argument) {
        // A completion that saw nothing repeats the invocation's value: foreign judges insist on it.
        (Seen::Nothing, Argument::Value(value)) => LineValue::Number(value),
        (Seen::Nothing, Argument::Pair(expected, new)) => LineValue::Pair(expected, new),
        _ => line_value(seen),
    };
    let error = note.map(|note| LineError {
        kind: &note.kind,
        message: &note.message,
        seen: note.seen.as_ref().map(line_value),
    });
    OperationLine {
        index,
        time_ns,
        kind,
        process,
        f: operation.f.name(),
        key: Some(&operation.key),
        value,
        node: Some(node),
        error,
    }
}

fn line_value(seen: &Seen) -> LineValue<'_> {
    match seen {
        Seen::Nothing => LineValue::Null,
        Seen::Number(number) => LineValue::Number(*number),
        Seen::List(items) => LineValue::List(items),
        Seen::Foreign(text) => LineValue::Text(text),
    }
}

/// A finding's `f` and `value`.
pub(crate) fn name_and_value(finding: &Finding) -> (String, Value) {
    let mut tagged = json(finding);
    let name = tagged["f"].as_str().expect("a finding is tagged with its name").to_owned();
    (name, tagged["value"].take())
}

/// The line of a named process.
pub(crate) fn mark(index: u64, time: u64, process: &str, f: String, value: Value) -> Event {
    let process = Process::Named(process.into());
    Event {
        index,
        time,
        kind: EventType::Info,
        process,
        f,
        key: None,
        value,
        node: None,
        error: None,
        extra: Default::default(),
    }
}

/// A mark as it stands in a line.
pub(crate) fn json(mark: &impl Serialize) -> Value {
    serde_json::to_value(mark).expect("marks have string keys and finite numbers")
}
