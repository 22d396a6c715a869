//! Random histories of one key.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::history::History;
use crate::history::operation::{Function, Operation};
use crate::history::testing::{of_operations, operation};
use crate::history::values::{ValueId, ValueTable};

/// Whether written values are all different.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Values {
    Unique,
    /// Few values, null among them.
    Repeated,
}

/// Two to ten operations thrown together: equal times, unknown outcomes, refused writes, reads of anything.
pub(crate) fn chaos(chance: &mut ChaCha8Rng, values: Values) -> Vec<Operation> {
    let count = chance.random_range(2..=10);
    let span_ns = chance.random_range(4..40);
    let mut written = 0;
    (0..count)
        .map(|place| {
            let invoked_ns = chance.random_range(0..span_ns);
            let returned_ns = (!chance.random_ratio(1, 6)).then(|| invoked_ns + chance.random_range(0..10));
            let f = if chance.random_ratio(1, 2) {
                Function::Read
            } else {
                Function::Write
            };
            let value = match (f, values) {
                (Function::Write, Values::Unique) => {
                    written += 1;
                    Some(written)
                }
                (Function::Write, Values::Repeated) => few(chance),
                (_, Values::Repeated) => few(chance),
                // One more than was written so far: phantoms and reads of what comes later.
                _ => Some(chance.random_range(0..=written + 1)).filter(|&value| value > 0),
            };
            let made = operation(place, f, value, invoked_ns, returned_ns);
            if returned_ns.is_some() && chance.random_ratio(1, 8) {
                made.refused()
            } else {
                made
            }
        })
        .collect()
}

fn few(chance: &mut ChaCha8Rng) -> Option<i64> {
    Some(chance.random_range(0..4)).filter(|&value| value > 0)
}

/// A history of `count` operations by `clients`, each in a closed loop, of a register that takes effect at one moment within each
/// interval: linearizable by construction. Unknown writes take effect or not, soon or much later.
pub(crate) fn atomic(chance: &mut ChaCha8Rng, count: usize, clients: usize, values: Values) -> Vec<Operation> {
    let mut free_ns = vec![0_u64; clients];
    // When each operation takes effect; the place breaks ties, as any order does for equal moments.
    let mut effects: Vec<(u64, usize)> = Vec::new();
    let mut plan: Vec<(Function, u64, u64, bool)> = Vec::new();
    for place in 0..count {
        let client = chance.random_range(0..clients);
        let invoked_ns = free_ns[client] + chance.random_range(0..3);
        let returned_ns = invoked_ns + chance.random_range(0..12);
        free_ns[client] = returned_ns + chance.random_range(0..2);
        let known = !chance.random_ratio(1, 12);
        let f = if chance.random_ratio(1, 2) {
            Function::Read
        } else {
            Function::Write
        };
        plan.push((f, invoked_ns, returned_ns, known));
        match known {
            true => effects.push((chance.random_range(invoked_ns..=returned_ns), place)),
            false if chance.random_ratio(1, 2) => effects.push((invoked_ns + chance.random_range(0..60), place)),
            false => {}
        }
    }
    effects.sort_unstable();
    let written: Vec<Option<i64>> = (0..count)
        .map(|place| {
            if values == Values::Unique {
                Some(place as i64 + 1)
            } else {
                few(chance)
            }
        })
        .collect();
    let mut value = None;
    let mut seen = vec![None; count];
    for (_, place) in effects {
        match plan[place].0 {
            Function::Write => value = written[place],
            _ => seen[place] = value,
        }
    }
    plan.into_iter()
        .enumerate()
        .map(|(place, (f, invoked_ns, returned_ns, known))| {
            let value = if f == Function::Read { seen[place] } else { written[place] };
            operation(place as u32, f, value, invoked_ns, known.then_some(returned_ns))
        })
        .collect()
}

/// One read of an atomic history sees what another operation wrote or saw: often wrong, sometimes not.
pub(crate) fn disturbed(chance: &mut ChaCha8Rng, mut operations: Vec<Operation>) -> Vec<Operation> {
    let reads: Vec<usize> = (0..operations.len())
        .filter(|&place| operations[place].observed().is_some())
        .collect();
    if !reads.is_empty() {
        let read = reads[chance.random_range(0..reads.len())];
        let other = operations[chance.random_range(0..operations.len())];
        operations[read] = operations[read].seeing(other.observed().unwrap_or(other.argument));
    }
    operations
}

/// A compare-and-set: done, or failed with or without the value it saw, or of unknown outcome.
fn cas(made: Operation, values: &mut ValueTable, expected: ValueId, new: ValueId, ending: Ending) -> Operation {
    let made = made.asking(Function::Cas, values.pair_of(expected, new));
    match ending {
        Ending::Done => made,
        Ending::Failed(None) => made.refused(),
        Ending::Failed(Some(seen)) => made.refused().seeing(seen),
    }
}

/// How a compare-and-set ended, unless that is unknown.
enum Ending {
    Done,
    Failed(Option<ValueId>),
}

/// Like [`chaos`], with compare-and-sets of every ending.
pub(crate) fn chaos_with_cas(chance: &mut ChaCha8Rng, values: Values) -> History {
    let mut table = ValueTable::default();
    let mut operations = chaos(chance, values);
    let mut written = 100;
    for place in 0..operations.len() {
        if !chance.random_ratio(2, 5) {
            continue;
        }
        let count = operations.len() as i64;
        let any = |chance: &mut ChaCha8Rng| match values {
            Values::Unique => {
                // What writes write, what earlier ones put there, or null.
                let value = if chance.random_ratio(1, 2) {
                    100 + chance.random_range(0..count)
                } else {
                    chance.random_range(0..count)
                };
                Some(value).filter(|&value| value > 0)
            }
            Values::Repeated => few(chance),
        };
        let id = |value: Option<i64>| value.map_or(ValueId::NULL, |value| ValueId::of_integer(value).unwrap());
        let (expected, seen) = (id(any(chance)), id(any(chance)));
        let new = match values {
            Values::Unique => id(Some(written)),
            Values::Repeated => id(few(chance)),
        };
        written += 1;
        let ending = match chance.random_range(0..5) {
            0 => Ending::Failed(Some(seen)),
            1 => Ending::Failed(None),
            _ => Ending::Done,
        };
        let made = operations[place];
        let ending = if made.returned_ns().is_some() { ending } else { Ending::Done };
        operations[place] = cas(made, &mut table, expected, new, ending);
    }
    // Reads see what compare-and-sets put there too.
    for read in operations
        .iter_mut()
        .filter(|operation| operation.observed().is_some() && operation.f == Function::Read)
    {
        if values == Values::Unique && chance.random_ratio(1, 3) {
            *read = read.seeing(ValueId::of_integer(100 + chance.random_range(0..(written - 99).max(1))).unwrap());
        }
    }
    History {
        values: table,
        ..of_operations(operations)
    }
}

/// Like [`atomic`], with compare-and-sets; those that fail say what they saw in `seen` of all cases.
pub(crate) fn atomic_with_cas(chance: &mut ChaCha8Rng, count: usize, clients: usize, values: Values, says_seen: bool) -> History {
    let mut table = ValueTable::default();
    let mut free_ns = vec![0_u64; clients];
    let mut operations = Vec::new();
    let mut effects: Vec<(u64, usize)> = Vec::new();
    for place in 0..count {
        let client = chance.random_range(0..clients);
        let invoked_ns = free_ns[client] + chance.random_range(0..3);
        let returned_ns = invoked_ns + chance.random_range(0..12);
        free_ns[client] = returned_ns + chance.random_range(0..2);
        let f = [Function::Read, Function::Write, Function::Cas][chance.random_range(0..3)];
        let known = !chance.random_ratio(1, 12);
        let value = if values == Values::Unique {
            Some(place as i64 + 1)
        } else {
            few(chance)
        };
        operations.push(operation(place as u32, f, value, invoked_ns, known.then_some(returned_ns)));
        match known {
            true => effects.push((chance.random_range(invoked_ns..=returned_ns), place)),
            false if chance.random_ratio(1, 2) => effects.push((invoked_ns + chance.random_range(0..60), place)),
            false => {}
        }
    }
    effects.sort_unstable();
    let mut value = ValueId::NULL;
    let mut before = ValueId::NULL;
    let mut done = vec![false; count];
    for (_, place) in effects {
        done[place] = true;
        let made = operations[place];
        let known = made.returned_ns().is_some();
        match made.f {
            Function::Write => (before, value) = (value, made.argument),
            Function::Cas => {
                let expected = if chance.random_ratio(2, 3) { value } else { before };
                let ending = if expected == value {
                    Ending::Done
                } else {
                    Ending::Failed(says_seen.then_some(value))
                };
                let new = made.argument;
                operations[place] = cas(made, &mut table, expected, new, if known { ending } else { Ending::Done });
                if expected == value {
                    (before, value) = (value, new);
                }
            }
            _ if known => operations[place] = made.seeing(value),
            _ => {}
        }
    }
    for place in (0..count).filter(|&place| !done[place]) {
        let made = operations[place];
        if made.f == Function::Cas {
            operations[place] = cas(made, &mut table, value, made.argument, Ending::Done);
        }
    }
    History {
        values: table,
        ..of_operations(operations)
    }
}
