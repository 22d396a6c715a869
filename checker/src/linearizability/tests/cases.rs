//! The subtle cases, each by name. Most were wrong in somebody's first draft.

use crate::history::History;
use crate::history::testing::of_notation;
use crate::linearizability::{Certificate, KeyResult, check, first_violation, linearization};
use crate::verdict::Verdict;

#[track_caller]
fn check_verdict(notation: &str, expected: Verdict) -> KeyResult {
    let history = of_notation(notation);
    let result = check(&history).remove(0);
    assert_eq!(result.verdict, expected, "{result:?}");
    result
}

#[track_caller]
fn check_valid(notation: &str) {
    check_verdict(notation, Verdict::Valid);
}

#[track_caller]
fn check_invalid(notation: &str) {
    check_verdict(notation, Verdict::Invalid);
}

#[track_caller]
fn check_unknown(notation: &str) -> String {
    check_verdict(notation, Verdict::Unknown).reason.unwrap()
}

#[test]
fn rejects_a_read_of_an_overwritten_value() {
    check_invalid("1 write 16 0 10 \n 2 write 17 20 30 \n 3 read 16 40 50");
}

#[test]
fn accepts_a_read_of_the_old_value_while_the_write_runs() {
    check_valid("1 write 16 0 10 \n 2 write 17 20 30 \n 3 read 16 25 28");
}

#[test]
fn an_operation_that_returns_at_the_time_another_begins_is_concurrent_with_it() {
    check_valid("1 write 1 0 5 \n 2 read - 5 8");
    check_invalid("1 write 1 0 5 \n 2 read - 6 8");
    check_valid("1 write 1 5 5 \n 2 write 2 5 5 \n 3 read 1 5 5 \n 4 read 2 5 5 \n 5 read - 5 5");
    check_valid("1 read 1 0 5 \n 2 write 1 5 9");
}

#[test]
fn two_reads_may_not_see_two_concurrent_writes_in_different_orders() {
    check_invalid("1 write 1 0 100 \n 2 write 2 0 100 \n 3 read 1 10 20 \n 3 read 2 30 40 \n 4 read 1 50 60");
    check_valid("1 write 1 0 100 \n 2 write 2 0 100 \n 3 read 1 10 20 \n 3 read 2 30 40 \n 4 read 2 50 60");
}

#[test]
fn the_initial_null_is_gone_once_a_write_was_acknowledged() {
    check_valid("1 read - 0 5 \n 2 write 1 6 9");
    check_invalid("1 write 1 0 5 \n 2 read - 6 9");
    check_invalid("1 write 1 0 100 \n 2 read 1 5 10 \n 3 read - 20 30");
}

#[test]
fn a_write_of_unknown_outcome_may_have_happened_or_not_or_later() {
    check_valid("1 write 1 0 5 unknown \n 2 read - 6 9");
    check_valid("1 write 1 0 5 unknown \n 2 read 1 6 9");
    check_valid("1 write 1 0 5 unknown \n 2 read - 6 9 \n 2 read 1 1000 1001");
    check_valid("1 write 1 0 - \n 2 write 2 10 20 \n 2 read 2 30 40 \n 3 read 1 50 60");
}

#[test]
fn a_write_of_unknown_outcome_happens_only_once() {
    check_invalid("1 write 1 0 5 unknown \n 2 read 1 6 9 \n 2 write 2 10 20 \n 2 read 2 30 40 \n 3 read 1 50 60");
    check_invalid("1 write 1 0 5 unknown \n 2 read 1 6 9 \n 2 read - 10 11");
}

#[test]
fn writes_of_unknown_outcome_that_nobody_read_cost_nothing() {
    let mut notation = String::from("1 write 1 0 5 \n 2 read 1 1000 1001");
    for process in 10..200 {
        notation += &format!("\n {process} write {process} {process} -");
    }
    check_valid(&notation);
}

#[test]
fn a_read_of_unknown_outcome_says_nothing() {
    check_valid("1 write 1 0 5 \n 2 read 77 6 9 unknown");
    check_valid("1 write 1 0 5 \n 2 read 77 6 9 fail");
}

#[test]
fn a_refused_write_did_not_happen() {
    check_valid("1 write 1 0 5 \n 2 write 2 6 9 fail \n 3 read 1 10 20");
    check_invalid("1 write 1 0 5 \n 2 write 2 6 9 fail \n 3 read 2 10 20");
    // Read while the refused write was still running: it never happens, so it cannot be seen.
    check_invalid("2 write 2 0 100 fail \n 3 read 2 10 20");
    // Refused once, tried again with the same value and done: written once.
    check_valid("1 write 1 0 5 fail \n 1 write 1 6 9 \n 3 read 1 10 20");
}

#[test]
fn a_value_that_nobody_wrote_is_a_phantom() {
    check_invalid("1 write 1 0 5 \n 2 read 3 0 9");
    check_invalid("2 read 3 0 9");
}

#[test]
fn a_read_that_returned_before_its_write_began_saw_the_future() {
    check_invalid("1 read 1 0 5 \n 2 write 1 6 9");
}

#[test]
fn values_written_twice_are_no_matter_until_they_are_read() {
    check_valid("1 write 1 0 5 \n 2 write 1 6 9 \n 3 write 2 10 20 \n 3 read 2 30 40");
    let result = check_verdict("1 write 1 0 5 \n 2 write 1 6 9 \n 3 read 1 10 20", Verdict::Valid);
    assert_eq!(result.algorithm, "frontier");
    check_invalid("1 write 1 0 5 \n 2 write 1 6 9 \n 2 write 2 10 20 \n 3 read 1 21 22");
}

#[test]
fn null_written_explicitly_is_not_the_null_of_the_beginning() {
    check_valid("1 write 1 0 5 \n 2 write - 6 9 \n 3 read 1 6 9");
    check_valid("1 write 1 0 5 \n 2 write - 6 9 \n 2 read - 10 20");
    check_invalid("1 write 1 0 5 \n 2 write - 6 9 \n 1 write 2 10 20 \n 2 read - 21 22");
}

#[test]
fn repeated_values_do_not_hide_what_the_others_prove() {
    check_invalid("1 write 1 0 5 \n 1 write 1 6 9 \n 2 read 1 6 9 \n 1 write 2 10 20 \n 1 write 3 30 40 \n 2 read 2 50 60");
    // A repeated write still overwrites.
    check_invalid("1 write 2 0 5 \n 1 write 1 6 9 \n 1 write 1 10 20 \n 2 read 1 21 22 \n 2 read 2 30 40");
}

/// Makes 7 a value with two writers, so that the frontier decides.
const REPEATED: &str = "\n 8 write 7 9000 9001 \n 8 write 7 9002 9003 \n 8 read 7 9004 9005";

#[track_caller]
fn check_both(notation: &str, expected: Verdict) {
    check_verdict(notation, expected);
    let result = check_verdict(&format!("{notation} {REPEATED}"), expected);
    // What the other values contradict, zones see all the same.
    assert!(result.algorithm == "frontier" || expected == Verdict::Invalid);
}

#[test]
fn a_write_that_may_have_gone_by_unseen_may_have_to_be_visible_all_the_same() {
    let begin = "1 write 1 0 10 \n 2 write 2 0 4 \n 3 read 2 5 6";
    check_both(&format!("{begin} \n 3 read 1 11 12"), Verdict::Valid);
    check_both(&format!("{begin} \n 3 read 2 11 12"), Verdict::Valid);
    check_both(&format!("{begin} \n 3 read 1 11 12 \n 3 read 2 13 14"), Verdict::Invalid);
}

#[test]
fn nothing_goes_by_unseen_between_a_compare_and_set_and_what_it_found() {
    let begin = "1 write 1 0 1 \n 2 cas [1,2] 2 3 \n 4 read 2 4 5";
    check_both(begin, Verdict::Valid);
    check_both(&format!("{begin} \n 3 write 5 2 3"), Verdict::Invalid);
    check_both(&format!("{begin} \n 3 write 5 2 4"), Verdict::Valid);
    check_both(&format!("{begin} \n 3 write 5 0 3"), Verdict::Valid);
    check_both(&format!("{begin} \n 3 write 5 2 6"), Verdict::Valid);
}

#[test]
fn a_write_of_the_present_value_changes_nothing_and_counts_as_a_write() {
    // Between the first write and the compare-and-set, which finds the same value still.
    check_valid("1 write 1 0 1 \n 3 write 1 2 3 \n 2 cas [1,2] 2 3 \n 4 read 2 4 5");
    check_valid("1 write 1 0 1 \n 5 write 2 2 4 \n 3 write 1 2 6 \n 2 read 1 7 8");
    check_invalid("1 write 1 0 1 \n 3 write 1 2 3 \n 4 write 2 4 5 \n 2 read 1 6 7");
}

#[test]
fn a_compare_and_set_to_the_value_it_found_changes_nothing() {
    check_valid("1 write 1 0 1 \n 2 cas [1,1] 2 3 \n 3 read 1 4 5");
    check_invalid("1 write 1 0 1 \n 1 write 2 2 3 \n 2 cas [1,1] 4 5");
    check_valid("1 write 1 0 1 \n 2 cas [1,1] 2 3 unknown \n 1 write 2 4 5 \n 3 read 2 6 7");
}

#[test]
fn an_unread_write_of_unknown_outcome_may_be_why_a_compare_and_set_failed() {
    let failed = "1 write 1 0 1 \n 3 cas [1,7] 5 6 fail";
    check_both(failed, Verdict::Invalid);
    check_both(&format!("{failed} \n 2 write 9 2 -"), Verdict::Valid);
    check_both(&format!("{failed} \n 2 cas [1,9] 2 -"), Verdict::Valid);
    check_both(&format!("{failed} \n 2 cas [3,9] 2 -"), Verdict::Invalid);
    // It stays: nobody put 1 back.
    check_both(&format!("{failed} \n 2 write 9 2 - \n 4 read 1 7 8"), Verdict::Invalid);
}

#[test]
fn a_value_that_nobody_looks_for_may_be_why_a_compare_and_set_failed() {
    let failed = "1 write 1 0 1 \n 3 cas [1,7] 8 9 fail";
    check_both(&format!("{failed} \n 2 write 2 5 20"), Verdict::Valid);
    check_both(&format!("{failed} \n 2 write 2 5 7 \n 4 write 3 5 7"), Verdict::Valid);
    check_both(&format!("{failed} \n 2 write 2 10 20"), Verdict::Invalid);
}

#[test]
fn of_two_unread_changes_of_unknown_outcome_the_compare_and_set_may_have_to_come_first() {
    // The write could explain the first failure too, but then nothing explains the second.
    let unread = "1 cas [null,5] 0 - \n 2 write 2 0 -";
    let failed = "3 cas [null,7] 1 1 fail \n 4 write 12 2 7 \n 4 read 12 8 9 \n 5 cas [12,8] 22 27 fail";
    check_both(&format!("{unread} \n {failed}"), Verdict::Valid);
    check_both(&format!("2 write 2 0 - \n {failed}"), Verdict::Invalid);
}

#[test]
fn a_write_of_unknown_outcome_hides_another_one_though_it_writes_what_is_there() {
    // 1 is gone by, null is there again, and the compare-and-set finds it.
    let hidden = "5 write 1 1 7 \n 3 cas [null,2] 1 - \n 4 read 2 3 4 \n 6 write 1 4 9 \n 7 read 2 8 11";
    check_valid(&format!("{hidden} \n 1 write - 3 -"));
    check_invalid(hidden);
}

#[test]
fn a_process_with_two_operations_at_once_is_no_history() {
    let line = |time: u64, process: u64| format!(r#"{{"time":{time},"type":"invoke","process":{process},"f":"read","key":"k"}}"#);
    let error = History::read([line(1, 4), line(2, 4)].join("\n").as_bytes())
        .unwrap_err()
        .to_string();
    assert!(error.contains("line 2") && error.contains('4'), "{error}");
    assert!(History::read([line(1, 4), line(2, 5)].join("\n").as_bytes()).is_ok());
}

#[test]
fn unknown_is_neither_valid_nor_invalid_nor_a_violation() {
    let history = of_notation("1 write 1 0 5 \n 2 pop [1,2] 6 9");
    let results = check(&history);
    assert_eq!(results[0].verdict, Verdict::Unknown);
    assert_eq!(first_violation(&results), None);
    assert_eq!(results[0].certificate, None);
    assert_eq!(linearization(&history, results[0].key), None);
}

#[test]
fn a_value_that_was_refused_and_is_read_is_named_as_such() {
    for refused in ["2 write 2 6 9 fail", "2 cas [1,2] 6 9 fail", "2 cas [77,2] 6 9 fail"] {
        for seen in ["3 read 2 10 20", "3 cas [2,4] 10 20", "3 cas [2,4] 10 - \n 5 read 4 30 40"] {
            let result = check_verdict(&format!("1 write 1 0 5 \n {refused} \n {seen}"), Verdict::Invalid);
            let certificate = result.certificate.unwrap();
            assert!(matches!(certificate, Certificate::RefusedWriteRead { .. }), "{certificate:?}");
        }
    }
}

#[test]
fn other_operations_leave_the_key_unknown_with_the_line() {
    let reason = check_unknown("1 write 1 0 5 \n 2 pop [1,2] 6 9 \n 3 read 77 10 20");
    assert_eq!(reason, "`pop` on line 3 is no operation of a register");
}

#[test]
fn a_compare_and_set_follows_directly_what_it_found() {
    check_valid("1 write 1 0 5 \n 2 cas [1,2] 6 9 \n 3 read 2 10 20");
    check_valid("1 write 1 0 100 \n 2 cas [1,2] 0 100 \n 3 cas [2,3] 0 100 \n 4 read 3 0 100 \n 5 read 1 0 100");
    check_invalid("1 write 1 0 5 \n 2 cas [1,2] 6 9 \n 3 read 1 10 20");
    check_invalid("1 write 1 0 5 \n 4 write 3 6 7 \n 2 cas [1,2] 8 9");
    check_invalid("1 write 1 0 5 \n 2 cas [1,2] 6 9 \n 3 cas [1,3] 6 9");
    check_invalid("1 cas [1,2] 6 9 \n 3 cas [2,1] 6 9");
    check_invalid("1 cas [7,2] 6 9");
}

#[test]
fn a_compare_and_set_of_unknown_outcome_happened_exactly_if_somebody_saw_its_value() {
    check_valid("1 write 1 0 5 \n 2 cas [1,2] 6 - \n 3 read 1 10 20");
    check_valid("1 write 1 0 5 \n 2 cas [1,2] 6 - \n 3 read 2 10 20");
    check_valid("2 cas [7,2] 6 - \n 3 read - 10 20");
    check_invalid("1 write 1 0 5 \n 2 cas [1,2] 6 - \n 3 read 2 10 20 \n 3 read 1 21 22");
    check_invalid("1 write 1 0 5 \n 2 cas [1,2] 6 - \n 4 cas [2,3] 6 - \n 3 read 3 10 20 \n 3 read 1 21 22");
    check_invalid("2 cas [7,2] 6 - \n 3 read 2 10 20");
}

#[test]
fn a_failed_compare_and_set_did_not_find_what_it_expected() {
    check_valid("1 write 1 0 5 \n 2 cas [7,2] 6 9 fail");
    check_invalid("1 write 1 0 5 \n 2 cas [1,2] 6 9 fail \n 3 read 1 10 20");
    check_valid("1 write 1 0 5 \n 2 cas [1,2] 5 9 fail \n 3 read 1 10 20");
    check_valid("1 write 1 0 5 \n 2 cas [1,2] 6 9 fail \n 3 write 3 9 20");
    // What it was to put there did not come.
    check_invalid("1 write 1 0 5 \n 2 cas [7,2] 6 9 fail \n 3 read 2 10 20");
}

#[test]
fn clocks_that_differ_order_only_what_is_further_apart() {
    let of_error = |error_ns: u64| {
        let header = format!(r#"{{"squall_history":1,"clock":{{"kind":"monotonic","origin_ns":0,"error_ns":{error_ns}}}}}"#);
        let line = |time: u64, kind: &str, process: u64, f: &str, value: &str| {
            format!(r#"{{"time":{time},"type":"{kind}","process":{process},"f":"{f}","key":"k","value":{value}}}"#)
        };
        let lines = [
            header,
            line(0, "invoke", 1, "write", "1"),
            line(50, "ok", 1, "write", "1"),
            line(150, "invoke", 2, "read", "null"),
            line(160, "ok", 2, "read", "null"),
        ];
        check(&History::read(lines.join("\n").as_bytes()).unwrap()).remove(0).verdict
    };
    assert_eq!(of_error(0), Verdict::Invalid);
    assert_eq!(of_error(99), Verdict::Invalid);
    assert_eq!(of_error(100), Verdict::Valid);
    assert_eq!(of_error(u64::MAX), Verdict::Valid);
}

#[test]
fn keys_are_judged_one_by_one_and_the_first_violation_in_time_leads() {
    let line = |time: u64, kind: &str, process: u64, f: &str, key: &str, value: &str| {
        format!(r#"{{"time":{time},"type":"{kind}","process":{process},"f":"{f}","key":{key},"value":{value}}}"#)
    };
    let lines = [
        line(0, "invoke", 1, "write", "\"good\"", "1"),
        line(5, "ok", 1, "write", "\"good\"", "1"),
        line(10, "invoke", 2, "read", "\"late\"", "null"),
        line(90, "ok", 2, "read", "\"late\"", "7"),
        line(10, "invoke", 3, "read", "5", "null"),
        line(20, "ok", 3, "read", "5", "7"),
        line(10, "invoke", 4, "read", "null", "null"),
        line(80, "ok", 4, "read", "null", "7"),
    ];
    let history = History::read(lines.join("\n").as_bytes()).unwrap();
    let results = check(&history);
    let named: Vec<(Option<&str>, Verdict)> = results
        .iter()
        .map(|result| (result.key.and_then(|key| history.keys.get(key.index())), result.verdict))
        .collect();
    assert_eq!(
        named,
        [
            (None, Verdict::Invalid),
            (Some("good"), Verdict::Valid),
            (Some("late"), Verdict::Invalid),
            (Some("5"), Verdict::Invalid)
        ]
    );
    assert_eq!(first_violation(&results).and_then(|result| result.certain_ns), Some(20));
}

#[test]
fn a_history_without_operations_has_no_keys() {
    assert_eq!(check(&History::default()), []);
}
