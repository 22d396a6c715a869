//! The witness as a history of its own, which ends in the same verdict.

use serde::Serialize;
use serde_json::value::RawValue;

use super::{Outcome, Witness, WitnessOperation};
use crate::history::event::EventType;
use crate::history::mark::Clock;
use crate::history::read::FORMAT_VERSION;

/// A line of an operation whose value is kept to the letter; `line` says where it stood.
#[derive(Serialize)]
struct Line<'a> {
    index: usize,
    time: u64,
    #[serde(rename = "type")]
    kind: EventType,
    process: u64,
    f: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    value: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Error<'a>>,
    line: u64,
}

/// Why an operation failed: for a compare-and-set it decides what that says.
#[derive(Serialize)]
struct Error<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seen: Option<&'a RawValue>,
}

/// Only what the verdict depends on: with the run's own header the rules for whole runs would apply.
#[derive(Serialize)]
struct ClockHeader {
    squall_history: u32,
    clock: Clock,
}

impl Witness {
    /// What stands in `witness.jsonl`: the operations' events in the order of time, and at equal times operation by operation, so that a
    /// process never has two open. The order of the file's own lines would not do: an EDN file may be sorted by anything. An operation of
    /// unknown outcome is left open, which means the same. A header is there only where clocks differ.
    pub fn history_lines(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.clock_error_ns > 0 {
            let clock = Clock {
                error_ns: self.clock_error_ns,
                ..Clock::default()
            };
            push(
                &mut out,
                &ClockHeader {
                    squall_history: FORMAT_VERSION,
                    clock,
                },
            );
        }
        let mut events: Vec<(u64, usize, bool, u64, EventType)> = Vec::new();
        for (place, operation) in self.operations.iter().enumerate() {
            events.push((operation.invoked_ns, place, false, operation.invoke_line, EventType::Invoke));
            let completion = match operation.outcome {
                // What it stands for happened, even if it failed itself.
                _ if operation.stands_for_write.is_some() => Some(EventType::Ok),
                Outcome::Ok => Some(EventType::Ok),
                Outcome::Fail => Some(EventType::Fail),
                Outcome::Unknown => None,
            };
            let returned_ns = operation.returned_ns.unwrap_or(operation.invoked_ns);
            events.extend(
                operation
                    .complete_line
                    .zip(completion)
                    .map(|(line, kind)| (returned_ns, place, true, line, kind)),
            );
        }
        events.sort_by_key(|&(time_ns, place, completes, ..)| (time_ns, place, completes));
        for (index, (_, place, _, line, kind)) in events.into_iter().enumerate() {
            self.push_event(&mut out, index, line, &self.operations[place], kind);
        }
        out
    }

    fn push_event(&self, out: &mut Vec<u8>, index: usize, line: u64, operation: &WitnessOperation, kind: EventType) {
        let time = match kind {
            EventType::Invoke => operation.invoked_ns,
            _ => operation.returned_ns.unwrap_or(operation.invoked_ns),
        };
        if let Some(held) = &operation.stands_for_write {
            let write = WitnessOperation {
                f: "write".to_owned(),
                value: held.clone(),
                stands_for_write: None,
                ..operation.clone()
            };
            return self.push_event(out, index, line, &write, kind);
        }
        let says_value = operation.f != "read" || kind == EventType::Ok;
        let value = match &operation.asked {
            Some(asked) if kind == EventType::Invoke => asked,
            _ => &operation.value,
        };
        let says_value = says_value || operation.asked.is_some();
        let value: Option<&RawValue> = serde_json::from_str(value).ok().filter(|_| says_value);
        let seen: Option<&RawValue> = operation.seen.as_deref().and_then(|seen| serde_json::from_str(seen).ok());
        let error_kind = operation.error_kind.as_deref();
        let error = (operation.f == "cas" && kind == EventType::Fail && (seen.is_some() || error_kind.is_some()))
            .then_some(Error { kind: error_kind, seen });
        let (f, process) = (operation.f.as_str(), operation.process);
        push(
            out,
            &Line {
                index,
                time,
                kind,
                process,
                f,
                key: operation.key.as_deref(),
                value,
                node: operation.node.as_deref(),
                error,
                line,
            },
        );
    }
}

fn push(out: &mut Vec<u8>, line: &impl Serialize) {
    serde_json::to_writer(&mut *out, line).expect("a vector takes every byte and our fields have string keys");
    out.push(b'\n');
}
