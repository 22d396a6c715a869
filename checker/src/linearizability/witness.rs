//! The witness: the few operations of a certificate, as a person can check them by eye and as a history that is invalid by itself.

mod lines;
mod sentence;
mod table;

use super::certificate::Certificate;
use super::{KeyResult, Place};
use crate::escape::visible;
use crate::history::History;
use crate::history::operation::{Function, Operation, Outcome};

/// A small sub-history that still breaks the rule, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// The key, as it came; `None` for operations without one.
    pub key: Option<String>,
    /// The operations, at most six, by time of invocation.
    pub operations: Vec<WitnessOperation>,
    /// What is wrong, in one sentence: lower case, no full stop, hostile text escaped.
    pub sentence: String,
    /// What the sentence takes for granted, one fact per line.
    pub because: Vec<String>,
    /// Digits behind the point in which all times are shown: 3, 6 or 9, as many as tell the compared times apart.
    digits: usize,
    clock_error_ns: u64,
}

/// One operation of a witness, with its names and values as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessOperation {
    /// The logical process.
    pub process: u64,
    /// The node that was asked.
    pub node: Option<String>,
    /// `read` or `write`.
    pub f: &'static str,
    /// What was written or seen, as JSON text.
    pub value: String,
    /// When it was invoked, in nanoseconds.
    pub invoked_ns: u64,
    /// When it returned; `None` if the outcome is unknown.
    pub returned_ns: Option<u64>,
    /// How it ended.
    pub outcome: Outcome,
    /// The line of its invocation.
    pub invoke_line: u64,
    /// The line of its completion.
    pub complete_line: Option<u64>,
}

/// Longest value, key or name in a sentence or a table, in characters.
const SHOWN_CHARS_MAX: usize = 40;

impl Witness {
    /// The witness of an invalid key; `None` for any other.
    pub fn of(history: &History, result: &KeyResult) -> Option<Witness> {
        let certificate = result.certificate?;
        let digits = sentence::digits(history, &certificate);
        let words = sentence::Words { history, digits };
        let mut operations: Vec<WitnessOperation> = certificate
            .operations()
            .into_iter()
            .map(|place| WitnessOperation::of(history, &history.operations[place]))
            .collect();
        operations.sort_by_key(|operation| (operation.invoked_ns, operation.invoke_line));
        Some(Witness {
            key: result.key.and_then(|key| history.keys.get(key.index())).map(str::to_owned),
            operations,
            sentence: words.sentence(&certificate),
            because: words.because(&certificate),
            digits,
            clock_error_ns: history.clock_error_ns(),
        })
    }

    /// The key as a report names it: "key `k3`", or "the register" for operations without a key.
    pub fn key_name(&self) -> String {
        self.key.as_ref().map_or_else(
            || "the register".to_owned(),
            |key| format!("key `{}`", visible(key, SHOWN_CHARS_MAX)),
        )
    }
}

impl WitnessOperation {
    fn of(history: &History, operation: &Operation) -> WitnessOperation {
        WitnessOperation {
            process: operation.process,
            node: history.node(operation).map(str::to_owned),
            f: if operation.f == Function::Write { "write" } else { "read" },
            value: value_json(history, operation),
            invoked_ns: operation.invoked_ns,
            returned_ns: operation.returned_ns(),
            outcome: operation.outcome,
            invoke_line: operation.invoke_line(),
            complete_line: operation.complete_line(),
        }
    }
}

/// What a write wrote or a read saw.
fn value_json(history: &History, operation: &Operation) -> String {
    let value = if operation.f == Function::Write {
        Some(operation.argument)
    } else {
        operation.observed()
    };
    value.map_or_else(|| "null".to_owned(), |value| history.value(value).into_owned())
}

/// A time since the start of the run: `1.203 s`. Cut, not rounded, so that what is earlier never shows as later.
fn seconds(time_ns: u64, digits: usize) -> String {
    let fraction = format!("{:09}", time_ns % 1_000_000_000);
    format!("{}.{} s", time_ns / 1_000_000_000, &fraction[..digits])
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn seconds_are_cut_to_their_digits() {
        assert_eq!(seconds(1_203_999_999, 3), "1.203 s");
        assert_eq!(seconds(1_203_999_999, 9), "1.203999999 s");
        assert_eq!(seconds(0, 6), "0.000000 s");
        assert_eq!(seconds(7_200_000_000_001, 3), "7200.000 s");
    }
}
