//! Queues whose values are all different: exact, O(n log n).
//!
//! What can be wrong is one of four things (Henzinger, Sezgin and Vafeiadis, Aspect-oriented linearizability proofs, CONCUR 2013): a value
//! dequeued that was not enqueued before, dequeued twice, out of order, or an `empty` while something was certainly there. Write x→y if
//! x must be enqueued before y because its enqueue had returned, or be dequeued before y for the same reason; values that stay count as
//! dequeued after everything. Both relations are interval orders and have no two disjoint steps without a shortcut, so if →
//! has a cycle it has one of two values, and one sweep finds it. What returned as dequeued before another value's enqueue began is
//! before it as well, and adds no cycle.
//!
//! A dequeue of unknown outcome may have taken any value that would otherwise be out of order. It has only a beginning, so the earliest such
//! dequeue goes to the value that is needed away first.
//!
//! An `empty` needs a moment at which nothing must be there: outside the union of the open intervals between a value's enqueue's return and
//! its dequeue's invocation. Such a moment parts the history in two: a value lies before it if both its operations had begun by then.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use rustc_hash::FxHashMap;

use super::fast::Fast;
use super::problem::{NEVER, Problem};
use crate::model::{QueueOp, Value};

/// A closed interval; the item it is of.
#[derive(Debug, Clone, Copy)]
struct Span {
    begin: i64,
    end: i64,
    item: Option<u32>,
}

/// After everything: the dequeue of a value that stays.
const STAYS: Span = Span {
    begin: NEVER,
    end: NEVER,
    item: None,
};

/// A value with its one enqueue.
#[derive(Debug, Clone)]
struct Element<'a> {
    value: &'a Value,
    enqueue: Span,
    dequeue: Span,
}

pub(super) fn decide(problem: &Problem<QueueOp>) -> Fast {
    let mut queue = match Queue::of(problem) {
        Ok(queue) => queue,
        Err(answer) => return answer,
    };
    // Which values unseen dequeues took also decides when the queue was empty: left to the search where it matters.
    let tangled = !queue.unseen.is_empty() && !queue.empties.is_empty();
    let refuted = queue.give_to_unseen().or_else(|| queue.out_of_order());
    let moments = match refuted.map_or_else(|| queue.moments_of_empties(), Err) {
        Ok(moments) => moments,
        Err(_) if tangled => return Fast::Open,
        Err(refuted) => return refuted,
    };
    Fast::Order(queue.order(&moments))
}

struct Queue<'a> {
    problem: &'a Problem<QueueOp>,
    elements: Vec<Element<'a>>,
    empties: Vec<Span>,
    unseen: Vec<Span>,
}

impl<'a> Queue<'a> {
    fn of(problem: &'a Problem<QueueOp>) -> Result<Queue<'a>, Fast> {
        let span = |number: u32| Span {
            begin: problem.items[number as usize].invoked_ns,
            end: problem.items[number as usize].returned_ns,
            item: Some(number),
        };
        let mut enqueues: FxHashMap<&Value, Span> = FxHashMap::default();
        let mut dequeues: FxHashMap<&Value, Span> = FxHashMap::default();
        let mut in_order: Vec<&Value> = Vec::new();
        let (mut empties, mut unseen) = (Vec::new(), Vec::new());
        let mut twice = None;
        for number in 0..problem.items.len() as u32 {
            let span = span(number);
            match problem.op(number) {
                QueueOp::Enqueue(value) => {
                    if enqueues.insert(value, span).is_some() {
                        return Err(Fast::Open);
                    }
                    in_order.push(value);
                }
                QueueOp::Dequeue(value) => match dequeues.get_mut(value) {
                    None => drop(dequeues.insert(value, span)),
                    Some(other) if other.end != NEVER && span.end != NEVER => twice = twice.or(Some(value)),
                    // One that need not have happened gives way to one that has.
                    Some(other) if other.end == NEVER && span.end != NEVER => *other = span,
                    Some(_) => {}
                },
                QueueOp::Empty if span.end != NEVER => empties.push(span),
                QueueOp::Empty => {}
                QueueOp::DequeueUnseen => unseen.push(span),
            }
        }
        let refuted = |value: &Value| Err(refuted(problem, vec![value.clone()], &[]));
        if let Some(value) = twice {
            return refuted(value);
        }
        let phantom = |(value, dequeue): &(&&Value, &Span)| dequeue.end != NEVER && !enqueues.contains_key(*value);
        if let Some((value, _)) = dequeues.iter().filter(phantom).min_by_key(|(_, dequeue)| dequeue.item) {
            return refuted(value);
        }
        let mut elements = Vec::new();
        for value in in_order {
            let enqueue = enqueues[value];
            let dequeue = dequeues.get(value).copied().unwrap_or(STAYS);
            if dequeue.end < enqueue.begin {
                return refuted(value);
            }
            // Nobody knows whether it was there, and nobody saw it.
            if enqueue.end == NEVER && dequeue.end == NEVER {
                continue;
            }
            elements.push(Element { value, enqueue, dequeue });
        }
        Ok(Queue {
            problem,
            elements,
            empties,
            unseen,
        })
    }

    /// Lets unseen dequeues take values that are in the way; refutes if there are not enough of them in time.
    fn give_to_unseen(&mut self) -> Option<Fast> {
        if self.unseen.is_empty() {
            return None;
        }
        // Dequeued values by the begin of their enqueue, and the first return of a dequeue from each on.
        let mut after: Vec<(i64, i64, usize)> = (0..self.elements.len())
            .filter(|&place| self.elements[place].dequeue.end != NEVER)
            .map(|place| (self.elements[place].enqueue.begin, self.elements[place].dequeue.end, place))
            .collect();
        after.sort_unstable();
        for place in (0..after.len().saturating_sub(1)).rev() {
            if after[place + 1].1 < after[place].1 {
                (after[place].1, after[place].2) = (after[place + 1].1, after[place + 1].2);
            }
        }
        let mut in_the_way: Vec<(i64, usize, usize)> = Vec::new();
        for (place, element) in self.elements.iter().enumerate() {
            let next = after.partition_point(|&(begin, ..)| begin <= element.enqueue.end);
            if element.dequeue.item.is_none()
                && let Some(&(_, until_ns, because)) = after.get(next)
            {
                in_the_way.push((until_ns, place, because));
            }
        }
        in_the_way.sort_unstable();
        for rank in 0..in_the_way.len() {
            let (until_ns, place, _) = in_the_way[rank];
            match self.unseen.get(rank) {
                Some(&unseen) if unseen.begin <= until_ns => self.elements[place].dequeue = unseen,
                _ => {
                    let concerned = in_the_way[..=rank].iter().flat_map(|&(_, place, because)| [place, because]);
                    let values: BTreeSet<Value> = concerned.map(|place| self.elements[place].value.clone()).collect();
                    return Some(refuted(self.problem, values.into_iter().collect(), &[]));
                }
            }
        }
        None
    }

    /// Two values of which each must be before the other.
    fn out_of_order(&self) -> Option<Fast> {
        let mut by_begin: Vec<usize> = (0..self.elements.len()).collect();
        by_begin.sort_by_key(|&place| Reverse(self.elements[place].enqueue.begin));
        let mut by_end = by_begin.clone();
        by_end.sort_by_key(|&place| Reverse(self.elements[place].enqueue.end));
        let mut later = by_begin.into_iter().peekable();
        // Of the values enqueued certainly after x, the one dequeued first.
        let mut first: Option<usize> = None;
        for x in by_end {
            let enqueued_ns = self.elements[x].enqueue.end;
            while let Some(y) = later.next_if(|&y| self.elements[y].enqueue.begin > enqueued_ns) {
                if first.is_none_or(|first| self.elements[y].dequeue.end < self.elements[first].dequeue.end) {
                    first = Some(y);
                }
            }
            if let Some(y) = first.filter(|&y| self.elements[y].dequeue.end < self.elements[x].dequeue.begin) {
                let values = [x, y].map(|place| self.elements[place].value.clone());
                return Some(refuted(self.problem, values.to_vec(), &[]));
            }
        }
        None
    }

    /// A moment for each `empty`, with its item.
    fn moments_of_empties(&self) -> Result<Vec<(i64, u32)>, Fast> {
        let present = |element: &Element<'_>| (element.enqueue.end, element.dequeue.begin);
        let mut spans: Vec<(i64, i64)> = self.elements.iter().map(present).filter(|(begin, end)| begin < end).collect();
        spans.sort_unstable();
        let mut merged: Vec<(i64, i64)> = Vec::new();
        for (begin, end) in spans {
            match merged.last_mut() {
                Some((_, last)) if begin < *last => *last = end.max(*last),
                _ => merged.push((begin, end)),
            }
        }
        let mut moments = Vec::new();
        for empty in &self.empties {
            let next = merged.partition_point(|&(begin, _)| begin < empty.begin);
            let covered = next.checked_sub(1).map(|last| merged[last]).filter(|&(_, end)| end > empty.begin);
            let moment = covered.map_or(empty.begin, |(_, end)| end);
            if moment > empty.end {
                return Err(self.never_empty(empty));
            }
            moments.extend(empty.item.map(|item| (moment, item)));
        }
        moments.sort_unstable();
        Ok(moments)
    }

    /// A chain of values of which one was certainly there at each moment of `empty`.
    fn never_empty(&self, empty: &Span) -> Fast {
        let mut at_ns = empty.begin;
        let mut values = Vec::new();
        while at_ns <= empty.end {
            let there = self.elements.iter().filter(|element| element.enqueue.end < at_ns);
            let Some(longest) = there
                .max_by_key(|element| element.dequeue.begin)
                .filter(|longest| longest.dequeue.begin > at_ns)
            else {
                return Fast::Open;
            };
            values.push(longest.value.clone());
            at_ns = longest.dequeue.begin;
        }
        let empty: Vec<u32> = empty.item.into_iter().collect();
        refuted(self.problem, values, &empty)
    }

    /// The order, given where each `empty` is.
    fn order(&self, empties: &[(i64, u32)]) -> Vec<u32> {
        let mut moments: Vec<i64> = empties.iter().map(|&(moment, _)| moment).collect();
        moments.dedup();
        let mut groups: Vec<Vec<usize>> = vec![Vec::new(); moments.len() + 1];
        for (place, element) in self.elements.iter().enumerate() {
            let begun_ns = element.enqueue.begin.max(element.dequeue.begin);
            groups[moments.partition_point(|&moment| moment < begun_ns)].push(place);
        }
        let mut events: Vec<(i64, usize, u8, usize, u32)> = Vec::new();
        let (mut enqueued_ns, mut dequeued_ns) = (i64::MIN, i64::MIN);
        let mut taken = vec![false; self.elements.len()];
        for (epoch, group) in groups.iter().enumerate() {
            if let Some(&base) = epoch.checked_sub(1).and_then(|last| moments.get(last)) {
                (enqueued_ns, dequeued_ns) = (enqueued_ns.max(base), dequeued_ns.max(base));
            }
            for (rank, place) in self.first_in_first_out(group, &mut taken).into_iter().enumerate() {
                let Element { enqueue, dequeue, .. } = &self.elements[place];
                enqueued_ns = enqueued_ns.max(enqueue.begin);
                dequeued_ns = dequeued_ns.max(dequeue.begin).max(enqueued_ns);
                events.extend(enqueue.item.map(|item| (enqueued_ns, epoch, 0, rank, item)));
                // Past every time only what need not happen is left.
                let dequeue = dequeue.item.filter(|_| dequeued_ns != NEVER);
                events.extend(dequeue.map(|item| (dequeued_ns, epoch, 1, rank, item)));
            }
        }
        for &(moment, item) in empties {
            let epoch = moments.partition_point(|&other| other < moment);
            events.push((moment, epoch, 2, 0, item));
        }
        events.sort_unstable();
        events.into_iter().map(|(.., item)| item).collect()
    }

    /// The group in an order that → allows: again and again a value that no other left must precede.
    fn first_in_first_out(&self, group: &[usize], taken: &mut [bool]) -> Vec<usize> {
        let sorted = |time_ns: &dyn Fn(&Element<'_>) -> i64| {
            let mut places = group.to_vec();
            places.sort_by_key(|&place| Reverse(time_ns(&self.elements[place])));
            places
        };
        let mut begins = sorted(&|element| element.enqueue.begin);
        let mut enqueued = sorted(&|element| element.enqueue.end);
        let mut dequeued = sorted(&|element| element.dequeue.end);
        let mut ready: BinaryHeap<Reverse<(i64, usize)>> = BinaryHeap::new();
        let mut order = Vec::with_capacity(group.len());
        while order.len() < group.len() {
            for list in [&mut enqueued, &mut dequeued] {
                while list.last().is_some_and(|&place| taken[place]) {
                    list.pop();
                }
            }
            let first = |list: &[usize], end: &dyn Fn(&Element<'_>) -> i64| list.last().map_or(NEVER, |&place| end(&self.elements[place]));
            let dequeue_ns = first(&dequeued, &|element| element.dequeue.end);
            let enqueue_ns = first(&enqueued, &|element| element.enqueue.end).min(dequeue_ns);
            while let Some(place) = begins.pop_if(|place| self.elements[*place].enqueue.begin <= enqueue_ns) {
                ready.push(Reverse((self.elements[place].dequeue.begin, place)));
            }
            // Without a cycle there is always one; an order cut short here would be refused by the replay.
            let Some(Reverse((_, place))) = ready.pop() else { break };
            taken[place] = true;
            order.push(place);
        }
        order
    }
}

/// The operations that may have to do with these values, and `others`.
fn refuted(problem: &Problem<QueueOp>, values: Vec<Value>, others: &[u32]) -> Fast {
    let on_values = |number: &u32| match problem.op(*number) {
        QueueOp::Enqueue(value) | QueueOp::Dequeue(value) => values.contains(value),
        // It may have taken any of them.
        QueueOp::DequeueUnseen => true,
        QueueOp::Empty => false,
    };
    let mut items: Vec<u32> = (0..problem.items.len() as u32).filter(on_values).collect();
    items.extend(others);
    Fast::Refuted { items, values }
}
