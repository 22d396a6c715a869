//! What is wrong with an object, as a claim about a few operations that a person can follow and a verifier can replay.
//!
//! A [`Refusal`] says that a window has no order; a claim says why, in the model's own terms: a value dequeued twice, a read that lacks an
//! element. It is looked for among the operations of the refusal's window and kept only if [`verify::claim`](super::verify::claim) finds it true
//! of the whole object. So the sentence made of it is true whatever the search did, and large windows (a counter's additions, a lock's
//! whole past) come down to the few operations that matter. Where no claim fits, the window itself is the proof.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::problem::{interval, meaning};
use super::verify::claims;
use super::{ModelChoice, Refusal};
use crate::history::History;
use crate::model::{Call, Counter, CounterOp, Model, Mutex, MutexOp, Queue, QueueOp, Set, SetOp, Value};

/// Why an object is not linearizable. Operations are places in [`History::operations`], values JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Claim {
    /// Dequeues of one value, more than enqueues of it had begun when they had returned.
    DequeuedTooOften {
        /// The dequeues.
        dequeues: Vec<usize>,
    },
    /// Two values, each enqueued once, left in the other order than they came.
    OutOfOrder {
        /// The enqueue that had returned when `second` began.
        first: usize,
        /// The other enqueue.
        second: usize,
        /// The dequeue of the second value, which had returned before the first was taken.
        taken: usize,
    },
    /// A dequeue found nothing, although at every moment of it one of these values was there.
    NotEmpty {
        /// The dequeue.
        empty: usize,
        /// The enqueues of the values, each there before the one before it can have been taken.
        there: Vec<usize>,
    },
    /// A value was seen in a set before any addition of it began.
    NeverAdded {
        /// The read that saw it.
        read: usize,
        /// The value.
        value: String,
    },
    /// A read did not see a value that was there when it began and that nobody removed.
    Missing {
        /// The read.
        read: usize,
        /// The addition, or a read that saw it: it had returned.
        known: usize,
        /// The value.
        value: String,
    },
    /// A read saw an element and lacks one whose addition had returned before that element's began; nobody removed it.
    Overtaken {
        /// The read.
        read: usize,
        /// The addition of what it lacks.
        first: usize,
        /// The value it lacks.
        lacks: String,
        /// The value it saw.
        saw: String,
    },
    /// Two reads of which each saw an element that the other one lacks; nobody removed either.
    Forked {
        /// One read.
        one: usize,
        /// The other.
        other: usize,
        /// What only `one` saw.
        only_one: String,
        /// What only `other` saw.
        only_other: String,
    },
    /// A read of a set lists a value twice.
    ListedTwice {
        /// The read.
        read: usize,
        /// The value.
        value: String,
    },
    /// A read saw less than what had certainly been added, or more than what may have been.
    OutOfBounds {
        /// The read.
        read: usize,
    },
    /// Of acquires and releases, more of `last`'s kind happened within a stretch of time than the others allow.
    Unbalanced {
        /// The operation whose invocation begins the stretch; none for the beginning of time, when the lock was free.
        first: Option<usize>,
        /// The operation whose return ends it.
        last: usize,
    },
}

/// One operation as a model and the verifier see it.
#[derive(Debug, Clone)]
pub(super) struct Seen<Op> {
    pub(super) place: usize,
    pub(super) op: Op,
    pub(super) invoked_ns: i64,
    /// [`NEVER`](super::problem::NEVER) if it need not have happened.
    pub(super) returned_ns: i64,
}

/// The operations at `places` that say something to the model.
pub(super) fn seen<'a, M: Model>(
    history: &'a History,
    model: &'a M,
    places: impl IntoIterator<Item = usize> + 'a,
) -> impl Iterator<Item = Seen<M::Op>> + 'a {
    places.into_iter().filter_map(move |place| {
        let operation = history.operations.get(place)?;
        let op = meaning(model, &Call::of(history, operation)).ok().flatten()?;
        let (invoked_ns, returned_ns) = interval(history, operation);
        Some(Seen {
            place,
            op,
            invoked_ns,
            returned_ns,
        })
    })
}

impl Claim {
    /// The operations it names.
    pub fn operations(&self) -> Vec<usize> {
        match *self {
            Claim::DequeuedTooOften { ref dequeues } => dequeues.clone(),
            Claim::OutOfOrder { first, second, taken } => vec![first, second, taken],
            Claim::NotEmpty { empty, ref there } => [&[empty], &there[..]].concat(),
            Claim::NeverAdded { read, .. } | Claim::ListedTwice { read, .. } | Claim::OutOfBounds { read } => vec![read],
            Claim::Missing { read, known, .. } => vec![read, known],
            Claim::Overtaken { read, first, .. } => vec![read, first],
            Claim::Forked { one, other, .. } => vec![one, other],
            Claim::Unbalanced { first, last } => first.into_iter().chain([last]).collect(),
        }
    }

    /// The claim that explains why the object with these operations was refused, if one does.
    pub fn of(history: &History, choice: ModelChoice, places: &[u32], refusal: &Refusal) -> Option<Claim> {
        // Claims have few operations; a window that could not be made small has none worth looking for.
        if refusal.window.len() > WINDOW_MAX && !matches!(choice, ModelChoice::Counter | ModelChoice::Mutex) {
            return None;
        }
        let all = || places.iter().map(|&place| place as usize);
        let window: BTreeSet<usize> = refusal.window.iter().copied().collect();
        match choice {
            ModelChoice::Queue => {
                let items: Vec<_> = seen(history, &Queue, all()).collect();
                let claims = of_queue(&within(&items, &window));
                claims.into_iter().find(|claim| claims::queue(&items, claim) == Some(true))
            }
            ModelChoice::Set => {
                let items: Vec<_> = seen(history, &Set, all()).collect();
                let claims = of_set(&within(&items, &window), refusal.values.as_deref().unwrap_or_default());
                claims.into_iter().find(|claim| claims::set(&items, claim) == Some(true))
            }
            ModelChoice::Counter => {
                let items: Vec<_> = seen(history, &Counter, all()).collect();
                let mut reads = within(&items, &window);
                reads.retain(|item| matches!(item.op, CounterOp::Read(_)));
                let mut reads = reads.into_iter().take(READS_MAX).map(|read| read.place);
                let read = reads.find(|&read| claims::counter(&items, read) == Some(true))?;
                Some(Claim::OutOfBounds { read })
            }
            ModelChoice::Mutex => {
                let items: Vec<_> = seen(history, &Mutex, all()).collect();
                let last = refusal.stuck;
                let mut firsts = starts(&items, last).into_iter();
                let first = firsts.find(|&first| claims::mutex(&items, first, last) == Some(true))?;
                Some(Claim::Unbalanced { first, last })
            }
            ModelChoice::Register | ModelChoice::CasRegister | ModelChoice::Kv => None,
        }
    }
}

/// Every claim that could be made of an object, true or not.
#[cfg(test)]
pub(super) fn conceivable(history: &History, choice: ModelChoice, places: &[u32]) -> Vec<Claim> {
    let all = || places.iter().map(|&place| place as usize);
    match choice {
        ModelChoice::Queue => of_queue(&seen(history, &Queue, all()).collect::<Vec<_>>()),
        ModelChoice::Set => {
            let items: Vec<_> = seen(history, &Set, all()).collect();
            let values: BTreeSet<Value> = items.iter().flat_map(|item| Set.values(&item.op)).collect();
            of_set(&items, &values.into_iter().collect::<Vec<_>>())
        }
        ModelChoice::Counter => all().map(|read| Claim::OutOfBounds { read }).collect(),
        ModelChoice::Mutex => {
            let firsts = || all().map(Some).chain([None]);
            all()
                .flat_map(|last| firsts().map(move |first| Claim::Unbalanced { first, last }))
                .collect()
        }
        ModelChoice::Register | ModelChoice::CasRegister | ModelChoice::Kv => Vec::new(),
    }
}

/// Most operations of a window that is searched for a claim, which looks at pairs.
const WINDOW_MAX: usize = 200;

/// Most reads of a counter that are tried: a small window has one or two.
const READS_MAX: usize = 20;

fn within<Op: Clone>(items: &[Seen<Op>], window: &BTreeSet<usize>) -> Vec<Seen<Op>> {
    items.iter().filter(|item| window.contains(&item.place)).cloned().collect()
}

fn dequeued(op: &QueueOp) -> Option<&Value> {
    match op {
        QueueOp::Dequeue(value) => Some(value),
        _ => None,
    }
}

fn of_queue(items: &[Seen<QueueOp>]) -> Vec<Claim> {
    let enqueues = || items.iter().filter(|item| matches!(item.op, QueueOp::Enqueue(_)));
    let mut claims = Vec::new();
    for item in items {
        let same: Vec<&Seen<QueueOp>> = items.iter().filter(|other| other.op == item.op).collect();
        if dequeued(&item.op).is_some() {
            // Fewest first: one that came too early needs no second.
            claims.push(Claim::DequeuedTooOften {
                dequeues: vec![item.place],
            });
            let dequeues = same.iter().map(|other| other.place).collect();
            claims.extend((same.len() > 1).then_some(Claim::DequeuedTooOften { dequeues }));
        }
    }
    claims.sort_by_key(|claim| matches!(claim, Claim::DequeuedTooOften { dequeues } if dequeues.len() > 1));
    for first in enqueues() {
        for second in enqueues().filter(|second| second.invoked_ns > first.returned_ns) {
            let taken = items.iter().filter(|item| match (dequeued(&item.op), &second.op) {
                (Some(taken), QueueOp::Enqueue(value)) => taken == value,
                _ => false,
            });
            claims.extend(taken.map(|taken| Claim::OutOfOrder {
                first: first.place,
                second: second.place,
                taken: taken.place,
            }));
        }
    }
    for empty in items.iter().filter(|item| item.op == QueueOp::Empty) {
        claims.extend(never_empty(items, empty));
    }
    claims
}

/// Enqueues of values of which, as far as these items tell, one was there at each moment of `empty`.
fn never_empty(items: &[Seen<QueueOp>], empty: &Seen<QueueOp>) -> Option<Claim> {
    let left_ns = |enqueue: &Seen<QueueOp>| {
        let QueueOp::Enqueue(value) = &enqueue.op else { return i64::MIN };
        let dequeues = items.iter().filter(|item| dequeued(&item.op) == Some(value));
        dequeues.map(|item| item.invoked_ns).min().unwrap_or(i64::MAX)
    };
    let mut there = Vec::new();
    let mut at_ns = empty.invoked_ns;
    while at_ns <= empty.returned_ns {
        let next = items
            .iter()
            .filter(|item| item.returned_ns < at_ns)
            .max_by_key(|item| left_ns(item))?;
        if left_ns(next) <= at_ns {
            return None;
        }
        at_ns = left_ns(next);
        there.push(next.place);
    }
    Some(Claim::NotEmpty { empty: empty.place, there })
}

/// What a read or a question says about a value: whether it is there.
pub(super) fn tells(op: &SetOp, value: &Value) -> Option<bool> {
    match op {
        SetOp::Read(values) => Some(values.contains(value)),
        SetOp::Contains(of, there) if of == value => Some(*there),
        _ => None,
    }
}

fn of_set(items: &[Seen<SetOp>], values: &[Value]) -> Vec<Claim> {
    let mut claims = Vec::new();
    let reads = || items.iter().filter(|item| matches!(item.op, SetOp::Read(_) | SetOp::Contains(..)));
    for item in items {
        if let SetOp::Twice(value) = &item.op {
            let (read, value) = (item.place, value.to_string());
            claims.push(Claim::ListedTwice { read, value });
        }
    }
    for value in values {
        for read in reads() {
            match tells(&read.op, value) {
                Some(true) => claims.push(Claim::NeverAdded {
                    read: read.place,
                    value: value.to_string(),
                }),
                Some(false) => {
                    // An addition says it better than a read.
                    let adds = items.iter().filter(|item| item.op == SetOp::Add(value.clone()));
                    let knows = adds.chain(reads().filter(|item| tells(&item.op, value) == Some(true)));
                    claims.extend(
                        knows
                            .filter(|known| known.returned_ns < read.invoked_ns)
                            .map(|known| Claim::Missing {
                                read: read.place,
                                known: known.place,
                                value: value.to_string(),
                            }),
                    );
                }
                None => {}
            }
        }
    }
    claims.extend(of_two_values(items, values));
    claims
}

fn of_two_values(items: &[Seen<SetOp>], values: &[Value]) -> Vec<Claim> {
    let mut claims = Vec::new();
    let reads: Vec<&Seen<SetOp>> = items.iter().filter(|item| matches!(item.op, SetOp::Read(_))).collect();
    for lacks in values {
        for saw in values {
            let split = |read: &Seen<SetOp>| tells(&read.op, lacks) == Some(false) && tells(&read.op, saw) == Some(true);
            for read in reads.iter().filter(|read| split(read)) {
                let adds = items.iter().filter(|item| item.op == SetOp::Add(lacks.clone()));
                claims.extend(adds.map(|add| Claim::Overtaken {
                    read: read.place,
                    first: add.place,
                    lacks: lacks.to_string(),
                    saw: saw.to_string(),
                }));
                let other = |other: &&&Seen<SetOp>| tells(&other.op, lacks) == Some(true) && tells(&other.op, saw) == Some(false);
                claims.extend(reads.iter().filter(other).map(|other| Claim::Forked {
                    one: read.place,
                    other: other.place,
                    only_one: saw.to_string(),
                    only_other: lacks.to_string(),
                }));
            }
        }
    }
    claims
}

/// Where a stretch that ends with the return of `stuck` may begin to be out of balance: as late as possible, and at the beginning of time.
fn starts(items: &[Seen<MutexOp>], stuck: usize) -> Vec<Option<usize>> {
    let Some(last) = items.iter().find(|item| item.place == stuck) else {
        return Vec::new();
    };
    let mut done: Vec<&Seen<MutexOp>> = items
        .iter()
        .filter(|item| item.op == last.op && item.returned_ns <= last.returned_ns)
        .collect();
    done.sort_by_key(|item| std::cmp::Reverse((item.invoked_ns, item.place)));
    let mut others: Vec<i64> = items
        .iter()
        .filter(|item| item.op != last.op && item.invoked_ns <= last.returned_ns)
        .map(|item| item.returned_ns)
        .collect();
    others.sort_unstable();
    let is_too_many = |(index, first): &(usize, &&Seen<MutexOp>)| {
        let overlapping = others.len() - others.partition_point(|&returned_ns| returned_ns < first.invoked_ns);
        index + 1 >= overlapping + 2
    };
    let shortest = done.iter().enumerate().find(is_too_many).map(|(_, first)| first.place);
    shortest.map(Some).into_iter().chain([None]).collect()
}
