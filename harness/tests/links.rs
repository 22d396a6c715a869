//! Faults of links, end to end, as a user types them: on the user-space network, and on the kernel's.

mod common;

use std::fs;
use std::process::Command;

use common::{Said, Squall, exit_code, have, sandbox_or_skip, skip};
use serde_json::{Value, json};

fn switch_or_skip() -> Option<Squall> {
    let squall = sandbox_or_skip()?;
    if let Err(error) = squall_nemeses::switch::may_open() {
        skip(&format!("there is no network `switch` here: {error}"));
        return None;
    }
    Some(squall)
}

/// The stages of faults of one kind, in the latest run's history.
fn stages(squall: &Squall, kind: &str) -> Vec<Value> {
    let history = fs::read_to_string(squall.latest().join("history.jsonl")).expect("the run left a history");
    let lines = history
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON"));
    let of_kind = lines.filter(|line| line["process"] == "nemesis" && line["f"] == kind);
    of_kind.map(|line| line["value"].clone()).collect()
}

fn run_on(squall: &Squall, network: &str, system: &str, faults: &str) -> Said {
    squall.run(&[
        "run",
        system,
        "--seed",
        "7",
        "--time",
        "9s",
        "--faults",
        faults,
        "--network",
        network,
    ])
}

fn valid_under(squall: &Squall, system: &str, faults: &str) {
    let run = run_on(squall, "switch", system, faults);
    is_valid(squall, &run, "network switch", faults);
    for kind in faults.split(',') {
        let stages = stages(squall, kind);
        let applied = stages.iter().find(|stage| stage["stage"] == "applied").expect("it was applied");
        assert_eq!(applied["resolved"]["links"]["back_end"], "switch", "{applied}");
        assert!(applied["resolved"]["links"]["seed"].is_u64(), "{applied}");
    }
    let resolved = resolved(squall);
    assert_eq!(
        (&resolved["network"], &resolved["partitions_by"], &resolved["links_by"]),
        (&json!("switch"), &json!("switch"), &json!("switch"))
    );
}

/// What the latest run made of its plan.
fn resolved(squall: &Squall) -> Value {
    let resolved = fs::read_to_string(squall.latest().join("resolved.json")).expect("the run says what it made of the plan");
    serde_json::from_str(&resolved).expect("it is JSON")
}

/// Whether a run is valid on a network, with every kind of fault seen to bite and to heal; and judged so again.
fn is_valid(squall: &Squall, run: &Said, network: &str, faults: &str) {
    assert_eq!(exit_code(run), 0, "{}", run.text());
    assert!(run.stdout.contains("VALID") && run.stdout.contains(network), "{}", run.stdout);
    assert!(run.stdout.contains("all seen to bite, all healed"), "{}", run.stdout);
    for kind in faults.split(',') {
        let stages = stages(squall, kind);
        for (stage, wanted) in [("probed", true), ("healed", true)] {
            let probed = stages.iter().find(|found| found["stage"] == stage).expect("it was probed");
            assert_eq!(probed["probe"]["ok"], wanted, "{probed}");
        }
    }
    let checked = squall.run(&["check", "latest"]);
    assert_eq!(exit_code(&checked), 0, "{}", checked.text());
}

#[test]
fn a_strict_quorum_is_valid_on_slow_and_lossy_links() {
    let Some(squall) = switch_or_skip() else { return };
    valid_under(&squall, "quorum", "delay,loss,partition");
    let probes = stages(&squall, "loss");
    let probe = probes.iter().find(|stage| stage["stage"] == "probed").expect("it was probed");
    let links = probe["probe"]["effect"]["links"].as_object().expect("each link was looked at");
    for bound in links.values().flat_map(|bounds| bounds.as_array().expect("a list")) {
        let what = bound["what"].as_str().expect("a name");
        let n: u32 = what
            .strip_prefix("lost of ")
            .and_then(|n| n.parse().ok())
            .expect("a count of losses");
        assert!(n >= 1000, "{bound}");
    }
}

#[test]
fn raft_is_valid_while_connections_are_reset_and_links_flap() {
    let Some(squall) = switch_or_skip() else { return };
    valid_under(&squall, "raft", "reset,flapping,duplicate");
}

/// Runs a loss on links that are cut until so many milliseconds before the end of the storm.
fn loss_on_cut_links(squall: &Squall, healed_before_ms: u64) -> Said {
    let drawn = squall.run(&["plan", "--seed", "7", "--time", "6s", "--faults", "partition,loss"]);
    let mut plan: Value = serde_json::from_str(&drawn.stdout).expect("a plan is JSON");
    let timing = |name: &str| plan["timing"][name].as_u64().expect("a number");
    let (storm, cut_ms) = (timing("warm_up_ms"), timing("storm_ms") - healed_before_ms);
    plan["schedule"] = json!([
        {"id": 0, "at_ms": storm, "for_ms": cut_ms, "fault": {"partition": {"shape": {"isolate-one": {"target": {"node": "n1"}}}}}},
        {"id": 1, "at_ms": storm + 1500, "for_ms": 500, "fault": {"loss": {"on": {"links": ["n1>n2"]}, "quality": {"loss_ppm": 100000}}}},
    ]);
    let file = squall.folder().join("plan.json");
    fs::write(&file, plan.to_string()).expect("the plan can be written");
    squall.run(&["run", "--plan", &file.display().to_string()])
}

#[test]
fn a_fault_that_was_never_to_be_seen_proves_nothing() {
    let Some(squall) = switch_or_skip() else { return };
    let run = loss_on_cut_links(&squall, 0);
    assert_eq!(exit_code(&run), 3, "{}", run.text());
    assert!(
        run.stdout.contains("VACUOUS") && run.stdout.contains("another fault cuts all of these links now"),
        "{}",
        run.stdout
    );
}

#[test]
fn the_last_fault_of_its_kind_waits_for_another_one_that_hides_it() {
    let Some(squall) = switch_or_skip() else { return };
    let run = loss_on_cut_links(&squall, 1_500);
    assert_eq!(exit_code(&run), 0, "{}", run.text());
    assert!(
        run.stdout.contains("2 faults: 1 partition, 1 loss; all seen to bite, all healed"),
        "{}",
        run.stdout
    );
}

#[test]
fn bad_links_of_the_kernels_network_are_valid_and_say_what_made_them_so() {
    let Some(squall) = sandbox_or_skip() else { return };
    let faults = "delay,loss,rate,partition";
    let run = run_on(&squall, "kernel", "quorum", faults);
    if exit_code(&run) == 254 {
        assert!(
            run.stderr.contains("cannot be done on the network `kernel` here: "),
            "{}",
            run.stderr
        );
        return skip(run.stderr.lines().last().unwrap_or_default());
    }
    let resolved = resolved(&squall);
    let by = resolved["links_by"].as_str().expect("what makes links bad has a name");
    let shaping = resolved["links"]["shaping"].as_str().expect("it is one of two");
    assert_eq!(
        (&resolved["network"], by.starts_with(shaping)),
        (&json!("kernel"), true),
        "{resolved}"
    );
    is_valid(&squall, &run, &format!("network kernel ({by})"), faults);
    assert!(
        run.stderr.contains("network kernel, links ") && run.stderr.contains(by),
        "{}",
        run.stderr
    );
    for kind in faults.split(',') {
        let stages = stages(&squall, kind);
        let applied = stages.iter().find(|stage| stage["stage"] == "applied").expect("it was applied");
        let links = &applied["resolved"]["links"];
        assert_eq!(
            (&links["shaping"], &links["back_end"]),
            (&json!(shaping), &resolved["partitions_by"])
        );
    }
    let plan = fs::read_to_string(squall.latest().join("plan.json")).expect("a run has a plan");
    let plan: Value = serde_json::from_str(&plan).expect("it is JSON");
    assert_eq!(plan["network"], json!("kernel"), "a replay is on the same network");
}

#[test]
fn resets_and_cuts_of_clients_are_had_on_the_kernels_network() {
    let Some(squall) = sandbox_or_skip() else { return };
    let faults = "reset,mtu,client-cut";
    let run = run_on(&squall, "kernel", "raft", faults);
    if exit_code(&run) == 254 {
        return skip(run.stderr.lines().last().unwrap_or_default());
    }
    is_valid(&squall, &run, "network kernel (", faults);
}

#[test]
fn a_network_that_does_not_exist_is_refused_by_name() {
    let unknown = Squall::new().run(&["run", "--network", "netem"]);
    assert_eq!(exit_code(&unknown), 254, "{}", unknown.text());
    assert!(
        unknown.stderr.contains("`netem` is no network; there are kernel and switch"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn all_means_links_too_but_where_nothing_can_make_them_bad_and_never_a_forgery() {
    let squall = Squall::new();
    let plan_with = |options: &[&str]| -> (Vec<String>, String) {
        let plan = squall.run(&[&["plan", "--seed", "7", "--faults", "all", "--time", "70s"], options].concat());
        let value: Value = serde_json::from_str(&plan.stdout).unwrap_or_else(|_| panic!("a plan: {}", plan.text()));
        (serde_json::from_value(value["requested"].clone()).expect("names"), plan.stderr)
    };
    let delay = "delay".to_owned();
    for network in [&[][..], &["--network", "switch"], &["--network", "kernel"], &["--topology", "3x2"]] {
        let (kinds, said) = plan_with(network);
        assert!(
            kinds.contains(&delay) && kinds.contains(&"partition".to_owned()),
            "{network:?}: {kinds:?}"
        );
        assert!(!kinds.contains(&"corrupt-past-checksum".to_owned()), "{network:?}: {kinds:?}");
        assert!(!said.contains("delay"), "{said}");
    }
    for (options, why) in [
        (
            &["--lb"][..],
            "`balancer`: with it the network `kernel` cuts links and cannot make them bad",
        ),
        (
            &["--overlay", "vxlan"],
            "`overlay`: with it the network `kernel` cuts links and cannot make them bad",
        ),
        (
            &["--topology", "3x2", "--network", "kernel"],
            "`topology`: with it the network `kernel` cuts links and cannot make them bad; `switch` can",
        ),
    ] {
        let (kinds, said) = plan_with(options);
        assert!(!kinds.contains(&delay) && kinds.contains(&"partition".to_owned()), "{kinds:?}");
        let lines: Vec<&str> = said.lines().filter(|line| line.contains("delay")).collect();
        assert!(lines.len() == 1 && lines[0].ends_with(why), "one line of reason: {said}");
    }
}

#[test]
fn who_has_no_tun_gets_a_run_of_all_on_the_kernels_network() {
    let Some(squall) = sandbox_or_skip() else { return };
    if !have("unshare") {
        return skip("unshare is not installed");
    }
    let script = format!(
        "mount -t tmpfs none /dev/net && exec {} run raft --seed 3 --time 9s --faults all",
        env!("CARGO_BIN_EXE_squall")
    );
    // As an ordinary user, who is root of a namespace.
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .current_dir(squall.folder())
        .env("NO_COLOR", "1")
        .output()
        .expect("unshare can be started");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if said.contains("mount: ") {
        return skip(&said);
    }
    // A run this short need not prove anything of each kind; it must not accuse the store, nor fail.
    assert!(matches!(output.status.code(), Some(0 | 2 | 3)), "{said}");
    assert_eq!(resolved(&squall)["network"], json!("kernel"), "{said}");
}

#[test]
fn every_packet_of_a_run_is_written_if_asked() {
    let Some(squall) = switch_or_skip() else { return };
    let run = squall.run(&["run", "--seed", "7", "--time", "2s", "--faults", "none", "--pcap"]);
    assert_eq!(exit_code(&run), 0, "{}", run.text());
    for end in ["n1", "n5", "clients"] {
        let bytes = fs::read(squall.latest().join(format!("pcap/{end}.pcap"))).expect("there is a file");
        // Nanoseconds, little endian; then raw IP, and more than the header.
        assert_eq!((&bytes[..4], bytes[20]), (&[0x4d, 0x3c, 0xb2, 0xa1][..], 101), "{end}");
        assert!(bytes.len() > 10_000, "{end}: {} bytes", bytes.len());
    }
}
