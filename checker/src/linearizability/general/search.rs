//! The general search: try what may come next, remember what was tried, take back what led nowhere.
//!
//! Wing and Gong 1993 with Lowe's memo (2017). A configuration is the set of placed operations and the state. The set is never stored: its
//! hash is the sum, modulo 2^128, of one pseudo-random number per operation, so placing and taking back are one addition each, where
//! Porcupine clones and rehashes n bits per entry. The state is an exact number ([`Space`]).
//!
//! **Collisions.** Two different configurations with one hash would let the search skip a part it has not seen: it could then say
//! `invalid` wrongly, never `valid`, whose order is replayed. Among N configurations the chance is about N² / 2^129: 10^-21 for a
//! thousand million. An `invalid` is moreover confirmed on its window by a second search with other numbers, and by brute force with exact
//! sets where the window is small (`refusal`). The numbers are not secret, so this is no defence against a file made to collide.
//!
//! Two rules keep it from branching where no choice is needed. An observer ([`Model::observes`]) that is allowed comes at once: in any order
//! that has it later, it may be moved here. (A write of the value that is there already may not: later it may be needed to bring it back.) Of equal operations only the first to return is tried ([`Pending`]). With them a
//! mutex, and a counter whose additions are all equal, never branch: in each state one kind of operation can change it, so the search is one
//! pass, and exact (this is the greedy rule of earliest deadline first).

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use super::pending::Pending;
use super::problem::Problem;
use super::space::{Space, table_bytes};
use crate::linearizability::budget::{Ended, Meter};
use crate::model::Model;

/// What a search found.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Items in an order that model and time allow.
    Order(Vec<u32>),
    /// There is none.
    Stuck(Progress),
    /// The budget ended first.
    Ended(Ended, Progress),
}

/// How far a search came.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The longest order found: everything that returned before `first` is in it.
    pub(super) order: Vec<u32>,
    /// The first operation that no order could place in time, or that was not placed yet when the budget ended.
    pub(super) first: Option<u32>,
}

struct Frame {
    item: u32,
    state_before: u32,
    /// The next candidate to try in its stead; `None` if nothing else need be tried.
    next: Option<u32>,
}

/// Searches for an order. `salt` chooses the numbers of the hash.
pub(super) fn search<M: Model>(model: &M, problem: &Problem<M::Op>, salt: u64, meter: &Meter<'_>) -> Outcome {
    let mut search = Search {
        model,
        problem,
        salt,
        pending: Pending::of(problem),
        space: Space::new(model, &problem.ops),
        seen: HashSet::default(),
        hash: 0,
        state: Space::<M>::INITIAL,
        frames: Vec::new(),
        candidates: Vec::new(),
        best: Progress::default(),
        best_place: 0,
        shared: 0,
    };
    search.run(meter)
}

struct Search<'a, M: Model> {
    model: &'a M,
    problem: &'a Problem<M::Op>,
    salt: u64,
    pending: Pending,
    space: Space<'a, M>,
    seen: HashSet<u128, BuildHasherDefault<Already>>,
    hash: u128,
    state: u32,
    frames: Vec<Frame>,
    candidates: Vec<u32>,
    best: Progress,
    /// Where the return of `best.first` stands.
    best_place: u32,
    /// How many frames still are as they were when `best` was written.
    shared: usize,
}

impl<M: Model> Search<'_, M> {
    fn run(&mut self, meter: &Meter<'_>) -> Outcome {
        let mut from = 0;
        loop {
            if self.pending.is_done() {
                return Outcome::Order(self.frames.iter().map(|frame| frame.item).collect());
            }
            let first = self.pending.candidates(&mut self.candidates);
            if let Err(end) = meter.hold(self.bytes() as usize).and_then(|()| meter.spend(0)) {
                self.note(first);
                return Outcome::Ended(end, std::mem::take(&mut self.best));
            }
            if let Some((item, after, next)) = self.choose(from) {
                self.advance(item, after, next);
                from = 0;
                continue;
            }
            self.note(first);
            match self.take_back() {
                Some(next) => from = next,
                None => return Outcome::Stuck(std::mem::take(&mut self.best)),
            }
        }
    }

    /// The next candidate worth trying, from `from` on, the state after it, and whether others remain.
    fn choose(&mut self, from: u32) -> Option<(u32, u32, Option<u32>)> {
        if from == 0 {
            for place in 0..self.candidates.len() {
                let item = self.candidates[place];
                let is_free = self.model.observes(self.problem.op(item)) && self.problem.items[item as usize].is_required();
                if is_free && self.step(item) == Some(self.state) {
                    return self.is_new(item, self.state).then_some((item, self.state, None));
                }
            }
        }
        for place in from as usize..self.candidates.len() {
            let item = self.candidates[place];
            // What changes nothing and need not happen is never needed.
            let Some(after) = self.step(item) else { continue };
            if after == self.state && !self.problem.items[item as usize].is_required() {
                continue;
            }
            if self.is_new(item, after) {
                return Some((item, after, Some(place as u32 + 1)));
            }
        }
        None
    }

    fn step(&mut self, item: u32) -> Option<u32> {
        self.space.step(self.state, self.problem.items[item as usize].class)
    }

    fn is_new(&mut self, item: u32, after: u32) -> bool {
        let state = number(self.salt ^ STATES, u64::from(after));
        self.seen
            .insert(self.hash.wrapping_add(number(self.salt, u64::from(item))).wrapping_add(state))
    }

    fn advance(&mut self, item: u32, after: u32, next: Option<u32>) {
        self.pending.place(item);
        self.hash = self.hash.wrapping_add(number(self.salt, u64::from(item)));
        self.frames.push(Frame {
            item,
            state_before: self.state,
            next,
        });
        self.state = after;
    }

    /// Undoes placed operations until one has an alternative; `None` if none has.
    fn take_back(&mut self) -> Option<u32> {
        while let Some(frame) = self.frames.pop() {
            self.shared = self.shared.min(self.frames.len());
            self.pending.put_back(frame.item);
            self.hash = self.hash.wrapping_sub(number(self.salt, u64::from(frame.item)));
            self.state = frame.state_before;
            if frame.next.is_some() {
                return frame.next;
            }
        }
        None
    }

    /// Remembers the order that let most time pass.
    fn note(&mut self, first: Option<u32>) {
        let place = first.map_or(u32::MAX, |first| self.pending.return_place(first));
        if place > self.best_place {
            self.best_place = place;
            self.best.first = first;
            self.best.order.truncate(self.shared);
            self.best.order.extend(self.frames[self.shared..].iter().map(|frame| frame.item));
            self.shared = self.frames.len();
        }
    }

    fn bytes(&self) -> u64 {
        // What the candidates may add before the next look.
        let more = self.candidates.len() + 1;
        let seen = table_bytes::<u128>(self.seen.len() + more, self.seen.capacity());
        let frames = self.frames.capacity() * size_of::<Frame>();
        (seen + frames + self.best.order.capacity() * 4) as u64 + self.space.bytes(more) + self.pending.bytes()
    }
}

/// Keeps the numbers of states apart from those of operations.
const STATES: u64 = 0x5a7e_5a7e_0000_0001;

/// The pseudo-random number of an operation or a state: two outputs of SplitMix64 (Steele, Lea and Flood 2014).
fn number(salt: u64, of: u64) -> u128 {
    let seed = mix(salt) ^ mix(of.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    u128::from(mix(seed)) << 64 | u128::from(mix(seed ^ 0xd1b5_4a32_d192_ed03))
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// A configuration's hash is its own hash.
#[derive(Default)]
struct Already(u64);

impl Hasher for Already {
    fn write(&mut self, bytes: &[u8]) {
        // Only `write_u128` is called; folding keeps every input meaningful.
        for &byte in bytes {
            self.0 = mix(self.0 ^ u64::from(byte));
        }
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
