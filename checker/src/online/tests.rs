//! The online check against the check of the whole file, prefix by prefix; its memory; what it leaves.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Asked, Ended, LeftKey, Online, Value, Violation};
use crate::history::History;
use crate::history::operation::{Function, Operation, Outcome};
use crate::history::testing::of_operations;
use crate::history::values::ValueId;
use crate::linearizability::tests::random::{self, Values};
use crate::linearizability::{check, verify};
use crate::verdict::Verdict;

/// One line: when, invocation or completion, and of which operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    time_ns: u64,
    is_completion: bool,
    place: usize,
}

/// The lines in order of time, invocations first. Half of the unknown outcomes are said by an `info`, the others by silence.
fn lines(operations: &[Operation], chance: &mut ChaCha8Rng) -> Vec<Line> {
    let mut lines = Vec::new();
    for (place, operation) in operations.iter().enumerate() {
        let mut push = |time_ns, is_completion| {
            lines.push(Line {
                time_ns,
                is_completion,
                place,
            });
        };
        push(operation.invoked_ns, false);
        match operation.returned_ns() {
            Some(returned_ns) => push(returned_ns, true),
            None if chance.random_ratio(1, 2) => push(operation.invoked_ns + chance.random_range(0..10), true),
            None => {}
        }
    }
    lines.sort_unstable();
    lines
}

fn value(id: ValueId) -> Value {
    id.integer().map_or(Value::Null, Value::Integer)
}

fn feed(online: &mut Online, history: &History, line: Line) -> Option<Violation> {
    let operation = &history.operations[line.place];
    if line.is_completion {
        let ended = match operation.outcome {
            Outcome::Fail if operation.f == Function::Cas && operation.observed().is_some() => {
                Ended::Differed(operation.observed().map_or(Value::Null, value))
            }
            Outcome::Ok => Ended::Ok(operation.observed().map_or(Value::Null, value)),
            Outcome::Fail => Ended::Failed,
            Outcome::Unknown => Ended::Unknown,
        };
        return online.complete(operation.process, ended, line.time_ns);
    }
    let asked = match operation.f {
        Function::Read => Asked::Read,
        Function::Write => Asked::Write(value(operation.argument)),
        Function::Cas => {
            let (expected, new) = history
                .values
                .pair(operation.argument)
                .expect("it expects one value and writes one");
            Asked::Cas {
                expected: value(expected),
                new: value(new),
            }
        }
        _ => Asked::Other,
    };
    online.invoke(operation.process, line.place as u32, Some("k".into()), asked, line.time_ns);
    None
}

/// Feeds the lines until the first violation; the number of lines it took.
fn feed_all(online: &mut Online, history: &History, lines: &[Line]) -> Option<(usize, Violation)> {
    (1..)
        .zip(lines)
        .find_map(|(taken, &line)| Some((taken, feed(online, history, line)?)))
}

/// The operations as the reader would give them if the file ended after `lines`. Those that have not begun become reads without
/// an answer, which say nothing, so that places stay.
fn prefix(history: &History, lines: &[Line]) -> History {
    let operations = &history.operations;
    let mut begun = vec![false; operations.len()];
    let mut ended = vec![false; operations.len()];
    for line in lines {
        let seen = if line.is_completion { &mut ended } else { &mut begun };
        seen[line.place] = true;
    }
    let cut = |(place, operation): (usize, &Operation)| match (begun[place], ended[place]) {
        (_, true) => *operation,
        (true, false) => operation.still_open(),
        (false, _) => {
            let mut unheard = operation.still_open();
            (unheard.f, unheard.argument) = (Function::Read, ValueId::NULL);
            unheard
        }
    };
    let operations = operations.iter().enumerate().map(cut).collect();
    History {
        operations,
        ..history.clone()
    }
}

fn batch_finds_a_violation(history: &History, lines: &[Line]) -> bool {
    check(&prefix(history, lines))[0].verdict == Verdict::Invalid
}

/// Both checks say the same of the whole and of the two prefixes around the first violation, and its proof stands. In order of time a broken
/// prefix stays broken, so this is the same answer for every prefix.
#[track_caller]
fn check_alike(history: &History, lines: &[Line]) -> bool {
    let mut online = Online::new(0);
    let found = feed_all(&mut online, history, lines);
    assert_eq!(online.newly_left(), []);
    let Some((taken, violation)) = found else {
        assert!(!batch_finds_a_violation(history, lines), "missed: {:#?}", history.operations);
        return false;
    };
    assert!(
        batch_finds_a_violation(history, &lines[..taken]),
        "{violation:?} in {:#?}",
        history.operations
    );
    assert!(
        !batch_finds_a_violation(history, &lines[..taken - 1]),
        "late: {violation:?} in {:#?}",
        history.operations
    );
    let history = prefix(history, &lines[..taken]);
    assert_eq!(verify::invalid(&history, history.operations[0].key, &violation.certificate), Ok(()));
    assert_eq!(violation.completed_ns, lines[taken - 1].time_ns);
    true
}

#[test]
fn says_the_same_as_the_check_of_the_whole_file_on_a_hundred_thousand_small_histories() {
    let mut chance = ChaCha8Rng::seed_from_u64(31);
    let mut broken = 0;
    for _ in 0..100_000 {
        let operations = random::chaos(&mut chance, Values::Unique);
        let lines = lines(&operations, &mut chance);
        broken += u32::from(check_alike(&of_operations(operations), &lines));
    }
    assert!((20_000..95_000).contains(&broken), "{broken} broken");
}

/// Whatever is told is true of what was seen until then, and nearly everything that is true is told at once. Returns whether the whole is
/// broken, and whether that was told.
#[track_caller]
fn check_truth(history: &History, lines: &[Line]) -> (bool, bool) {
    let mut online = Online::new(0);
    let found = feed_all(&mut online, history, lines);
    assert_eq!(online.newly_left(), []);
    let Some((taken, violation)) = found else {
        return (batch_finds_a_violation(history, lines), false);
    };
    assert!(
        batch_finds_a_violation(history, &lines[..taken]),
        "{violation:?} in {:#?}",
        history.operations
    );
    (true, true)
}

#[test]
fn what_it_says_of_compare_and_sets_is_true_and_seldom_late() {
    let mut chance = ChaCha8Rng::seed_from_u64(35);
    let (mut broken, mut told) = (0, 0);
    for round in 0..60_000 {
        let history = if round % 2 == 0 {
            random::chaos_with_cas(&mut chance, Values::Unique)
        } else {
            let (count, clients) = (chance.random_range(10..60), chance.random_range(1..6));
            let says_seen = chance.random_ratio(1, 2);
            let history = random::atomic_with_cas(&mut chance, count, clients, Values::Unique, says_seen);
            let operations = random::disturbed(&mut chance, history.operations.clone());
            History { operations, ..history }
        };
        let lines = lines(&history.operations, &mut chance);
        let (is_broken, is_told) = check_truth(&history, &lines);
        broken += u32::from(is_broken);
        told += u32::from(is_told);
    }
    assert!(broken > 20_000, "{broken} broken");
    assert!(told * 100 > broken * 80, "{told} of {broken} told");
}

/// A compare-and-set by process 0.
fn cas(online: &mut Online, expected: Value, new: i64, ended: Ended, invoked_ns: u64) -> Option<Violation> {
    let asked = Asked::Cas {
        expected,
        new: Value::Integer(new),
    };
    online.invoke(0, new as u32, Some("a".into()), asked, invoked_ns);
    online.complete(0, ended, invoked_ns + 5)
}

#[test]
fn two_that_replaced_the_same_value_are_told_at_the_second() {
    let mut online = Online::new(0);
    write(&mut online, "a", 1, 1, 2);
    assert_eq!(cas(&mut online, Value::Integer(1), 2, Ended::Ok(Value::Null), 10), None);
    let violation = cas(&mut online, Value::Integer(1), 3, Ended::Ok(Value::Null), 20);
    assert!(violation.is_some(), "1 was gone");
}

#[test]
fn one_that_failed_and_says_what_it_saw_is_a_read() {
    let mut online = Online::new(0);
    write(&mut online, "a", 1, 1, 2);
    write(&mut online, "a", 2, 3, 4);
    assert_eq!(cas(&mut online, Value::Integer(9), 3, Ended::Differed(Value::Integer(2)), 10), None);
    let violation = cas(&mut online, Value::Integer(9), 4, Ended::Differed(Value::Integer(1)), 20);
    assert!(violation.is_some(), "1 was overwritten");
}

#[test]
fn one_of_unknown_outcome_happened_if_somebody_saw_its_value() {
    let mut online = Online::new(0);
    write(&mut online, "a", 1, 1, 2);
    assert_eq!(cas(&mut online, Value::Integer(1), 2, Ended::Unknown, 10), None);
    assert_eq!(
        cas(&mut online, Value::Integer(2), 3, Ended::Ok(Value::Null), 20),
        None,
        "so 2 was there, and 1 is gone"
    );
    online.invoke(1, 50, Some("a".into()), Asked::Read, 30);
    assert!(online.complete(1, Ended::Ok(Value::Integer(1)), 40).is_some());
}

#[test]
fn says_the_same_on_long_histories_with_one_disturbed_read() {
    let mut chance = ChaCha8Rng::seed_from_u64(32);
    let mut broken = 0;
    for _ in 0..4_000 {
        let (count, clients) = (chance.random_range(20..120), chance.random_range(1..8));
        let mut operations = random::atomic(&mut chance, count, clients, Values::Unique);
        if chance.random_ratio(3, 4) {
            operations = random::disturbed(&mut chance, operations);
        }
        let lines = lines(&operations, &mut chance);
        broken += u32::from(check_alike(&of_operations(operations), &lines));
    }
    assert!((1_000..3_500).contains(&broken), "{broken} broken");
}

#[test]
fn says_the_same_when_lines_come_late_within_the_slack() {
    const SLACK_NS: u64 = 9;
    let mut chance = ChaCha8Rng::seed_from_u64(33);
    let mut broken = 0;
    for _ in 0..4_000 {
        let (count, clients) = (chance.random_range(5..60), chance.random_range(2..6));
        let operations = random::atomic(&mut chance, count, clients, Values::Unique);
        let operations = random::disturbed(&mut chance, operations);
        let mut lines = lines(&operations, &mut chance);
        let mut queued: Vec<(u64, Line)> = lines
            .iter()
            .map(|line| (line.time_ns + chance.random_range(0..=SLACK_NS), *line))
            .collect();
        // A process enqueues its completion after its invocation.
        for place in 0..operations.len() {
            let invoked = queued.iter().find(|(_, line)| line.place == place).map_or(0, |(at, _)| *at);
            for (at, line) in queued.iter_mut().filter(|(_, line)| line.place == place) {
                if line.is_completion {
                    *at = (*at).max(invoked);
                }
            }
        }
        queued.sort_by_key(|(at, line)| (*at, line.is_completion));
        lines = queued.into_iter().map(|(_, line)| line).collect();
        let history = of_operations(operations);
        let mut online = Online::new(SLACK_NS);
        let found = feed_all(&mut online, &history, &lines).map(|(taken, _)| taken);
        assert_eq!(online.newly_left(), []);
        let first_broken = (1..=lines.len()).find(|&taken| batch_finds_a_violation(&history, &lines[..taken]));
        assert_eq!(found, first_broken, "{:#?}", history.operations);
        broken += u32::from(found.is_some());
    }
    assert!(broken > 500, "{broken} broken");
}

#[test]
fn an_invocation_past_the_slack_leaves_its_key_and_nothing_else() {
    let mut online = Online::new(10);
    write(&mut online, "a", 1, 100, 200);
    write(&mut online, "a", 2, 300, 400);
    write(&mut online, "a", 3, 500, 600);
    online.invoke(7, 70, Some("a".into()), Asked::Read, 150);
    let left = online.newly_left();
    assert!(
        matches!(&left[..], [LeftKey { key: Some(key), reason }] if &**key == "a" && reason.contains("too late")),
        "{left:?}"
    );
    assert_eq!(online.complete(7, Ended::Ok(Value::Integer(99)), 700), None);
    online.invoke(8, 80, Some("b".into()), Asked::Read, 150);
    assert!(online.complete(8, Ended::Ok(Value::Integer(99)), 700).is_some());
}

/// A write by process 0.
fn write(online: &mut Online, key: &str, integer: i64, invoked_ns: u64, returned_ns: u64) {
    let asked = Asked::Write(Value::Integer(integer));
    online.invoke(0, integer as u32, Some(key.into()), asked, invoked_ns);
    assert_eq!(online.complete(0, Ended::Ok(Value::Null), returned_ns), None);
}

#[test]
fn a_key_with_a_value_written_twice_is_left_to_the_check_of_the_whole_history() {
    let mut online = Online::new(0);
    write(&mut online, "a", 1, 1, 2);
    online.invoke(0, 5, Some("a".into()), Asked::Write(Value::Integer(1)), 3);
    let left = online.newly_left();
    assert!(
        matches!(&left[..], [LeftKey { key: Some(key), reason }] if &**key == "a" && reason.contains("written twice")),
        "{left:?}"
    );
    assert_eq!(online.complete(0, Ended::Ok(Value::Null), 4), None);
    online.invoke(0, 6, Some("a".into()), Asked::Read, 5);
    assert_eq!(online.complete(0, Ended::Ok(Value::Integer(77)), 6), None, "it is judged no more");
    assert_eq!(online.newly_left(), [], "said once");
}

/// A million operations of an atomic register by `clients`, one write in two, one unknown outcome in a hundred; `key_of` names the key of
/// each. Returns the most that was remembered of live and of unread values, and what was retired at the end.
fn long_run(clients: u64, key_of: impl Fn(u64) -> u64) -> (usize, usize, usize) {
    let mut chance = ChaCha8Rng::seed_from_u64(34);
    let mut online = Online::new(0);
    let mut current = std::collections::BTreeMap::new();
    // Of each process in flight: its key, and what its read saw, or the value of its write.
    let mut open: Vec<Option<(u64, u64, bool, Value)>> = vec![None; clients as usize];
    let mut process_of: Vec<u64> = (0..clients).collect();
    let (mut live, mut unread) = (0, 0);
    for step in 0..2_000_000_u64 {
        let client = chance.random_range(0..open.len());
        let process = process_of[client];
        match open[client].take() {
            None => {
                let (number, is_write) = (step / 2, chance.random_ratio(1, 2));
                let key = key_of(number);
                let name = Some(format!("k{key}").into());
                let written = Value::Integer(step as i64);
                let asked = if is_write { Asked::Write(written) } else { Asked::Read };
                online.invoke(process, step as u32, name, asked, step);
                open[client] = Some((key, step, is_write, written));
            }
            Some((key, _, is_write, written)) => {
                // It takes effect now, unless it is lost.
                let ended = if is_write && chance.random_ratio(1, 50) {
                    process_of[client] += clients;
                    Ended::Unknown
                } else if is_write {
                    current.insert(key, written);
                    Ended::Ok(Value::Null)
                } else {
                    Ended::Ok(current.get(&key).copied().unwrap_or(Value::Null))
                };
                assert_eq!(online.complete(process, ended, step), None);
            }
        }
        if step % 1_000 == 0 {
            let size = online.size();
            (live, unread) = (live.max(size.live), unread.max(size.unread));
        }
    }
    assert_eq!(online.newly_left(), []);
    (live, unread, online.size().retired)
}

#[test]
fn a_million_operations_on_one_key_leave_a_few_live_values() {
    let (live, unread, retired) = long_run(20, |_| 0);
    assert!(live <= 100, "{live} live");
    assert!(unread <= 12_000, "{unread} unread: one write in fifty is never heard of again");
    assert!(retired > 450_000, "{retired} retired");
}

#[test]
fn keys_that_are_rotated_leave_a_few_live_values_each() {
    let (live, _, retired) = long_run(20, |number| number / 1_000);
    // What overlapped the last operations on a key stays: 20 clients, a few values.
    assert!(live <= 10 * 1_000, "{live} live on a thousand keys");
    assert!(retired > 450_000, "{retired} retired");
}
