//! How many 10-second runs per second and core does the simulator play? Three nodes, the default storm, ten clients.
//!
//! Wanted: 100 bare and 40 with every rule, at least 500 completed operations in each run (issue 4). Measured in CPU time of this thread, so
//! that a loaded machine shows the same figure.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;

use rustix::time::{ClockId, clock_gettime};
use squall::plan::{self, Bind, Plan, Timing, WorkloadPlan};
use squall::sim::{Judging, Options, SimReport, simulate};
use squall::systems::{SystemPlan, quorum, raft};
use squall_checker::history::operation::Outcome;
use squall_workloads::Options as Load;

const BARE_WANTED_PER_S: f64 = 100.0;
const JUDGED_WANTED_PER_S: f64 = 40.0;
const OPERATIONS_MIN: usize = 500;

/// Seeds of each measurement, unless another number is given: `cargo bench --bench sim -- 10000`.
const SEEDS: u64 = 200;

fn main() {
    let seeds = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(SEEDS);
    let quorum = SystemPlan::Quorum(quorum::Settings {
        nodes: 3,
        n: 3,
        r: 2,
        w: 2,
        write_back: true,
        versions: quorum::Versions::Quorum,
        clock_offset_ms: BTreeMap::new(),
        extras: Default::default(),
        bug: None,
    });
    let raft = SystemPlan::Raft(raft::Settings {
        nodes: 3,
        reads: raft::Reads::ReadIndex,
        snapshot_every: 200,
        bug: None,
    });
    for (system, bind) in [(quorum, Bind::Node), (raft, Bind::Follow)] {
        let plans: Vec<Plan> = (0..seeds).map(|seed| plan(&system, bind, seed)).collect();
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

fn plan(system: &SystemPlan, bind: Bind, seed: u64) -> Plan {
    let workload = WorkloadPlan::Register(Load {
        rate: 100,
        seed,
        ..Default::default()
    });
    Plan::draw(plan::Options {
        seed,
        system: system.clone(),
        workload,
        bind,
        timing: Timing::of(10_000, 1_000),
        faults: ["partition", "kill", "pause"].map(String::from).to_vec(),
    })
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
