//! The rule of version vectors: each acknowledged value is in every later read, or one that replaced it is; and a read invents nothing.

use std::collections::BTreeMap;

use squall_node::vector::Vector;

use crate::history::{Kind, NEVER, Operation};

/// Why the history breaks the rule, or `None`. `vectors` says what each value's write had seen.
pub(crate) fn violation(history: &[Operation], vectors: &BTreeMap<u64, Vector>) -> Option<String> {
    let writes: BTreeMap<u64, &Operation> = history
        .iter()
        .filter_map(|operation| match operation.kind {
            Kind::Write(value) => Some((value, operation)),
            _ => None,
        })
        .collect();
    for read in history {
        let Kind::ReadSet(seen) = &read.kind else { continue };
        if let Some(value) = seen
            .iter()
            .find(|value| writes.get(*value).is_none_or(|write| write.start > read.end))
        {
            return Some(format!("{value} was read by {read:?} and not written before"));
        }
        let replaced = |value: &u64| seen.iter().any(|other| vectors[other].covers(&vectors[value]));
        let before = writes.iter().filter(|(_, write)| write.end != NEVER && write.end < read.start);
        if let Some((value, _)) = before.into_iter().find(|(value, _)| !replaced(value)) {
            return Some(format!("{value} was acknowledged and is neither in {read:?} nor replaced there"));
        }
    }
    None
}
