//! The verifier of claims: a few conditions each, counted over the object's operations in one pass. It shares nothing with what found them.

use std::collections::HashSet;

use super::super::claim::{Claim, Seen, seen, tells};
use super::super::problem::NEVER;
use super::{Rejection, require};
use crate::history::History;
use crate::model::{Counter, CounterOp, ModelChoice, Mutex, MutexOp, Queue, QueueOp, Set, SetOp, Value};

/// Checks that a claim is true of the object of this model whose operations are at `places`, and that it leaves the object no order.
///
/// # Errors
/// If it names operations that are not the object's or says of them what is not so.
pub fn claim(history: &History, choice: ModelChoice, places: &[u32], claim: &Claim) -> Result<(), Rejection> {
    let places = || places.iter().map(|&place| place as usize);
    let holds = match (choice, claim) {
        (ModelChoice::Queue, _) => queue(&seen(history, &Queue, places()).collect::<Vec<_>>(), claim),
        (ModelChoice::Set, _) => set(&seen(history, &Set, places()).collect::<Vec<_>>(), claim),
        (ModelChoice::Counter, Claim::OutOfBounds { read }) => counter(&seen(history, &Counter, places()).collect::<Vec<_>>(), *read),
        (ModelChoice::Mutex, Claim::Unbalanced { first, last }) => {
            mutex(&seen(history, &Mutex, places()).collect::<Vec<_>>(), *first, *last)
        }
        _ => None,
    };
    require(holds == Some(true), "the claim is not true of the history")
}

fn at<Op>(items: &[Seen<Op>], place: usize) -> Option<&Seen<Op>> {
    items.iter().find(|item| item.place == place)
}

/// `None` and `false` both mean no: an operation that is not there, or a condition that does not hold.
pub(in super::super) fn queue(items: &[Seen<QueueOp>], claim: &Claim) -> Option<bool> {
    let enqueues = |value: &Value| {
        items
            .iter()
            .filter(|item| matches!(&item.op, QueueOp::Enqueue(of) if of == value))
            .collect::<Vec<_>>()
    };
    let dequeues = |value: &Value| {
        items
            .iter()
            .filter(|item| matches!(&item.op, QueueOp::Dequeue(of) if of == value))
            .collect::<Vec<_>>()
    };
    let enqueued = |place: usize| match &at(items, place)?.op {
        QueueOp::Enqueue(value) => Some(value),
        _ => None,
    };
    // Whether nothing can have taken `value`, enqueued once, before `until_ns` or at it.
    let stays_until = |value: &Value, until_ns: i64| {
        let unseen = items
            .iter()
            .any(|item| item.op == QueueOp::DequeueUnseen && item.invoked_ns <= until_ns);
        // A known dequeue took it, so an unseen one did not.
        let known = !dequeues(value).is_empty();
        enqueues(value).len() == 1 && (known || !unseen) && dequeues(value).iter().all(|item| item.invoked_ns > until_ns)
    };
    Some(match claim {
        Claim::DequeuedTooOften { dequeues } => {
            let taken: Vec<&Seen<QueueOp>> = dequeues.iter().map(|&place| at(items, place)).collect::<Option<_>>()?;
            let QueueOp::Dequeue(value) = &taken.first()?.op else { return None };
            let until_ns = taken.iter().map(|item| item.returned_ns).max()?;
            let distinct = dequeues.iter().collect::<HashSet<_>>().len() == dequeues.len();
            let begun = enqueues(value).iter().filter(|item| item.invoked_ns <= until_ns).count();
            distinct && taken.iter().all(|item| item.op == taken[0].op) && taken.len() > begun
        }
        Claim::OutOfOrder { first, second, taken } => {
            let (x, y) = (enqueued(*first)?, enqueued(*second)?);
            let taken = at(items, *taken)?;
            let in_order = at(items, *first)?.returned_ns < at(items, *second)?.invoked_ns;
            in_order && x != y && taken.op == QueueOp::Dequeue(y.clone()) && enqueues(y).len() == 1 && stays_until(x, taken.returned_ns)
        }
        Claim::NotEmpty { empty, there } => {
            let empty = at(items, *empty).filter(|item| item.op == QueueOp::Empty)?;
            let mut at_ns = empty.invoked_ns;
            for &place in there {
                let value = enqueued(place)?;
                let left_ns = dequeues(value).iter().map(|item| item.invoked_ns).min().unwrap_or(NEVER);
                if at(items, place)?.returned_ns >= at_ns || !stays_until(value, left_ns.saturating_sub(1).min(empty.returned_ns)) {
                    return None;
                }
                at_ns = left_ns;
            }
            at_ns > empty.returned_ns
        }
        _ => false,
    })
}

pub(in super::super) fn set(items: &[Seen<SetOp>], claim: &Claim) -> Option<bool> {
    let value = |json: &str| Value::of_json(json);
    let added_by = |value: &Value, until_ns: i64| {
        let mut adds = items.iter().filter(|item| item.op == SetOp::Add(value.clone()));
        adds.any(|item| item.invoked_ns <= until_ns)
    };
    let removed_by = |value: &Value, until_ns: i64| {
        let mut removes = items.iter().filter(|item| item.op == SetOp::Remove(value.clone()));
        removes.any(|item| item.invoked_ns <= until_ns)
    };
    Some(match claim {
        Claim::ListedTwice { read, value: of } => at(items, *read)?.op == SetOp::Twice(value(of)),
        Claim::NeverAdded { read, value: of } => {
            let (read, value) = (at(items, *read)?, value(of));
            tells(&read.op, &value)? && !added_by(&value, read.returned_ns)
        }
        Claim::Missing { read, known, value: of } => {
            let (read, known, value) = (at(items, *read)?, at(items, *known)?, value(of));
            let knows = known.op == SetOp::Add(value.clone()) || tells(&known.op, &value)?;
            knows && !tells(&read.op, &value)? && known.returned_ns < read.invoked_ns && !removed_by(&value, read.returned_ns)
        }
        Claim::Overtaken { read, first, lacks, saw } => {
            let (read, first, lacks, saw) = (at(items, *read)?, at(items, *first)?, value(lacks), value(saw));
            let before = first.op == SetOp::Add(lacks.clone()) && !added_by(&saw, first.returned_ns);
            before && !tells(&read.op, &lacks)? && tells(&read.op, &saw)? && !removed_by(&lacks, read.returned_ns)
        }
        Claim::Forked {
            one,
            other,
            only_one,
            only_other,
        } => {
            let (one, other, a, b) = (at(items, *one)?, at(items, *other)?, value(only_one), value(only_other));
            let until_ns = one.returned_ns.max(other.returned_ns);
            let seen = tells(&one.op, &a)? && !tells(&one.op, &b)? && tells(&other.op, &b)? && !tells(&other.op, &a)?;
            seen && !removed_by(&a, until_ns) && !removed_by(&b, until_ns)
        }
        _ => false,
    })
}

/// What had certainly been added lies below every read, what may have been above it; negative amounts the other way round.
pub(in super::super) fn counter(items: &[Seen<CounterOp>], read: usize) -> Option<bool> {
    let read = at(items, read)?;
    let CounterOp::Read(seen) = read.op else { return None };
    let (mut least, mut most) = (0_i128, 0_i128);
    for item in items.iter().filter(|item| item.invoked_ns <= read.returned_ns) {
        let CounterOp::Add(amount) = item.op else { continue };
        let certain = item.returned_ns < read.invoked_ns;
        least += i128::from(if certain { amount } else { amount.min(0) });
        most += i128::from(if certain { amount } else { amount.max(0) });
    }
    Some(seen < least || seen > most)
}

/// Acquires and releases take turns: within any stretch the one kind happens at most once more than the other, and from the beginning,
/// when the lock is free, releases never more often than acquires.
pub(in super::super) fn mutex(items: &[Seen<MutexOp>], first: Option<usize>, last: usize) -> Option<bool> {
    let last = at(items, last).filter(|item| item.returned_ns != NEVER)?;
    let from_ns = match first {
        Some(first) => at(items, first)?.invoked_ns,
        None => i64::MIN,
    };
    let within = |item: &&Seen<MutexOp>| item.op == last.op && item.invoked_ns >= from_ns && item.returned_ns <= last.returned_ns;
    let touching = |item: &&Seen<MutexOp>| item.op != last.op && item.returned_ns >= from_ns && item.invoked_ns <= last.returned_ns;
    let (many, others) = (items.iter().filter(within).count(), items.iter().filter(touching).count());
    let allowed = if first.is_none() && last.op == MutexOp::Release {
        others
    } else {
        others + 1
    };
    Some(many > allowed)
}
