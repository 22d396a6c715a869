//! The reader of lines: the contract's golden file, later versions, and hostile text.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::{SERVED, texts};
use crate::trace::raft::RaftRules;
use crate::trace::raft::event::What;
use crate::trace::raft::line::Line;
use crate::trace::raft::names::Names;
use crate::trace::raft::scan::{Fields, Value as Scanned, pair};

const GOLDEN: &str = include_str!("../../../../../node/tests/golden/raft_trace.jsonl");

fn read(line: &str) -> Result<Option<What>, &'static str> {
    Line::read(line.as_bytes())?.what(&mut Names::default(), 0)
}

/// The node's own test writes the same file: it holds writer and reader together.
#[test]
fn reads_every_kind_of_the_nodes_golden_trace() {
    for line in GOLDEN.lines() {
        let what = read(line).unwrap_or_else(|refusal| panic!("{refusal}: {line}"));
        assert!(what.is_some(), "a kind is passed over as unknown: {line}");
        let read = Line::read(line.as_bytes()).expect("it was read before");
        assert_eq!((read.node(), read.incarnation(), read.lamport()), (Ok("n1"), Ok(2), Ok(8)));
    }
    let kinds = GOLDEN
        .lines()
        .map(|line| line.split("\"kind\":\"").nth(1).and_then(|rest| rest.split('"').next()));
    let kinds: std::collections::BTreeSet<_> = kinds.collect();
    assert_eq!(kinds.len(), 16, "{kinds:?}");
}

#[test]
fn kinds_and_fields_of_a_later_version_are_passed_over() {
    assert_eq!(read(r#"{"node":"n1","kind":"hint","to":7,"term":"x"}"#), Ok(None));
    let known = r#"{"zone":{"a":[1,"]"]},"node":"n1","kind":"hard","term":4,"vote":null,"more":-1.5e3}"#;
    assert_eq!(read(known), Ok(Some(What::Hard { term: 4, vote: None })));
}

#[test]
fn refuses_what_is_no_event_with_a_reason() {
    for (line, reason) in [
        ("", "expected a JSON object"),
        ("[1]", "expected a JSON object"),
        ("{", "expected the name of a field"),
        (r#"{"kind":"hard""#, "expected `,` or `}`"),
        (r#"{"kind":"hard","term":4} x"#, "something follows the object"),
        (r#"{"kind":"hard"}"#, "the field `term` is missing"),
        (r#"{"kind":"hard","term":"4"}"#, "a field that should be a whole number is none"),
        (r#"{"kind":"hard","term":4,"vote":7}"#, "a field that should be a text is none"),
        (r#"{"kind":"hard","term":-4}"#, "a field that should be a whole number is none"),
        (r#"{"kind":"hard","term":04}"#, "a number that is none"),
        (
            r#"{"kind":"append","index":0,"term":1,"digest":"0123456789abcdef"}"#,
            "the field `index` is no index",
        ),
        (
            r#"{"kind":"append","index":1,"term":1,"digest":"0123456789ABCDEF"}"#,
            "a hash is not 16 lower hex digits",
        ),
        (
            r#"{"kind":"role","role":"leader","term":1,"last":[1]}"#,
            "the field `last` is no pair of numbers",
        ),
        (
            r#"{"kind":"send","to":"n2","id":"n1","m":"vote","term":1}"#,
            "the field `id` names no message",
        ),
        (r#"{"term":1}"#, "the field `kind` is missing"),
        (r#"{"kind":"x","a":["#, "a list or an object without an end"),
        (r#"{"kind":"x","a":[}]}"#, "a list or an object that is none"),
        ("{\"kind\":\"a\u{1}\"}", "a control character in a text"),
        (r#"{"kind":"\x"}"#, "a text with a wrong escape"),
        (r#"{"kind":"\"#, "a text without an end"),
        (r#"{"kind":tru}"#, "expected a value"),
    ] {
        assert_eq!(read(line), Err(reason), "{line}");
    }
    assert_eq!(Line::read(b"{\"a\":\"\xff\"}").err(), Some("the line is not UTF-8"));
}

#[test]
fn reads_a_pair_of_numbers_strictly() {
    assert_eq!(pair("[7,3]"), Some((7, 3)));
    assert_eq!(pair("[ 7 , 3 ]"), Some((7, 3)));
    for wrong in ["[7]", "[7,3,1]", "[07,3]", "[,]", "[-1,2]", "{7,3}", "[1.5,2]", "[+1,2]"] {
        assert_eq!(pair(wrong), None, "{wrong}");
    }
}

/// What the scanner takes, `serde_json` takes too, and reads alike; and the other way round for flat objects.
#[test]
fn scans_what_a_general_parser_reads() {
    let mut chance = ChaCha8Rng::seed_from_u64(1);
    let lines: Vec<&str> = GOLDEN.lines().collect();
    let bytes = br#"{}[]",:\0123456789.-+eE tfnulrasx/"#;
    let mut n_taken = 0;
    for _ in 0..40_000 {
        let mut line = lines[chance.random_range(0..lines.len())].as_bytes().to_vec();
        for _ in 0..chance.random_range(0..3) {
            let place = chance.random_range(0..line.len());
            match chance.random_range(0..3) {
                0 => drop(line.remove(place)),
                1 => line.insert(place, bytes[chance.random_range(0..bytes.len())]),
                _ => line[place] = bytes[chance.random_range(0..bytes.len())],
            }
        }
        let general: Option<serde_json::Map<String, Value>> = serde_json::from_slice(&line).ok();
        let scanned = scan(&line);
        n_taken += usize::from(scanned.is_some());
        assert_eq!(scanned, general, "{}", String::from_utf8_lossy(&line));
    }
    assert!((10_000..39_000).contains(&n_taken), "{n_taken}");
}

fn scan(line: &[u8]) -> Option<serde_json::Map<String, Value>> {
    let mut fields = Fields::of(line).ok()?;
    let mut read = serde_json::Map::new();
    while let Some((name, value)) = fields.next().ok()? {
        let value = match value {
            Scanned::Text(text) => Value::String(text.into_owned()),
            Scanned::Number(number) => number.into(),
            Scanned::Bool(flag) => flag.into(),
            Scanned::Null => Value::Null,
            Scanned::OtherNumber(text) | Scanned::Nested(text) => serde_json::from_str(text).ok()?,
        };
        read.insert(name.into_owned(), value);
    }
    Some(read)
}

#[test]
fn an_endless_line_is_not_stored() {
    let mut rules = RaftRules::new(["n1"]);
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..64 {
        rules.feed("n1", &piece);
    }
    let (_, error) = rules.errors().next().expect("an error");
    assert!(error.to_string().starts_with("line 1: the line is longer than "), "{error}");
}

#[test]
fn hostile_numbers_do_no_harm() {
    let texts = texts(SERVED);
    for (number, other) in [
        ("1", "18446744073709551615"),
        ("2", "9223372036854775807"),
        ("0", "18446744073709551614"),
    ] {
        for field in [
            "term",
            "index",
            "upto",
            "to",
            "term_at",
            "lamport",
            "mono_ns",
            "applied",
            "election_ms",
            "sequence",
        ] {
            let mut rules = RaftRules::new(texts.keys().copied());
            for (node, text) in &texts {
                rules.feed(
                    node,
                    text.replace(&format!("\"{field}\":{number},"), &format!("\"{field}\":{other},"))
                        .as_bytes(),
                );
            }
            rules.finish();
            let violations = rules.violations(&super::settled());
            assert!(violations.iter().all(|violation| !violation.message.is_empty()));
        }
    }
}
