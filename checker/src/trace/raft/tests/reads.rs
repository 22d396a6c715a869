//! T12: what a read must have seen. T16: on whose word a leader may answer one.

use super::writer::ELECTION_MS;
use super::{SERVED, broken, check, check_five, names, texts};

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
             n3 send n2 heartbeat 2
             n2 receive n3 23 heartbeat 2
             n2 send n3 heartbeat_reply 2
             n3 receive n2 25 heartbeat_reply 2
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
             n3 read 0 {applied} read-index {begun}"
        )
    };
    check(&story(2, 24), &["trace T12"]);
    check(&story(2, 23), &[]);
    check(&story(3, 25), &[]);
    check(&story(1, 23), &["trace T12"]);
}

/// After [`SERVED`]: n1 asks n2, and n2 answers, in rows 17 to 20; then n1 answers a read that began in that row.
fn asked(words: [&str; 2], term: u64, basis: &str, begun: u64) -> String {
    let [question, answer] = words;
    format!(
        "{SERVED} n1 send n2 {question} 1
         n2 receive n1 17 {question} 1
         n2 send n1 {answer} {term}
         n1 receive n2 19 {answer} {term}
         n1 read 2 2 {basis} {begun}"
    )
}

#[test]
fn t16_a_leader_answers_a_read_after_a_majority_spoke_since_it_came() {
    for words in [["heartbeat", "heartbeat_reply"], ["append", "append_reply"]] {
        check(&asked(words, 1, "read-index", 16), &[]);
        check(&asked(words, 1, "read-index", 17), &[]);
        check(&asked(words, 1, "read-index", 18), &["trace T16"]);
    }
    check(&format!("{SERVED} n1 read 2 2 read-index 16"), &["trace T16"]);
    check(&format!("{SERVED} n1 read 2 2 local 16"), &[]);
    check(&format!("{SERVED} n2 read 2 2 read-index 16"), &[]);
}

#[test]
fn t16_a_word_of_another_term_is_no_word_for_the_leader() {
    check(&asked(["heartbeat", "heartbeat_reply"], 2, "read-index", 16), &["trace T16"]);
}

/// Whatever a node says later of a higher term, what it said in this one was true when it said it.
#[test]
fn t16_a_word_of_a_higher_term_takes_no_word_back() {
    let asked = asked(["heartbeat", "heartbeat_reply"], 1, "read-index", 17);
    let (before, read) = asked.rsplit_once('\n').expect("it has rows");
    let with = |message: &str| format!("{before}\n n2 send n1 {message} 2\n n1 receive n2 21 {message} 2\n {read}");
    for message in ["pre_vote", "pre_vote_reply", "vote", "append_reply"] {
        check(&with(message), &[]);
    }
}

/// Nobody is told by a candidate that it leads, and by one of the next term not even that it once did.
#[test]
fn t16_a_candidate_gives_no_word() {
    for message in ["pre_vote", "vote"] {
        check(&asked(["heartbeat", message], 1, "read-index", 17), &["trace T16"]);
    }
}

/// A candidate that is cut off asks in term after term, and the leader does not listen.
#[test]
fn t16_a_candidate_takes_no_word_back_however_often_it_asks() {
    let asked = asked(["heartbeat", "heartbeat_reply"], 1, "read-index", 17);
    let (before, read) = asked.rsplit_once('\n').expect("it has rows");
    let votes: String = (2..20)
        .map(|term| format!("n2 send n1 vote {term}\n n1 receive n2 {} vote {term}\n", 17 + 2 * term))
        .collect();
    check(&format!("{before}\n {votes} {read}"), &[]);
}

#[test]
fn t16_an_answer_to_an_earlier_question_is_none_to_a_later_one() {
    let story = |begun: u64, heard_first: bool| {
        let (heard, said) = ("n2 receive n1 18 heartbeat 1", "n2 send n1 heartbeat_reply 1");
        let (first, second) = if heard_first { (heard, said) } else { (said, heard) };
        let reply = if heard_first { 21 } else { 20 };
        format!(
            "{SERVED} n1 send n2 heartbeat 1
             n1 send n2 heartbeat 1
             n2 receive n1 17 heartbeat 1
             {first}
             {second}
             n1 receive n2 {reply} heartbeat_reply 1
             n1 read 2 2 read-index {begun}"
        )
    };
    check(&story(17, false), &[]);
    check(&story(18, false), &["trace T16"]);
    check(&story(18, true), &[]);
}

#[test]
fn t16_a_majority_of_five_is_three() {
    let word = |node: &str, row: u64| {
        format!(
            "n1 send {node} heartbeat 1
             {node} receive n1 {} heartbeat 1
             {node} send n1 heartbeat_reply 1
             n1 receive {node} {} heartbeat_reply 1\n",
            row,
            row + 2
        )
    };
    let elected = "n1 vote 1 n1\n n2 vote 1 n1\n n3 vote 1 n1\n n1 leader 1\n";
    let two = word("n2", 5);
    check_five(&format!("{elected}{two} n1 read 0 0 read-index 5"), &["trace T16"]);
    let three = two + &word("n4", 9);
    check_five(&format!("{elected}{three} n1 read 0 0 read-index 5"), &[]);
    check_five(&format!("{elected}{three} n1 read 0 0 read-index 6"), &["trace T16"]);
}

#[test]
fn t16_a_lease_lasts_for_an_election_timeout() {
    let asked = asked(["heartbeat", "heartbeat_reply"], 1, "lease", 18);
    check(&asked, &[]);
    // A row is a millisecond.
    let time_passes = "n3 receive n1 17 heartbeat 1\n".repeat(ELECTION_MS as usize);
    let later = |begun: u64| format!("{asked}\n {time_passes} n1 read 2 2 lease {begun}");
    check(&later(17 + ELECTION_MS), &[]);
    check(&later(18 + ELECTION_MS), &["trace T16"]);
}

/// Who is to vote may not even have heard of it: until the change is done nobody is elected without the voters before it.
#[test]
fn t16_while_a_change_is_joint_the_voters_before_it_cover_a_read() {
    let read = |config: &str| {
        let asked = asked(["heartbeat", "heartbeat_reply"], 1, "lease", 18);
        let (before, read) = asked.rsplit_once('\n').expect("it has rows");
        format!("{before}\n {config}\n {read}")
    };
    check(&read("n1 config 3 n1,n3+n1,n2,n3 appended"), &[]);
    check(&read("n1 config 3 n1,n2,n3+n1,n3 appended"), &["trace T16"]);
}

#[test]
fn t16_a_leader_that_offered_its_place_has_no_lease() {
    let story = |message: &str, basis: &str| {
        let asked = asked(["heartbeat", "heartbeat_reply"], 1, "lease", 18);
        let (before, _) = asked.rsplit_once('\n').expect("it has rows");
        format!("{before}\n n1 send n2 {message} 1\n n1 read 2 2 {basis} 17")
    };
    check(&story("timeout_now", "lease"), &["trace T16"]);
    check(&story("timeout_now", "read-index"), &[]);
    check(&story("heartbeat", "lease"), &[]);
}

/// The follower's lines are lost, so nobody knows what it said.
#[test]
fn t16_nothing_follows_from_the_silence_of_a_trace_that_is_cut() {
    let story = asked(["heartbeat", "heartbeat_reply"], 1, "read-index", 17);
    let mut texts = texts(&story);
    let text = texts.get_mut("n2").expect("a node of the story");
    let cut: String = text
        .lines()
        .take_while(|line| !line.contains("\"receive\""))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_ne!(*text, cut);
    *text = cut;
    assert_eq!(names(&broken(&texts)), [""; 0]);
}
