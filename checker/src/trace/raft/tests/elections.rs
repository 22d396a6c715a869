//! T1, T2, T3, T7: votes, leaders, and what never goes back.

use super::{ELECTED, SERVED, check, check_five};

#[test]
fn t1_a_term_has_one_leader() {
    let two = format!("{ELECTED} n3 vote 1 n3\n n3 leader 1");
    check(&two, &["trace T1"]);
    let next_term = format!("{ELECTED} n3 vote 2 n3\n n2 vote 2 n3\n n3 leader 2");
    check(&next_term, &[]);
    let told_again = format!("{ELECTED} n1 follower 1\n n1 leader 1");
    check(&told_again, &[]);
}

#[test]
fn t1_a_leader_has_the_durable_votes_of_a_majority() {
    let alone = "
        n1 vote 1 n1
        n1 leader 1";
    check(alone, &["trace T1"]);
    check(&alone.replace("n1 leader 1", "n2 vote 1 n1\n n1 leader 1"), &[]);
    check(&alone.replace("n1 leader 1", "n1 leader 1\n n2 vote 1 n1"), &["trace T1"]);
    check_five(ELECTED, &["trace T1"]);
    check_five(&ELECTED.replace("n1 leader", "n5 vote 1 n1\n n1 leader"), &[]);
    let of_another = "
        n1 vote 1 n1
        n2 vote 1 n2
        n1 leader 1";
    check(of_another, &["trace T1"]);
}

#[test]
fn t1_a_joint_configuration_needs_both_majorities() {
    let joint = |voters: &str| {
        format!(
            "n1 config 1 n1,n4,n5+n1,n2,n3 appended
             n1 vote 1 n1
             {voters}
             n1 leader 1"
        )
    };
    check_five(&joint("n2 vote 1 n1\n n4 vote 1 n1"), &[]);
    check_five(&joint("n2 vote 1 n1\n n3 vote 1 n1"), &["trace T1"]);
    check_five(&joint("n4 vote 1 n1\n n5 vote 1 n1"), &["trace T1"]);
}

#[test]
fn t2_a_member_votes_once_per_term() {
    let twice = "
        n1 vote 1 n1
        n1 vote 1 n2";
    check(twice, &["trace T2"]);
    check(&twice.replace("vote 1 n2", "vote 2 n2"), &[]);
    check(&twice.replace("vote 1 n2", "vote 1 n1"), &[]);
    check(&twice.replace("n1 vote 1 n2", "n3 vote 1 n2"), &[]);
    check("n1 vote 1 -\n n1 vote 1 n2", &[]);
    check("n1 vote 1 n2\n n1 vote 1 -", &["trace T2"]);
}

#[test]
fn t2_a_restart_does_not_forget_a_vote() {
    let kept = "
        n1 vote 1 n2
        n1 restart
        n1 vote 1 n2";
    check(kept, &[]);
    check(&kept.replace("restart", "restart vote=-"), &["trace T2"]);
    check(&kept.replace("restart", "restart vote=n3"), &["trace T2"]);
    check(
        &kept
            .replace("vote 1 n2\n", "vote 1 -\n")
            .replace("restart", "restart vote=n3")
            .replace("n1 vote 1 n2", ""),
        &[],
    );
}

/// A wiped node returns as another member, which owes nothing to the votes of the first.
#[test]
fn t2_a_new_member_on_the_same_node_votes_anew() {
    let wiped = "
        n1 vote 3 n2
        n1 restart member=n1.2 term=0 vote=-
        n1 vote 3 n3";
    check(wiped, &[]);
    check(&wiped.replace("member=n1.2 ", ""), &["trace T2", "trace T3"]);
}

#[test]
fn t2_a_vote_is_durable_before_it_is_granted() {
    let granted = "
        n2 vote 1 n1
        n2 send n1 vote_reply 1 yes";
    check(granted, &[]);
    check("n2 send n1 vote_reply 1 yes\n n2 vote 1 n1", &["trace T2"]);
    check("n2 vote 1 n3\n n2 send n1 vote_reply 1 yes", &["trace T2"]);
    check("n2 vote 1 n3\n n2 send n1 vote_reply 1 no", &[]);
    check("n2 send n1 pre_vote_reply 1 yes", &[]);
}

#[test]
fn t3_a_term_never_goes_back() {
    check("n1 vote 2 -\n n1 vote 1 -", &["trace T3"]);
    check("n1 vote 1 -\n n1 vote 2 -", &[]);
    check("n1 vote 2 -\n n1 restart term=1", &["trace T3"]);
    check("n1 vote 2 -\n n1 restart", &[]);
    check("n1 vote 2 -\n n1 restart term=3", &[]);
    check("n1 vote 2 n1\n n1 follower 1", &["trace T3"]);
}

#[test]
fn t3_a_leader_leads_a_durable_term_only() {
    let early = ELECTED.replace("leader 1", "leader 2");
    check(&early, &["trace T1", "trace T3"]);
    check("n1 candidate 1\n n1 vote 1 n1", &[]);
}

#[test]
fn t3_commit_and_applied_grow_within_a_life() {
    check(&format!("{SERVED} n1 commit 1.1 leader 1"), &["trace T3"]);
    check(&format!("{SERVED} n1 commit 2.1 leader 1"), &[]);
    check(&format!("{SERVED} n1 apply 2.1 a c1:1"), &["trace T3"]);
    check(&SERVED.replace("n2 apply 1.1 noop\n", ""), &["trace T3", "trace T6"]);
    let again = format!("{SERVED} n2 restart\n n2 commit 1.1 leader 1\n n2 apply 1.1 noop");
    check(&again, &[]);
}

/// n1 is cut off with an entry that n2 and n3 never see; n2 leads term 2.
const DEPOSED: &str = "
    n1 vote 1 n1
    n2 vote 1 n1
    n1 leader 1
    n1 append 1.1 noop
    n1 fsync 1.1
    n2 append 1.1 noop
    n2 fsync 1.1
    n1 commit 1.1 count 1
    n3 vote 2 n3
    n2 vote 2 n3
    n3 leader 2";

#[test]
fn t7_a_leader_has_what_was_committed_in_lower_terms() {
    check(DEPOSED, &["trace T7"]);
    let has_it = DEPOSED.replace("n3 vote 2 n3", "n3 append 1.1 noop\n n3 fsync 1.1\n n3 vote 2 n3");
    check(&has_it, &[]);
    let has_another = DEPOSED.replace("n3 vote 2 n3", "n3 append 1.2 b\n n3 fsync 1.2\n n3 vote 2 n3");
    check(&has_another, &["trace T7"]);
}

#[test]
fn t7_a_commit_that_is_told_after_the_election_is_compared_too() {
    let late = DEPOSED.replace("n1 commit 1.1 count 1\n", "") + "\n n1 commit 1.1 count 1";
    check(&late, &["trace T7"]);
}

/// The false alarm of evidence §5.2: a paused candidate wins a stale term when higher terms have committed long since.
#[test]
fn t7_a_paused_candidate_that_wins_a_stale_term_late_owes_nothing_to_higher_terms() {
    let paused = "
        n1 vote 1 n1
        n2 vote 1 n1
        n3 vote 2 n3
        n2 vote 2 n3
        n3 leader 2
        n3 append 1.2 noop
        n3 fsync 1.2
        n2 append 1.2 noop
        n2 fsync 1.2
        n3 commit 1.2 count 2
        n1 leader 1
        n1 append 1.1 noop";
    check(paused, &[]);
}

#[test]
fn t7_what_a_leader_has_in_its_snapshot_it_has() {
    let snapshot = format!(
        "{SERVED}
         n3 install 2.1 of=noop,a
         n3 vote 2 n3
         n2 vote 2 n3
         n3 leader 2"
    );
    check(&snapshot, &[]);
}
