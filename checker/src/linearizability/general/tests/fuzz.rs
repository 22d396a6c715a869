//! Small random histories of every model against brute force.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::claims;
use super::oracle::{Done, is_linearizable, written};
use super::random::{Shape, atomic, disturb, initial};
use crate::history::History;
use crate::history::testing::of_written;
use crate::linearizability::general::{ModelChoice, Options, check_model};
use crate::verdict::Verdict;

pub(super) fn history_of(operations: &[Done]) -> History {
    of_written(&operations.iter().map(written).collect::<Vec<_>>())
}

/// Compares `count` histories; returns how many answers each algorithm gave, by verdict.
fn compare(model: ModelChoice, count: usize) -> BTreeMap<(&'static str, Verdict), usize> {
    let mut chance = ChaCha8Rng::seed_from_u64(model as u64);
    let mut answers = BTreeMap::new();
    for number in 0..count {
        let shape = Shape {
            model,
            plain: chance.random_ratio(2, 3),
            operations: chance.random_range(2..=9),
            duration_ns: chance.random_range(0..=9),
            unknown: chance.random_range(0..=5),
        };
        let mut operations = atomic(&mut chance, shape);
        for _ in 0..chance.random_range(0..=2) {
            disturb(&mut chance, &mut operations);
        }
        let history = history_of(&operations);
        let results = check_model(&history, model, &Options::default());
        let verdict = Verdict::merge(results.iter().map(|result| result.answer.verdict()));
        let expected = if is_linearizable(&initial(model), &operations) {
            Verdict::Valid
        } else {
            Verdict::Invalid
        };
        assert_eq!(verdict, expected, "history {number} of {model:?}: {operations:#?}\n{results:#?}");
        claims::are_true_and_stand_alone(&history, model, &results);
        for result in &results {
            *answers.entry((result.algorithm, result.answer.verdict())).or_insert(0) += 1;
        }
    }
    answers
}

/// Each of these must have decided at least this share of the histories.
#[track_caller]
fn check(model: ModelChoice, count: usize, at_least: &[(&'static str, Verdict)]) {
    let answers = compare(model, count);
    for key in at_least {
        let found = answers.get(key).copied().unwrap_or_default();
        assert!(found >= count / 100, "{key:?} {found} times: {answers:?}");
    }
}

const SEARCH: [(&str, Verdict); 2] = [("search", Verdict::Valid), ("search", Verdict::Invalid)];

#[test]
fn registers_agree_with_brute_force() {
    check(ModelChoice::Register, 25_000, &SEARCH);
}

#[test]
fn cas_registers_agree_with_brute_force() {
    check(ModelChoice::CasRegister, 30_000, &SEARCH);
}

#[test]
fn key_values_with_transactions_agree_with_brute_force() {
    check(ModelChoice::Kv, 25_000, &SEARCH);
}

#[test]
fn counters_agree_with_brute_force() {
    check(ModelChoice::Counter, 30_000, &[SEARCH[0], SEARCH[1], ("bounds", Verdict::Invalid)]);
}

#[test]
fn sets_agree_with_brute_force() {
    let chain = [("chain", Verdict::Valid), ("chain", Verdict::Invalid)];
    check(ModelChoice::Set, 35_000, &[SEARCH[0], SEARCH[1], chain[0], chain[1]]);
}

#[test]
fn queues_agree_with_brute_force() {
    let aspects = [("aspects", Verdict::Valid), ("aspects", Verdict::Invalid)];
    check(ModelChoice::Queue, 40_000, &[SEARCH[0], SEARCH[1], aspects[0], aspects[1]]);
}

#[test]
fn mutexes_agree_with_brute_force() {
    check(ModelChoice::Mutex, 25_000, &SEARCH);
}
