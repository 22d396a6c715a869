//! A run is played again on the nodes that it struck, whatever role they play by then.

mod common;

use std::fs;

use common::{Squall, exit_code, play, sandbox_or_skip, stage};
use serde_json::{Value, json};

/// The nodes that each of these faults came to.
fn hit(stages: &[Value], ids: std::ops::Range<u64>) -> Vec<Value> {
    ids.map(|id| stage(stages, id, "applied")["resolved"]["resolved"]["nodes"].clone())
        .collect()
}

/// Runs a plan and returns the stages of its faults.
fn run(squall: &Squall, plan: &str) -> Vec<Value> {
    let run = squall.run(&["run", "--plan", plan]);
    assert!(matches!(exit_code(&run), 0 | 2 | 3), "{}", run.text());
    let history = fs::read_to_string(squall.latest().join("history.jsonl")).expect("a history");
    let events = history.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events
        .filter(|event| event["process"] == "nemesis")
        .map(|event| event["value"].clone())
        .collect()
}

#[test]
fn a_majority_is_killed_and_stopped_each_node_with_its_proof_and_the_same_ones_again() {
    let Some(squall) = sandbox_or_skip() else { return };
    let schedule = [
        json!({"id": 0, "at_ms": 1_500, "for_ms": 700, "fault": {"kill": {"target": "leader"}}}),
        json!({"id": 1, "at_ms": 3_200, "for_ms": 600, "fault": {"kill": {"target": "majority"}}}),
        json!({"id": 2, "at_ms": 5_000, "for_ms": 600, "fault": {"pause": {"target": {"majority": {"leader": true}}}}}),
    ];
    let first = play(&squall, "raft", &["--time", "9s"], &schedule);
    for id in [1, 2] {
        let nodes = stage(&first, id, "applied")["resolved"]["resolved"]["nodes"].clone();
        assert_eq!(nodes.as_array().map(Vec::len), Some(2), "two of three: {first:?}");
        for name in ["probed", "healed"] {
            let probe = stage(&first, id, name)["probe"].clone();
            let proofs = probe["proofs"].as_array().expect("a proof of each");
            let of: Vec<&Value> = proofs.iter().map(|proof| &proof["node"]).collect();
            assert!(probe["ok"] == true && proofs.iter().all(|proof| proof["ok"] == true), "{probe}");
            assert_eq!(json!(of), nodes, "{probe}");
        }
    }
    let replay = squall.latest().join("replay.json").display().to_string();
    let again = run(&squall, &replay);
    assert_eq!(hit(&again, 0..3), hit(&first, 0..3));
}

/// At one moment no node both leads and follows: who is struck is what the plan says, not what is found.
#[test]
fn who_was_struck_is_struck_again_whoever_leads_by_then() {
    let Some(squall) = sandbox_or_skip() else { return };
    let path = squall.folder().join("plan.toml");
    let plan = r#"
squall_plan = 1
seed = 4
timing = { warm_up_ms = 1000, storm_ms = 4000, recovery_ms = 1000 }
[system.raft]
[[schedule]]
id = 0
at_ms = 1500
for_ms = 900
fault = { clock = { target = "leader", shape = { jump = { offset_ms = 500 } } } }
struck = { nodes = ["n2"] }
[[schedule]]
id = 1
at_ms = 1600
for_ms = 900
fault = { clock = { target = "follower", shape = { jump = { offset_ms = 500 } } } }
struck = { nodes = ["n2"] }
"#;
    fs::write(&path, plan).expect("a plan");
    let stages = run(&squall, &path.display().to_string());
    assert_eq!(hit(&stages, 0..2), [json!(["n2"]), json!(["n2"])]);
    let resolved = squall.latest().join("resolved.json");
    let refused = squall.run(&["run", "--plan", &resolved.display().to_string()]);
    assert_eq!(exit_code(&refused), 254, "{}", refused.text());
    assert!(refused.stderr.contains("`replay.json` beside it"), "{}", refused.stderr);
}
