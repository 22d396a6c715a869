//! Random histories of every model: objects that act at one moment within each interval, disturbed or not, and operations thrown together.

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::oracle::{Act, Done, Ending, INITIAL, KEYS, OPERATIONS_MAX, Part, State, after, elements, front};

/// What the operations act on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Object {
    Register,
    /// Failed compare-and-sets say nothing more.
    BareCas,
    /// Failed compare-and-sets say what they saw.
    ReportingCas,
    /// All of these on several keys, and transactions.
    Kv,
    Counter,
    Set,
    Queue,
    Mutex,
}

/// How a history looks.
#[derive(Debug, Clone, Copy)]
struct Shape {
    object: Object,
    /// Registers and queues: each value is written once. Counters: additions of 1. Sets: only insertions and whole reads.
    plain: bool,
    keys: usize,
    operations: usize,
    /// Invocations lie within 0 and this.
    span_ns: u64,
    /// Operations take at most this long.
    duration_ns: u64,
}

/// A history of two to ten operations: a third linearizable by construction, a third disturbed, a third thrown together.
pub(crate) fn history(chance: &mut ChaCha8Rng, object: Object) -> Vec<Done> {
    let shape = Shape {
        object,
        plain: chance.random_ratio(1, 2),
        keys: match object {
            Object::Kv => KEYS,
            Object::Register | Object::BareCas | Object::ReportingCas if chance.random_ratio(1, 8) => 2,
            _ => 1,
        },
        operations: chance.random_range(2..=OPERATIONS_MAX),
        span_ns: chance.random_range(0..30),
        duration_ns: chance.random_range(0..14),
    };
    let mut operations = intervals(chance, shape);
    if chance.random_ratio(1, 3) {
        for (fresh, operation) in (1..).zip(&mut operations) {
            let state = any_state(chance, shape);
            operation.act = act(chance, shape, &state, fresh);
        }
        return settled(operations);
    }
    take_effect(chance, shape, &mut operations);
    if chance.random_ratio(1, 2) {
        for _ in 0..chance.random_range(1..=2) {
            disturb(chance, shape, &mut operations);
        }
    }
    settled(operations)
}

fn intervals(chance: &mut ChaCha8Rng, shape: Shape) -> Vec<Done> {
    let one = |_| {
        let invoked_ns = chance.random_range(0..=shape.span_ns);
        Done {
            act: Act::Acquire,
            invoked_ns,
            returned_ns: invoked_ns + chance.random_range(0..=shape.duration_ns),
            ending: *[Ending::Happened; 8]
                .iter()
                .chain(&[Ending::Unknown, Ending::Refused])
                .collect::<Vec<_>>()
                .choose(chance)
                .copied()
                .expect("there are endings"),
        }
    };
    (0..shape.operations).map(one).collect()
}

/// Gives every operation what it does and sees when the objects act at one moment within its interval.
fn take_effect(chance: &mut ChaCha8Rng, shape: Shape, operations: &mut [Done]) {
    let mut moments: Vec<(u64, usize)> = Vec::new();
    for (place, operation) in operations.iter().enumerate() {
        let until_ns = match operation.ending {
            Ending::Unknown => operation.invoked_ns + shape.span_ns + 1,
            _ => operation.returned_ns,
        };
        moments.push((chance.random_range(operation.invoked_ns..=until_ns), place));
    }
    moments.sort_unstable();
    let mut state = INITIAL;
    for (fresh, (_, place)) in (1..).zip(moments) {
        let operation = &mut operations[place];
        operation.act = act(chance, shape, &state, fresh);
        let happens = match operation.ending {
            Ending::Happened => true,
            Ending::Refused => false,
            Ending::Unknown => chance.random_ratio(1, 2),
        };
        if happens {
            state = after(&state, &operation.act, true).unwrap_or(state);
        }
    }
}

/// Something that an object in this state could do. `fresh` is a number that no other operation of the history gets.
fn act(chance: &mut ChaCha8Rng, shape: Shape, state: &State, fresh: i8) -> Act {
    let key = chance.random_range(0..shape.keys);
    let half = chance.random_ratio(1, 2);
    let few = chance.random_range(1..=3);
    match shape.object {
        Object::Register if half => Act::Read(key, state[key]),
        Object::Register => Act::Write(key, written(chance, shape, fresh)),
        Object::Kv if chance.random_ratio(1, 3) => transaction(chance, shape, state, fresh),
        Object::BareCas | Object::ReportingCas | Object::Kv => cas_register_act(chance, shape, state, fresh, key),
        Object::Counter if half => Act::Sum(state[0]),
        Object::Counter if shape.plain => Act::Add(1),
        Object::Counter => Act::Add(*[1, 2, 5, -1].choose(chance).expect("there are amounts")),
        Object::Set if shape.plain && half => Act::Elements(elements(state)),
        Object::Set if shape.plain => Act::Insert(if half { few } else { fresh }),
        Object::Set => match chance.random_range(0..9) {
            0 => Act::Elements(elements(state)),
            1..=3 => Act::Insert(few),
            4 | 5 => Act::Remove(few),
            _ => Act::Contains(few, state[few as usize] == 1),
        },
        Object::Queue if half => Act::Enqueue(if shape.plain { fresh } else { few }),
        Object::Queue => Act::Dequeue(front(state)),
        Object::Mutex if state[0] == 0 => Act::Acquire,
        Object::Mutex => Act::Release,
    }
}

fn cas_register_act(chance: &mut ChaCha8Rng, shape: Shape, state: &State, fresh: i8, key: usize) -> Act {
    let held = state[key];
    let new = written(chance, shape, fresh);
    match chance.random_range(0..5) {
        0 | 1 => Act::Read(key, held),
        2 => Act::Write(key, new),
        3 => Act::Cas(key, held, new),
        _ => {
            let expected = any_value(chance, shape);
            let says = shape.object == Object::ReportingCas || (shape.object == Object::Kv && chance.random_ratio(1, 2));
            if expected == held {
                Act::Cas(key, held, new)
            } else {
                Act::Mismatch(key, expected, says.then_some(held))
            }
        }
    }
}

fn transaction(chance: &mut ChaCha8Rng, shape: Shape, state: &State, fresh: i8) -> Act {
    let mut held = *state;
    let part = |_| {
        let key = chance.random_range(0..shape.keys);
        if chance.random_ratio(1, 2) {
            Part::Read(key, held[key])
        } else {
            held[key] = written(chance, shape, fresh);
            Part::Write(key, held[key])
        }
    };
    Act::Transaction((0..1 + fresh % 3).map(part).collect())
}

/// What a write writes; null too where values repeat.
fn written(chance: &mut ChaCha8Rng, shape: Shape, fresh: i8) -> i8 {
    if shape.plain { fresh } else { chance.random_range(0..=3) }
}

/// What an operation might see or expect: null, something written, or something never written.
fn any_value(chance: &mut ChaCha8Rng, shape: Shape) -> i8 {
    let operations = i8::try_from(shape.operations).expect("there are few operations");
    chance.random_range(0..=if shape.plain { operations + 1 } else { 4 })
}

/// Any state at all, so that acts see whatever they like.
fn any_state(chance: &mut ChaCha8Rng, shape: Shape) -> State {
    let mut state = INITIAL;
    match shape.object {
        Object::Counter => state[0] = chance.random_range(-1..=6),
        Object::Set => state[1..6].fill_with(|| i8::from(chance.random_ratio(1, 2))),
        Object::Queue => (state[0], state[1]) = (chance.random_range(0..=1), any_value(chance, shape).max(1)),
        Object::Mutex => state[0] = chance.random_range(0..=1),
        _ => state[..KEYS].fill_with(|| any_value(chance, shape)),
    }
    state
}

/// One operation claims something else, ends otherwise, or happens at another time.
fn disturb(chance: &mut ChaCha8Rng, shape: Shape, operations: &mut [Done]) {
    let (one, other) = (chance.random_range(0..operations.len()), chance.random_range(0..operations.len()));
    let interval = (operations[other].invoked_ns, operations[other].returned_ns);
    let operation = &mut operations[one];
    match (chance.random_range(0..5), &operation.act) {
        (0, _) => (operation.invoked_ns, operation.returned_ns) = interval,
        (1, _) => operation.ending = *[Ending::Happened, Ending::Unknown, Ending::Refused].choose(chance).expect("three"),
        // An answer with a member twice is none that a set can give.
        (2, Act::Elements(saw)) if !saw.is_empty() => operation.act = Act::Elements([&saw[..], &saw[..1]].concat()),
        _ => {
            let state = any_state(chance, shape);
            // What it writes stays new, so that plain histories stay plain.
            let fresh = i8::try_from(OPERATIONS_MAX + 1 + one).expect("there are few operations");
            operation.act = act(chance, shape, &state, fresh.min(15));
        }
    }
}

/// A compare-and-set that failed is known to have failed, whatever was drawn for its end.
fn settled(mut operations: Vec<Done>) -> Vec<Done> {
    for operation in &mut operations {
        if matches!(operation.act, Act::Mismatch(..)) && operation.ending == Ending::Unknown {
            operation.ending = Ending::Happened;
        }
    }
    operations
}
