//! How many 10-second runs per second and core does the simulator play? Three nodes, the default storm, ten clients.
//!
//! Wanted: 100 bare and 40 with every rule, at least 500 completed operations in each run (issue 4). Measured in CPU time of this thread, so
//! that a loaded machine shows the same figure.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;

use rustix::time::{ClockId, clock_gettime};
use squall::plan::{self, Bind, Plan, Timing, WorkloadPlan};
use squall::sim::{Judging, Options, SimReport, simulate};
use squall::systems::SystemPlan;
use squall::systems::quorum::{Settings, Versions};
use squall_checker::history::operation::Outcome;
use squall_checker::verdict::Verdict;
use squall_workloads::Options as Load;

const BARE_WANTED_PER_S: f64 = 100.0;
const JUDGED_WANTED_PER_S: f64 = 40.0;
const OPERATIONS_MIN: usize = 500;
const SEEDS: u64 = 200;

fn main() {
    let bare = measure("bare", BARE_WANTED_PER_S, Judging::Nothing);
    let judged = measure("every rule", JUDGED_WANTED_PER_S, Judging::Full);
    assert_eq!(bare, judged, "judging changed what happened");
}

fn plan(seed: u64) -> Plan {
    let system = SystemPlan::Quorum(Settings {
        nodes: 3,
        n: 3,
        r: 2,
        w: 2,
        write_back: true,
        versions: Versions::Quorum,
        clock_offset_ms: BTreeMap::new(),
        bug: None,
    });
    let workload = WorkloadPlan::Register(Load {
        rate: 100,
        seed,
        ..Default::default()
    });
    Plan::draw(plan::Options {
        seed,
        system,
        workload,
        bind: Bind::Node,
        timing: Timing::of(10_000, 1_000),
        faults: ["partition", "kill", "pause"].map(String::from).to_vec(),
    })
}

/// Plays all seeds; returns their hashes.
fn measure(what: &str, wanted_per_s: f64, judging: Judging) -> Vec<u64> {
    let options = Options {
        judging,
        ..Options::default()
    };
    let plans: Vec<Plan> = (0..SEEDS).map(plan).collect();
    let began_ns = cpu_ns();
    let reports: Vec<SimReport> = plans
        .iter()
        .map(|plan| simulate(plan, &options).expect("the plan is valid"))
        .collect();
    let took_s = (cpu_ns() - began_ns) as f64 / 1e9;
    let per_s = SEEDS as f64 / took_s;
    let fewest = reports.iter().map(completed).min().unwrap_or(0);
    let happenings = reports.iter().map(|report| report.counts.happenings).sum::<u64>() / SEEDS;
    let not_valid = reports
        .iter()
        .filter(|report| report.judgement.as_ref().is_some_and(|it| it.verdict != Verdict::Valid));
    println!("{what}: {per_s:.0} runs per second and core, wanted {wanted_per_s:.0}");
    println!(
        "  {happenings} happenings a run, at least {fewest} completed operations, {} of {SEEDS} not valid",
        not_valid.count()
    );
    assert!(fewest >= OPERATIONS_MIN, "a run of {fewest} operations proves too little");
    reports.iter().map(|report| report.trace_hash).collect()
}

fn completed(report: &SimReport) -> usize {
    let operations = report.history.operations.iter();
    operations.filter(|operation| operation.outcome == Outcome::Ok).count()
}

fn cpu_ns() -> i64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
