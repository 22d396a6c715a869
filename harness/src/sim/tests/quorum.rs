//! The quorum store under its plans.

use squall_nemeses::fault::partition::{Partition, Shape};
use squall_nemeses::fault::process::{Kill, Pause};
use squall_nemeses::{Fault, TargetChoice};

use super::*;
use crate::plan::{Injection, WorkloadPlan};
use crate::systems::quorum::{Settings, Versions};
use crate::systems::quorum_extras::Extras;

const SOUND: Settings = Settings {
    nodes: 3,
    n: 3,
    r: 2,
    w: 2,
    write_back: true,
    versions: Versions::Quorum,
    clock_offset_ms: BTreeMap::new(),
    domains: BTreeMap::new(),
    extras: Extras::DEFAULT,
    bug: None,
};

fn quorum(settings: &Settings, faults: &[&str], seed: u64) -> Plan {
    plan(
        SystemPlan::Quorum(settings.clone()),
        Bind::Node,
        Kind::Register,
        Retry::None,
        faults,
        seed,
    )
}

fn check_valid(settings: &Settings, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let report = run(&quorum(settings, &STORM, seed));
        assert_eq!(verdict(&report), Verdict::Valid, "seed {seed}:\n{}", said(&report));
        assert!(completed(&report) >= 500, "seed {seed}: {:?}", outcomes(&report));
    }
}

/// How many of these seeds are found invalid.
fn count_invalid(settings: &Settings, world: &World, seeds: u64) -> usize {
    let found = |seed: &u64| verdict(&run_in(&quorum(settings, &STORM, *seed), world.clone())) == Verdict::Invalid;
    (0..seeds).filter(found).count()
}

#[test]
fn majorities_are_valid_under_the_storm() {
    check_valid(&SOUND, 0..100);
}

#[test]
fn other_sound_quorums_are_valid_under_the_storm() {
    let five = Settings { nodes: 5, ..SOUND };
    check_valid(&five, 0..20);
    check_valid(&Settings { r: 3, ..SOUND }, 0..20);
    check_valid(&Settings { n: 5, r: 3, w: 3, ..five }, 0..20);
}

#[test]
fn wall_clocks_that_agree_are_valid_under_the_storm() {
    let wall_clock = Settings {
        versions: Versions::WallClock,
        ..SOUND
    };
    check_valid(&wall_clock, 0..20);
}

#[test]
fn upkeep_and_digest_reads_leave_a_sound_store_valid_under_the_storm() {
    let extras = Extras {
        digest_reads: true,
        anti_entropy_ms: Some(50),
        ..Extras::DEFAULT
    };
    check_valid(&Settings { nodes: 5, extras, ..SOUND }, 0..15);
    let nothing = Extras {
        anti_entropy_ms: Some(0),
        no_hints: true,
        ..Extras::DEFAULT
    };
    check_valid(&Settings { extras: nothing, ..SOUND }, 0..10);
}

#[test]
fn deleted_keys_are_valid_under_the_storm_while_their_tombstones_are_reaped() {
    let extras = Extras {
        reap_after_ms: Some(50),
        anti_entropy_ms: Some(50),
        ..Extras::DEFAULT
    };
    for seed in 0..20 {
        let mut plan = quorum(
            &Settings {
                extras: extras.clone(),
                ..SOUND
            },
            &STORM,
            seed,
        );
        let WorkloadPlan::Register(options) = &mut plan.workload else {
            panic!("registers were asked for");
        };
        options.deletes_percent = 20;
        let report = run(&plan);
        assert_eq!(verdict(&report), Verdict::Valid, "seed {seed}:\n{}", said(&report));
    }
}

#[test]
fn hybrid_clocks_and_vectors_are_valid_under_the_storm() {
    for versions in [Versions::Hlc, Versions::Vector] {
        check_valid(
            &Settings {
                nodes: 5,
                versions,
                ..SOUND
            },
            0..40,
        );
    }
}

#[test]
fn hybrid_clocks_that_differ_are_found_unless_replicas_are_asked_first() {
    let world = World {
        wall_skew_ns: vec![0, 100_000_000, -100_000_000, 50_000_000, 0],
        ..World::default()
    };
    let hlc = Settings {
        nodes: 5,
        versions: Versions::Hlc,
        ..SOUND
    };
    let found = count_invalid(&hlc, &world, 20);
    assert!(found >= 5, "{found} of 20");
    let extras = Extras {
        version_read: true,
        ..Extras::DEFAULT
    };
    assert_eq!(count_invalid(&Settings { extras, ..hlc }, &world, 20), 0);
}

#[test]
fn vectors_over_quorums_that_do_not_meet_are_found() {
    let settings = Settings {
        r: 1,
        w: 1,
        versions: Versions::Vector,
        ..SOUND
    };
    let found = count_invalid(&settings, &slow(), 20);
    assert!(found >= 10, "{found} of 20");
}

#[test]
fn one_reply_and_one_acknowledgement_are_found() {
    let found = count_invalid(&Settings { r: 1, w: 1, ..SOUND }, &World::default(), 20);
    assert!(found >= 15, "{found} of 20");
}

#[test]
fn gets_without_write_back_are_found() {
    let settings = Settings {
        write_back: false,
        ..SOUND
    };
    let found = count_invalid(&settings, &slow(), 40);
    assert!(found >= 2, "{found} of 40");
}

#[test]
fn wall_clocks_that_differ_are_found() {
    let settings = Settings {
        versions: Versions::WallClock,
        ..SOUND
    };
    let world = World {
        wall_skew_ns: vec![0, 100_000_000, -100_000_000],
        ..World::default()
    };
    let found = count_invalid(&settings, &world, 20);
    assert!(found >= 15, "{found} of 20");
}

/// How many of these seeds are found invalid under clock faults alone; every clock that was to be wrong must have been.
fn count_invalid_by_clocks(settings: &Settings, seeds: u64) -> usize {
    let found = |seed: &u64| {
        let report = run(&quorum(settings, &["clock"], *seed));
        assert!(!said(&report).contains("did not bite"), "seed {seed}: {}", said(&report));
        verdict(&report) == Verdict::Invalid
    };
    (0..seeds).filter(found).count()
}

#[test]
fn clock_faults_break_versions_that_are_made_of_clocks_and_no_others() {
    let with = |versions, version_read| Settings {
        versions,
        extras: Extras {
            version_read,
            ..Extras::DEFAULT
        },
        ..SOUND
    };
    let by_clock = count_invalid_by_clocks(&with(Versions::WallClock, false), 20);
    assert!(by_clock >= 15, "{by_clock} of 20");
    for sound in [SOUND, with(Versions::Hlc, true)] {
        assert_eq!(count_invalid_by_clocks(&sound, 20), 0, "{:?}", sound.versions);
    }
}

#[test]
fn a_plan_gives_the_same_twice_and_another_seed_something_else() {
    let hash = |seed| run(&quorum(&SOUND, &STORM, seed)).trace_hash;
    assert_eq!(hash(7), hash(7));
    assert_ne!(hash(7), hash(8));
}

#[test]
fn what_is_judged_does_not_change_what_happens() {
    let plan = quorum(&SOUND, &STORM, 3);
    let bare = Options {
        judging: Judging::Nothing,
        ..Options::default()
    };
    let bare = simulate(&plan, &bare).unwrap();
    assert_eq!(bare.trace_hash, run(&plan).trace_hash);
    assert!(bare.judgement.is_none() && bare.logs.iter().all(|log| log.entries().is_empty()));
}

#[test]
fn the_outcomes_cover_what_clients_of_real_nodes_see() {
    let mut all = BTreeMap::new();
    for seed in 0..20 {
        for (outcome, count) in outcomes(&run_in(&quorum(&SOUND, &STORM, seed), slow())) {
            *all.entry(outcome).or_insert(0) += count;
        }
    }
    for outcome in [
        "Ok ",
        "Fail unreachable",
        "Fail no-quorum",
        "Fail timeout",
        "Fail connection-lost",
        "Unknown timeout",
        "Unknown connection-lost",
    ] {
        assert!(all.get(outcome).is_some_and(|count| *count > 3), "{outcome}: {all:?}");
    }
}

/// A plan with these faults alone, each from the second second to the third.
fn with_faults(faults: Vec<Fault>) -> Plan {
    let mut plan = quorum(&SOUND, &[], 1);
    plan.requested = faults.iter().map(|fault| fault.kind().to_owned()).collect();
    let injection = |(id, fault)| Injection {
        id,
        at_ms: 2_000,
        for_ms: 1_000,
        when: None,
        struck: None,
        fault,
    };
    plan.schedule = (0..).zip(faults).map(injection).collect();
    plan
}

/// Operations of clients of this node that were invoked in the third second, by how they ended.
fn ended_at(report: &SimReport, node: &str) -> BTreeMap<Outcome, usize> {
    let mut counts = BTreeMap::new();
    let of_node = |operation: &&squall_checker::history::operation::Operation| report.history.node(operation) == Some(node);
    for operation in report.history.operations.iter().filter(of_node) {
        if (2_050_000_000..2_900_000_000).contains(&operation.invoked_ns) {
            *counts.entry(operation.outcome).or_insert(0) += 1;
        }
    }
    counts
}

#[test]
fn a_paused_node_answers_nobody_and_the_others_go_on() {
    let plan = with_faults(vec![Fault::Pause(Pause {
        target: TargetChoice::Node("n2".into()),
    })]);
    let report = run(&plan);
    assert_eq!(verdict(&report), Verdict::Valid, "{}", said(&report));
    // What was asked of it waits and is done when it goes on, within the client's patience.
    let logged = report.logs.iter().find(|log| log.node().as_ref() == "n2").unwrap();
    let silent = |entry: &squall_node::sim::TraceEntry| (2_002_000_000..2_998_000_000).contains(&entry.mono_ns);
    assert!(!logged.entries().iter().any(silent), "it did something while it was paused");
    assert!(ended_at(&report, "n1").get(&Outcome::Ok).is_some_and(|count| *count > 5));
}

#[test]
fn a_node_that_nobody_hears_gets_no_quorum_and_the_others_do() {
    let plan = with_faults(vec![Fault::Partition(Partition {
        shape: Shape::OneWay { muted: vec!["n2".into()] },
    })]);
    let report = run(&plan);
    assert_eq!(verdict(&report), Verdict::Valid, "{}", said(&report));
    let (muted, others) = (ended_at(&report, "n2"), ended_at(&report, "n1"));
    assert_eq!(muted.get(&Outcome::Ok), None, "{muted:?}");
    assert!(
        others.get(&Outcome::Ok).is_some_and(|count| *count > 5) && !others.contains_key(&Outcome::Unknown),
        "{others:?}"
    );
}

#[test]
fn two_faults_on_one_node_are_both_seen_to_bite() {
    let target = || TargetChoice::Node("n3".into());
    let pause_and_kill = vec![Fault::Pause(Pause { target: target() }), Fault::Kill(Kill { target: target() })];
    let report = run(&with_faults(pause_and_kill));
    assert_eq!(verdict(&report), Verdict::Valid, "{}", said(&report));
}

#[test]
fn what_cannot_be_simulated_is_named() {
    let mut plan = quorum(&SOUND, &STORM, 1);
    plan.system = SystemPlan::Etcd(crate::systems::etcd::Settings {
        nodes: 3,
        serializable: false,
    });
    plan.schedule.clear();
    let error = simulate(&plan, &Options::default()).unwrap_err();
    assert!(error.contains("`etcd` cannot be simulated"), "{error}");
}
