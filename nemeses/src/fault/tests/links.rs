//! Bad links: what a plan may say of them, and which links it comes to.

use std::collections::BTreeSet;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::nodes;
use crate::fault::{Dice, Fault, Resolved};
use crate::link::{Pair, Quality};
use crate::partition;
use crate::target::{Roles, Skipped};
use crate::world::{Compose, State};

fn fault(text: &str) -> Fault {
    let fault: Fault = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&fault).unwrap(), text);
    fault
}

fn resolve(fault: &Fault, now: &State) -> Result<Resolved, Skipped> {
    let roles = Roles {
        leader: Some("n2".into()),
        ..Roles::default()
    };
    fault.resolve(&nodes(3), now, &roles)
}

fn links(fault: &Fault) -> String {
    let resolved = resolve(fault, &State::default()).unwrap();
    let names: Vec<String> = resolved.state.links.keys().map(ToString::to_string).collect();
    names.join(" ")
}

#[test]
fn hits_the_links_that_were_asked_for() {
    let slow = r#""quality":{"delay_us":50000}"#;
    let check = |on: &str, expected: &str| assert_eq!(links(&fault(&format!(r#"{{"delay":{{"on":{on},{slow}}}}}"#))), expected);
    check(r#""everywhere""#, "n1>n2 n1>n3 n2>n1 n2>n3 n3>n1 n3>n2");
    check(r#"{"links":["n1>n2","clients>n3"]}"#, "clients>n3 n1>n2");
    check(r#"{"around":"leader"}"#, "n1>n2 n2>n1 n2>n3 n3>n2");
    check(r#"{"from":{"node":"n1"}}"#, "n1>n2 n1>n3");
    check(r#"{"to":{"any":{"order":["n3","n1","n2"]}}}"#, "n1>n3 n2>n3");
    check(r#"{"clients":"leader"}"#, "clients>n2 n2>clients");
}

#[test]
fn names_the_word_that_is_wrong() {
    let check = |text: &str, expected: &str| {
        let error = serde_json::from_str::<Fault>(text).unwrap().validate(&nodes(3)).unwrap_err();
        assert_eq!(error, expected, "{text}");
    };
    check(
        r#"{"delay":{"on":"everywhere","quality":{}}}"#,
        "`quality` is empty: a `delay` says what is wrong with the links",
    );
    check(
        r#"{"delay":{"on":"everywhere","quality":{"delay_us":50000,"loss_ppm":20000}}}"#,
        "`quality` has a field that no `delay` has; use the fault that it belongs to as well",
    );
    check(
        r#"{"delay":{"on":{"links":["n1>n9"]},"quality":{"delay_us":50000}}}"#,
        "link `n1>n9`: there is no node `n9`; there are n1, n2, n3, clients",
    );
    check(r#"{"delay":{"on":{"links":[]},"quality":{"delay_us":50000}}}"#, "no link is named");
    check(
        r#"{"loss":{"on":"everywhere","quality":{"loss_ppm":1000}}}"#,
        "`loss_ppm` is 1000; below 10000 no probe can tell that it bites",
    );
    check(
        r#"{"loss":{"on":"everywhere","quality":{"loss_ppm":1000000}}}"#,
        "`loss_ppm` is 1000000; above 990000 no probe can tell what it does",
    );
    check(
        r#"{"mtu":{"on":"everywhere","quality":{"mtu":1500}}}"#,
        "`mtu` is 1500; above 1499 no probe can tell what it does",
    );
    check(
        r#"{"client-cut":{"on":{"clients":{"node":"n7"}},"quality":{"cut":true}}}"#,
        "there is no node `n7`; there are n1, n2, n3",
    );
    check(r#"{"swizzle":{"links":{}}}"#, "no link is named");
}

#[test]
fn is_skipped_where_it_could_not_be_seen() {
    let lossy = fault(r#"{"loss":{"on":{"around":{"node":"n1"}},"quality":{"loss_ppm":100000}}}"#);
    let cut = State {
        cuts: partition::isolate("n1", &nodes(3)),
        ..State::default()
    };
    assert_eq!(resolve(&lossy, &cut).unwrap_err().0, "another fault cuts all of these links now");
    let half_cut = State {
        cuts: partition::one_way(&["n1".into()], &nodes(3)),
        ..State::default()
    };
    assert!(resolve(&lossy, &half_cut).is_ok(), "the way back can be seen");
    let reset = fault(r#"{"reset":{"on":{"around":{"node":"n1"}},"quality":{"resets":1}}}"#);
    assert_eq!(
        resolve(&reset, &half_cut).unwrap_err().0,
        "another fault cuts all of these links now"
    );

    let narrow = fault(r#"{"mtu":{"on":{"from":{"node":"n1"}},"quality":{"mtu":1000}}}"#);
    let now = resolve(&narrow, &State::default()).unwrap().state;
    assert_eq!(resolve(&narrow, &now).unwrap_err().0, "other faults ask as much of these links now");
    let more = resolve(&lossy, &resolve(&lossy, &State::default()).unwrap().state);
    assert!(more.is_ok(), "two that lose a tenth each lose more than one");
}

#[test]
fn a_second_reset_is_another_reset() {
    let reset = fault(r#"{"reset":{"on":"everywhere","quality":{"resets":1}}}"#);
    let mut now = resolve(&reset, &State::default()).unwrap().state;
    now.and(&resolve(&reset, &now).unwrap().state);
    assert_eq!(now.links[&Pair::new("n1", "n2")].resets, 2);
}

#[test]
fn a_swizzle_cuts_one_by_one_then_all_and_heals_in_another_order() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut reordered = 0;
    for _ in 0..50 {
        let fault = Fault::draw("swizzle", &mut Dice::new(&nodes(5), &[], &mut rng));
        let state = fault.resolve(&nodes(5), &State::default(), &Roles::default()).unwrap().state;
        let gates = state.links.iter().map(|(pair, quality)| (pair, quality.flap.unwrap()));
        let both_ways = |pair: &Pair| state.links[pair] == state.links[&pair.back()];
        let one_way: Vec<_> = gates
            .filter(|(pair, _)| both_ways(pair) && pair.from < pair.to)
            .map(|(_, gate)| gate)
            .collect();
        assert_eq!(one_way.len() * 2, state.links.len(), "both ways at once");
        let cut: BTreeSet<u64> = one_way.iter().map(|gate| gate.first_us).collect();
        let healed: BTreeSet<u64> = one_way.iter().map(|gate| gate.first_us + gate.closed_us).collect();
        assert_eq!((cut.len(), healed.len()), (one_way.len(), one_way.len()), "one by one");
        assert!(cut.last() < healed.first(), "for a while all are cut");
        let mut order = one_way.clone();
        order.sort_by_key(|gate| gate.first_us);
        reordered += u32::from(!order.is_sorted_by_key(|gate| gate.first_us + gate.closed_us));
    }
    assert!(reordered > 40, "{reordered} of 50");
}

#[test]
fn a_kind_may_set_its_own_part_and_nothing_else() {
    let whole = Quality {
        delay_us: 50_000,
        loss_ppm: 100_000,
        mtu: Some(1000),
        refuse: true,
        ..Quality::default()
    };
    for kind in ["delay", "loss", "mtu", "reset"] {
        let text = format!(
            r#"{{"{kind}":{{"on":"everywhere","quality":{}}}}}"#,
            serde_json::to_string(&whole).unwrap()
        );
        assert!(serde_json::from_str::<Fault>(&text).unwrap().validate(&nodes(3)).is_err(), "{kind}");
    }
}
