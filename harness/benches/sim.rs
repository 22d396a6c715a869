//! How many 10-second runs per second and core does the simulator play? Three nodes, the default storm, ten clients.
//!
//! With the word `zoo`, which planted bugs does it find?
//!
//! Wanted: 100 bare and 40 with every rule, at least 500 completed operations in each run (issue 4). Measured in CPU time of this thread, so
//! that a loaded machine shows the same figure.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;

use rustix::time::{ClockId, clock_gettime};
use squall::plan::{self, Bind, Plan, Timing, WorkloadPlan};
use squall::sim::{Judging, Options, SimReport, simulate};
use squall::systems::{SystemPlan, quorum, raft};
use squall::zoo::simulated::tally_all;
use squall_checker::history::operation::Outcome;
use squall_workloads::Options as Load;

const BARE_WANTED_PER_S: f64 = 100.0;
const JUDGED_WANTED_PER_S: f64 = 40.0;
const OPERATIONS_MIN: usize = 500;

/// Seeds of each measurement, unless another number is given: `cargo bench --bench sim -- 10000`.
const SEEDS: u32 = 200;

/// The word that asks for the zoo instead: `cargo bench --bench sim -- zoo 20`, 20 simulated runs of each bug and control.
const ZOO: &str = "zoo";

fn main() {
    let number = std::env::args().find_map(|word| word.parse().ok());
    if std::env::args().any(|word| word == ZOO) {
        return visit_zoo(number.unwrap_or(20));
    }
    let seeds = number.unwrap_or(SEEDS).into();
    let quorum = SystemPlan::Quorum(quorum::Settings {
        nodes: 3,
        n: 3,
        r: 2,
        w: 2,
        write_back: true,
        versions: quorum::Versions::Quorum,
        clock_offset_ms: BTreeMap::new(),
        domains: BTreeMap::new(),
        extras: Default::default(),
        bug: None,
    });
    let raft = SystemPlan::Raft(raft::Settings {
        nodes: 3,
        reads: raft::Reads::ReadIndex,
        snapshot_every: 200,
        bug: None,
    });
    let storm = ["partition", "kill", "pause"].as_slice();
    let with_requests = ["partition", "kill", "pause", "transfer", "membership"].as_slice();
    for (system, bind, faults) in [(quorum, Bind::Node, storm), (raft, Bind::Follow, with_requests)] {
        let plans: Vec<Plan> = (0..seeds).map(|seed| plan(&system, bind, faults, seed)).collect();
        let bare = measure(&format!("{}, bare", system.name()), BARE_WANTED_PER_S, Judging::Nothing, &plans);
        let judged = measure(
            &format!("{}, every rule", system.name()),
            JUDGED_WANTED_PER_S,
            Judging::Full,
            &plans,
        );
        assert_eq!(bare, judged, "judging changed what happened");
    }
}

/// Each bug and control with what the simulator makes of it.
fn visit_zoo(runs: u32) {
    let began_ns = cpu_ns();
    let all = tally_all(1, runs).expect("a bench holds the bugs");
    for (id, tally) in &all {
        println!(
            "{id:<9}  {:>3} of {}  {:?} {:?}",
            tally.hits, tally.runs, tally.by_rule, tally.undecided
        );
    }
    let is_bug = |id: &str| id.starts_with(['R', 'Q']);
    let found = all.iter().filter(|(id, tally)| is_bug(id) && tally.hits > 0).count();
    println!("{found} found, in {:.0} s", (cpu_ns() - began_ns) as f64 / 1e9);
}

fn plan(system: &SystemPlan, bind: Bind, faults: &[&str], seed: u64) -> Plan {
    let workload = WorkloadPlan::Register(Load {
        rate: 130,
        seed,
        ..Default::default()
    });
    Plan::draw(plan::Options {
        seed,
        system: system.clone(),
        workload,
        bind,
        timing: Timing::of(10_000, 1_000),
        faults: faults.iter().map(ToString::to_string).collect::<Vec<_>>().into(),
        network: None,
        pcap: false,
        topology: None,
        spares: None,
    })
    .expect("every kind finds a place")
}

/// Plays all plans; returns their hashes.
fn measure(what: &str, wanted_per_s: f64, judging: Judging, plans: &[Plan]) -> Vec<u64> {
    let options = Options {
        judging,
        ..Options::default()
    };
    let mut hashes = Vec::with_capacity(plans.len());
    let (mut fewest, mut happenings, mut verdicts) = (usize::MAX, 0, BTreeMap::new());
    let began_ns = cpu_ns();
    for plan in plans {
        let report = simulate(plan, &options).expect("the plan is valid");
        hashes.push(report.trace_hash);
        fewest = fewest.min(completed(&report));
        happenings += report.counts.happenings;
        if let Some(judgement) = report.judgement {
            let (count, first) = verdicts.entry(judgement.verdict.word()).or_insert((0, String::new()));
            *count += 1;
            if *count == 1 {
                *first = format!(
                    "seed {}: {}",
                    plan.seed,
                    judgement.decisive().map_or("", |finding| &finding.message)
                );
            }
        }
    }
    let per_s = plans.len() as f64 / ((cpu_ns() - began_ns) as f64 / 1e9);
    println!("{what}: {per_s:.0} runs per second and core, wanted {wanted_per_s:.0}");
    println!(
        "  {} happenings a run, at least {fewest} completed operations",
        happenings / plans.len() as u64
    );
    for (verdict, (count, first)) in verdicts {
        println!("  {verdict}: {count} of {}, {first}", plans.len());
    }
    assert!(fewest >= OPERATIONS_MIN, "a run of {fewest} operations proves too little");
    hashes
}

fn completed(report: &SimReport) -> usize {
    let operations = report.history.operations.iter();
    operations.filter(|operation| operation.outcome == Outcome::Ok).count()
}

fn cpu_ns() -> i64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
