//! Runs of nodes in racks: what they are, what is lost with a rack or a spine, and where replicas are.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "part of tests, though outside a #[test]")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::sandbox_or_skip;
use serde_json::Value;

/// What the history says of every fault: its kind, and what it was seen to come to.
fn stages(history: &str, stage: &str) -> Vec<(String, Value)> {
    let lines = history.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let faults = lines.filter(|line| line["process"] == "nemesis" && line["value"]["stage"] == stage);
    faults
        .map(|line| (line["f"].as_str().unwrap().to_owned(), line["value"].clone()))
        .collect()
}

#[test]
fn a_run_in_racks_loses_racks_and_spines_and_is_valid() {
    let Some(squall) = sandbox_or_skip() else { return };
    let said = squall.run(&[
        "run",
        "--topology",
        "3x2",
        "--time",
        "9s",
        "--seed",
        "5",
        "--faults",
        "rack-down,spine-cut",
        "--placement",
        "rack",
    ]);
    assert_eq!(said.status.code(), Some(0), "{}", said.text());
    assert!(said.stdout.contains("6 nodes, 3 racks, 2 spines"), "{}", said.stdout);
    assert!(
        said.stdout.contains("rack-down") && said.stdout.contains("all seen to bite, all healed"),
        "{}",
        said.stdout
    );

    let history = std::fs::read_to_string(squall.latest().join("history.jsonl")).unwrap();
    let (probed, healed) = (stages(&history, "probed"), stages(&history, "healed"));
    assert!(probed.len() >= 2 && probed.iter().chain(&healed).all(|(_, value)| value["probe"]["ok"] == true));
    let lost: Vec<Value> = stages(&history, "applied")
        .into_iter()
        .filter(|(kind, _)| kind == "rack-down")
        .map(|(_, value)| value)
        .collect();
    let state = &lost[0]["resolved"]["resolved"]["state"];
    assert_eq!(
        state["cuts"].as_array().unwrap().len(),
        2 * 4 * 2 + 2,
        "two nodes from four others, both ways, and from each other"
    );
    assert_eq!(state["links"].as_object().unwrap().len(), 4, "and from the clients");

    let resolved: Value = serde_json::from_str(&std::fs::read_to_string(squall.latest().join("resolved.json")).unwrap()).unwrap();
    assert_eq!((&resolved["network"], &resolved["leaves"]), (&"kernel".into(), &4.into()));
}

#[test]
fn replicas_are_in_distinct_racks_and_the_nodes_say_so() {
    let Some(squall) = sandbox_or_skip() else { return };
    let said = squall.run(&[
        "run",
        "--topology",
        "3x2",
        "--placement",
        "rack",
        "--time",
        "5s",
        "--seed",
        "8",
        "--faults",
        "none",
    ]);
    assert_eq!(said.status.code(), Some(0), "{}", said.text());
    let rack = |node: &str| node.trim_start_matches('n').parse::<u32>().unwrap().div_ceil(2);
    // A node's trace says which keys it holds.
    let mut holders: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    for node in ["n1", "n2", "n3", "n4", "n5", "n6"] {
        let folder = squall.latest().join("nodes").join(node);
        let command = std::fs::read_to_string(folder.join("command.txt")).unwrap();
        assert!(command.contains(&format!("--domain={node}=rack{}", rack(node))), "{command}");
        let trace = std::fs::read_to_string(folder.join("trace.jsonl")).unwrap();
        for line in trace.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            if line["kind"] == "put"
                && let Some(key) = line["key"].as_str()
            {
                holders.entry(key.to_owned()).or_default().insert(rack(node));
            }
        }
    }
    let log = std::fs::read_to_string(squall.latest().join("squall.log")).unwrap();
    for rack in ["rack1", "rack2", "rack3"] {
        let said = log.matches(&format!("domain\\\":\\\"{rack}")).count();
        assert_eq!(said, 2, "two nodes say of themselves that they are in {rack}");
    }
    assert!(holders.len() > 10, "{holders:?}");
    assert!(holders.values().all(|racks| racks.len() == 3), "{holders:?}");
}

#[test]
fn a_plan_is_a_table_that_can_be_written_by_hand() {
    let Some(squall) = sandbox_or_skip() else { return };
    let plan = squall.run(&[
        "plan",
        "--topology",
        "2x2",
        "--faults",
        "none",
        "--time",
        "5s",
        "--seed",
        "3",
        "--toml",
    ]);
    assert_eq!(plan.status.code(), Some(0), "{}", plan.text());
    let table = plan.stdout.find("[topology]").unwrap_or_else(|| panic!("{}", plan.stdout));
    let path = squall.folder().join("plan.toml");
    let run = |text: &str| {
        std::fs::write(&path, text).unwrap();
        squall.run(&["run", "--plan", path.to_str().unwrap()])
    };
    let (before, own) = plan.stdout.split_at(table);
    let rest = own
        .find("\n[timing]")
        .or_else(|| own.find("\n[workload"))
        .or_else(|| own.find("\n[system"));
    let rest = rest.map_or("", |at| &own[at..]);
    let by_hand = "\n[topology]\ncidr = \"172.16.0.0/24\"\n[[topology.racks]]\nname = \"left\"\nnodes = [\"n1\"]\n[[topology.racks]]\nname = \"right\"\nzone = \"far\"\nnodes = [\"n2\", \"n3\", \"n4\"]\n";
    let said = run(&format!("{before}{by_hand}{rest}"));
    assert_eq!(said.status.code(), Some(0), "{}", said.text());
    assert!(said.stdout.contains("2 racks in 2 zones, 2 spines"), "{}", said.stdout);
    let command = std::fs::read_to_string(squall.latest().join("nodes/n2/command.txt")).unwrap();
    assert!(
        command.contains("--listen 172.16.0.66:"),
        "the second of four subnets of /26: {command}"
    );

    for (wrong, word) in [
        (by_hand.replace("\"n4\"", "\"n5\""), "`n5`"),
        (by_hand.replace("172.16.0.0/24", "172.16.0.0/29"), "is too small"),
        (by_hand.replace("zone = \"far\"", "zone = \"left\""), "`left` is a rack and a zone"),
        (by_hand.replace("zone", "zoen"), "zoen"),
    ] {
        let said = run(&format!("{before}{wrong}{rest}"));
        assert_eq!(said.status.code(), Some(254), "{}", said.text());
        assert!(said.stderr.contains(word), "{word}: {}", said.stderr);
    }
}

#[test]
fn rubbish_is_refused_in_a_sentence() {
    let Some(squall) = sandbox_or_skip() else { return };
    for (args, words) in [
        (vec!["--topology", "3x"], "`3x` is no topology"),
        (vec!["--topology", "0x2"], "at least one of each"),
        (vec!["--topology", "20x20"], "a cluster has 1 to 100"),
        (vec!["--topology", "3x2", "--nodes", "5"], "the topology has 6 nodes"),
        (vec!["--topology", "3x2", "--cidr", "10.0.0.0/29"], "is too small"),
        (vec!["--topology", "3x2", "--spines", "0"], "`spines` is 0"),
        (vec!["--topology", "3x2", "--latency", "racks=5"], "is no time"),
        (
            vec!["--topology", "3x2", "--latency", "racks=5ms", "--network", "kernel"],
            "cannot keep domains apart",
        ),
        (
            vec!["--topology", "3x2", "--latency", "zones=5ms"],
            "5000 between zones, and there are no two zones",
        ),
        (vec!["--topology", "1x3", "--faults", "region-slow"], "all nodes are in one rack"),
        (vec!["--topology", "nowhere.toml"], "cannot read the file"),
        (vec!["--faults", "rack-down"], "--topology 3x2"),
        (vec!["--faults", "domains"], "--topology 3x2"),
        (vec!["--placement", "rack"], "--topology 3x2"),
        (
            vec!["raft", "--topology", "3x1", "--placement", "rack"],
            "--placement is no setting of raft",
        ),
    ] {
        let args: Vec<&str> = ["run"].into_iter().chain(args).collect();
        let said = squall.run(&args);
        assert_eq!(said.status.code(), Some(254), "{args:?}: {}", said.text());
        assert!(said.stderr.contains(words), "{args:?}: {}", said.stderr);
    }
}

#[test]
fn domains_are_as_far_apart_as_asked_and_a_slow_region_is_slower() {
    if let Err(error) = squall_nemeses::switch::may_open() {
        return common::skip(&error.to_string());
    }
    let Some(squall) = sandbox_or_skip() else { return };
    let args = "run --topology 2x1x2 --latency zones=10ms --time 8s --seed 6 --faults region-slow,rack-down";
    let said = squall.run(&args.split(' ').collect::<Vec<_>>());
    assert_eq!(said.status.code(), Some(0), "{}", said.text());
    let history = std::fs::read_to_string(squall.latest().join("history.jsonl")).unwrap();
    let healed: Vec<Value> = stages(&history, "healed")
        .into_iter()
        .filter(|(kind, _)| kind == "region-slow")
        .map(|(_, value)| value)
        .collect();
    let bounds = healed[0]["probe"]["effect"]["links"].as_object().unwrap();
    let seen = bounds.values().flat_map(|bounds| bounds.as_array().unwrap());
    assert!(seen.clone().count() > 0);
    assert!(
        seen.clone()
            .all(|bound| bound["least"] == 10_000 && bound["seen"].as_u64().unwrap() >= 10_000),
        "a healed link is as slow as its latency: {bounds:?}"
    );
}
