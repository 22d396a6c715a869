//! Failed compare-and-sets that do not say what they saw: wherever zones have no place for one, another order has, or nothing has.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::oracle::is_linearizable;
use super::random::{Values, atomic_with_cas};
use crate::history::History;
use crate::history::operation::{Function, Operation, Outcome};
use crate::history::testing::of_notation;
use crate::history::values::ValueId;
use crate::linearizability::budget::{Budget, Meter};
use crate::linearizability::frontier::{Found, Item, Register, search};
use crate::linearizability::{KeyResult, check, linearization, verify};
use crate::verdict::Verdict;

/// The verdict of the only key, after its proof was replayed.
#[track_caller]
fn proved(history: &History) -> KeyResult {
    let result = check(history).remove(0);
    let replayed = match &result.certificate {
        Some(certificate) => verify::invalid(history, result.key, certificate),
        None => verify::valid(history, result.key, &linearization(history, result.key).expect("decided")),
    };
    assert_eq!(replayed, Ok(()), "{result:?} of {:#?}", history.operations);
    result
}

/// Some compare-and-sets are made to fail, and some that failed expect something else.
fn misjudged(chance: &mut ChaCha8Rng, mut history: History) -> History {
    let count = history.operations.len();
    for place in 0..count {
        let operation = history.operations[place];
        let value = |operation: &Operation| operation.observed().unwrap_or(operation.argument);
        if operation.f != Function::Cas || operation.outcome == Outcome::Unknown || !chance.random_ratio(1, 3) {
            continue;
        }
        let (expected, new) = history.values.pair(operation.argument).unwrap();
        let other = history.operations[chance.random_range(0..count)];
        let other = match history.values.pair(other.argument) {
            Some((_, new)) => new,
            None => value(&other),
        };
        let expected = if chance.random_ratio(1, 2) { expected } else { other };
        let argument = history.values.pair_of(expected, new);
        history.operations[place] = operation.asking(Function::Cas, argument).refused();
    }
    history
}

fn bare(chance: &mut ChaCha8Rng, count: usize, clients: usize) -> History {
    atomic_with_cas(chance, count, clients, Values::Unique, false)
}

#[test]
fn agrees_with_brute_force_on_many_bare_failures() {
    let mut chance = ChaCha8Rng::seed_from_u64(20);
    let (mut valid, mut invalid) = (0, 0);
    for round in 0..ROUNDS {
        let mut history = bare(&mut chance, 3 + round % 10, 2 + round % 5);
        if round % 4 > 0 {
            history = misjudged(&mut chance, history);
        }
        let expected = is_linearizable(&history, &history.operations);
        let result = proved(&history);
        let verdict = if expected { Verdict::Valid } else { Verdict::Invalid };
        assert_eq!(result.verdict, verdict, "{result:?} of {:#?}", history.operations);
        if expected {
            valid += 1;
        } else {
            invalid += 1;
        }
    }
    assert!(valid > ROUNDS / 4 && invalid > ROUNDS / 10, "{valid} valid, {invalid} invalid");
}

/// Of the histories above; a few million take minutes.
const ROUNDS: usize = 60_000;

#[test]
fn agrees_with_the_search_of_everything_on_larger_histories() {
    let mut chance = ChaCha8Rng::seed_from_u64(21);
    let (mut valid, mut invalid) = (0, 0);
    for round in 0..600 {
        let mut history = bare(&mut chance, 100 + round, 2 + round % 12);
        if round % 3 == 0 {
            history = misjudged(&mut chance, history);
        }
        let places = 0..history.operations.len() as u32;
        let register = Register::of(places.map(|place| Item::at(&history, place)), ValueId::NULL);
        let searched = search(&register, &Meter::of(Budget::default(), None));
        let result = proved(&history);
        let agrees = match result.verdict {
            Verdict::Valid => matches!(searched, Found::Valid(_)),
            _ => matches!(searched, Found::Invalid(_)),
        };
        assert!(agrees, "{result:?}, but the search found {searched:?}");
        if result.verdict == Verdict::Valid {
            valid += 1;
        } else {
            invalid += 1;
        }
    }
    assert!(valid > 100 && invalid > 100, "{valid} valid, {invalid} invalid");
}

/// A client that writes and reads, and another one that overlaps it; in the middle both pause, and what is given happens.
fn with_pause(middle: &str) -> History {
    let mut notation = String::new();
    for step in 0..600 {
        let (time, value) = (10 * step + if step < 300 { 0 } else { 1_000 }, 10 * step + 1_000);
        notation += &format!(
            "1 write {value} {time} {} \n 2 write {} {} {} \n",
            time + 6,
            value + 1,
            time + 4,
            time + 9
        );
        notation += &format!("1 read {} {} {} \n", value + 1, time + 7, time + 9);
    }
    of_notation(&(notation + middle))
}

#[test]
fn a_failure_in_the_middle_of_silence_is_found_with_a_window_of_few_operations() {
    // 3991 is what the second client wrote last.
    let result = proved(&with_pause("3 cas [3991,7] 3300 3400 fail"));
    assert_eq!((result.verdict, result.algorithm), (Verdict::Invalid, "zones"));
    let operations = result.certificate.unwrap().operations().len();
    assert!(operations <= 6, "{operations} operations");
    assert_eq!(proved(&with_pause("3 cas [3990,7] 3300 3400 fail")).verdict, Verdict::Valid);
}

#[test]
fn a_failure_in_the_middle_of_silence_may_be_due_to_a_write_that_nobody_read() {
    let silent = "3 cas [3991,7] 3300 3400 fail \n 4 write 5";
    assert_eq!(proved(&with_pause(&format!("{silent} 20 -"))).verdict, Verdict::Valid);
    assert_eq!(proved(&with_pause(&format!("{silent} 3400 -"))).verdict, Verdict::Valid);
    assert_eq!(proved(&with_pause(&format!("{silent} 3401 -"))).verdict, Verdict::Invalid);
}

#[test]
fn one_unread_write_does_not_excuse_two_failures_in_different_pauses() {
    let two = |outcome: &str| {
        let excuse = format!("4 write 5 0 {outcome}");
        of_notation(&format!(
            "1 write 1 0 1 \n {excuse} \n 3 cas [1,7] 10 20 fail \n 1 write 2 30 31 \n 3 cas [2,7] 40 50 fail \n 1 read 2 41 51"
        ))
    };
    assert_eq!(proved(&two("-")).verdict, Verdict::Invalid);
    let one = of_notation("1 write 1 0 1 \n 4 write 5 0 - \n 3 cas [1,7] 10 20 fail \n 1 write 2 30 31 \n 3 cas [1,7] 40 50 fail");
    assert_eq!(proved(&one).verdict, Verdict::Valid);
}
