//! T12: what a read must have seen.

use super::{SERVED, broken, check, names, texts};

/// Row 13 of the story answers index 2.
const ANSWERED: u64 = 13;

fn read(index: u64, applied: u64, basis: &str, begun: u64) -> String {
    format!("{SERVED} n3 read {index} {applied} {basis} {begun}")
}

#[test]
fn t12_a_read_sees_what_was_answered_before_it_began() {
    check(&read(0, 0, "read-index", ANSWERED + 1), &["trace T12"]);
    check(&read(0, 0, "lease", ANSWERED + 1), &["trace T12"]);
    check(&read(1, 1, "lease", ANSWERED + 1), &["trace T12"]);
    check(&read(2, 2, "read-index", ANSWERED + 1), &[]);
}

#[test]
fn t12_a_read_that_began_before_the_answer_may_miss_it() {
    check(&read(0, 0, "read-index", ANSWERED), &[]);
    check(&read(0, 0, "read-index", ANSWERED - 1), &[]);
}

#[test]
fn t12_a_local_read_promises_nothing() {
    check(&read(0, 0, "local", ANSWERED + 1), &[]);
    check(&read(0, 0, "of-a-later-version", ANSWERED + 1), &[]);
}

#[test]
fn t12_a_read_waits_until_its_index_is_applied() {
    check(&read(2, 1, "read-index", 1), &["trace T12"]);
    check(&read(1, 2, "read-index", 1), &[]);
}

#[test]
fn t12_a_lease_read_on_a_fresh_leader_sees_all() {
    let fresh = |applied: u64| {
        format!(
            "{SERVED}
             n3 append 1.1 noop
             n3 append 2.1 a
             n3 fsync 2.1
             n3 vote 2 n3
             n2 vote 2 n3
             n3 leader 2
             n3 read 0 {applied} lease 20"
        )
    };
    check(&fresh(0), &["trace T12"]);
    check(&fresh(2), &[]);
}

/// A deposed leader that is cut off stamps low, so its read is seen before the answer that it misses.
#[test]
fn t12_a_stale_read_with_a_low_stamp_is_found() {
    let mut texts = texts(&read(0, 0, "lease", ANSWERED + 1));
    let text = texts.get_mut("n3").expect("a node of the story");
    let low = text.replace("\"lamport\":17", "\"lamport\":1");
    assert_ne!(*text, low);
    *text = low;
    assert_eq!(names(&broken(&texts)), ["trace T12"]);
}

#[test]
fn t12_of_many_answers_the_highest_before_the_read_counts() {
    let story = |applied: u64, begun: u64| {
        format!(
            "{SERVED}
             n1 append 3.1 b
             n1 fsync 3.1
             n2 append 3.1 b
             n2 fsync 3.1
             n1 commit 3.1 count 1
             n1 apply 3.1 b c1:2
             n1 ack 3.1 b ok c1:2
             n1 ack 2.1 a ok c1:1
             n1 read 0 {applied} read-index {begun}"
        )
    };
    check(&story(2, 24), &["trace T12"]);
    check(&story(2, 23), &[]);
    check(&story(3, 25), &[]);
    check(&story(1, 23), &["trace T12"]);
}
