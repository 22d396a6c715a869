//! What a client of the Raft store sends for an operation, and what it makes of the reply.

use squall_workloads::{Argument, ErrorNote, Function, Operation, Outcome, Seen};

use super::super::wire::{Note, Reply, Request};

/// The kind of answer to a command whose session the log has closed.
pub(crate) const SESSION_EXPIRED: &str = "session-expired";

/// One increment: a counter is as high as its text is long.
const INCREMENT: &str = "+";

/// Hands the request for an operation to `send`. Counters and sets are texts that only grow, by appending.
pub(crate) fn with_request(operation: &Operation, send: impl FnOnce(&Request<'_>)) {
    let key = &*operation.key;
    match (operation.f, operation.argument) {
        (Function::Write, Argument::Value(value)) => send(&Request::Put {
            key,
            value: &value.to_string(),
        }),
        (Function::Cas, Argument::Pair(expected, new)) => send(&Request::Cas {
            key,
            expect: expected.map(|value| value.to_string()).as_deref(),
            value: &new.to_string(),
        }),
        (Function::Increment, _) => send(&Request::Append { key, value: INCREMENT }),
        (Function::AddElement, Argument::Value(element)) => send(&Request::Append {
            key,
            value: &format!("{element},"),
        }),
        _ => send(&Request::Get { key }),
    }
}

pub(crate) fn conclude(operation: &Operation, reply: Reply) -> Outcome {
    match (reply, operation.f) {
        (Reply::Value { value, .. }, Function::Read) => Outcome::Ok(Seen::from_text(value.as_deref())),
        (Reply::Value { value, .. }, Function::ReadCounter) => Outcome::Ok(count(&value.unwrap_or_default())),
        (Reply::Value { value, .. }, Function::ReadSet) => Outcome::Ok(elements(&value.unwrap_or_default())),
        (Reply::Stored { .. }, Function::Write | Function::Increment | Function::AddElement) => Outcome::Ok(Seen::Nothing),
        (Reply::Cas { swapped: true, .. }, Function::Cas) => Outcome::Ok(Seen::Nothing),
        (Reply::Cas { swapped: false, seen, .. }, Function::Cas) => Outcome::Failed(ErrorNote::mismatch(Seen::from_text(seen.as_deref()))),
        (Reply::Failed(note), _) => Outcome::Failed(error_note(note)),
        (other, _) => Outcome::Unknown(ErrorNote::new("wrong-reply", format!("{other:?}"))),
    }
}

pub(crate) fn error_note(note: Note) -> ErrorNote {
    ErrorNote {
        leader: note.leader,
        ..ErrorNote::new(note.kind, note.message)
    }
}

/// How many increments a text holds.
fn count(text: &str) -> Seen {
    let others = text.replace(INCREMENT, "");
    match i64::try_from(text.len()) {
        Ok(count) if others.is_empty() => Seen::Number(count),
        _ => Seen::foreign(text),
    }
}

/// The elements that a text lists.
fn elements(text: &str) -> Seen {
    let element = |item: &str| match Seen::from_text(Some(item)) {
        Seen::Number(number) => Some(number),
        _ => None,
    };
    let items: Option<Vec<i64>> = text.split_terminator(',').map(element).collect();
    match items {
        // Without a comma at its end the last element was cut.
        Some(items) if text.is_empty() || text.ends_with(',') => Seen::List(items),
        _ => Seen::foreign(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_increments_and_lists_elements() {
        assert_eq!(count(""), Seen::Number(0));
        assert_eq!(count("+++"), Seen::Number(3));
        assert_eq!(count("++x"), Seen::Foreign("++x".into()));
        assert_eq!(elements(""), Seen::List(vec![]));
        assert_eq!(elements("17,3,"), Seen::List(vec![17, 3]));
        for foreign in ["17", "17,,", "17,x,", "017,"] {
            assert_eq!(elements(foreign), Seen::Foreign(foreign.into()));
        }
    }

    #[test]
    fn a_comparison_that_failed_tells_what_it_saw() {
        let cas = Operation::new(Function::Cas, "k", Argument::Pair(Some(1), 2));
        let seen = |seen: Option<&str>| {
            let reply = Reply::Cas {
                swapped: false,
                seen: seen.map(Into::into),
            };
            match conclude(&cas, reply) {
                Outcome::Failed(note) => (note.kind.to_string(), note.seen),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(seen(Some("5")), ("mismatch".into(), Some(Seen::Number(5))));
        assert_eq!(seen(None), ("mismatch".into(), Some(Seen::Nothing)));
        let swapped = Reply::Cas { swapped: true, seen: None };
        assert_eq!(conclude(&cas, swapped), Outcome::Ok(Seen::Nothing));
    }

    #[test]
    fn an_answer_to_another_question_is_no_answer() {
        let stored = Reply::Stored {
            version: serde_json::Value::Null,
        };
        assert!(matches!(conclude(&Operation::read("k"), stored), Outcome::Unknown(_)));
    }
}
