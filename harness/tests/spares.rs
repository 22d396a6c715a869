//! Nodes that were not there at first join a cluster that serves, by its own mechanism, and leave it again.

mod common;

use std::fs;

use common::{Squall, exit_code, final_readers, play, said, sandbox_or_skip, stage};
use serde_json::{Value, json};

/// Runs three members and two spare nodes with this schedule alone; returns the stages of its faults.
fn run_with(squall: &Squall, system: &str, schedule: &[Value]) -> Vec<Value> {
    play(squall, system, &["--spares", "2", "--time", "10s"], schedule)
}

/// The lines of a kind in a node's trace.
fn traced(squall: &Squall, node: &str, kind: &str) -> Vec<Value> {
    let trace = fs::read_to_string(squall.latest().join("nodes").join(node).join("trace.jsonl")).unwrap_or_default();
    let lines = trace.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["kind"] == kind).collect()
}

/// Whether a node ever saw these voters committed, alone.
fn voted_together(squall: &Squall, node: &str, voters: &[&str]) -> bool {
    let is_committed = |config: &Value| config["stage"] == "committed" && config["voters_old"].is_null();
    let configs = traced(squall, node, "config");
    configs
        .iter()
        .any(|config| is_committed(config) && config["voters"] == json!(voters))
}

#[test]
fn a_raft_cluster_grows_by_nodes_that_were_never_there_and_lets_them_go() {
    let Some(squall) = sandbox_or_skip() else { return };
    let schedule = [
        json!({"id": 0, "at_ms": 1_500, "for_ms": 1_500, "fault": {"grow": {"by": 2}}}),
        json!({"id": 1, "at_ms": 5_000, "for_ms": 1_500, "fault": {"grow": {"by": 1}}}),
    ];
    let stages = run_with(&squall, "raft", &schedule);
    let joined = |id| stage(&stages, id, "applied")["resolved"]["resolved"]["state"]["joined"].clone();
    assert_eq!((joined(0), joined(1)), (json!(["n4", "n5"]), json!(["n4"])));
    let grown = said(&stages, 0, "probed");
    assert!(
        grown.contains("n4, which was never there before, votes and serves") && grown.contains("n5, which was"),
        "{grown}"
    );
    assert!(said(&stages, 1, "probed").contains("n4, which came back with what it had, votes and serves"));
    for id in [0, 1] {
        let healed = stage(&stages, id, "healed");
        let killed = healed["probe"]["proofs"]
            .as_array()
            .expect("proofs")
            .iter()
            .filter(|proof| proof["killed"]["ok"] == true);
        assert_eq!(killed.count(), if id == 0 { 2 } else { 1 }, "who left was stopped: {healed}");
    }
    let first = &traced(&squall, "n4", "raft_start")[0];
    assert_eq!(
        (&first["voters"], &first["last"]),
        (&json!([]), &json!([0, 0])),
        "it began with nothing"
    );
    assert!(voted_together(&squall, "n4", &["n1", "n2", "n3", "n4", "n5"]));
    let leaders = ["n1", "n2", "n3"].into_iter();
    assert!(leaders.clone().any(|node| voted_together(&squall, node, &["n1", "n2", "n3", "n4"])));
    let last = leaders
        .filter_map(|node| traced(&squall, node, "config").pop())
        .max_by_key(|config| config["index"].as_u64());
    assert_eq!(
        last.expect("a configuration")["voters"],
        json!(["n1", "n2", "n3"]),
        "all of them are out"
    );
    assert_eq!(final_readers(&squall), ["n1", "n2", "n3"]);
    blame_who_joined(&squall);
}

/// A node that joined writes another entry to its log than the others have: the rules on traces say so.
fn blame_who_joined(squall: &Squall) {
    let path = squall.latest().join("nodes/n4/trace.jsonl");
    let trace = fs::read_to_string(&path).expect("a trace");
    let append = trace.lines().find(|line| line.contains(r#""kind":"append""#)).expect("it appended");
    let mut other: Value = serde_json::from_str(append).expect("a line is JSON");
    other["digest"] = json!("0123456789abcdef");
    fs::write(&path, trace.replace(append, &other.to_string())).expect("the run is ours");
    let run = squall.latest().display().to_string();
    let judged = squall.run(&["check", &run]);
    assert_eq!(exit_code(&judged), 1, "{}", judged.text());
    assert!(
        judged.stdout.contains("log matching") && judged.stdout.contains("n4"),
        "{}",
        judged.text()
    );
}

#[test]
fn a_raft_member_is_replaced_by_a_node_with_nothing_and_comes_back() {
    let Some(squall) = sandbox_or_skip() else { return };
    let replace = json!({"replace": {"target": {"node": "n2"}}});
    let stages = run_with(
        &squall,
        "raft",
        &[json!({"id": 0, "at_ms": 1_500, "for_ms": 2_000, "fault": replace})],
    );
    let state = stage(&stages, 0, "applied")["resolved"]["resolved"]["state"].clone();
    assert_eq!(state, json!({"down": ["n2"], "removed": ["n2"], "joined": ["n4"]}));
    assert!(said(&stages, 0, "probed").contains("n4, which was never there before, votes and serves"));
    assert!(
        voted_together(&squall, "n4", &["n1", "n3", "n4"]),
        "in its place, and not beside it"
    );
    assert_eq!(stage(&stages, 0, "healed")["probe"]["ok"], true);
    assert!(voted_together(&squall, "n2", &["n1", "n2", "n3"]));
    assert_eq!(traced(&squall, "n2", "raft_start").len(), 2, "it was killed and came back");
    assert_eq!(final_readers(&squall), ["n1", "n2", "n3"]);
}

#[test]
fn a_system_without_changes_of_members_is_refused_what_needs_them() {
    let squall = Squall::new();
    for kind in ["grow", "replace"] {
        let refused = squall.run(&["plan", "quorum", "--faults", kind]);
        assert_eq!(exit_code(&refused), 254, "{}", refused.text());
        let expected = format!("--faults {kind}: quorum cannot take new nodes in");
        assert!(refused.stderr.contains(&expected), "{}", refused.text());
    }
    let refused = squall.run(&["plan", "quorum", "--faults", "kill", "--spares", "2"]);
    assert!(
        refused.stderr.contains("`spares` is 2: quorum cannot take new nodes in"),
        "{}",
        refused.text()
    );
    let without = squall.run(&["plan", "raft", "--faults", "grow", "--spares", "0"]);
    assert!(without.stderr.contains("it needs spare nodes"), "{}", without.text());
}

#[test]
fn a_plan_has_as_many_spare_nodes_as_its_schedule_can_use() {
    let squall = Squall::new();
    let spares = |words: &[&str]| {
        let words: Vec<&str> = ["plan", "raft", "--seed", "7"].iter().chain(words).copied().collect();
        let plan = squall.run(&words);
        let plan: Value = serde_json::from_str(&plan.stdout).unwrap_or_else(|error| panic!("{error}: {}", plan.text()));
        let topology = plan["topology"]["racks"].as_array().into_iter().flatten();
        let placed = topology.flat_map(|rack| rack["nodes"].as_array().expect("nodes").clone()).count();
        (plan["spares"].clone(), placed)
    };
    assert_eq!(spares(&["--faults", "kill"]), (Value::Null, 0));
    assert_eq!(spares(&["--faults", "grow", "--time", "1m"]), (json!(4), 0));
    assert_eq!(spares(&["--faults", "replace", "--spares", "1"]), (json!(1), 0));
    assert_eq!(spares(&["--faults", "grow", "--spares", "2", "--topology", "3x1"]), (json!(2), 5));
}
