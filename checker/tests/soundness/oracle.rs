//! The definition of linearizability, word for word: is there an order of the operations, with real time kept, in which every operation
//! could have answered as it did? It tries all orders. It knows nothing of the checker: neither its types nor its idea of an operation.

use rustc_hash::FxHashSet;

/// Most operations of a history that all orders are tried of.
pub(crate) const OPERATIONS_MAX: usize = 10;

/// Keys of histories with several.
pub(crate) const KEYS: usize = 3;

/// What an operation did and saw. 0 is null: nothing written, an empty queue.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Act {
    Read(usize, i8),
    Write(usize, i8),
    /// Found the first value, left the second.
    Cas(usize, i8, i8),
    /// A compare-and-set that found something else than it expected; it may say what.
    Mismatch(usize, i8, Option<i8>),
    /// Reads and writes of several keys in one step.
    Transaction(Vec<Part>),
    Add(i8),
    Sum(i8),
    Insert(i8),
    Remove(i8),
    Contains(i8, bool),
    Elements(Vec<i8>),
    Enqueue(i8),
    Dequeue(i8),
    Acquire,
    Release,
}

/// One step of a transaction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Part {
    Read(usize, i8),
    Write(usize, i8),
}

/// What is known of an operation's end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Ending {
    /// It happened and answered.
    Happened,
    /// It did not happen and never will.
    Refused,
    /// It may take effect at any time after its invocation, or never. What it saw, nobody knows.
    Unknown,
}

/// One operation with its closed interval.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Done {
    pub(crate) act: Act,
    pub(crate) invoked_ns: u64,
    pub(crate) returned_ns: u64,
    pub(crate) ending: Ending,
}

/// What the objects hold: registers by key; a counter's sum first; a set's members by place; a queue's length and then its values; whether
/// a lock is held first.
pub(crate) type State = [i8; 16];

/// What they hold before any operation.
pub(crate) const INITIAL: State = [0; 16];

/// The state after `act`, if it could have answered so. `blind`: what it saw does not count.
pub(crate) fn after(state: &State, act: &Act, blind: bool) -> Option<State> {
    let mut next = *state;
    let allowed = match act {
        Act::Read(key, saw) => blind || state[*key] == *saw,
        Act::Write(key, value) => {
            next[*key] = *value;
            true
        }
        Act::Cas(key, expected, new) => {
            next[*key] = *new;
            state[*key] == *expected
        }
        Act::Mismatch(key, expected, None) => state[*key] != *expected,
        Act::Mismatch(key, _, Some(saw)) => state[*key] == *saw,
        Act::Transaction(parts) => parts.iter().all(|part| match *part {
            Part::Read(key, saw) => blind || next[key] == saw,
            Part::Write(key, value) => {
                next[key] = value;
                true
            }
        }),
        Act::Add(amount) => {
            next[0] += amount;
            true
        }
        Act::Sum(saw) => blind || state[0] == *saw,
        Act::Insert(value) => {
            next[place(*value)] = 1;
            true
        }
        Act::Remove(value) => {
            next[place(*value)] = 0;
            true
        }
        Act::Contains(value, there) => blind || (state[place(*value)] == 1) == *there,
        Act::Elements(saw) => blind || *saw == elements(state),
        Act::Enqueue(value) => {
            next[0] += 1;
            next[place(next[0])] = *value;
            true
        }
        Act::Dequeue(saw) => {
            if state[0] > 0 {
                next[0] -= 1;
                next[1..].rotate_left(1);
                next[15] = 0;
            }
            blind || front(state) == *saw
        }
        Act::Acquire => {
            next[0] = 1;
            state[0] == 0
        }
        Act::Release => {
            next[0] = 0;
            state[0] == 1
        }
    };
    allowed.then_some(next)
}

fn place(value: i8) -> usize {
    usize::try_from(value).expect("members and lengths are not negative")
}

/// A set's members, sorted.
pub(crate) fn elements(state: &State) -> Vec<i8> {
    (0..16).filter(|&value| state[place(value)] == 1).collect()
}

/// A queue's oldest value, 0 if there is none.
pub(crate) fn front(state: &State) -> i8 {
    if state[0] > 0 { state[1] } else { 0 }
}

/// Whether the operations have an order.
pub(crate) fn is_linearizable(operations: &[Done]) -> bool {
    let operations: Vec<&Done> = operations.iter().filter(|operation| operation.ending != Ending::Refused).collect();
    assert!(operations.len() <= OPERATIONS_MAX, "too many orders to try");
    let precedes = |first: &Done, then: &Done| first.ending == Ending::Happened && first.returned_ns < then.invoked_ns;
    let before = operations
        .iter()
        .map(|then| set_of(&operations, |first| precedes(first, then)))
        .collect();
    let left = set_of(&operations, |_| true);
    let must = set_of(&operations, |operation| operation.ending == Ending::Happened);
    let mut search = Search {
        operations,
        before,
        must,
        failed: FxHashSet::default(),
    };
    search.has_order(left, &INITIAL)
}

/// The places of some operations, as bits.
fn set_of(operations: &[&Done], wanted: impl Fn(&Done) -> bool) -> u16 {
    (0..operations.len())
        .filter(|&place| wanted(operations[place]))
        .fold(0, |bits, place| bits | 1 << place)
}

struct Search<'a> {
    operations: Vec<&'a Done>,
    /// Which operations must stand before each.
    before: Vec<u16>,
    /// Which must stand somewhere.
    must: u16,
    /// What was tried in vain: the operations that were left, and the state.
    failed: FxHashSet<(u16, State)>,
}

impl Search<'_> {
    fn has_order(&mut self, left: u16, state: &State) -> bool {
        if left & self.must == 0 {
            return true;
        }
        if self.failed.contains(&(left, *state)) {
            return false;
        }
        for place in 0..self.operations.len() {
            if left >> place & 1 == 0 || self.before[place] & left != 0 {
                continue;
            }
            let operation = self.operations[place];
            let next = after(state, &operation.act, operation.ending == Ending::Unknown);
            if next.is_some_and(|next| self.has_order(left & !(1 << place), &next)) {
                return true;
            }
        }
        self.failed.insert((left, *state));
        false
    }
}
