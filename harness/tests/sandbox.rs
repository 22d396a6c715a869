//! What a node sees of the world: its own folder, a clean environment, bare devices, no stray descriptor, no blocked signal.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::{exit_code, finish, sandbox_or_skip};

/// Runs a stand-in for etcd that looks around and writes down what it sees, then ends: its log is what the test reads.
#[test]
fn a_node_is_shut_in() {
    let Some(squall) = sandbox_or_skip() else { return };
    let bin = squall.folder().join("bin");
    fs::create_dir_all(&bin).expect("a folder");
    let script = r#"#!/bin/sh
[ "$1" = --version ] && echo 'etcd Version: 3.4.23' && exit 0
echo "mask $(grep SigBlk /proc/self/status | cut -f2)"
echo "devices $(ls /dev | tr '\n' ' ')"
touch "$HOME/../squall-was-here" 2>/dev/null
for place in / /etc /sys /proc/sys/kernel; do (touch "$place/squall-was-here") 2>/dev/null && echo "wrote $place"; done
(echo squall > /dev/kmsg) 2>/dev/null && echo "wrote kmsg"
for place in "$HOME" "$HOME/data" /tmp /run /dev/shm; do touch "$place/mine" && echo "may $place"; done
tr '\0' '\n' < /proc/1/environ | sed 's/^/init /'
env | sed 's/^/own /'
for fd in /proc/self/fd/*; do echo "fd ${fd##*/}"; done
ps 2>/dev/null; echo "processes $(ls -d /proc/[0-9]* | wc -l)"
exec sleep 600
"#;
    let path = bin.join("etcd");
    fs::write(&path, script).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("an executable script");
    let plan = squall.run(&["plan", "etcd", "--nodes", "1", "--faults", "none", "--seed", "1", "--time", "2s"]);
    let plan_path = squall.folder().join("plan.json");
    fs::write(
        &plan_path,
        plan.stdout.replace("\"start_bound_ms\": 15000", "\"start_bound_ms\": 700"),
    )
    .expect("a plan");
    let search = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let run = finish(squall.spawn_with(
        &["run", "--plan", &plan_path.display().to_string()],
        &[("PATH", &search), ("SECRET_TOKEN", "do-not-show")],
    ));
    assert_eq!(exit_code(&run), 255, "it never becomes ready: {}", run.text());

    let log = fs::read_to_string(squall.latest().join("nodes/n1/log.txt")).expect("the node's log");
    let said: Vec<&str> = log
        .lines()
        .filter_map(|line| line.trim_start().split_once(' ').map(|(_, said)| said))
        .collect();
    let begins = |prefix: &str| said.iter().filter(|line| line.starts_with(prefix)).copied().collect::<Vec<_>>();
    assert_eq!(begins("mask "), ["mask 0000000000000000"], "{log}");
    assert_eq!(
        begins("devices "),
        ["devices fd full null random shm stderr stdin stdout urandom zero"],
        "{log}"
    );
    assert!(begins("wrote ").is_empty(), "{log}");
    // Its folder's neighbours are read-only, or, under /tmp, not there at all: what it writes beside stays in its own scratch space.
    assert!(
        !squall.latest().join("nodes/squall-was-here").exists(),
        "it wrote beside its own folder"
    );
    assert_eq!(begins("may ").len(), 5, "{log}");
    assert!(begins("init ").is_empty(), "its pid 1 has no environment to read: {log}");
    assert!(!log.contains("SECRET_TOKEN"), "{log}");
    let own: Vec<&str> = begins("own ")
        .into_iter()
        .map(|line| line.split('=').next().unwrap_or(line))
        .collect();
    assert!(
        own.iter().all(|name| [
            "own HOME",
            "own LANG",
            "own PATH",
            "own PWD",
            "own _",
            "own OLDPWD",
            "own SHLVL",
            "own ETCD_UNSUPPORTED_ARCH"
        ]
        .contains(name)),
        "{own:?}"
    );
    let descriptors: Vec<&str> = begins("fd ");
    assert!(
        descriptors
            .iter()
            .all(|line| ["fd 0", "fd 1", "fd 2", "fd 3", "fd 10", "fd 255"].contains(line)),
        "the shell's own and no more: {descriptors:?}"
    );
}

#[test]
fn a_binary_replaced_during_a_run_changes_nothing() {
    let Some(squall) = sandbox_or_skip() else { return };
    let copy = squall.folder().join("squall-copy");
    fs::copy(env!("CARGO_BIN_EXE_squall"), &copy).expect("the program can be copied");
    let child = squall.spawn_program(&copy, &["run", "--faults", "kill", "--seed", "1", "--time", "5s"], &[]);
    squall.wait_for("the load", || {
        fs::read_to_string(squall.latest().join("history.jsonl")).is_ok_and(|text| text.contains(r#""name":"warm-up""#))
    });
    fs::remove_file(&copy).expect("the copy can be removed");
    let run = finish(child);
    assert_eq!(exit_code(&run), 0, "{}", run.text());
}
