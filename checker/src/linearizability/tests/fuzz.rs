//! Zones and the frontier against brute force on small random histories.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::oracle::is_linearizable;
use super::random::{Values, atomic, atomic_with_cas, chaos, chaos_with_cas, disturbed};
use crate::history::History;
use crate::history::operation::{Function, Operation};
use crate::history::testing::of_operations;
use crate::history::values::ValueId;
use crate::linearizability::budget::{Budget, Meter};
use crate::linearizability::frontier::{Found, Item, Register, search};
use crate::linearizability::{Certificate, Witness, check, linearization, verify};
use crate::verdict::Verdict;

#[derive(Debug, Default)]
struct Tally {
    valid: usize,
    invalid: usize,
}

/// Checks one history in every way; a wrong answer panics with the history.
fn check_one(history: History, tally: &mut Tally) {
    let linearizable = is_linearizable(&history, &history.operations);
    let results = check(&history);
    let result = &results[0];
    match result.verdict {
        Verdict::Valid => {
            tally.valid += 1;
            assert!(linearizable, "wrongly valid: {:#?}", history.operations);
        }
        Verdict::Invalid => {
            tally.invalid += 1;
            assert!(
                !linearizable,
                "wrongly invalid: {:?} of {:#?}",
                result.certificate, history.operations
            );
            let certificate = result.certificate.clone().expect("an invalid key has a certificate");
            assert_eq!(linearization(&history, result.key), None);
            let has_cas = history.operations.iter().any(|operation| operation.f == Function::Cas);
            if !has_cas && result.algorithm == "zones" {
                check_witness(&history, &certificate);
            }
            let witness = Witness::of(&history, result).expect("an invalid key has a witness");
            // Through JSON and back costs more than all the rest.
            if tally.invalid.is_multiple_of(10) {
                check_lines(&witness);
            }
        }
        _ => panic!("undecided: {:?} of {:#?}", result.reason, history.operations),
    }
    // Where the frontier decided, it was asked already; of the others some will do.
    if result.algorithm == "zones" && (tally.valid + tally.invalid).is_multiple_of(4) {
        check_frontier(&history, linearizable);
    }
}

/// The frontier by itself, and its order.
fn check_frontier(history: &History, linearizable: bool) {
    let places: Vec<u32> = (0..history.operations.len() as u32).collect();
    let register = Register::of(places.iter().map(|&place| Item::at(history, place)), ValueId::NULL);
    match search(&register, &Meter::of(Budget::default(), None)) {
        Found::Valid(order) => {
            assert!(linearizable, "the frontier is wrong about {:#?}", history.operations);
            let order: Vec<usize> = order.into_iter().map(|place| place as usize).collect();
            let verified = verify::valid(history, history.operations[0].key, &order);
            assert_eq!(verified, Ok(()), "{order:?} of {:#?}", history.operations);
        }
        Found::Invalid(_) => assert!(!linearizable, "the frontier is wrong about {:#?}", history.operations),
        Found::Open(open) => panic!("{open:?}"),
    }
}

/// The certificate's operations alone are not linearizable, they are few, and no read and no value can be spared.
fn check_witness(history: &History, certificate: &Certificate) {
    let witness: Vec<Operation> = certificate
        .operations()
        .into_iter()
        .map(|place| history.operations[place])
        .collect();
    assert!(witness.len() <= 6, "{certificate:?}");
    assert!(
        !is_linearizable(history, &witness),
        "the witness alone is linearizable: {witness:#?}"
    );
    let value = |operation: &Operation| operation.observed().unwrap_or(operation.argument);
    for spared in &witness {
        let without =
            |spare: &dyn Fn(&Operation) -> bool| witness.iter().copied().filter(|operation| !spare(operation)).collect::<Vec<_>>();
        if spared.f == Function::Read {
            assert!(
                is_linearizable(history, &without(&|operation| operation == spared)),
                "{spared:?} can be spared: {witness:#?}"
            );
        }
        assert!(
            is_linearizable(history, &without(&|operation| value(operation) == value(spared))),
            "a value can be spared: {witness:#?}"
        );
    }
}

/// The witness as a file is a history that is invalid by itself.
fn check_lines(witness: &Witness) {
    let lines = witness.history_lines();
    let again = History::read(lines.as_slice()).expect("a witness is a history");
    assert_eq!(again.operations.len(), witness.operations.len());
    assert!(
        check(&again).iter().any(|result| result.verdict == Verdict::Invalid),
        "{}",
        String::from_utf8_lossy(&lines)
    );
}

#[test]
fn agrees_with_brute_force_on_histories_thrown_together() {
    let mut chance = ChaCha8Rng::seed_from_u64(1);
    let mut tally = Tally::default();
    for _ in 0..60_000 {
        check_one(of_operations(chaos(&mut chance, Values::Unique)), &mut tally);
    }
    assert!(tally.valid > 6_000 && tally.invalid > 6_000, "{tally:?}");
}

#[test]
fn agrees_with_brute_force_on_histories_of_a_disturbed_register() {
    let mut chance = ChaCha8Rng::seed_from_u64(2);
    let mut tally = Tally::default();
    for round in 0..40_000 {
        let operations = atomic(&mut chance, 2 + round % 9, 2 + round % 3, Values::Unique);
        check_one(of_operations(disturbed(&mut chance, operations)), &mut tally);
    }
    assert!(tally.valid > 4_000 && tally.invalid > 4_000, "{tally:?}");
}

#[test]
fn never_answers_wrongly_where_values_repeat() {
    let mut chance = ChaCha8Rng::seed_from_u64(3);
    let mut tally = Tally::default();
    for round in 0..40_000 {
        let operations = match round % 2 {
            0 => chaos(&mut chance, Values::Repeated),
            _ => atomic(&mut chance, 2 + round % 9, 3, Values::Repeated),
        };
        check_one(of_operations(operations), &mut tally);
    }
    assert!(tally.valid > 400 && tally.invalid > 400, "{tally:?}");
}

#[test]
fn an_atomic_register_is_valid_at_any_size() {
    let mut chance = ChaCha8Rng::seed_from_u64(4);
    for round in 0..300 {
        let history = of_operations(atomic(&mut chance, 200 + round, 1 + round % 12, Values::Unique));
        let result = &check(&history)[0];
        assert_eq!(result.verdict, Verdict::Valid, "{:?}", result.certificate);
    }
}

/// Compare-and-sets of every ending, thrown together or by construction, disturbed or not.
fn with_cas(chance: &mut ChaCha8Rng, round: usize, values: Values) -> History {
    if round % 4 < 2 {
        return chaos_with_cas(chance, values);
    }
    let history = atomic_with_cas(chance, 2 + round % 9, 2 + round % 3, values, round % 8 < 4);
    if round.is_multiple_of(2) {
        return history;
    }
    let operations = disturbed(chance, history.operations.clone());
    History { operations, ..history }
}

#[test]
fn agrees_with_brute_force_on_compare_and_sets() {
    let mut chance = ChaCha8Rng::seed_from_u64(9);
    let mut tally = Tally::default();
    for round in 0..100_000 {
        check_one(with_cas(&mut chance, round, Values::Unique), &mut tally);
    }
    assert!(tally.valid > 10_000 && tally.invalid > 10_000, "{tally:?}");
}

#[test]
fn agrees_with_brute_force_on_compare_and_sets_of_repeated_values() {
    let mut chance = ChaCha8Rng::seed_from_u64(10);
    let mut tally = Tally::default();
    for round in 0..80_000 {
        check_one(with_cas(&mut chance, round, Values::Repeated), &mut tally);
    }
    assert!(tally.valid > 10_000 && tally.invalid > 10_000, "{tally:?}");
}
