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
        // Two pointers, a number and the counts beside the state itself.
        self.state_bytes += self.model.state_bytes(&state) + 40;
        self.states.push(state.clone());
        self.numbers.insert(state, number);
        number
    }

    /// Roughly how much memory it takes.
    pub(super) fn bytes(&self) -> u64 {
        (self.state_bytes + self.steps.capacity() * 14) as u64
    }
}
