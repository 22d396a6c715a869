//! Faults planted into the simulated registers of `histgen`, a thousand of each kind, each certain by construction: all are found, in the
//! one register that has it, with a proof that holds.

use std::collections::HashSet;

use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use squall_checker::history::History;
use squall_checker::history::formats::{ReadOptions, read};
use squall_checker::linearizability::general::ModelChoice;
use squall_checker::verdict::Verdict;

use super::certain::Overwritten;
use super::judged::{Judged, as_registers, by_model};
use super::simulate::{Does, Fault, Flags, Operation, simulate, write};

/// Faults of each kind.
const PLANTED: usize = 1_000;

/// Histories that may have no place for a fault, per fault.
const ATTEMPTS_PER_FAULT: usize = 40;

/// Largest history that the general search is asked about too.
const SEARCHED_MAX: usize = 60;

fn flags(chance: &mut ChaCha8Rng) -> Flags {
    Flags {
        operations: chance.random_range(40..250),
        clients: chance.random_range(2..=6),
        keys: chance.random_range(1..=3),
        unknown: *[0.0, 0.01, 0.05].choose(chance).expect("three"),
        seed: chance.random_range(0..1 << 40),
        ..Flags::default()
    }
}

/// Plants a thousand faults: `plant` draws a history and makes it certainly wrong, or declines.
#[track_caller]
fn check_all_found(seed: u64, plant: impl Fn(&mut ChaCha8Rng) -> Option<Vec<Operation>>) {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let mut searched = 0;
    let faulty = (0..PLANTED * ATTEMPTS_PER_FAULT).filter_map(|_| plant(&mut chance)).take(PLANTED);
    let mut found = 0;
    for operations in faulty {
        let mut file = Vec::new();
        write(&operations, &mut file).expect("a vector takes everything");
        let history = read(file.as_slice(), &ReadOptions::default())
            .expect("the file is one of ours")
            .history;
        check_found(&history, &file, as_registers(&history));
        found += 1;
        if operations.len() <= SEARCHED_MAX {
            searched += 1;
            check_found(&history, &file, by_model(&history, ModelChoice::CasRegister));
        }
    }
    assert_eq!(found, PLANTED, "too few histories had a place for the fault");
    assert!(searched > PLANTED / 50, "the general search was asked {searched} times");
}

#[track_caller]
fn check_found(history: &History, file: &[u8], judged: Result<Judged, String>) {
    let shown = || String::from_utf8_lossy(file).into_owned();
    let judged = judged.unwrap_or_else(|unproved| panic!("{unproved}\n{}", shown()));
    let invalid = judged
        .algorithms
        .iter()
        .filter(|&&(_, verdict)| verdict == Verdict::Invalid)
        .count();
    assert_eq!(invalid, 1, "of {} registers, {judged:?}\n{}", history.keys.len(), shown());
}

/// `histgen`'s own faults, of unique and of repeated values, with and without compare-and-sets.
#[track_caller]
fn check_simulated(seed: u64, fault: Fault) {
    check_all_found(seed, |chance| {
        let flags = Flags {
            fault,
            cas: *[0.0, 0.25].choose(chance).expect("two"),
            domain: *[0, 0, 5].choose(chance).expect("three"),
            // One register, or another one would hide which writes were lost.
            keys: 1,
            ..flags(chance)
        };
        let simulated = simulate(&flags);
        simulated.is_certain.then_some(simulated.operations)
    });
}

/// Changes one operation of a history of unique values.
#[track_caller]
fn check_changed(seed: u64, cas: f64, change: impl Fn(&mut ChaCha8Rng, &mut [Operation]) -> Option<()>) {
    check_all_found(seed, |chance| {
        let flags = Flags { cas, ..flags(chance) };
        let mut operations = simulate(&flags).operations;
        change(chance, &mut operations)?;
        Some(operations)
    });
}

fn pick(chance: &mut ChaCha8Rng, operations: &[Operation], wanted: impl Fn(&Operation) -> bool) -> Option<usize> {
    (0..operations.len()).filter(|&place| wanted(&operations[place])).choose(chance)
}

fn is_read(operation: &Operation) -> bool {
    operation.does == Does::Read && !operation.is_unknown()
}

fn is_done_cas(operation: &Operation) -> bool {
    matches!(operation.does, Does::Cas(..)) && operation.found && !operation.is_unknown()
}

#[test]
fn finds_every_stale_read() {
    check_simulated(10, Fault::Stale);
}

#[test]
fn finds_every_lost_write_that_shows() {
    check_simulated(11, Fault::Lost);
}

#[test]
fn finds_every_write_that_takes_effect_twice_and_shows() {
    check_simulated(12, Fault::Double);
}

#[test]
fn finds_every_read_from_the_future() {
    check_changed(13, 0.2, |chance, operations| {
        let read = pick(chance, operations, is_read)?;
        let Operation { key, returned_ns, .. } = operations[read];
        let later = |write: &Operation| write.key == key && write.invoked_ns > returned_ns && write.may_have_written().is_some();
        let write = pick(chance, operations, later)?;
        operations[read].saw = operations[write].may_have_written()?;
        Some(())
    });
}

#[test]
fn finds_every_read_of_what_nobody_wrote() {
    check_changed(14, 0.2, |chance, operations| {
        let read = pick(chance, operations, is_read)?;
        operations[read].saw = 1_000_000_007;
        Some(())
    });
}

#[test]
fn finds_every_read_of_the_old_value_after_a_read_of_the_new_one() {
    check_changed(15, 0.0, |chance, operations| {
        // The write of the new value is under way all the time, so that neither read is wrong by itself.
        let write = pick(chance, operations, |write| write.wrote().is_some())?;
        let new = operations[write];
        let during = |read: &Operation| {
            is_read(read) && read.key == new.key && read.invoked_ns <= new.returned_ns && read.returned_ns >= new.invoked_ns
        };
        let first = pick(chance, operations, during)?;
        let then = pick(chance, operations, |read| {
            during(read) && read.invoked_ns > operations[first].returned_ns
        })?;
        let before = |write: &Operation| write.key == new.key && write.wrote().is_some() && write.returned_ns < new.invoked_ns;
        let old = pick(chance, operations, before)?;
        operations[first].saw = new.wrote()?;
        operations[then].saw = operations[old].wrote()?;
        Some(())
    });
}

#[test]
fn finds_every_compare_and_set_that_found_what_was_overwritten() {
    check_changed(16, 0.3, |chance, operations| {
        let cas = pick(chance, operations, is_done_cas)?;
        let Operation {
            does: Does::Cas(_, new),
            key,
            invoked_ns,
            ..
        } = operations[cas]
        else {
            return None;
        };
        let overwritten = Overwritten::of(operations, 3);
        let gone = |write: &Operation| {
            let newer_ns = |value| overwritten.newest_other_ns(key, invoked_ns, value);
            write.key == key && write.wrote().is_some_and(|value| write.returned_ns < newer_ns(value))
        };
        let write = pick(chance, operations, gone)?;
        operations[cas].does = Does::Cas(operations[write].wrote()?, new);
        Some(())
    });
}

#[test]
fn finds_every_value_that_two_compare_and_sets_replaced() {
    check_changed(17, 0.4, |chance, operations| {
        let written: HashSet<(u32, i64)> = operations
            .iter()
            .filter_map(|write| Some((write.key, write.may_have_written()?)))
            .collect();
        let first = pick(chance, operations, is_done_cas)?;
        let Operation {
            does: Does::Cas(expected, _),
            key,
            ..
        } = operations[first]
        else {
            return None;
        };
        let other = pick(chance, operations, |cas| {
            is_done_cas(cas) && cas.key == key && cas.invoked_ns != operations[first].invoked_ns
        })?;
        let Does::Cas(_, new) = operations[other].does else { return None };
        operations[other].does = Does::Cas(expected, new);
        written.contains(&(key, expected)).then_some(())
    });
}
