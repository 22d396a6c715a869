//! Raft traces beside a history: liveness after the heal, and rare states that a run must have reached.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Story, good_but};
use crate::history::History;
use crate::judge::{Class, Judgement, Traces, judge};
use crate::trace::NodeTraces;
use crate::verdict::Verdict::{Invalid, Unknown, Vacuous, Valid};

/// Node, time in milliseconds of the history, kind, fields.
type Row = (&'static str, u64, &'static str, Value);

fn row(node: &'static str, time_ms: u64, kind: &'static str, fields: Value) -> Row {
    (node, time_ms, kind, fields)
}

/// Two votes and a leader.
fn elected(node: &'static str, other: &'static str, term: u64, time_ms: u64) -> [Row; 3] {
    [
        row(node, time_ms, "hard", json!({"term": term, "vote": node})),
        row(other, time_ms, "hard", json!({"term": term, "vote": node})),
        row(node, time_ms + 1, "role", json!({"role": "leader", "term": term, "last": [0, 0]})),
    ]
}

/// The text of each node's trace; the row's place is its stamp.
fn traces(rows: &[Row]) -> NodeTraces {
    let mut texts: BTreeMap<&str, (String, u64)> = BTreeMap::new();
    let start = json!({
        "member": "", "term": 0, "vote": null, "base": [0, 0], "last": [0, 0], "commit": 0, "applied": 0, "state_hash": "0000000000000000",
        "members": ["n1", "n2", "n3"], "voters": ["n1", "n2", "n3"], "voters_old": null, "learners": [], "reads": "read-index",
        "sessions": true, "election_ms": 150, "heartbeat_ms": 30, "snapshot_every": 1000, "mono_offset_ns": 0,
    });
    let starts = ["n1", "n2", "n3"].map(|node| {
        let mut start = start.clone();
        start["member"] = json!(node);
        row(node, 0, "raft_start", start)
    });
    for (stamp, (node, time_ms, kind, fields)) in starts.iter().chain(rows).enumerate() {
        let (text, seq) = texts.entry(*node).or_default();
        let mut line = json!({"node": node, "incarnation": 1, "seq": seq, "mono_ns": time_ms * 1_000_000, "lamport": stamp, "kind": kind});
        let all = line.as_object_mut().expect("a line is an object");
        all.extend(fields.as_object().expect("fields are an object").clone());
        *text += &format!("{line}\n");
        *seq += 1;
    }
    NodeTraces::read(texts.iter().map(|(node, (text, _))| ((*node).to_owned(), Ok(text.as_bytes()))))
}

fn traced(change: impl FnOnce(&mut Story)) -> Story {
    good_but(|story| {
        story.header.as_mut().expect("the story has a header")["traces"] = json!(true);
        // A client that tried something during the fault.
        let line = |index: u64, time_ms: u64, kind: &str| json!({"index": index, "time": time_ms * 1_000_000, "type": kind, "process": 99, "f": "read", "key": "k", "value": null});
        story
            .operations
            .extend([line(99_000, 1_500, "invoke"), line(99_001, 1_600, "fail")]);
        change(story);
    })
}

fn judged(story: &Story, rows: &[Row]) -> Judgement {
    let traces = traces(rows);
    judge(&History::read(story.text().as_bytes()).unwrap(), Traces::AtHand(&traces))
}

#[test]
fn a_broken_raft_rule_is_a_safety_violation_with_what_is_around_it() {
    let rows = [elected("n1", "n2", 1, 1), elected("n3", "n2", 1, 5)].concat();
    let judgement = judged(&traced(|_| ()), &rows);
    assert_eq!(judgement.verdict, Invalid);
    let finding = judgement.decisive().expect("a finding");
    assert_eq!((finding.rule.as_str(), finding.class), ("trace T1", Some(Class::Safety)));
    assert_eq!(finding.neighbourhood.as_ref().map(|around| around.lanes.len()), Some(3));
    let text = serde_json::to_string(finding).expect("a finding is plain data");
    let read: crate::judge::RuleFinding = serde_json::from_str(&text).expect("and is read again");
    assert_eq!(&read, finding);
}

/// A run that the online check stopped at two leaders of one term.
fn stopped() -> Story {
    traced(|story| {
        story.end = Some("violation");
        let seen = json!({"operations": [], "completed_ns": 2_605_000_000_u64, "rule": "trace T1"});
        story.finding("violation", 2_616, seen);
    })
}

#[test]
fn a_broken_rule_that_was_seen_online_is_confirmed_by_the_traces() {
    let rows = [elected("n1", "n2", 1, 1), elected("n3", "n2", 1, 5)].concat();
    let judgement = judged(&stopped(), &rows);
    assert_eq!(judgement.verdict, Invalid);
    assert!(judgement.findings.iter().all(|finding| finding.rule != "ending"), "{judgement:#?}");
    assert_eq!(
        judgement.notes,
        ["stopped at the first violation seen online, of trace T1, 11 ms after the last event that shows it, at 2.605 s"]
    );
}

#[test]
fn a_broken_rule_that_only_the_online_check_saw_is_unknown() {
    let judgement = judged(&stopped(), &elected("n1", "n2", 1, 1));
    let message = "the online check saw a violation of trace T1 that this check does not find";
    assert_eq!((judgement.verdict, judgement.findings[0].message.as_str()), (Unknown, message));

    // A stale read of a client is no proof of it either.
    let mut stale = stopped();
    stale.stale_read();
    let judgement = judged(&stale, &elected("n1", "n2", 1, 1));
    assert_eq!(judgement.verdict, Invalid);
    assert!(
        judgement.findings.iter().any(|finding| finding.message == message),
        "{judgement:#?}"
    );
}

#[test]
fn a_broken_rule_that_was_seen_online_is_unknown_where_the_traces_are_not_at_hand() {
    let judgement = judge(&History::read(stopped().text().as_bytes()).unwrap(), Traces::Missing);
    let message = "the online check saw a violation of trace T1 that this check without the nodes' traces cannot find";
    assert_eq!((judgement.verdict, judgement.findings[0].message.as_str()), (Unknown, message));
    assert_eq!(
        judgement.findings[0].evidence,
        ["judge the run folder, where the nodes' traces are"]
    );
}

/// The marks of the good story's fault: it is in force from 1.0 s to 2.0 s.
fn state_of_the_fault(story: &mut Story, state: &Value) {
    story.stage("applied", |value| value["resolved"] = json!({"resolved": {"state": state}}));
}

#[test]
fn a_run_that_killed_a_leader_saw_an_election() {
    let killed = traced(|story| state_of_the_fault(story, &json!({"down": ["n1"]})));
    let first = elected("n1", "n2", 1, 1);
    let judgement = judged(&killed, &first);
    assert_eq!(judgement.verdict, Vacuous, "{:?}", judgement.findings);
    assert_eq!(
        judgement.decisive().expect("a finding").message,
        "fault 1 (partition) took the leader n1 away, and no node was elected after that"
    );
    let both = [first.clone(), elected("n2", "n3", 2, 60_000)].concat();
    assert_eq!(judged(&killed, &both).verdict, Valid);
    let of_a_follower = traced(|story| state_of_the_fault(story, &json!({"down": ["n3"]})));
    assert_eq!(judged(&of_a_follower, &first).verdict, Valid);
    let nobody_left = traced(|story| state_of_the_fault(story, &json!({"down": ["n1", "n2"]})));
    assert_eq!(judged(&nobody_left, &first).verdict, Valid);
}

#[test]
fn a_run_that_isolated_or_paused_a_leader_for_long_saw_an_election() {
    let cuts = |pairs: &[(&str, &str)]| json!({ "cuts": pairs });
    let isolated = cuts(&[("n1", "n2"), ("n2", "n1"), ("n1", "n3"), ("n3", "n1")]);
    let first = elected("n1", "n2", 1, 1);
    let verdict = |state: &Value| judged(&traced(|story| state_of_the_fault(story, state)), &first).verdict;
    assert_eq!(verdict(&isolated), Vacuous);
    assert_eq!(verdict(&json!({"paused": ["n1"]})), Vacuous);
    assert_eq!(verdict(&cuts(&[("n1", "n2"), ("n2", "n1")])), Valid, "it still reaches n3");
    assert_eq!(
        verdict(&json!({"paused": ["n1"], "later": 1})),
        Valid,
        "an effect that is not known"
    );
}

#[test]
fn a_leader_that_stutters_is_away_for_as_long_as_one_stop() {
    let first = elected("n1", "n2", 1, 1);
    let verdict = |on_ms: u64| {
        let stutter = traced(|story| {
            let receipt = json!({"resolved": {"state": {"paused": ["n1"]}}, "beat": {"on_ms": on_ms, "off_ms": 20}});
            story.stage("applied", |value| value["resolved"] = receipt);
        });
        judged(&stutter, &first).verdict
    };
    assert_eq!(verdict(300), Valid, "two election timeouts of 150 ms, and not more");
    assert_eq!(verdict(301), Vacuous);
}

#[test]
fn a_run_whose_clients_retry_saw_a_retry_succeed() {
    let verdict = |retries: bool, counters: Value| {
        let story = good_but(|story| {
            story.header.as_mut().expect("the story has a header")["retries"] = json!(retries);
            story.finding("counters", 90, json!({"node": "clients", "counters": counters}));
        });
        judge(&History::read(story.text().as_bytes()).unwrap(), Traces::Missing).verdict
    };
    assert_eq!(verdict(true, json!({"retried_ok": 0})), Vacuous);
    assert_eq!(verdict(true, json!({"retried_ok": 1})), Valid);
    assert_eq!(verdict(false, json!({"retried_ok": 0})), Valid);
    assert_eq!(verdict(true, json!({})), Valid, "a recorder that does not count");
}

#[test]
fn a_cut_tail_makes_a_run_unknown() {
    let mut rows = elected("n1", "n2", 1, 1).to_vec();
    rows.push(row(
        "n3",
        9,
        "receive",
        json!({"from": "n1", "id": "n1/1/77", "m": "append", "term": 1}),
    ));
    let judgement = judged(&traced(|_| ()), &rows);
    assert_eq!(judgement.verdict, Unknown);
    assert_eq!(
        judgement.decisive().expect("a finding").message,
        "the trace of n1 says too little: lines at the end of incarnation 1 are missing: n3, line 2, received a message that no line says was sent"
    );
}
