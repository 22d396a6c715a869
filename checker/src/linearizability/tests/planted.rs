//! Faults planted into long valid histories so that they are certain: every one is found, with a small witness.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::oracle::is_linearizable;
use super::random::{Values, atomic};
use crate::history::operation::{Function, Operation, Outcome};
use crate::history::testing::of_operations;
use crate::history::values::ValueId;
use crate::linearizability::check;
use crate::verdict::Verdict;

/// Plants a fault a thousand times. `plant` changes a valid history so that it is certainly broken, or says that this one has no place
/// for it.
#[track_caller]
fn check_all_found(seed: u64, plant: impl Fn(&mut ChaCha8Rng, &mut Vec<Operation>) -> bool) {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let mut planted = 0;
    for _ in 0..20_000 {
        let clients = chance.random_range(2..6);
        let mut operations = atomic(&mut chance, 150, clients, Values::Unique);
        if !plant(&mut chance, &mut operations) {
            continue;
        }
        planted += 1;
        let history = of_operations(operations);
        let result = &check(&history)[0];
        assert_eq!(result.verdict, Verdict::Invalid);
        let certificate = result.certificate.clone().unwrap();
        let witness: Vec<Operation> = certificate
            .operations()
            .into_iter()
            .map(|place| history.operations[place])
            .collect();
        assert!(witness.len() <= 6 && !is_linearizable(&history, &witness), "{witness:#?}");
        if planted == 1_000 {
            return;
        }
    }
    panic!("only {planted} histories had a place for the fault");
}

fn pick(chance: &mut ChaCha8Rng, operations: &[Operation], wanted: impl Fn(&Operation) -> bool) -> Option<usize> {
    let places: Vec<usize> = (0..operations.len()).filter(|&place| wanted(&operations[place])).collect();
    (!places.is_empty()).then(|| places[chance.random_range(0..places.len())])
}

fn is_read(operation: &Operation) -> bool {
    operation.f == Function::Read && operation.outcome == Outcome::Ok
}

#[test]
fn finds_every_stale_read() {
    check_all_found(10, |chance, operations| {
        let Some(read) = pick(chance, operations, is_read) else {
            return false;
        };
        let before = |operation: &Operation, time_ns: u64| operation.returned_ns().is_some_and(|returned_ns| returned_ns < time_ns);
        let is_write = |operation: &Operation| operation.f == Function::Write;
        let invoked_ns = operations[read].invoked_ns;
        let Some(newer) = pick(chance, operations, |operation| is_write(operation) && before(operation, invoked_ns)) else {
            return false;
        };
        let newer_ns = operations[newer].invoked_ns;
        let Some(older) = pick(chance, operations, |operation| is_write(operation) && before(operation, newer_ns)) else {
            return false;
        };
        operations[read] = operations[read].seeing(operations[older].argument);
        true
    });
}

#[test]
fn finds_every_lost_write_that_hides_behind_nothing() {
    check_all_found(11, |chance, operations| {
        let Some(read) = pick(chance, operations, is_read) else {
            return false;
        };
        let invoked_ns = operations[read].invoked_ns;
        let acknowledged = |operation: &Operation| {
            operation.f == Function::Write && operation.returned_ns().is_some_and(|returned_ns| returned_ns < invoked_ns)
        };
        if !operations.iter().any(acknowledged) {
            return false;
        }
        // Whatever was acknowledged is gone: the register is empty again.
        operations[read] = operations[read].seeing(ValueId::NULL);
        true
    });
}

#[test]
fn finds_every_read_of_a_refused_write() {
    check_all_found(12, |chance, operations| {
        let Some(read) = pick(chance, operations, |operation| {
            is_read(operation) && operation.observed() != Some(ValueId::NULL)
        }) else {
            return false;
        };
        let value = operations[read].observed();
        let write = operations
            .iter()
            .position(|operation| operation.f == Function::Write && Some(operation.argument) == value)
            .unwrap();
        if operations[write].returned_ns().is_none() {
            return false;
        }
        operations[write] = operations[write].refused();
        true
    });
}

#[test]
fn finds_every_phantom() {
    check_all_found(13, |chance, operations| {
        let Some(read) = pick(chance, operations, is_read) else {
            return false;
        };
        operations[read] = operations[read].seeing(ValueId::of_integer(1_000_000).unwrap());
        true
    });
}

#[test]
fn finds_every_read_from_the_future() {
    check_all_found(14, |chance, operations| {
        let Some(read) = pick(chance, operations, is_read) else {
            return false;
        };
        let returned_ns = operations[read].returned_ns().unwrap();
        let later = |operation: &Operation| operation.f == Function::Write && operation.invoked_ns > returned_ns;
        let Some(write) = pick(chance, operations, later) else {
            return false;
        };
        operations[read] = operations[read].seeing(operations[write].argument);
        true
    });
}
