//! The witness: the few operations of a certificate, as a person can check them by eye and as a history that is invalid by itself.

mod chain;
mod claims;
mod described;
mod heart;
mod lines;
mod model;
mod sentence;
mod table;

pub use self::heart::Heart;
use super::certificate::Certificate;
use super::{KeyResult, Place, window};
use crate::escape::visible;
use crate::history::History;
use crate::history::operation::{Function, Operation, Outcome};

/// A small sub-history that still breaks the rule, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// The key, as it came; `None` for operations without one.
    pub key: Option<String>,
    /// What a person calls the object if it is no register of one key: the noun, and its name.
    subject: Option<(&'static str, Option<String>)>,
    /// What a picture has to show; `None` for a register of one key, whose operations say it.
    pub heart: Option<Heart>,
    /// The operations by time of invocation: those of the certificate, and the compare-and-sets that lead to what they saw.
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
    /// The key it acts on.
    pub key: Option<String>,
    /// What it does: `read`, `write`, `enqueue`.
    pub f: String,
    /// What it was invoked with, as JSON text, if that is not said by `f` and `value` as for a register.
    pub asked: Option<String>,
    /// What was written or seen, or what was expected and put in its place, as JSON text; of another model than a register what it saw.
    pub value: String,
    /// What a failed `cas` reports that it saw, as JSON text.
    pub seen: Option<String>,
    /// Why it failed, if that is known.
    pub error_kind: Option<String>,
    /// The value that the register held when a window begins, as JSON text, if this operation says so without being its write. Where the
    /// witness stands alone, it stands for that write.
    pub stands_for_write: Option<String>,
    /// Whether it is there only because it leads from one value to the next.
    pub link: bool,
    /// How many operations it stands for; 0 if it is one itself.
    pub folded: usize,
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
        let certificate = result.certificate.clone()?;
        let digits = sentence::digits(history, &certificate);
        let words = sentence::Words { history, digits };
        let named = certificate.operations();
        let all = match certificate {
            // A window has all it needs.
            Certificate::Window(_) => named.clone(),
            _ => chain::with_links(history, result.key, &named),
        };
        let anchor = match &certificate {
            Certificate::Window(window) => window
                .anchor
                .operation()
                .filter(|&place| history.operations[place].f != Function::Write),
            _ => None,
        };
        let mut operations: Vec<WitnessOperation> = all
            .into_iter()
            .map(|place| WitnessOperation {
                link: named.binary_search(&place).is_err(),
                stands_for_write: (anchor == Some(place))
                    .then(|| window::anchored_value(history, Place::of(place as u32)))
                    .flatten()
                    .map(|value| history.value(value).into_owned()),
                ..WitnessOperation::of(history, &history.operations[place])
            })
            .collect();
        operations.sort_by_key(|operation| (operation.invoked_ns, operation.invoke_line));
        Some(Witness {
            key: result.key.and_then(|key| history.keys.get(key.index())).map(str::to_owned),
            subject: None,
            heart: None,
            operations,
            sentence: words.sentence(&certificate),
            because: words.because(&certificate),
            digits,
            clock_error_ns: history.clock_error_ns(),
        })
    }

    /// What a person calls the object, and its name as it came: `key` and `k3`, `queue` and none.
    pub fn subject(&self) -> (&'static str, Option<&str>) {
        match (&self.subject, &self.key) {
            (Some((noun, name)), _) => (noun, name.as_deref()),
            (None, Some(key)) => ("key", Some(key)),
            (None, None) => ("register", None),
        }
    }

    /// The object as a report names it: "key `k3`", or "the register" for operations without a key; "queue `q`", "the lock".
    pub fn key_name(&self) -> String {
        match self.subject() {
            (noun, Some(name)) => format!("{noun} `{}`", visible(name, SHOWN_CHARS_MAX)),
            (noun, None) => format!("the {noun}"),
        }
    }
}

impl WitnessOperation {
    fn of(history: &History, operation: &Operation) -> WitnessOperation {
        let failed = operation.outcome == Outcome::Fail;
        let seen = operation.observed().filter(|_| failed && operation.f == Function::Cas);
        WitnessOperation {
            process: operation.process,
            node: history.node(operation).map(str::to_owned),
            key: history.key(operation).map(str::to_owned),
            f: history.function(operation).to_owned(),
            asked: None,
            value: value_json(history, operation),
            seen: seen.map(|seen| history.value(seen).into_owned()),
            error_kind: failed.then(|| history.error_kind(operation).map(str::to_owned)).flatten(),
            stands_for_write: None,
            link: false,
            folded: 0,
            invoked_ns: operation.invoked_ns,
            returned_ns: operation.returned_ns(),
            outcome: operation.outcome,
            invoke_line: operation.invoke_line(),
            complete_line: operation.complete_line(),
        }
    }
}

/// What a write wrote, a read saw, or the pair of a compare-and-set.
fn value_json(history: &History, operation: &Operation) -> String {
    let value = match operation.f {
        Function::Read => operation.observed(),
        _ => Some(operation.argument),
    };
    value.map_or_else(|| "null".to_owned(), |value| history.value(value).into_owned())
}
