//! Each rule: stories that break it, and stories that nearly do. A story that breaks one rule keeps the others.

use super::notation::{SOUND, Settings, WEAK, texts, traces};
use super::{broken, check};
use crate::trace::{Conditions, NodeTraces};

/// A put on n1, durable on n1 and n2, and a get of it by n3 that writes it back.
const GOOD: &str = "
    n1 assign 1 k 1@n1 17
    n1 put k 1@n1 17
    n2 put k 1@n1 17
    n1 put-done 1 k ok 1@n1 n1,n2
    n3 get 1 k n3=- n2=1@n1
    n3 write-back 1 k 1@n1 yes
    n3 put k 1@n1 17
    n3 get-done 1 k ok 1@n1 n2,n3";

#[test]
fn a_put_and_a_get_of_it_keep_every_rule() {
    check(SOUND, GOOD, &[]);
    check(WEAK, GOOD, &[]);
    check(SOUND, "", &[]);
}

/// All nodes may be killed at any moment.
#[test]
fn every_prefix_of_a_good_story_keeps_every_rule() {
    let rows: Vec<&str> = GOOD.lines().collect();
    for end in 0..=rows.len() {
        check(SOUND, &rows[..end].join("\n"), &[]);
    }
}

#[test]
fn k1_an_acknowledged_put_is_durable_on_w_replicas() {
    let too_few = "
        n1 assign 1 k 1@n1 17
        n1 put k 1@n1 17
        n1 put-done 1 k ok 1@n1 n1";
    check(SOUND, too_few, &["trace K1"]);
    check(WEAK, too_few, &[]);
    check(SOUND, &too_few.replace(" ok ", " unknown "), &[]);

    let one_counted_twice = too_few.replace("1@n1 n1", "1@n1 n1,n1");
    check(SOUND, &one_counted_twice, &["trace K1"]);
    let stranger = too_few.replace("1@n1 n1", "1@n1 n1,n9");
    check(SOUND, &stranger, &["trace K1"]);
    let no_version = too_few.replace("ok 1@n1", "ok -");
    check(WEAK, &no_version, &["trace K1"]);
}

#[test]
fn k1_an_acknowledgement_before_the_version_is_durable_does_not_count() {
    let early = "
        n1 assign 1 k 1@n1 17
        n1 put k 1@n1 17
        n1 put-done 1 k ok 1@n1 n1,n2
        n2 put k 1@n1 17";
    check(SOUND, early, &["trace K1"]);
    let never = early.replace("n2 put k 1@n1 17", "");
    check(SOUND, &never, &["trace K1"]);
    let other_key = early.replace("n2 put k ", "n2 put j ");
    check(SOUND, &other_key, &["trace K1"]);
    let late_but_not_counted = "
        n1 assign 1 k 1@n1 17
        n1 put k 1@n1 17
        n3 put k 1@n1 17
        n1 put-done 1 k ok 1@n1 n1,n3
        n2 put k 1@n1 17";
    check(SOUND, late_but_not_counted, &[]);
}

#[test]
fn k1_a_replica_with_something_newer_acknowledges_without_taking_the_older() {
    let newer = "
        n2 assign 1 k 5@n2 18
        n2 put k 5@n2 18
        n1 assign 1 k 1@n1 17
        n1 put k 1@n1 17
        n1 put-done 1 k ok 1@n1 n1,n2";
    check(SOUND, newer, &[]);
    check(SOUND, &newer.replace("5@n2", "0@n2"), &["trace K1"]);
}

#[test]
fn k1_a_version_that_only_the_log_of_a_killed_replica_told_of_counts() {
    let replayed = "
        n1 assign 1 k 1@n1 17
        n1 put k 1@n1 17
        n2 restart
        n2 found k 1@n1 17
        n1 put-done 1 k ok 1@n1 n1,n2";
    check(SOUND, replayed, &[]);
}

#[test]
fn k1_a_key_is_held_by_its_home_replicas_only() {
    let three = "
        n1 put k 1@n1 17
        n2 put k 1@n1 17
        n4 put k 1@n1 17
        n5 put j 1@n5 18";
    check(SOUND, three, &[]);
    let four = three.replace("put j", "put k");
    check(SOUND, &four, &["trace K1"]);
    check(Settings { n: 4, ..SOUND }, &four, &[]);
}

#[test]
fn k2_a_replicas_version_never_goes_back_within_a_life() {
    let back = "
        n1 put k 2@n1 17
        n1 put k 1@n1 18";
    check(SOUND, back, &["trace K2"]);
    check(WEAK, back, &["trace K2"]);
    check(SOUND, &back.replace("1@n1", "3@n1"), &[]);
    check(SOUND, &back.replace("put k 1", "put j 1"), &[]);
    check(SOUND, &back.replace("n1 put k 1", "n2 put k 1"), &[]);
}

#[test]
fn k2_a_restarted_replica_finds_again_what_it_held() {
    let kept = "
        n1 put k 2@n1 17
        n1 put j 1@n1 16
        n1 restart
        n1 found j 1@n1 16
        n1 found k 2@n1 17
        n1 put k 3@n1 18";
    check(SOUND, kept, &[]);
    check(SOUND, &kept.replace("found k 2@n1 17", "found k 1@n1 15"), &["trace K2"]);
    check(SOUND, &kept.replace("n1 found k 2@n1 17", ""), &["trace K2"]);
}

/// The replica was durable on a newer version than its killed life told of: nothing depends on the line that is missing.
#[test]
fn k2_a_restarted_replica_may_find_more_than_it_told() {
    let more = "
        n1 put k 2@n1 17
        n1 restart
        n1 found j 1@n1 16
        n1 found k 4@n1 18
        n1 put k 5@n1 19";
    check(SOUND, more, &[]);
}

/// Start and replay are one batch: a second kill may meet it anywhere.
#[test]
fn k2_a_replica_killed_again_during_its_replay_has_lost_nothing() {
    let killed_twice = "
        n1 put k 2@n1 17
        n1 put j 1@n1 16
        n1 restart
        n1 found j 1@n1 16
        n1 restart
        n1 restart
        n1 found j 1@n1 16
        n1 found k 2@n1 17
        n1 put j 3@n1 19";
    check(SOUND, killed_twice, &[]);
    let lost = killed_twice.replace("n1 found k 2@n1 17", "");
    check(SOUND, &lost, &["trace K2"]);
    let not_yet = lost.replace("n1 put j 3@n1 19", "");
    check(SOUND, &not_yet, &[]);
}

#[test]
fn k3_a_version_stands_for_one_value() {
    let two_values = "
        n1 assign 1 k 1@n1 17
        n2 put k 1@n1 18";
    for settings in [SOUND, WEAK] {
        check(settings, two_values, &["trace K3"]);
        check(settings, &two_values.replace("18", "17"), &[]);
        check(settings, &two_values.replace("2 put k 1@n1", "2 put k 1@n2"), &[]);
        check(settings, &two_values.replace("put k", "put j"), &[]);
    }
    let assigned_twice = "
        n1 assign 1 k 1@n1 17
        n1 assign 2 k 1@n1 18";
    check(SOUND, assigned_twice, &["trace K3"]);
    let two_replicas = "
        n2 put k 1@n1 17
        n3 put k 1@n1 18";
    check(SOUND, two_replicas, &["trace K3"]);
}

/// The two newest versions are held by all, so that no write-back is due.
const HELD: &str = "
    n1 put k 1@n1 17
    n2 put k 1@n1 17
    n1 put k 2@n1 18
    n2 put k 2@n1 18
    n3 put k 1@n1 17\n";

#[test]
fn k5_a_get_returns_the_newest_of_its_replies() {
    let newest = HELD.to_owned()
        + "n4 get 1 k n3=1@n1 n1=2@n1 n2=2@n1
           n4 write-back 1 k 2@n1 no
           n4 get-done 1 k ok 2@n1 n1,n2";
    check(SOUND, &newest, &[]);
    let older = newest.replace("ok 2@n1", "ok 1@n1");
    check(SOUND, &older, &["trace K5"]);
    check(WEAK, &older, &["trace K5"]);
    check(SOUND, &older.replace(" ok ", " failed "), &[]);
    check(SOUND, &newest.replace("ok 2@n1", "ok -"), &["trace K5"]);
    let nothing = "
        n4 get 1 k n1=- n2=-
        n4 get-done 1 k ok - -";
    check(SOUND, nothing, &[]);
    check(SOUND, &nothing.replace("ok -", "ok 1@n1"), &["trace K5"]);
}

#[test]
fn k5_a_get_uses_replies_of_r_nodes() {
    let two = HELD.to_owned()
        + "n4 get 1 k n1=2@n1 n2=2@n1
           n4 write-back 1 k 2@n1 no
           n4 get-done 1 k ok 2@n1 n1,n2";
    check(SOUND, &two, &[]);
    let one = two.replace("n1=2@n1 n2=2@n1", "n2=2@n1");
    check(SOUND, &one, &["trace K5"]);
    check(WEAK, &one, &[]);
    check(SOUND, &two.replace("n1=2@n1 n2=2@n1", "n2=2@n1 n2=2@n1"), &["trace K5"]);
    let untold = HELD.to_owned() + "n4 get-done 1 k ok 2@n1 n1,n2";
    check(SOUND, &untold, &["trace K5"]);
    check(SOUND, &untold.replace("get-done 1 k ok", "get-done 1 k failed"), &[]);
    let of_a_former_life = two.replace("n4 get-done", "n4 restart\nn4 get-done");
    check(SOUND, &of_a_former_life, &["trace K5"]);
}

#[test]
fn k5_a_reply_shows_what_is_durable() {
    let shown = "
        n2 put k 1@n1 17
        n3 get 1 k n2=1@n1 n3=-
        n3 get-done 1 k failed 1@n1 n2";
    check(SOUND, shown, &[]);
    check(SOUND, &shown.replace("n2 put k 1@n1 17", ""), &["trace K5"]);
    let newer_is_not_the_same = shown.replace("put k 1@n1", "put k 2@n1");
    check(SOUND, &newer_is_not_the_same, &["trace K5"]);
    let pending = "
        n3 get 1 k n2=1@n1 n3=-
        n2 put k 1@n1 17";
    check(SOUND, pending, &["trace K5"]);
}

#[test]
fn k5_what_too_few_hold_is_made_durable_on_w_replicas_first() {
    let skipped = "
        n2 put k 1@n1 17
        n3 get 1 k n3=- n2=1@n1
        n3 write-back 1 k 1@n1 no
        n3 get-done 1 k ok 1@n1 n2";
    check(SOUND, skipped, &["trace K5"]);
    check(SOUND, &skipped.replace("n3 write-back 1 k 1@n1 no", ""), &["trace K5"]);
    check(
        Settings {
            write_back: false,
            ..SOUND
        },
        &skipped.replace("n3 write-back 1 k 1@n1 no", ""),
        &[],
    );
    let marked = skipped.replace("1@n1 no", "1@n1 yes");
    let without = Settings {
        write_back: false,
        ..SOUND
    };
    check(without, &marked, &["trace K5"]);
    let unacknowledged = marked.replace("ok 1@n1 n2", "failed 1@n1 n2");
    check(SOUND, &unacknowledged, &[]);
    let early = marked.replace("ok 1@n1 n2", "ok 1@n1 n2,n3") + "\nn3 put k 1@n1 17";
    check(SOUND, &early, &["trace K5"]);
    // With W=1 the one that replied is enough, unsound as that is.
    check(
        Settings {
            r: 1,
            w: 1,
            write_back: true,
            ..SOUND
        },
        &marked,
        &[],
    );
}

/// N=5, R=4: the well-known bound N - R + 1 = 2 lets a later put, which reads 3 versions, miss both holders.
#[test]
fn k5_a_write_back_is_skipped_only_if_every_majority_meets_a_holder() {
    let settings = Settings { n: 5, r: 4, w: 3, ..SOUND };
    let two_of_four = "
        n1 put k 1@n1 17
        n2 put k 1@n1 17
        n3 put k 0@n1 16
        n5 get 1 k n1=1@n1 n2=1@n1 n3=0@n1 n4=-
        n5 write-back 1 k 1@n1 no
        n5 get-done 1 k ok 1@n1 n1,n2";
    check(settings, two_of_four, &["trace K5"]);
    let three_of_four = two_of_four
        .replace("n3=0@n1", "n3=1@n1")
        .replace("n3 put k 0@n1 16", "n3 put k 1@n1 17");
    check(settings, &three_of_four, &[]);
}

#[test]
fn k6_a_failed_put_leaves_its_value_nowhere() {
    let left = "
        n1 assign 1 k 1@n1 17
        n1 put-done 1 k failed 1@n1 -
        n2 put k 1@n1 17";
    check(SOUND, left, &["trace K6"]);
    check(SOUND, &left.replace("failed 1@n1", "failed -"), &["trace K6"]);
    check(SOUND, &left.replace(" failed ", " unknown "), &[]);
    check(SOUND, &left.replace("n2 put k 1@n1", "n2 put k 1@n2"), &[]);
    check(SOUND, &left.replace("n2 put k", "n2 put j"), &[]);
    let never_assigned = left.replace("n1 assign 1 k 1@n1 17", "").replace("failed 1@n1", "failed -");
    check(SOUND, &never_assigned, &[]);
    let other_operation = left.replace("failed 1@n1", "failed -").replace("put-done 1", "put-done 2");
    check(SOUND, &other_operation, &[]);
    let next_life = left
        .replace("failed 1@n1", "failed -")
        .replace("n1 put-done", "n1 restart\nn1 put-done");
    check(SOUND, &next_life, &[]);
}

#[test]
fn the_first_breach_is_told_with_its_events_and_the_others_are_counted() {
    let story = "
        n1 assign 1 k 1@n1 17
        n1 put k 1@n1 17
        n1 put-done 1 k ok 1@n1 n1,n2
        n1 assign 2 k 2@n1 18
        n1 put k 2@n1 18
        n1 put-done 2 k ok 2@n1 n1,n3
        n2 put k 1@n1 17";
    let [violation] = &broken(&traces(SOUND, story))[..] else {
        panic!()
    };
    let text = format!("{}: {}\n{}", violation.rule, violation.message, violation.evidence.join("\n"));
    insta::assert_snapshot!(text, @"
    trace K1: a put of key `k` was answered ok with W=2, but version 1@n1.1.1 was durable on 1 of the replicas that acknowledged it
    n1, line 4, at 0.003 s: put of key `k` is ok, version 1@n1.1.1, acknowledged by n1, n2
    only later: n2, line 2, at 0.007 s: key `k` version 1@n1.1.1, value `17`, durable
    the rule is broken 2 times in all; this is the first
    ");
}

#[test]
fn nothing_is_concluded_from_what_a_damaged_trace_does_not_hold() {
    let story = "
        n1 assign 1 k 1@n1 17
        n1 put k 1@n1 17
        n2 put k 1@n1 17
        n1 put-done 1 k ok 1@n1 n1,n2
        n1 put k 0@n1 16";
    let texts = texts(SOUND, story);
    let check = |n2: Option<&str>, expected: &[&str]| {
        let mut traces = NodeTraces::default();
        for (node, text) in &texts {
            if let Some(text) = if *node == "n2" { n2 } else { Some(text.as_str()) } {
                traces.add(node, Ok(text.as_bytes()));
            }
        }
        let rules: Vec<&str> = broken(&traces).iter().map(|violation| violation.rule).collect();
        assert_eq!(rules, expected, "{n2:?}");
    };
    let whole = texts["n2"].as_str();
    check(Some(whole), &["trace K2"]);
    check(None, &["trace K2"]);
    check(Some(&whole.replace("\"put\"", "\"put")), &["trace K2"]);
    let start = whole.split_inclusive('\n').next();
    check(start, &["trace K1", "trace K2"]);
}

#[test]
fn of_nodes_that_still_ran_a_missing_event_means_nothing() {
    let story = "
        n1 assign 1 k 1@n1 17
        n1 put-done 1 k ok 1@n1 n1,n2
        n1 put k 2@n1 18
        n1 put k 1@n1 17";
    let traces = traces(SOUND, story);
    assert_eq!(broken(&traces).len(), 2);
    let [violation] = &traces.check(&Conditions::default())[..] else {
        panic!()
    };
    assert_eq!(violation.rule, "trace K2");
}

/// What was started again below its own last stamps: of such a cluster a smaller stamp is no earlier event either.
#[test]
fn stamps_that_go_back_order_nothing() {
    let early = "
        n1 assign 1 k 1@n1 17
        n1 put k 1@n1 17
        n1 put-done 1 k ok 1@n1 n1,n2
        n2 put k 1@n1 17";
    let texts = texts(SOUND, early);
    let last = texts["n1"].lines().last().expect("n1 did something");
    let fields: serde_json::Value = serde_json::from_str(last).expect("a line");
    let mut traces = NodeTraces::default();
    for (node, text) in &texts {
        let back = match *node {
            "n1" => text.replace(&format!("\"lamport\":{}", fields["lamport"]), "\"lamport\":1"),
            _ => text.clone(),
        };
        traces.add(node, Ok(back.as_bytes()));
    }
    assert_eq!(broken(&traces), []);
}

/// Nodes do not follow stamps past 2^53, which only a lying client sends: from there on a smaller stamp is no earlier event.
#[test]
fn stamps_that_nodes_do_not_believe_order_nothing() {
    let early = "
        n1 assign 1 k 1@n1 17
        n1 put k 1@n1 17
        n1 put-done 1 k ok 1@n1 n1,n2
        n2 put k 1@n1 17";
    check(SOUND, early, &["trace K1"]);
    let mut traces = NodeTraces::default();
    for (node, text) in texts(SOUND, early) {
        let pushed = text.replace("\"lamport\":", "\"lamport\":90071992547409930");
        traces.add(node, Ok(pushed.as_bytes()));
    }
    assert_eq!(broken(&traces), []);
}
