//! Claims: true of what is refused, rejected of what is not; and witnesses, which must be refused by themselves.

use insta::assert_snapshot;

use super::super::claim::conceivable;
use crate::history::History;
use crate::linearizability::general::{Answer, Claim, ModelChoice, ModelResult, verify};
use crate::linearizability::{Options, Witness, check_objects, first_violation_of};
use crate::verdict::Verdict;

/// What is valid allows no claim; what is invalid has a witness that is invalid alone, read as a history by the same model.
#[track_caller]
pub(super) fn are_true_and_stand_alone(history: &History, choice: ModelChoice, results: &[ModelResult]) {
    for result in results {
        match &result.answer {
            Answer::Valid(_) => {
                for claim in conceivable(history, choice, &result.places) {
                    assert!(
                        verify::claim(history, choice, &result.places, &claim).is_err(),
                        "{claim:?} of a valid {choice:?}: {result:#?}"
                    );
                }
            }
            Answer::Invalid(refusal) => {
                if let Some(claim) = Claim::of(history, choice, &result.places, refusal) {
                    verify::claim(history, choice, &result.places, &claim).unwrap();
                }
                let witness = Witness::of_model(history, choice, result).unwrap();
                assert!(
                    !witness.sentence.is_empty() && !witness.sentence.contains("unknown time"),
                    "{}",
                    witness.text()
                );
                stands_alone(&witness, choice);
            }
            Answer::Unknown(_) => {}
        }
    }
}

#[track_caller]
fn stands_alone(witness: &Witness, choice: ModelChoice) {
    let lines = witness.history_lines();
    let text = String::from_utf8(lines.clone()).unwrap();
    let alone = History::read(&lines[..]).unwrap_or_else(|error| panic!("{error}: {text}"));
    let results = check_objects(&alone, choice, &Options::default());
    let verdict = Verdict::merge(results.iter().map(|result| result.verdict()));
    assert_eq!(verdict, Verdict::Invalid, "{}\n{text}", witness.text());
}

/// Rows `process f argument invoked returned seen` in milliseconds; `-` never returned.
fn text(choice: ModelChoice, rows: &str) -> String {
    let mut events: Vec<(u64, bool, String)> = Vec::new();
    for row in rows.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let [process, f, argument, invoked, returned, seen] = row.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("{row}")
        };
        let line = |time_ms: &str, kind: &str, value: &str| {
            let time_ms: u64 = time_ms.parse().unwrap();
            let time_ns = time_ms * 1_000_000;
            let line = format!(r#"{{"time":{time_ns},"type":"{kind}","process":{process},"f":"{f}","key":"k","value":{value}}}"#);
            (time_ns, kind != "invoke", line)
        };
        events.push(line(invoked, "invoke", argument));
        match (returned, seen) {
            ("-", _) => {}
            (returned, "fail") => events.push(line(returned, "fail", argument)),
            (returned, seen) => events.push(line(returned, "ok", seen)),
        }
    }
    events.sort();
    let lines: Vec<String> = events.into_iter().map(|(.., line)| line).collect();
    let history = History::read(lines.join("\n").as_bytes()).unwrap();
    let results = check_objects(&history, choice, &Options::default());
    let witness = first_violation_of(&results)
        .expect("it is invalid")
        .witness(&history, choice)
        .unwrap();
    stands_alone(&witness, choice);
    witness.text()
}

/// The sentence, and what it takes for granted.
fn said(choice: ModelChoice, rows: &str) -> String {
    let text = text(choice, rows);
    text.split("\n\n").nth(1).unwrap().trim().to_owned()
}

#[test]
fn a_queue_whose_values_change_places() {
    let rows = "1 enqueue 5 0 10 5 \n 2 enqueue 6 20 30 6 \n 3 dequeue null 40 50 6 \n 4 dequeue null 60 70 5 \n 1 enqueue 7 80 90 7";
    assert_snapshot!(text(ModelChoice::Queue, rows), @r"
    queue `k` is not linearizable, as these 4 operations show

      enqueue 5 by process 1 returned at 0.010 s, before process 2 began enqueue 6 at 0.020 s, but 6 was dequeued first, by process 3 at 0.050 s
      the dequeue of 5 by process 4 began only at 0.060 s

      invoked  returned  process  node  operation     lines
      0.000 s  0.010 s   1        -     enqueue 5     1, 2
      0.020 s  0.030 s   2        -     enqueue 6     3, 4
      0.040 s  0.050 s   3        -     dequeue -> 6  5, 6
      0.060 s  0.070 s   4        -     dequeue -> 5  7, 8
    ");
}

#[test]
fn a_queue_that_gives_what_it_does_not_have() {
    let said = |rows| said(ModelChoice::Queue, rows);
    assert_snapshot!(said("1 dequeue null 0 10 9"), @"process 1 dequeued 9 at 0.010 s, which nobody enqueued");
    assert_snapshot!(said("1 enqueue 9 0 5 fail \n 2 dequeue null 10 20 9"), @"process 2 dequeued 9 at 0.020 s, although that enqueue by process 1 was refused at 0.005 s");
    assert_snapshot!(said("2 dequeue null 10 20 9 \n 1 enqueue 9 30 40 9"), @"process 2 dequeued 9 at 0.020 s, before process 1 began to enqueue it at 0.030 s");
    assert_snapshot!(said("1 enqueue 9 0 5 9 \n 2 dequeue null 10 20 9 \n 3 dequeue null 15 30 9"), @"9 was dequeued twice: by process 2 at 0.020 s, by process 3 at 0.030 s, but by then enqueued once");
    assert_snapshot!(said("1 enqueue 9 0 5 9 \n 1 enqueue 8 6 7 8 \n 3 dequeue null 15 30 8"), @r"
    enqueue 9 by process 1 returned at 0.005 s, before process 1 began enqueue 8 at 0.006 s, but 8 was dequeued first, by process 3 at 0.030 s
      9 was never dequeued
    ");
}

#[test]
fn a_queue_that_is_not_empty() {
    let said = |rows| said(ModelChoice::Queue, rows);
    assert_snapshot!(said("1 enqueue 9 0 5 9 \n 2 dequeue null 10 20 null"), @r"
    process 2 found the queue empty (0.010 s to 0.020 s), although 9 was in it since 0.005 s
      9 was enqueued at 0.005 s and never dequeued
    ");
    let chain = "1 enqueue 9 0 5 9 \n 2 dequeue null 10 20 null \n 3 dequeue null 15 30 9 \n 4 enqueue 8 6 14 8 \n 4 dequeue null 25 40 8";
    assert_snapshot!(said(chain), @r"
    process 2 found the queue empty (0.010 s to 0.020 s), although at every moment of that one of 9, 8 was in it
      9 was enqueued at 0.005 s and its dequeue began at 0.015 s
      8 was enqueued at 0.014 s and its dequeue began at 0.025 s
    ");
}

#[test]
fn a_set_that_forgets_invents_and_disagrees() {
    let said = |rows| said(ModelChoice::Set, rows);
    assert_snapshot!(text(ModelChoice::Set, "1 add 5 0 10 5 \n 1 add 6 11 12 6 \n 2 read null 20 30 [6]"), @r"
    set `k` is not linearizable, as these 2 operations show

      the read by process 2 (0.020 s to 0.030 s) lacks 5, whose add by process 1 had returned at 0.010 s

      invoked  returned  process  node  operation   lines
      0.000 s  0.010 s   1        -     add 5       1, 2
      0.020 s  0.030 s   2        -     read -> []  5, 6
    ");
    assert_snapshot!(said("1 add 5 0 40 5 \n 2 read null 5 15 [5] \n 3 read null 20 30 []"), @"the read by process 3 (0.020 s to 0.030 s) lacks 5, but process 2 had seen 5 there before, at 0.015 s");
    assert_snapshot!(said("2 read null 20 30 [6]"), @"the read by process 2 (0.020 s to 0.030 s) holds 6, which nobody added");
    assert_snapshot!(said("1 add 6 0 10 fail \n 2 read null 20 30 [6]"), @"the read by process 2 (0.020 s to 0.030 s) holds 6, although that add by process 1 was refused at 0.010 s");
    assert_snapshot!(said("2 read null 20 30 [6] \n 1 add 6 40 50 6"), @"the read by process 2 (0.020 s to 0.030 s) holds 6, before process 1 began to add it at 0.040 s");
    assert_snapshot!(said("1 add 6 0 10 6 \n 2 read null 20 30 [6,6]"), @"the read by process 2 (0.020 s to 0.030 s) holds 6 twice");
    assert_snapshot!(said("1 add 5 0 50 5 \n 2 add 6 0 50 6 \n 3 read null 5 10 [5] \n 4 read null 5 10 [6]"), @"the read by process 4 (0.005 s to 0.010 s) holds 6 and lacks 5, the read by process 3 (0.005 s to 0.010 s) holds 5 and lacks 6, and nobody removed either");
    assert_snapshot!(said("1 add 5 0 10 5 \n 2 add 6 20 - 6 \n 3 read null 5 30 [6]"), @"the read by process 3 (0.005 s to 0.030 s) lacks 5, but holds 6, whose add began after add 5 by process 1 had returned at 0.010 s");
    assert_snapshot!(said("1 add 5 0 10 5 \n 2 contains 5 20 30 false"), @"the contains by process 2 (0.020 s to 0.030 s) did not find 5, whose add by process 1 had returned at 0.010 s");
}

#[test]
fn a_counter_out_of_its_bounds() {
    let rows = "1 add 5 0 10 5 \n 2 add 7 0 12 7 \n 3 add 1 15 40 1 \n 4 read null 20 30 6";
    assert_snapshot!(text(ModelChoice::Counter, rows), @r"
    counter `k` is not linearizable, as these 2 operations show

      process 4 read 6 at 0.030 s, although 12 had been added before it began at 0.020 s

      invoked  returned  process  node  operation             lines
      0.000 s  0.012 s   -        -     add 12 (2 additions)  1, 4
      0.020 s  0.030 s   4        -     read -> 6             6, 7
    ");
    assert_snapshot!(said(ModelChoice::Counter, &rows.replace("30 6", "30 14")), @"process 4 read 14 at 0.030 s, although no more than 13 had been added by then");
    assert_snapshot!(said(ModelChoice::Counter, "1 add 5 0 10 5 \n 2 add -2 0 - 0 \n 4 read null 20 30 2"), @"process 4 read 2 at 0.030 s, although it cannot have been below 3 since 0.020 s");
    assert_snapshot!(said(ModelChoice::Counter, "1 add 5 0 - 5 \n 4 read null 20 30 2"), @"no order of these operations explains read -> 2 by process 4 (0.020 s to 0.030 s)");
}

#[test]
fn a_lock_held_twice() {
    let said = |rows| said(ModelChoice::Mutex, rows);
    // What was long ago does not matter.
    let past: String = (0..20)
        .map(|n| format!("9 acquire null {0} {0} null \n 9 release null {1} {1} null \n", 2 * n, 2 * n + 1))
        .collect();
    let held = format!("{past}2 acquire null 100 110 null \n 3 acquire null 105 120 null \n 2 release null 130 140 null");
    assert_snapshot!(text(ModelChoice::Mutex, &held), @r"
    lock `k` is not linearizable, as these 2 operations show

      process 3 acquired the lock at 0.120 s, while process 2 held it: it had acquired it at 0.110 s, and no release had begun

      invoked  returned  process  node  operation  lines
      0.100 s  0.110 s   2        -     acquire    81, 83
      0.105 s  0.120 s   3        -     acquire    82, 84
    ");
    assert_snapshot!(said("2 release null 0 10 null"), @"process 2 released the lock at 0.010 s, which nobody had acquired");
    assert_snapshot!(said("1 acquire null 0 3 null \n 1 release null 5 30 null \n 2 acquire null 4 10 null \n 3 acquire null 15 20 null"), @"the lock was acquired 3 times between 0.000 s and 0.020 s, last by process 3, but only 1 release was under way in that time");
    assert_snapshot!(said("1 acquire null 0 3 null \n 1 release null 5 10 null \n 2 release null 6 11 null"), @"the lock was released twice between 0.005 s and 0.011 s, last by process 2, but no acquire was under way in that time");
}

#[test]
fn a_transaction_that_sees_half_of_another() {
    let rows = r#"1 txn [["w","x",1],["w","y",1]] 0 10 [["w","x",1],["w","y",1]]
        2 txn [["r","x",null],["r","y",null]] 20 30 [["r","x",1],["r","y",null]]
        3 write 7 0 5 7"#;
    assert_snapshot!(text(ModelChoice::Kv, rows), @r"
    group of keys `x, y` is not linearizable, as these 2 operations show

      no order of these operations explains txn r x 1, r y null by process 2 (0.020 s to 0.030 s)

      invoked  returned  process  node  operation            lines
      0.000 s  0.010 s   1        -     txn w x 1, w y 1     1, 4
      0.020 s  0.030 s   2        -     txn r x 1, r y null  5, 6
    ");
}

#[test]
fn hostile_values_do_not_reach_a_terminal() {
    let text = text(ModelChoice::Queue, "1 dequeue null 0 10 \"\\u001b[31m\\u202e\"");
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
}
