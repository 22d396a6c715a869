//! Large histories: linearizable by construction, and with one planted fault. All must be decided.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::fuzz::history_of;
use super::oracle::{Act, Done};
use super::random::{Shape, atomic, disturb};
use crate::linearizability::general::{ModelChoice, Options, check_model};
use crate::linearizability::{Budget, check_objects};
use crate::verdict::Verdict;

fn shape(model: ModelChoice, plain: bool, unknown: u32) -> Shape {
    Shape {
        model,
        plain,
        operations: 2_000,
        duration_ns: 8,
        unknown,
    }
}

#[track_caller]
fn check(shape: Shape, operations: &[Done], expected: Verdict) {
    let history = history_of(operations);
    let results = check_model(&history, shape.model, &Options::default());
    assert_eq!(Verdict::merge(results.iter().map(|result| result.answer.verdict())), expected);
}

#[track_caller]
fn valid(model: ModelChoice, plain: bool, unknown: u32) {
    let mut chance = ChaCha8Rng::seed_from_u64(5);
    for _ in 0..4 {
        let shape = shape(model, plain, unknown);
        check(shape, &atomic(&mut chance, shape), Verdict::Valid);
    }
}

/// Plants a fault that no order can explain: `plant` changes an act, or declines.
#[track_caller]
fn planted(model: ModelChoice, unknown: u32, plant: impl Fn(&Act) -> Option<Act>) {
    let mut chance = ChaCha8Rng::seed_from_u64(6);
    for _ in 0..4 {
        let shape = shape(model, true, unknown);
        let mut operations = atomic(&mut chance, shape);
        let from = chance.random_range(0..1_000);
        let known = |operation: &Done| !operation.unknown && operation.invoked_ns > from;
        let found = operations
            .iter()
            .position(|operation| known(operation) && plant(&operation.act).is_some())
            .unwrap();
        operations[found].act = plant(&operations[found].act).unwrap();
        check(shape, &operations, Verdict::Invalid);
    }
}

#[test]
fn decides_large_histories_of_unambiguous_models() {
    valid(ModelChoice::Queue, true, 0);
    valid(ModelChoice::Queue, true, 50);
    valid(ModelChoice::Set, true, 50);
    valid(ModelChoice::Counter, true, 50);
    valid(ModelChoice::Mutex, true, 0);
}

#[test]
fn finds_a_value_taken_from_a_queue_that_nobody_put_there() {
    planted(ModelChoice::Queue, 50, |act| {
        matches!(act, Act::Dequeue(value) if *value > 0).then_some(Act::Dequeue(999_999))
    });
}

#[test]
fn finds_a_value_that_comes_out_too_late() {
    // A value comes out two hundred too late: it was taken twice, or it never was and another one came out of order.
    planted(ModelChoice::Queue, 0, |act| match act {
        Act::Dequeue(value) if *value > 200 => Some(Act::Dequeue(value - 200)),
        _ => None,
    });
}

#[test]
fn finds_an_addition_that_a_counter_lost() {
    planted(ModelChoice::Counter, 50, |act| match act {
        Act::Sum(seen) if *seen > 200 => Some(Act::Sum(seen - 60)),
        _ => None,
    });
}

#[test]
fn finds_an_element_that_a_set_lost() {
    planted(ModelChoice::Set, 50, |act| match act {
        Act::Elements(seen) if seen.len() > 100 => Some(Act::Elements(seen[1..].to_vec())),
        _ => None,
    });
}

#[test]
fn finds_a_lock_taken_twice() {
    planted(ModelChoice::Mutex, 0, |act| matches!(act, Act::Acquire).then_some(Act::Release));
}

#[test]
fn the_threads_do_not_show_in_the_results() {
    let mut chance = ChaCha8Rng::seed_from_u64(8);
    for model in [ModelChoice::Kv, ModelChoice::Set, ModelChoice::CasRegister] {
        let shape = Shape {
            operations: 200,
            ..shape(model, false, 20)
        };
        let mut operations = atomic(&mut chance, shape);
        disturb(&mut chance, &mut operations);
        let history = history_of(&operations);
        let on = |threads| {
            let budget = Budget {
                bytes: 200_000,
                configurations: 20_000,
            };
            let options = Options {
                budget,
                threads,
                stop: None,
            };
            check_objects(&history, model, &options)
        };
        let alone = on(1);
        for threads in [0, 2, 8, 100] {
            assert_eq!(on(threads), alone, "{model:?} on {threads} threads");
        }
    }
}
