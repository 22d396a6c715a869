//! Fuzz targets as plain functions: whatever the bytes, every reader and every checker ends, within bounds that are counted and not timed.

use std::io::{self, BufRead, Read};
use std::sync::atomic::{AtomicU64, Ordering};

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use squall_checker::history::History;
use squall_checker::history::formats::export::{ExportOptions, write_edn};
use squall_checker::history::formats::{EdnValue, Format, Independent, ReadOptions, read};
use squall_checker::judge::{Traces, judge};
use squall_checker::linearizability::general::{Answer, ModelChoice, check_model};
use squall_checker::linearizability::{Budget, Options, Witness, check_with, general, linearization_with, verify};
use squall_checker::trace::{Conditions, NodeTraces};
use squall_checker::verdict::Verdict;

use super::lines::file;
use super::random::{Object, history};
use super::simulate::{Flags, simulate, write};

/// What one key of a hostile file may cost.
const CONFIGURATIONS_MAX: u64 = 20_000;
const BYTES_MAX: u64 = 16 << 20;

/// Questions of whether to stop, over all keys and models of one file, that a checker may ask before it is told yes. One comes with about a
/// thousand units of work, so a search that loses count of its budget ends here, and fails.
const QUESTIONS_MAX: u64 = 10_000;

/// Bytes that come in small pieces. A reader that asks again and again without taking anything does not end; here it fails.
struct Pieces<'a> {
    bytes: &'a [u8],
    asked: usize,
    asked_max: usize,
}

impl Pieces<'_> {
    fn of(bytes: &[u8]) -> Pieces<'_> {
        Pieces {
            bytes,
            asked: 0,
            asked_max: 8 * bytes.len() + 64,
        }
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let piece = self.fill_buf()?;
        let count = piece.len().min(into.len());
        into[..count].copy_from_slice(&piece[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.asked += 1;
        assert!(self.asked <= self.asked_max, "a reader asks for ever");
        Ok(&self.bytes[..self.bytes.len().min(13)])
    }

    fn consume(&mut self, count: usize) {
        self.bytes = &self.bytes[count..];
    }
}

/// Reads `bytes` as what they look like and as every format, as a node's trace and as a history to judge.
fn whatever_the_bytes(bytes: &[u8]) {
    let lines = bytes.iter().filter(|&&byte| byte == b'\n').count() as u64 + 1;
    for format in [None].into_iter().chain(Format::ALL.map(Some)) {
        let options = ReadOptions {
            format,
            independent: if bytes.len().is_multiple_of(2) {
                Independent::Auto
            } else {
                Independent::Yes
            },
            initial: EdnValue::parse("0").filter(|_| bytes.len().is_multiple_of(3)),
            ..ReadOptions::default()
        };
        match read(Pieces::of(bytes), &options) {
            Ok(import) => {
                let history = import.history;
                assert!(history.operations.len() + history.marks.len() <= bytes.len(), "much out of little");
                whatever_the_history(&history);
            }
            Err(error) => {
                assert!((1..=lines).contains(&error.line), "{error}");
                assert!(error.to_string().len() < 4_000, "{error}");
            }
        }
    }
    let traces = NodeTraces::read([("n1".to_owned(), Ok(Pieces::of(bytes)))]);
    traces.check(&Conditions {
        origin_ns: 0,
        settled: true,
        calm: None,
    });
}

/// Judges a history in every way, with small budgets; what is decided is proved.
fn whatever_the_history(history: &History) {
    let questions = AtomicU64::new(0);
    let stop = || {
        let asked = questions.fetch_add(1, Ordering::Relaxed);
        assert!(asked < QUESTIONS_MAX, "a check does not end");
        false
    };
    let options = Options {
        budget: Budget {
            configurations: CONFIGURATIONS_MAX,
            bytes: BYTES_MAX,
        },
        stop: Some(&stop),
        ..Default::default()
    };
    let results = check_with(history, &options);
    assert_eq!(results, check_with(history, &options), "the same history, another answer");
    for result in &results {
        match (&result.verdict, &result.certificate) {
            (Verdict::Invalid, Some(certificate)) => {
                assert_eq!(verify::invalid(history, result.key, certificate), Ok(()), "{certificate:?}");
                let witness = Witness::of(history, result).expect("what is invalid has a witness");
                assert!(!witness.text().is_empty());
                let lines = witness.history_lines();
                let again = History::read(lines.as_slice());
                assert!(
                    again.is_ok(),
                    "{again:?}: {}, {result:?} of {history:#?}",
                    String::from_utf8_lossy(&lines)
                );
            }
            (Verdict::Valid, None) => {
                let order = linearization_with(history, result.key, &options).expect("what is valid has an order");
                assert_eq!(verify::valid(history, result.key, &order), Ok(()), "{order:?}");
            }
            _ => assert!(result.reason.is_some(), "{result:?}"),
        }
    }
    let options = general::Options {
        budget: Budget {
            configurations: CONFIGURATIONS_MAX,
            bytes: BYTES_MAX,
        },
        stop: Some(&stop),
        ..Default::default()
    };
    for model in ModelChoice::ALL {
        for result in check_model(history, model, &options) {
            if let Answer::Unknown(undecided) = result.answer {
                assert!(!undecided.reason.is_empty());
            }
        }
    }
    judge(history, Traces::Missing);
    write_edn(history, &ExportOptions::default(), &mut io::sink()).expect("a sink takes everything");
}

/// Whole files of every format that hold something to judge.
fn good_file(chance: &mut ChaCha8Rng) -> Vec<u8> {
    const OBJECTS: [Object; 8] = [
        Object::Register,
        Object::BareCas,
        Object::ReportingCas,
        Object::Kv,
        Object::Counter,
        Object::Set,
        Object::Queue,
        Object::Mutex,
    ];
    let object = *OBJECTS.choose(chance).expect("there are objects");
    match chance.random_range(0..6) {
        0 | 1 => file(&history(chance, object)).into_bytes(),
        2 => {
            let flags = Flags {
                operations: chance.random_range(2..20),
                cas: 0.2,
                domain: chance.random_range(0..4),
                unknown: 0.1,
                seed: chance.random_range(0..1 << 40),
                ..Flags::default()
            };
            let mut out = Vec::new();
            write(&simulate(&flags).operations, &mut out).expect("a vector takes everything");
            out
        }
        3 => {
            let ours = History::read(file(&history(chance, object)).as_bytes()).expect("the file is one of ours");
            let mut out = Vec::new();
            write_edn(&ours, &ExportOptions::default(), &mut out).expect("a vector takes everything");
            out
        }
        4 => LOG.as_bytes().to_vec(),
        _ => KEY_VALUES.as_bytes().to_vec(),
    }
}

const LOG: &str = "INFO  jepsen.util - 0\t:invoke\t:read\tnil\nINFO  jepsen.util - 0\t:ok\t:read\tnil\n\
    INFO  jepsen.util - 4\t:invoke\t:cas\t[3 0]\nINFO  jepsen.util - 1\t:invoke\t:write\t2\nINFO  jepsen.util - 4\t:fail\t:cas\t[3 0]\n\
    INFO  jepsen.util - 1\t:info\t:write\t:timed-out\nINFO  jepsen.util - 6\t:invoke\t:cas\t[2 2]\nINFO  jepsen.util - 6\t:ok\t:cas\t[2 2]\n";

const KEY_VALUES: &str = "{:process 9, :type :invoke, :f :put, :key \"3\", :value \"x 9 0 y\"}\n\
    {:process 8, :type :invoke, :f :append, :key \"3\", :value \"x 8 0 y\"}\n{:process 9, :type :ok, :f :put, :key \"3\", :value \"x 9 0 y\"}\n\
    {:process 8, :type :ok, :f :append, :key \"3\", :value \"x 8 0 y\"}\n{:process 7, :type :invoke, :f :get, :key \"3\", :value nil}\n\
    {:process 7, :type :ok, :f :get, :key \"3\", :value \"x 9 0 yx 8 0 y\"}\n";

/// What breaks readers: ends of ranges, ends of texts, openers without an end.
const HOSTILE: [&str; 24] = [
    "18446744073709551616",
    "9223372036854775807",
    "-9223372036854775808",
    "4611686018427387905",
    "4294967296",
    "-1",
    "1e999",
    "0.1",
    "00",
    "null",
    "true",
    "[1,2]",
    "[[1,2],[3,null]]",
    "[\"r\",\"k0\",null]",
    "[[\"w\",\"k0\",1],[\"r\",\"k1\",2]]",
    "{}",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\u{feff}",
    "\u{202e}",
    "\"type\":\"info\",",
    "\"key\":null,",
    ",\"error\":{\"kind\":\"mismatch\",\"seen\":null}",
    "\r\n",
];

fn spoil(chance: &mut ChaCha8Rng, bytes: &mut Vec<u8>) {
    let place = chance.random_range(0..=bytes.len());
    match chance.random_range(0..9) {
        0 => bytes.truncate(place),
        1 => bytes.insert(place, chance.random()),
        2 if place < bytes.len() => bytes[place] ^= 1 << chance.random_range(0..8),
        3 => {
            let until = (place + chance.random_range(1..30)).min(bytes.len());
            bytes.drain(place..until);
        }
        4 => {
            let hostile = HOSTILE.choose(chance).expect("there are some");
            bytes.splice(place..place, hostile.bytes());
        }
        5 => replace_number(chance, bytes),
        6 => {
            let depth = chance.random_range(1..300);
            let (open, close) = *[("[", "]"), ("{\"a\":", "}"), ("(", ")"), ("#{", "}")]
                .choose(chance)
                .expect("four");
            let nested = [open.repeat(depth), "1".to_owned(), close.repeat(depth)].concat();
            bytes.splice(place..place, nested.into_bytes());
        }
        7 => swap_lines(chance, bytes),
        _ => {
            // A piece comes twice: processes that begin again, values written again.
            let until = (place + chance.random_range(1..200)).min(bytes.len());
            let piece = bytes[place..until].to_vec();
            bytes.splice(until..until, piece);
        }
    }
}

/// A number of the file becomes a hostile one, so that the file stays well formed more often.
fn replace_number(chance: &mut ChaCha8Rng, bytes: &mut Vec<u8>) {
    let begins: Vec<usize> = (0..bytes.len())
        .filter(|&place| bytes[place].is_ascii_digit() && (place == 0 || !bytes[place - 1].is_ascii_digit()))
        .collect();
    if let Some(&begin) = begins.choose(chance) {
        let digits = bytes[begin..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let hostile = if chance.random_ratio(1, 20) {
            "7".repeat(400)
        } else {
            (*HOSTILE[..16].choose(chance).expect("there are some")).to_owned()
        };
        bytes.splice(begin..begin + digits, hostile.into_bytes());
    }
}

fn swap_lines(chance: &mut ChaCha8Rng, bytes: &mut Vec<u8>) {
    let mut lines: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
    if lines.len() > 1 {
        let (one, other) = (chance.random_range(0..lines.len()), chance.random_range(0..lines.len()));
        lines.swap(one, other);
        *bytes = lines.concat();
    }
}

#[test]
fn good_files_with_something_spoiled_are_read_judged_or_refused() {
    let mut chance = ChaCha8Rng::seed_from_u64(40);
    for _ in 0..6_000 {
        let mut bytes = good_file(&mut chance);
        for _ in 0..chance.random_range(0..4) {
            spoil(&mut chance, &mut bytes);
        }
        whatever_the_bytes(&bytes);
    }
}

#[test]
fn noise_is_refused_or_empty() {
    let mut chance = ChaCha8Rng::seed_from_u64(41);
    for length in 0..400 {
        let mut bytes = vec![0; length];
        chance.fill_bytes(&mut bytes);
        whatever_the_bytes(&bytes);
        // Noise of the characters that formats are made of comes further.
        bytes
            .iter_mut()
            .for_each(|byte| *byte = b"{}[]()\"\\#:;,\n\t -09eN./"[usize::from(*byte) % 22]);
        whatever_the_bytes(&bytes);
    }
}

#[test]
fn a_file_cut_anywhere_is_read_judged_or_refused() {
    let mut chance = ChaCha8Rng::seed_from_u64(42);
    for _ in 0..12 {
        let bytes = good_file(&mut chance);
        for length in 0..bytes.len() {
            whatever_the_bytes(&bytes[..length]);
        }
    }
}

#[test]
fn many_operations_under_way_at_once_end_within_their_budget() {
    // A thousand writes of few values and reads of them, none of which is over before the last begins.
    let mut lines = String::new();
    for process in 0..1_000 {
        let (f, asked) = if process % 3 == 0 {
            ("read", "null".to_owned())
        } else {
            ("write", (process % 7).to_string())
        };
        lines.push_str(&format!(
            "{{\"time\":{process},\"type\":\"invoke\",\"process\":{process},\"f\":\"{f}\",\"value\":{asked}}}\n"
        ));
    }
    for process in 0..1_000 {
        let (f, saw) = if process % 3 == 0 {
            ("read", process * 5 % 8)
        } else {
            ("write", process % 7)
        };
        let time = 2_000 + process * 31 % 1_000;
        lines.push_str(&format!(
            "{{\"time\":{time},\"type\":\"ok\",\"process\":{process},\"f\":\"{f}\",\"value\":{saw}}}\n"
        ));
    }
    whatever_the_history(&History::read(lines.as_bytes()).expect("the file is one of ours"));
}
