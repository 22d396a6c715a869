//! Faults by failure domain: whom they hit, and what is no domain.

use std::collections::BTreeSet;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::nodes;
use crate::fault::domain::{RackDown, RegionSlow, SpineCut};
use crate::fault::{Dice, FAULTS, Fault, Ground, Site};
use crate::link::{CLIENTS, Pair, Quality};
use crate::target::{Roles, Skipped};
use crate::topology::{Shape, Topology};
use crate::world::State;
use crate::{FaultInfo, Resolved};

fn of(shape: &str) -> Topology {
    shape.parse::<Shape>().unwrap().into()
}

fn resolve(fault: &Fault, topology: &Topology, now: &State) -> Result<Resolved, Skipped> {
    let nodes = nodes(topology.n_nodes());
    let ground = Ground {
        nodes: &nodes,
        spares: &[],
        topology: Some(topology),
    };
    fault.resolve(ground, now, &Roles::default())
}

fn rack_down(domain: &str) -> Fault {
    Fault::RackDown(RackDown { domain: domain.into() })
}

fn slow(domain: &str, delay_us: u64) -> Fault {
    let quality = Quality {
        delay_us,
        ..Quality::default()
    };
    Fault::RegionSlow(RegionSlow {
        domain: domain.into(),
        quality,
    })
}

#[test]
fn who_is_in_a_lost_rack_reaches_nobody_and_everybody_else_reaches_each_other() {
    let state = resolve(&rack_down("rack2"), &of("3x2"), &State::default()).unwrap().state;
    let lost = ["n3", "n4"];
    for from in nodes(6) {
        for to in nodes(6).into_iter().filter(|to| *to != from) {
            let touched = lost.contains(&from.as_str()) || lost.contains(&to.as_str());
            assert_eq!(state.cuts.contains(&(from.clone(), to.clone())), touched, "{from}>{to}");
        }
    }
    let clients: BTreeSet<Pair> = state.links.keys().cloned().collect();
    let expected = lost
        .into_iter()
        .flat_map(|node| [Pair::new(CLIENTS, node), Pair::new(node, CLIENTS)]);
    assert_eq!(clients, expected.collect());
    assert!(state.links.values().all(Quality::is_plain_cut));
}

#[test]
fn a_lost_zone_is_all_of_its_racks() {
    let state = resolve(&rack_down("zone1"), &of("2x2x1"), &State::default()).unwrap().state;
    assert!(state.cuts.contains(&("n1".into(), "n2".into())) && state.cuts.contains(&("n4".into(), "n2".into())));
    assert!(!state.cuts.contains(&("n3".into(), "n4".into())));
}

#[test]
fn a_lost_spine_leaves_the_ways_by_the_other() {
    let topology = of("3x1");
    let both: Vec<State> = [1, 2]
        .map(|spine| {
            resolve(&Fault::SpineCut(SpineCut { spine }), &topology, &State::default())
                .unwrap()
                .state
        })
        .to_vec();
    assert!(both.iter().all(|state| !state.cuts.is_empty()));
    assert!(both[0].cuts.is_disjoint(&both[1].cuts));
    assert_eq!(
        both[0].cuts.len() + both[1].cuts.len(),
        6,
        "every way between three racks goes by one of them"
    );
}

#[test]
fn a_slow_region_is_slow_to_all_others_and_not_within() {
    let state = resolve(&slow("zone1", 50_000), &of("2x2x1"), &State::default()).unwrap().state;
    let pairs: Vec<String> = state.links.keys().map(Pair::to_string).collect();
    assert_eq!(pairs, ["n1>n3", "n1>n4", "n2>n3", "n2>n4", "n3>n1", "n3>n2", "n4>n1", "n4>n2"]);
    assert!(state.links.values().all(|quality| quality.delay_us == 50_000) && state.cuts.is_empty());
}

#[test]
fn what_others_cut_already_is_not_cut_again() {
    let topology = of("3x1");
    let all = resolve(&rack_down("rack1"), &topology, &State::default()).unwrap().state;
    assert_eq!(
        resolve(&rack_down("rack1"), &topology, &all).unwrap_err().to_string(),
        "other faults cut all of these links already"
    );
    let nodes_only = State {
        cuts: all.cuts,
        ..State::default()
    };
    assert!(
        resolve(&rack_down("rack1"), &topology, &nodes_only).is_ok(),
        "the clients are still to be cut off"
    );
}

#[test]
fn what_is_no_domain_or_cannot_be_seen_is_refused() {
    let check = |fault: &Fault, shape: &str, expected: &str| {
        let (topology, nodes) = (of(shape), nodes(4));
        let ground = Ground {
            nodes: &nodes,
            spares: &[],
            topology: Some(&topology),
        };
        let error = fault.validate(ground).unwrap_err();
        assert!(error.contains(expected), "{error}");
    };
    check(
        &rack_down("rack9"),
        "2x2",
        "there is no domain `rack9`; there are rack1, rack2, zone1, region1",
    );
    check(
        &Fault::SpineCut(SpineCut { spine: 0 }),
        "2x2",
        "there is no spine 0; there are 1 to 2",
    );
    check(
        &Fault::SpineCut(SpineCut { spine: 3 }),
        "2x2",
        "there is no spine 3; there are 1 to 2",
    );
    check(&slow("rack1", 4_999), "2x2", "below 5000 no probe can tell");
    check(&slow("rack1", 0), "2x2", "is a `delay_us`");
    check(
        &slow("zone1", 50_000),
        "2x2",
        "all nodes are in `zone1`, and no link leads out of it",
    );
    let lossy = Fault::RegionSlow(RegionSlow {
        domain: "rack1".into(),
        quality: Quality {
            delay_us: 50_000,
            loss_ppm: 100_000,
            ..Quality::default()
        },
    });
    check(&lossy, "2x2", "is a `delay_us`");
}

#[test]
fn a_kind_that_needs_domains_says_so_where_there_are_none() {
    let by_domain: Vec<&FaultInfo> = FAULTS.iter().filter(|info| info.is_by_domain()).collect();
    assert_eq!(
        by_domain.iter().map(|info| info.name).collect::<Vec<_>>(),
        ["rack-down", "spine-cut", "region-slow"]
    );
    let (three, one) = (of("3x1"), of("1x3"));
    let site = |topology, balancer| Site {
        topology,
        balancer,
        spares: true,
    };
    for info in FAULTS {
        let needs = |site| info.impossible_on(site).is_some();
        assert_eq!(
            needs(Site::default()),
            info.is_by_domain() || info.is_of_balancer() || info.needs_spares(),
            "{}",
            info.name
        );
        assert_eq!(needs(site(None, true)), info.is_by_domain(), "{}", info.name);
        assert_eq!(needs(site(Some(&three), false)), info.is_of_balancer(), "{}", info.name);
        assert!(!needs(site(Some(&three), true)), "{}", info.name);
        assert_eq!(needs(site(Some(&one), true)), info.name == "region-slow");
    }
    for fault in [rack_down("rack1"), slow("rack1", 50_000), Fault::SpineCut(SpineCut { spine: 1 })] {
        assert!(fault.validate(&nodes(3)).unwrap_err().contains("`--topology 3x2`"));
        assert!(fault.resolve(&nodes(3), &State::default(), &Roles::default()).is_err());
    }
}

#[test]
fn a_slow_region_is_drawn_among_the_largest_domains_that_there_are_several_of() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for (shape, tier) in [("3x1", "rack"), ("2x2x1", "zone"), ("2x2x1x1", "region")] {
        let topology = of(shape);
        let nodes = nodes(topology.n_nodes());
        let mut dice = Dice::new(&nodes, &[], &mut rng);
        dice.topology = Some(&topology);
        let drawn: BTreeSet<String> = (0..50)
            .map(|_| match Fault::draw("region-slow", &mut dice) {
                Fault::RegionSlow(fault) => fault.domain,
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(drawn.len() > 1 && drawn.iter().all(|domain| domain.starts_with(tier)), "{drawn:?}");
    }
}
