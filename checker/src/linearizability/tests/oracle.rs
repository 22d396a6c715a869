//! Brute force: tries every order, remembers what it has tried. Shares nothing with the zones but the meaning of an operation.

use rustc_hash::FxHashSet;

use crate::history::operation::{Function, Operation, Outcome};
use crate::history::values::ValueId;

/// Whether the operations, all of one register, have an order that a register allows and that time allows. At most 32 operations.
pub(super) fn is_linearizable(operations: &[Operation]) -> bool {
    let says_something = |operation: &&Operation| match operation.outcome {
        Outcome::Ok => true,
        Outcome::Unknown => operation.f == Function::Write,
        Outcome::Fail => false,
    };
    let operations: Vec<&Operation> = operations.iter().filter(says_something).collect();
    let bits = |wanted: &dyn Fn(&Operation) -> bool| {
        (0..operations.len())
            .filter(|&place| wanted(operations[place]))
            .fold(0, |bits, place| bits | 1 << place)
    };
    let must: u32 = bits(&|operation| operation.outcome == Outcome::Ok);
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
            .filter_map(|(_, operation)| operation.returned_ns())
            .min()
            .unwrap_or(u64::MAX);
        for (place, operation) in left() {
            // Something that is left returned before this one began: not its turn.
            if operation.invoked_ns > first_return_ns {
                continue;
            }
            match operation.f {
                Function::Write => open.push((done | 1 << place, operation.argument)),
                _ if operation.observed() == Some(value) => open.push((done | 1 << place, value)),
                _ => {}
            }
        }
    }
    false
}
