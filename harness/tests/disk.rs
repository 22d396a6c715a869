//! Faults of disks end to end: proved by bytes, survived by what claims to survive them, and a lie that comes out.

mod common;

use std::fs;

use common::{Squall, disks_or_skip, exit_code};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// What the disk's probe said at each such stage of a kind of fault; all of them have to be proofs.
fn said(squall: &Squall, kind: &str, stage: &str) -> Vec<String> {
    let history = fs::read_to_string(squall.latest().join("history.jsonl")).expect("a history");
    let events = history.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let stages: Vec<Value> = events
        .filter(|event| event["f"] == kind && event["value"]["stage"] == stage)
        .collect();
    assert!(!stages.is_empty(), "{kind} was never {stage}");
    assert!(stages.iter().all(|event| event["value"]["probe"]["ok"] == true), "{stages:?}");
    let said = stages.iter().filter_map(|event| event["value"]["probe"]["disk"]["said"].as_str());
    said.map(str::to_owned).collect()
}

#[test]
fn what_was_acknowledged_survives_power_failures_and_torn_writes() {
    let Some(squall) = disks_or_skip() else { return };
    for system in ["quorum", "raft"] {
        let run = squall.run(&["run", system, "--time", "9s", "--faults", "power,torn", "--seed", "2"]);
        assert_eq!(exit_code(&run), 0, "{}", run.text());
        for text in said(&squall, "power", "probed") {
            assert_eq!(text, "synced bytes are there, bytes that were not synced are gone");
        }
        for text in said(&squall, "torn", "probed") {
            assert!(text.starts_with("synced bytes are there"), "{text}");
        }
        said(&squall, "power", "healed");
        let resolved: Value =
            serde_json::from_str(&fs::read_to_string(squall.latest().join("resolved.json")).expect("it is written")).expect("it is JSON");
        assert_eq!(resolved["disks"], "posix-strict");
        assert!(squall.latest().join("nodes/n1/data/wal").is_file(), "the data is seen outside");
        assert!(!squall.latest().join("disks").exists(), "and once only");
    }
}

#[test]
fn a_node_that_its_disk_fails_may_end_and_is_started_again() {
    let Some(squall) = disks_or_skip() else { return };
    let run = squall.run(&[
        "run",
        "raft",
        "--time",
        "12s",
        "--faults",
        "fsync,eio,enospc,slow-disk",
        "--seed",
        "3",
    ]);
    assert_eq!(exit_code(&run), 0, "{}", run.text());
    assert!(
        said(&squall, "fsync", "probed")
            .iter()
            .all(|text| text.contains("fsync fails (") && text.contains("fsync works"))
    );
    assert!(said(&squall, "eio", "probed").iter().all(|text| text.contains("fails (")));
    assert!(said(&squall, "enospc", "probed").iter().all(|text| text.contains("append fails (")));
    assert!(
        said(&squall, "slow-disk", "probed")
            .iter()
            .all(|text| text.contains("a write took"))
    );
    for kind in ["fsync", "eio", "enospc", "slow-disk"] {
        assert!(said(&squall, kind, "healed").iter().all(|text| !text.contains("fails")), "{kind}");
    }
    let history = fs::read_to_string(squall.latest().join("history.jsonl")).expect("a history");
    let ended = history
        .lines()
        .filter(|line| line.contains(r#""f":"exit""#) && line.contains("exit status"))
        .count();
    assert!(ended > 0, "no node ended by itself of a disk that failed it");
}

#[test]
fn a_disk_that_lies_about_fsync_is_found_out() {
    let Some(squall) = disks_or_skip() else { return };
    let run = squall.run(&["run", "raft", "--time", "9s", "--faults", "lying-fsync", "--seed", "4"]);
    assert_eq!(exit_code(&run), 1, "{}", run.text());
    assert!(run.stdout.contains("INVALID"), "{}", run.text());
    assert!(
        said(&squall, "lying-fsync", "probed")
            .iter()
            .all(|text| text.ends_with("synced bytes are not durable"))
    );
}

#[test]
fn a_disk_without_room_or_rights_or_speed_is_proved_and_survived() {
    let Some(squall) = disks_or_skip() else { return };
    let faults = "disk-full,read-only,disk-rate";
    let run = squall.run(&["run", "raft", "--time", "12s", "--faults", faults, "--seed", "6"]);
    assert_eq!(exit_code(&run), 0, "{}", run.text());
    let refused = |kind: &str, number: i32| {
        let why = std::io::Error::from_raw_os_error(number).to_string();
        let why = why.split(" (").next().expect("a reason").to_owned();
        for text in said(&squall, kind, "probed") {
            for operation in ["overwrite", "append", "create"] {
                assert!(text.contains(&format!("{operation} fails ({why}")), "{kind}: {text}");
            }
            assert!(text.contains("read works"), "{kind}: {text}");
        }
    };
    refused("disk-full", libc::ENOSPC);
    refused("read-only", libc::EROFS);
    assert!(
        said(&squall, "disk-rate", "probed")
            .iter()
            .all(|text| text.contains("a write of") && text.contains(" took "))
    );
    for kind in faults.split(',') {
        assert!(said(&squall, kind, "healed").iter().all(|text| !text.contains("fails")), "{kind}");
    }
}

/// Runs raft with this one fault of n2's disk, and returns the ends of n2's processes by themselves.
fn damage(squall: &Squall, fault: &Value) -> Vec<Value> {
    let plan = squall.run(&["plan", "raft", "--faults", "none", "--seed", "8", "--time", "9s"]);
    let mut plan: Value = serde_json::from_str(&plan.stdout).expect("a plan");
    // A snapshot would replace the damaged log by a new one.
    plan["system"]["raft"]["snapshot_every"] = 1_000_000.into();
    let kind = fault.as_object().and_then(|fault| fault.keys().next()).expect("a kind");
    plan["requested"] = serde_json::json!([kind]);
    plan["schedule"] = serde_json::json!([{"id": 0, "at_ms": 2_000, "for_ms": 1_500, "fault": fault}]);
    let path = squall.folder().join("plan.json");
    fs::write(&path, plan.to_string()).expect("a plan");
    let run = squall.run(&["run", "--plan", &path.display().to_string()]);
    assert_eq!(exit_code(&run), 0, "{}", run.text());
    assert!(run.stdout.contains("outside the declared fault model"), "{}", run.text());
    let history = fs::read_to_string(squall.latest().join("history.jsonl")).expect("a history");
    let events = history.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let exits = events.filter(|event| event["f"] == "exit" && event["value"]["node"] == "n2");
    exits
        .map(|event| event["value"].clone())
        .filter(|exit| exit["status"].as_str().is_some_and(|status| status.contains("exit status")))
        .collect()
}

#[test]
fn a_rotten_log_is_refused_and_never_served() {
    let Some(squall) = disks_or_skip() else { return };
    let target = serde_json::json!({"node": "n2"});
    let rot = serde_json::json!({"bit-rot": {"target": target, "flips": 40, "seed": 1, "file": "wal"}});
    let exits = damage(&squall, &rot);
    assert!(!exits.is_empty() && exits.iter().all(|exit| exit["expected"] == true), "{exits:?}");
    let log = fs::read_to_string(squall.latest().join("nodes/n2/log.txt")).unwrap_or_default();
    assert!(log.contains("is damaged at byte"), "{log}");
    let text = said(&squall, "bit-rot", "probed").remove(0);
    assert!(
        text.ends_with("; a read saw 1 flipped bit of the probe's; 40 bits of the node's flipped"),
        "{text}"
    );
}

#[test]
fn a_log_whose_writes_went_elsewhere_is_refused() {
    let Some(squall) = disks_or_skip() else { return };
    let target = serde_json::json!({"node": "n2"});
    let exits = damage(
        &squall,
        &serde_json::json!({"misdirected-write": {"target": target, "every": 5, "seed": 2}}),
    );
    assert!(!exits.is_empty() && exits.iter().all(|exit| exit["expected"] == true), "{exits:?}");
    let text = said(&squall, "misdirected-write", "probed").remove(0);
    assert!(text.ends_with("a write lands elsewhere"), "{text}");
}

#[test]
fn nothing_is_left_of_disks_when_the_controller_is_killed() {
    let Some(squall) = disks_or_skip() else { return };
    let mut run = squall.spawn(&["run", "quorum", "--time", "30s", "--faults", "torn,slow-disk", "--seed", "5"]);
    let applied =
        || fs::read_to_string(squall.latest().join("history.jsonl")).is_ok_and(|history| history.contains(r#""stage":"applied""#));
    squall.wait_for("a fault in force", applied);
    kill(Pid::from_raw(run.id().cast_signed()), Signal::SIGKILL).expect("it runs");
    run.wait().expect("it can be awaited");
    squall.wait_for("the end of all processes", || squall.processes().is_empty());
    let mounts = fs::read_to_string("/proc/self/mounts").expect("it can be read");
    assert!(!mounts.contains("fuse.squall"), "{mounts}");
}
