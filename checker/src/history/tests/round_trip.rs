//! What the writer writes the reader reads, whatever stands in it; and no bytes at all make the reader panic.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::history::History;
use crate::history::event::{Event, EventType, Process};
use crate::history::mark::Header;
use crate::history::operation::Outcome;
use crate::history::write::{LineError, LineValue, OperationLine, write_event, write_header, write_operation};

/// Text that quotes, ends lines, obeys terminals, hides and is not Latin.
fn hostile_text(chance: &mut ChaCha8Rng) -> String {
    const PIECES: [&str; 14] = [
        "k",
        "\"",
        "\\",
        "\n",
        "\r\n",
        "\0",
        "\u{1b}[2J",
        "é",
        "東",
        "\u{202e}",
        "\u{7f}",
        "{\"time\":1}",
        "\u{10ffff}",
        "\u{2028}",
    ];
    (0..chance.random_range(0..6))
        .map(|_| PIECES[chance.random_range(0..PIECES.len())])
        .collect()
}

#[test]
fn operations_come_back_as_they_were_written() {
    let mut chance = ChaCha8Rng::seed_from_u64(20);
    for round in 0..5_000 {
        let (key, node, foreign, kind, message) = (
            hostile_text(&mut chance),
            hostile_text(&mut chance),
            hostile_text(&mut chance),
            hostile_text(&mut chance),
            hostile_text(&mut chance),
        );
        let number = chance.random_range(-1_000_000_000_000_000_000..1_000_000_000_000_000_000);
        let value = [LineValue::Null, LineValue::Number(number), LineValue::Text(&foreign)][round % 3];
        let f = ["read", "write", "cas", "a \"function\""][chance.random_range(0..4)];
        let (invoked_ns, process) = (chance.random_range(0..1 << 60), chance.random());
        let invoke = OperationLine {
            index: round as u64,
            time_ns: invoked_ns,
            kind: EventType::Invoke,
            process,
            f,
            key: Some(&key),
            value,
            node: Some(&node),
            error: None,
        };
        let (kind_of_end, outcome) = [
            (EventType::Ok, Outcome::Ok),
            (EventType::Fail, Outcome::Fail),
            (EventType::Info, Outcome::Unknown),
        ][chance.random_range(0..3)];
        let end = OperationLine {
            time_ns: invoked_ns + 7,
            kind: kind_of_end,
            error: Some(LineError {
                kind: &kind,
                message: &message,
                seen: None,
            }),
            ..invoke
        };
        let mut lines = Vec::new();
        write_operation(&mut lines, &invoke);
        write_operation(&mut lines, &end);
        assert_eq!(lines.iter().filter(|&&byte| byte == b'\n').count(), 2, "one line per event");

        let history = History::read(lines.as_slice()).unwrap();
        let [operation] = history.operations[..] else {
            panic!("{:?}", history.operations)
        };
        assert_eq!(
            (operation.process, operation.invoked_ns, operation.outcome),
            (process, invoked_ns, outcome)
        );
        assert_eq!(operation.returned_ns(), (outcome != Outcome::Unknown).then_some(invoked_ns + 7));
        assert_eq!(
            (history.key(&operation), history.node(&operation), history.function(&operation)),
            (Some(&*key), Some(&*node), f)
        );
        assert_eq!(history.error_kind(&operation), Some(&*kind));
        let expected = match value {
            LineValue::Null => Value::Null,
            LineValue::Number(number) => json!(number),
            LineValue::Text(text) => json!(text),
            LineValue::Pair(expected, new) => json!([expected, new]),
            LineValue::List(items) => json!(items),
        };
        assert_eq!(serde_json::from_str::<Value>(&history.value(operation.argument)).unwrap(), expected);
        assert_eq!(operation.observed().is_some(), outcome == Outcome::Ok);
    }
}

#[test]
fn events_and_headers_come_back_with_their_unknown_fields() {
    let mut chance = ChaCha8Rng::seed_from_u64(21);
    for round in 0..1_000 {
        let mut event = Event {
            index: round,
            time: round * 10,
            kind: EventType::Info,
            process: Process::Named("nemesis".into()),
            f: hostile_text(&mut chance),
            key: None,
            value: json!({ "id": round, hostile_text(&mut chance): hostile_text(&mut chance) }),
            node: None,
            error: Some(json!(hostile_text(&mut chance))),
            extra: serde_json::Map::new(),
        };
        event.extra.insert("foreign".into(), json!([hostile_text(&mut chance)]));
        let header: Header =
            serde_json::from_value(json!({ "squall_history": 1, "run": hostile_text(&mut chance), "later": hostile_text(&mut chance) }))
                .unwrap();
        let mut lines = Vec::new();
        write_header(&mut lines, &header);
        write_event(&mut lines, &event);
        let history = History::read(lines.as_slice()).unwrap();
        assert_eq!(history.header, Some(header));
        assert_eq!(history.marks[0].event, event);
    }
}

#[test]
fn no_bytes_make_the_reader_panic() {
    let good: &[u8] = br#"{"squall_history":1}
{"time":1,"type":"invoke","process":1,"f":"append","key":"k","value":[1,{"a":"\u0041"}]}
{"time":2,"type":"ok","process":1,"f":"append","key":"k","value":1,"error":{"kind":"x","seen":[1]}}
{"time":3,"type":"info","process":"harness","f":"phase","value":{"name":"storm"}}
"#;
    let mut chance = ChaCha8Rng::seed_from_u64(22);
    let (mut read, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes = good.to_vec();
        for _ in 0..chance.random_range(1..6) {
            let place = chance.random_range(0..bytes.len());
            match chance.random_range(0..3) {
                0 => bytes[place] = chance.random(),
                1 => drop(bytes.remove(place)),
                _ => bytes.insert(place, b"\"\\{}[]:,\n-19eu\0\xff"[chance.random_range(0..16)]),
            }
        }
        match History::read(bytes.as_slice()) {
            Ok(history) => {
                read += 1;
                crate::linearizability::check(&history);
            }
            Err(error) => {
                refused += 1;
                assert!(error.line <= 8 && !error.to_string().is_empty());
            }
        }
    }
    assert!(read > 100 && refused > 100, "{read} read, {refused} refused");
}
