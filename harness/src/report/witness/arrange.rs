//! An order of a few register operations that time and the register allow: where each takes effect in the picture.
//!
//! The judge's proof says that no order of the whole witness exists; a reader wants to see the order of the rest. With some thirty operations
//! a search with memory does, and its budget keeps it from anything else: then the picture goes without points.

use std::collections::BTreeSet;

use squall_checker::history::History;
use squall_checker::history::operation::{Function, Operation, Outcome};

/// What an operation does to a register, with values as canonical JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// Saw this.
    Read(String),
    /// Wrote this.
    Write(String),
    /// Found the first and wrote the second.
    Swap(String, String),
}

impl Effect {
    /// The effect an operation had, or might have had if its outcome is unknown; `None` if it had none or no register knows it.
    pub(super) fn of(history: &History, operation: &Operation) -> Option<Effect> {
        let seen = || {
            operation
                .observed()
                .map_or_else(|| "null".to_owned(), |value| history.value(value).into_owned())
        };
        match (operation.f, operation.outcome) {
            (Function::Read, Outcome::Ok) => Some(Effect::Read(seen())),
            (Function::Write, Outcome::Ok | Outcome::Unknown) => Some(Effect::Write(history.value(operation.argument).into_owned())),
            (Function::Cas, Outcome::Ok | Outcome::Unknown) => {
                let (expected, new) = pair(&history.value(operation.argument))?;
                Some(Effect::Swap(expected, new))
            }
            (Function::Cas, Outcome::Fail) => operation.observed().map(|value| Effect::Read(history.value(value).into_owned())),
            _ => None,
        }
    }

    /// The value it needs to find.
    pub(super) fn needs(&self) -> Option<&str> {
        match self {
            Effect::Read(value) | Effect::Swap(value, _) => Some(value),
            Effect::Write(_) => None,
        }
    }

    /// The value it leaves, if it writes.
    pub(super) fn leaves(&self) -> Option<&str> {
        match self {
            Effect::Read(_) => None,
            Effect::Write(value) | Effect::Swap(_, value) => Some(value),
        }
    }

    /// The value the register has right after it.
    pub(super) fn after(&self) -> &str {
        match self {
            Effect::Read(value) | Effect::Write(value) | Effect::Swap(_, value) => value,
        }
    }
}

/// `[expected, new]` of a cas.
pub(super) fn pair(json: &str) -> Option<(String, String)> {
    let [expected, new] = serde_json::from_str::<[&serde_json::value::RawValue; 2]>(json).ok()?;
    Some((expected.get().to_owned(), new.get().to_owned()))
}

/// One operation to place.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) effect: Effect,
    pub(super) invoked_ns: u64,
    /// The last moment at which it can have taken effect; `None` if its outcome is unknown, and then it need not have.
    pub(super) returned_ns: Option<u64>,
}

/// Steps of the search. A picture's operations need some hundreds; a knot that needs more is not for the eye.
const STEPS_MAX: usize = 50_000;

/// An order of the items that happened, and of those unknown ones that something placed needs. The register begins with a value nobody
/// here wrote. `None` if there is no such order, or none was found within the budget.
pub(super) fn order(items: &[Item]) -> Option<Vec<usize>> {
    if items.len() > 64 {
        return None;
    }
    let mut search = Search {
        items,
        seen: BTreeSet::new(),
        placed: Vec::new(),
    };
    search.go(0, None).then_some(search.placed)
}

struct Search<'a> {
    items: &'a [Item],
    /// Dead ends: which items were placed, and the one whose value the register then had.
    seen: BTreeSet<(u64, Option<usize>)>,
    placed: Vec<usize>,
}

impl Search<'_> {
    fn go(&mut self, done: u64, last: Option<usize>) -> bool {
        let is_open = |place: &usize| done & (1 << place) == 0;
        let open: Vec<usize> = (0..self.items.len()).filter(is_open).collect();
        let limit_ns = open.iter().filter_map(|&place| self.items[place].returned_ns).min();
        let Some(limit_ns) = limit_ns else { return true };
        if self.seen.len() >= STEPS_MAX || !self.seen.insert((done, last)) {
            return false;
        }
        let mut next: Vec<usize> = open
            .iter()
            .copied()
            .filter(|&place| self.items[place].invoked_ns <= limit_ns && self.fits(place, last, &open))
            .collect();
        next.sort_by_key(|&place| {
            (
                self.items[place].effect.leaves().is_some(),
                self.items[place].returned_ns.is_none(),
                self.items[place].invoked_ns,
            )
        });
        // A read of the present value changes nothing: placing it at once is never worse.
        if last.is_some() && next.first().is_some_and(|&first| self.items[first].effect.leaves().is_none()) {
            next.truncate(1);
        }
        for place in next {
            self.placed.push(place);
            if self.go(done | 1 << place, Some(place)) {
                return true;
            }
            self.placed.pop();
        }
        false
    }

    fn fits(&self, place: usize, last: Option<usize>, open: &[usize]) -> bool {
        let item = &self.items[place];
        let found = match (item.effect.needs(), last) {
            (None, _) => true,
            (Some(needed), Some(last)) => self.items[last].effect.after() == needed,
            // What was there before: anything but what is written here.
            (Some(needed), None) => self.items.iter().all(|other| other.effect.leaves() != Some(needed)),
        };
        let needed = || {
            let value = item.effect.leaves();
            open.iter()
                .any(|&other| self.items[other].effect.needs() == value && other != place)
        };
        found && (item.returned_ns.is_some() || needed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(effect: Effect, invoked_ns: u64, returned_ns: impl Into<Option<u64>>) -> Item {
        Item {
            effect,
            invoked_ns,
            returned_ns: returned_ns.into(),
        }
    }

    fn write(value: &str, invoked_ns: u64, returned_ns: impl Into<Option<u64>>) -> Item {
        item(Effect::Write(value.into()), invoked_ns, returned_ns)
    }

    fn read(value: &str, invoked_ns: u64, returned_ns: u64) -> Item {
        item(Effect::Read(value.into()), invoked_ns, returned_ns)
    }

    #[test]
    fn a_stale_read_has_no_place_and_the_rest_has() {
        let items = [write("17", 0, 10), write("18", 20, 30), read("17", 40, 50)];
        assert_eq!(order(&items), None);
        assert_eq!(order(&items[..2]), Some(vec![0, 1]));
    }

    #[test]
    fn an_unknown_write_is_placed_only_where_it_is_needed() {
        let unread = [write("1", 0, 10), write("2", 5, None), read("1", 20, 30)];
        assert_eq!(order(&unread), Some(vec![0, 2]));
        let read_later = [write("1", 0, 10), write("2", 5, None), read("1", 20, 30), read("2", 40, 50)];
        assert_eq!(order(&read_later), Some(vec![0, 2, 1, 3]));
    }

    #[test]
    fn what_was_there_before_may_be_read_until_something_is_written() {
        assert_eq!(order(&[read("null", 0, 10), write("1", 5, 20)]), Some(vec![0, 1]));
        assert_eq!(order(&[write("1", 0, 10), read("null", 20, 30)]), None);
        let swap = item(Effect::Swap("1".into(), "2".into()), 5, 30);
        assert_eq!(order(&[read("1", 0, 10), swap, read("2", 6, 9)]), Some(vec![0, 1, 2]));
    }

    #[test]
    fn a_knot_ends_within_its_budget() {
        let knot: Vec<Item> = (0..40)
            .map(|place| write(&place.to_string(), place, 1_000))
            .chain([read("no", 500, 1_000), read("way", 500, 1_000)])
            .collect();
        assert_eq!(order(&knot), None);
    }
}
