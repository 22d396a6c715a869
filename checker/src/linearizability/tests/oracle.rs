//! Brute force: tries every order, remembers what it has tried. Shares nothing with the algorithms but the meaning of an operation.

use rustc_hash::FxHashSet;

use super::super::meaning::Meaning;
use crate::history::History;
use crate::history::operation::{Operation, Outcome};
use crate::history::values::ValueId;

/// Whether `operations` of `history`, all of one register, have an order that a register allows and that time allows. At most 32 that say
/// something.
pub(super) fn is_linearizable(history: &History, operations: &[Operation]) -> bool {
    let operations: Vec<(&Operation, Meaning)> = operations
        .iter()
        .map(|operation| (operation, Meaning::of(history, operation)))
        .filter(|(_, meaning)| *meaning != Meaning::Nothing)
        .collect();
    let must: u32 = (0..operations.len())
        .filter(|&place| operations[place].0.outcome != Outcome::Unknown)
        .fold(0, |bits, place| bits | 1 << place);
    let mut tried = FxHashSet::default();
    let mut open = vec![(0_u32, ValueId::NULL)];
    while let Some((done, value)) = open.pop() {
        if done & must == must {
            return true;
        }
        if !tried.insert((done, value)) {
            continue;
        }
        let left = || operations.iter().enumerate().filter(|(place, _)| done >> place & 1 == 0);
        let first_return_ns = left()
            .filter_map(|(_, (operation, _))| operation.returned_ns())
            .min()
            .unwrap_or(u64::MAX);
        for (place, (operation, meaning)) in left() {
            // Something that is left returned before this one began: not its turn.
            if operation.invoked_ns > first_return_ns {
                continue;
            }
            let then = match *meaning {
                Meaning::Wrote(written) => Some(written),
                Meaning::Saw(seen) => (seen == value).then_some(value),
                Meaning::SawOther(expected) => (expected != value).then_some(value),
                Meaning::Replaced(expected, new) => (expected == value).then_some(new),
                Meaning::Nothing | Meaning::Foreign => None,
            };
            open.extend(then.map(|then| (done | 1 << place, then)));
        }
    }
    false
}
