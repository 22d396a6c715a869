//! The states a search met, each stored once, and the steps between them.

use std::rc::Rc;

use rustc_hash::FxHashMap;

use crate::model::Model;

/// No state: the operation is not allowed.
const NOT_ALLOWED: u32 = u32::MAX;

/// States by number. A state met again is the same number, so configurations are compared by number and never by content, and a step made
/// before is looked up: the memo table of Knossos (`model/memo.clj`) without its limit of 1,024 states.
pub(super) struct Space<'a, M: Model> {
    model: &'a M,
    ops: &'a [M::Op],
    states: Vec<Rc<M::State>>,
    /// Neither map is ever iterated.
    numbers: FxHashMap<Rc<M::State>, u32>,
    steps: FxHashMap<(u32, u32), u32>,
    state_bytes: usize,
}

impl<'a, M: Model> Space<'a, M> {
    pub(super) fn new(model: &'a M, ops: &'a [M::Op]) -> Space<'a, M> {
        let mut space = Space {
            model,
            ops,
            states: Vec::new(),
            numbers: FxHashMap::default(),
            steps: FxHashMap::default(),
            state_bytes: 0,
        };
        space.number(model.initial());
        space
    }

    /// The number of the initial state.
    pub(super) const INITIAL: u32 = 0;

    /// The state after an operation of a class, if it is allowed.
    pub(super) fn step(&mut self, state: u32, class: u32) -> Option<u32> {
        if let Some(&after) = self.steps.get(&(state, class)) {
            return (after != NOT_ALLOWED).then_some(after);
        }
        let after = self.model.step(&self.states[state as usize], &self.ops[class as usize]);
        let after = after.map_or(NOT_ALLOWED, |after| self.number(after));
        self.steps.insert((state, class), after);
        (after != NOT_ALLOWED).then_some(after)
    }

    fn number(&mut self, state: M::State) -> u32 {
        if let Some(&number) = self.numbers.get(&state) {
            return number;
        }
        // Memory for 2^32 states is refused by every budget below 100 GB; past it, numbers would be wrong.
        let number = u32::try_from(self.states.len()).ok().filter(|&number| number != NOT_ALLOWED);
        let number = number.expect("a search has fewer than 2^32 - 1 states");
        let state = Rc::new(state);
        self.state_bytes += self.model.state_bytes(&state) + STATE_OVERHEAD;
        self.states.push(state.clone());
        self.numbers.insert(state, number);
        number
    }

    /// Roughly how much memory it takes, and will take with so many more entries of each kind.
    pub(super) fn bytes(&self, more: usize) -> u64 {
        let numbers = table_bytes::<(Rc<M::State>, u32)>(self.numbers.len() + more, self.numbers.capacity());
        let steps = table_bytes::<((u32, u32), u32)>(self.steps.len() + more, self.steps.capacity());
        let states = grown(self.states.len() + more, self.states.capacity()) * size_of::<Rc<M::State>>();
        (self.state_bytes + numbers + steps + states) as u64
    }
}

/// Beside a state: the two counts of its [`Rc`], and what the allocator takes for itself.
const STATE_OVERHEAD: usize = 32;

/// Bytes of a hash table with room for `capacity` entries that is to hold `len`. Seven of eight buckets may be filled, and each has a byte of its own.
pub(super) fn table_bytes<T>(len: usize, capacity: usize) -> usize {
    grown(len, capacity) * 8 / 7 * (size_of::<T>() + 1)
}

/// For how many entries there is room while `len` of them are put into a table or vector with room for `capacity`: it grows by doubling, and holds
/// the old ones meanwhile. So what it takes next is counted before it is taken.
fn grown(len: usize, capacity: usize) -> usize {
    if len > capacity { 3 * capacity } else { capacity }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_table_that_is_about_to_grow_counts_as_old_and_new() {
        let mut set: HashSet<u64> = HashSet::new();
        for entry in 0..100_000 {
            let (before, will_be) = (set.capacity(), table_bytes::<u64>(set.len() + 1, set.capacity()));
            set.insert(entry);
            let taken = table_bytes::<u64>(0, before)
                + if set.capacity() > before {
                    table_bytes::<u64>(0, set.capacity())
                } else {
                    0
                };
            // The first table is made of nothing, and small.
            assert!(will_be * 9 / 8 + 256 >= taken, "{taken} bytes of {will_be} at {entry}");
        }
    }
}
