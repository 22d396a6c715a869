//! Small histories of workloads with their known answers, where those say something about linearizability.

use crate::history::History;
use crate::linearizability::general::{ModelChoice, Options, check_model};
use crate::verdict::Verdict;

/// Lines `type f value` of alternating events of one process each row: `f invoke-value ok-value`, one millisecond apart; `?` never returned.
#[track_caller]
fn check(model: ModelChoice, rows: &[(&str, &str, &str)], expected: Verdict) {
    let mut lines = Vec::new();
    for (process, (f, argument, seen)) in rows.iter().enumerate() {
        let time = 2 * process;
        lines.push(format!(
            r#"{{"time":{time},"process":{process},"type":"invoke","f":"{f}","value":{argument}}}"#
        ));
        let (kind, value) = match *seen {
            "?" => ("info", *argument),
            "fail" => ("fail", *argument),
            seen => ("ok", seen),
        };
        lines.push(format!(
            r#"{{"time":{},"process":{process},"type":"{kind}","f":"{f}","value":{value}}}"#,
            time + 1
        ));
    }
    let history = History::read(lines.join("\n").as_bytes()).unwrap();
    let results = check_model(&history, model, &Options::default());
    assert_eq!(
        Verdict::merge(results.iter().map(|result| result.answer.verdict())),
        expected,
        "{results:#?}"
    );
}

#[test]
fn sets() {
    let set = |rows: &[(&str, &str, &str)], expected| check(ModelChoice::Set, rows, expected);
    set(
        &[
            ("add", "1", "1"),
            ("add", "2", "?"),
            ("add", "3", "fail"),
            ("read", "null", "[1,2]"),
        ],
        Verdict::Valid,
    );
    set(&[("add", "1", "1"), ("add", "2", "2"), ("read", "null", "[2]")], Verdict::Invalid);
    set(&[("add", "1", "1"), ("read", "null", "[1,9]")], Verdict::Invalid);
    set(
        &[("add", "1", "1"), ("read", "null", "[1]"), ("read", "null", "[]")],
        Verdict::Invalid,
    );
    // Jepsen's own test for duplicates is inverted and passes this.
    set(&[("add", "1", "1"), ("read", "null", "[1,1]")], Verdict::Invalid);
}

#[test]
fn counters() {
    let counter = |rows: &[(&str, &str, &str)], expected| check(ModelChoice::Counter, rows, expected);
    counter(&[("add", "5", "?"), ("read", "null", "5")], Verdict::Valid);
    counter(&[("add", "5", "5"), ("read", "null", "6")], Verdict::Invalid);
    counter(&[("add", "5", "5"), ("read", "null", "4")], Verdict::Invalid);
    // Jepsen's interval test accepts this one.
    counter(&[("add", "5", "?"), ("read", "null", "3")], Verdict::Invalid);
}

#[test]
fn queues() {
    let queue = |rows: &[(&str, &str, &str)], expected| check(ModelChoice::Queue, rows, expected);
    let both = [
        ("enqueue", "1", "1"),
        ("enqueue", "2", "?"),
        ("dequeue", "null", "1"),
        ("dequeue", "null", "2"),
    ];
    queue(&both, Verdict::Valid);
    // A total queue counts this as valid, a linearizable one cannot.
    queue(
        &[("enqueue", "1", "1"), ("dequeue", "null", "1"), ("dequeue", "null", "1")],
        Verdict::Invalid,
    );
    // Nobody dequeued it, and nobody has to: lost is not a matter of linearizability.
    queue(&[("enqueue", "1", "1")], Verdict::Valid);
    queue(&[("enqueue", "1", "1"), ("dequeue", "null", "null")], Verdict::Invalid);
}
