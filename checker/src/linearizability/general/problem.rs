//! What the search is asked: the operations of one object in the model's words, with their intervals.

use rustc_hash::FxHashMap;

use crate::history::History;
use crate::history::operation::{Operation, Outcome};
use crate::model::{Call, Foreign, Model, Value};

/// The return of an operation that need not happen: its outcome is unknown.
pub(super) const NEVER: i64 = i64::MAX;

/// One operation that says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Item {
    /// Its place in [`History::operations`].
    pub(super) place: u32,
    pub(super) invoked_ns: i64,
    /// With the clock error added; [`NEVER`] if it need not happen.
    pub(super) returned_ns: i64,
    /// Its place in [`Problem::ops`]: items of one class do the same and saw the same.
    pub(super) class: u32,
}

impl Item {
    pub(super) fn is_required(&self) -> bool {
        self.returned_ns != NEVER
    }
}

/// The operations of one object.
#[derive(Debug)]
pub(super) struct Problem<Op> {
    /// In the order of their invocations.
    pub(super) items: Vec<Item>,
    /// The different operations.
    pub(super) ops: Vec<Op>,
}

/// What an operation is to a model; `None` if it tells nothing.
pub(in crate::linearizability) fn meaning<M: Model>(model: &M, call: &Call<'_>) -> Result<Option<M::Op>, Foreign> {
    match call.outcome {
        Outcome::Fail => Ok(model.failed(call)),
        Outcome::Unknown => Ok(model.read(call)?.filter(|op| !model.observes(op))),
        Outcome::Ok => model.read(call),
    }
}

/// The interval of an operation. A definite failure that tells something was executed between its two times, like an `ok`.
pub(in crate::linearizability) fn interval(history: &History, operation: &Operation) -> (i64, i64) {
    let finite = |time_ns: u64| i64::try_from(time_ns).unwrap_or(NEVER - 1).min(NEVER - 1);
    let returned_ns = match operation.returned_ns() {
        Some(returned_ns) if operation.outcome != Outcome::Unknown => finite(returned_ns.saturating_add(history.clock_error_ns())),
        _ => NEVER,
    };
    (finite(operation.invoked_ns), returned_ns)
}

impl<Op: Clone + Eq + std::hash::Hash> Problem<Op> {
    pub(super) fn of(items: &[(Item, Op)]) -> Problem<Op> {
        let mut order: Vec<&(Item, Op)> = items.iter().collect();
        order.sort_by_key(|(item, _)| (item.invoked_ns, item.place));
        let mut classes: FxHashMap<&Op, u32> = FxHashMap::default();
        let mut ops = Vec::new();
        let items = order
            .into_iter()
            .map(|(item, op)| {
                let class = *classes.entry(op).or_insert_with_key(|&op| {
                    ops.push(op.clone());
                    // A file has fewer than 2^32 lines.
                    (ops.len() - 1) as u32
                });
                Item { class, ..*item }
            })
            .collect();
        Problem { items, ops }
    }

    pub(super) fn op(&self, item: u32) -> &Op {
        &self.ops[self.items[item as usize].class as usize]
    }

    /// The items up to the return of `stuck`. What returned later need not have happened by then, so it becomes optional: if the whole has
    /// a linearization, its operations that took effect up to that moment are one of the part.
    pub(super) fn until(&self, stuck: u32) -> Problem<Op> {
        let end = self.items[stuck as usize];
        let last = (end.returned_ns, stuck);
        let items = (0..)
            .zip(&self.items)
            .filter(|(_, item)| item.invoked_ns <= end.returned_ns)
            .map(|(number, item)| {
                let returned_ns = if (item.returned_ns, number) <= last {
                    item.returned_ns
                } else {
                    NEVER
                };
                (Item { returned_ns, ..*item }, self.op(number).clone())
            });
        Problem::of(&items.collect::<Vec<_>>())
    }

    /// Only some items, and of their values only some.
    pub(super) fn project<M: Model<Op = Op>>(&self, model: &M, item: &dyn Fn(u32) -> bool, value: &dyn Fn(&Value) -> bool) -> Problem<Op> {
        let kept = (0..self.items.len() as u32).filter(|&number| item(number));
        let items = kept.filter_map(|number| Some((self.items[number as usize], model.project(self.op(number), value)?)));
        Problem::of(&items.collect::<Vec<_>>())
    }
}
