//! Faults planted into simulated queues, sets, locks and counters, a thousand of each kind, each certain by construction: all are found,
//! with a proof that holds.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write;

use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use squall_checker::history::History;
use squall_checker::linearizability::general::ModelChoice;
use squall_checker::verdict::Verdict;

use super::judged::by_model;

const PLANTED: usize = 1_000;

/// What an operation did and saw; 0 from a queue means that it was empty.
#[derive(Debug, Clone, PartialEq)]
enum Does {
    Enqueue(i64),
    Dequeue(i64),
    Insert(i64),
    Elements(BTreeSet<i64>),
    Add,
    Sum(i64),
    Acquire,
    Release,
}

#[derive(Debug, Clone)]
struct Operation {
    does: Does,
    process: usize,
    invoked_ns: u64,
    returned_ns: u64,
    unknown: bool,
}

/// How long operations take, in nanoseconds, and how much later those of unknown outcome take effect, if they do.
const DURATION_NS_MAX: u64 = 20;
const LATE_NS_MAX: u64 = 100;

/// Clients in a closed loop against an object that acts at one moment within each interval. Values are unique. Only changes of queues,
/// sets and counters are of unknown outcome.
fn simulated(chance: &mut ChaCha8Rng, model: ModelChoice) -> Vec<Operation> {
    let clients = chance.random_range(2..=5);
    let unknown_share = if model == ModelChoice::Mutex { 0.0 } else { 0.05 };
    let mut next: Vec<(u64, usize)> = (0..clients).map(|client| (0, client)).collect();
    let mut processes = clients;
    let mut effects: Vec<(u64, usize)> = Vec::new();
    let mut operations: Vec<Operation> = Vec::new();
    for place in 0..chance.random_range(20..120) {
        let client = (0..next.len()).min_by_key(|&client| next[client]).expect("there are clients");
        let (free_ns, process) = next[client];
        let invoked_ns = free_ns + chance.random_range(0..3);
        let returned_ns = invoked_ns + chance.random_range(0..=DURATION_NS_MAX);
        let changes = chance.random_ratio(1, 2);
        let unknown = changes && chance.random_bool(unknown_share);
        next[client] = (returned_ns + 1, process);
        if unknown {
            next[client].1 = processes;
            processes += 1;
        }
        if !unknown || chance.random_ratio(1, 2) {
            let last_ns = if unknown { invoked_ns + LATE_NS_MAX } else { returned_ns };
            effects.push((chance.random_range(invoked_ns..=last_ns), place));
        }
        operations.push(Operation {
            does: asked(model, changes, place as i64 + 1),
            process,
            invoked_ns,
            returned_ns,
            unknown,
        });
    }
    effects.sort_unstable();
    take_effect(&mut operations, &effects);
    operations
}

fn asked(model: ModelChoice, changes: bool, value: i64) -> Does {
    match (model, changes) {
        (ModelChoice::Queue, true) => Does::Enqueue(value),
        (ModelChoice::Queue, false) => Does::Dequeue(0),
        (ModelChoice::Set, true) => Does::Insert(value),
        (ModelChoice::Set, false) => Does::Elements(BTreeSet::new()),
        (ModelChoice::Counter, true) => Does::Add,
        (ModelChoice::Counter, false) => Does::Sum(0),
        (ModelChoice::Mutex, _) => Does::Acquire,
        _ => unreachable!("registers are simulated elsewhere"),
    }
}

/// Fills in what the operations see, in the order of their moments.
fn take_effect(operations: &mut [Operation], effects: &[(u64, usize)]) {
    let (mut queue, mut set, mut sum, mut held) = (VecDeque::new(), BTreeSet::new(), 0, false);
    for &(_, place) in effects {
        match &mut operations[place].does {
            Does::Enqueue(value) => queue.push_back(*value),
            Does::Dequeue(saw) => *saw = queue.pop_front().unwrap_or_default(),
            Does::Insert(value) => drop(set.insert(*value)),
            Does::Elements(saw) => saw.clone_from(&set),
            Does::Add => sum += 1,
            Does::Sum(saw) => *saw = sum,
            lock @ (Does::Acquire | Does::Release) => {
                *lock = if held { Does::Release } else { Does::Acquire };
                held = !held;
            }
        }
    }
}

fn file(operations: &[Operation]) -> String {
    let mut events: Vec<(u64, bool, usize)> = Vec::new();
    for (place, operation) in operations.iter().enumerate() {
        events.push((operation.invoked_ns, false, place));
        events.push((operation.returned_ns, true, place));
    }
    // A process may return and go on within one nanosecond, never the other way round.
    events.sort_by_key(|&(time_ns, completes, place)| (time_ns, completes, operations[place].invoked_ns));
    let mut file = String::new();
    for (time_ns, completes, place) in events {
        let Operation {
            does, process, unknown, ..
        } = &operations[place];
        let (f, asked, saw) = match does {
            Does::Enqueue(value) => ("enqueue", value.to_string(), value.to_string()),
            Does::Dequeue(0) => ("dequeue", "null".to_owned(), "null".to_owned()),
            Does::Dequeue(value) => ("dequeue", "null".to_owned(), value.to_string()),
            Does::Insert(value) => ("add", value.to_string(), value.to_string()),
            Does::Elements(saw) => ("read", "null".to_owned(), format!("{:?}", saw.iter().collect::<Vec<_>>())),
            Does::Add => ("add", "1".to_owned(), "1".to_owned()),
            Does::Sum(saw) => ("read", "null".to_owned(), saw.to_string()),
            Does::Acquire => ("acquire", "null".to_owned(), "null".to_owned()),
            Does::Release => ("release", "null".to_owned(), "null".to_owned()),
        };
        let (kind, value) = match (completes, unknown) {
            (false, _) => ("invoke", asked),
            (true, true) => ("info", asked),
            (true, false) => ("ok", saw),
        };
        writeln!(
            file,
            r#"{{"time":{time_ns},"type":"{kind}","process":{process},"f":"{f}","key":"k","value":{value}}}"#
        )
        .expect("a string takes everything");
    }
    file
}

/// Plants a thousand faults: `plant` makes a history certainly wrong, or says that it has no place for the fault.
#[track_caller]
fn check_all_found(seed: u64, model: ModelChoice, plant: impl Fn(&mut ChaCha8Rng, &mut Vec<Operation>) -> Option<()>) {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let mut planted = 0;
    for _ in 0..PLANTED * 10 {
        let mut operations = simulated(&mut chance, model);
        if plant(&mut chance, &mut operations).is_none() {
            continue;
        }
        let file = file(&operations);
        let history = History::read(file.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{file}"));
        let judged = by_model(&history, model).unwrap_or_else(|unproved| panic!("{unproved}\n{file}"));
        assert_eq!(judged.verdict, Verdict::Invalid, "{judged:?}\n{file}");
        planted += 1;
        if planted == PLANTED {
            return;
        }
    }
    panic!("only {planted} histories had a place for the fault");
}

fn pick(chance: &mut ChaCha8Rng, operations: &[Operation], wanted: impl Fn(&Operation) -> bool) -> Option<usize> {
    (0..operations.len()).filter(|&place| wanted(&operations[place])).choose(chance)
}

#[test]
fn believes_what_was_simulated_without_a_fault() {
    let mut chance = ChaCha8Rng::seed_from_u64(20);
    for model in [ModelChoice::Queue, ModelChoice::Set, ModelChoice::Counter, ModelChoice::Mutex] {
        for _ in 0..200 {
            let file = file(&simulated(&mut chance, model));
            let history = History::read(file.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{file}"));
            let judged = by_model(&history, model).unwrap_or_else(|unproved| panic!("{unproved}\n{file}"));
            assert_eq!(judged.verdict, Verdict::Valid, "{judged:?}\n{file}");
        }
    }
}

#[test]
fn finds_every_value_that_was_dequeued_twice() {
    check_all_found(21, ModelChoice::Queue, |chance, operations| {
        let takes = |operation: &Operation| matches!(operation.does, Does::Dequeue(value) if value > 0);
        let one = pick(chance, operations, takes)?;
        let other = pick(chance, operations, |operation| {
            matches!(operation.does, Does::Dequeue(_)) && operation.does != operations[one].does
        })?;
        operations[other].does = operations[one].does.clone();
        Some(())
    });
}

#[test]
fn finds_every_lost_enqueue_that_a_later_one_overtook() {
    check_all_found(22, ModelChoice::Queue, |chance, operations| {
        let overtaken = pick(chance, operations, |operation| {
            matches!(operation.does, Does::Enqueue(_)) && !operation.unknown
        })?;
        let Does::Enqueue(lost) = operations[overtaken].does else {
            return None;
        };
        let later = |operation: &Operation| operation.invoked_ns > operations[overtaken].returned_ns;
        let overtakes: BTreeSet<i64> = operations
            .iter()
            .filter(|operation| later(operation))
            .filter_map(|operation| match operation.does {
                Does::Enqueue(value) => Some(value),
                _ => None,
            })
            .collect();
        let taken = |operation: &Operation| matches!(&operation.does, Does::Dequeue(value) if overtakes.contains(value));
        pick(chance, operations, taken)?;
        // Nobody ever takes it: the dequeue that did is gone, and none is of unknown outcome.
        operations.retain(|operation| operation.does != Does::Dequeue(lost));
        Some(())
    });
}

#[test]
fn finds_every_element_that_a_set_lost() {
    check_all_found(23, ModelChoice::Set, |chance, operations| {
        let read = pick(chance, operations, |operation| matches!(operation.does, Does::Elements(_)))?;
        let begun_ns = operations[read].invoked_ns;
        let added = pick(chance, operations, |operation| {
            matches!(operation.does, Does::Insert(_)) && !operation.unknown && operation.returned_ns < begun_ns
        })?;
        let Does::Insert(lost) = operations[added].does else { return None };
        if let Does::Elements(saw) = &mut operations[read].does {
            assert!(saw.remove(&lost), "an element added before a read is in it");
        }
        Some(())
    });
}

#[test]
fn finds_every_lock_that_was_acquired_twice() {
    check_all_found(24, ModelChoice::Mutex, |chance, operations| {
        // All of them happened. Now there are at least two more acquisitions than releases, and no order has room for both.
        let release = pick(chance, operations, |operation| operation.does == Does::Release)?;
        operations[release].does = Does::Acquire;
        Some(())
    });
}

#[test]
fn finds_every_sum_that_is_too_low_or_too_high() {
    check_all_found(25, ModelChoice::Counter, |chance, operations| {
        let read = pick(chance, operations, |operation| matches!(operation.does, Does::Sum(_)))?;
        let Operation {
            invoked_ns, returned_ns, ..
        } = operations[read];
        let adds = || operations.iter().filter(|operation| operation.does == Does::Add);
        let least = adds().filter(|add| !add.unknown && add.returned_ns < invoked_ns).count() as i64;
        let most = adds().filter(|add| add.invoked_ns <= returned_ns).count() as i64;
        let wrong = if chance.random_ratio(1, 2) { least - 1 } else { most + 1 };
        operations[read].does = Does::Sum(wrong);
        Some(())
    });
}
