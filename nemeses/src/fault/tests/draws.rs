//! Drawing: the same from the same seed, everything that there is, nothing that is wrong.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::nodes;
use crate::capability::Capability;
use crate::fault::partition::Partition;
use crate::fault::{Asks, Dice, FAULTS, Fault, Ground};
use crate::target::{KeyRoles, Roles};
use crate::topology::{Shape, Topology};
use crate::world::State;

fn draw(kind: &str, n: usize, capabilities: &[Capability], rng: &mut ChaCha8Rng) -> Fault {
    let (nodes, topology) = (nodes(n), one_rack_each(n));
    let mut dice = Dice::new(&nodes, capabilities, rng);
    dice.topology = Some(&topology);
    Fault::draw(kind, &mut dice)
}

fn one_rack_each(n: usize) -> Topology {
    format!("{n}x1").parse::<Shape>().unwrap().into()
}

fn every_capability() -> Vec<Capability> {
    vec![
        Capability::Kill,
        Capability::Pause,
        Capability::Restart,
        Capability::Leader,
        Capability::Replicas,
        Capability::Transfer,
        Capability::Membership,
    ]
}

fn everything_known() -> Roles {
    let key = KeyRoles {
        key: "k3".into(),
        coordinator: None,
        replicas: nodes(3),
    };
    Roles {
        leader: Some("n2".into()),
        key: Some(key),
        ..Roles::default()
    }
}

#[test]
fn the_same_generator_draws_the_same_faults() {
    let many = || -> Vec<Fault> {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        FAULTS
            .iter()
            .cycle()
            .take(120)
            .map(|info| draw(info.name, 5, &every_capability(), &mut rng))
            .collect()
    };
    assert_eq!(many(), many());
}

#[test]
fn every_shape_appears_and_one_node_alone_most() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut n_by_shape = BTreeMap::new();
    for _ in 0..700 {
        let Fault::Partition(Partition { shape }) = draw("partition", 5, &every_capability(), &mut rng) else {
            unreachable!()
        };
        let name = serde_json::to_value(&shape)
            .unwrap()
            .as_object()
            .unwrap()
            .keys()
            .next()
            .unwrap()
            .clone();
        *n_by_shape.entry(name).or_insert(0) += 1;
    }
    assert_eq!(n_by_shape.len(), 6, "{n_by_shape:?}");
    assert!(n_by_shape.values().all(|&n| n > 60), "{n_by_shape:?}");
    assert_eq!(n_by_shape.iter().max_by_key(|(_, n)| **n).unwrap().0, "isolate-one");
}

#[test]
fn every_draw_is_valid_and_hits_somebody() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for (n, info) in (3..=9).flat_map(|n| FAULTS.iter().map(move |info| (n, info))) {
        for capabilities in [vec![], every_capability()] {
            for _ in 0..50 {
                let fault = draw(info.name, n, &capabilities, &mut rng);
                let (nodes, topology) = (nodes(n), one_rack_each(n));
                let spares = ["n10".to_owned(), "n11".to_owned()];
                let ground = Ground {
                    nodes: &nodes,
                    spares: &spares,
                    topology: Some(&topology),
                };
                fault.validate(ground).unwrap();
                assert_eq!(fault.kind(), info.name);
                let asks = fault.asks();
                assert!(
                    !capabilities.is_empty() || asks == Asks::default() || info.needs.contains(&Capability::Leader),
                    "a role that the system cannot name: {fault:?}"
                );
                let resolved = fault.resolve(ground, &State::default(), &everything_known()).unwrap();
                assert_ne!(resolved.state, State::default(), "{fault:?}");
            }
        }
    }
}

#[test]
fn a_lone_node_cannot_be_partitioned() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for _ in 0..50 {
        let fault = draw("partition", 1, &[], &mut rng);
        let skipped = fault.resolve(&nodes(1), &State::default(), &Roles::default()).unwrap_err();
        assert_eq!(skipped.to_string(), "this shape cuts nothing between 1 nodes");
    }
}

#[test]
fn an_intensity_is_the_way_from_the_mildest_to_the_hardest() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let nodes = nodes(3);
    let mut dice = Dice::new(&nodes, &[], &mut rng);
    let drawn: Vec<u32> = (0..200).map(|_| dice.between(20, 10)).collect();
    assert!(drawn.iter().all(|figure| (10..=20).contains(figure)) && drawn.contains(&20) && drawn.contains(&10));
    dice.intensity = 50..=50;
    assert_eq!((dice.between(20, 10), dice.between(0, 400)), (15, 200));
    dice.intensity = 100..=100;
    assert_eq!((dice.between(20, 1), dice.between(1, 20)), (1, 20));
}
