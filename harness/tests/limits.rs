//! Limits on what nodes may use, and faults that beat: seen to bite, seen to heal, and nothing left on the host, however a run ends.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use common::{Squall, exit_code, finish, host, sandbox_or_skip, skip};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// The groups of the test's own runs, by who keeps them. Other tests may make some at the same time.
fn groups(run_folder: &str) -> Vec<PathBuf> {
    let begins = format!("squall-{run_folder}.");
    let is_ours = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&begins));
    host().2.into_iter().filter(is_ours).collect()
}

/// The program, if the machine also takes groups of ours.
fn groups_or_skip() -> Option<Squall> {
    let squall = sandbox_or_skip()?;
    let run = squall.run(&["run", "quorum", "--nodes", "1", "--time", "1s", "--faults", "cpu", "--seed", "1"]);
    if exit_code(&run) != 254 {
        return Some(squall);
    }
    skip(&format!("this machine takes no control groups of ours: {}", run.stderr));
    None
}

fn latest_name(squall: &Squall) -> String {
    let latest = squall.latest();
    latest.file_name().expect("a run has a name").to_string_lossy().into_owned()
}

fn events(squall: &Squall, kind: &str, stage: &str) -> Vec<Value> {
    let history = fs::read_to_string(squall.latest().join("history.jsonl")).expect("a history");
    let lines = history.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|event| event["f"] == kind && event["value"]["stage"] == stage)
        .map(|event| event["value"].clone())
        .collect()
}

fn probes(squall: &Squall, kind: &str, stage: &str) -> Vec<Value> {
    let found = events(squall, kind, stage);
    assert!(!found.is_empty(), "{kind} was never {stage}");
    assert!(found.iter().all(|value| value["probe"]["ok"] == true), "{kind}: {found:?}");
    found.into_iter().map(|value| value["probe"].clone()).collect()
}

#[test]
fn faults_that_beat_come_again_and_again() {
    let Some(squall) = sandbox_or_skip() else { return };
    let run = squall.run(&["run", "raft", "--time", "8s", "--faults", "restart-storm,stutter", "--seed", "3"]);
    // A leader that is killed again and again need not be missed: whatever it proves, it is no violation and no error.
    assert!(matches!(exit_code(&run), 0 | 3), "{}", run.text());
    for kind in ["restart-storm", "stutter"] {
        probes(&squall, kind, "probed");
        let beats: u64 = probes(&squall, kind, "healed")
            .iter()
            .filter_map(|probe| probe["beats"]["bit"].as_u64())
            .sum();
        assert!(beats > 2, "{kind} came {beats} times");
    }
}

#[test]
fn limits_bite_and_heal_and_leave_no_group() {
    let Some(squall) = groups_or_skip() else { return };
    let run = squall.run(&["run", "raft", "--time", "9s", "--faults", "cpu,memory,fd", "--seed", "11"]);
    assert_eq!(exit_code(&run), 0, "{}", run.text());
    let probes = |kind: &str, stage: &str| probes(&squall, kind, stage);
    for probe in probes("cpu", "probed") {
        let (cpu, figure) = (&probe["cpu"], |name: &str| probe["cpu"][name].as_u64().expect("a figure"));
        assert!(figure("throttled") > 0, "{cpu}");
        assert!(
            figure("cpu_us") * 2 < figure("wall_us"),
            "a burner under quota got half a processor: {cpu}"
        );
    }
    for probe in probes("cpu", "healed") {
        assert!(probe["cpu"]["throttled"] == 0 || probe["reason"] == "its node is down", "{probe}");
    }
    for probe in probes("memory", "probed") {
        assert!(probe["memory"]["oom_kills"].as_u64() > Some(0), "{probe}");
    }
    assert!(probes("memory", "healed").iter().all(|probe| probe["launched"] == true));
    for (probe, asked) in probes("fd", "probed").iter().zip(events(&squall, "fd", "asked")) {
        assert_eq!(probe["descriptors"]["spare"], asked["asked"]["fd"]["spare"]);
    }
    probes("fd", "healed");
    let resolved: Value = serde_json::from_slice(&fs::read(squall.latest().join("resolved.json")).expect("resolved.json")).expect("JSON");
    assert!(
        resolved["groups"]["cpu"].is_string() && resolved["groups"]["memory"].is_string(),
        "{resolved}"
    );
    assert_eq!(groups(&latest_name(&squall)), Vec::<PathBuf>::new());
}

#[test]
fn a_killed_controller_leaves_no_group_and_a_killed_keeper_only_until_the_next_run_or_the_doctor() {
    let Some(squall) = groups_or_skip() else { return };
    let start = || {
        let before = latest_name(&squall);
        let child = squall.spawn(&["run", "raft", "--time", "30s", "--faults", "cpu", "--seed", "5"]);
        squall.wait_for("nodes in their groups", || {
            let name = latest_name(&squall);
            name != before && groups(&name).iter().any(|group| group.join("n3/cgroup.procs").exists())
        });
        (child, latest_name(&squall))
    };
    let (mut child, first) = start();
    child.kill().expect("the controller can be killed");
    finish(child);
    squall.wait_for("the keeper to remove the groups", || groups(&first).is_empty());

    let orphan = || {
        let (mut child, name) = start();
        let keeper = groups(&name)[0].file_name().expect("a name").to_string_lossy().into_owned();
        let keeper: i32 = keeper.rsplit('.').next().and_then(|pid| pid.parse().ok()).expect("a pid");
        kill(Pid::from_raw(keeper), Signal::SIGKILL).expect("the keeper can be killed");
        child.kill().expect("the controller can be killed");
        finish(child);
        squall.wait_for("the sandbox to die", || squall.processes().is_empty());
        assert!(!groups(&name).is_empty(), "nobody was left to remove them");
        name
    };
    let second = orphan();
    squall.run(&["run", "quorum", "--nodes", "1", "--time", "1s", "--faults", "cpu", "--seed", "1"]);
    assert_eq!(groups(&second), Vec::<PathBuf>::new());

    let third = orphan();
    let examined = squall.run(&["doctor"]);
    assert_eq!(groups(&third), Vec::<PathBuf>::new());
    let told = examined
        .stdout
        .lines()
        .filter(|line| line.starts_with("removed what a killed run left: "));
    assert_eq!(told.filter(|line| line.contains(&third)).count(), 2, "{}", examined.text());
}

/// Covers the groups' hierarchies in a mount namespace of its own, as a container does.
#[test]
fn what_the_machine_refuses_is_left_out_of_all_and_an_error_if_named() {
    let Some(squall) = sandbox_or_skip() else { return };
    if !nix::unistd::geteuid().is_root() {
        return skip("only root can cover /sys/fs/cgroup to try it");
    }
    let covered = |arguments: &str| {
        let arguments = format!("run quorum --time 3s --seed 1 {arguments}");
        after(&squall, "mount -t tmpfs none /sys/fs/cgroup", &arguments)
    };
    let (code, _, stderr) = covered("--faults cpu,kill");
    assert_eq!(code, Some(254), "{stderr}");
    assert!(stderr.contains("--faults cpu: no control group can limit cpu: mkdir "), "{stderr}");
    assert!(!squall.folder().join("results/latest/history.jsonl").exists());

    let (code, stdout, stderr) = covered("--faults gentle --fault-every 300ms --fault-for 150ms");
    assert!(
        stderr.contains("left out fault cpu: no control group can limit cpu: mkdir "),
        "{stderr}"
    );
    assert!(matches!(code, Some(0 | 3)), "{stdout}{stderr}");
    let resolved: Value = serde_json::from_slice(&fs::read(squall.latest().join("resolved.json")).expect("resolved.json")).expect("JSON");
    let verdict = fs::read_to_string(squall.latest().join("verdict.json")).expect("verdict.json");
    let again = squall.run(&["check", "latest"]).stdout;
    for text in [&stdout, &verdict, &again] {
        assert!(
            text.contains("left out, and so not tested: cpu: no control group can limit cpu: mkdir "),
            "{text}"
        );
    }
    let left_out: BTreeMap<String, String> = serde_json::from_value(resolved["left_out"].clone()).expect("reasons");
    assert_eq!(left_out.keys().collect::<Vec<_>>(), ["cpu"]);
    let header = fs::read_to_string(squall.latest().join("history.jsonl")).expect("a history");
    let header: Value = serde_json::from_str(header.lines().next().expect("a header")).expect("JSON");
    let requested: Vec<String> = serde_json::from_value(header["requested"].clone()).expect("kinds");
    assert!(
        requested.contains(&"stutter".to_owned()) && !requested.contains(&"cpu".to_owned()),
        "{requested:?}"
    );
}

/// Runs the program in a mount namespace of its own, in which a shell did something before.
fn after(squall: &Squall, before: &str, arguments: &str) -> (Option<i32>, String, String) {
    let script = format!("{before} && exec {} {arguments}", env!("CARGO_BIN_EXE_squall"));
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .current_dir(squall.folder())
        .env("NO_COLOR", "1")
        .output()
        .expect("unshare can be started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A green run without a fault would say that a storm was survived.
#[test]
fn a_run_that_would_lose_every_fault_is_a_usage_error_and_never_a_pass() {
    let Some(squall) = sandbox_or_skip() else { return };
    if !nix::unistd::geteuid().is_root() {
        return skip("only root can cover /sys/fs/cgroup and /dev/fuse to try it");
    }
    // A device file on a file system without devices can be seen and not opened.
    let no_disks =
        "mkdir covered && mount -t tmpfs -o nodev none covered && mknod covered/fuse c 10 229 && mount --bind covered/fuse /dev/fuse";
    let run = "run quorum --time 3s --seed 1";
    for runs in ["", "--runs 2"] {
        let (code, stdout, stderr) = after(&squall, no_disks, &format!("{run} --faults disk {runs}"));
        assert_eq!(code, Some(254), "{stdout}{stderr}");
        assert!(
            stderr.contains("--faults disk: this machine can do none of its faults: ") && stderr.contains("no disk of ours"),
            "{stderr}"
        );
        fs::remove_dir(squall.folder().join("covered")).expect("nothing is mounted out here");
    }
    let plan = squall.run(&["plan", "quorum", "--time", "3s", "--seed", "1", "--faults", "cpu"]);
    fs::write(squall.folder().join("cpu.json"), plan.stdout).expect("a plan");
    let (code, stdout, stderr) = after(&squall, "mount -t tmpfs none /sys/fs/cgroup", "run --plan cpu.json");
    assert_eq!(code, Some(254), "{stdout}{stderr}");
    assert!(
        stderr.contains("the plan `cpu.json`: this machine can do none of its faults: cpu: no control group"),
        "{stderr}"
    );
    let (code, stdout, stderr) = after(&squall, no_disks, &format!("{run} --faults none"));
    // A loaded machine may do too little to prove anything.
    assert!(matches!(code, Some(0 | 3)) && stdout.contains("no faults"), "{stdout}{stderr}");
}
