//! Every Raft rule both ways, on small traces made for it; what damaged files do; and thousands of runs of a model of Raft.

mod bounds;
mod damage;
mod elections;
mod entries;
mod lines;
mod members;
mod model;

mod notation;
mod random;

mod reads;
mod restarts;
mod settling;
mod writer;

use std::collections::BTreeMap;

use self::notation::{texts, texts_of};
use crate::trace::raft::RaftRules;
use crate::trace::{Conditions, Violation};

/// n1 is elected by n1 and n2 in term 1.
const ELECTED: &str = "
    n1 vote 1 n1
    n2 vote 1 n1
    n1 leader 1
";

/// And its first entry, a no-op, and a put are committed on n1 and n2, applied and answered.
const SERVED: &str = "
    n1 vote 1 n1
    n2 vote 1 n1
    n1 leader 1
    n1 append 1.1 noop
    n1 append 2.1 a
    n1 fsync 2.1
    n2 append 1.1 noop
    n2 append 2.1 a
    n2 fsync 2.1
    n1 commit 2.1 count 1
    n1 apply 1.1 noop
    n1 apply 2.1 a c1:1
    n1 ack 2.1 a ok c1:1
    n2 commit 2.1 leader 1
    n2 apply 1.1 noop
    n2 apply 2.1 a c1:1
";

/// Nodes that have all ended.
fn settled() -> Conditions {
    Conditions {
        settled: true,
        ..Conditions::default()
    }
}

/// The rules after these traces.
fn judged(texts: &BTreeMap<&str, String>) -> RaftRules {
    let mut rules = RaftRules::new(texts.keys().copied());
    for (node, text) in texts {
        rules.feed(node, text.as_bytes());
    }
    rules.finish();
    assert_eq!(rules.errors().map(|(_, error)| error.to_string()).collect::<Vec<_>>(), [""; 0]);
    rules
}

/// What these traces break.
fn broken(texts: &BTreeMap<&str, String>) -> Vec<Violation> {
    judged(texts).violations(&settled())
}

fn names(violations: &[Violation]) -> Vec<&'static str> {
    violations.iter().map(|violation| violation.rule).collect()
}

/// The names of the rules that a story of three nodes breaks.
#[track_caller]
fn check(story: &str, expected: &[&str]) {
    let violations = broken(&texts(story));
    assert_eq!(names(&violations), expected, "{violations:#?}");
}

/// The same for a story of five nodes.
#[track_caller]
fn check_five(story: &str, expected: &[&str]) {
    let violations = broken(&texts_of(&notation::NODES, story));
    assert_eq!(names(&violations), expected, "{violations:#?}");
}

#[test]
fn an_election_and_a_put_keep_every_rule() {
    check("", &[]);
    check(ELECTED, &[]);
    check(SERVED, &[]);
}

/// All nodes may be killed at any moment.
#[test]
fn every_prefix_of_a_good_story_keeps_every_rule() {
    let rows: Vec<&str> = SERVED.lines().collect();
    for end in 0..=rows.len() {
        check(&rows[..end].join("\n"), &[]);
    }
}

#[test]
fn a_violation_is_told_with_its_rule_its_two_events_and_what_is_around_it() {
    let story = format!("{SERVED} n3 vote 1 n3\n n3 send n1 vote 1\n n2 vote 1 n3");
    let violations = broken(&texts(&story));
    let [violation] = &violations[..] else { panic!("{violations:#?}") };
    let text = format!("{}: {}\n{}", violation.rule, violation.message, violation.evidence.join("\n"));
    insta::assert_snapshot!(text, @"
    trace T2: n2 voted twice in term 1: for n1 and for n3
    one vote: a member votes once per term, durably before it says so, across restarts too
    n2, line 2, at 0.002 s: vote for n1 in term 1 is durable
    n2, line 9, at 0.019 s: vote for n3 in term 1 is durable
    ");
    let around = violation.neighbourhood.as_ref().expect("a diagram's data");
    let lanes: Vec<&str> = around.lanes.iter().map(|lane| lane.node.as_str()).collect();
    assert_eq!(lanes, ["n1", "n2", "n3"]);
    let breaks: Vec<(usize, u64, &str)> = around
        .events
        .iter()
        .filter(|event| event.breaks)
        .map(|event| (event.lane, event.line, event.text.as_str()))
        .collect();
    assert_eq!(
        breaks,
        [(1, 2, "term 1 is durable, vote for n1"), (1, 9, "term 1 is durable, vote for n3")]
    );
    assert!(around.events.is_sorted_by_key(|event| event.lamport));
    let [message] = &around.messages[..] else { panic!() };
    assert_eq!(
        (message.from, message.to, message.received, message.kind.as_str()),
        (Some(2), Some(0), None, "vote request")
    );
    assert_eq!(around.events[message.sent.expect("it is among the events")].kind, "send");
}
