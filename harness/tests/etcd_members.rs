//! Members of a real etcd cluster go and come back, each time as new ones, and the run proves both.

mod common;

use common::{Squall, exit_code, final_readers, have, play, said, sandbox_or_skip, skip, stage};
use serde_json::{Value, json};

/// Runs three members and two spare nodes with these faults alone, and sees that what came of it is valid.
fn run_with(schedule: &[Value]) -> Option<(Squall, Vec<Value>)> {
    let squall = sandbox_or_skip()?;
    if !have("etcd") {
        skip("there is no etcd here");
        return None;
    }
    let stages = play(&squall, "etcd", &["--spares", "2", "--time", "10s"], schedule);
    let judged = squall.run(&["check", &squall.latest().display().to_string()]);
    assert_eq!(exit_code(&judged), 0, "{}", judged.text());
    assert_eq!(
        final_readers(&squall),
        ["n1", "n2", "n3"],
        "the members of the plan, and they alone"
    );
    Some((squall, stages))
}

fn fault(id: u64, at_ms: u64, fault: Value) -> Value {
    json!({"id": id, "at_ms": at_ms, "for_ms": 1_500, "fault": fault})
}

fn state(stages: &[Value], id: u64) -> Value {
    stage(stages, id, "applied")["resolved"]["resolved"]["state"].clone()
}

/// How the processes of a node ended while the run went on, and whether that was expected.
fn ends(squall: &Squall, node: &str) -> Vec<bool> {
    let history = std::fs::read_to_string(squall.latest().join("history.jsonl")).expect("a history");
    let events = history.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events
        .filter(|event| event["f"] == "exit" && event["value"]["node"] == node)
        .map(|event| event["value"]["expected"] == true)
        .collect()
}

/// The lives that a node began with nothing.
fn lives(squall: &Squall, node: &str) -> Vec<String> {
    let data = squall.latest().join("nodes").join(node).join("data");
    let names = std::fs::read_dir(data).expect("a data folder").flatten();
    let mut lives: Vec<String> = names
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("life-"))
        .collect();
    lives.sort();
    lives
}

#[test]
fn a_member_that_is_taken_out_ends_and_comes_back_as_a_new_one() {
    let membership = json!({"membership": {"target": {"node": "n2"}}});
    let Some((squall, stages)) = run_with(&[fault(0, 1_500, membership)]) else {
        return;
    };
    assert_eq!(state(&stages, 0), json!({"removed": ["n2"]}));
    let out = said(&stages, 0, "probed");
    assert!(out.contains("shows it; n2 is out, and its process ended with"), "{out}");
    let back = said(&stages, 0, "healed");
    assert!(
        back.contains("n2, which came back as a new member with nothing, votes and serves"),
        "{back}"
    );
    assert!(
        ends(&squall, "n2").iter().all(|expected| *expected),
        "that it ended is no finding against it"
    );
    assert!(!lives(&squall, "n2").is_empty() && lives(&squall, "n1").is_empty());
}

#[test]
fn a_leader_that_is_taken_out_is_followed_by_another_one() {
    let membership = json!({"membership": {"target": "leader"}});
    let Some((squall, stages)) = run_with(&[fault(0, 1_500, membership)]) else {
        return;
    };
    let applied = stage(&stages, 0, "applied");
    let led = applied["resolved"]["resolved"]["nodes"][0]
        .as_str()
        .expect("the leader of that moment");
    let out = said(&stages, 0, "probed");
    assert!(!out.contains(&format!("{led} shows it")), "whoever is left says so: {out}");
    assert!(said(&stages, 0, "healed").contains(&format!("{led}, which came back as a new member with nothing")));
    assert!(!lives(&squall, led).is_empty());
}

#[test]
fn a_cluster_shrinks_to_one_member_and_grows_back() {
    let shrink = json!({"shrink": {"order": ["n3", "n1", "n2"], "to": 1}});
    let Some((squall, stages)) = run_with(&[fault(0, 1_500, shrink)]) else {
        return;
    };
    assert_eq!(state(&stages, 0), json!({"removed": ["n1", "n2"]}));
    let out = said(&stages, 0, "probed");
    assert!(
        out.contains("n3 shows it") && out.contains("n1 is out") && out.contains("n2 is out"),
        "{out}"
    );
    let back = said(&stages, 0, "healed");
    for node in ["n1", "n2"] {
        assert!(
            back.contains(&format!("{node}, which came back as a new member with nothing")),
            "{back}"
        );
        assert!(ends(&squall, node).iter().all(|expected| *expected));
    }
    assert!(lives(&squall, "n3").is_empty(), "it stayed");
}

#[test]
fn a_dead_member_is_replaced_by_a_node_that_was_never_there() {
    let replace = json!({"replace": {"target": {"node": "n2"}}});
    let Some((squall, stages)) = run_with(&[fault(0, 1_500, replace)]) else {
        return;
    };
    assert_eq!(state(&stages, 0), json!({"down": ["n2"], "removed": ["n2"], "joined": ["n4"]}));
    let replaced = said(&stages, 0, "probed");
    assert!(
        replaced.contains("n4, which was never there before, votes and serves"),
        "{replaced}"
    );
    let back = said(&stages, 0, "healed");
    assert!(
        back.contains("n2, which came back as a new member with nothing") && back.contains("n4 is out"),
        "{back}"
    );
    assert!(ends(&squall, "n2").iter().all(|expected| *expected));
}

#[test]
fn a_cluster_grows_by_members_that_it_announces_and_lets_them_go() {
    let Some((squall, stages)) = run_with(&[fault(0, 1_500, json!({"grow": {"by": 2}}))]) else {
        return;
    };
    assert_eq!(state(&stages, 0), json!({"joined": ["n4", "n5"]}));
    let (grown, shrunk) = (said(&stages, 0, "probed"), said(&stages, 0, "healed"));
    for node in ["n4", "n5"] {
        assert!(
            grown.contains(&format!("{node}, which was never there before, votes and serves")),
            "{grown}"
        );
        assert!(shrunk.contains(&format!("{node} is out, and its process ended with")), "{shrunk}");
        assert!(ends(&squall, node).iter().all(|expected| *expected));
    }
}
