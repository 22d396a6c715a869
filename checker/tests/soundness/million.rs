//! A million random histories of two to ten operations against all their orders, every model, every time the tests run.
//!
//! `SQUALL_HISTORIES=100000000 cargo test --release -p squall-checker --test soundness million` tries more, `SQUALL_SEED=8` others.

use std::collections::BTreeMap;
use std::env;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use squall_checker::history::History;
use squall_checker::linearizability::general::ModelChoice;
use squall_checker::verdict::Verdict;

use super::judged::{Judged, as_registers, by_model};
use super::lines::file;
use super::oracle::is_linearizable;
use super::random::{Object, history};

/// Histories of all models together, unless the environment says otherwise.
const HISTORIES: u64 = 1_000_000;

fn number_of(variable: &str, otherwise: u64) -> u64 {
    match env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|error| panic!("{variable}: {error}: `{text}`; give a whole number")),
        Err(_) => otherwise,
    }
}

/// A way to judge a history, and to prove the answer.
type Judge = fn(&History) -> Result<Judged, String>;

/// Compares this share of all histories; every answer of `expected` must have come from one in a thousand at least.
#[track_caller]
fn compare(object: Object, per_mille: u64, judges: &[Judge], expected: &[(&'static str, Verdict)]) {
    let count = number_of("SQUALL_HISTORIES", HISTORIES) * per_mille / 1_000;
    let mut chance = ChaCha8Rng::seed_from_u64(number_of("SQUALL_SEED", 1));
    // A stream for each model, so that a change of one moves no other.
    chance.set_stream(object as u64);
    let mut answers: BTreeMap<(&'static str, Verdict), u64> = BTreeMap::new();
    for number in 0..count {
        let operations = history(&mut chance, object);
        let file = file(&operations);
        let expected = if is_linearizable(&operations) {
            Verdict::Valid
        } else {
            Verdict::Invalid
        };
        let history = History::read(file.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{file}"));
        for judge in judges {
            let judged = judge(&history).unwrap_or_else(|unproved| panic!("history {number} of {object:?}, {unproved}:\n{file}"));
            assert_eq!(judged.verdict, expected, "history {number} of {object:?}, {judged:?}:\n{file}");
            for answer in judged.algorithms {
                *answers.entry(answer).or_default() += 1;
            }
        }
    }
    for answer in expected {
        let found = answers.get(answer).copied().unwrap_or_default();
        assert!(found * 1_000 >= count, "{answer:?} {found} times: {answers:?}");
    }
}

const fn both(algorithm: &'static str) -> [(&'static str, Verdict); 2] {
    [(algorithm, Verdict::Valid), (algorithm, Verdict::Invalid)]
}

#[test]
fn registers_agree_with_all_orders() {
    let expected = [both("zones"), both("frontier"), both("search")].concat();
    compare(
        Object::Register,
        200,
        &[as_registers, |history| by_model(history, ModelChoice::Register)],
        &expected,
    );
}

#[test]
fn bare_compare_and_sets_agree_with_all_orders() {
    let expected = [both("zones"), both("frontier"), both("search")].concat();
    compare(
        Object::BareCas,
        180,
        &[as_registers, |history| by_model(history, ModelChoice::CasRegister)],
        &expected,
    );
}

#[test]
fn compare_and_sets_that_say_what_they_saw_agree_with_all_orders() {
    let expected = [both("zones"), both("frontier"), both("search")].concat();
    compare(
        Object::ReportingCas,
        120,
        &[as_registers, |history| by_model(history, ModelChoice::CasRegister)],
        &expected,
    );
}

#[test]
fn transactions_over_keys_agree_with_all_orders() {
    compare(Object::Kv, 120, &[|history| by_model(history, ModelChoice::Kv)], &both("search"));
}

#[test]
fn counters_agree_with_all_orders() {
    let expected = [&both("search")[..], &[("bounds", Verdict::Invalid)]].concat();
    compare(Object::Counter, 90, &[|history| by_model(history, ModelChoice::Counter)], &expected);
}

#[test]
fn sets_agree_with_all_orders() {
    let expected = [both("search"), both("chain")].concat();
    compare(Object::Set, 100, &[|history| by_model(history, ModelChoice::Set)], &expected);
}

#[test]
fn queues_agree_with_all_orders() {
    let expected = [both("search"), both("aspects")].concat();
    compare(Object::Queue, 110, &[|history| by_model(history, ModelChoice::Queue)], &expected);
}

#[test]
fn locks_agree_with_all_orders() {
    compare(
        Object::Mutex,
        80,
        &[|history| by_model(history, ModelChoice::Mutex)],
        &both("search"),
    );
}
