//! Faults that hit several nodes at once.

use std::collections::BTreeSet;

use serde_json::json;

use super::nodes;
use crate::capability::Capability;
use crate::fault::{Asks, Fault, Resolved};
use crate::target::{Roles, Skipped};
use crate::world::State;

fn fault(value: serde_json::Value) -> Fault {
    serde_json::from_value(value).unwrap()
}

/// Resolved in a cluster of `n` nodes led by n1, of which these are down.
fn hit(fault: &Fault, n: usize, down: &[&str]) -> Result<Resolved, Skipped> {
    let now = State {
        down: down.iter().map(ToString::to_string).collect(),
        ..State::default()
    };
    let roles = Roles {
        leader: Some("n1".into()),
        ..Roles::default()
    };
    fault.resolve(&nodes(n), &now, &roles)
}

fn killed(word: &str, order: &[&str], leader: Option<bool>) -> Fault {
    let mut several = json!({"order": order});
    if let Some(leader) = leader {
        several["leader"] = leader.into();
    }
    fault(json!({"kill": {"target": {word: several}}}))
}

const FIVE: [&str; 5] = ["n4", "n2", "n5", "n1", "n3"];

#[test]
fn a_minority_leaves_a_majority_and_a_majority_does_not() {
    for (n, minority, majority) in [(3, 1, 2), (4, 1, 3), (5, 2, 3), (7, 3, 4)] {
        let names = nodes(n);
        let order: Vec<&str> = names.iter().map(String::as_str).collect();
        for (word, expected) in [("minority", minority), ("majority", majority)] {
            let fault = killed(word, &order, None);
            assert_eq!((fault.validate(&names), fault.n_taken_away(n)), (Ok(()), expected), "{word} of {n}");
            let resolved = hit(&fault, n, &[]).unwrap();
            assert_eq!(resolved.nodes, names[..expected], "the first of the order");
            assert_eq!(resolved.state.down, resolved.nodes.into_iter().collect());
        }
    }
    for fault in [
        json!({"partition": {"shape": {"isolate-one": {"target": {"majority": {"order": FIVE}}}}}}),
        json!({"disk-full": {"target": {"majority": {"order": FIVE}}}}),
        json!({"read-only": {"target": {"majority": {"order": FIVE}}}}),
    ] {
        assert_eq!(self::fault(fault.clone()).n_taken_away(5), 3, "{fault}");
    }
    for whole in [
        json!({"partition": {"shape": {"halves": {"order": FIVE}}}}),
        json!({"slow-disk": {"target": {"majority": {"order": FIVE}}, "delay_ms": 5}}),
    ] {
        assert_eq!(self::fault(whole.clone()).n_taken_away(5), 0, "{whole}");
    }
    for n in [1, 2] {
        let names = nodes(n);
        let order: Vec<&str> = names.iter().map(String::as_str).collect();
        let nobody = killed("minority", &order, None).validate(&names).unwrap_err();
        assert_eq!(nobody, format!("a `minority` of {n} nodes is nobody; it takes at least 3"));
    }
}

#[test]
fn every_kind_that_hits_a_chosen_node_hits_several_alike() {
    let majority = json!({"majority": {"order": FIVE}});
    let of_nodes = [
        json!({"kill": {"target": majority}}),
        json!({"pause": {"target": majority}}),
        json!({"restart-storm": {"target": majority, "up_ms": 50, "down_ms": 50}}),
        json!({"stutter": {"target": majority, "stop_ms": 50, "run_ms": 50}}),
        json!({"clock": {"target": majority, "shape": "freeze"}}),
        json!({"cpu": {"target": majority, "percent": 5}}),
        json!({"memory": {"target": majority, "spare_kib": 64}}),
        json!({"fd": {"target": majority, "spare": 1}}),
        json!({"power": {"hits": {"majority": {"order": FIVE}}}}),
        json!({"torn": {"hits": {"majority": {"order": FIVE}}, "seed": 1}}),
        json!({"fsync": {"target": majority}}),
        json!({"eio": {"target": majority, "operations": ["write"]}}),
        json!({"enospc": {"target": majority}}),
        json!({"slow-disk": {"target": majority, "delay_ms": 5}}),
        json!({"disk-full": {"target": majority}}),
        json!({"read-only": {"target": majority}}),
        json!({"disk-rate": {"target": majority, "kib_per_s": 64}}),
        json!({"bit-rot": {"target": majority, "flips": 1, "seed": 1}}),
        json!({"misdirected-write": {"target": majority, "every": 1, "seed": 1}}),
    ];
    let expected = ["n4", "n2", "n5"];
    for value in of_nodes {
        let fault = fault(value);
        assert_eq!(fault.validate(&nodes(5)), Ok(()), "{fault:?}");
        let Resolved { nodes, state, .. } = hit(&fault, 5, &[]).unwrap();
        assert_eq!(nodes, expected, "{fault:?}");
        let named: BTreeSet<&String> = (state.down.iter().chain(&state.paused))
            .chain(state.clocks.keys().chain(state.limits.keys()).chain(state.disks.keys()))
            .collect();
        assert_eq!(named, nodes.iter().collect(), "{fault:?}");
    }
    let alone = fault(json!({"partition": {"shape": {"isolate-one": {"target": {"minority": {"order": FIVE}}}}}}));
    let cuts = hit(&alone, 5, &[]).unwrap().state.cuts;
    assert_eq!(
        cuts.len(),
        2 * (4 + 4 - 1),
        "each of two is cut off from the four others, both ways"
    );
    let slow = fault(json!({"delay": {"on": {"from": {"minority": {"order": FIVE}}}, "quality": {"delay_us": 9_000}}}));
    assert_eq!(hit(&slow, 5, &[]).unwrap().state.links.len(), 8);
}

#[test]
fn what_hits_one_by_its_nature_takes_no_several() {
    let majority = json!({"majority": {"order": FIVE}});
    for kind in ["transfer", "membership", "replace"] {
        let refused = fault(json!({kind: {"target": majority}})).validate(&nodes(5)).unwrap_err();
        assert_eq!(refused, format!("a `majority` is several nodes, and a `{kind}` hits one"));
    }
    let power = fault(json!({"power": {"hits": {"one": majority}}}))
        .validate(&nodes(5))
        .unwrap_err();
    assert_eq!(
        power,
        "a `majority` is several nodes, and `one` is one; write `hits = \"majority\"`"
    );
    let short = killed("majority", &["n1", "n2"], None).validate(&nodes(5)).unwrap_err();
    assert_eq!(short, "`order` names 2 of 5 nodes");
}

#[test]
fn who_cannot_be_hit_changes_places_and_where_too_few_are_left_nobody_is_hit() {
    let majority = killed("majority", &FIVE, None);
    assert_eq!(hit(&majority, 5, &["n2"]).unwrap().nodes, ["n4", "n5", "n1"]);
    assert_eq!(
        hit(&majority, 5, &["n2", "n4", "n3"]).unwrap_err().to_string(),
        "3 nodes are to be hit at once, and 2 can be: n4 is down already"
    );
}

#[test]
fn the_leader_is_among_them_or_not_as_the_plan_says() {
    assert_eq!(killed("minority", &FIVE, None).asks(), Asks::default());
    let with = killed("minority", &FIVE, Some(true));
    assert_eq!((with.asks(), with.asks().needs()), (Asks::LEADER, vec![Capability::Leader]));
    assert_eq!(hit(&with, 5, &[]).unwrap().nodes, ["n1", "n4"]);
    assert_eq!(
        hit(&killed("majority", &FIVE, Some(false)), 5, &[]).unwrap().nodes,
        ["n4", "n2", "n5"]
    );
    let first = ["n1", "n2", "n3"];
    assert_eq!(hit(&killed("majority", &first, Some(false)), 3, &[]).unwrap().nodes, ["n2", "n3"]);
    assert_eq!(
        hit(&killed("majority", &first, Some(false)), 3, &["n3"]).unwrap_err().to_string(),
        "2 nodes are to be hit at once, and 1 can be: n1 is the leader"
    );
    assert_eq!(hit(&with, 5, &["n1"]).unwrap_err().to_string(), "node n1 is down already");
    let nobody = with.resolve(&nodes(5), &State::default(), &Roles::default()).unwrap_err();
    assert_eq!(nobody.to_string(), "no node takes itself for the leader");
}

#[test]
fn a_majority_is_one_of_those_who_are_members_now() {
    let majority = killed("majority", &["n1", "n2", "n3"], None);
    let grown = nodes(5);
    let roles = Roles::default();
    assert_eq!(
        majority.resolve(&grown, &State::default(), &roles).unwrap().nodes,
        ["n1", "n2", "n3"]
    );
    let shrunk = State {
        removed: BTreeSet::from(["n1".into()]),
        ..State::default()
    };
    assert_eq!(majority.resolve(&nodes(3), &shrunk, &roles).unwrap().nodes, ["n2", "n3"]);
}

#[test]
fn a_word_stands_for_itself_with_all_that_may_be_left_out() {
    let written = |value: serde_json::Value| serde_json::from_value::<Fault>(value).unwrap();
    for word in ["any", "follower", "newest", "minority", "majority", "coordinator"] {
        let mut alone = written(json!({"kill": {"target": word}}));
        assert_eq!(alone, written(json!({"kill": {"target": {word: {}}}})));
        assert_eq!(
            alone.validate(&nodes(3)).unwrap_err(),
            "`order` names no node, so nobody can be hit"
        );
        alone.open_order().expect("it is to be drawn").extend(nodes(3));
        assert_eq!((alone.validate(&nodes(3)), alone.open_order()), (Ok(()), None));
    }
    let mut majority = written(json!({"power": {"hits": "majority"}}));
    assert!(majority.open_order().is_some());
    assert_eq!(written(json!({"power": {"hits": "all"}})).open_order(), None);
    let error = |value: serde_json::Value| serde_json::from_value::<Fault>(value).unwrap_err().to_string();
    assert!(error(json!({"kill": {"target": "most"}})).starts_with("unknown variant `most`, expected one of `node`, `any`"));
    assert_eq!(
        error(json!({"kill": {"target": "node"}})),
        "invalid type: unit variant, expected newtype variant"
    );
    assert_eq!(
        error(json!({"kill": {"target": {"leader": null, "majority": {}}}})),
        "wanted exactly 1 element, more than 1 element"
    );
    assert!(error(json!({"kill": {"target": {"majority": {"ordre": []}}}})).contains("ordre"));
}

#[test]
fn a_history_that_knew_of_one_node_alone_is_still_read() {
    let old: Resolved = serde_json::from_value(json!({"node": "n3", "state": {"down": ["n3"]}})).unwrap();
    assert_eq!(old.nodes, ["n3"]);
    assert_eq!(
        serde_json::to_value(&old).unwrap(),
        json!({"nodes": ["n3"], "state": {"down": ["n3"]}})
    );
    let nobody: Resolved = serde_json::from_value(json!({"node": null, "state": {}})).unwrap();
    assert_eq!(nobody.nodes, [""; 0]);
}
