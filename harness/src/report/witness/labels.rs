//! What stands in a box: what an operation did and saw, as short as can be.

use squall_checker::history::History;
use squall_checker::history::operation::{Function, Operation, Outcome};
use squall_checker::model::Value;

use super::arrange::pair;
use super::scene::Part;
use super::words::value;

/// Most parts of a transaction that a box names.
const PARTS_MAX: usize = 4;

/// An operation of a register.
pub(super) fn label(history: &History, operation: &Operation, part: Part) -> String {
    let argument = || value(&history.value(operation.argument));
    let text = match operation.f {
        Function::Write => format!("write {}", argument()),
        Function::Read => match operation.observed() {
            Some(seen) if part == Part::Context => format!("read {}", value(&history.value(seen))),
            Some(seen) => format!("read → {}", value(&history.value(seen))),
            None => "read".to_owned(),
        },
        Function::Cas => match pair(&history.value(operation.argument)) {
            Some((expected, new)) => format!("cas {}→{}", value(&expected), value(&new)),
            None => "cas".to_owned(),
        },
        Function::Other(_) => format!("{} {}", value(history.function(operation)), argument()),
    };
    match operation.outcome {
        Outcome::Ok => text,
        Outcome::Fail => format!("{text}, refused"),
        Outcome::Unknown => format!("{text}, unknown"),
    }
}

/// An operation of any other object; `seen` is what the witness keeps of what it saw.
pub(super) fn general(history: &History, operation: &Operation, seen: Option<&str>) -> String {
    let f = value(history.function(operation));
    let asked = history.value(operation.argument);
    let observed = observed(history, operation);
    let seen = seen.or(observed.as_deref()).filter(|_| operation.outcome == Outcome::Ok);
    let text = match (history.function(operation), seen) {
        ("acquire" | "release", _) => f,
        ("inc" | "dec" | "increment" | "decrement", _) if asked == "null" => f,
        ("dequeue", Some("null")) => format!("{f} → nothing"),
        ("dequeue" | "read", Some(seen)) => format!("{f} → {}", value(seen)),
        ("dequeue" | "read", None) => f,
        ("contains", Some(seen)) => format!("{f} {} → {}", value(&asked), value(seen)),
        ("txn", seen) => format!("{f} {}", transaction(seen.unwrap_or(&asked))),
        _ => format!("{f} {}", value(&asked)),
    };
    match operation.outcome {
        Outcome::Ok => text,
        Outcome::Fail => format!("{text}, refused"),
        Outcome::Unknown => format!("{text}, unknown"),
    }
}

/// The value it saw or was about.
pub(super) fn full(history: &History, operation: &Operation, seen: Option<&str>) -> Option<String> {
    let seen = seen
        .map(str::to_owned)
        .or_else(|| observed(history, operation))
        .filter(|seen| seen != "null");
    let asked = Some(history.value(operation.argument).into_owned()).filter(|asked| asked != "null");
    seen.or(asked)
}

fn observed(history: &History, operation: &Operation) -> Option<String> {
    operation.observed().map(|seen| history.value(seen).into_owned())
}

/// `r x 1, w y 2`.
fn transaction(json: &str) -> String {
    let Some(parts) = Value::of_json(json).items() else {
        return value(json);
    };
    let words = |part: &Value| match part.items() {
        Some(items) => items.iter().map(|item| value(&item.name())).collect::<Vec<_>>().join(" "),
        None => value(&part.to_string()),
    };
    let more = parts.len().saturating_sub(PARTS_MAX);
    let more = (more > 0).then(|| format!("{more} more"));
    let words: Vec<String> = parts.iter().take(PARTS_MAX).map(words).chain(more).collect();
    words.join(", ")
}
