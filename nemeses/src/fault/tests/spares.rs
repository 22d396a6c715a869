//! Faults by which nodes join that were not there at first.

use std::collections::BTreeSet;

use super::nodes;
use crate::fault::member::Membership;
use crate::fault::partition::{Partition, Shape};
use crate::fault::spare::{Grow, Replace};
use crate::fault::{FAULTS, Fault, Ground, Resolved, Site};
use crate::target::{Roles, Skipped, TargetChoice};
use crate::world::State;

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn resolve(fault: &Fault, spares: &[&str], now: &State) -> Result<Resolved, Skipped> {
    let spares: Vec<String> = spares.iter().map(|name| (*name).to_owned()).collect();
    let (mut nodes, roles) = (
        nodes(3),
        Roles {
            leader: Some("n4".into()),
            ..Roles::default()
        },
    );
    nodes.extend(now.joined.iter().cloned());
    let ground = Ground {
        nodes: &nodes,
        spares: &spares,
        topology: None,
    };
    fault.resolve(ground, now, &roles)
}

fn replace(target: TargetChoice) -> Fault {
    Fault::Replace(Replace { target })
}

fn any(order: &[&str]) -> TargetChoice {
    TargetChoice::Any {
        order: order.iter().map(|name| (*name).to_owned()).collect(),
    }
}

#[test]
fn a_cluster_grows_by_the_spare_nodes_that_are_free_in_their_order() {
    let grow = Fault::Grow(Grow { by: 2 });
    let joined = |spares: &[&str]| resolve(&grow, spares, &State::default()).map(|resolved| resolved.state);
    let expected = |joined: &[&str]| State {
        joined: names(joined),
        ..State::default()
    };
    assert_eq!(joined(&["n6", "n4", "n5"]), Ok(expected(&["n4", "n6"])));
    assert_eq!(joined(&["n5"]), Ok(expected(&["n5"])), "one that is free is better than none");
    assert_eq!(joined(&[]).unwrap_err().to_string(), "no spare node is free");
}

#[test]
fn who_is_replaced_is_killed_and_taken_out_as_a_spare_node_joins() {
    let resolved = resolve(&replace(any(&["n2", "n1", "n3"])), &["n4"], &State::default()).unwrap();
    assert_eq!(resolved.nodes, ["n2"]);
    let expected = State {
        removed: names(&["n2"]),
        down: names(&["n2"]),
        joined: names(&["n4"]),
        ..State::default()
    };
    assert_eq!(resolved.state, expected);
    let down = State {
        down: names(&["n2"]),
        ..State::default()
    };
    let other = resolve(&replace(any(&["n2", "n1", "n3"])), &["n4"], &down).unwrap();
    assert_eq!(other.nodes, ["n1"], "who is down already proves nothing");
    assert!(resolve(&replace(any(&["n2"])), &[], &State::default()).is_err());
    let removed = State {
        removed: names(&["n3"]),
        ..State::default()
    };
    assert!(resolve(&replace(any(&["n2"])), &["n4"], &removed).is_err());
}

#[test]
fn who_joined_by_a_fault_is_neither_removed_nor_replaced_by_another() {
    let now = State {
        joined: names(&["n4"]),
        ..State::default()
    };
    let leader = TargetChoice::Leader;
    for fault in [replace(leader.clone()), Fault::Membership(Membership { target: leader })] {
        let why = resolve(&fault, &["n5"], &now).unwrap_err().to_string();
        assert_eq!(why, "leader n4 is a spare node, which leaves by itself");
    }
}

#[test]
fn a_partition_puts_who_joined_on_a_side() {
    let order = nodes(3);
    let halves = Fault::Partition(Partition {
        shape: Shape::Halves { order },
    });
    let now = State {
        joined: names(&["n4"]),
        ..State::default()
    };
    let cuts = resolve(&halves, &[], &now).unwrap().state.cuts;
    assert!(
        cuts.contains(&("n1".into(), "n4".into())) && !cuts.contains(&("n3".into(), "n4".into())),
        "{cuts:?}"
    );
    let alone = Fault::Partition(Partition {
        shape: Shape::IsolateOne {
            target: TargetChoice::Leader,
        },
    });
    let cuts = resolve(&alone, &[], &now).unwrap().state.cuts;
    assert_eq!(cuts.len(), 6, "n4, which leads, and the three others: {cuts:?}");
}

#[test]
fn without_spare_nodes_the_kinds_that_take_them_say_so() {
    for info in FAULTS.iter().filter(|info| info.needs_spares()) {
        let why = info.impossible_on(Site::default()).unwrap();
        assert!(why.contains("`--spares 2`"), "{why}");
    }
    let ground = |spares| Ground {
        spares,
        ..Ground::from(&[][..])
    };
    let (two, grow) = (["n4".to_owned(), "n5".to_owned()], |by| Fault::Grow(Grow { by }));
    assert_eq!(grow(2).validate(ground(&two)), Ok(()));
    for by in [0, 3] {
        let error = grow(by).validate(ground(&two)).unwrap_err();
        assert_eq!(error, format!("`by` is {by}; it goes from 1 to 2, the number of spare nodes"));
    }
}
