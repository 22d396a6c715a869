//! Whoever was struck in an earlier run is struck again, whatever role they play.

use serde_json::json;

use super::nodes;
use crate::fault::{Asks, Fault, Ground};
use crate::target::{KeyRoles, Roles, Struck};
use crate::world::State;

fn again(fault: serde_json::Value, struck: Struck, now: &State) -> Result<crate::fault::Resolved, String> {
    let fault: Fault = serde_json::from_value(fault).unwrap();
    let (nodes, spares) = (nodes(5), ["n6", "n7"].map(String::from));
    let ground = Ground {
        nodes: &nodes,
        spares: &spares,
        topology: None,
    };
    let roles = Roles {
        leader: Some("n1".into()),
        key: struck.key.clone(),
        struck: Some(struck),
        ..Roles::default()
    };
    fault.resolve(ground, now, &roles).map_err(|skipped| skipped.to_string())
}

fn struck(nodes: &[&str]) -> Struck {
    Struck {
        nodes: nodes.iter().map(ToString::to_string).collect(),
        ..Struck::default()
    }
}

#[test]
fn the_same_nodes_are_struck_whoever_leads_now() {
    let well = State::default();
    for target in ["leader", "follower", "candidate", "newest", "source", "any", "coordinator"] {
        let resolved = again(json!({"kill": {"target": target}}), struck(&["n3"]), &well).unwrap();
        assert_eq!(resolved.nodes, ["n3"], "{target}");
    }
    let resolved = again(json!({"pause": {"target": "majority"}}), struck(&["n5", "n1", "n2"]), &well).unwrap();
    assert_eq!(resolved.nodes, ["n5", "n1", "n2"]);
    assert_eq!(resolved.state.paused.len(), 3);
    let shrunk = again(json!({"shrink": {"to": 3, "order": nodes(5)}}), struck(&["n2", "n4"]), &well).unwrap();
    assert_eq!(shrunk.state.removed, ["n2", "n4"].map(String::from).into());
}

#[test]
fn one_that_cannot_be_struck_is_not_replaced_by_another() {
    let now = State {
        down: ["n3".to_owned()].into(),
        ..State::default()
    };
    let skipped = again(json!({"kill": {"target": "leader"}}), struck(&["n3"]), &now).unwrap_err();
    assert_eq!(skipped, "node n3 is down already");
    let skipped = again(json!({"kill": {"target": "majority"}}), struck(&["n1", "n3", "n2"]), &now).unwrap_err();
    assert_eq!(skipped, "node n3 is down already");
}

#[test]
fn the_same_spare_nodes_join_and_the_same_key_loses_its_coordinator() {
    let well = State::default();
    let with_spare = |spare: &str| Struck {
        spares: vec![spare.into()],
        ..struck(&["n2"])
    };
    let replaced = again(json!({"replace": {"target": "leader"}}), with_spare("n7"), &well).unwrap();
    assert_eq!(
        (replaced.nodes, replaced.state.joined),
        (vec!["n2".to_owned()], ["n7".to_owned()].into())
    );
    let gone = again(json!({"grow": {"by": 1}}), with_spare("n8"), &well).unwrap_err();
    assert_eq!(gone, "the spare node n8 is not free");
    let key = KeyRoles {
        key: "k9".into(),
        coordinator: None,
        replicas: ["n4", "n5", "n1"].map(String::from).to_vec(),
    };
    let key = Struck {
        key: Some(key),
        ..struck(&["n4"])
    };
    let order = ["n1", "n2", "n3", "n4", "n5"];
    let cut = again(json!({"partition": {"shape": {"cut-coordinator": {"order": order}}}}), key, &well).unwrap();
    assert_eq!((&cut.nodes[..], cut.key.unwrap().key.as_str()), (&["n4".to_owned()][..], "k9"));
}

#[test]
fn nothing_is_asked_for_again_but_who_leads_when_the_leadership_is_handed_over() {
    let asks = |value: serde_json::Value| serde_json::from_value::<Fault>(value).unwrap().asks_again();
    assert_eq!(asks(json!({"kill": {"target": "leader"}})), Asks::default());
    assert_eq!(asks(json!({"transfer": {"target": "any"}})), Asks::LEADER);
    let skipped = again(json!({"transfer": {"target": "any"}}), struck(&["n1"]), &State::default()).unwrap_err();
    assert_eq!(skipped, "node n1 is the leader already");
}
