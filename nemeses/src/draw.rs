//! Drawing faults, when the plan is drawn: here all the chance in a fault is spent.

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt};

use crate::capability::Capability;
use crate::fault::{Fault, Shape};
use crate::target::TargetChoice;

impl Fault {
    /// Draws a fault of a kind of [`crate::FAULTS`], using roles only if the system can name who plays them.
    ///
    /// # Panics
    /// If there is no such kind: look it up first.
    pub fn draw(kind: &str, nodes: &[String], capabilities: &[Capability], rng: &mut (impl Rng + ?Sized)) -> Fault {
        match kind {
            "partition" => Fault::Partition {
                shape: draw_shape(nodes, capabilities, rng),
            },
            "kill" => Fault::Kill {
                target: draw_target(nodes, capabilities, rng),
            },
            "pause" => Fault::Pause {
                target: draw_target(nodes, capabilities, rng),
            },
            "transfer" => Fault::Transfer {
                target: TargetChoice::Any {
                    order: shuffled(nodes, rng),
                },
            },
            "membership" => Fault::Membership {
                target: draw_target(nodes, capabilities, rng),
            },
            _ => panic!("`{kind}` is no kind of fault"),
        }
    }
}

fn shuffled(nodes: &[String], rng: &mut (impl Rng + ?Sized)) -> Vec<String> {
    let mut order = nodes.to_vec();
    order.shuffle(rng);
    order
}

/// One node alone is what happens most in practice, so it gets two cards of seven.
fn draw_shape(nodes: &[String], capabilities: &[Capability], rng: &mut (impl Rng + ?Sized)) -> Shape {
    let order = shuffled(nodes, rng);
    // Two nodes have no ring and no bridge.
    let many = nodes.len() > 2;
    match rng.random_range(0..7) {
        0 => Shape::Halves { order },
        1 if many => Shape::MajoritiesRing { order },
        2 if many => Shape::Bridge { order },
        3 => Shape::OneWay {
            muted: draw_muted(order, rng),
        },
        4 if capabilities.contains(&Capability::Replicas) => Shape::CutCoordinator {
            key_pick: rng.random_range(0..1 << 16),
            order,
        },
        _ => Shape::IsolateOne {
            target: draw_target(nodes, capabilities, rng),
        },
    }
}

/// A node that is not heard, one that hears nobody, or a half: the asymmetries that cost most.
fn draw_muted(order: Vec<String>, rng: &mut (impl Rng + ?Sized)) -> Vec<String> {
    let n = order.len();
    let n_muted = [1, n.saturating_sub(1), n / 2].choose(rng).copied().unwrap_or(1).max(1);
    order.into_iter().take(n_muted).collect()
}

/// Half of the draws go to a role if the system has any: that is where the promises are kept.
fn draw_target(nodes: &[String], capabilities: &[Capability], rng: &mut (impl Rng + ?Sized)) -> TargetChoice {
    let order = shuffled(nodes, rng);
    let key_pick = rng.random_range(0..1 << 16);
    let to_a_role = rng.random_bool(0.5);
    if to_a_role && capabilities.contains(&Capability::Leader) {
        TargetChoice::Leader
    } else if to_a_role && capabilities.contains(&Capability::Replicas) {
        TargetChoice::Coordinator { key_pick, order }
    } else {
        TargetChoice::Any { order }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::fault::{Asks, FAULTS};
    use crate::target::{KeyRoles, Roles};
    use crate::world::State;

    fn nodes(n: usize) -> Vec<String> {
        (1..=n).map(|number| format!("n{number}")).collect()
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
        }
    }

    #[test]
    fn the_same_generator_draws_the_same_faults() {
        let draw = || -> Vec<Fault> {
            let mut rng = ChaCha8Rng::seed_from_u64(7);
            FAULTS
                .iter()
                .cycle()
                .take(60)
                .map(|info| Fault::draw(info.name, &nodes(5), &every_capability(), &mut rng))
                .collect()
        };
        assert_eq!(draw(), draw());
    }

    #[test]
    fn every_shape_appears_and_one_node_alone_most() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut n_by_shape = BTreeMap::new();
        for _ in 0..700 {
            let Fault::Partition { shape } = Fault::draw("partition", &nodes(5), &every_capability(), &mut rng) else {
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
                    let fault = Fault::draw(info.name, &nodes(n), &capabilities, &mut rng);
                    fault.validate(&nodes(n)).unwrap();
                    assert_eq!(fault.kind(), info.name);
                    let asks = fault.asks();
                    assert!(
                        !capabilities.is_empty() || asks == Asks::default() || info.needs.contains(&Capability::Leader),
                        "a role that the system cannot name: {fault:?}"
                    );
                    let resolved = fault.resolve(&nodes(n), &State::default(), &everything_known()).unwrap();
                    assert_ne!(resolved.state, State::default(), "{fault:?}");
                }
            }
        }
    }

    #[test]
    fn a_lone_node_cannot_be_partitioned() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for _ in 0..50 {
            let fault = Fault::draw("partition", &nodes(1), &[], &mut rng);
            let skipped = fault.resolve(&nodes(1), &State::default(), &Roles::default()).unwrap_err();
            assert_eq!(skipped.to_string(), "this shape cuts nothing between 1 nodes");
        }
    }
}
