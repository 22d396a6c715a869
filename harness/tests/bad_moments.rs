//! Bad moments of a run: a node that dies by itself, one that never becomes ready, a full disk. Each has its own verdict and shows the place.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use common::{Said, Squall, exit_code, finish, sandbox_or_skip, skip};

/// Runs the program with an `etcd` of our own making first in its `PATH`.
fn run_with_etcd(squall: &Squall, script: &str, args: &[&str]) -> Said {
    let folder = squall.folder().join("bin");
    fs::create_dir_all(&folder).expect("a folder for the script");
    let path = folder.join("etcd");
    fs::write(
        &path,
        format!("#!/bin/sh\n[ \"$1\" = --version ] && echo 'etcd Version: 3.4.23' && exit 0\n{script}\n"),
    )
    .expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("an executable script");
    let search = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    finish(squall.spawn_with(args, &[("PATH", &search)]))
}

/// A plan whose nodes must be ready within a second, so that the tests need not wait.
fn impatient_plan(squall: &Squall) -> String {
    let plan = squall.run(&["plan", "etcd", "--faults", "none", "--seed", "1", "--time", "2s"]);
    assert_eq!(exit_code(&plan), 0, "{}", plan.text());
    let path = squall.folder().join("impatient.json");
    fs::write(&path, plan.stdout.replace("\"start_bound_ms\": 15000", "\"start_bound_ms\": 1000")).expect("a plan");
    assert!(fs::read_to_string(&path).expect("the plan").contains("\"start_bound_ms\": 1000"));
    path.display().to_string()
}

#[test]
fn a_node_that_never_becomes_ready_is_the_harness_error_and_shows_its_log() {
    let Some(squall) = sandbox_or_skip() else { return };
    let plan = impatient_plan(&squall);
    let said = run_with_etcd(&squall, "echo I am waiting for a sign; exec sleep 600", &["run", "--plan", &plan]);
    assert_eq!(exit_code(&said), 255, "{}", said.text());
    assert!(said.stdout.contains("I am waiting for a sign"), "the log's tail: {}", said.text());
    assert_eq!(exit_code(&squall.run(&["check", "latest"])), 255);
    assert!(squall.processes().is_empty());
}

#[test]
fn a_node_that_ends_at_the_start_shows_why() {
    let Some(squall) = sandbox_or_skip() else { return };
    let plan = impatient_plan(&squall);
    let said = run_with_etcd(&squall, "echo cannot bind my soul >&2; exit 7", &["run", "--plan", &plan]);
    assert!([1, 255].contains(&exit_code(&said)), "{}", said.text());
    assert!(
        said.stdout.contains("cannot bind my soul") && said.stdout.contains("exit status 7"),
        "{}",
        said.text()
    );
}

#[test]
fn a_node_that_dies_by_itself_is_a_crash_with_its_log() {
    let Some(squall) = sandbox_or_skip() else { return };
    let child = squall.spawn(&["run", "--faults", "none", "--seed", "4", "--time", "5s"]);
    squall.wait_for("the load", || {
        fs::read_to_string(squall.latest().join("history.jsonl")).is_ok_and(|text| text.contains(r#""name":"warm-up""#))
    });
    let node = format!("--data {}", squall.latest().join("nodes/n2/data").display());
    squall.wait_for("node n2", || kill_process(&node));
    let said = finish(child);
    assert_eq!(exit_code(&said), 1, "{}", said.text());
    assert!(
        said.stdout.contains("crash") && said.stdout.contains("n2") && said.stdout.contains("SIGKILL"),
        "{}",
        said.text()
    );
    assert_eq!(exit_code(&squall.run(&["check", "latest"])), 1);
}

/// Kills the node process whose command line contains `words`, but not those that stand above it.
fn kill_process(words: &str) -> bool {
    let found = fs::read_dir("/proc")
        .expect("/proc can be read")
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            let line = fs::read(path.join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.contains(words) && line.contains(" node quorum ")
        });
    let Some(pid) = found.and_then(|path| path.file_name()?.to_str()?.parse().ok()) else {
        return false;
    };
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).is_ok()
}

#[test]
fn a_full_disk_ends_the_run_and_the_prefix_is_judged() {
    let Some(squall) = sandbox_or_skip() else { return };
    if !common::have("unshare") {
        return skip("`unshare` (util-linux) is not installed");
    }
    let small = squall.folder().join("small");
    fs::create_dir(&small).expect("a folder");
    let script = format!(
        "mount -t tmpfs -o size=4m tmpfs {small} && {squall} run --faults none --seed 5 --time 20s --out {small}; echo run $?; \
         {squall} check {small}/latest; echo check $?",
        small = small.display(),
        squall = Path::new(env!("CARGO_BIN_EXE_squall")).display(),
    );
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .output()
        .expect("unshare runs");
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("run 255") && text.contains("check 255"), "{text}");
    assert!(text.contains("full") || text.contains("No space left"), "{text}");
    assert!(!text.contains("INVALID"), "a full disk is not the system's fault: {text}");
}
