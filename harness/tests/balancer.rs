//! Runs behind a balancer, and runs above an overlay: what clients and faults see of them.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "part of tests, though outside a #[test]")]

mod common;

use common::{Said, sandbox_or_skip};
use serde_json::Value;

fn lines(path: &std::path::Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Whether the machine lacks a piece that only this needs; the run says which.
fn lacks(said: &Said, piece: &str) -> bool {
    let missing = said.status.code() == Some(255) && said.stderr.contains(piece);
    if missing {
        common::skip(&said.stderr);
    }
    missing
}

#[test]
fn clients_behind_a_balancer_reach_all_nodes_and_its_faults_bite_and_heal() {
    let Some(squall) = sandbox_or_skip() else { return };
    let said = squall.run(&["run", "--lb", "--faults", "lb-flush,lb-ports", "--time", "9s", "--seed", "3"]);
    if lacks(&said, "no way to balance by NAT works here") {
        return;
    }
    assert_eq!(said.status.code(), Some(0), "{}", said.text());
    assert!(
        said.stdout.contains("behind a balancer") && said.stdout.contains("all seen to bite, all healed"),
        "{}",
        said.stdout
    );

    let history = lines(&squall.latest().join("history.jsonl"));
    let of_clients = history.iter().filter(|line| line["type"] == "invoke");
    let during = of_clients.clone().filter(|line| line["node"] == "lb").count();
    let direct = of_clients.filter(|line| line["node"] != "lb").count();
    assert!(
        during > 500 && direct > 0,
        "{during} by the balancer, {direct} final reads of the nodes themselves"
    );
    let faults: Vec<&Value> = history
        .iter()
        .filter(|line| line["process"] == "nemesis")
        .map(|line| &line["value"])
        .collect();
    for (stage, kind) in [
        ("probed", "lb-flush"),
        ("healed", "lb-flush"),
        ("probed", "lb-ports"),
        ("healed", "lb-ports"),
    ] {
        let proofs = history.iter().filter(|line| line["f"] == kind && line["value"]["stage"] == stage);
        let proofs: Vec<&Value> = proofs.map(|line| &line["value"]["probe"]).collect();
        assert!(
            !proofs.is_empty() && proofs.iter().all(|proof| proof["ok"] == true),
            "{kind} {stage}: {faults:?}"
        );
        assert!(
            proofs.iter().all(|proof| !proof["balancer"]["seen"].as_array().unwrap().is_empty()),
            "{proofs:?}"
        );
    }
    // Every node coordinated something: the balancer takes them in turn.
    for node in ["n1", "n2", "n3", "n4", "n5"] {
        let trace = std::fs::read_to_string(squall.latest().join("nodes").join(node).join("trace.jsonl")).unwrap();
        assert!(trace.contains("\"kind\":\"assign\""), "{node} got no connection");
    }
}

#[test]
fn a_lost_rack_is_lost_for_clients_behind_a_balancer_too() {
    let Some(squall) = sandbox_or_skip() else { return };
    let said = squall.run(&[
        "run",
        "--topology",
        "3x2",
        "--lb",
        "--faults",
        "rack-down",
        "--time",
        "8s",
        "--seed",
        "4",
    ]);
    if lacks(&said, "no way to balance by NAT works here") {
        return;
    }
    assert_eq!(said.status.code(), Some(0), "{}", said.text());
    assert!(said.stdout.contains("all seen to bite, all healed"), "{}", said.stdout);
}

#[test]
fn nodes_above_an_overlay_are_cut_off_by_cuts_below_it() {
    let Some(squall) = sandbox_or_skip() else { return };
    let args = "run --topology 3x1 --overlay vxlan --faults partition,rack-down --time 8s --seed 5";
    let said = squall.run(&args.split(' ').collect::<Vec<_>>());
    if lacks(&said, "VXLAN") {
        return;
    }
    assert_eq!(said.status.code(), Some(0), "{}", said.text());
    assert!(
        said.stdout.contains(", VXLAN") && said.stdout.contains("all seen to bite, all healed"),
        "{}",
        said.stdout
    );
    let command = std::fs::read_to_string(squall.latest().join("nodes/n2/command.txt")).unwrap();
    assert!(command.contains("--listen 100.64.0.2:"), "{command}");
}

#[test]
fn what_does_not_go_together_is_refused_in_a_sentence() {
    let Some(squall) = sandbox_or_skip() else { return };
    for (args, words) in [
        ("--faults lb-flush", "put one in front of the nodes by `--lb`"),
        ("--lb --network switch", "it is NAT of the kernel"),
        ("--lb --pcap", "leave out `pcap`"),
        (
            "--lb --faults delay,kill,loss",
            "behind it links can be cut here, by `partition`, and not made bad in other ways, so leave out delay, loss;",
        ),
        (
            "--lb --network kernel --faults delay",
            "behind it links can be cut here, by `partition`,",
        ),
        ("--overlay vxlan --network switch", "a device of the kernel's network"),
        ("--overlay vxlan --faults reset", "below it links can be cut here, by `partition`,"),
        ("--overlay gre", "invalid value 'gre'"),
        ("--overlay vxlan --lb", "take one of them"),
        (
            "--topology 3x2 --cidr 100.64.0.0/16 --overlay vxlan",
            "take another network below it",
        ),
    ] {
        let all: Vec<&str> = ["run"].into_iter().chain(args.split(' ')).collect();
        let said = squall.run(&all);
        assert_eq!(said.status.code(), Some(254), "{args}: {}", said.text());
        assert!(said.stderr.contains(words), "{args}: {}", said.stderr);
    }
}
