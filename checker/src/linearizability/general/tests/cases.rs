//! Named cases: what is easy to get wrong, by model.

use crate::history::History;
use crate::linearizability::general::{Answer, Confirmed, ModelChoice, ModelResult, check_model};
use crate::linearizability::{Budget, Ended, ObjectResult, Options, check_objects};
use crate::verdict::Verdict;

/// Rows `process f value invoked returned seen`; a dash as return is an unknown outcome, `fail` as seen a definite failure.
fn history(key: &str, rows: &str) -> History {
    let mut events: Vec<(u64, bool, String)> = Vec::new();
    for row in rows.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let words: Vec<&str> = row.split_whitespace().collect();
        let [process, f, argument, invoked, returned, seen] = words[..] else {
            panic!("{row}")
        };
        let mut push = |time: &str, kind: &str, value: &str| {
            let time: u64 = time.parse().unwrap();
            let line = format!(r#"{{"time":{time},"type":"{kind}","process":{process},"f":"{f}",{key}"value":{value}}}"#);
            events.push((time, kind != "invoke", line));
        };
        push(invoked, "invoke", argument);
        match (returned, seen) {
            ("-", _) => {}
            (returned, "fail") => push(returned, "fail", argument),
            (returned, seen) => push(returned, "ok", seen),
        }
    }
    events.sort();
    let lines: Vec<String> = events.into_iter().map(|(.., line)| line).collect();
    History::read(lines.join("\n").as_bytes()).unwrap()
}

fn results(model: ModelChoice, rows: &str) -> Vec<ModelResult> {
    check_model(&history(r#""key":"k","#, rows), model, &Options::default())
}

#[track_caller]
fn check(model: ModelChoice, rows: &str, expected: Verdict) -> ModelResult {
    let mut results = results(model, rows);
    assert_eq!(results.len(), 1, "{results:#?}");
    assert_eq!(results[0].answer.verdict(), expected, "{results:#?}");
    results.remove(0)
}

#[test]
fn operations_that_touch_in_time_are_concurrent() {
    check(
        ModelChoice::Mutex,
        "0 release null 5 9 null\n1 acquire null 0 5 null",
        Verdict::Valid,
    );
    check(
        ModelChoice::Mutex,
        "0 release null 0 5 null\n1 acquire null 5 9 null",
        Verdict::Valid,
    );
    check(
        ModelChoice::Mutex,
        "0 release null 0 5 null\n1 acquire null 6 9 null",
        Verdict::Invalid,
    );
}

#[test]
fn an_unknown_addition_counts_or_not_and_at_any_time_later() {
    let rows = "0 add 5 0 - x\n1 read null 10 11 0\n1 read null 20 21 5";
    check(ModelChoice::Counter, rows, Verdict::Valid);
    check(
        ModelChoice::Counter,
        "0 add 5 0 - x\n1 read null 10 11 5\n1 read null 20 21 0",
        Verdict::Invalid,
    );
}

#[test]
fn a_sum_between_the_bounds_may_still_be_out_of_reach() {
    let result = check(ModelChoice::Counter, "0 add 5 0 - x\n1 read null 2 3 3", Verdict::Invalid);
    assert_eq!(result.algorithm, "search");
}

#[test]
fn a_counter_past_64_bits_is_added_up() {
    let max = i64::MAX;
    let rows = format!("0 add {max} 0 1 {max}\n0 add {max} 2 3 {max}\n0 add -{max} 4 5 -{max}\n0 read null 6 7 {max}");
    check(ModelChoice::Counter, &rows, Verdict::Valid);
}

#[test]
fn an_answer_with_a_value_twice_is_refuted_with_that_value_s_additions() {
    // Found by the million: the window named the read alone, and the verifier missed the addition.
    let result = check(ModelChoice::Set, "0 add 2 0 5 2\n1 read null 6 7 [2,2]", Verdict::Invalid);
    let Answer::Invalid(refusal) = result.answer else { unreachable!() };
    assert_eq!(refusal.window, [0, 1]);
}

#[test]
fn a_definite_failure_did_not_happen() {
    check(ModelChoice::Set, "0 add 1 0 1 fail\n1 read null 2 3 [1]", Verdict::Invalid);
    check(ModelChoice::Set, "0 add 1 0 1 fail\n1 read null 2 3 []", Verdict::Valid);
    check(
        ModelChoice::Queue,
        "0 dequeue null 0 1 fail\n1 enqueue 1 2 3 1\n1 dequeue null 4 5 1",
        Verdict::Valid,
    );
}

#[test]
fn a_write_of_the_present_value_may_be_needed_later() {
    // Found by the fuzz: placing the second write of 1 at once, because it changes nothing, leaves the read of 1 without a writer.
    let rows = "0 write 1 0 1 1\n1 write 1 2 9 1\n2 write 2 3 4 2\n3 read null 5 6 1";
    check(ModelChoice::Register, rows, Verdict::Valid);
}

#[test]
fn a_failed_cas_says_what_it_saw_or_that_it_differed() {
    let rows = "0 write 1 0 1 1\n1 cas [1,2] 2 3 fail\n1 read null 4 5 1";
    check(ModelChoice::CasRegister, rows, Verdict::Invalid);
    let rows = "0 write 1 0 1 1\n1 cas [3,2] 2 3 fail\n1 read null 4 5 1";
    check(ModelChoice::CasRegister, rows, Verdict::Valid);
}

#[test]
fn two_values_leave_a_queue_in_the_order_they_came() {
    let rows = "0 enqueue 1 0 1 1\n0 enqueue 2 2 3 2\n0 enqueue 9 4 5 9\n1 dequeue null 6 7 2\n1 dequeue null 8 9 1";
    let result = check(ModelChoice::Queue, rows, Verdict::Invalid);
    assert_eq!(result.algorithm, "aspects");
    let Answer::Invalid(refusal) = result.answer else { unreachable!() };
    // 2 was taken while 1 was certainly first: its return is the moment. 9, and the dequeue of 1 that came later, have nothing to do with it.
    assert_eq!(refusal.window.len(), 3);
    assert_eq!(refusal.confirmed, Confirmed::ByForce);
    assert_eq!(refusal.certain_ns, 7);
    assert_eq!(refusal.prefix.len(), 3);
}

#[test]
fn an_unseen_dequeue_may_have_taken_what_is_missing() {
    let enqueued = "0 enqueue 1 0 1 1\n0 enqueue 2 2 3 2\n";
    check(ModelChoice::Queue, &format!("{enqueued}1 dequeue null 6 7 2"), Verdict::Invalid);
    check(
        ModelChoice::Queue,
        &format!("{enqueued}1 dequeue null 6 7 2\n2 dequeue null 4 - x"),
        Verdict::Valid,
    );
    check(
        ModelChoice::Queue,
        &format!("{enqueued}1 dequeue null 6 7 2\n2 dequeue null 8 - x"),
        Verdict::Invalid,
    );
}

#[test]
fn an_empty_queue_has_no_value_that_was_certainly_there() {
    // 1 is there until 6 at least, 2 from 4 on: no gap, though neither covers all of the dequeue.
    let rows = "0 enqueue 1 0 1 1\n1 enqueue 2 2 4 2\n2 dequeue null 6 9 1\n3 dequeue null 9 12 2\n4 dequeue null 3 8 null";
    assert_eq!(check(ModelChoice::Queue, rows, Verdict::Invalid).algorithm, "aspects");
    let touching = "0 enqueue 1 0 1 1\n1 enqueue 2 2 6 2\n2 dequeue null 6 9 1\n3 dequeue null 9 12 2\n4 dequeue null 3 8 null";
    check(ModelChoice::Queue, touching, Verdict::Valid);
}

#[test]
fn a_value_enqueued_twice_goes_to_the_search() {
    let rows = "0 enqueue 1 0 1 1\n0 enqueue 1 2 3 1\n1 dequeue null 4 5 1\n1 dequeue null 6 7 1\n1 dequeue null 8 9 null";
    assert_eq!(check(ModelChoice::Queue, rows, Verdict::Valid).algorithm, "search");
}

#[test]
fn a_drain_is_not_judged() {
    let rows = "0 enqueue 1 0 1 1\n1 drain null 2 3 [1]";
    let result = check(ModelChoice::Queue, rows, Verdict::Unknown);
    let Answer::Unknown(undecided) = result.answer else {
        unreachable!()
    };
    assert_eq!(
        undecided.reason,
        "`drain` on line 3 is no operation of a queue, by its name or by its value"
    );
}

#[test]
fn two_reads_of_a_set_that_each_miss_what_the_other_saw() {
    let rows = "0 add 1 0 9 1\n1 add 2 0 9 2\n4 add 3 0 1 3\n2 read null 2 8 [1,3]\n3 read null 2 8 [3,2]";
    let result = check(ModelChoice::Set, rows, Verdict::Invalid);
    let Answer::Invalid(refusal) = result.answer else { unreachable!() };
    assert_eq!((result.algorithm, refusal.window.len()), ("chain", 4));
    assert_eq!(refusal.values.map(|values| values.len()), Some(2));
}

#[test]
fn elements_are_judged_alone_where_nobody_reads_the_whole_set() {
    let results = results(
        ModelChoice::Set,
        "0 add 1 0 1 1\n1 contains 1 2 3 false\n2 add 2 0 1 2\n3 contains 2 2 3 true",
    );
    let verdicts: Vec<(&str, Verdict)> = results.iter().map(|result| (&result.name[..], result.answer.verdict())).collect();
    assert_eq!(verdicts, [("k/1", Verdict::Invalid), ("k/2", Verdict::Valid)]);
}

#[test]
fn keys_are_joined_only_where_a_transaction_spans_them() {
    let rows = r#"0 txn [["w","a",1],["w","b",1]] 0 1 [["w","a",1],["w","b",1]]
        1 txn [["r","a",null],["r","b",null]] 2 3 [["r","a",1],["r","b",null]]
        2 txn [["w","c",1]] 0 1 [["w","c",1]]"#;
    let results = check_model(&history("", rows), ModelChoice::Kv, &Options::default());
    let verdicts: Vec<(&str, Verdict)> = results.iter().map(|result| (&result.name[..], result.answer.verdict())).collect();
    assert_eq!(verdicts, [("a, b", Verdict::Invalid), ("c", Verdict::Valid)]);
}

/// Many concurrent operations on a set that only the search can judge: both values come and go.
fn hard() -> String {
    let row = |n: u32| format!("{n} cas [{},{}] 0 100 x\n", 100 + n, 200 + n);
    let reads = "90 write 1 0 1 1\n91 read null 200 201 7\n";
    let writes: String = (0..24).map(|n| format!("{} write {} 0 100 x\n", n + 30, 100 + n)).collect();
    (0..24).map(row).collect::<String>().replace('x', "null") + &writes.replace('x', "null") + reads
}

#[test]
fn a_budget_ends_the_search_at_the_same_configuration_every_time() {
    let history = history(r#""key":"k","#, &hard());
    for (budget, end) in [
        (
            Budget {
                configurations: 1_000,
                ..Budget::default()
            },
            Ended::Configurations(1_000),
        ),
        (
            Budget {
                bytes: 100_000,
                ..Budget::default()
            },
            Ended::Bytes(100_000),
        ),
    ] {
        let options = Options {
            budget,
            ..Options::default()
        };
        let once = check_model(&history, ModelChoice::CasRegister, &options);
        let Answer::Unknown(undecided) = &once[0].answer else {
            panic!("{once:?}")
        };
        assert_eq!(undecided.end, Some(end));
        assert_eq!(undecided.concurrency, 49);
        assert_eq!(once, check_model(&history, ModelChoice::CasRegister, &options));
    }
}

#[test]
fn a_stop_ends_the_search_and_says_so() {
    let history = history(r#""key":"k","#, &hard());
    let options = Options {
        stop: Some(&|| true),
        ..Options::default()
    };
    let results = check_model(&history, ModelChoice::CasRegister, &options);
    let Answer::Unknown(undecided) = &results[0].answer else {
        panic!("{results:?}")
    };
    assert_eq!(
        (undecided.reason.as_str(), undecided.end),
        ("the check was stopped", Some(Ended::Stopped))
    );
}

/// The verdicts of all objects, and the first reason.
fn judged(model: ModelChoice, lines: &str) -> (Vec<Verdict>, String) {
    let history = History::read(lines.as_bytes()).unwrap();
    let objects = check_objects(&history, model, &Options::default());
    let reason = objects.iter().find_map(|object| object.reason(&history)).unwrap_or_default();
    (objects.iter().map(ObjectResult::verdict).collect(), reason)
}

#[test]
fn what_nobody_knows_may_have_changed_all_of_its_object() {
    // `clear` explains why 5 is gone, though every element would be judged alone without it.
    let lines = r#"{"time":0,"type":"invoke","process":0,"f":"add","key":"s","value":5}
{"time":1,"type":"ok","process":0,"f":"add","key":"s","value":5}
{"time":2,"type":"invoke","process":0,"f":"clear","key":"s","value":null}
{"time":3,"type":"ok","process":0,"f":"clear","key":"s","value":null}
{"time":4,"type":"invoke","process":0,"f":"contains","key":"s","value":5}
{"time":5,"type":"ok","process":0,"f":"contains","key":"s","value":false}
{"time":6,"type":"invoke","process":0,"f":"add","key":"t","value":5}
{"time":7,"type":"ok","process":0,"f":"add","key":"t","value":5}"#;
    let (verdicts, reason) = judged(ModelChoice::Set, lines);
    assert_eq!(verdicts, [Verdict::Unknown, Verdict::Valid]);
    assert_eq!(reason, "`clear` on line 3 is no operation of a set, by its name or by its value");
}

#[test]
fn what_nobody_knows_and_names_no_key_may_have_changed_anything() {
    let lines = r#"{"time":2,"type":"invoke","process":0,"f":"txn","value":[["append","x",1]]}
{"time":3,"type":"ok","process":0,"f":"txn","value":[["append","x",1]]}
{"time":4,"type":"invoke","process":0,"f":"read","key":"x","value":null}
{"time":5,"type":"ok","process":0,"f":"read","key":"x","value":[1]}"#;
    let (verdicts, reason) = judged(ModelChoice::Kv, lines);
    assert_eq!(
        (verdicts, reason.contains("`txn` on line 1")),
        (vec![Verdict::Unknown], true),
        "{reason}"
    );
    for model in [ModelChoice::Register, ModelChoice::CasRegister] {
        let (verdicts, reason) = judged(model, lines);
        assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Unknown), "{verdicts:?}");
        assert!(reason.contains("`txn` on line 1"), "{reason}");
    }
}

#[test]
fn a_plain_register_does_not_judge_a_compare_and_set() {
    let lines = r#"{"time":2,"type":"invoke","process":0,"f":"cas","key":"x","value":[null,1]}
{"time":3,"type":"ok","process":0,"f":"cas","key":"x","value":[null,1]}"#;
    let (verdicts, reason) = judged(ModelChoice::Register, lines);
    assert_eq!(verdicts, [Verdict::Unknown]);
    assert_eq!(reason, "`cas` on line 1 is no operation of a register, but one of a cas-register");
    assert_eq!(judged(ModelChoice::CasRegister, lines).0, [Verdict::Valid]);
}

#[test]
fn keys_that_no_transaction_spans_are_judged_as_registers() {
    let lines = r#"{"time":2,"type":"invoke","process":0,"f":"txn","value":[["w","x",1],["w","y",2]]}
{"time":3,"type":"ok","process":0,"f":"txn","value":[["w","x",1],["w","y",2]]}
{"time":4,"type":"invoke","process":0,"f":"write","key":"z","value":7}
{"time":5,"type":"ok","process":0,"f":"write","key":"z","value":7}
{"time":6,"type":"invoke","process":0,"f":"read","key":"y","value":null}
{"time":7,"type":"ok","process":0,"f":"read","key":"y","value":1}"#;
    let history = History::read(lines.as_bytes()).unwrap();
    let objects = check_objects(&history, ModelChoice::Kv, &Options::default());
    let said: Vec<_> = objects
        .iter()
        .map(|object| (object.name(&history).unwrap().into_owned(), object.algorithm(), object.verdict()))
        .collect();
    assert_eq!(
        said,
        [
            ("y, x".to_owned(), "search", Verdict::Invalid),
            ("z".to_owned(), "zones", Verdict::Valid)
        ]
    );
}

#[test]
fn what_is_appended_stands_behind_what_was_there() {
    let check = |rows: &str, expected| check(ModelChoice::Kv, rows, expected);
    let rows = |seen: &str| {
        format!(
            r#"0 append "a" 1 2 "a"
               0 append "b" 3 4 "b"
               1 read null 5 6 {seen}"#
        )
    };
    check(&rows(r#""ab""#), Verdict::Valid);
    for wrong in [r#""ba""#, r#""b""#, r#""aab""#, "null"] {
        check(&rows(wrong), Verdict::Invalid);
    }
    // At once, in either order; of unknown outcome, or not at all; and a write begins anew.
    for seen in [r#""ab""#, r#""ba""#] {
        check(
            &format!(
                r#"0 append "a" 1 4 "a"
                          1 append "b" 2 3 "b"
                          2 read null 5 6 {seen}"#
            ),
            Verdict::Valid,
        );
    }
    for seen in [r#""b""#, r#""ab""#, r#""ba""#] {
        check(
            &format!(
                r#"0 append "a" 1 - "a"
                          1 append "b" 2 3 "b"
                          2 read null 5 6 {seen}"#
            ),
            Verdict::Valid,
        );
    }
    check(
        r#"0 append "a" 1 2 "a"
             0 write "c" 3 4 "c"
             0 append "d" 5 6 "d"
             1 read null 7 8 "cd""#,
        Verdict::Valid,
    );
    check(
        r#"0 append "a" 1 2 fail
             1 read null 3 4 "a""#,
        Verdict::Invalid,
    );
}

#[test]
fn a_number_is_no_text_to_append() {
    let [result] = &results(ModelChoice::Kv, "0 append 7 1 2 7")[..] else {
        panic!("one object")
    };
    assert_eq!(result.answer.verdict(), Verdict::Unknown);
}

#[test]
fn appends_agree_with_all_orders() {
    use rand::{RngExt, SeedableRng};
    let mut chance = rand_chacha::ChaCha8Rng::seed_from_u64(31);
    let mut tally = [0; 2];
    for _ in 0..3_000 {
        let count = chance.random_range(2..=5);
        // (is an append, text, invoked, returned)
        let operations: Vec<(bool, String, u64, u64)> = (0..count)
            .map(|number| {
                let invoked = chance.random_range(0..12);
                let is_append = number == 0 || chance.random_bool(0.6);
                let text = match is_append {
                    true => ["a", "b"][chance.random_range(0..2)].to_owned(),
                    false => (0..chance.random_range(1..4))
                        .map(|_| ["a", "b"][chance.random_range(0..2)])
                        .collect(),
                };
                (is_append, text, invoked, invoked + chance.random_range(0..5))
            })
            .collect();
        let rows: Vec<String> = (0..)
            .zip(&operations)
            .map(|(process, (is_append, text, invoked, returned)): (u64, _)| match is_append {
                true => format!("{process} append \"{text}\" {invoked} {returned} \"{text}\""),
                false => format!("{process} read null {invoked} {returned} \"{text}\""),
            })
            .collect();
        let expected = has_order(&operations, &mut Vec::new(), String::new());
        let verdict = if expected { Verdict::Valid } else { Verdict::Invalid };
        check(ModelChoice::Kv, &rows.join("\n"), verdict);
        tally[usize::from(expected)] += 1;
    }
    assert!(tally.iter().all(|count| *count > 200), "{tally:?}");
}

/// Every order, by the definition: nothing stands before what had returned when it began.
fn has_order(operations: &[(bool, String, u64, u64)], done: &mut Vec<usize>, held: String) -> bool {
    if done.len() == operations.len() {
        return true;
    }
    (0..operations.len()).any(|next| {
        let (is_append, text, invoked, _) = &operations[next];
        let waits = |other: usize| other != next && !done.contains(&other) && operations[other].3 < *invoked;
        if done.contains(&next) || (0..operations.len()).any(waits) || (!is_append && held != *text) {
            return false;
        }
        done.push(next);
        let after = if *is_append { format!("{held}{text}") } else { held.clone() };
        let found = has_order(operations, done, after);
        done.pop();
        found
    })
}
