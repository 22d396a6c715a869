//! The nodes' traces beside a history: judged if they are whole, missed if they should be there.

use serde_json::json;

use super::{Story, good_but};
use crate::history::History;
use crate::judge::{Class, Judgement, Traces, judge};
use crate::trace::NodeTraces;
use crate::verdict::Verdict::{Invalid, Unknown, Valid};

const START: &str = r#"{"node":"NODE","incarnation":1,"seq":0,"mono_ns":5,"lamport":1,"kind":"start","n":3,"r":2,"w":2,"write_back":true,"versions":"quorum","members":["n1","n2","n3"],"mono_offset_ns":0}"#;
const PUT_17: &str = r#"{"node":"NODE","incarnation":1,"seq":1,"mono_ns":2000000005,"lamport":9,"kind":"put","key":"k","version":[1,"n1",1,1],"value_id":"17","durable":true}"#;

/// The good story of nodes that write traces.
fn traced(change: impl FnOnce(&mut Story)) -> Story {
    good_but(|story| {
        let header = story.header.as_mut().expect("the story has a header");
        header["traces"] = json!(true);
        header["clock"] = json!({"kind": "monotonic", "origin_ns": 5, "error_ns": 0});
        change(story);
    })
}

/// Judges a story with these lines in its nodes' traces; nodes that are not named have no file.
fn judged_with(story: &Story, traces: &[(&str, &[&str])]) -> Judgement {
    let mut at_hand = NodeTraces::default();
    for (node, lines) in traces {
        let text: String = lines.iter().map(|line| line.replace("NODE", node) + "\n").collect();
        at_hand.add(node, Ok(text.as_bytes()));
    }
    judge(&History::read(story.text().as_bytes()).unwrap(), Traces::AtHand(&at_hand))
}

fn started(node: &str) -> (&str, &[&str]) {
    (node, &[START])
}

#[test]
fn whole_traces_that_keep_the_rules_leave_a_run_valid() {
    let judgement = judged_with(
        &traced(|_| ()),
        &[started("n1"), ("n2", &[START, PUT_17]), ("n3", &[START, PUT_17])],
    );
    assert_eq!(
        (judgement.verdict, &judgement.notes[..]),
        (Valid, &[][..]),
        "{:?}",
        judgement.findings
    );
}

#[test]
fn a_broken_trace_rule_is_a_safety_violation_with_its_events() {
    let put_18 = PUT_17.replace("17", "18");
    let judgement = judged_with(
        &traced(|_| ()),
        &[started("n1"), ("n2", &[START, PUT_17]), ("n3", &[START, &put_18])],
    );
    assert_eq!(judgement.verdict, Invalid);
    let finding = judgement.decisive().expect("a finding");
    assert_eq!((finding.rule.as_str(), finding.class), ("trace K3", Some(Class::Safety)));
    assert_eq!(
        finding.evidence,
        [
            "n2, line 2, at 2.000 s: key `k` version 1@n1.1.1, value `17`, durable",
            "n3, line 2, at 2.000 s: key `k` version 1@n1.1.1, value `18`, durable"
        ]
    );
}

#[test]
fn a_missing_trace_of_a_node_that_served_makes_a_run_unknown() {
    let judgement = judged_with(&traced(|_| ()), &[started("n1"), ("n2", &[])]);
    assert_eq!(judgement.verdict, Unknown);
    let finding = judgement.decisive().expect("a finding");
    assert_eq!(finding.message, "the trace of n2 is missing, although it was ready at 0.001 s");
    assert_eq!(finding.evidence, ["the trace of n3 is missing, although it was ready at 0.001 s"]);
}

#[test]
fn a_node_that_never_came_up_has_no_trace_to_miss() {
    let story = traced(|story| {
        story.not_ready("n3", "start");
        story.not_ready("n3", "recovery");
    });
    let judgement = judged_with(&story, &[started("n1"), started("n2")]);
    assert!(
        judgement.findings.iter().all(|finding| finding.rule != "traces"),
        "{:?}",
        judgement.findings
    );
}

#[test]
fn a_damaged_trace_makes_a_run_unknown_but_hides_no_violation() {
    let damaged: (&str, &[&str]) = ("n1", &[START, "garbage"]);
    let judgement = judged_with(&traced(|_| ()), &[damaged, started("n2"), started("n3")]);
    assert_eq!(judgement.verdict, Unknown);
    let message = &judgement.decisive().expect("a finding").message;
    assert_eq!(
        message,
        "the trace of n1 cannot be read: line 2: this is no event of a trace: expected a JSON object"
    );
    let put_18 = PUT_17.replace("17", "18");
    let judgement = judged_with(&traced(|_| ()), &[damaged, ("n2", &[START, PUT_17]), ("n3", &[START, &put_18])]);
    assert_eq!(judgement.verdict, Invalid);
}

#[test]
fn a_system_without_traces_misses_none() {
    let judgement = judged_with(&good_but(|_| ()), &[]);
    assert_eq!((judgement.verdict, &judgement.notes[..]), (Valid, &[][..]));
}

#[test]
fn a_bare_file_of_a_run_with_traces_says_what_it_was_judged_without() {
    let history = History::read(traced(|_| ()).text().as_bytes()).unwrap();
    let judgement = judge(&history, Traces::Missing);
    assert_eq!(
        judgement.notes,
        ["judged without the trace rules: the nodes' traces are not at hand"]
    );
}

/// Of two files read one after the other while the nodes run, the first may lack what the second rests on.
#[test]
fn traces_of_a_run_that_has_not_ended_are_not_searched_for_what_is_missing() {
    let done = r#"{"node":"NODE","incarnation":1,"seq":1,"mono_ns":9,"lamport":9,"kind":"done","op":"n1/1/1","f":"put","key":"k","outcome":"ok","version":[1,"n1",1,1],"acks":["n2","n3"]}"#;
    let traces: [(&str, &[&str]); 3] = [("n1", &[START, done]), started("n2"), started("n3")];
    assert_eq!(judged_with(&traced(|_| ()), &traces).verdict, Invalid);
    let judgement = judged_with(&traced(|story| story.end = None), &traces);
    assert_eq!(judgement.verdict, Unknown);
    assert_eq!(
        judgement.notes,
        ["without an end of the recording, nodes may have run on while their traces were read: no rule asked for events that are missing"]
    );
}
