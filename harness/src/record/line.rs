//! How a line of the history is put into bytes: straight from what was recorded, without an [`Event`] in between.
//!
//! [`Event`]: squall_checker::history::event::Event

use serde::Serialize;
use serde_json::Value;
use squall_checker::history::event::EventType;
use squall_checker::history::mark::{Finding, Header};
use squall_workloads::{ErrorNote, Operation, Outcome, Seen};

use super::pen::Entry;

/// One line, in the order in which a person reads it.
#[derive(Serialize)]
struct Line<'a, P: Serialize, V: Serialize> {
    index: u64,
    time: u64,
    #[serde(rename = "type")]
    kind: EventType,
    process: P,
    f: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    value: V,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Reason<'a>>,
}

/// Why an operation did not succeed.
#[derive(Serialize)]
struct Reason<'a> {
    kind: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
}

/// The value of a line of an operation; nothing becomes `null`.
#[derive(Serialize)]
#[serde(untagged)]
enum Shown<'a> {
    Number(Option<i64>),
    Foreign(&'a str),
}

/// The first line of the file.
pub(super) fn header(header: &Header) -> Vec<u8> {
    let mut line = Vec::new();
    put(&mut line, header);
    line
}

/// Appends the line of `entry`; nothing for [`Entry::Close`].
pub(super) fn append(out: &mut Vec<u8>, index: u64, entry: &Entry) {
    match entry {
        Entry::Invoke {
            time_ns,
            process,
            operation,
            node,
        } => {
            put(out, &operation_line(index, *time_ns, *process, operation, node, None));
        }
        Entry::Complete {
            time_ns,
            process,
            operation,
            node,
            outcome,
        } => {
            put(out, &operation_line(index, *time_ns, *process, operation, node, Some(outcome)));
        }
        Entry::Finding { time_ns, finding } => append_finding(out, index, *time_ns, finding),
        Entry::Fault { time_ns, kind, stage } => put(out, &mark(index, *time_ns, "nemesis", kind, &**stage)),
        Entry::Close => {}
    }
}

fn operation_line<'a>(
    index: u64,
    time: u64,
    process: u64,
    operation: &'a Operation,
    node: &'a str,
    outcome: Option<&'a Outcome>,
) -> Line<'a, u64, Shown<'a>> {
    let (kind, seen, note) = match outcome {
        None => (EventType::Invoke, None, None),
        Some(Outcome::Ok(seen)) => (EventType::Ok, Some(seen), None),
        Some(Outcome::Failed(note)) => (EventType::Fail, None, Some(note)),
        Some(Outcome::Unknown(note)) => (EventType::Info, None, Some(note)),
    };
    let value = match seen {
        Some(Seen::Foreign(text)) => Shown::Foreign(text),
        Some(Seen::Number(number)) => Shown::Number(Some(*number)),
        // A completion repeats the invocation's value unless it saw another one: a rule of all foreign judges.
        Some(Seen::Nothing) | None => Shown::Number(operation.value),
    };
    let error = note.map(|ErrorNote { kind, message }| Reason { kind, message });
    Line {
        index,
        time,
        kind,
        process,
        f: operation.f.name(),
        key: Some(&operation.key),
        value,
        node: Some(node),
        error,
    }
}

fn append_finding(out: &mut Vec<u8>, index: u64, time_ns: u64, finding: &Finding) {
    let tagged = serde_json::to_value(finding).expect("findings hold only strings and numbers");
    let name = tagged.get("f").and_then(Value::as_str).expect("a finding is tagged with its name");
    put(out, &mark(index, time_ns, "harness", name, tagged.get("value")));
}

fn mark<'a, V: Serialize>(index: u64, time: u64, process: &'a str, f: &'a str, value: V) -> Line<'a, &'a str, V> {
    Line {
        index,
        time,
        kind: EventType::Info,
        process,
        f,
        key: None,
        value,
        node: None,
        error: None,
    }
}

fn put(out: &mut Vec<u8>, line: &impl Serialize) {
    serde_json::to_writer(&mut *out, line).expect("lines have string keys, and a vector takes every write");
    out.push(b'\n');
}
