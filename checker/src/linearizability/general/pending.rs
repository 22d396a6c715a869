//! Which operations may come next: a list of invocations and returns in time, from which placed operations are lifted.
//!
//! The list is Lowe's (Testing for Linearizability, CCPE 2017, section 3): everything before the first return in it may come next. An
//! operation that need not happen has no return; such ones wait in a queue per class, since of equal ones the earliest may always stand
//! for the others.

use super::problem::{NEVER, Problem};

/// No operation.
const NONE: u32 = u32::MAX;

pub(super) struct Pending {
    /// The items' times and classes.
    items: Vec<super::problem::Item>,
    /// Whose event each node is: nodes `1..` are the events in time order, invocations first at ties; node 0 is the head.
    nodes: Vec<Node>,
    /// Each item's nodes; 0 if it has none.
    invocations: Vec<u32>,
    returns: Vec<u32>,
    /// Optional items per class, in the order of their invocations, and how many of them are placed.
    optional: Vec<(Vec<u32>, usize)>,
    /// Each class' place in `optional`.
    optional_of_class: Vec<u32>,
    /// The earliest to return of each class among the candidates; `NONE` between calls.
    best: Vec<u32>,
    required_left: usize,
}

#[derive(Clone, Copy)]
struct Node {
    item: u32,
    is_return: bool,
    next: u32,
    previous: u32,
}

impl Pending {
    pub(super) fn of<Op>(problem: &Problem<Op>) -> Pending {
        let items = problem.items.clone();
        let mut events: Vec<(i64, bool, u32)> = Vec::new();
        let mut optional: Vec<(Vec<u32>, usize)> = Vec::new();
        let mut optional_of_class = vec![NONE; problem.ops.len()];
        for (number, item) in (0..).zip(&items) {
            if item.is_required() {
                events.push((item.invoked_ns, false, number));
                events.push((item.returned_ns, true, number));
                continue;
            }
            let slot = &mut optional_of_class[item.class as usize];
            if *slot == NONE {
                *slot = optional.len() as u32;
                optional.push((Vec::new(), 0));
            }
            optional[*slot as usize].0.push(number);
        }
        events.sort_unstable();
        let head = Node {
            item: NONE,
            is_return: false,
            next: 0,
            previous: 0,
        };
        let mut pending = Pending {
            nodes: vec![head],
            invocations: vec![0; items.len()],
            returns: vec![0; items.len()],
            best: vec![NONE; problem.ops.len()],
            required_left: events.len() / 2,
            items,
            optional,
            optional_of_class,
        };
        for (_, is_return, item) in events {
            let node = pending.nodes.len() as u32;
            let side = if is_return {
                &mut pending.returns
            } else {
                &mut pending.invocations
            };
            side[item as usize] = node;
            pending.nodes.push(Node {
                item,
                is_return,
                next: 0,
                previous: node - 1,
            });
            pending.nodes[node as usize - 1].next = node;
        }
        pending
    }

    /// Whether everything that must happen has been placed.
    pub(super) fn is_done(&self) -> bool {
        self.required_left == 0
    }

    /// Fills `candidates` with the operations that may come next, at most one per class, the earliest to return first. Returns the first
    /// operation that must have come before time can pass its return.
    ///
    /// Of two equal operations that may both come next, the one that returns first may always be taken: in an order that takes the other
    /// one, they can change places.
    pub(super) fn candidates(&mut self, candidates: &mut Vec<u32>) -> Option<u32> {
        candidates.clear();
        let mut node = self.nodes[0].next;
        while node != 0 && !self.nodes[node as usize].is_return {
            let item = self.nodes[node as usize].item;
            let best = &mut self.best[self.items[item as usize].class as usize];
            if *best == NONE || self.items[item as usize].returned_ns < self.items[*best as usize].returned_ns {
                *best = item;
            }
            candidates.push(item);
            node = self.nodes[node as usize].next;
        }
        let first = (node != 0).then(|| self.nodes[node as usize].item);
        let now_ns = first.map_or(NEVER, |first| self.items[first as usize].returned_ns);
        candidates.retain(|&item| self.best[self.items[item as usize].class as usize] == item);
        for (waiting, placed) in &self.optional {
            let Some(&item) = waiting.get(*placed) else { continue };
            let class = self.items[item as usize].class as usize;
            if self.best[class] == NONE && self.items[item as usize].invoked_ns <= now_ns {
                candidates.push(item);
            }
        }
        for &item in candidates.iter() {
            self.best[self.items[item as usize].class as usize] = NONE;
        }
        candidates.sort_unstable_by_key(|&item| (self.items[item as usize].returned_ns, item));
        first
    }

    /// Takes a candidate out.
    pub(super) fn place(&mut self, item: u32) {
        if !self.items[item as usize].is_required() {
            self.optional_of(item).1 += 1;
            return;
        }
        self.required_left -= 1;
        for node in [self.invocations[item as usize], self.returns[item as usize]] {
            let Node { next, previous, .. } = self.nodes[node as usize];
            self.nodes[previous as usize].next = next;
            if next != 0 {
                self.nodes[next as usize].previous = previous;
            }
        }
    }

    /// Puts the item that was placed last back.
    pub(super) fn put_back(&mut self, item: u32) {
        if !self.items[item as usize].is_required() {
            self.optional_of(item).1 -= 1;
            return;
        }
        self.required_left += 1;
        for node in [self.returns[item as usize], self.invocations[item as usize]] {
            let Node { next, previous, .. } = self.nodes[node as usize];
            self.nodes[previous as usize].next = node;
            if next != 0 {
                self.nodes[next as usize].previous = node;
            }
        }
    }

    /// Where a required item's return stands among the events.
    pub(super) fn return_place(&self, item: u32) -> u32 {
        self.returns[item as usize]
    }

    /// How much memory it takes.
    pub(super) fn bytes(&self) -> u64 {
        (self.nodes.len() * size_of::<Node>() + self.items.len() * (size_of::<super::problem::Item>() + 12)) as u64
    }

    fn optional_of(&mut self, item: u32) -> &mut (Vec<u32>, usize) {
        let slot = self.optional_of_class[self.items[item as usize].class as usize];
        &mut self.optional[slot as usize]
    }
}
