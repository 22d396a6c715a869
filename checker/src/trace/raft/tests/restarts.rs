//! Crashes: what a disk must have kept, and what may vanish.

use super::{SERVED, check};

#[test]
fn t9_what_was_durable_is_found_again() {
    let kept = format!("{SERVED} n2 restart\n n2 follower 1");
    check(&kept, &[]);
    check(&kept.replace("restart", "restart upto=1"), &["trace T9"]);
    // Killed before it said what it had found.
    check(&format!("{SERVED} n2 restart upto=1"), &[]);
    let in_a_snapshot = format!("{SERVED} n2 snap 2.1\n n2 restart base=2.1\n n2 follower 1");
    check(&in_a_snapshot, &[]);
}

#[test]
fn what_was_appended_and_not_fsynced_may_vanish() {
    let story = format!("{SERVED} n2 append 3.1 b\n n2 restart upto=2\n n2 follower 1");
    check(&story, &[]);
    check(&story.replace("restart upto=2", "restart"), &[]);
    check(&story.replace("n2 restart", "n2 fsync 3.1\n n2 restart"), &["trace T9"]);
}

#[test]
fn what_was_removed_need_not_come_back_and_may() {
    let story = "
        n1 append 1.1 a
        n1 append 2.1 b
        n1 fsync 2.1
        n1 truncate 2 2
        n1 restart
        n1 follower 0";
    check(story, &[]);
    check(&story.replace("restart", "restart upto=0"), &["trace T9"]);
    let untold = "
        n1 append 1.1 a
        n1 append 2.1 b
        n1 fsync 2.1
        n1 restart
        n1 truncate 2 2
        n1 append 2.2 c
        n1 fsync 2.2
        n1 restart
        n1 follower 0";
    check(untold, &[]);
}

#[test]
fn an_fsync_under_way_while_its_entry_was_replaced_proves_nothing() {
    let replaced = "
        n1 vote 1 n1
        n2 vote 1 n1
        n1 leader 1
        n2 append 1.0 x
        n2 truncate 1 1
        n2 append 1.1 a
        n2 fsync 1.0
        n1 append 1.1 a
        n1 fsync 1.1
        n1 commit 1.1 count 1";
    check(replaced, &["trace T9"]);
    check(&replaced.replace("fsync 1.0", "fsync 1.1"), &[]);
}

#[test]
fn a_restarted_node_applies_again_from_its_snapshot_on() {
    let story = format!(
        "{SERVED}
         n2 restart
         n2 commit 2.1 leader 1
         n2 apply 1.1 noop
         n2 apply 2.1 a c1:1"
    );
    check(&story, &[]);
    check(
        &story.replace("n2 restart", "n2 snap 1.1\n n2 restart base=1.1").replacen(
            "n2 commit 2.1 leader 1\n         n2 apply 1.1 noop",
            "n2 commit 2.1 leader 1",
            1,
        ),
        &[],
    );
}

#[test]
fn a_wiped_node_that_returns_as_a_new_member_owes_nothing() {
    let story = format!("{SERVED} n2 restart member=n2.2 upto=0 term=0 vote=-\n n2 follower 0");
    check(&story, &[]);
    check(&story.replace("member=n2.2 ", ""), &["trace T3", "trace T9"]);
}
