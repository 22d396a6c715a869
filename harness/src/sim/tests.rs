//! Plans in the simulator: sound settings are valid, each unsound one is found, and a seed does the same twice.

mod quorum;
mod raft;

use std::collections::BTreeMap;

use squall_checker::history::operation::Outcome;
use squall_checker::verdict::Verdict;
use squall_workloads::{Kind, Options as Load, Retry};

use super::{Delay, Judging, Options, SimReport, World, simulate};
use crate::plan::{self, Bind, Plan, Timing, WorkloadPlan};
use crate::systems::SystemPlan;

/// The storm of a run of ten seconds.
const STORM: [&str; 3] = ["partition", "kill", "pause"];

/// A plan of ten seconds with 130 operations a second.
fn plan(system: SystemPlan, bind: Bind, kind: Kind, retry: Retry, faults: &[&str], seed: u64) -> Plan {
    let options = Load {
        rate: 130,
        retry,
        seed,
        ..Load::default()
    };
    Plan::draw(plan::Options {
        seed,
        system,
        workload: WorkloadPlan::of(kind, options),
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

/// A world so slow that at this rate many operations overlap, and many are under way when a fault comes.
fn slow() -> World {
    World {
        peers: Delay {
            least_ns: 100_000,
            spread_ns: 10_000_000,
        },
        lost_per_mille: 20,
        ..World::default()
    }
}

fn run(plan: &Plan) -> SimReport {
    simulate(plan, &Options::default()).unwrap()
}

fn run_in(plan: &Plan, world: World) -> SimReport {
    let options = Options {
        world,
        ..Options::default()
    };
    simulate(plan, &options).unwrap()
}

fn verdict(report: &SimReport) -> Verdict {
    report.judgement.as_ref().unwrap().verdict
}

/// What the rules said, for a person.
fn said(report: &SimReport) -> String {
    let findings = report.judgement.iter().flat_map(|judgement| &judgement.findings);
    let lines = findings.map(|finding| format!("{:?} {}: {} {:?}", finding.verdict, finding.rule, finding.message, finding.evidence));
    lines.collect::<Vec<_>>().join("\n")
}

fn completed(report: &SimReport) -> usize {
    let operations = report.history.operations.iter();
    operations.filter(|operation| operation.outcome == Outcome::Ok).count()
}

/// How many operations ended how.
fn outcomes(report: &SimReport) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for operation in &report.history.operations {
        let why = report.history.error_kind(operation).unwrap_or("");
        *counts.entry(format!("{:?} {why}", operation.outcome)).or_insert(0) += 1;
    }
    counts
}
