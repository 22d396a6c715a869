//! What a person reads, and what a machine judges again.

use insta::assert_snapshot;

use crate::history::History;
use crate::history::testing::of_notation;
use crate::linearizability::{Witness, check, first_violation};
use crate::verdict::Verdict;

fn witness(history: &History) -> Witness {
    let results = check(history);
    Witness::of(history, first_violation(&results).expect("the history is invalid")).unwrap()
}

fn text(notation: &str) -> String {
    witness(&of_notation(notation)).text()
}

#[test]
fn a_stale_read() {
    assert_snapshot!(text("2 write 16 1100 1150 \n 3 write 17 1190 1203 \n 5 read 16 1207 1209 \n 4 read 17 1300 1301"), @"");
}

#[test]
fn a_read_of_nothing_after_a_write() {
    assert_snapshot!(text("1 write 16 1100 1150 \n 5 read - 1207 1209"), @"");
}

#[test]
fn reads_that_go_back() {
    assert_snapshot!(text("1 write 1 0 5 \n 2 write 2 10 - \n 3 read 2 20 30 \n 4 read 1 31 40"), @"");
}

#[test]
fn concurrent_writes_seen_in_two_orders() {
    assert_snapshot!(text("1 write 1 0 100 \n 2 write 2 0 100 \n 3 read 1 10 20 \n 3 read 2 30 40 \n 4 read 1 50 60"), @"");
}

#[test]
fn a_phantom() {
    assert_snapshot!(text("1 write 1 0 5 \n 2 read 99 10 20"), @"");
}

#[test]
fn a_refused_write_that_was_read() {
    assert_snapshot!(text("1 write 1 0 5 fail \n 2 read 1 10 20"), @"");
}

#[test]
fn a_read_from_the_future() {
    assert_snapshot!(text("1 read 1 0 5 \n 2 write 1 6 9"), @"");
}

#[test]
fn times_are_shown_as_finely_as_they_must_be() {
    let lines = [
        r#"{"time":1000000001,"type":"invoke","process":1,"f":"write","value":1}"#,
        r#"{"time":1000000450,"type":"ok","process":1,"f":"write","value":1}"#,
        r#"{"time":1000000451,"type":"invoke","process":2,"f":"read"}"#,
        r#"{"time":1000000999,"type":"ok","process":2,"f":"read","value":null}"#,
    ];
    assert_snapshot!(witness(&History::read(lines.join("\n").as_bytes()).unwrap()).text(), @"");
}

#[test]
fn hostile_text_is_spelled_out_in_the_text_and_kept_in_the_lines() {
    let lines = [
        r#"{"time":1,"type":"invoke","process":1,"f":"read","key":"k\u001b[31m\n`","node":"n\u202e"}"#,
        r#"{"time":2,"type":"ok","process":1,"f":"read","key":"k\u001b[31m\n`","value":"\u009b\u0007 a value that is far too long to be shown in a table"}"#,
    ];
    let witness = witness(&History::read(lines.join("\n").as_bytes()).unwrap());
    assert_snapshot!(witness.text(), @"");
    assert_snapshot!(String::from_utf8(witness.history_lines()).unwrap(), @"");
}

#[test]
fn the_lines_are_a_history_with_the_same_witness() {
    let history = of_notation("1 write 1 0 5 \n 2 write 2 10 - \n 3 read 2 20 30 \n 4 read 1 31 40 \n 4 read 1 50 60");
    let first = witness(&history);
    assert_snapshot!(String::from_utf8(first.history_lines()).unwrap(), @"");
    let again = History::read(first.history_lines().as_slice()).unwrap();
    let second = witness(&again);
    assert_eq!(second.sentence, first.sentence);
    assert_eq!(second.because, first.because);
    assert_eq!(check(&again)[0].verdict, Verdict::Invalid);
}

#[test]
fn the_same_history_gives_the_same_bytes() {
    let notation = "1 write 1 0 5 \n 2 write 2 6 9 \n 3 read 1 10 20 \n 4 read 1 10 20 \n 5 read 1 10 20";
    let once = witness(&of_notation(notation));
    for _ in 0..5 {
        let again = witness(&of_notation(notation));
        assert_eq!((again.text(), again.history_lines()), (once.text(), once.history_lines()));
    }
}
