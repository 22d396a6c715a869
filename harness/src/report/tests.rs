//! The text of every kind of verdict, as a person sees it without colour.

mod story;

use std::path::Path;

use serde_json::{Value, json};
use squall_checker::history::History;
use squall_checker::judge::Traces;
use squall_checker::trace::NodeTraces;

use super::hints::{self, Done};
use super::numbers::FirstSuccess;
use super::{Report, WitnessAt};
use crate::results::RunFolder;
use story::Story;

fn report(story: &Story) -> Report {
    Report::of(
        &History::read(story.text().as_bytes()).unwrap(),
        Traces::AtHand(&NodeTraces::default()),
    )
}

/// What `squall run` prints, without styles, as if its results folder were `results`.
fn printed(story: &Story) -> String {
    let report = report(story);
    let results = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(results.path(), "quorum", 7).unwrap();
    std::fs::write(folder.plan(), "{}").unwrap();
    let witness_at = WitnessAt::folder(&folder);
    let hints = hints::text(&report, Done::Run, &folder.typed(), Some(&folder));
    let text = format!("{}{}{hints}", report.verdict_text(&witness_at), report.numbers_text());
    plain(&text).replace(results.path().to_str().unwrap(), "results")
}

fn plain(styled: &str) -> String {
    anstream::adapter::strip_str(styled).to_string()
}

#[test]
fn a_valid_run() {
    insta::assert_snapshot!(printed(&Story::good()));
}

#[test]
fn a_run_is_told_in_under_thirty_lines() {
    let lines = printed(&Story::good()).lines().count();
    assert!(lines < 30, "{lines} lines");
}

#[test]
fn an_invalid_run_with_its_witness() {
    let mut story = Story::good();
    story.stale_read("k3");
    insta::assert_snapshot!(printed(&story));
}

#[test]
fn an_invalid_file_prints_its_witness_where_there_is_no_folder_for_it() {
    let mut story = Story::good();
    story.stale_read("k3");
    let report = report(&story);
    let text = report.verdict_text(&WitnessAt::Inline);
    let hints = hints::text(&report, Done::Check { numbers: false }, Path::new("my file.jsonl"), None);
    insta::assert_snapshot!(plain(&format!("{text}{hints}")));
}

#[test]
fn a_vacuous_run() {
    let mut story = Story::good();
    story.header["requested"] = json!(["partition", "kill", "pause"]);
    story.mark(
        2_600,
        "nemesis",
        "pause",
        json!({"id": 3, "stage": "skipped", "reason": "n2 is already down"}),
    );
    story.change_stage(1, "probed", |value| value["probe"]["ok"] = json!(false));
    insta::assert_snapshot!(printed(&story));
}

#[test]
fn a_crash_with_its_log_tail_that_cannot_reach_the_terminal() {
    let mut story = Story::good();
    let log_tail = json!([
        "10:00:01 INFO ready",
        "thread 'main' panicked at \u{1b}[2J\u{1b}]0;owned\u{7}",
        "note: run with RUST_BACKTRACE=1"
    ]);
    story.mark(
        2_700,
        "harness",
        "exit",
        json!({"node": "n4", "expected": false, "status": "exit status 101", "log_tail": log_tail}),
    );
    let text = printed(&story);
    assert!(!text.contains(['\u{1b}', '\u{7}']));
    insta::assert_snapshot!(text);
}

#[test]
fn an_interrupted_run() {
    let mut story = Story::good();
    story.end = Some("interrupted");
    story.storm_ends_early();
    insta::assert_snapshot!(printed(&story));
    assert_eq!(report(&story).exit_code(), 130);
    story.stale_read("k3");
    assert_eq!(report(&story).exit_code(), 1);
}

#[test]
fn a_harness_error() {
    let mut story = Story::good();
    story.change_stage(2, "healed", |value| value["probe"] = json!({"ok": false, "saw": "no process"}));
    insta::assert_snapshot!(printed(&story));
}

#[test]
fn a_killed_harness() {
    let mut story = Story::good();
    story.end = None;
    insta::assert_snapshot!(plain(&report(&story).verdict_text(&WitnessAt::Inline)));
}

#[test]
fn a_foreign_file() {
    let text = r#"{"index":0,"time":1,"type":"invoke","process":0,"f":"write","key":"x","value":1}
{"index":1,"time":2,"type":"ok","process":0,"f":"write","key":"x","value":1}
{"index":2,"time":3,"type":"invoke","process":0,"f":"read","key":"x","value":null}
{"index":3,"time":4,"type":"info","process":0,"f":"read","key":"x","value":null,"error":"timeout"}
"#;
    let report = Report::of(&History::read(text.as_bytes()).unwrap(), Traces::Missing);
    let hints = hints::text(&report, Done::Check { numbers: true }, Path::new("x.jsonl"), None);
    insta::assert_snapshot!(plain(&format!(
        "{}\n{}\n{hints}",
        report.verdict_text(&WitnessAt::Inline),
        report.numbers_text()
    )));
}

#[test]
fn keys_cannot_reach_the_terminal() {
    let mut story = Story::good();
    story.stale_read("k\u{1b}[31m\r\nVALID");
    for at in [
        WitnessAt::Inline,
        WitnessAt::Files {
            witness: "w".into(),
            spacetime: "s".into(),
        },
    ] {
        let text = plain(&report(&story).verdict_text(&at));
        assert!(!text.contains(['\u{1b}', '\r']), "{text}");
        assert!(!text.lines().any(|line| line.starts_with("VALID")), "{text}");
    }
}

#[test]
fn long_lines_are_cut_on_a_terminal_and_kept_in_the_report() {
    let mut story = Story::good();
    story.header["system"] = json!("s".repeat(5_000));
    let exit = json!({"node": "n4", "expected": false, "status": "gone", "log_tail": ["x".repeat(5_000)]});
    story.mark(2_700, "harness", "exit", exit);
    assert!(printed(&story).lines().all(|line| line.chars().count() < 250));
    assert!(report(&story).files().report.contains(&"x".repeat(5_000)));
}

#[test]
fn the_files_of_a_run_follow_from_its_history_alone() {
    let mut story = Story::good();
    story.stale_read("k3");
    let files = report(&story).files();
    assert_eq!(files, report(&story).files());
    let (witness, history) = files.witness.expect("a violation has a witness");
    assert!(!witness.is_empty());
    let again = Report::of(&History::read(history.as_bytes()).unwrap(), Traces::Missing);
    assert_eq!(again.exit_code(), 1, "the witness is itself a history that breaks the rule");
    let verdict: Value = serde_json::from_str(&files.verdict).unwrap();
    assert_eq!(
        (&verdict["verdict"], &verdict["class"], &verdict["exit_code"]),
        (&json!("invalid"), &json!("safety"), &json!(1))
    );
    assert_eq!(verdict["witness"]["key"], "k3");
    assert!(
        files.report.contains("in witness.txt") && !files.report.contains('\u{1b}'),
        "{}",
        files.report
    );
}

#[test]
fn the_first_success_is_of_an_operation_that_began_after_the_moment() {
    let numbers = report(&Story::good()).numbers;
    // Injected at 1 501 ms while an operation is under way; the first to begin after it is refused, the next serves.
    let felt = numbers.faults[0].felt.unwrap();
    assert_eq!(felt.first_success, FirstSuccess::AfterMs(story::FIRST_SUCCESS_MS));
    assert!(felt.first_success_worst_client > felt.first_success, "{felt:?}");
    assert!(felt.availability.ok < felt.availability.attempted, "{felt:?}");
    assert_eq!(
        numbers.faults[1].felt.unwrap().availability.attempted,
        0,
        "nobody tried anything during the kill"
    );
}

#[test]
fn quantiles_are_of_successes_only_and_exact_to_a_thousandth() {
    let mut text = String::new();
    for place in 0..1_000u64 {
        let (invoked, returned) = (place * 10_000_000, place * 10_000_000 + (place + 1) * 1_000);
        let kind = if place < 900 { "ok" } else { "fail" };
        for (time, kind) in [(invoked, "invoke"), (returned, kind)] {
            let line = json!({"index": 0, "time": time, "type": kind, "process": 0, "f": "read", "key": "k", "value": null});
            text.push_str(&format!("{line}\n"));
        }
    }
    let numbers = Report::of(&History::read(text.as_bytes()).unwrap(), Traces::AtHand(&NodeTraces::default())).numbers;
    let [row] = numbers.latency.as_slice() else {
        panic!("{:?}", numbers.latency)
    };
    assert_eq!(
        (row.p50_us, row.p95_us, row.p99_us, row.p999_us, row.max_us),
        (450, 855, 891, 900, 900)
    );
    assert_eq!((row.outcomes.ok, row.outcomes.failed, row.phase.as_str()), (900, 100, "all"));
}

#[test]
fn a_file_of_a_thousand_kinds_gets_a_bounded_table() {
    let mut text = String::new();
    for place in 0..1_000 {
        for kind in ["invoke", "ok"] {
            let line = json!({"index": 0, "time": place, "type": kind, "process": 0, "f": format!("f{place}"), "value": null});
            text.push_str(&format!("{line}\n"));
        }
    }
    let numbers = Report::of(&History::read(text.as_bytes()).unwrap(), Traces::AtHand(&NodeTraces::default())).numbers;
    assert_eq!(numbers.latency.len(), 201);
    assert_eq!(numbers.latency.iter().map(|row| row.outcomes.ok).sum::<u64>(), 1_000);
}
