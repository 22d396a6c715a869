//! Why there is no order: how far one came, and the smallest part of the history that has none on its own.

use std::collections::BTreeSet;

use super::problem::{NEVER, Problem};
use super::search::{Outcome, search};
use super::verify;
use crate::linearizability::budget::Meter;
use crate::model::{Model, Value};

/// The proof that an object is not linearizable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The longest order found: places in [`History::operations`](crate::history::History::operations). Everything that returned before
    /// `stuck` is in it.
    pub prefix: Vec<usize>,
    /// The first operation that no order could place before its return.
    pub stuck: usize,
    /// When the violation was certain, in nanoseconds: `stuck` had returned. What returns later need not have happened by then.
    pub certain_ns: u64,
    /// The places of the operations that have no order on their own, in the order of their invocations. None of them, and none of `values`,
    /// can be left out, unless the budget ended before that was tried.
    pub window: Vec<usize>,
    /// The values that count within the window, sorted; `None` if the model's values cannot be told apart. A read of a set keeps only these.
    pub values: Option<Vec<Value>>,
    /// How the window was confirmed.
    pub confirmed: Confirmed,
}

/// How sure it is that the window has no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmed {
    /// Every order of it was tried, with exact sets of operations.
    ByForce,
    /// A second search with other hashes agrees.
    BySecondSearch,
    /// By the algorithm alone: the budget ended.
    Not,
}

/// Most work for making a window small, in configurations and operations looked at: about a second.
const SHRINK_WORK_MAX: u64 = 3_000_000;

/// Most configurations for confirming by force.
const FORCE_CONFIGURATIONS_MAX: usize = 20_000;

/// Salt of the searches that confirm: other numbers than the first search's.
const SALT: u64 = 2;

/// Explains why `problem` has no order; `None` if a second search finds one in the part said to have none.
///
/// `stuck` is the item that could not be placed, `start` a witness that is known already.
pub(super) fn explain<M: Model>(
    model: &M,
    problem: &Problem<M::Op>,
    prefix: Vec<u32>,
    stuck: u32,
    start: Option<(&[u32], &[Value])>,
    meter: &Meter<'_>,
) -> Option<Refusal> {
    let place = |item: u32| problem.items[item as usize].place as usize;
    let mut window = Window::of(model, problem, stuck, start);
    let shrinking = meter.part(SHRINK_WORK_MAX);
    let allowed = shrinking.left();
    let (window_problem, mut confirmed) = match window.is_refused(&shrinking) {
        Some(false) => return None,
        Some(true) => {
            window.shrink(&shrinking);
            (window.problem(), Confirmed::BySecondSearch)
        }
        None => (window.problem(), Confirmed::Not),
    };
    meter.take(allowed - shrinking.left());
    match verify::has_order(model, &window_problem, FORCE_CONFIGURATIONS_MAX) {
        Some(true) => return None,
        Some(false) => confirmed = Confirmed::ByForce,
        None => {}
    }
    Some(Refusal {
        prefix: prefix.into_iter().map(place).collect(),
        stuck: place(stuck),
        certain_ns: u64::try_from(problem.items[stuck as usize].returned_ns).unwrap_or_default(),
        window: window_problem.items.iter().map(|item| item.place as usize).collect(),
        values: window.values(),
        confirmed,
    })
}

/// What may be left out of a window.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    /// One operation that changes nothing.
    Observer(u32),
    /// All operations on a value.
    Value(Value),
}

struct Window<'a, M: Model> {
    model: &'a M,
    whole: Problem<M::Op>,
    /// The items of `whole` that are left.
    items: BTreeSet<u32>,
    units: Vec<Unit>,
    has_values: bool,
}

impl<'a, M: Model> Window<'a, M> {
    fn of(model: &'a M, problem: &Problem<M::Op>, stuck: u32, start: Option<(&[u32], &[Value])>) -> Window<'a, M> {
        let whole = problem.until(stuck);
        let wanted: Option<BTreeSet<u32>> = start.map(|(items, _)| items.iter().map(|&item| problem.items[item as usize].place).collect());
        let is_wanted = |item: &u32| {
            let place = whole.items[*item as usize].place;
            wanted.as_ref().is_none_or(|wanted| wanted.contains(&place))
        };
        let items: BTreeSet<u32> = (0..whole.items.len() as u32).filter(is_wanted).collect();
        let mut values: BTreeSet<Value> = items.iter().flat_map(|&item| model.values(whole.op(item))).collect();
        let has_values = !values.is_empty();
        if let Some((_, start)) = start.filter(|(_, start)| !start.is_empty()) {
            values.retain(|value| start.contains(value));
        }
        let observers = items.iter().filter(|&&item| model.observes(whole.op(item)));
        let observers: Vec<Unit> = observers.map(|&item| Unit::Observer(item)).collect();
        Window {
            model,
            items,
            units: values.into_iter().map(Unit::Value).chain(observers).collect(),
            has_values,
            whole,
        }
    }

    fn problem(&self) -> Problem<M::Op> {
        self.problem_of(&self.units)
    }

    fn problem_of(&self, units: &[Unit]) -> Problem<M::Op> {
        let units: BTreeSet<&Unit> = units.iter().collect();
        let kept = |item: u32| {
            let droppable = self.model.observes(self.whole.op(item));
            self.items.contains(&item) && (!droppable || units.contains(&Unit::Observer(item)))
        };
        let value = |value: &Value| !self.has_values || units.contains(&Unit::Value(value.clone()));
        self.whole.project(self.model, &kept, &value)
    }

    fn values(&self) -> Option<Vec<Value>> {
        let value = |unit: &Unit| match unit {
            Unit::Value(value) => Some(value.clone()),
            Unit::Observer(_) => None,
        };
        let mut values: Vec<Value> = self.units.iter().filter_map(value).collect();
        values.sort();
        self.has_values.then_some(values)
    }

    fn is_refused(&self, meter: &Meter<'_>) -> Option<bool> {
        refused(self.model, &self.problem(), meter)
    }

    /// Leaves out units by halves, quarters and so on down to one by one, as long as what is left has no order (Zeller's delta debugging).
    fn shrink(&mut self, meter: &Meter<'_>) {
        let mut size = self.units.len().div_ceil(2);
        while size > 0 {
            let mut begin = 0;
            let mut shrunk = false;
            while begin < self.units.len() {
                let end = (begin + size).min(self.units.len());
                let fewer = [&self.units[..begin], &self.units[end..]].concat();
                match refused(self.model, &self.problem_of(&fewer), meter) {
                    None => return,
                    Some(true) => (self.units, shrunk) = (fewer, true),
                    Some(false) => begin = end,
                }
            }
            if size == 1 && !shrunk {
                return;
            }
            size = size.div_ceil(2).min(self.units.len().max(1));
        }
    }
}

/// Whether there is no order; `None` if the budget ended.
fn refused<M: Model>(model: &M, problem: &Problem<M::Op>, meter: &Meter<'_>) -> Option<bool> {
    // Building the problem is work too.
    meter.take(problem.items.len() as u64);
    match search(model, problem, SALT, meter) {
        Outcome::Order(_) => Some(false),
        Outcome::Stuck(_) => Some(true),
        Outcome::Ended(..) => None,
    }
}

/// The required items in the order of their returns.
pub(super) fn by_return<Op>(problem: &Problem<Op>) -> Vec<u32> {
    let required = (0..problem.items.len() as u32).filter(|&item| problem.items[item as usize].returned_ns != NEVER);
    let mut items: Vec<u32> = required.collect();
    items.sort_by_key(|&item| (problem.items[item as usize].returned_ns, item));
    items
}
