//! The Raft store under its plans.

use squall_checker::history::mark::Stage;
use squall_checker::trace::raft::RaftRules;

use super::*;
use crate::systems::raft::{Reads, Settings};

const SOUND: Settings = Settings {
    nodes: 3,
    reads: Reads::ReadIndex,
    snapshot_every: 10_000,
    bug: None,
};

fn raft(settings: &Settings, seed: u64) -> Plan {
    plan(
        SystemPlan::Raft(settings.clone()),
        Bind::Follow,
        Kind::Register,
        Retry::None,
        &STORM,
        seed,
    )
}

/// Every rule holds, those over the nodes' traces included.
fn assert_valid(report: &SimReport, seed: u64) {
    assert_eq!(verdict(report), Verdict::Valid, "seed {seed}:\n{}", said(report));
    assert!(completed(report) >= 300, "seed {seed}: {:?}", outcomes(report));
}

#[test]
fn is_valid_under_the_storm() {
    (0..60).for_each(|seed| assert_valid(&run(&raft(&SOUND, seed)), seed));
}

#[test]
fn is_valid_under_the_storm_with_snapshots_all_the_time() {
    let settings = Settings {
        snapshot_every: 40,
        ..SOUND
    };
    (0..60).for_each(|seed| assert_valid(&run(&raft(&settings, seed)), seed));
}

/// The storm with what only the system itself can do.
const WITH_REQUESTS: [&str; 5] = ["partition", "kill", "pause", "transfer", "membership"];

/// How many injections of this kind the history shows at this stage.
fn staged(report: &SimReport, kind: &str, stage: Stage) -> usize {
    let of_kind = report.history.marks.iter().filter(|mark| mark.event.f == kind);
    of_kind
        .filter_map(|mark| mark.fault_stage())
        .filter(|found| found.stage == stage)
        .count()
}

#[test]
fn is_valid_under_transfers_and_changes_of_members() {
    let (mut transferred, mut removed) = (0, 0);
    for seed in 0..40 {
        let settings = Settings {
            snapshot_every: if seed % 2 == 0 { 40 } else { 10_000 },
            ..SOUND
        };
        let report = run(&plan(
            SystemPlan::Raft(settings),
            Bind::Follow,
            Kind::Register,
            Retry::None,
            &WITH_REQUESTS,
            seed,
        ));
        assert_valid(&report, seed);
        transferred += staged(&report, "transfer", Stage::Applied);
        removed += staged(&report, "membership", Stage::Healed);
    }
    assert!(
        transferred >= 20 && removed >= 20,
        "{transferred} transfers and {removed} changes were done"
    );
}

/// Values and lines are two ways to the same rules; only the lines are what real nodes write.
#[test]
fn values_lead_the_rules_to_the_same_state_as_lines() {
    for seed in 0..4 {
        let settings = Settings {
            snapshot_every: 40,
            ..SOUND
        };
        let report = run(&plan(
            SystemPlan::Raft(settings),
            Bind::Follow,
            Kind::Register,
            Retry::Idempotent,
            &WITH_REQUESTS,
            seed,
        ));
        let mut by_lines = RaftRules::new(report.logs.iter().map(|log| log.node().as_ref()));
        for log in &report.logs {
            let mut lines = Vec::new();
            log.write_lines(&mut lines).unwrap();
            by_lines.feed(log.node(), &lines);
        }
        by_lines.finish();
        let by_values = report.traces.raft().unwrap();
        assert!(by_values.n_events() > 5_000, "seed {seed}: {}", by_values.n_events());
        assert!(
            format!("{by_values:?}") == format!("{by_lines:?}"),
            "seed {seed}: the states differ"
        );
    }
}

fn counters(retry: Retry, seed: u64) -> SimReport {
    let plan = plan(SystemPlan::Raft(SOUND), Bind::Follow, Kind::Counter, retry, &STORM, seed);
    run_in(&plan, slow())
}

/// Counters that, at the end, are lower than what was acknowledged or higher than that and all that may have happened besides: (key, value,
/// acknowledged, may have happened).
fn miscounts(report: &SimReport) -> Vec<(String, i64, i64, i64)> {
    let history = &report.history;
    let mut counters: BTreeMap<&str, (i64, i64, i64)> = BTreeMap::new();
    for operation in &history.operations {
        let (value, acknowledged, possible) = counters.entry(history.key(operation).unwrap()).or_default();
        match (history.function(operation), operation.outcome) {
            ("add", Outcome::Ok) => *acknowledged += 1,
            ("add", Outcome::Unknown) => *possible += 1,
            // The last read of a counter is a final one, after all increments.
            ("read", Outcome::Ok) => *value = operation.observed().and_then(|value| value.integer()).unwrap_or(0),
            _ => {}
        }
    }
    let all = counters
        .into_iter()
        .map(|(key, (value, acknowledged, possible))| (key.to_owned(), value, acknowledged, possible));
    all.filter(|(_, value, acknowledged, possible)| !(*acknowledged..=acknowledged + possible).contains(value))
        .collect()
}

#[test]
fn increments_that_are_asked_again_happen_once() {
    for seed in 0..20 {
        let report = counters(Retry::Idempotent, seed);
        assert_eq!(miscounts(&report), [], "seed {seed}");
        assert!(completed(&report) >= 300, "seed {seed}: {:?}", outcomes(&report));
    }
}

#[test]
fn increments_that_are_blindly_asked_again_are_found_to_happen_twice() {
    let found = (0..20).filter(|seed| !miscounts(&counters(Retry::Blind, *seed)).is_empty()).count();
    assert!(found >= 2, "{found} of 20");
}

#[test]
fn reads_that_every_node_answers_by_itself_are_found() {
    let settings = Settings {
        reads: Reads::Local,
        ..SOUND
    };
    let found = |seed: &u64| verdict(&run(&raft(&settings, *seed))) == Verdict::Invalid;
    let found = (0..10).filter(found).count();
    assert!(found >= 8, "{found} of 10");
}
