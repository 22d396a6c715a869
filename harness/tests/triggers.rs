//! Faults that wait for an event strike at that very event: the node is kept there, which its own trace shows.

mod common;

use std::fs;

use common::{Squall, disks_or_skip, exit_code, have, play, sandbox_or_skip, skip, stage};
use serde_json::{Value, json};

/// Runs a cluster with this schedule alone and returns the stages of its faults.
fn run_with(squall: &Squall, system: &str, schedule: &[Value]) -> Vec<Value> {
    play(squall, system, &["--time", "9s"], schedule)
}

/// The lines of a node's life before its `nth` restart.
fn life(squall: &Squall, node: &str, incarnation: u64) -> Vec<Value> {
    let folder = squall.latest().join("nodes").join(node);
    let trace = fs::read_to_string(folder.join("trace.jsonl")).expect("a trace");
    let lines = trace.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["incarnation"] == incarnation).collect()
}

#[test]
fn a_leader_is_killed_between_its_append_and_its_fsync() {
    let Some(squall) = sandbox_or_skip() else { return };
    let at_the_append = json!({
        "id": 0, "at_ms": 1_500, "for_ms": 800, "when": {"append": {"nth": 7, "on": "leader"}}, "fault": {"kill": {"target": "source"}},
    });
    let stages = run_with(&squall, "raft", &[at_the_append]);
    let applied = stage(&stages, 0, "applied");
    let (trigger, node) = (&applied["resolved"]["trigger"], &applied["resolved"]["resolved"]["nodes"][0]);
    assert_eq!(trigger["event"], "append number 7 on the leader");
    assert!(trigger["held"] == true && trigger["node"] == *node, "{applied}");
    assert!(trigger["latency_us"].as_u64() > Some(0), "{applied}");
    let life = life(&squall, node.as_str().expect("a node"), 1);
    let append = life.iter().rfind(|line| line["kind"] == "append").expect("it appended");
    let synced = |line: &&Value| line["kind"] == "fsync" && line["upto"].as_u64() >= append["index"].as_u64();
    assert_eq!(life.iter().find(synced), None, "the last entry was never synced");
    assert!(life.iter().any(|line| line["kind"] == "fsync"), "others were");
}

/// What was applied at an fsync of the leader that its disk held, by a fault of each kind, one run for all of them.
fn strike_at_fsyncs(squall: &Squall, system: &str) -> Vec<Value> {
    let at_an_fsync = |id: u64, at_ms: u64, fault: Value| {
        json!({
            "id": id, "at_ms": at_ms, "for_ms": 700, "when": {"before-fsync": {"nth": 3, "on": "leader"}}, "fault": fault,
        })
    };
    let schedule = [
        at_an_fsync(0, 1_500, json!({"kill": {"target": "source"}})),
        at_an_fsync(1, 3_000, json!({"pause": {"target": "source"}})),
        at_an_fsync(2, 4_500, json!({"power": {"hits": {"one": "source"}}})),
    ];
    let stages = run_with(squall, system, &schedule);
    let back_ends = [(0, "sigkill"), (1, "sigstop"), (2, "fuse")];
    back_ends
        .map(|(id, back_end)| {
            assert_eq!(stage(&stages, id, "applied")["resolved"]["back_end"], back_end, "{stages:?}");
            assert_eq!(stage(&stages, id, "probed")["probe"]["ok"], true, "{stages:?}");
            assert_eq!(stage(&stages, id, "healed")["probe"]["ok"], true, "{stages:?}");
            let applied = stage(&stages, id, "applied");
            let trigger = &applied["resolved"]["trigger"];
            assert_eq!(trigger["event"], "before-fsync number 3 on the leader");
            assert!(trigger["held"] == true && trigger["latency_us"].as_u64() > Some(0), "{applied}");
            assert_eq!(trigger["node"], applied["resolved"]["resolved"]["nodes"][0], "{applied}");
            applied
        })
        .into()
}

#[test]
fn the_disk_of_any_program_holds_the_fsync_at_which_a_fault_strikes() {
    let Some(squall) = disks_or_skip() else { return };
    let applied = strike_at_fsyncs(&squall, "raft");
    let node = applied[0]["resolved"]["resolved"]["nodes"][0].as_str().expect("a node");
    let life = life(&squall, node, 1);
    let append = life.iter().rfind(|line| line["kind"] == "append").expect("it appended");
    let synced = |line: &&Value| line["kind"] == "fsync" && line["upto"].as_u64() >= append["index"].as_u64();
    assert_eq!(life.iter().find(synced), None, "the node never saw its last fsync return");
    if have("etcd") {
        strike_at_fsyncs(&squall, "etcd");
    } else {
        skip("there is no etcd here");
    }
}

/// The stages of a run of `system` in which the leader is killed at a packet of its own, and then cut off at another one.
fn strike_at_packets(squall: &Squall, system: &str, to: &str) -> Vec<Value> {
    let at_a_packet = |id: u64, at_ms: u64, fault: Value| {
        json!({
            "id": id, "at_ms": at_ms, "for_ms": 900, "fault": fault,
            "when": {"before-packet": {"nth": 3, "from": "leader", "to": to, "min_bytes": 20}},
        })
    };
    let schedule = [
        at_a_packet(0, 1_500, json!({"kill": {"target": "source"}})),
        at_a_packet(1, 4_200, json!({"partition": {"shape": {"isolate-one": {"target": "source"}}}})),
    ];
    let stages = run_with(squall, system, &schedule);
    let expected = match to {
        "follower" => "before-packet number 3 from the leader to a follower, of 20 bytes or more",
        _ => "before-packet number 3 from the leader to clients, of 20 bytes or more",
    };
    for id in 0..2 {
        assert_eq!(stage(&stages, id, "probed")["probe"]["ok"], true, "{stages:?}");
        assert_eq!(stage(&stages, id, "healed")["probe"]["ok"], true, "{stages:?}");
        let applied = stage(&stages, id, "applied");
        let trigger = &applied["resolved"]["trigger"];
        assert_eq!(trigger["event"], expected);
        assert!(trigger["held"] == true && trigger["latency_us"].as_u64() > Some(0), "{applied}");
        assert_eq!(
            trigger["node"], applied["resolved"]["resolved"]["nodes"][0],
            "who sent it is hit: {applied}"
        );
        assert_eq!(trigger["packet"]["from"], trigger["node"], "{applied}");
        assert!(
            trigger["packet"]["to"] != trigger["node"] && trigger["packet"]["bytes"].as_u64() >= Some(20),
            "{applied}"
        );
    }
    stages
}

#[test]
fn a_packet_on_the_wire_outlives_its_sender_and_not_its_link() {
    let Some(squall) = sandbox_or_skip() else { return };
    if let Err(error) = fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun") {
        return skip(&format!("no network of ours can be had: {error}"));
    }
    for system in ["raft", "etcd"] {
        if system == "etcd" && !have("etcd") {
            skip("there is no etcd here");
            continue;
        }
        let stages = strike_at_packets(&squall, system, "follower");
        let fate = |id: u64| stage(&stages, id, "healed")["probe"]["packet"].clone();
        let (of_the_dead, of_the_cut) = (fate(0), fate(1));
        assert!(of_the_dead["held_us"].as_u64() > Some(0), "{stages:?}");
        assert_eq!(
            of_the_dead.get("lost"),
            None,
            "it was on the wire when its sender died: {of_the_dead}"
        );
        assert_eq!(of_the_cut["lost"], "cut", "it was in the cable when that was cut: {of_the_cut}");
        let resolved = fs::read_to_string(squall.latest().join("resolved.json")).expect("resolved.json");
        let resolved: Value = serde_json::from_str(&resolved).expect("JSON");
        assert_eq!(resolved["network"], "switch", "such a plan takes the switch by itself");
    }
}

#[test]
fn a_packet_of_clients_is_held_while_the_harness_asks_and_the_load_goes_on() {
    let Some(squall) = sandbox_or_skip() else { return };
    if let Err(error) = fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun") {
        return skip(&format!("no network of ours can be had: {error}"));
    }
    let schedule = [json!({
        "id": 0, "at_ms": 1_500, "for_ms": 900, "fault": {"clock": {"target": "leader", "shape": {"jump": {"offset_ms": 60_000}}}},
        "when": {"before-packet": {"nth": 5, "from": "clients", "to": {"node": "n2"}}},
    })];
    let stages = run_with(&squall, "raft", &schedule);
    let trigger = &stage(&stages, 0, "applied")["resolved"]["trigger"];
    assert!(trigger["held"] == true && trigger["node"] == "n2", "{stages:?}");
    assert_eq!(trigger["packet"]["from"], "clients");
    assert_eq!(stage(&stages, 0, "probed")["probe"]["ok"], true, "{stages:?}");
    assert_eq!(stage(&stages, 0, "healed")["probe"]["packet"].get("lost"), None, "{stages:?}");
}

#[test]
fn a_packet_cannot_be_waited_for_on_the_kernels_network() {
    let squall = Squall::new();
    let plan = squall.run(&[
        "plan",
        "raft",
        "--faults",
        "kill",
        "--seed",
        "4",
        "--time",
        "9s",
        "--network",
        "kernel",
    ]);
    let mut plan: Value = serde_json::from_str(&plan.stdout).expect("a plan");
    plan["schedule"][0]["when"] = json!({"before-packet": {"from": "leader"}});
    let path = squall.folder().join("plan.json");
    fs::write(&path, plan.to_string()).expect("a plan");
    let run = squall.run(&["run", "--plan", &path.display().to_string()]);
    assert_eq!(exit_code(&run), 254, "{}", run.text());
    let why = "`before-packet`: only the network `switch` holds packets; leave `network` out, and it is taken";
    assert!(run.stderr.contains(why), "{}", run.stderr);
}

#[test]
fn a_new_leader_is_killed_before_anybody_hears_of_it() {
    let Some(squall) = sandbox_or_skip() else { return };
    let schedule = [
        json!({"id": 0, "at_ms": 1_500, "for_ms": 2_500, "when": {"leader-elected": {}}, "fault": {"kill": {"target": "source"}}}),
        json!({"id": 1, "at_ms": 1_600, "for_ms": 2_000, "fault": {"pause": {"target": "leader"}}}),
    ];
    let stages = run_with(&squall, "raft", &schedule);
    let applied = stage(&stages, 0, "applied");
    assert_eq!(applied["resolved"]["trigger"]["held"], true, "{applied}");
    let node = applied["resolved"]["resolved"]["nodes"][0].as_str().expect("a node").to_owned();
    let life = life(&squall, &node, 1);
    let elected = life
        .iter()
        .rposition(|line| line["kind"] == "role" && line["role"] == "leader")
        .expect("it was elected");
    let heard_after = life[elected..]
        .iter()
        .find(|line| line["kind"] == "receive" || line["kind"] == "fsync");
    assert_eq!(heard_after, None, "it took no further turn");
}

#[test]
fn the_node_with_the_newest_log_is_found_and_a_candidate_only_while_there_is_one() {
    let Some(squall) = sandbox_or_skip() else { return };
    let order = json!(["n3", "n2", "n1"]);
    let cut_off = |id: u64| json!({"id": id, "at_ms": 1_500, "for_ms": 3_000, "fault": {"partition": {"shape": {"isolate-one": {"target": {"node": "n1"}}}}}});
    let schedule = [
        cut_off(0),
        json!({"id": 1, "at_ms": 2_800, "for_ms": 500, "fault": {"pause": {"target": "candidate"}}}),
        json!({"id": 2, "at_ms": 3_400, "for_ms": 500, "fault": {"kill": {"target": {"newest": {"order": order}}}}}),
        json!({"id": 3, "at_ms": 6_500, "for_ms": 400, "fault": {"pause": {"target": "candidate"}}}),
    ];
    let stages = run_with(&squall, "raft", &schedule);
    let hit = |id: u64| stage(&stages, id, "applied")["resolved"]["resolved"]["nodes"][0].clone();
    assert_eq!(hit(1), "n1", "who is cut off asks to be elected");
    assert_ne!(hit(2), "n1", "whose log is behind");
    assert_eq!(stage(&stages, 3, "skipped")["reason"], "no node asks to be the leader");
}

#[test]
fn a_cluster_shrinks_and_grows_back() {
    let Some(squall) = sandbox_or_skip() else { return };
    let order = ["n2", "n1", "n3"];
    let schedule = [
        json!({"id": 0, "at_ms": 1_500, "for_ms": 1_200, "fault": {"shrink": {"order": order, "to": 1}}}),
        json!({"id": 1, "at_ms": 2_000, "for_ms": 300, "fault": {"shrink": {"order": order, "to": 2}}}),
        json!({"id": 2, "at_ms": 4_500, "for_ms": 1_200, "fault": {"shrink": {"order": order, "to": 2}}}),
    ];
    let stages = run_with(&squall, "raft", &schedule);
    for (id, gone) in [(0, json!(["n1", "n3"])), (2, json!(["n3"]))] {
        assert_eq!(stage(&stages, id, "applied")["resolved"]["resolved"]["state"]["removed"], gone);
        assert_eq!(stage(&stages, id, "probed")["probe"]["ok"], true, "{stages:?}");
        let proof = &stage(&stages, id, "healed")["probe"]["proof"];
        assert_eq!(proof["ok"], true, "they were taken in again: {stages:?}");
    }
    let reason = stage(&stages, 1, "skipped")["reason"].clone();
    assert!(reason.as_str().is_some_and(|reason| reason.contains("no member now")), "{reason}");
}

#[test]
fn a_new_leader_of_somebody_elses_program_is_looked_for() {
    let Some(squall) = sandbox_or_skip() else { return };
    if !have("etcd") {
        return skip("there is no etcd here");
    }
    let schedule = [
        json!({"id": 0, "at_ms": 1_500, "for_ms": 500, "when": {"leader-elected": {}}, "fault": {"pause": {"target": "source"}}}),
        json!({"id": 1, "at_ms": 2_000, "for_ms": 3_000, "fault": {"kill": {"target": "leader"}}}),
    ];
    let stages = run_with(&squall, "etcd", &schedule);
    let (applied, killed) = (stage(&stages, 0, "applied"), stage(&stages, 1, "applied"));
    let trigger = &applied["resolved"]["trigger"];
    assert!(trigger["held"] == false && trigger["latency_us"].as_u64() > Some(0), "{applied}");
    assert_eq!(trigger["node"], applied["resolved"]["resolved"]["nodes"][0]);
    assert_ne!(trigger["node"], killed["resolved"]["resolved"]["nodes"][0]);
}

#[test]
fn a_count_of_operations_is_waited_for_as_well_as_can_be() {
    let Some(squall) = sandbox_or_skip() else { return };
    let schedule = [
        json!({"id": 0, "at_ms": 1_400, "for_ms": 500, "when": {"operations": {"completed": 400}}, "fault": {"pause": {"target": {"node": "n1"}}}}),
        json!({"id": 1, "at_ms": 1_400, "for_ms": 500, "when": {"append": {"nth": 1_000_000}}, "fault": {"kill": {"target": "source"}}}),
    ];
    let stages = run_with(&squall, "raft", &schedule);
    let applied = stage(&stages, 0, "applied");
    let trigger = &applied["resolved"]["trigger"];
    assert_eq!(
        (&trigger["event"], &trigger["held"]),
        (&json!("400 operations completed"), &json!(false))
    );
    let history = fs::read_to_string(squall.latest().join("history.jsonl")).expect("a history");
    let events = history.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ended_before = events
        .filter(|event| event["process"].is_u64() && event["type"] != "invoke" && event["time"].as_u64() < applied["time"].as_u64())
        .count();
    assert!(ended_before >= 400, "{ended_before}");
    assert_eq!(
        stage(&stages, 1, "skipped")["reason"],
        "it waited for append number 1000000, which did not come"
    );
}

/// There is no candidate in a healthy cluster; one is looked for for a second.
#[test]
fn a_fault_that_waits_for_its_role_keeps_no_other_one_waiting_nor_is_that_cut_short() {
    let Some(squall) = sandbox_or_skip() else { return };
    let schedule = [
        json!({"id": 0, "at_ms": 2_000, "for_ms": 400, "fault": {"kill": {"target": "candidate"}}}),
        json!({"id": 1, "at_ms": 2_100, "for_ms": 500, "fault": {"pause": {"target": {"node": "n1"}}}}),
    ];
    let stages = run_with(&squall, "raft", &schedule);
    let time = |id: u64, name: &str| stage(&stages, id, name)["time"].as_u64().expect("a time");
    assert!(time(1, "applied") < time(0, "skipped"), "{stages:?}");
    assert!(time(1, "healed") - time(1, "applied") >= 500_000_000, "{stages:?}");
}
