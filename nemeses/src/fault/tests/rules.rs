//! What a plan may say, and what it comes to.

use std::collections::BTreeSet;

use super::nodes;
use crate::capability::Capability;
use crate::fault::member::Shrink;
use crate::fault::partition::{Partition, Shape};
use crate::fault::process::{Kill, Pause};
use crate::fault::{Asks, FAULTS, Fault, Pulse};
use crate::partition;
use crate::target::{KeyRoles, Roles, TargetChoice};
use crate::world::State;

fn served(coordinator: Option<&str>) -> Roles {
    let key = KeyRoles {
        key: "k3".into(),
        coordinator: coordinator.map(Into::into),
        replicas: nodes(3),
    };
    Roles {
        leader: Some("n2".into()),
        key: Some(key),
        ..Roles::default()
    }
}

fn pause_any() -> Fault {
    Fault::Pause(Pause {
        target: TargetChoice::Any { order: nodes(3) },
    })
}

#[test]
fn only_what_nobody_can_notice_is_beyond_what_systems_promise() {
    let beyond = FAULTS.iter().filter(|info| info.is_beyond_promises()).map(|info| info.name);
    assert_eq!(
        beyond.collect::<Vec<_>>(),
        ["lying-fsync", "corrupt-past-checksum", "bit-rot", "misdirected-write"]
    );
}

#[test]
fn is_written_with_the_kind_outside() {
    let fault = Fault::Partition(Partition {
        shape: Shape::OneWay { muted: vec!["n3".into()] },
    });
    let text = serde_json::to_string(&fault).unwrap();
    assert_eq!(text, r#"{"partition":{"shape":{"one-way":{"muted":["n3"]}}}}"#);
    assert_eq!(serde_json::from_str::<Fault>(&text).unwrap(), fault);
    assert_eq!(
        serde_json::to_string(&Fault::Kill(Kill {
            target: TargetChoice::Leader
        }))
        .unwrap(),
        r#"{"kill":{"target":"leader"}}"#
    );
    let typo = r#"{"kill":{"target":{"any":{"ordre":["n1"]}}}}"#;
    assert!(serde_json::from_str::<Fault>(typo).unwrap_err().to_string().contains("ordre"));
}

#[test]
fn takes_the_first_node_that_is_up() {
    let now = State {
        down: BTreeSet::from(["n1".into()]),
        paused: BTreeSet::from(["n2".into()]),
        ..State::default()
    };
    let resolved = pause_any().resolve(&nodes(3), &now, &Roles::default()).unwrap();
    assert_eq!(
        serde_json::to_string(&resolved).unwrap(),
        r#"{"nodes":["n3"],"state":{"paused":["n3"]}}"#
    );
    let kill = Fault::Kill(Kill {
        target: TargetChoice::Any { order: nodes(3) },
    });
    assert_eq!(
        kill.resolve(&nodes(3), &now, &Roles::default()).unwrap().nodes,
        ["n2"],
        "a paused node can be killed"
    );
}

#[test]
fn says_why_nobody_was_hit() {
    let all_down = State {
        down: nodes(3).into_iter().collect(),
        ..State::default()
    };
    let skipped = |fault: Fault, roles: &Roles| fault.resolve(&nodes(3), &all_down, roles).unwrap_err().to_string();
    assert_eq!(
        skipped(pause_any(), &Roles::default()),
        "no node can be hit: the first, n1, is down already"
    );
    assert_eq!(
        skipped(
            Fault::Kill(Kill {
                target: TargetChoice::Node("n2".into())
            }),
            &Roles::default()
        ),
        "node n2 is down already"
    );
    assert_eq!(
        skipped(
            Fault::Kill(Kill {
                target: TargetChoice::Leader
            }),
            &Roles::default()
        ),
        "no node takes itself for the leader"
    );
    let coordinator = TargetChoice::Coordinator {
        key_pick: 1,
        order: nodes(3),
    };
    assert_eq!(
        skipped(Fault::Kill(Kill { target: coordinator }), &Roles::default()),
        "no key is in use yet"
    );
    assert_eq!(
        skipped(
            Fault::Kill(Kill {
                target: TargetChoice::Leader
            }),
            &served(None)
        ),
        "leader n2 is down already"
    );
}

#[test]
fn the_order_decides_who_coordinates_and_which_replicas_are_lost() {
    let order = ["n5", "n3", "n1", "n2", "n4"].map(String::from).to_vec();
    let fault = Fault::Partition(Partition {
        shape: Shape::CutCoordinator { key_pick: 9, order },
    });
    assert_eq!(fault.asks(), Asks::servers_of(9));
    let free = fault.resolve(&nodes(5), &State::default(), &served(None)).unwrap();
    assert_eq!(
        (&free.nodes[..], &free.state.cuts),
        (
            &["n5".to_owned()][..],
            &partition::cut_coordinator("n5", &["n3", "n1", "n2"].map(String::from))
        )
    );
    let fixed = fault.resolve(&nodes(5), &State::default(), &served(Some("n1"))).unwrap();
    assert_eq!(
        fixed.state.cuts,
        partition::cut_coordinator("n1", &["n3", "n1", "n2"].map(String::from))
    );
    assert_eq!(fixed.key.unwrap().key, "k3");
}

#[test]
fn names_the_word_that_is_wrong() {
    let check = |fault: &str, expected: &str| {
        let fault: Fault = serde_json::from_str(fault).unwrap();
        assert_eq!(fault.validate(&nodes(3)).unwrap_err(), expected);
    };
    check(
        r#"{"kill":{"target":{"node":"n9"}}}"#,
        "there is no node `n9`; there are n1, n2, n3",
    );
    check(
        r#"{"pause":{"target":{"any":{"order":["n1","n1"]}}}}"#,
        "a node is named twice in n1, n1",
    );
    check(
        r#"{"partition":{"shape":{"halves":{"order":["n1","n2"]}}}}"#,
        "`order` names 2 of 3 nodes",
    );
    check(r#"{"partition":{"shape":{"one-way":{"muted":[]}}}}"#, "`muted` names no node");
    check(
        r#"{"stutter":{"target":"leader","stop_ms":0,"run_ms":5}}"#,
        "`stop_ms` is 0; a beat takes at least a millisecond",
    );
    check(
        r#"{"cpu":{"target":"leader","percent":0}}"#,
        "`percent` is 0; it goes from 1 to 100",
    );
    check(
        r#"{"fd":{"target":"leader","spare":4294967295}}"#,
        "`spare` is 4294967295; a process may have 100000 descriptors more at most",
    );
}

#[test]
fn who_is_killed_for_want_of_memory_stays_down_until_the_heal() {
    let fault: Fault = serde_json::from_str(r#"{"memory":{"target":{"node":"n2"},"spare_kib":64}}"#).unwrap();
    let resolved = fault.resolve(&nodes(3), &State::default(), &Roles::default()).unwrap();
    assert_eq!(
        serde_json::to_string(&resolved).unwrap(),
        r#"{"nodes":["n2"],"state":{"down":["n2"],"limits":{"n2":{"spare_memory_kib":64}}}}"#
    );
}

#[test]
fn a_limit_that_is_there_already_is_not_set_twice() {
    let fault: Fault = serde_json::from_str(r#"{"cpu":{"target":{"node":"n2"},"percent":5}}"#).unwrap();
    let now = fault.resolve(&nodes(3), &State::default(), &Roles::default()).unwrap().state;
    let skipped = fault.resolve(&nodes(3), &now, &Roles::default()).unwrap_err();
    assert_eq!(skipped.to_string(), "node n2 is limited already");
}

#[test]
fn a_storm_beats_and_a_kill_does_not() {
    let storm: Fault = serde_json::from_str(r#"{"restart-storm":{"target":"leader","up_ms":50,"down_ms":5}}"#).unwrap();
    assert_eq!(storm.pulse(), Some(Pulse { on_ms: 5, off_ms: 50 }));
    let kill: Fault = serde_json::from_str(r#"{"kill":{"target":"leader"}}"#).unwrap();
    assert_eq!(kill.pulse(), None);
}

#[test]
fn a_clock_fault_is_written_by_its_shape_and_asks_for_a_skew() {
    let text = r#"{"clock":{"target":{"node":"n2"},"shape":{"jump":{"offset_ms":-2500}}}}"#;
    let fault: Fault = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&fault).unwrap(), text);
    let resolved = fault.resolve(&nodes(3), &State::default(), &Roles::default()).unwrap();
    assert_eq!(
        serde_json::to_string(&resolved).unwrap(),
        r#"{"nodes":["n2"],"state":{"clocks":{"n2":{"offset_ms":-2500}}}}"#
    );
    for shape in [
        r#""freeze""#,
        r#"{"drift":{"ppm":-200}}"#,
        r#"{"strobe":{"offset_ms":5,"period_ms":7}}"#,
    ] {
        let text = format!(r#"{{"clock":{{"target":"leader","shape":{shape}}}}}"#);
        let fault: Fault = serde_json::from_str(&text).unwrap();
        assert_eq!((fault.validate(&nodes(3)), serde_json::to_string(&fault).unwrap()), (Ok(()), text));
    }
    let nothing: Fault = serde_json::from_str(r#"{"clock":{"target":"leader","shape":{"drift":{"ppm":0}}}}"#).unwrap();
    assert_eq!(nothing.validate(&nodes(3)).unwrap_err(), "this skew leaves the clock right");
    let stranger: Fault = serde_json::from_str(r#"{"clock":{"target":{"node":"n9"},"shape":"freeze"}}"#).unwrap();
    assert!(stranger.validate(&nodes(3)).unwrap_err().contains("`n9`"));
}

#[test]
fn a_follower_is_whoever_is_up_and_does_not_lead() {
    let fault: Fault = serde_json::from_str(r#"{"kill":{"target":{"follower":{"order":["n2","n1","n3"]}}}}"#).unwrap();
    assert!(fault.asks().leader);
    let mut now = State::default();
    let hit = |now: &State| fault.resolve(&nodes(3), now, &served(None)).unwrap().nodes;
    assert_eq!(hit(&now), ["n1"], "n2 leads");
    now.down.insert("n1".into());
    assert_eq!(hit(&now), ["n3"]);
    assert!(
        fault.resolve(&nodes(3), &now, &Roles::default()).is_err(),
        "without a leader nobody follows"
    );
}

#[test]
fn the_source_of_an_event_is_hit_if_there_was_one() {
    let fault: Fault = serde_json::from_str(r#"{"kill":{"target":"source"}}"#).unwrap();
    let source = Roles {
        source: Some("n3".into()),
        ..Roles::default()
    };
    let resolved = fault.resolve(&nodes(3), &State::default(), &source).unwrap();
    assert_eq!(resolved.nodes, ["n3"]);
    let skipped = fault.resolve(&nodes(3), &State::default(), &Roles::default()).unwrap_err();
    assert_eq!(skipped.to_string(), "it waited for no event of a node");
}

#[test]
fn a_candidate_is_hit_while_there_is_one() {
    let fault = Fault::Pause(Pause {
        target: TargetChoice::Candidate,
    });
    assert!(fault.asks().candidate && fault.asks().needs() == [Capability::Candidates]);
    let roles = |candidate: Option<&str>| Roles {
        candidate: candidate.map(str::to_owned),
        ..Roles::default()
    };
    let hit = fault.resolve(&nodes(3), &State::default(), &roles(Some("n2"))).unwrap();
    assert_eq!((&hit.nodes[..], hit.state.paused.contains("n2")), (&["n2".to_owned()][..], true));
    let nobody = fault.resolve(&nodes(3), &State::default(), &roles(None)).unwrap_err();
    assert_eq!(nobody.to_string(), "no node asks to be the leader");
    let paused = hit.state;
    let again = fault.resolve(&nodes(3), &paused, &roles(Some("n2"))).unwrap_err();
    assert_eq!(again.to_string(), "candidate n2 is paused already");
}

#[test]
fn the_newest_log_is_that_of_the_highest_term_and_then_of_the_highest_index() {
    let fault = Fault::Kill(Kill {
        target: TargetChoice::Newest {
            order: ["n3", "n1", "n2"].map(String::from).to_vec(),
        },
    });
    assert!(fault.asks().logs && fault.asks().needs() == [Capability::Logs]);
    let hit = |logs: &[(&str, (u64, u64))], now: &State| {
        let roles = Roles {
            logs: logs.iter().map(|(node, log)| ((*node).to_owned(), *log)).collect(),
            ..Roles::default()
        };
        let resolved = fault.resolve(&nodes(3), now, &roles);
        resolved.map_or_else(|skipped| skipped.to_string(), |resolved| resolved.nodes.concat())
    };
    let well = State::default();
    assert_eq!(hit(&[("n1", (2, 9)), ("n2", (3, 1)), ("n3", (2, 80))], &well), "n2");
    assert_eq!(
        hit(&[("n1", (3, 9)), ("n2", (3, 9)), ("n3", (3, 8))], &well),
        "n1",
        "of two the first in the order"
    );
    assert_eq!(hit(&[], &well), "no node says how far its log goes");
    let down = State {
        down: BTreeSet::from(["n2".into()]),
        ..State::default()
    };
    let only = [("n2", (3, 1)), ("n1", (2, 9)), ("n3", (2, 9))];
    assert_eq!(hit(&only, &down), "no node can be hit: the first, n3, is not the newest");
}

#[test]
fn a_cluster_shrinks_to_nodes_that_run_and_never_twice_at_once() {
    let shrink = |order: &[&str], to| {
        Fault::Shrink(Shrink {
            order: order.iter().map(|node| (*node).to_owned()).collect(),
            to,
        })
    };
    let fault = shrink(&["n4", "n2", "n5", "n1", "n3"], 2);
    let gone = |now: &State| {
        fault
            .resolve(&nodes(5), now, &Roles::default())
            .map(|resolved| resolved.state.removed)
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(gone(&State::default()).unwrap(), names(&["n1", "n3", "n5"]));
    let away = State {
        down: names(&["n4"]),
        paused: names(&["n2"]),
        ..State::default()
    };
    assert_eq!(gone(&away).unwrap(), names(&["n2", "n3", "n4"]), "n5 and n1 stay");
    let only_one_runs = State {
        down: names(&["n1", "n2", "n3", "n4"]),
        ..State::default()
    };
    assert_eq!(gone(&only_one_runs).unwrap_err().to_string(), "2 are to stay, and 1 of them run");
    let shrunk = State {
        removed: names(&["n3"]),
        ..State::default()
    };
    assert!(gone(&shrunk).unwrap_err().to_string().starts_with("n3 is no member now"));
    let refused = |fault: Fault| fault.validate(&nodes(3)).unwrap_err();
    assert_eq!(refused(shrink(&["n1", "n2", "n3"], 3)), "`to` is 3; it goes from 1 to 2");
    assert_eq!(refused(shrink(&["n1", "n2", "n3"], 0)), "`to` is 0; it goes from 1 to 2");
    assert_eq!(refused(shrink(&["n1", "n2"], 1)), "`order` names 2 of 3 nodes");
}
