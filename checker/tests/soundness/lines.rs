//! The lines of a history as a recorder writes them, so that every history of these tests goes the whole way from bytes to verdict.

use std::fmt::Write;

use super::oracle::{Act, Done, Ending, Part};

/// The file of the operations, each of a process of its own, in the order of time; invocations first at equal times. Every other unknown
/// outcome is said by an `info`, the others by silence.
pub(crate) fn file(operations: &[Done]) -> String {
    let mut events: Vec<(u64, bool, usize)> = Vec::new();
    for (place, operation) in operations.iter().enumerate() {
        events.push((operation.invoked_ns, false, place));
        if operation.ending != Ending::Unknown || place % 2 == 0 {
            events.push((operation.returned_ns, true, place));
        }
    }
    events.sort_unstable();
    let mut file = String::new();
    for (time_ns, completes, place) in events {
        let told = Told::of(&operations[place].act);
        let (kind, value, error) = if completes {
            completion(&operations[place], &told, place)
        } else {
            ("invoke", told.asked.as_str(), None)
        };
        let f = told.f;
        let key = told.key.map_or(String::new(), |key| format!(r#""key":"k{key}","#));
        let error = error.map_or(String::new(), |error| format!(r#","error":{error}"#));
        writeln!(
            file,
            r#"{{"time":{time_ns},"type":"{kind}","process":{place},"f":"{f}",{key}"value":{value}{error}}}"#
        )
        .expect("a string takes everything");
    }
    file
}

/// The type, the value and the error of an operation's last line. Errors that say nothing are there for some operations only.
fn completion<'a>(operation: &Done, told: &'a Told, place: usize) -> (&'static str, &'a str, Option<String>) {
    let some = place.is_multiple_of(3);
    match (operation.ending, &operation.act) {
        (Ending::Unknown, _) => ("info", &told.asked, some.then(|| r#"{"kind":"timeout"}"#.to_owned())),
        // A compare-and-set that failed without another error has compared.
        (Ending::Refused, Act::Cas(..) | Act::Mismatch(..)) => ("fail", &told.asked, Some(r#"{"kind":"refused"}"#.to_owned())),
        (Ending::Refused, _) => ("fail", &told.asked, some.then(|| r#""refused""#.to_owned())),
        (Ending::Happened, Act::Mismatch(_, _, None)) => ("fail", &told.asked, some.then(|| r#"{"kind":"mismatch"}"#.to_owned())),
        (Ending::Happened, Act::Mismatch(_, _, Some(saw))) => {
            let error = format!(r#"{{"kind":"mismatch","seen":{}}}"#, json(*saw));
            ("fail", &told.asked, Some(error))
        }
        (Ending::Happened, _) => ("ok", &told.seen, None),
    }
}

/// An operation in a file's words.
struct Told {
    f: &'static str,
    key: Option<usize>,
    asked: String,
    seen: String,
}

impl Told {
    fn of(act: &Act) -> Told {
        let told = |f, key, asked: String, seen: String| Told { f, key, asked, seen };
        // What a read asks for is nothing, and what an update saw is what it asked for.
        let reads = |f, key, seen| told(f, key, "null".to_owned(), seen);
        let does = |f, key, asked: String| told(f, key, asked.clone(), asked);
        let one = Some(0);
        match act {
            Act::Read(key, saw) => reads("read", Some(*key), json(*saw)),
            Act::Write(key, value) => does("write", Some(*key), json(*value)),
            Act::Cas(key, expected, new) => does("cas", Some(*key), pair(*expected, *new)),
            Act::Mismatch(key, expected, _) => does("cas", Some(*key), pair(*expected, 77)),
            Act::Transaction(parts) => told("txn", None, transaction(parts, false), transaction(parts, true)),
            Act::Add(amount) => does("add", one, amount.to_string()),
            Act::Sum(saw) => reads("read", one, saw.to_string()),
            Act::Insert(value) => does("add", one, value.to_string()),
            Act::Remove(value) => does("remove", one, value.to_string()),
            Act::Contains(value, there) => told("contains", one, value.to_string(), there.to_string()),
            Act::Elements(saw) => reads("read", one, format!("{saw:?}")),
            Act::Enqueue(value) => does("enqueue", one, value.to_string()),
            Act::Dequeue(saw) => reads("dequeue", one, json(*saw)),
            Act::Acquire => reads("acquire", one, "null".to_owned()),
            Act::Release => reads("release", one, "null".to_owned()),
        }
    }
}

fn json(value: i8) -> String {
    if value == 0 { "null".to_owned() } else { value.to_string() }
}

fn pair(first: i8, second: i8) -> String {
    format!("[{},{}]", json(first), json(second))
}

fn transaction(parts: &[Part], seen: bool) -> String {
    let part = |part: &Part| match *part {
        Part::Read(key, saw) => format!(r#"["r","k{key}",{}]"#, if seen { json(saw) } else { "null".to_owned() }),
        Part::Write(key, value) => format!(r#"["w","k{key}",{}]"#, json(value)),
    };
    format!("[{}]", parts.iter().map(part).collect::<Vec<_>>().join(","))
}
