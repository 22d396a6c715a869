//! T13: one change of the members at a time, by the log's own configuration.

use super::{check, check_five};

const LEADER: &str = "
    n1 vote 1 n1
    n2 vote 1 n1
    n3 vote 1 n1
    n1 leader 1
    ";

/// From n1 n2 n3 to n1 n4 n5 through a joint configuration, with one more row in the middle.
fn change(between: &str) -> String {
    format!(
        "n1 config 0 n1,n2,n3 committed
         {LEADER}
         n1 append 1.1 config1
         n1 config 1 n1,n4,n5+n1,n2,n3 appended
         n1 fsync 1.1
         n2 append 1.1 config1
         n2 fsync 1.1
         n4 append 1.1 config1
         n4 fsync 1.1
         {between}
         n1 append 2.1 config2
         n1 config 2 n1,n4,n5 appended
         n1 fsync 2.1
         n4 append 2.1 config2
         n4 fsync 2.1
         n1 commit 2.1 count 1"
    )
}

#[test]
fn t13_a_joint_change_keeps_every_rule() {
    check_five(&change("n1 commit 1.1 count 1"), &[]);
}

#[test]
fn t13_a_configuration_waits_until_the_one_before_is_committed() {
    check_five(&change(""), &["trace T13"]);
}

#[test]
fn t13_consecutive_configurations_share_a_node_in_every_two_majorities() {
    let leap = |voters: &str| format!("n1 config 0 n1,n2,n3 committed\n {LEADER} n1 append 1.1 config1\n n1 config 1 {voters} appended");
    check_five(&leap("n1,n4,n5"), &["trace T13"]);
    check_five(&leap("n1,n2"), &[]);
    check_five(&leap("n1,n2,n3,n4"), &[]);
    check_five(&leap("n1,n2,n3,n4,n5"), &["trace T13"]);
    check_five(&leap("n1,n4,n5+n1,n2,n3"), &[]);
    check_five(&leap("n1,n4,n5+n2,n3,n4"), &["trace T13"]);
}

#[test]
fn t13_a_node_counts_by_the_last_configuration_of_its_log() {
    let removed = |config: &str| {
        format!(
            "{LEADER}
             n1 append 1.1 noop
             n1 append 2.1 config1
             n1 config 2 n1,n2 appended
             n2 append 1.1 noop
             n2 append 2.1 config1
             n2 config 2 n1,n2 appended
             n2 truncate 2 2
             {config}
             n2 vote 2 n2
             n2 candidate 2"
        )
    };
    check(&removed("n2 config 0 n1,n2,n3 truncated"), &[]);
    let kept = format!(
        "{LEADER}
         n1 append 1.1 config1
         n1 config 1 n1,n2 appended
         n2 append 1.1 config1
         n2 vote 2 n2
         n2 candidate 2"
    );
    check(&kept, &["trace T13"]);
    check(&kept.replace("n2 vote 2 n2", "n2 config 1 n1,n2 appended\n n2 vote 2 n2"), &[]);
    let restarted = format!("{kept}\n n2 restart").replace("n2 candidate 2", "n2 config 1 n1,n2 appended") + "\n n2 candidate 2";
    check(&restarted, &["trace T13"]);
    check(&restarted.replace("restart", "restart voters=n1,n2"), &[]);
}

#[test]
fn t13_an_entry_stands_for_one_configuration() {
    let story = format!("{LEADER} n1 append 1.1 config1\n n1 config 1 n1,n2 appended\n n2 append 1.1 config1\n n2 config 1 n2,n3 appended");
    check(&story, &["trace T13"]);
    check(&story.replace("n2 config 1 n2,n3", "n2 config 1 n1,n2"), &[]);
}

#[test]
fn t13_that_a_joint_configuration_is_committed_does_not_bring_it_back() {
    // A follower learns of the commit when the next configuration stands in its log already.
    check_five(
        &format!(
            "{}
             n4 config 1 n1,n4,n5+n1,n2,n3 appended
             n4 config 2 n1,n4,n5 appended
             n4 config 1 n1,n4,n5+n1,n2,n3 committed
             n4 vote 2 n4
             n4 candidate 2",
            change("n1 commit 1.1 count 1")
        ),
        &[],
    );
}
