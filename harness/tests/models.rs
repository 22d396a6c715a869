//! `squall check` on queues, sets, counters, locks, stores and registers as a shell sees it: exit codes, witnesses, budgets and proofs.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Said, Squall, exit_code};
use serde_json::{Value, json};

/// `(process, function, argument, invoked, returned, seen)`, times in milliseconds.
type Row = (u64, &'static str, Value, u64, u64, Value);

fn lines(key: Option<&str>, rows: &[Row]) -> String {
    let mut events: Vec<(u64, bool, String)> = Vec::new();
    for (process, f, argument, invoked, returned, seen) in rows {
        let line = |time_ms: &u64, kind: &str, value: &Value| {
            let mut line = json!({"time": time_ms * 1_000_000, "type": kind, "process": process, "f": f, "value": value});
            if let Some(key) = key {
                line["key"] = key.into();
            }
            line.to_string()
        };
        events.push((*invoked, false, line(invoked, "invoke", argument)));
        events.push((*returned, true, line(returned, "ok", seen)));
    }
    events.sort();
    events.into_iter().map(|(.., line)| line + "\n").collect()
}

/// A model, a history of it that is right and one that is wrong, and what is said of that.
fn cases() -> Vec<(&'static str, String, String, &'static str)> {
    let null = || Value::Null;
    let case = |model, good: &[Row], bad: &[Row], said| (model, lines(Some("k"), good), lines(Some("k"), bad), said);
    let txn = |process, parts: Value, at| (process, "txn", parts.clone(), at, at + 10, parts);
    vec![
        case(
            "register",
            &[(1, "write", json!(1), 0, 1, json!(1)), (2, "read", null(), 2, 3, json!(1))],
            &[(1, "write", json!(1), 0, 1, json!(1)), (2, "read", null(), 2, 3, null())],
            "that still saw null",
        ),
        case(
            "cas-register",
            &[(1, "cas", json!([null, 1]), 0, 1, null()), (2, "read", null(), 2, 3, json!(1))],
            &[(1, "cas", json!([null, 1]), 0, 1, null()), (2, "read", null(), 2, 3, null())],
            "although the former comes of the latter",
        ),
        case(
            "queue",
            &[(1, "enqueue", json!(5), 0, 1, json!(5)), (2, "dequeue", null(), 2, 3, json!(5))],
            &[(1, "enqueue", json!(5), 0, 1, json!(5)), (2, "dequeue", null(), 2, 3, null())],
            "although 5 was in it since",
        ),
        case(
            "set",
            &[(1, "add", json!(5), 0, 1, json!(5)), (2, "read", null(), 2, 3, json!([5]))],
            &[(1, "add", json!(5), 0, 1, json!(5)), (2, "read", null(), 2, 3, json!([]))],
            "lacks 5, whose add by process 1 had returned",
        ),
        case(
            "counter",
            &[(1, "inc", null(), 0, 1, null()), (2, "read", null(), 2, 3, json!(1))],
            &[(1, "inc", null(), 0, 1, null()), (2, "read", null(), 2, 3, json!(0))],
            "although 1 had been added before",
        ),
        case(
            "mutex",
            &[(1, "acquire", null(), 0, 1, null()), (1, "release", null(), 2, 3, null())],
            &[(1, "acquire", null(), 0, 1, null()), (2, "acquire", null(), 2, 3, null())],
            "while process 1 held it",
        ),
        (
            "kv",
            lines(
                None,
                &[
                    txn(1, json!([["w", "x", 1], ["w", "y", 1]]), 0),
                    txn(2, json!([["r", "x", 1], ["r", "y", 1]]), 20),
                ],
            ),
            lines(
                None,
                &[
                    txn(1, json!([["w", "x", 1], ["w", "y", 1]]), 0),
                    txn(2, json!([["r", "x", 1], ["r", "y", null]]), 20),
                ],
            ),
            "no order of these operations explains txn r x 1, r y null",
        ),
    ]
}

struct Desk {
    squall: Squall,
}

impl Desk {
    fn new() -> Desk {
        Desk { squall: Squall::new() }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.squall.folder().join(name);
        fs::write(&path, text).expect("the file can be saved");
        path
    }

    fn check(&self, path: &Path, more: &[&str]) -> Said {
        let path = path.display().to_string();
        self.squall.run(&[&["check", &path], more].concat())
    }

    #[track_caller]
    fn ends(&self, path: &Path, more: &[&str], code: i32, words: &[&str]) -> Said {
        let said = self.check(path, more);
        assert_eq!(exit_code(&said), code, "{more:?}: {}", said.text());
        for word in words {
            assert!(said.text().contains(word), "{more:?} should say `{word}`: {}", said.text());
        }
        said
    }
}

#[test]
fn every_model_judges_by_flag_and_by_guess() {
    let desk = Desk::new();
    for (model, good, bad, sentence) in cases() {
        let (good, bad) = (desk.file("good.jsonl", &good), desk.file("bad.jsonl", &bad));
        let named = desk.ends(&good, &["--model", model], 0, &["VALID"]);
        assert!(!named.stderr.contains("guessed"), "{}", named.text());
        desk.ends(&bad, &["--model", model], 1, &["INVALID", sentence, "smallest witness"]);
        let guessed = desk.ends(&bad, &[], 1, &[sentence]);
        assert!(
            guessed.stderr.contains(&format!("judged as {model} (`--model {model}`)")),
            "{}",
            guessed.text()
        );
    }
    let (_, good, ..) = cases().swap_remove(2);
    let good = desk.file("good.jsonl", &good);
    desk.ends(
        &good,
        &["--model", "fifo-queue"],
        0,
        &["the queue is linearizable (decided by aspects)"],
    );
    desk.ends(&good, &["--model", "stack"], 254, &["stack", "queue"]);
    desk.ends(&good, &["--model", "register"], 2, &["UNKNOWN", "line 1"]);
    desk.ends(&good, &["--numbers"], 0, &["judged as queue: 1 object by aspects"]);
}

#[test]
fn the_header_names_the_model() {
    let desk = Desk::new();
    let (_, _, bad, _) = cases().swap_remove(2);
    let header = r#"{"squall_history":1,"run":"r","seed":7,"clock":{"kind":"monotonic","origin_ns":0,"error_ns":0},"workload":"queue"}"#;
    let said = desk.ends(
        &desk.file("named.jsonl", &format!("{header}\n{bad}")),
        &[],
        1,
        &["queue `k` is not linearizable"],
    );
    assert!(!said.stderr.contains("guessed"), "{}", said.text());
}

#[test]
fn a_witness_reproduces_the_verdict_alone_and_the_verdict_file_says_how() {
    let desk = Desk::new();
    for (model, _, bad, _) in cases() {
        let folder = desk.squall.folder().join(format!("run-{model}"));
        fs::create_dir(&folder).expect("a folder can be made");
        fs::write(folder.join("history.jsonl"), &bad).expect("the history can be saved");
        desk.ends(&folder, &["--model", model], 1, &["INVALID"]);
        desk.ends(&folder.join("witness.jsonl"), &["--model", model], 1, &["INVALID"]);
        let read = |name: &str| fs::read_to_string(folder.join(name)).expect("the judgement is stored");
        let verdict: Value = serde_json::from_str(&read("verdict.json")).expect("it is JSON");
        assert_eq!((&verdict["verdict"], &verdict["exit_code"]), (&json!("invalid"), &json!(1)));
        let judged = &verdict["linearizability"];
        assert_eq!(
            (&judged["model"], &judged["chosen"], &judged["n_objects"]),
            (&json!(model), &json!("asked"), &json!(1))
        );
        let object = &judged["objects"][0];
        assert_eq!(object["verdict"], "invalid", "{judged}");
        assert_eq!(judged["algorithms"][object["algorithm"].as_str().expect("a name")], 1, "{judged}");
        assert!(read("witness.html").contains("is not linearizable"));
        // Once more: the same bytes.
        let files = [
            "verdict.json",
            "report.txt",
            "witness.txt",
            "witness.jsonl",
            "witness.svg",
            "witness.html",
        ];
        let before = files.map(read);
        desk.ends(&folder, &["--model", model], 1, &[]);
        assert_eq!(files.map(read), before);
    }
}

#[test]
fn what_no_model_knows_is_unknown_with_its_line() {
    let desk = Desk::new();
    let drain = desk.file(
        "drain.jsonl",
        &lines(
            Some("q"),
            &[
                (1, "enqueue", json!(5), 0, 1, json!(5)),
                (1, "drain", Value::Null, 2, 3, json!([5])),
            ],
        ),
    );
    desk.ends(&drain, &[], 2, &["UNKNOWN", "`drain` on line 3 is no operation of a queue"]);
    let odd = desk.file("odd.jsonl", &lines(Some("q"), &[(1, "frobnicate", json!(5), 0, 1, json!(5))]));
    desk.ends(&odd, &[], 2, &["UNKNOWN", "`frobnicate` on line 1"]);
}

/// A transaction that no order of many concurrent ones explains, which a search finds out late; and keys beside it.
fn hard() -> String {
    let both = |value: u64| json!([["w", "x", value], ["w", "y", value]]);
    let mut rows: Vec<Row> = (0..26).map(|n| (n, "txn", both(n), 0, 100, both(n))).collect();
    let torn = json!([["r", "x", 1], ["r", "y", 2]]);
    rows.push((90, "txn", torn.clone(), 200, 201, torn));
    let fine = [
        (91, "write", json!(1), 300, 301, json!(1)),
        (91, "read", Value::Null, 302, 303, json!(1)),
    ];
    lines(None, &rows) + &lines(Some("fine"), &fine)
}

#[test]
fn a_budget_ends_in_unknown_that_names_key_window_and_what_is_proved() {
    let desk = Desk::new();
    let folder = desk.squall.folder().join("hard");
    fs::create_dir(&folder).expect("a folder can be made");
    fs::write(folder.join("history.jsonl"), hard()).expect("the history can be saved");
    let words = [
        "UNKNOWN  group of keys `x, y` could not be judged",
        "the budget of 1048576 bytes ended between",
        "26 operations at once and 0 of unknown outcome",
        "is linearizable",
    ];
    let once = desk.ends(&folder, &["--budget", "1MiB,10m"], 2, &words);
    let again = desk.ends(&folder, &["--budget", "10m,1MiB"], 2, &words);
    assert_eq!(once.stdout, again.stdout);
    let verdict: Value = serde_json::from_slice(&fs::read(folder.join("verdict.json")).expect("it is stored")).expect("it is JSON");
    let objects = verdict["linearizability"]["objects"].as_array().expect("a list");
    let said: Vec<_> = objects.iter().map(|object| (&object["name"], &object["verdict"])).collect();
    assert_eq!(said, [(&json!("x, y"), &json!("unknown")), (&json!("fine"), &json!("valid"))]);
}

#[test]
fn a_time_budget_that_ended_is_named() {
    let desk = Desk::new();
    let hard = desk.file("hard.jsonl", &hard());
    let words = ["UNKNOWN", "the check was stopped between", "note: the time budget of 20ms ended"];
    desk.ends(&hard, &["--budget", "20ms,8GiB"], 2, &words);
    desk.ends(&hard, &["--budget", "20parsecs"], 254, &["parsecs"]);
    desk.ends(&hard, &["--budget", "1GiB,2GiB"], 254, &["twice"]);
}

#[test]
fn proofs_are_replayed_without_judging() {
    let desk = Desk::new();
    let proof = desk.squall.folder().join("proof.jsonl");
    let name = proof.display().to_string();
    for (model, good, bad, _) in cases() {
        let (good, bad) = (desk.file("good.jsonl", &good), desk.file("bad.jsonl", &bad));
        desk.ends(&bad, &["--model", model, "--proof", &name], 1, &[]);
        desk.ends(&bad, &["--verify", &name], 1, &["PROVED INVALID"]);
        desk.ends(&good, &["--verify", &name], 254, &["line 1", "it is of a history of"]);
        desk.ends(&good, &["--model", model, "--proof", &name], 0, &[]);
        desk.ends(&good, &["--verify", &name], 0, &["PROVED VALID"]);
        let text = fs::read_to_string(&proof).expect("the proof is there");
        for (from, to) in [
            ("[0,1]", "[1,0]"),
            ("[0,1]", "[0]"),
            ("[0,1]", "[0,1,1]"),
            ("[0,1]", "[0,7]"),
            ("valid", "invalid"),
            ("order", "odor"),
        ] {
            let tampered = desk.file("tampered.jsonl", &text.replace(from, to));
            desk.ends(
                &good,
                &["--verify", &tampered.display().to_string()],
                254,
                &["line", "proves nothing"],
            );
        }
        let without = text.lines().next().expect("a header").replace("\"n_objects\":1", "\"n_objects\":0");
        let without = desk.file("without.jsonl", &without);
        desk.ends(
            &good,
            &["--verify", &without.display().to_string()],
            2,
            &["NOT PROVED", "is in no order"],
        );
    }
    let hard = desk.file("hard.jsonl", &hard());
    desk.ends(&hard, &["--budget", "1MiB", "--proof", &name], 2, &[]);
    desk.ends(&hard, &["--verify", &name], 2, &["NOT PROVED", "bytes ended"]);
    for garbage in ["", "{}", "\u{0}\u{1b}", "{\"squall_proof\":9}", "[[[[[[[["] {
        let garbage = desk.file("garbage.jsonl", garbage);
        desk.ends(&hard, &["--verify", &garbage.display().to_string()], 254, &["proves nothing"]);
    }
    desk.ends(&hard, &["--verify", "nowhere"], 254, &["nowhere"]);
    desk.ends(&hard, &["--verify", &name, "--model", "kv"], 254, &["--verify"]);
}

#[test]
fn the_help_of_check() {
    let help = Squall::new().run(&["check", "--help"]);
    insta::assert_snapshot!(help.stdout);
}
