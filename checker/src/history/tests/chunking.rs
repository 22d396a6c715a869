//! Neither threads, nor chunks, nor who reads a line can be seen in a history or an error.

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::history::History;
use crate::history::chunks::{self, Chunking, LineReader};
use crate::history::error::{ReadError, ReadErrorKind};
use crate::history::formats::operation_lines::Rows;
use crate::history::read::Reader;

/// A reader that reads nothing by hand.
struct BySerde<L>(L);

impl<L: LineReader> LineReader for BySerde<L> {
    type Row = ();
    const LINE_BYTES_USUAL: usize = L::LINE_BYTES_USUAL;

    fn parse(_: &[u8], _: usize) -> Option<((), usize)> {
        None
    }

    fn take_rows(&mut self, _: &[u8], rows: &[()]) -> Result<(), ReadError> {
        assert!(rows.is_empty());
        Ok(())
    }

    fn take_line(&mut self, line: &[u8]) -> Result<(), ReadError> {
        self.0.take_line(line)
    }

    fn error_at_next(&self, kind: ReadErrorKind) -> ReadError {
        self.0.error_at_next(kind)
    }
}

/// Everything of a history, or the error, as text.
pub(super) fn told(read: Result<History, ReadError>) -> String {
    let history = match read {
        Ok(history) => history,
        Err(error) => return format!("{error}"),
    };
    let values: Vec<String> = history
        .operations
        .iter()
        .map(|operation| {
            let observed = operation.observed().map(|observed| history.value(observed));
            format!("{operation:?} {} {observed:?}", history.value(operation.argument))
        })
        .collect();
    format!("{values:#?} {history:?}")
}

fn read<L: LineReader>(bytes: &[u8], chunking: Chunking, mut lines: L, finish: fn(L) -> Result<History, ReadError>) -> String {
    told(chunks::read(bytes, &mut lines, chunking).and_then(|()| finish(lines)))
}

/// Reads as both formats, in many ways, and compares. How many of the two are histories.
fn check<L: LineReader + Default>(bytes: &[u8], finish: fn(L) -> Result<History, ReadError>, chance: &mut impl Rng) -> usize {
    let expected = told(chunks_by_serde::<L>(bytes).and_then(finish));
    let mut ways = vec![Chunking::default()];
    // Small chunks are many steps, and each starts its threads.
    for (threads, bytes) in [(1, 1..2), (1, 2..40), (1, 40..600), (2, 40..600), (7, 200..2_000)] {
        let bytes = chance.random_range(bytes);
        ways.push(Chunking { threads, bytes });
    }
    for chunking in ways {
        let text = || String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(read(bytes, chunking, L::default(), finish), expected, "{chunking:?}:\n{}", text());
    }
    usize::from(expected.starts_with('['))
}

fn chunks_by_serde<L: LineReader + Default>(bytes: &[u8]) -> Result<L, ReadError> {
    let mut lines = BySerde(L::default());
    chunks::read(bytes, &mut lines, Chunking::default())?;
    Ok(lines.0)
}

/// Values whose spelling is a trap.
const VALUES: [&str; 26] = [
    "1",
    "2",
    "3",
    "null",
    "-0",
    "0",
    "-7",
    "1.0",
    "1.5",
    "1e3",
    "-1E-2",
    "100000000000000000000",
    "999999999999999999",
    "9999999999999999999",
    "4611686018427387904",
    "true",
    "\"a\"",
    "\"\"",
    "\"\\u0061\"",
    "\"é\\n\"",
    "[1,2]",
    "[1, 2]",
    "[null,\"x\"]",
    "[1,2,3]",
    "{\"a\":1,\"a\":2}",
    "{}",
];

/// Names whose spelling is a trap.
const NAMES: [&str; 8] = ["\"k\"", "\"k\"", "\"k2\"", "\"\"", "\"é\"", "\"\\u006b\"", "17", "null"];

const ERRORS: [&str; 8] = [
    "{\"kind\":\"timeout\"}",
    "{\"kind\":\"mismatch\",\"seen\":5}",
    "{\"kind\":\"no \\\"quorum\\\"\",\"message\":\"a\\\\b}\"}",
    "\"refused\"",
    "null",
    "17",
    "{ \"seen\" : null }",
    "{\"kind\":[]}",
];

fn pick<'a>(from: &[&'a str], chance: &mut impl Rng) -> &'a str {
    from.choose(chance).unwrap()
}

/// One line, spelled as our programs spell it or a little otherwise.
fn spelled(fields: &[(&str, String)], chance: &mut impl Rng) -> String {
    let mut fields: Vec<(&str, String)> = fields.to_vec();
    let way = chance.random_range(0..40);
    match way {
        0 => fields.reverse(),
        1 => fields.push(("unknown", pick(&VALUES, chance).to_owned())),
        2 => fields.push(fields[chance.random_range(0..fields.len())].clone()),
        3 => {
            fields.remove(chance.random_range(0..fields.len()));
        }
        _ => {}
    }
    let (separator, colon) = if way == 4 { (", ", ": ") } else { (",", ":") };
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\"{colon}{value}")).collect();
    let end = ["\n", "\r\n", " \n", "\n\n"][if way < 8 { way % 4 } else { 0 }];
    format!("{{{}}}{end}", fields.join(separator))
}

/// A history of our own that is right but for what the spelling does to it.
pub(super) fn our_lines(chance: &mut impl Rng) -> String {
    let mut text = String::new();
    if chance.random_ratio(1, 4) {
        text += "{\"squall_history\":1,\"nodes\":[\"n1\"],\"x\":1}\n";
    }
    let mut open: [Option<(&str, &str, &str)>; 3] = [None; 3];
    for place in 0..chance.random_range(1..30_u64) {
        let process = chance.random_range(0..3_usize);
        let (kind, (f, key, value)) = match open[process].take() {
            None => {
                let f = pick(&["read", "write", "write", "cas", "add"], chance);
                let value = if f == "read" { "null" } else { pick(&VALUES, chance) };
                ("invoke", (f, pick(&NAMES, chance), value))
            }
            Some((f, key, value)) => {
                let value = if f == "read" { pick(&VALUES, chance) } else { value };
                let kind = if f == "write" && chance.random_ratio(1, 9) {
                    "fail"
                } else {
                    pick(&["ok", "ok", "fail"], chance)
                };
                (kind, (f, key, value))
            }
        };
        if kind == "invoke" {
            open[process] = Some((f, key, value));
        }
        let mut fields = vec![
            ("index", place.to_string()),
            ("time", (place * 10).to_string()),
            ("type", format!("\"{kind}\"")),
            ("process", process.to_string()),
            ("f", format!("\"{f}\"")),
            ("key", key.to_owned()),
            ("value", value.to_owned()),
            ("node", pick(&["\"n1\"", "\"n2\"", "null"], chance).to_owned()),
        ];
        if kind == "fail" {
            fields.push(("error", pick(&ERRORS, chance).to_owned()));
        }
        if chance.random_ratio(1, 9) {
            fields.remove(0);
        }
        text += &spelled(&fields, chance);
        if chance.random_ratio(1, 20) {
            text += "{\"time\":1,\"type\":\"info\",\"process\":\"nemesis\",\"f\":\"partition\",\"value\":{\"id\":1}}\n";
        }
    }
    text
}

/// The same, with one operation per line.
fn operation_lines(chance: &mut impl Rng) -> String {
    let mut text = String::new();
    for place in 0..chance.random_range(1..20_u64) {
        let f = pick(&["read", "write", "cas", "cas", "add"], chance);
        let (arg, res) = match f {
            "cas" => (
                pick(&["[1,2]", "[1,2]", "[-1,3]", "[1, 2]", "[1,\"a\"]", "1"], chance),
                pick(&["true", "false", "null"], chance),
            ),
            "read" => ("null", pick(&VALUES, chance)),
            _ => (pick(&VALUES, chance), "null"),
        };
        let ret = if chance.random_ratio(1, 9) {
            "null".to_owned()
        } else {
            (place * 10 + chance.random_range(0..12)).to_string()
        };
        let fields = [
            ("proc", place.to_string()),
            ("f", format!("\"{f}\"")),
            ("key", pick(&NAMES, chance).to_owned()),
            ("arg", arg.to_owned()),
            ("res", res.to_owned()),
            ("inv", (place * 10).to_string()),
            ("ret", ret),
        ];
        text += &spelled(&fields, chance);
    }
    text
}

/// Breaks a few bytes, or cuts the file.
fn broken(text: String, chance: &mut impl Rng) -> Vec<u8> {
    let mut bytes = text.into_bytes();
    for _ in 0..*[0, 0, 0, 1, 3].choose(chance).unwrap() {
        let place = chance.random_range(0..bytes.len());
        match chance.random_range(0..4) {
            0 => bytes[place] = chance.random(),
            1 => bytes[place] = *b"{}[]\",:\\ 019.eE-+\n\t".choose(chance).unwrap(),
            2 => bytes.truncate(place + 1),
            _ => {
                bytes.remove(place);
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

const ROUNDS: usize = 400;

#[test]
fn a_history_is_the_same_by_hand_and_by_serde_in_any_chunks_on_any_threads() {
    let mut chance = ChaCha8Rng::seed_from_u64(11);
    let (mut ours, mut theirs) = (0, 0);
    for _ in 0..ROUNDS {
        let text = our_lines(&mut chance);
        ours += check::<Reader>(&broken(text, &mut chance), |reader| Ok(reader.finish()), &mut chance);
        let text = operation_lines(&mut chance);
        theirs += check::<Rows>(&broken(text, &mut chance), Rows::finish, &mut chance);
    }
    // Both sides of each answer were compared.
    for histories in [ours, theirs] {
        assert!(
            (ROUNDS / 8..ROUNDS * 7 / 8).contains(&histories),
            "{ours} and {theirs} of {ROUNDS} are histories"
        );
    }
}

#[test]
fn a_piece_ends_where_a_line_does_and_a_long_line_makes_a_long_chunk() {
    let long = format!(
        "{{\"time\":1,\"type\":\"invoke\",\"process\":1,\"f\":\"write\",\"value\":\"{}\"}}\n",
        "x".repeat(10_000)
    );
    let short = "{\"time\":1,\"type\":\"invoke\",\"process\":2,\"f\":\"write\",\"value\":1}\n";
    let text = short.to_owned() + &long + "{\"time\":1,\"type\":\"invoke\",\"process\":3,\"f\":\"write\",\"value\":1}";
    for bytes in [1, 16, 64, 4_096, 1 << 20] {
        for threads in [1, 2, 7] {
            let history = History::read_chunked(text.as_bytes(), Chunking { threads, bytes }).unwrap();
            assert_eq!((history.operations.len(), history.lines), (3, 3));
        }
    }
}
