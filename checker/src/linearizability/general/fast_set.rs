//! Sets that only grow and are read whole: exact, in time that grows with the length of the answers.
//!
//! The states such a set goes through are a chain, so its reads must be one by inclusion. The chain orders everything: the elements of the
//! smallest answer are added first, then come the reads with that answer, then the elements that the next answer has more, and so on; what
//! nobody saw comes last. Between neighbours of that order every element and read is free, so an order exists exactly if each can be
//! placed no earlier than everything before it and not after its own return. Of several additions of one element the first to
//! begin may always be the one that counts; the others come at any later time of theirs, which is why the element has to be there when
//! the first of them returns.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use super::fast::Fast;
use super::problem::{NEVER, Problem};
use crate::model::{SetOp, Value};

/// An element or a read: it takes effect once, between `low` and `high`.
#[derive(Clone, Copy)]
struct Moment {
    low: i64,
    high: i64,
    /// Whose invocation is `low` and whose return is `high`.
    low_item: u32,
    high_item: u32,
}

impl Moment {
    fn of(problem: &Problem<SetOp>, item: u32) -> Moment {
        Moment {
            low: problem.items[item as usize].invoked_ns,
            high: problem.items[item as usize].returned_ns,
            low_item: item,
            high_item: item,
        }
    }
}

/// An answer, and the reads that gave it.
type Level<'a> = (&'a BTreeSet<Value>, Vec<u32>);

struct Element<'a> {
    value: &'a Value,
    moment: Moment,
    adds: Vec<u32>,
    /// The first level whose reads saw it.
    level: usize,
    required: bool,
}

pub(super) fn decide(problem: &Problem<SetOp>) -> Fast {
    let mut elements: Vec<Element<'_>> = Vec::new();
    let mut by_value: FxHashMap<&Value, usize> = FxHashMap::default();
    let mut reads: Vec<(&BTreeSet<Value>, u32)> = Vec::new();
    let mut twice: Option<(&Value, u32)> = None;
    for (number, item) in (0..).zip(&problem.items) {
        match problem.op(number) {
            SetOp::Add(value) => {
                let place = *by_value.entry(value).or_insert(elements.len());
                if place == elements.len() {
                    elements.push(Element {
                        value,
                        moment: Moment::of(problem, number),
                        adds: Vec::new(),
                        level: usize::MAX,
                        required: false,
                    });
                }
                let element = &mut elements[place];
                element.adds.push(number);
                element.required |= item.is_required();
                if item.returned_ns < element.moment.high {
                    (element.moment.high, element.moment.high_item) = (item.returned_ns, number);
                }
            }
            SetOp::Read(seen) if item.is_required() => reads.push((seen, number)),
            SetOp::Twice(value) if item.is_required() => twice = twice.or(Some((value, number))),
            SetOp::Read(_) | SetOp::Twice(_) => {}
            SetOp::Remove(_) | SetOp::Contains(..) => return Fast::Open,
        }
    }
    if let Some((value, read)) = twice {
        // The additions explain nothing, but a value counts with all its operations or not at all.
        let adds = by_value.get(value).map_or(&[][..], |&element| &elements[element].adds);
        return Fast::Refuted {
            items: [adds, &[read]].concat(),
            values: vec![value.clone()],
        };
    }
    reads.sort_by_key(|(seen, number)| (seen.len(), *number));
    let levels = match levels(&reads, &by_value, &mut elements) {
        Ok(levels) => levels,
        Err(refuted) => return refuted,
    };
    Chain { problem, elements, levels }.place()
}

/// The reads by answer, smallest first; sets each element's level. Refutes answers that are no chain or hold what nobody added.
fn levels<'a>(
    reads: &[(&'a BTreeSet<Value>, u32)],
    by_value: &FxHashMap<&Value, usize>,
    elements: &mut [Element<'_>],
) -> Result<Vec<Level<'a>>, Fast> {
    let mut levels: Vec<Level<'_>> = Vec::new();
    for &(seen, read) in reads {
        if let Some((last, members)) = levels.last_mut()
            && *last == seen
        {
            members.push(read);
            continue;
        }
        let level = levels.len();
        let mut known = 0;
        for value in seen {
            let Some(&element) = by_value.get(value) else {
                return Err(Fast::Refuted {
                    items: vec![read],
                    values: vec![value.clone()],
                });
            };
            match elements[element].level {
                usize::MAX => elements[element].level = level,
                _ => known += 1,
            }
        }
        // Every element of an earlier level is in the last answer, so all of them are here if as many are.
        if let Some((last, members)) = levels.last()
            && known < last.len()
        {
            return Err(fork(last, members[0], seen, read, by_value, elements));
        }
        levels.push((seen, vec![read]));
    }
    Ok(levels)
}

/// Two reads of which each saw something the other one did not.
fn fork(
    one: &BTreeSet<Value>,
    one_read: u32,
    other: &BTreeSet<Value>,
    other_read: u32,
    by_value: &FxHashMap<&Value, usize>,
    elements: &[Element<'_>],
) -> Fast {
    let only = |these: &BTreeSet<Value>, those: &BTreeSet<Value>| these.iter().find(|value| !those.contains(value)).cloned();
    let values: Vec<Value> = only(one, other).into_iter().chain(only(other, one)).collect();
    let adds = values
        .iter()
        .filter_map(|value| by_value.get(value))
        .flat_map(|&element| elements[element].adds.clone());
    Fast::Refuted {
        items: adds.chain([one_read, other_read]).collect(),
        values,
    }
}

struct Chain<'a> {
    problem: &'a Problem<SetOp>,
    elements: Vec<Element<'a>>,
    levels: Vec<Level<'a>>,
}

/// What is placed: an element, or a read.
#[derive(Clone, Copy)]
enum What {
    Element(usize),
    Read(u32, usize),
}

impl Chain<'_> {
    fn place(&self) -> Fast {
        let mut by_level: Vec<Vec<usize>> = vec![Vec::new(); self.levels.len() + 1];
        for (place, element) in self.elements.iter().enumerate() {
            if element.level < self.levels.len() {
                by_level[element.level].push(place);
            } else if element.required {
                by_level[self.levels.len()].push(place);
            }
        }
        // What happens, at which time, in which step of the chain.
        let mut order: Vec<(i64, usize, u32)> = Vec::new();
        let mut latest: (i64, Option<(What, u32)>) = (i64::MIN, None);
        for (level, added) in by_level.iter().enumerate() {
            let added: Vec<(What, Moment)> = added
                .iter()
                .map(|&place| (What::Element(place), self.elements[place].moment))
                .collect();
            let read = self.levels.get(level).map_or(&[][..], |(_, reads)| reads);
            let read = read.iter().map(|&read| (What::Read(read, level), Moment::of(self.problem, read)));
            for (step, group) in [(2 * level, added), (2 * level + 1, read.collect())] {
                let mut next = latest;
                for (what, moment) in group {
                    let at_ns = moment.low.max(latest.0);
                    if at_ns > moment.high {
                        return self.refuted(latest.1, what, moment.high_item);
                    }
                    self.put(&mut order, what, at_ns, step);
                    if at_ns > next.0 || next.1.is_none() {
                        next = (at_ns, Some((what, moment.low_item)));
                    }
                }
                latest = next;
            }
        }
        order.sort_by_key(|&(at_ns, step, _)| (at_ns, step));
        Fast::Order(order.into_iter().map(|(.., item)| item).collect())
    }

    fn put(&self, order: &mut Vec<(i64, usize, u32)>, what: What, at_ns: i64, step: usize) {
        match what {
            What::Read(read, _) => order.push((at_ns, step, read)),
            What::Element(place) => {
                let element = &self.elements[place];
                let first = element.moment.low_item;
                order.push((at_ns, step, first));
                for &add in element.adds.iter().filter(|&&add| add != first) {
                    let item = self.problem.items[add as usize];
                    if item.returned_ns != NEVER {
                        order.push((at_ns.max(item.invoked_ns), step, add));
                    }
                }
            }
        }
    }

    /// `late` had to come before `what`, which had returned by then. Where no read links the two, one that saw the difference does.
    fn refuted(&self, late: Option<(What, u32)>, what: What, returned: u32) -> Fast {
        let mut items = vec![returned];
        let mut values = Vec::new();
        let mut element = |place: usize, items: &mut Vec<u32>| {
            values.push(self.elements[place].value.clone());
            items.extend(&self.elements[place].adds);
        };
        let level = |of: &What| match *of {
            What::Element(place) => self.elements[place].level,
            What::Read(_, level) => level,
        };
        match (late.map(|(late, _)| late), what) {
            (Some(What::Element(before)), What::Element(after)) => {
                element(before, &mut items);
                element(after, &mut items);
                items.push(self.levels[self.elements[before].level].1[0]);
            }
            (Some(What::Read(before, from)), What::Read(after, to)) => {
                let between = self.elements.iter().position(|element| element.level > from && element.level <= to);
                between.into_iter().for_each(|place| element(place, &mut items));
                items.extend([before, after]);
            }
            (late, what) => {
                for what in late.into_iter().chain([what]) {
                    match what {
                        What::Element(place) => element(place, &mut items),
                        What::Read(read, _) => items.push(read),
                    }
                }
            }
        }
        debug_assert!(
            late.is_none_or(|(late, _)| level(&late) <= level(&what)),
            "the chain is walked upwards"
        );
        items.sort_unstable();
        items.dedup();
        Fast::Refuted { items, values }
    }
}
