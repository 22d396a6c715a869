//! `--stop-on-violation`, end to end: it stops, it freezes, it lets a person in, and it changes no verdict.

mod common;

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Squall, exit_code, sandbox_or_skip};
use nix::pty::openpty;

/// A store that loses updates within a fraction of a second.
const BROKEN: [&str; 8] = [
    "run",
    "--versions",
    "coordinator-local",
    "--stop-on-violation",
    "--time",
    "30s",
    "--seed",
    "3",
];

/// The nodes of such a run.
const NODES: [&str; 5] = ["n1", "n2", "n3", "n4", "n5"];

#[test]
fn stops_at_the_first_violation_and_leaves_what_a_person_needs() {
    let Some(squall) = sandbox_or_skip() else { return };
    let host = common::host();
    let began = Instant::now();
    let run = squall.run(&[&BROKEN[..], &["--hold", "10m"]].concat());
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "nobody reads, so nobody is waited for: {}",
        run.text()
    );
    assert_eq!(exit_code(&run), 1, "{}", run.text());
    assert!(run.stdout.contains("stopped at the first violation seen online"), "{}", run.stdout);
    let folder = squall.latest();
    assert!(folder.join("witness.txt").exists());
    let history = fs::read_to_string(folder.join("history.jsonl")).expect("the run left a history");
    assert!(history.contains(r#""reason":"violation""#), "the end says why");
    for node in NODES {
        let frozen = |line: &&str| line.contains(r#""f":"frozen""#) && line.contains(&format!(r#""node":"{node}","ok":true"#));
        assert_eq!(history.lines().filter(frozen).count(), 1, "{node} was frozen once");
        let status = fs::read_to_string(folder.join("nodes").join(node).join("status.json")).expect("each node's status is saved");
        assert!(status.contains(r#""answered": true"#), "{status}");
    }
    assert!(seen_after_ms(&history) < 1_000, "{history}");
    let again = squall.run(&["check", "latest"]);
    assert_eq!(exit_code(&again), 1, "{}", again.text());
    assert_eq!(squall.processes(), Vec::<String>::new());
    assert_eq!(common::host(), host);
}

/// From the completion that made the violation certain to the report of it.
fn seen_after_ms(history: &str) -> u64 {
    let line = history
        .lines()
        .find(|line| line.contains(r#""f":"violation""#))
        .expect("it was seen");
    let event: serde_json::Value = serde_json::from_str(line).expect("each line is an event");
    let time_ns = |value: &serde_json::Value| value.as_u64().expect("a time");
    (time_ns(&event["time"]) - time_ns(&event["value"]["completed_ns"])) / 1_000_000
}

/// R22: a snapshot claims one entry more than it holds. A node that installs one breaks a rule on traces, mostly before any client
/// can see it.
const SNAPSHOTS: [&str; 11] = [
    "run",
    "raft",
    "--bug",
    "R22",
    "--snapshot-every",
    "50",
    "--stop-on-violation",
    "--time",
    "60s",
    "--seed",
    "3",
];

#[test]
fn a_trace_rule_that_is_broken_stops_the_run_and_the_judge_confirms_it() {
    let Some(squall) = sandbox_or_skip() else { return };
    let run = squall.run(&[&SNAPSHOTS[..], &["--hold", "10m"]].concat());
    assert_eq!(exit_code(&run), 1, "{}", run.text());
    assert!(
        run.stdout.contains("stopped at the first violation seen online, of trace T"),
        "{}",
        run.stdout
    );
    assert!(run.stderr.contains("; seen online "), "{}", run.text());
    let folder = squall.latest();
    let history = fs::read_to_string(folder.join("history.jsonl")).expect("the run left a history");
    let events = || {
        history
            .lines()
            .map(|line| serde_json::from_str(line).expect("each line is an event"))
    };
    let of = |f: &'static str| events().filter(move |event: &serde_json::Value| event["f"] == f);
    let seen = of("violation").next().expect("it was seen");
    let rule = seen["value"]["rule"].as_str().expect("a rule on traces").to_owned();
    let verdict = fs::read_to_string(folder.join("verdict.json")).expect("the run was judged");
    let verdict: serde_json::Value = serde_json::from_str(&verdict).expect("a verdict is JSON");
    let confirmed = |finding: &serde_json::Value| finding["rule"] == rule && finding["verdict"] == "invalid";
    let findings = verdict["findings"].as_array().expect("a verdict has findings");
    assert!(findings.iter().any(confirmed), "{rule}: {findings:?}");
    assert_eq!(of("end").next().expect("it ended")["value"]["reason"], "violation");
    assert_eq!(
        of("frozen").filter(|event| event["value"]["ok"] == true).count(),
        3,
        "every node was frozen"
    );
    let is_after = |event: serde_json::Value| event["value"]["name"] == "recovery";
    assert!(!of("phase").any(is_after), "the storm was not played to its end");
    assert!(folder.join("spacetime.html").exists());
    assert_eq!(exit_code(&squall.run(&["check", "latest"])), 1);
    let bare = squall.folder().join("bare.jsonl");
    fs::write(&bare, &history).expect("the folder is ours");
    let alone = squall.run(&["check", bare.to_str().expect("a path of ours")]);
    assert_eq!(exit_code(&alone), 2, "the traces are not there: {}", alone.text());
    assert_eq!(squall.processes(), Vec::<String>::new());
}

#[test]
fn a_valid_raft_run_that_is_watched_stays_valid() {
    let Some(squall) = sandbox_or_skip() else { return };
    let run = squall.run(&["run", "raft", "--stop-on-violation", "--seed", "7", "--time", "8s"]);
    assert_eq!(exit_code(&run), 0, "{}", run.text());
    let folder = squall.latest();
    let history = fs::read_to_string(folder.join("history.jsonl")).expect("the run left a history");
    assert!(
        !history.contains(r#""f":"not-checked-online""#),
        "every trace was followed while it ran"
    );
    let log = fs::read_to_string(folder.join("squall.log")).expect("the run has a log");
    let asked = log
        .lines()
        .find(|line| line.contains("trace rules asked online"))
        .expect("the watch ended");
    assert!(!asked.contains("events=0"), "{asked}");
}

#[test]
fn a_valid_run_that_is_watched_stays_valid_and_whole() {
    let Some(squall) = sandbox_or_skip() else { return };
    let run = squall.run(&["run", "--stop-on-violation", "--seed", "7", "--time", "8s"]);
    assert_eq!(exit_code(&run), 0, "{}", run.text());
    let history = fs::read_to_string(squall.latest().join("history.jsonl")).expect("the run left a history");
    assert!(history.contains(r#""reason":"complete""#));
    assert!(
        !history.contains(r#""f":"not-checked-online""#),
        "every key was checked while it ran"
    );
}

#[test]
fn the_plan_is_the_same_with_and_without_the_watch() {
    let Some(squall) = sandbox_or_skip() else { return };
    squall.run(&BROKEN);
    let watched = fs::read_to_string(squall.latest().join("plan.json")).expect("the run keeps its plan");
    let plan = squall.run(&["plan", "--versions", "coordinator-local", "--time", "30s", "--seed", "3"]);
    assert_eq!(plan.stdout, watched);
}

#[test]
fn many_runs_stop_at_the_first_violation_of_the_first_broken_one() {
    let Some(squall) = sandbox_or_skip() else { return };
    let run = squall.run(&[&BROKEN[..], &["--runs", "5"]].concat());
    assert_eq!(exit_code(&run), 1, "{}", run.text());
    let history = fs::read_to_string(squall.latest().join("history.jsonl")).expect("the run left a history");
    assert!(history.contains(r#""reason":"violation""#));
}

#[test]
fn holds_the_nodes_for_a_person_at_a_terminal_who_can_enter_each_of_them() {
    let Some(squall) = sandbox_or_skip() else { return };
    if !common::have("nsenter") {
        return common::skip("nsenter is not installed (Debian: apt-get install util-linux)");
    }
    let (mut child, screen) = on_a_terminal(&squall, &[&BROKEN[..], &["--hold", "10m"]].concat());
    squall.wait_for("the commands", || text(&screen).contains("ctrl-C goes on"));
    let shown = text(&screen);
    for node in NODES {
        let command = shown
            .lines()
            .find_map(|line| line.trim().strip_prefix(&format!("{node}: ")))
            .unwrap_or_else(|| panic!("no way into {node}: {shown}"));
        // What the node is called inside, and whether its own process is stopped.
        let inside = format!("{command} -c 'hostname; grep -h ^State: /proc/[0-9]*/status'");
        let said = Command::new("sh").args(["-c", &inside]).output().expect("a shell can be started");
        let stdout = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(
            said.status.success(),
            "`{command}`: {stdout}{}",
            String::from_utf8_lossy(&said.stderr)
        );
        assert_eq!(stdout.lines().next(), Some(node), "{stdout}");
        assert!(stdout.contains("T (stopped)"), "{stdout}");
    }
    assert_eq!(child.try_wait().expect("it can be looked at"), None, "it waits");
    common::interrupt(&child);
    let status = child.wait().expect("it can be awaited");
    assert_eq!(status.code(), Some(1), "{}", text(&screen));
    assert_eq!(squall.processes(), Vec::<String>::new());
}

#[test]
fn the_hold_ends_by_itself() {
    let Some(squall) = sandbox_or_skip() else { return };
    let (mut child, screen) = on_a_terminal(&squall, &[&BROKEN[..], &["--hold", "300ms"]].concat());
    let status = child.wait().expect("it can be awaited");
    assert_eq!(status.code(), Some(1), "{}", text(&screen));
    assert!(text(&screen).contains("held for 1 s"), "{}", text(&screen));
}

/// Starts the program with a terminal as its stderr; what is shown there gathers in the text.
fn on_a_terminal(squall: &Squall, args: &[&str]) -> (Child, Arc<Mutex<String>>) {
    let terminal = openpty(None, None).expect("a terminal can be opened");
    let child = squall.spawn_on(args, Stdio::from(terminal.slave));
    let screen = Arc::<Mutex<String>>::default();
    let shown = Arc::clone(&screen);
    let master: OwnedFd = terminal.master;
    // Ends when the program and all it started are gone.
    std::thread::spawn(move || {
        let mut master = fs::File::from(master);
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = master.read(&mut piece) {
            let text = String::from_utf8_lossy(&piece[..length]).into_owned();
            shown.lock().expect("no holder of this lock panics").push_str(&text);
        }
    });
    (child, screen)
}

fn text(screen: &Mutex<String>) -> String {
    screen.lock().expect("no holder of this lock panics").clone()
}
