//! Clock faults, end to end: stores that do not rely on the wall clock stay valid, those that do are found out, and every clock is seen to be wrong
//! and right again, by the node's own answer where it gives one.
#![cfg(target_arch = "x86_64")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::{Squall, exit_code, finish, sandbox_or_skip, skip};
use serde_json::{Value, json};

/// The values of all lines of the newest history that have this `f`.
fn values(squall: &Squall, f: &str) -> Vec<Value> {
    let history = fs::read_to_string(squall.latest().join("history.jsonl")).expect("the run left a history");
    let lines = history
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a history is JSON lines"));
    lines.filter(|line| line["f"] == f).map(|line| line["value"].clone()).collect()
}

/// What the probes of this stage saw of clocks.
fn seen(squall: &Squall, stage: &str) -> Vec<Value> {
    let stages = values(squall, "clock").into_iter().filter(|value| value["stage"] == stage);
    stages.map(|value| value["probe"]["clock"].clone()).collect()
}

/// The host's wall clock less its monotonic one, in ns: changes if somebody sets it.
fn host_clock_ns() -> i64 {
    let ns = |clock| {
        let now = rustix::time::clock_gettime(clock);
        now.tv_sec * 1_000_000_000 + now.tv_nsec
    };
    ns(rustix::time::ClockId::Realtime) - ns(rustix::time::ClockId::Monotonic)
}

#[test]
fn stores_that_ask_no_clock_are_valid_while_clocks_are_wrong_and_the_hosts_is_right() {
    let Some(squall) = sandbox_or_skip() else { return };
    let host_ns = host_clock_ns();
    for system in ["quorum", "raft"] {
        let run = squall.run(&["run", system, "--faults", "clock", "--seed", "7", "--time", "8s"]);
        assert_eq!(exit_code(&run), 0, "{}", run.text());
        assert!(!run.stdout.contains("note:"), "{}", run.stdout);
        let (bitten, healed) = (seen(&squall, "probed"), seen(&squall, "healed"));
        assert!(bitten.len() >= 3 && healed.len() == bitten.len(), "{bitten:?} {healed:?}");
        for proof in bitten.iter().chain(&healed) {
            assert_eq!((&proof["ok"], &proof["by"]), (&json!(true), &json!("node")), "{proof}");
        }
        let watches = values(&squall, "clock-watch");
        let mut offsets: Vec<u64> = watches.iter().filter_map(|watch| watch["monotonic_offset_s"].as_u64()).collect();
        assert!(
            watches
                .iter()
                .all(|watch| watch["n_past"] == 0 && watch["n_calls"].as_u64() > Some(0)),
            "{watches:?}"
        );
        offsets.dedup();
        assert_eq!(
            offsets.len(),
            watches.len(),
            "each node's monotonic clock began at a time of its own: {offsets:?}"
        );
    }
    let moved_ms = (host_clock_ns() - host_ns).abs() / 1_000_000;
    assert!(moved_ms < 100, "the host's own clock was moved by {moved_ms} ms");
}

#[test]
fn versions_that_are_made_of_the_wall_clock_are_invalid_by_a_fault_outside_their_model() {
    let Some(squall) = sandbox_or_skip() else { return };
    let setting = ["quorum", "--versions", "wall-clock", "--seed", "7"];
    let run = squall.run(&[&["run"], &setting[..], &["--faults", "clock", "--time", "8s"]].concat());
    assert_eq!(exit_code(&run), 1, "{}", run.text());
    assert!(
        run.stdout.contains("note: outside the declared fault model: clock"),
        "{}",
        run.stdout
    );

    let all = squall.run(&[&["plan"], &setting[..], &["--faults", "all", "--time", "70s"]].concat());
    assert!(
        all.stderr.contains("left out fault clock: quorum does not claim to survive it"),
        "{}",
        all.stderr
    );
    let plan: Value = serde_json::from_str(&all.stdout).expect("a plan is JSON");
    let requested = plan["requested"].as_array().expect("a plan requests kinds");
    assert!(
        !requested.contains(&json!("clock")) && requested.contains(&json!("partition")),
        "{requested:?}"
    );
    let sound = squall.run(&["plan", "quorum", "--faults", "all", "--seed", "7", "--time", "70s"]);
    assert!(
        sound.stdout.contains("\"clock\""),
        "who claims any wall clock gets it: {}",
        sound.stdout
    );
}

/// A plan with these injections; they are told when the storm begins.
fn plan(squall: &Squall, system: &str, schedule: impl FnOnce(u64) -> Value) -> PathBuf {
    let text = squall
        .run(&["plan", system, "--faults", "clock", "--seed", "1", "--time", "8s"])
        .stdout;
    let mut plan: Value = serde_json::from_str(&text).expect("a plan is JSON");
    plan["schedule"] = schedule(plan["timing"]["warm_up_ms"].as_u64().expect("a plan has times"));
    let path = squall.folder().join("plan.json");
    fs::write(&path, plan.to_string()).expect("a plan");
    path
}

fn jump(node: &str, offset_ms: i64) -> Value {
    json!({"clock": {"target": {"node": node}, "shape": {"jump": {"offset_ms": offset_ms}}}})
}

#[test]
fn a_node_that_is_killed_comes_back_with_its_clock_as_wrong_as_it_was() {
    let Some(squall) = sandbox_or_skip() else { return };
    let path = plan(&squall, "quorum", |start_ms| {
        json!([
            {"id": 0, "at_ms": start_ms, "for_ms": 4_000, "fault": jump("n1", 3_600_000)},
            {"id": 1, "at_ms": start_ms + 500, "for_ms": 500, "fault": {"kill": {"target": {"node": "n1"}}}},
            {"id": 2, "at_ms": start_ms + 2_500, "for_ms": 800, "fault": jump("n1", 1_000)},
        ])
    });
    let run = squall.run(&["run", "--plan", &path.display().to_string()]);
    assert_eq!(exit_code(&run), 0, "{}", run.text());
    let off_s = |proof: &Value| (proof["off_us"].as_f64().expect("a proof says how far off") / 1e6).round();
    let (bitten, healed) = (seen(&squall, "probed"), seen(&squall, "healed"));
    assert_eq!(bitten.iter().map(off_s).collect::<Vec<_>>(), [3_600.0, 3_601.0], "{bitten:?}");
    assert_eq!(healed.iter().map(off_s).collect::<Vec<_>>(), [3_600.0, 0.0], "{healed:?}");
    assert!(
        bitten.iter().chain(&healed).all(|proof| proof["by"] == "node"),
        "{bitten:?} {healed:?}"
    );
}

/// A script in place of etcd that starts the real one at last; the folder to look it up in. `None` without etcd.
fn wrapped_etcd(squall: &Squall, before: &str) -> Option<PathBuf> {
    let etcd = Path::new("/usr/bin/etcd");
    if !etcd.exists() {
        skip("there is no /usr/bin/etcd");
        return None;
    }
    let bin = squall.folder().join("bin");
    fs::create_dir_all(&bin).expect("a folder");
    let script = bin.join("etcd");
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && exec {0} --version\n{before}\nexec {0} \"$@\"\n",
        etcd.display()
    );
    fs::write(&script, text).expect("a script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("an executable script");
    Some(bin)
}

/// Two jumps: of an hour, which shows in whole seconds, and of a millisecond, which does not.
fn run_etcd(squall: &Squall, bin: &Path) -> common::Said {
    let plan = plan(squall, "etcd", |start_ms| {
        json!([
            {"id": 0, "at_ms": start_ms, "for_ms": 2_000, "fault": jump("n2", 3_600_000)},
            {"id": 1, "at_ms": start_ms + 500, "for_ms": 2_000, "fault": jump("n1", 1)},
        ])
    });
    let search = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    finish(squall.spawn_with(&["run", "--plan", &plan.display().to_string()], &[("PATH", &search)]))
}

#[test]
fn a_static_go_database_behind_a_script_tells_of_its_wrong_clock_itself() {
    let Some(squall) = sandbox_or_skip() else { return };
    let Some(bin) = wrapped_etcd(&squall, "/bin/true") else { return };
    let run = run_etcd(&squall, &bin);
    assert_eq!(exit_code(&run), 0, "{}", run.text());
    let bitten = seen(&squall, "probed");
    let by: Vec<&Value> = bitten.iter().map(|proof| &proof["by"]).collect();
    assert_eq!(by, ["node", "proxy"], "{bitten:?}");
    assert!(bitten.iter().all(|proof| proof["ok"] == true), "{bitten:?}");
    assert!(run.stdout.contains("jump n1, by proxy"), "{}", run.stdout);
    // Whole seconds do not tell whether a clock is right again.
    let healed = seen(&squall, "healed");
    assert!(
        healed.iter().all(|proof| proof["ok"] == true && proof["by"] == "proxy"),
        "{healed:?}"
    );
}

#[test]
fn a_node_that_reads_the_clock_past_the_vdso_is_named_and_a_proxy_does_not_speak_for_it() {
    let Some(squall) = sandbox_or_skip() else { return };
    if !Path::new("/usr/bin/perl").exists() {
        return skip("there is no /usr/bin/perl");
    }
    let past = "perl -e '$t = \"\\0\" x 16; for (;;) { syscall(228, 0, $t); select(undef, undef, undef, 0.005) }' &";
    let Some(bin) = wrapped_etcd(&squall, past) else { return };
    let run = run_etcd(&squall, &bin);
    assert!(
        run.stdout
            .contains("n1 reads the clock past the vDSO (`perl`): clock faults do not reach it"),
        "{}",
        run.text()
    );
    assert_eq!(exit_code(&run), 3, "the fault that only a proxy saw proved nothing: {}", run.text());
}

#[test]
fn a_killed_controller_leaves_nothing_of_its_clocks_behind() {
    let Some(squall) = sandbox_or_skip() else { return };
    let before = common::host();
    for delay_ms in [150, 400, 2_500] {
        let mut child = squall.spawn(&["run", "--faults", "clock", "--seed", "1", "--time", "6s"]);
        std::thread::sleep(Duration::from_millis(delay_ms));
        child.kill().expect("the controller can be killed");
        child.wait().expect("the controller can be reaped");
        let deadline = Instant::now() + Duration::from_secs(5);
        while !squall.processes().is_empty() {
            assert!(Instant::now() < deadline, "still there: {:?}", squall.processes());
            std::thread::yield_now();
        }
    }
    assert_eq!(common::host(), before);
}
