//! Brute force over all models: tries every order. Knows neither the models nor the search; an operation is what it does to a few numbers.

use std::collections::HashSet;

use crate::history::operation::Outcome;
use crate::history::testing::Written;

/// What an operation did and saw. 0 is null, or an empty queue.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Act {
    Read(usize, i64),
    Write(usize, i64),
    Cas(usize, i64, i64),
    /// A failed compare-and-set that expected this.
    Mismatch(usize, i64),
    Txn(Vec<(bool, usize, i64)>),
    Increase(i64),
    Sum(i64),
    Add(i64),
    Remove(i64),
    Contains(i64, bool),
    Elements(Vec<i64>),
    Enqueue(i64),
    Dequeue(i64),
    Acquire,
    Release,
}

/// One operation: its act, its closed interval, and whether it is of unknown outcome.
#[derive(Debug, Clone)]
pub(super) struct Done {
    pub(super) act: Act,
    pub(super) invoked_ns: u64,
    pub(super) returned_ns: u64,
    pub(super) unknown: bool,
}

/// The numbers after the act, if it is possible. What an unknown operation saw does not count.
pub(super) fn after(numbers: &[i64], act: &Act, unknown: bool) -> Option<Vec<i64>> {
    let mut next = numbers.to_vec();
    let sees = |place: usize, value: i64| unknown || numbers[place] == value;
    let possible = match act {
        Act::Read(key, value) => sees(*key, *value),
        Act::Write(key, value) => {
            next[*key] = *value;
            true
        }
        Act::Cas(key, expected, new) => {
            next[*key] = *new;
            numbers[*key] == *expected
        }
        Act::Mismatch(key, expected) => numbers[*key] != *expected,
        Act::Txn(parts) => parts.iter().all(|&(reads, key, value)| {
            if !reads {
                next[key] = value;
            }
            !reads || unknown || next[key] == value
        }),
        Act::Increase(amount) => {
            next[0] += amount;
            true
        }
        Act::Sum(seen) => sees(0, *seen),
        Act::Add(value) => {
            if !numbers.contains(value) {
                next.push(*value);
                next.sort();
            }
            true
        }
        Act::Remove(value) => {
            next.retain(|other| other != value);
            true
        }
        Act::Contains(value, there) => unknown || numbers.contains(value) == *there,
        Act::Elements(seen) => unknown || numbers == seen,
        Act::Enqueue(value) => {
            next.push(*value);
            true
        }
        Act::Dequeue(seen) => {
            let first = numbers.first().copied().unwrap_or_default();
            next.drain(..numbers.len().min(1));
            unknown || first == *seen
        }
        Act::Acquire => {
            next[0] = 1;
            numbers[0] == 0
        }
        Act::Release => {
            next[0] = 0;
            numbers[0] == 1
        }
    };
    possible.then_some(next)
}

/// Whether the operations have an order. At most 32.
pub(super) fn is_linearizable(initial: &[i64], operations: &[Done]) -> bool {
    let mut tried: HashSet<(u32, Vec<i64>)> = HashSet::new();
    let mut open = vec![(0_u32, initial.to_vec())];
    while let Some((done, numbers)) = open.pop() {
        let left: Vec<usize> = (0..operations.len()).filter(|place| done >> place & 1 == 0).collect();
        if left.iter().all(|&place| operations[place].unknown) {
            return true;
        }
        if !tried.insert((done, numbers.clone())) {
            continue;
        }
        for &place in &left {
            let blocked = left.iter().any(|&other| {
                let other = &operations[other];
                !other.unknown && other.returned_ns < operations[place].invoked_ns
            });
            if !blocked && let Some(next) = after(&numbers, &operations[place].act, operations[place].unknown) {
                open.push((done | 1 << place, next));
            }
        }
    }
    false
}

const KEYS: [&str; 3] = ["a", "b", "c"];

/// The operation as a history has it.
pub(super) fn written(operation: &Done) -> Written {
    let json = |value: i64| if value == 0 { "null".to_owned() } else { value.to_string() };
    let list = |values: &[i64]| format!("[{}]", values.iter().map(|value| value.to_string()).collect::<Vec<_>>().join(","));
    let null = || "null".to_owned();
    let mut key = Some("k");
    let mut outcome = if operation.unknown { Outcome::Unknown } else { Outcome::Ok };
    let (f, argument, seen) = match &operation.act {
        Act::Read(of, value) => {
            key = Some(KEYS[*of]);
            ("read", null(), json(*value))
        }
        Act::Write(of, value) => {
            key = Some(KEYS[*of]);
            ("write", json(*value), json(*value))
        }
        Act::Cas(of, expected, new) => {
            key = Some(KEYS[*of]);
            let pair = format!("[{},{}]", json(*expected), json(*new));
            ("cas", pair.clone(), pair)
        }
        Act::Mismatch(of, expected) => {
            key = Some(KEYS[*of]);
            outcome = Outcome::Fail;
            ("cas", format!("[{},77]", json(*expected)), String::new())
        }
        Act::Txn(parts) => {
            key = None;
            let part = |seen: bool| {
                let one = |&(reads, key, value): &(bool, usize, i64)| {
                    let shown = if reads && !seen { null() } else { json(value) };
                    format!(r#"["{}","{}",{shown}]"#, if reads { "r" } else { "w" }, KEYS[key])
                };
                format!("[{}]", parts.iter().map(one).collect::<Vec<_>>().join(","))
            };
            ("txn", part(false), part(true))
        }
        Act::Increase(amount) => ("add", amount.to_string(), amount.to_string()),
        Act::Sum(seen) => ("read", null(), seen.to_string()),
        Act::Add(value) => ("add", value.to_string(), value.to_string()),
        Act::Remove(value) => ("remove", value.to_string(), value.to_string()),
        Act::Contains(value, there) => ("contains", value.to_string(), there.to_string()),
        Act::Elements(seen) => ("read", null(), list(seen)),
        Act::Enqueue(value) => ("enqueue", value.to_string(), value.to_string()),
        Act::Dequeue(value) => ("dequeue", null(), json(*value)),
        Act::Acquire => ("acquire", null(), null()),
        Act::Release => ("release", null(), null()),
    };
    Written {
        f,
        key,
        argument,
        seen: (outcome == Outcome::Ok).then_some(seen),
        invoked_ns: operation.invoked_ns,
        returned_ns: operation.returned_ns,
        outcome,
    }
}
