//! A history built line by line in memory, by whoever would else write a file and read it again: the same lines, without the text.
//!
//! A simulator plays ten runs in the time that reading one takes. What it gives here is its own word, not a stranger's, so a line
//! that contradicts the others is a broken rule of ours and panics.

use rustc_hash::FxHashMap;

use super::event::{Event, EventType};
use super::mark::Header;
use super::operation::{Function, KeyId, NEVER_NS, Operation, Outcome, SmallId};
use super::pairing;
use super::values::ValueId;
use super::write::{LineValue, OperationLine};
use super::{History, Mark};

/// A history that grows.
#[derive(Debug, Default)]
pub struct HistoryBuilder {
    history: History,
    /// The place of each process's open operation. Never iterated: its order is nobody's.
    open: FxHashMap<u64, usize>,
}

impl HistoryBuilder {
    /// A history of a run of ours, whose first line is its header.
    pub fn new(header: Header) -> HistoryBuilder {
        let mut builder = HistoryBuilder::default();
        builder.history.header = Some(header);
        builder.history.lines = 1;
        builder
    }

    /// Adds the line of an operation.
    ///
    /// # Panics
    /// If the process has an operation open and begins another, or has none and ends one, or if there are more names or lines than a
    /// history can hold.
    pub fn operation(&mut self, line: &OperationLine<'_>) {
        self.history.lines += 1;
        match line.kind {
            EventType::Invoke => self.invoke(line),
            kind => self.complete(kind, line),
        }
    }

    /// Adds a line that is no operation.
    pub fn event(&mut self, event: Event) {
        self.history.lines += 1;
        let line = self.history.lines;
        self.history.marks.push(Mark { line, event });
    }

    /// The history; what is still open stays open.
    pub fn finish(self) -> History {
        self.history
    }

    fn invoke(&mut self, line: &OperationLine<'_>) {
        let place = self.history.operations.len();
        let before = self.open.insert(line.process, place);
        assert_eq!(before, None, "process {} begins an operation while another is open", line.process);
        let history = &mut self.history;
        let key = line
            .key
            .map(|key| KeyId::new(history.keys.intern(key)).expect("a simulated run has few keys"));
        let f = pairing::function(history, line.f).expect("a simulated run has few functions");
        let node = line.node.map(|node| small_id(history.nodes.intern(node)));
        let operation = Operation {
            process: line.process,
            invoked_ns: line.time_ns,
            returned_ns: NEVER_NS,
            argument: self.value(line.value),
            observed: ValueId::NONE,
            key,
            invoke_line: self.line_number(),
            complete_line: 0,
            f,
            node,
            error_kind: None,
            outcome: Outcome::Unknown,
        };
        self.history.operations.push(operation);
    }

    fn complete(&mut self, kind: EventType, line: &OperationLine<'_>) {
        let place = self.open.remove(&line.process);
        let place = place.unwrap_or_else(|| panic!("process {} ends an operation, and none is open", line.process));
        let observed = self.value(line.value);
        let seen = line.error.and_then(|error| error.seen).map(|seen| self.value(seen));
        let error_kind = line.error.map(|error| small_id(self.history.error_kinds.intern(error.kind)));
        let complete_line = self.line_number();
        let operation = &mut self.history.operations[place];
        operation.complete_line = complete_line;
        operation.error_kind = error_kind;
        match kind {
            EventType::Ok => {
                let is_own = operation.f != Function::Write || observed == operation.argument;
                assert!(is_own, "a write is acknowledged with another value");
                operation.outcome = Outcome::Ok;
                operation.returned_ns = line.time_ns;
                operation.observed = observed;
            }
            EventType::Fail => {
                operation.outcome = Outcome::Fail;
                operation.returned_ns = line.time_ns;
                operation.observed = seen.unwrap_or(ValueId::NONE);
            }
            EventType::Invoke | EventType::Info => {}
        }
    }

    fn value(&mut self, value: LineValue<'_>) -> ValueId {
        let text = match value {
            LineValue::Null => return ValueId::NULL,
            LineValue::Number(number) => match ValueId::of_integer(number) {
                Some(value) => return value,
                None => number.to_string(),
            },
            LineValue::Pair(expected, new) => {
                let expected = self.value(expected.map_or(LineValue::Null, LineValue::Number));
                let new = self.value(LineValue::Number(new));
                return self.history.values.pair_of(expected, new);
            }
            LineValue::Text(_) | LineValue::List(_) => serde_json::to_string(&value).expect("a text and a list of numbers are JSON"),
        };
        self.history.values.intern(&text).expect("none of them is nested deeply")
    }

    fn line_number(&self) -> u32 {
        u32::try_from(self.history.lines).expect("a simulated run has few lines")
    }
}

fn small_id(place: usize) -> SmallId {
    SmallId::new(place).expect("a simulated run has few nodes and kinds of errors")
}

#[cfg(test)]
mod tests {
    use super::super::write::{self, LineError};
    use super::*;

    fn header() -> Header {
        serde_json::from_str(r#"{"squall_history":1,"run":"r","seed":7,"requested":["kill"],"nodes":["n1","n2"],"clients":2}"#).unwrap()
    }

    fn line<'a>(time_ns: u64, kind: EventType, process: u64, f: &'a str, value: LineValue<'a>) -> OperationLine<'a> {
        OperationLine {
            index: time_ns,
            time_ns,
            kind,
            process,
            f,
            key: Some(if process == 1 { "k1" } else { "k2" }),
            value,
            node: Some("n2"),
            error: matches!(kind, EventType::Fail | EventType::Info).then_some(LineError {
                kind: if f == "cas" { "mismatch" } else { "timeout" },
                message: "late",
                seen: (f == "cas").then_some(LineValue::Number(3)),
            }),
        }
    }

    #[test]
    fn is_the_history_that_a_reader_of_the_same_lines_would_have() {
        use EventType::{Fail, Info, Invoke, Ok};
        let lines = [
            line(1, Invoke, 1, "write", LineValue::Number(5)),
            line(2, Invoke, 2, "read", LineValue::Null),
            line(3, Ok, 1, "write", LineValue::Number(5)),
            line(4, Ok, 2, "read", LineValue::Text("g\"arbage")),
            line(5, Invoke, 1, "write", LineValue::Number(i64::MAX)),
            line(6, Info, 1, "write", LineValue::Number(i64::MAX)),
            line(7, Invoke, 3, "read", LineValue::Null),
            line(8, Fail, 3, "read", LineValue::Null),
            line(9, Invoke, 4, "add", LineValue::Number(1)),
            line(10, Invoke, 5, "cas", LineValue::Pair(None, 7)),
            line(11, Fail, 5, "cas", LineValue::Pair(None, 7)),
            line(12, Invoke, 5, "cas", LineValue::Pair(Some(7), 8)),
            line(13, Ok, 5, "cas", LineValue::Pair(Some(7), 8)),
            line(14, Invoke, 6, "read", LineValue::Null),
            line(15, Ok, 6, "read", LineValue::List(&[1, 2])),
        ];
        let mark: Event =
            serde_json::from_str(r#"{"index":16,"time":16,"type":"info","process":"harness","f":"phase","value":{"name":"storm"}}"#)
                .unwrap();
        let mut builder = HistoryBuilder::new(header());
        let mut text = Vec::new();
        write::write_header(&mut text, &header());
        for line in &lines {
            builder.operation(line);
            write::write_operation(&mut text, line);
        }
        builder.event(mark.clone());
        write::write_event(&mut text, &mark);
        let (built, read) = (builder.finish(), History::read(&text[..]).unwrap());
        assert_eq!(built.operations, read.operations);
        assert_eq!((&built.header, &built.marks, built.lines), (&read.header, &read.marks, read.lines));
        let names = |history: &History| {
            let tables = [&history.keys, &history.functions, &history.nodes, &history.error_kinds];
            tables.map(|names| names.iter().map(str::to_owned).collect::<Vec<_>>())
        };
        assert_eq!(names(&built), names(&read));
        let values = |history: &History| -> Vec<String> {
            let of = |operation: &Operation| operation.observed().unwrap_or(operation.argument);
            history
                .operations
                .iter()
                .map(|operation| history.value(of(operation)).into_owned())
                .collect()
        };
        assert_eq!(values(&built), values(&read));
    }

    #[test]
    #[should_panic(expected = "while another is open")]
    fn a_process_does_one_thing_at_a_time() {
        let mut builder = HistoryBuilder::new(header());
        builder.operation(&line(1, EventType::Invoke, 1, "read", LineValue::Null));
        builder.operation(&line(2, EventType::Invoke, 1, "read", LineValue::Null));
    }
}
