//! The main job, end to end, as a user types it: real nodes, real faults, the verdict and the exit code.
//!
//! Runs share the machine's cores, so they take turns; what is asserted never depends on how fast they are.

mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::{exit_code, sandbox_or_skip};

#[test]
fn a_strict_quorum_under_every_fault_is_valid_and_judged_alike_again() {
    let Some(squall) = sandbox_or_skip() else { return };
    let run = squall.run(&["run", "--seed", "7", "--time", "8s"]);
    assert_eq!(exit_code(&run), 0, "{}", run.text());
    assert!(
        run.stderr.lines().next().is_some_and(|line| line == "seed 7"),
        "the seed comes first: {}",
        run.stderr
    );
    assert!(run.stdout.contains("VALID"), "{}", run.stdout);
    let folder = squall.latest();
    let history = fs::read_to_string(folder.join("history.jsonl")).expect("the run left a history");
    for kind in ["partition", "kill", "pause"] {
        assert!(history.contains(&format!(r#""f":"{kind}""#)), "{kind} was injected");
    }
    let checked = squall.run(&["check", "latest"]);
    assert_eq!(
        (exit_code(&checked), checked.stdout.contains("VALID")),
        (0, true),
        "{}",
        checked.text()
    );
    let bare = squall.run(&["check", &folder.join("history.jsonl").display().to_string()]);
    assert_eq!(exit_code(&bare), 0, "{}", bare.text());
    assert!(
        bare.stdout.contains("trace"),
        "a bare file says that the traces were not judged: {}",
        bare.stdout
    );
    let trace = folder.join("nodes/n1/trace.jsonl");
    let told = fs::read_to_string(&trace).expect("n1 wrote a trace");
    fs::write(&trace, told.replace(r#""value_id":""#, r#""value_id":"other than "#)).expect("the trace can be changed");
    let lied = squall.run(&["check", "latest"]);
    assert_eq!(
        (exit_code(&lied), lied.stdout.contains("stands for two values")),
        (1, true),
        "{}",
        lied.text()
    );
    fs::remove_file(&trace).expect("the trace can be removed");
    let missed = squall.run(&["check", "latest"]);
    assert_eq!(
        (exit_code(&missed), missed.stdout.contains("the trace of n1 is missing")),
        (2, true),
        "{}",
        missed.text()
    );
}

#[test]
fn one_reply_and_one_acknowledgement_are_too_few_and_a_small_witness_shows_it() {
    let Some(squall) = sandbox_or_skip() else { return };
    let run = squall.run(&["run", "quorum", "--r", "1", "--w", "1", "--seed", "7", "--time", "8s"]);
    assert_eq!(exit_code(&run), 1, "{}", run.text());
    assert!(run.stdout.contains("INVALID"), "{}", run.stdout);
    let folder = squall.latest();
    let witness = fs::read(folder.join("witness.txt")).expect("a violation leaves a witness");
    let lines = fs::read_to_string(folder.join("witness.jsonl")).expect("a violation leaves a witness history");
    let operations = lines.lines().filter(|line| line.contains(r#""type":"invoke""#)).count();
    assert!((2..=6).contains(&operations), "{lines}");
    let alone = squall.run(&["check", &folder.join("witness.jsonl").display().to_string()]);
    assert_eq!(exit_code(&alone), 1, "the witness breaks the rule by itself: {}", alone.text());
    let again = squall.run(&["check", "latest"]);
    assert_eq!(exit_code(&again), 1, "{}", again.text());
    assert_eq!(fs::read(folder.join("witness.txt")).expect("the witness is there again"), witness);
}

#[test]
fn versions_of_the_coordinators_own_lose_updates() {
    let Some(squall) = sandbox_or_skip() else { return };
    let run = squall.run(&[
        "run",
        "--versions",
        "coordinator-local",
        "--faults",
        "none",
        "--seed",
        "3",
        "--time",
        "4s",
    ]);
    assert_eq!(exit_code(&run), 1, "{}", run.text());
}

#[test]
fn wall_clock_versions_lose_updates_as_soon_as_clocks_differ_and_not_before() {
    let Some(squall) = sandbox_or_skip() else { return };
    let same = ["run", "--versions", "wall-clock", "--faults", "none", "--seed", "5", "--time", "4s"];
    let agreed = squall.run(&same);
    assert_eq!(exit_code(&agreed), 0, "{}", agreed.text());
    let differing = squall.run(&[&same[..], &["--clock-offset", "n2=400", "--clock-offset", "n4=-400"]].concat());
    assert_eq!(exit_code(&differing), 1, "{}", differing.text());
}

#[test]
fn killing_the_controller_at_any_moment_leaves_nothing_behind() {
    let Some(squall) = sandbox_or_skip() else { return };
    let before = common::host();
    for delay_ms in [3, 10, 25, 60, 120, 400, 1_500, 3_000] {
        let mut child = squall.spawn(&["run", "--seed", "1", "--time", "6s"]);
        std::thread::sleep(Duration::from_millis(delay_ms));
        child.kill().expect("the controller can be killed");
        child.wait().expect("the controller can be reaped");
        let deadline = Instant::now() + Duration::from_secs(5);
        while !squall.processes().is_empty() {
            assert!(
                Instant::now() < deadline,
                "killed after {delay_ms} ms, still there: {:?}",
                squall.processes()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    assert_eq!(common::host(), before);
}

#[test]
fn ctrl_c_ends_in_order_and_the_prefix_is_judged() {
    let Some(squall) = sandbox_or_skip() else { return };
    let child = squall.spawn(&["run", "--seed", "2", "--time", "30s"]);
    squall.wait_for("the storm", || {
        fs::read_to_string(squall.latest().join("history.jsonl")).is_ok_and(|text| text.contains(r#""name":"storm""#))
    });
    common::interrupt(&child);
    let run = common::finish(child);
    assert_eq!(exit_code(&run), 130, "{}", run.text());
    let checked = squall.run(&["check", "latest"]);
    assert_eq!(exit_code(&checked), 130, "{}", checked.text());
    assert!(squall.processes().is_empty());
}

#[test]
fn a_plan_can_be_printed_changed_and_run() {
    let Some(squall) = sandbox_or_skip() else { return };
    let plan = squall.run(&["plan", "--seed", "9", "--time", "4s", "--faults", "pause"]);
    assert_eq!(exit_code(&plan), 0, "{}", plan.text());
    let path = squall.folder().join("plan.json");
    fs::write(&path, &plan.stdout).expect("the plan can be saved");
    let run = squall.run(&["run", "--plan", &path.display().to_string()]);
    assert_eq!(exit_code(&run), 0, "{}", run.text());
    let kept = fs::read_to_string(squall.latest().join("plan.json")).expect("the run keeps its plan");
    assert_eq!(kept, plan.stdout);
}

#[test]
fn many_runs_stop_at_the_first_violation() {
    let Some(squall) = sandbox_or_skip() else { return };
    let broken = [
        "run",
        "--versions",
        "coordinator-local",
        "--faults",
        "none",
        "--time",
        "3s",
        "--seed",
        "4",
        "--runs",
        "5",
    ];
    let run = squall.run(&broken);
    assert_eq!(exit_code(&run), 1, "{}", run.text());
    assert!(
        run.stderr.contains("run 1 of 5") && !run.stderr.contains("run 5 of 5"),
        "{}",
        run.text()
    );
}

#[test]
fn etcd_keeps_its_promise_for_linearizable_reads_and_breaks_it_for_serializable_ones() {
    let Some(squall) = sandbox_or_skip() else { return };
    if !common::have("etcd") {
        return common::skip("etcd is not installed (Debian: apt-get install etcd-server)");
    }
    let strict = squall.run(&["run", "etcd", "--faults", "partition,kill", "--seed", "7", "--time", "12s"]);
    assert_eq!(exit_code(&strict), 0, "{}", strict.text());
    let loose = squall.run(&[
        "run",
        "etcd",
        "--serializable",
        "--faults",
        "partition",
        "--seed",
        "7",
        "--time",
        "12s",
    ]);
    assert_eq!(exit_code(&loose), 1, "{}", loose.text());
}

#[test]
fn a_run_says_what_it_will_do_before_and_leaves_the_report_of_the_machine() {
    let Some(squall) = sandbox_or_skip() else { return };
    let run = squall.run(&["run", "--faults", "none", "--seed", "6", "--time", "2s"]);
    assert_eq!(exit_code(&run), 0, "{}", run.text());
    let report = fs::read_to_string(squall.latest().join("doctor.json")).expect("every run stores the report");
    assert!(report.contains("\"findings\""), "{report}");
}
