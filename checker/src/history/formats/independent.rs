//! Whether the values of an EDN history are tuples `[key value]`.
//!
//! The text cannot say it: Jepsen's tuples print as vectors, and a compare-and-set takes a vector too (evidence: `jepsen.independent`
//! recognises tuples by their class). So the user says it, or we guess by what every invocation has in common, and say what we guessed.

use super::edn::Form;
use super::entry::Entry;
use crate::history::event::EventType;

/// What the user says about tuples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Independent {
    /// Values are `[key value]`.
    Yes,
    /// Values are values.
    No,
    /// Guess, and say so.
    #[default]
    Auto,
}

/// Whether every operation is invoked with a vector of two that begins with something that can be a key, and every compare-and-set
/// with one that ends in a vector of two.
pub(super) fn looks_independent(entries: &[Entry]) -> bool {
    let mut invocations = entries
        .iter()
        .filter(|entry| entry.is_of_client() && entry.kind == EventType::Invoke)
        .peekable();
    invocations.peek().is_some() && invocations.all(|entry| is_tuple(&entry.f, &entry.value))
}

fn is_tuple(f: &str, value: &Form) -> bool {
    let Some((key, value)) = value.as_pair() else { return false };
    let can_be_a_key = !matches!(key, Form::Nil | Form::List(_) | Form::Vector(_) | Form::Set(_) | Form::Map(_));
    can_be_a_key && (f != "cas" || value.as_pair().is_some())
}

/// Whether the values behind the keys are `[version value]`, as the tests of etcd write them: every read is invoked with `[nil nil]`, and
/// there is one.
pub(super) fn looks_versioned(entries: &[Entry], independent: bool) -> bool {
    let mut reads = entries
        .iter()
        .filter(|entry| entry.is_of_client() && entry.kind == EventType::Invoke && &*entry.f == "read")
        .peekable();
    reads.peek().is_some()
        && reads.all(|entry| {
            let value = if independent {
                entry.value.as_pair().map(|(_, value)| value)
            } else {
                Some(&entry.value)
            };
            value.and_then(Form::as_pair) == Some((&Form::Nil, &Form::Nil))
        })
}
