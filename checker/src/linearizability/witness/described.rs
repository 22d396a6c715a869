//! One operation of any model in a few words: `enqueue 5`, `dequeue -> nothing`, `read -> [1,2]`.

use super::{Outcome, SHOWN_CHARS_MAX, WitnessOperation};
use crate::escape::visible;
use crate::model::Value;

/// The words, hostile text escaped and cut.
pub(super) fn operation(operation: &WitnessOperation) -> String {
    let f = visible(&operation.f, SHOWN_CHARS_MAX);
    let asked = operation.asked.as_deref().unwrap_or(&operation.value);
    let (asked, seen) = (visible(asked, SHOWN_CHARS_MAX), visible(&operation.value, SHOWN_CHARS_MAX));
    let known = operation.outcome == Outcome::Ok;
    let words = match operation.f.as_str() {
        "acquire" | "release" => f,
        "inc" | "dec" | "increment" | "decrement" if asked == "null" => f,
        "dequeue" if known && seen == "null" => format!("{f} -> nothing"),
        "dequeue" | "read" if known => format!("{f} -> {seen}"),
        "dequeue" | "read" => f,
        "contains" if known => format!("{f} {asked} -> {seen}"),
        "txn" => format!("{f} {}", transaction(if known { &operation.value } else { asked_of(operation) })),
        _ => format!("{f} {asked}"),
    };
    let folded = match operation.folded {
        0 => String::new(),
        count => format!(" ({count} additions)"),
    };
    match (operation.outcome, &operation.seen) {
        (Outcome::Fail, Some(seen)) => format!("{words} (failed, saw {})", visible(seen, SHOWN_CHARS_MAX)),
        (Outcome::Fail, None) => format!("{words} (failed)"),
        _ => format!("{words}{folded}"),
    }
}

fn asked_of(operation: &WitnessOperation) -> &str {
    operation.asked.as_deref().unwrap_or("null")
}

/// `r x 1, w y 2` for `[["r","x",1],["w","y",2]]`.
fn transaction(json: &str) -> String {
    let Some(parts) = Value::of_json(json).items() else {
        return visible(json, SHOWN_CHARS_MAX);
    };
    let words = |part: &Value| match part.items() {
        Some(items) => items.iter().map(Value::name).collect::<Vec<_>>().join(" "),
        None => part.to_string(),
    };
    let parts: Vec<String> = parts.iter().map(words).collect();
    visible(&parts.join(", "), 2 * SHOWN_CHARS_MAX)
}
