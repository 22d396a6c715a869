//! Schedules: every kind appears, times keep to what was asked, aims hit whom they say, and the same seed gives the same.

use std::collections::BTreeSet;

use super::outage::without_majority_ms;
use super::profiles::{PROFILES, Profile, swarm};
use super::*;
use crate::plan::{Bind, Options, Plan, WorkloadPlan, fault_info};
use crate::systems::{etcd, raft};
use squall_nemeses::topology::Shape;

fn raft(nodes: u32) -> SystemPlan {
    SystemPlan::Raft(raft::Settings {
        nodes,
        reads: Default::default(),
        snapshot_every: 1_000,
        bug: None,
    })
}

fn plan(seed: u64, nodes: u32, recipe: Recipe) -> Plan {
    let plan = Plan::draw(Options {
        seed,
        system: raft(nodes),
        workload: WorkloadPlan::Register(squall_workloads::Options::default()),
        bind: Bind::Follow,
        timing: Timing::of(20_000, 1_000),
        network: None,
        pcap: false,
        topology: Some(format!("{nodes}x1").parse::<Shape>().expect("a shape").into()),
        spares: None,
        faults: recipe,
    });
    let plan = plan.expect("20 s are enough");
    plan.validate().expect("what is drawn is valid");
    plan
}

fn kinds(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn every_kind_of_a_profile_exists_and_every_profile_draws_a_valid_plan() {
    for profile in PROFILES {
        assert!(profile.kinds.iter().all(|kind| fault_info(kind).is_ok()), "{}", profile.name);
        assert_eq!(Profile::named(profile.name).map(|found| found.name), Some(profile.name));
        for seed in 0..20 {
            let plan = plan(seed, 5, profile.recipe(kinds(profile.kinds)));
            let drawn: BTreeSet<&str> = plan.schedule.iter().map(|injection| injection.fault.kind()).collect();
            assert_eq!(drawn, profile.kinds.iter().copied().collect(), "{} with seed {seed}", profile.name);
        }
    }
}

#[test]
fn kinds_that_nobody_named_get_room_for_each_fault_and_named_ones_a_place_each() {
    let names: Vec<&str> = squall_nemeses::FAULTS.iter().map(|info| info.name).collect();
    let check = |all: bool, storm_ms: u64, expected: usize| {
        let timing = Timing {
            storm_ms,
            ..Timing::of(20_000, 1_000)
        };
        let recipe = Recipe {
            all,
            ..Recipe::from(kinds(&names))
        };
        let hours = draw_hours(&mut generator(7, "schedule.times"), &timing, &recipe);
        assert_eq!(hours.len(), expected, "all must appear: {all}, storm of {storm_ms} ms");
    };
    check(true, 17_000, names.len());
    check(false, 17_000, 15);
    check(false, 100, 1);
    check(false, 120_000, names.len().max(70));
}

#[test]
fn times_keep_to_the_ranges_and_do_not_move_with_the_kinds() {
    let recipe = |names: &[&str]| Recipe {
        every_ms: Some(300..=500),
        lasts: Lasts::Between(100..=200),
        ..Recipe::from(kinds(names))
    };
    let hours = |names: &[&str]| -> Vec<(u64, u64)> {
        let plan = plan(7, 3, recipe(names));
        plan.schedule.iter().map(|injection| (injection.at_ms, injection.for_ms)).collect()
    };
    let drawn = hours(&["kill"]);
    assert!(drawn.len() > 20, "{drawn:?}");
    assert!(
        drawn.windows(2).all(|pair| (300..=500).contains(&(pair[1].0 - pair[0].0))),
        "{drawn:?}"
    );
    assert!(
        drawn[..drawn.len() - 1].iter().all(|(_, for_ms)| (100..=200).contains(for_ms)),
        "{drawn:?}"
    );
    assert_eq!(drawn, hours(&["kill", "pause", "partition"]));
}

#[test]
fn a_storm_too_short_for_its_kinds_is_refused() {
    let recipe = Recipe {
        every_ms: Some(6_000..=6_000),
        ..Recipe::from(kinds(&["kill", "pause", "partition", "cpu"]))
    };
    let error = draw(1, (&raft(3), None), &Timing::of(20_000, 1_000), &recipe).unwrap_err();
    assert!(error.starts_with("3 faults fit into the storm of "), "{error}");
    let unnamed = Recipe { all: false, ..recipe };
    let requested = plan(1, 3, unnamed).requested;
    assert_eq!(requested.len(), 3, "what a profile has no time for is not requested: {requested:?}");
}

#[test]
fn aims_hit_whom_they_say() {
    let hit = |name: &str, nodes: u32| -> Vec<(u64, Option<TargetChoice>)> {
        let profile = Profile::named(name).expect("it exists");
        let plan = plan(3, nodes, profile.recipe(kinds(&["kill"])));
        let target = |injection: &Injection| match &injection.fault {
            Fault::Kill(kill) => Some(kill.target.clone()),
            _ => None,
        };
        plan.schedule.iter().map(|injection| (injection.at_ms, target(injection))).collect()
    };
    assert!(
        hit("leader-hunt", 3)
            .iter()
            .all(|(_, target)| *target == Some(TargetChoice::Leader))
    );
    assert_eq!(hit("one-down", 3).len(), 1);
    for (name, nodes, n_together) in [
        ("minority", 5, 2),
        ("minority", 3, 1),
        ("majority", 5, 3),
        ("majority", 4, 2),
        ("majority", 3, 2),
    ] {
        let hits = hit(name, nodes);
        let first: BTreeSet<String> = hits
            .iter()
            .filter(|(at_ms, _)| *at_ms == hits[0].0)
            .map(|(_, target)| format!("{target:?}"))
            .collect();
        assert_eq!(first.len(), n_together, "{name} of {nodes}: {hits:?}");
    }
}

#[test]
fn a_swarm_is_another_part_for_another_seed_and_never_nothing() {
    let all = kinds(&["partition", "kill", "pause", "cpu"]);
    let parts: BTreeSet<Vec<String>> = (0..200).map(|seed| swarm(seed, &all)).collect();
    assert_eq!(parts.len(), 15, "every part but the empty one");
    assert_eq!(swarm(7, &all), swarm(7, &all));
    assert_eq!(swarm(7, &[]), Vec::<String>::new());
}

#[test]
fn intensity_decides_how_hard() {
    let percents = |intensity: RangeInclusive<u32>| -> BTreeSet<u32> {
        let recipe = Recipe {
            intensity,
            ..Recipe::from(kinds(&["cpu"]))
        };
        let figure = |injection: Injection| match injection.fault {
            Fault::Cpu(cpu) => cpu.percent,
            other => panic!("not asked for: {other:?}"),
        };
        plan(1, 3, recipe).schedule.into_iter().map(figure).collect()
    };
    assert_eq!(percents(0..=0), BTreeSet::from([20]));
    assert_eq!(percents(100..=100), BTreeSet::from([1]));
}

#[test]
fn only_a_plan_without_a_majority_all_along_is_told_of() {
    let down = |n_nodes: u32, spans: &[(u64, u64)]| {
        let mut plan = plan(1, n_nodes, Recipe::from(Vec::new()));
        let warm_up_ms = plan.timing.warm_up_ms;
        let injection = |(id, (from, to)): (u64, &(u64, u64))| Injection {
            id,
            at_ms: warm_up_ms + from,
            for_ms: to - from,
            when: None,
            struck: None,
            fault: serde_json::from_str(&format!(r#"{{"kill":{{"target":{{"node":"n{}"}}}}}}"#, id % 5 + 1)).expect("a fault"),
        };
        plan.schedule = (0..).zip(spans).map(injection).collect();
        let storm_ms = plan.timing.storm_ms;
        (without_majority_ms(&plan), storm_ms)
    };
    let (_, storm_ms) = down(3, &[]);
    assert_eq!(down(3, &[(0, storm_ms)]).0, None, "two of three are left");
    assert_eq!(down(3, &[(0, storm_ms), (0, storm_ms)]).0, Some(storm_ms));
    assert_eq!(down(4, &[(0, storm_ms), (0, storm_ms)]).0, Some(storm_ms), "half is no majority");
    assert_eq!(down(3, &[(0, storm_ms), (0, storm_ms / 2)]).0, None, "half of the storm has one");
}

#[test]
fn a_majority_that_is_away_all_along_is_told_of_and_one_that_comes_back_is_not() {
    let away = |fault: &str, for_ms: u64| {
        let mut plan = plan(1, 5, Recipe::from(Vec::new()));
        plan.schedule = vec![Injection {
            id: 0,
            at_ms: plan.timing.warm_up_ms,
            for_ms: for_ms.min(plan.timing.storm_ms),
            when: None,
            struck: None,
            fault: serde_json::from_str(fault).expect("a fault"),
        }];
        without_majority_ms(&plan).is_some()
    };
    let takes_a_majority = [
        r#"{"kill":{"target":"majority"}}"#,
        r#"{"pause":{"target":"majority"}}"#,
        r#"{"memory":{"target":"majority","spare_kib":64}}"#,
        r#"{"power":{"hits":"majority"}}"#,
        r#"{"power":{"hits":"all"}}"#,
    ];
    for fault in takes_a_majority {
        assert!(away(fault, u64::MAX) && !away(fault, 1_000), "{fault}");
    }
    let leaves_one = [
        r#"{"kill":{"target":"minority"}}"#,
        r#"{"power":{"hits":"minority"}}"#,
        r#"{"clock":{"target":"majority","shape":"freeze"}}"#,
        r#"{"stutter":{"target":"majority","stop_ms":50,"run_ms":50}}"#,
    ];
    assert!(leaves_one.iter().all(|fault| !away(fault, u64::MAX)));
}

#[test]
fn a_fault_that_the_system_cannot_take_is_said_at_plan_time() {
    let mut plan = plan(1, 3, Recipe::from(kinds(&["membership"])));
    plan.system = serde_json::from_value(serde_json::json!({"quorum": {"nodes": 3, "n": 3, "r": 2, "w": 2}})).expect("a system");
    assert_eq!(
        plan.validate().unwrap_err(),
        "`membership` is requested: quorum cannot take members out and in again"
    );
    plan.requested.clear();
    assert_eq!(
        plan.validate().unwrap_err(),
        "injection 0: membership: quorum cannot take members out and in again"
    );
}

#[test]
fn a_role_that_the_system_cannot_name_is_said_at_plan_time() {
    let check = |system: serde_json::Value, target: serde_json::Value, expected: &str| {
        let mut plan = plan(1, 3, Recipe::from(kinds(&["kill"])));
        plan.system = serde_json::from_value(system).expect("a system");
        plan.schedule[0].fault = serde_json::from_value(serde_json::json!({"kill": {"target": target}})).expect("a fault");
        assert_eq!(plan.validate().err().as_deref().unwrap_or(""), expected);
    };
    let order = serde_json::json!({"newest": {"order": ["n1", "n2", "n3"]}});
    let raft = || serde_json::to_value(raft(3)).expect("a system");
    let etcd = || serde_json::json!({"etcd": {"nodes": 3, "serializable": false}});
    check(raft(), "candidate".into(), "");
    check(raft(), order.clone(), "");
    check(etcd(), order, "");
    check(
        etcd(),
        "candidate".into(),
        "injection 0: kill: etcd cannot name its candidates, and its target depends on it",
    );
    let stranger = serde_json::json!({"newest": {"order": ["n1", "n9"]}});
    check(etcd(), stranger, "injection 0: there is no node `n9`; there are n1, n2, n3");
}

#[test]
fn a_target_that_nobody_can_be_is_said_at_plan_time() {
    let check = |system: SystemPlan, when: Option<&str>, fault: &str, expected: &str| {
        let mut plan = plan(1, 3, Recipe::from(kinds(&["kill"])));
        plan.system = system;
        plan.schedule.truncate(1);
        plan.schedule[0].when = when.map(|when| serde_json::from_str(when).expect("an event"));
        plan.schedule[0].fault = serde_json::from_str(fault).expect("a fault");
        assert_eq!(plan.validate().err().as_deref().unwrap_or(""), expected, "{fault}");
    };
    let quorum: SystemPlan = serde_json::from_str(r#"{"quorum":{"nodes":3,"n":3,"r":2,"w":2}}"#).expect("a system");
    let etcd: SystemPlan = serde_json::from_str(r#"{"etcd":{}}"#).expect("a system");
    let source = r#"{"kill":{"target":"source"}}"#;
    check(
        raft(3),
        None,
        source,
        "injection 0: kill: its target is the `source` of an event, and it waits for none; give it a `when`, or another target",
    );
    check(
        raft(3),
        Some(r#"{"operations":{"completed":5}}"#),
        source,
        "injection 0: kill: its target is the `source` of an event, and `operations` happens on no node; give it another target",
    );
    check(raft(3), Some(r#"{"append":{}}"#), source, "");
    check(
        raft(3),
        Some(r#"{"leader-elected":{}}"#),
        r#"{"power":{"hits":{"one":"source"}}}"#,
        "",
    );
    check(
        raft(3),
        None,
        r#"{"partition":{"shape":{"isolate-one":{"target":"source"}}}}"#,
        "injection 0: partition: its target is the `source` of an event, and it waits for none; give it a `when`, or another target",
    );
    let coordinator = r#"{"kill":{"target":{"coordinator":{"key_pick":3,"order":["n1","n2","n3"]}}}}"#;
    let cut_coordinator = r#"{"partition":{"shape":{"cut-coordinator":{"key_pick":3,"order":["n1","n2","n3"]}}}}"#;
    check(
        raft(3),
        None,
        coordinator,
        "injection 0: kill: raft has no coordinator of a key, and its target is one",
    );
    check(
        etcd,
        None,
        cut_coordinator,
        "injection 0: partition: etcd has no coordinator of a key, and its target is one",
    );
    check(quorum.clone(), None, coordinator, "");
    check(quorum, None, cut_coordinator, "");
    for fault in [
        r#"{"kill":{"target":{"any":{"order":ORDER}}}}"#,
        r#"{"torn":{"hits":{"one":{"follower":{"order":ORDER}}},"seed":1}}"#,
        r#"{"partition":{"shape":{"isolate-one":{"target":{"newest":{"order":ORDER}}}}}}"#,
        r#"{"delay":{"on":{"to":{"any":{"order":ORDER}}},"quality":{"delay_us":30000}}}"#,
    ] {
        let with = |order: &str, expected: &str| check(raft(3), None, &fault.replace("ORDER", order), expected);
        with("[]", "injection 0: `order` names no node, so nobody can be hit");
        with(r#"["n2","n9"]"#, "injection 0: there is no node `n9`; there are n1, n2, n3");
        with(r#"["n2","n2"]"#, "injection 0: a node is named twice in n2, n2");
        with(r#"["n2"]"#, "");
    }
}

#[test]
fn an_event_that_cannot_come_is_said_at_plan_time() {
    let check = |system: &SystemPlan, when: &str, expected: &str| {
        let when: when::When = serde_json::from_str(when).expect("an event");
        assert_eq!(when.validate(system, &node_names(3)).err().as_deref().unwrap_or(""), expected);
    };
    let etcd = SystemPlan::Etcd(etcd::Settings {
        nodes: 3,
        serializable: false,
    });
    check(&raft(3), r#"{"leader-elected":{}}"#, "");
    check(&raft(3), r#"{"append":{"nth":0}}"#, "`nth` is 0; the first is 1");
    check(
        &raft(3),
        r#"{"append":{"on":{"node":"n9"}}}"#,
        "there is no node `n9`; there are n1, n2, n3",
    );
    check(
        &etcd,
        r#"{"append":{}}"#,
        "`append`: etcd writes no trace that tells of it; `before-fsync`, `before-packet` and `operations` can be waited for with every system",
    );
    check(&etcd, r#"{"leader-elected":{}}"#, "");
    check(&etcd, r#"{"before-fsync":{"nth":9,"on":"leader"}}"#, "");
    check(&raft(3), r#"{"before-fsync":{"nth":0}}"#, "`nth` is 0; the first is 1");
    let quorum: SystemPlan = serde_json::from_value(serde_json::json!({"quorum": {
        "nodes": 3, "n": 3, "r": 2, "w": 2, "write_back": true, "versions": "quorum",
    }}))
    .expect("a system");
    check(&quorum, r#"{"before-fsync":{}}"#, "");
    check(&quorum, r#"{"before-fsync":{"on":"leader"}}"#, "`leader`: quorum has no leader");
    check(&etcd, r#"{"operations":{"completed":500}}"#, "");
    check(&etcd, r#"{"before-packet":{"from":"leader","to":"follower","min_bytes":100}}"#, "");
    check(&quorum, r#"{"before-packet":{"nth":3,"from":"clients","to":{"node":"n2"}}}"#, "");
    check(&quorum, r#"{"before-packet":{"to":"follower"}}"#, "`leader`: quorum has no leader");
    check(&etcd, r#"{"before-packet":{"nth":0}}"#, "`nth` is 0; the first is 1");
    check(
        &etcd,
        r#"{"before-packet":{"to":{"node":"n7"}}}"#,
        "there is no node `n7`; there are n1, n2, n3",
    );
    check(
        &etcd,
        r#"{"before-packet":{"from":{"node":"n1"},"to":{"node":"n1"}}}"#,
        "`before-packet`: what goes from an end to itself goes over no network; name two",
    );
}
