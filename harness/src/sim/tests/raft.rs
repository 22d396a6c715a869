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

/// No rule is broken and nothing is in doubt.
fn assert_holds(plan: &Plan) {
    let seed = plan.seed;
    let report = run(plan);
    assert!(verdict(&report) <= Verdict::Vacuous, "seed {seed}:\n{}", said(&report));
    assert!(completed(&report) >= 300, "seed {seed}: {:?}", outcomes(&report));
}

#[test]
fn is_valid_under_the_storm() {
    (0..100).for_each(|seed| assert_holds(&raft(&SOUND, seed)));
}

#[test]
fn is_valid_under_the_storm_with_snapshots_all_the_time() {
    let settings = Settings {
        snapshot_every: 40,
        ..SOUND
    };
    (0..100).for_each(|seed| assert_holds(&raft(&settings, seed)));
}
