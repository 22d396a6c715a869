//! Which reads of a simulated history are certainly wrong: every possible writer of their value was overwritten before they began.

use std::collections::HashMap;

use super::simulate::{Does, Flags, NEVER, NULL, Operation};

/// Earlier operations that are looked at for a value that was overwritten.
const LOOKED_BACK_MAX: usize = 200_000;

/// A return, and of all writes of a key up to it the two newest invocations with different values.
type Newest = (u64, [(u64, i64); 2]);

/// The writes of each key that certainly happened, by their returns.
pub(crate) struct Overwritten {
    by_return: Vec<Vec<Newest>>,
}

impl Overwritten {
    pub(crate) fn of(operations: &[Operation], keys: usize) -> Overwritten {
        let mut writes: Vec<Vec<(u64, u64, i64)>> = vec![Vec::new(); keys];
        for operation in operations {
            if let Some(value) = operation.wrote() {
                writes[operation.key as usize].push((operation.returned_ns, operation.invoked_ns, value));
            }
        }
        Overwritten {
            by_return: writes.into_iter().map(newest_two).collect(),
        }
    }

    /// The latest invocation of a write of another value that returned before this time; 0 if there is none. Whatever wrote `value` and
    /// returned before it was overwritten for certain.
    pub(crate) fn newest_other_ns(&self, key: u32, before_ns: u64, value: i64) -> u64 {
        let writes = &self.by_return[key as usize];
        let count = writes.partition_point(|&(returned_ns, _)| returned_ns < before_ns);
        let Some(&(_, [newest, second])) = count.checked_sub(1).map(|last| &writes[last]) else {
            return 0;
        };
        if newest.1 == value { second.0 } else { newest.0 }
    }
}

fn newest_two(mut writes: Vec<(u64, u64, i64)>) -> Vec<Newest> {
    writes.sort_unstable();
    let mut newest = [(0, NULL); 2];
    let with_newest = writes.into_iter().map(|(returned_ns, invoked_ns, value)| {
        if newest[0].1 == value {
            newest[0].0 = newest[0].0.max(invoked_ns);
        } else if invoked_ns > newest[0].0 {
            newest = [(invoked_ns, value), newest[0]];
        } else if newest[1].1 == value || invoked_ns > newest[1].0 {
            newest[1] = (newest[1].0.max(invoked_ns), value);
        }
        (returned_ns, newest)
    });
    with_newest.collect()
}

/// Whether some read is certainly wrong.
pub(crate) fn has_impossible_read(operations: &[Operation], keys: usize) -> bool {
    let overwritten = Overwritten::of(operations, keys);
    let mut writers: HashMap<(u32, i64), Vec<(u64, u64)>> = HashMap::new();
    for operation in operations {
        if let Some(value) = operation.may_have_written() {
            let interval = (operation.invoked_ns, operation.returned_ns);
            writers.entry((operation.key, value)).or_default().push(interval);
        }
    }
    operations.iter().any(|read| {
        if read.does != Does::Read || read.is_unknown() {
            return false;
        }
        let overwritten_ns = overwritten.newest_other_ns(read.key, read.invoked_ns, read.saw);
        if read.saw == NULL {
            return overwritten_ns > 0;
        }
        let possible = |&(invoked_ns, returned_ns): &(u64, u64)| invoked_ns <= read.returned_ns && returned_ns >= overwritten_ns;
        !writers
            .get(&(read.key, read.saw))
            .is_some_and(|writers| writers.iter().any(possible))
    })
}

/// Lets the first read of the second half for which that is certainly wrong see the newest value that was overwritten before it began.
pub(crate) fn plant_stale_read(operations: &mut [Operation], flags: &Flags) -> bool {
    let overwritten = Overwritten::of(operations, flags.keys);
    for place in operations.len() / 2..operations.len() {
        let read = operations[place];
        if read.does != Does::Read || read.is_unknown() {
            continue;
        }
        for write in (0..place).rev().take(LOOKED_BACK_MAX).map(|earlier| operations[earlier]) {
            let Some(value) = write.wrote().filter(|&value| write.key == read.key && value != read.saw) else {
                continue;
            };
            let overwritten_ns = overwritten.newest_other_ns(read.key, read.invoked_ns, value);
            if write.returned_ns < overwritten_ns && (flags.domain == 0 || !is_possible(operations, &read, value, overwritten_ns)) {
                operations[place].saw = value;
                return true;
            }
        }
    }
    false
}

/// Whether some write could have left `value` for the read, though other values were there for certain at `overwritten_ns`.
fn is_possible(operations: &[Operation], read: &Operation, value: i64, overwritten_ns: u64) -> bool {
    operations.iter().any(|write| {
        let within = write.invoked_ns <= read.returned_ns && (write.returned_ns >= overwritten_ns || write.returned_ns == NEVER);
        write.key == read.key && within && write.may_have_written() == Some(value)
    })
}
