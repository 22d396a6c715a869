//! The quorum core in the simulator, seed by seed: the sound settings never break linearizability, and each way to make them unsound is
//! seen to break it (a simulation that finds nothing in a broken store would prove nothing about a sound one).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod history;
mod search;
mod siblings;
mod upkeep;
mod world;
mod zones;

use std::collections::BTreeMap;

use history::{Kind, Operation};
use squall_node::quorum::VersionScheme;
use world::{Record, SOUND, Setting};

/// The first violation in a record.
fn violation(record: &Record) -> Option<String> {
    record
        .histories
        .iter()
        .find_map(|(key, history)| Some(format!("{key}: {}", violation_of_key(record, history)?)))
}

fn violation_of_key(record: &Record, history: &[Operation]) -> Option<String> {
    if history.iter().any(|operation| matches!(operation.kind, Kind::ReadSet(_))) {
        return siblings::violation(history, &record.vectors);
    }
    match history::for_zones(history) {
        Some(history) => zones::violation(&history),
        None => search::violation(history),
    }
}

/// Runs seeds; panics if one breaks its rule or if nothing was proved. Returns how often nodes did what.
fn check_sound(setting: Setting, seeds: u64) -> BTreeMap<&'static str, u64> {
    let (mut ok, mut events) = (0, BTreeMap::new());
    for seed in 0..seeds {
        let record = world::run(setting, seed);
        assert_eq!(violation(&record), None, "seed {seed} of {setting:?}");
        ok += record.outcomes.get("ok").copied().unwrap_or(0);
        for (name, count) in record.events {
            *events.entry(name).or_insert(0) += count;
        }
    }
    assert!(ok > seeds * 60, "only {ok} operations succeeded in {seeds} seeds");
    events
}

/// How many of these seeds break linearizability.
fn count_broken(setting: Setting, seeds: u64) -> usize {
    (0..seeds).filter(|seed| violation(&world::run(setting, *seed)).is_some()).count()
}

#[test]
fn majorities_with_write_back_are_linearizable() {
    check_sound(SOUND, 1500);
}

#[test]
fn five_replicas_are_linearizable_for_every_sound_choice_of_r_and_w() {
    for (r, w) in [(3, 3), (4, 3), (2, 4), (1, 5), (5, 3)] {
        check_sound(
            Setting {
                nodes: 5,
                n: 5,
                r,
                w,
                ..SOUND
            },
            120,
        );
    }
}

#[test]
fn keys_placed_on_a_part_of_the_members_are_linearizable() {
    check_sound(Setting { nodes: 5, ..SOUND }, 200);
}

#[test]
fn wall_clocks_that_agree_are_linearizable() {
    check_sound(
        Setting {
            versions: VersionScheme::WallClock,
            ..SOUND
        },
        200,
    );
}

#[test]
fn the_outcomes_cover_failed_unknown_and_unanswered() {
    let mut all = BTreeMap::new();
    for seed in 0..80 {
        for (name, count) in world::run(SOUND, seed).outcomes {
            *all.entry(name).or_insert(0) += count;
        }
    }
    for name in ["ok", "failed", "unknown", "unanswered"] {
        assert!(all.get(name).is_some_and(|count| *count > 20), "{all:?}");
    }
}

#[test]
fn one_reply_and_one_acknowledgement_are_found_broken() {
    let broken = count_broken(Setting { r: 1, w: 1, ..SOUND }, 20);
    assert!(broken >= 15, "{broken} of 20");
}

#[test]
fn an_acknowledgement_too_few_for_the_version_read_is_found_broken() {
    // R + W > N holds, but a majority may miss the one replica that acknowledged.
    let broken = count_broken(Setting { r: 3, w: 1, ..SOUND }, 100);
    assert!(broken >= 1, "{broken} of 100");
}

#[test]
fn gets_without_write_back_are_found_broken() {
    let broken = count_broken(
        Setting {
            write_back: false,
            upkeep: upkeep::NOTHING,
            ..SOUND
        },
        100,
    );
    assert!(broken >= 5, "{broken} of 100");
}

#[test]
fn versions_counted_by_each_coordinator_are_found_broken() {
    let broken = count_broken(
        Setting {
            versions: VersionScheme::CoordinatorLocal,
            ..SOUND
        },
        20,
    );
    assert!(broken >= 15, "{broken} of 20");
}

#[test]
fn wall_clocks_that_differ_are_found_broken() {
    let broken = count_broken(
        Setting {
            versions: VersionScheme::WallClock,
            skew_ms: 100,
            ..SOUND
        },
        20,
    );
    assert!(broken >= 15, "{broken} of 20");
}

#[test]
fn a_seed_gives_the_same_history_again() {
    let (first, again) = (world::run(SOUND, 7), world::run(SOUND, 7));
    assert_eq!(format!("{first:?}"), format!("{again:?}"));
}
