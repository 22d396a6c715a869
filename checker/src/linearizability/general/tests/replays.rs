//! Proofs of every model: what the checks find replays, and what is tampered with is rejected unless it is still true.

use std::collections::HashSet;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::fuzz::history_of;
use super::oracle::{Done, after, is_linearizable};
use super::random::{Shape, atomic, disturb, initial};
use crate::history::History;
use crate::linearizability::general::ModelChoice;
use crate::linearizability::{ObjectProof, Options, Proved, check_objects, replay};
use crate::verdict::Verdict;

struct Case {
    model: ModelChoice,
    history: History,
    /// The operations by their places in the history.
    operations: Vec<Done>,
    proofs: Vec<ObjectProof>,
}

impl Case {
    fn of(model: ModelChoice, mut operations: Vec<Done>) -> Case {
        operations.sort_by_key(|operation| operation.invoked_ns);
        let history = history_of(&operations);
        let options = Options::default();
        let proofs = ObjectProof::of_all(&history, model, &check_objects(&history, model, &options), &options);
        Case {
            model,
            history,
            operations,
            proofs,
        }
    }

    fn replay(&self, proofs: &[ObjectProof]) -> Result<Proved, String> {
        // As it comes out of a file.
        let text = serde_json::to_string(proofs).unwrap();
        let read: Vec<ObjectProof> = serde_json::from_str(&text).unwrap();
        assert_eq!(read, proofs);
        replay(&self.history, self.model, proofs).map_err(|wrong| wrong.why)
    }

    /// Whether an order is one, by the oracle's numbers and by looking at every pair.
    fn is_order(&self, order: &[usize]) -> bool {
        let mut numbers = initial(self.model);
        let in_time = (1..order.len()).all(|place| {
            let then = &self.operations[order[place]];
            let late = |&before: &usize| self.operations[before].invoked_ns > then.returned_ns;
            then.unknown || !order[..place].iter().any(late)
        });
        in_time
            && order.iter().all(|&place| {
                let operation = &self.operations[place];
                let next = after(&numbers, &operation.act, operation.unknown);
                next.is_some_and(|next| {
                    numbers = next;
                    true
                })
            })
    }
}

fn shape(chance: &mut ChaCha8Rng, model: ModelChoice) -> Shape {
    Shape {
        model,
        plain: chance.random_ratio(2, 3),
        operations: chance.random_range(2..=9),
        duration_ns: chance.random_range(0..=9),
        unknown: chance.random_range(0..=5),
    }
}

fn with_order(proof: &ObjectProof, order: Vec<usize>) -> ObjectProof {
    let mut proof = proof.clone();
    match &mut proof {
        ObjectProof::Register(proof) => proof.order = Some(order),
        ObjectProof::Other(proof) => proof.order = Some(order),
    }
    proof
}

#[test]
fn what_the_checks_find_replays_and_says_the_same() {
    let mut chance = ChaCha8Rng::seed_from_u64(31);
    for model in ModelChoice::ALL {
        let mut seen = HashSet::new();
        for _ in 0..2_000 {
            let shape = shape(&mut chance, model);
            let mut operations = atomic(&mut chance, shape);
            for _ in 0..chance.random_range(0..=2) {
                disturb(&mut chance, &mut operations);
            }
            let case = Case::of(model, operations);
            let proved = case
                .replay(&case.proofs)
                .unwrap_or_else(|why| panic!("{why}: {:#?}\n{:#?}", case.operations, case.proofs));
            // A plain register says nothing of a key that was compared and set.
            if case.proofs.iter().any(|proof| proof.verdict() == Verdict::Unknown) {
                continue;
            }
            let valid = is_linearizable(&initial(model), &case.operations);
            assert_eq!(matches!(proved, Proved::Valid), valid, "{proved:?} {:#?}", case.proofs);
            assert_eq!(matches!(proved, Proved::Invalid(_)), !valid, "{proved:?}");
            seen.insert(valid);
        }
        assert_eq!(seen.len(), 2, "{model:?} has valid and invalid histories");
    }
}

#[test]
fn an_order_with_two_operations_swapped_is_believed_only_if_it_is_one() {
    let mut chance = ChaCha8Rng::seed_from_u64(32);
    let (mut believed, mut rejected) = (0, 0);
    for round in 0..6_000 {
        let model = ModelChoice::ALL[round % ModelChoice::ALL.len()];
        let shape = shape(&mut chance, model);
        let case = Case::of(model, atomic(&mut chance, shape));
        for (number, proof) in case
            .proofs
            .iter()
            .enumerate()
            .filter(|(_, proof)| proof.verdict() == Verdict::Valid)
        {
            let order = proof.order().unwrap();
            for one in 0..order.len() {
                for other in one + 1..order.len() {
                    let mut swapped = order.to_vec();
                    swapped.swap(one, other);
                    let is_order = case.is_order(&swapped);
                    let mut proofs = case.proofs.clone();
                    proofs[number] = with_order(proof, swapped.clone());
                    assert_eq!(
                        case.replay(&proofs).is_ok(),
                        is_order,
                        "{swapped:?} of {model:?} {:#?}\n{order:?}",
                        case.operations
                    );
                    if is_order { believed += 1 } else { rejected += 1 }
                }
            }
        }
    }
    assert!(believed > 1_000 && rejected > 1_000, "{believed} believed, {rejected} rejected");
}

#[test]
fn an_order_that_drops_doubles_or_invents_an_operation_is_never_believed() {
    let mut chance = ChaCha8Rng::seed_from_u64(33);
    let mut tampered = 0;
    for round in 0..4_000 {
        let model = ModelChoice::ALL[round % ModelChoice::ALL.len()];
        let shape = Shape {
            unknown: 0,
            ..shape(&mut chance, model)
        };
        let case = Case::of(model, atomic(&mut chance, shape));
        for (number, proof) in case
            .proofs
            .iter()
            .enumerate()
            .filter(|(_, proof)| proof.verdict() == Verdict::Valid)
        {
            let order = proof.order().unwrap();
            let Some(place) = (!order.is_empty()).then(|| chance.random_range(0..order.len())) else {
                continue;
            };
            let mut dropped = order.to_vec();
            dropped.remove(place);
            let mut doubled = order.to_vec();
            doubled.insert(chance.random_range(0..=order.len()), order[place]);
            let mut invented = order.to_vec();
            invented[place] = case.operations.len() + chance.random_range(0..3);
            for (order, nothing_left) in [(dropped, order.len() == 1), (doubled, false), (invented, false)] {
                let mut proofs = case.proofs.clone();
                proofs[number] = with_order(proof, order);
                match case.replay(&proofs) {
                    // Nothing of the object is left in the proof: it is not covered.
                    Ok(Proved::Open(_)) => assert!(nothing_left || proofs.iter().any(|proof| proof.verdict() == Verdict::Unknown)),
                    Ok(proved) => panic!("{proved:?}: {:#?}", proofs[number]),
                    Err(_) => tampered += 1,
                }
            }
            let mut proofs = case.proofs.clone();
            proofs.remove(number);
            let proved = case.replay(&proofs);
            assert!(
                matches!(proved, Ok(Proved::Open(_))),
                "an object without a proof is open: {proved:?}"
            );
        }
    }
    assert!(tampered > 3_000, "{tampered} were tampered with");
}

#[test]
fn what_refutes_one_history_is_not_believed_of_one_that_is_linearizable() {
    let mut chance = ChaCha8Rng::seed_from_u64(34);
    let (mut rejected, mut claims) = (0, HashSet::new());
    for round in 0..30_000 {
        let model = ModelChoice::ALL[round % ModelChoice::ALL.len()];
        let shape = shape(&mut chance, model);
        let good = atomic(&mut chance, shape);
        if !is_linearizable(&initial(model), &good) {
            continue;
        }
        let mut operations = good.clone();
        disturb(&mut chance, &mut operations);
        let refuted = Case::of(model, operations);
        let valid = Case::of(model, good);
        for proof in refuted.proofs.iter().filter(|proof| proof.verdict() == Verdict::Invalid) {
            let replayed = valid.replay(std::slice::from_ref(proof));
            assert!(!matches!(replayed, Ok(Proved::Invalid(_))), "{proof:#?} of {:#?}", valid.operations);
            rejected += 1;
            if let ObjectProof::Other(proof) = proof {
                claims.insert(proof.claim.as_ref().map(std::mem::discriminant));
            }
        }
    }
    assert!(rejected > 1_000, "{rejected} rejected");
    assert!(claims.len() >= 9, "{} kinds of claims and windows", claims.len());
}

#[test]
fn two_orders_may_not_share_an_object() {
    let history = History::read(
        br#"{"time":0,"type":"invoke","process":0,"f":"write","key":"k","value":1}
{"time":1,"type":"ok","process":0,"f":"write","key":"k","value":1}
{"time":2,"type":"invoke","process":0,"f":"read","key":"k"}
{"time":3,"type":"ok","process":0,"f":"read","key":"k","value":null}"#
            .as_slice(),
    )
    .unwrap();
    let order =
        |order: &str| -> ObjectProof { serde_json::from_str(&format!(r#"{{"key":"k","verdict":"valid","order":{order}}}"#)).unwrap() };
    let wrong = replay(&history, ModelChoice::Register, &[order("[0]"), order("[1]")]).unwrap_err();
    assert_eq!(
        (wrong.proof, wrong.why.as_str()),
        (Some(1), "operation 1 is about an object that has another order")
    );
}
