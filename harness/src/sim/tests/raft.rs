//! The Raft store under its plans.

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

/// Every rule holds that can be applied: a judge that does not read a Raft node's trace says so, and nothing else is in doubt.
fn assert_holds(report: &SimReport, seed: u64) {
    let judgement = report.judgement.as_ref().unwrap();
    let is_doubt = |rule: &str, verdict: Verdict| verdict != Verdict::Valid && rule != "traces";
    let doubt = judgement.findings.iter().any(|finding| is_doubt(&finding.rule, finding.verdict));
    assert!(!doubt && judgement.verdict != Verdict::Invalid, "seed {seed}:\n{}", said(report));
    assert!(completed(report) >= 300, "seed {seed}: {:?}", outcomes(report));
}

#[test]
fn is_valid_under_the_storm() {
    (0..60).for_each(|seed| assert_holds(&run(&raft(&SOUND, seed)), seed));
}

#[test]
fn is_valid_under_the_storm_with_snapshots_all_the_time() {
    let settings = Settings {
        snapshot_every: 40,
        ..SOUND
    };
    (0..60).for_each(|seed| assert_holds(&run(&raft(&settings, seed)), seed));
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
