//! Random histories of every model: objects that act at one moment within each interval, then perhaps disturbed.

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::oracle::{Act, Done, after};
use crate::linearizability::general::ModelChoice;

/// How a history looks, beside its model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) model: ModelChoice,
    /// Queue: each value once. Counter: additions of 1. Set: only additions and whole reads.
    pub(super) plain: bool,
    pub(super) operations: usize,
    /// How long operations take, where one begins each nanosecond.
    pub(super) duration_ns: u64,
    /// One in this many is of unknown outcome; 0 for none.
    pub(super) unknown: u32,
}

pub(super) fn initial(model: ModelChoice) -> Vec<i64> {
    match model {
        ModelChoice::Set | ModelChoice::Queue => Vec::new(),
        _ => vec![0; 3],
    }
}

/// A history that is linearizable by construction.
pub(super) fn atomic(chance: &mut ChaCha8Rng, shape: Shape) -> Vec<Done> {
    let mut operations: Vec<Done> = Vec::new();
    let mut moments: Vec<(u64, usize)> = Vec::new();
    for place in 0..shape.operations {
        let invoked_ns = chance.random_range(0..=shape.operations as u64);
        let returned_ns = invoked_ns + chance.random_range(0..=shape.duration_ns);
        let unknown = shape.unknown > 0 && chance.random_ratio(1, shape.unknown);
        let moment = match unknown {
            true => invoked_ns + chance.random_range(0..=shape.operations as u64 + 1),
            false => chance.random_range(invoked_ns..=returned_ns),
        };
        moments.push((moment, place));
        operations.push(Done {
            act: Act::Acquire,
            invoked_ns,
            returned_ns,
            unknown,
        });
    }
    moments.sort_unstable();
    let mut numbers = initial(shape.model);
    let mut fresh = 0;
    for (_, place) in moments {
        fresh += 1;
        let act = next(chance, shape, &numbers, fresh);
        let unknown = operations[place].unknown;
        // A failed compare-and-set is known to have failed.
        operations[place].unknown = unknown && !matches!(act, Act::Mismatch(..));
        if !unknown || chance.random_ratio(1, 2) {
            numbers = after(&numbers, &act, unknown).unwrap_or(numbers);
        }
        operations[place].act = act;
    }
    operations
}

fn next(chance: &mut ChaCha8Rng, shape: Shape, numbers: &[i64], fresh: i64) -> Act {
    let few = chance.random_range(1..=3);
    let key = if shape.model == ModelChoice::Kv {
        chance.random_range(0..3)
    } else {
        0
    };
    let half = chance.random_ratio(1, 2);
    match shape.model {
        ModelChoice::Register if half => Act::Read(0, numbers[0]),
        ModelChoice::Register => Act::Write(0, chance.random_range(0..=3)),
        ModelChoice::Kv if chance.random_ratio(1, 4) => {
            let mut written: [Option<i64>; 3] = [None; 3];
            let part = |_| {
                let (reads, key) = (chance.random_ratio(1, 2), chance.random_range(0..3));
                let value = if reads {
                    written[key].unwrap_or(numbers[key])
                } else {
                    *written[key].insert(chance.random_range(1..=3))
                };
                (reads, key, value)
            };
            Act::Txn((0..2).map(part).collect())
        }
        ModelChoice::CasRegister | ModelChoice::Kv => match chance.random_range(0..4) {
            0 => Act::Read(key, numbers[key]),
            1 => Act::Write(key, few),
            2 if numbers[key] != few => Act::Mismatch(key, few),
            _ => Act::Cas(key, numbers[key], few),
        },
        ModelChoice::Counter if half => Act::Sum(numbers[0]),
        ModelChoice::Counter if shape.plain => Act::Increase(1),
        ModelChoice::Counter => Act::Increase(*[1, 2, 5, if fresh % 2 == 0 { -1 } else { 1 }].choose(chance).unwrap()),
        ModelChoice::Set if shape.plain && half => Act::Elements(numbers.to_vec()),
        ModelChoice::Set if shape.plain => Act::Add(if few == 1 { few } else { fresh + 3 }),
        ModelChoice::Set => match chance.random_range(0..9) {
            0 => Act::Elements(numbers.to_vec()),
            1..=3 => Act::Add(few),
            4 | 5 => Act::Remove(few),
            _ => Act::Contains(few, numbers.contains(&few)),
        },
        ModelChoice::Queue if half => Act::Enqueue(if shape.plain { fresh } else { few }),
        ModelChoice::Queue => Act::Dequeue(numbers.first().copied().unwrap_or_default()),
        ModelChoice::Mutex if numbers[0] == 0 => Act::Acquire,
        ModelChoice::Mutex => Act::Release,
    }
}

/// One operation reports what another one could, or happened at another time.
pub(super) fn disturb(chance: &mut ChaCha8Rng, operations: &mut [Done]) {
    if operations.len() < 2 {
        return;
    }
    let (one, other) = (chance.random_range(0..operations.len()), chance.random_range(0..operations.len()));
    let act = match (&operations[one].act, &operations[other].act) {
        (Act::Read(key, _), Act::Read(_, value) | Act::Write(_, value) | Act::Cas(_, _, value)) => Act::Read(*key, *value),
        (Act::Sum(seen), _) => Act::Sum(seen + chance.random_range(-1..=1)),
        (Act::Elements(_), Act::Elements(seen)) => Act::Elements(seen.clone()),
        (Act::Elements(seen), Act::Add(value)) => Act::Elements(seen.iter().copied().filter(|other| other != value).collect()),
        (Act::Contains(value, there), _) => Act::Contains(*value, !there),
        (Act::Dequeue(_), Act::Dequeue(value) | Act::Enqueue(value)) => Act::Dequeue(*value),
        (Act::Dequeue(_), _) => Act::Dequeue(0),
        (Act::Txn(parts), _) => {
            let mut parts = parts.clone();
            parts[0].2 = chance.random_range(1..=3);
            Act::Txn(parts)
        }
        (act, _) => {
            let length = operations[other].returned_ns - operations[other].invoked_ns;
            let act = act.clone();
            operations[one].invoked_ns = operations[other].invoked_ns;
            operations[one].returned_ns = operations[one].invoked_ns + length;
            act
        }
    };
    operations[one].act = act;
}
