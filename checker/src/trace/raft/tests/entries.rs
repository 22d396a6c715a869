//! T4, T5, T6, T8, T9, T10, T11: logs, commits, and what is applied and answered.

use super::{ELECTED, SERVED, check, check_five};

#[test]
fn t4_the_same_term_at_an_index_is_the_same_log() {
    let other_command = format!("{ELECTED} n1 append 1.1 a\n n2 append 1.1 b");
    check(&other_command, &["trace T4"]);
    check(&other_command.replace("1.1 b", "1.1 a"), &[]);
    check(&other_command.replace("n2 append 1.1 b", "n2 append 1.2 b"), &[]);
    let other_before = "
        n1 append 1.1 a
        n1 append 2.3 c
        n2 append 1.2 b
        n2 append 2.3 c";
    check(other_before, &["trace T4"]);
    check(&other_before.replace("n2 append 1.2 b", "n2 append 1.1 a"), &[]);
}

#[test]
fn t4_a_log_has_no_hole_and_its_terms_do_not_fall() {
    check("n1 append 1.1 a\n n1 append 3.1 c", &["trace T4"]);
    check("n1 append 1.2 a\n n1 append 2.1 b", &["trace T4"]);
    check("n1 append 1.1 a\n n1 append 1.1 a", &["trace T4"]);
    check("n1 append 1.1 a\n n1 append 2.2 b\n n1 append 3.2 c", &[]);
}

#[test]
fn t4_a_log_ends_where_a_node_says() {
    check("n1 append 1.1 a\n n1 follower 0 last=2.1", &["trace T4"]);
    check("n1 append 1.1 a\n n1 follower 0 last=1.1", &[]);
}

#[test]
fn t4_nothing_is_removed_that_is_not_there() {
    check("n1 append 1.1 a\n n1 truncate 2 2", &["trace T4"]);
    check("n1 append 1.1 a\n n1 truncate 1 2", &[]);
}

#[test]
fn t4_a_snapshot_replaces_a_conflicting_log_as_a_whole() {
    let stale = format!(
        "n3 append 1.0 x
         n3 append 2.0 y
         n3 append 3.0 z
         {SERVED}
         n3 install 2.1 of=noop,a
         n3 follower 1"
    );
    check(&stale, &[]);
    // The suffix behind a conflict is kept.
    check(
        &stale
            .replace("of=noop,a", "of=noop,a keeping")
            .replace("n3 follower 1", "n3 follower 1 last=3.0"),
        &["trace T4"],
    );
    let agreeing = format!(
        "{SERVED}
         n3 append 1.1 noop
         n3 append 2.1 a
         n3 append 3.1 b
         n3 install 2.1 of=noop,a
         n3 follower 1"
    );
    check(&agreeing, &[]);
}

#[test]
fn t5_a_leader_removes_nothing() {
    let removes = format!("{ELECTED} n1 append 1.1 noop\n n1 truncate 1 1");
    check(&removes, &["trace T5"]);
    check(&removes.replace("n1 truncate 1 1", "n1 follower 1\n n1 truncate 1 2"), &[]);
}

#[test]
fn t5_nobody_removes_what_is_committed() {
    let own_commit = format!("{SERVED} n2 truncate 2 1");
    check(&own_commit, &["trace T5"]);
    let committed_elsewhere = "
        n1 vote 1 n1
        n2 vote 1 n1
        n1 leader 1
        n1 append 1.1 noop
        n1 fsync 1.1
        n2 append 1.1 noop
        n2 fsync 1.1
        n1 commit 1.1 count 1
        n2 truncate 1 1";
    check(committed_elsewhere, &["trace T5"]);
    let not_committed = committed_elsewhere.replace("n1 commit 1.1 count 1\n", "");
    check(&not_committed, &[]);
    let another_entry = committed_elsewhere.replace("n2 truncate", "n3 append 1.0 x\n n3 truncate");
    check(&another_entry, &[]);
}

/// An entry of term 1 is removed in term 2, and committed at last in term 3: when it was removed it was not committed.
#[test]
fn t5_what_was_removed_before_it_was_committed_was_not_committed() {
    let story = "
        n1 vote 1 n1
        n2 vote 1 n1
        n1 leader 1
        n1 append 1.1 a
        n1 fsync 1.1
        n2 append 1.1 a
        n2 fsync 1.1
        n3 vote 2 n3
        n2 vote 2 -
        n1 vote 3 n1
        n3 vote 3 n1
        n1 leader 3
        n1 append 2.3 noop
        n1 fsync 2.3
        n3 append 1.1 a
        n3 append 2.3 noop
        n3 fsync 2.3
        n1 commit 2.3 count 3
        n2 truncate 1 2";
    check(story, &[]);
    check(&story.replace("n2 truncate 1 2", "n2 vote 3 -\n n2 truncate 1 3"), &["trace T5"]);
}

#[test]
fn t6_an_index_is_committed_as_one_entry() {
    let two = format!("{SERVED} n3 append 1.1 noop\n n3 append 2.0 z\n n3 commit 2.0 leader 1");
    check(&two, &["trace T4", "trace T6"]);
    // A follower that takes the leader's commit index for its own stale tail, and names the leader's term.
    let stale_tail = format!("n3 append 1.0 x\n n3 append 2.0 y\n {SERVED} n3 commit 2.1 leader 1");
    check(&stale_tail, &["trace T6"]);
    let past_the_end = format!("{SERVED} n3 append 1.1 noop\n n3 commit 2.1 leader 1");
    check(&past_the_end, &["trace T6"]);
    let behind = format!("{SERVED} n3 append 1.1 noop\n n3 commit 1.1 leader 1");
    check(&behind, &[]);
}

#[test]
fn t6_an_index_leads_to_one_state() {
    check(&SERVED.replace("n2 apply 2.1 a c1:1", "n2 apply 2.1 a c1:1 =wrong"), &["trace T6"]);
    check(&SERVED.replace("n2 apply 2.1 a c1:1", "n2 apply 2.1 b c1:1"), &["trace T6"]);
    check(&SERVED.replace("n2 apply 2.1 a c1:1", "n2 apply 2.1 a c1:1-"), &["trace T6"]);
    check(&SERVED.replace("n2 commit 2.1 leader 1", ""), &["trace T6"]);
}

#[test]
fn t6_a_snapshot_holds_the_state_of_its_index() {
    let taken = format!("{SERVED} n1 snap 2.1\n n3 install 2.1 of=noop,a\n n3 append 3.1 b\n n3 fsync 3.1");
    check(&taken, &[]);
    check(&taken.replace("of=noop,a", "of=noop,b"), &["trace T6"]);
    check(
        &taken.replace("n1 snap 2.1", "n1 append 3.1 b\n n1 snap 3.1 of=noop,a"),
        &["trace T6"],
    );
    check(&taken.replace("install 2.1", "install 2.0"), &["trace T6"]);
    let older = format!("{SERVED} n1 install 1.1 of=noop");
    check(&older, &["trace T3"]);
}

#[test]
fn t6_a_state_machine_that_a_snapshot_did_not_replace_shows_at_the_next_entry() {
    let story = |state: &str| {
        format!(
            "{SERVED}
             n1 append 3.1 b
             n1 fsync 3.1
             n2 append 3.1 b
             n2 fsync 3.1
             n1 commit 3.1 count 1
             n1 apply 3.1 b
             n3 install 2.1 of=noop,a
             n3 append 3.1 b
             n3 commit 3.1 leader 1
             n3 apply 3.1 b {state}"
        )
    };
    check(&story(""), &[]);
    check(&story("=wrong"), &["trace T6"]);
}

#[test]
fn t8_a_leader_counts_entries_of_its_own_term_only() {
    // Figure 8 of the paper: n1 leads again, in term 3, and counts an entry of term 1.
    let figure_8 = "
        n1 vote 1 n1
        n2 vote 1 n1
        n1 leader 1
        n1 append 1.1 a
        n1 fsync 1.1
        n1 vote 3 n1
        n2 vote 3 n1
        n1 leader 3
        n2 append 1.1 a
        n2 fsync 1.1
        n1 commit 1.1 count 3";
    check(figure_8, &["trace T8"]);
    let with_own = figure_8.replace(
        "n1 commit 1.1 count 3",
        "n1 append 2.3 noop\n n1 fsync 2.3\n n2 append 2.3 noop\n n2 fsync 2.3\n n1 commit 2.3 count 3",
    );
    check(&with_own, &[]);
    check(
        &SERVED.replace("n1 commit 2.1 count 1", "n1 follower 1\n n1 commit 2.1 count 1"),
        &["trace T8"],
    );
}

#[test]
fn t9_what_is_committed_is_durable_on_a_majority() {
    check(&SERVED.replace("n2 fsync 2.1\n", ""), &["trace T9"]);
    check(&SERVED.replace("n2 fsync 2.1\n", "n2 fsync 1.1\n"), &["trace T9"]);
    check(&SERVED.replace("n1 fsync 2.1\n", ""), &["trace T9"]);
    let without_the_leader = SERVED.replace("n1 fsync 2.1\n", "n3 append 1.1 noop\n n3 append 2.1 a\n n3 fsync 2.1\n");
    check(&without_the_leader, &[]);
    let only_later = SERVED
        .replace("n2 fsync 2.1\n", "")
        .replace("n2 commit", "n2 fsync 2.1\n n2 commit");
    check(&only_later, &["trace T9"]);
    check_five(&SERVED.replace("n1 leader", "n3 vote 1 n1\n n1 leader"), &["trace T9"]);
}

/// The fsync ends after the leader counted, but its line has a smaller stamp: no message lies between the two.
#[test]
fn t9_an_fsync_that_ended_later_by_the_clock_is_no_cause() {
    let texts = |fsync_ms: u64| {
        let mut texts = super::texts(SERVED);
        let text = texts.get_mut("n2").expect("a node of the story");
        let line = text
            .lines()
            .find(|line| line.contains("\"fsync\""))
            .expect("it writes one")
            .to_owned();
        let later = line.replace("\"mono_ns\":9000000", &format!("\"mono_ns\":{}000000", fsync_ms));
        assert_ne!(line, later);
        *text = text.replace(&line, &later);
        texts
    };
    assert_eq!(super::names(&super::broken(&texts(10))), [""; 0]);
    assert_eq!(super::names(&super::broken(&texts(11))), ["trace T9"]);
}

#[test]
fn t9_a_joint_configuration_needs_both_majorities() {
    let joint = |second: &str| {
        format!(
            "n1 vote 1 n1
             n2 vote 1 n1
             n3 vote 1 n1
             n1 leader 1
             n1 append 1.1 config
             n1 config 1 n1,n4,n5+n1,n2,n3 appended
             n1 fsync 1.1
             n2 append 1.1 config
             n2 fsync 1.1
             {second} append 1.1 config
             {second} fsync 1.1
             n1 commit 1.1 count 1"
        )
    };
    let of_five = |second| check_five(&joint(second), if second == "n4" { &[] } else { &["trace T9"] });
    of_five("n4");
    of_five("n3");
}

#[test]
fn t9_a_follower_commits_what_a_leader_counted() {
    let early = SERVED.replace("n1 commit 2.1 count 1", "n2 commit 2.1 leader 1\n n1 commit 2.1 count 1");
    check(&early, &["trace T9"]);
    let behind = SERVED
        .replace(
            "n2 commit 2.1 leader 1",
            "n2 commit 1.1 leader 1\n n2 apply 1.1 noop\n n2 commit 2.1 leader 1",
        )
        .replacen("n2 apply 1.1 noop\n    n2 apply 2.1", "n2 apply 2.1", 1);
    check(&behind, &[]);
}

#[test]
fn t9_an_answer_comes_after_the_commit() {
    let early = format!("{SERVED} n1 append 3.1 b\n n1 fsync 3.1\n n1 ack 3.1 b ok c1:2");
    check(&early, &["trace T9"]);
    check(&early.replace(" ok ", " unknown "), &[]);
}

#[test]
fn t10_a_command_of_a_session_takes_effect_once() {
    let again = |apply: &str| {
        format!(
            "{SERVED}
             n1 append 3.1 a
             n1 fsync 3.1
             n2 append 3.1 a
             n2 fsync 3.1
             n1 commit 3.1 count 1
             n1 apply 3.1 a {apply}"
        )
    };
    check(&again("c1:1"), &["trace T10"]);
    check(&again("c1:1-"), &[]);
    check(&again("c1:2"), &[]);
    check(&again("c2:1"), &[]);
    check(&again(""), &[]);
}

#[test]
fn t10_gaps_and_late_numbers_are_told_apart() {
    let numbers = |sequences: &[u64]| {
        let applies = (3u64..).zip(sequences).map(|(index, sequence)| {
            format!(
                "n1 append {index}.1 x{sequence}
                 n1 fsync {index}.1
                 n2 append {index}.1 x{sequence}
                 n2 fsync {index}.1
                 n1 commit {index}.1 count 1
                 n1 apply {index}.1 x{sequence} c1:{sequence}
                 "
            )
        });
        format!("{SERVED}{}", applies.collect::<String>())
    };
    check(&numbers(&[9, 2, 5, 4, 3, 7, 6, 8, 10]), &[]);
    for twice in [1, 9, 2, 5, 4, 3, 7, 6, 8, 10] {
        check(&numbers(&[9, 2, 5, 4, 3, 7, 6, 8, 10, twice]), &["trace T10"]);
    }
}

#[test]
fn t11_an_answer_is_about_the_entry_it_names() {
    check(&SERVED.replace("n1 ack 2.1 a ok c1:1", "n1 ack 2.1 b ok c1:1"), &["trace T11"]);
    check(&SERVED.replace("n1 ack 2.1 a ok c1:1", "n1 ack 2.0 a ok c1:1"), &["trace T11"]);
    check(&SERVED.replace("n1 ack 2.1 a ok c1:1", "n1 ack 2.1 a ok c2:1"), &["trace T11"]);
    check(&SERVED.replace("n1 ack 2.1 a ok c1:1", "n1 ack 2.0 b unknown c2:1"), &[]);
}

#[test]
fn t11_what_was_answered_failed_never_takes_effect() {
    let failed = SERVED.replace("n1 ack 2.1 a ok c1:1", "n1 ack 2.1 a failed c1:1 put");
    check(&failed, &["trace T11"]);
    // A compare-and-swap that found another value failed, and is applied all the same.
    check(&failed.replace("c1:1 put", "c1:1 cas"), &[]);
    // The entry of another term at that index.
    check(&failed.replace("ack 2.1", "ack 2.0"), &[]);
    let before = "n3 append 1.1 noop\n n3 append 2.1 a\n n3 ack 2.1 a failed c1:1 put";
    check(
        &SERVED
            .replace("n1 apply 1.1 noop", &format!("{before}\n n1 apply 1.1 noop"))
            .replace("n1 ack 2.1 a ok c1:1", ""),
        &["trace T11"],
    );
    // A leader that steps down does not know.
    check(&failed.replace("failed", "unknown"), &[]);
}
