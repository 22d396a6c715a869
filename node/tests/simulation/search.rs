//! Is a history of one register linearizable, where values may be written more than once (a delete writes the initial value)? By search
//! over all orders that time allows (Wing and Gong 1993), with states that were met before cut off (Lowe 2017).

use std::collections::BTreeSet;

use crate::history::{Kind, NEVER, Operation};

/// What was reached: which operations have taken effect, and what the register holds.
type State = (BTreeSet<usize>, Option<u64>);

/// Why the history is not linearizable, or `None` if it is. Definitely failed operations must be left out by the caller.
pub(crate) fn violation(history: &[Operation]) -> Option<String> {
    let history = without_unseen(history);
    let mut moments: Vec<(u64, bool, usize)> = Vec::new();
    for (number, operation) in history.iter().enumerate() {
        moments.push((operation.start, false, number));
        if operation.end != NEVER {
            moments.push((operation.end, true, number));
        }
    }
    // Intervals are closed: at one time all begin before any ends.
    moments.sort_unstable();
    let mut reached: BTreeSet<State> = BTreeSet::from([(BTreeSet::new(), None)]);
    let mut running: BTreeSet<usize> = BTreeSet::new();
    for (_, is_end, number) in moments {
        if !is_end {
            running.insert(number);
            continue;
        }
        // The operation that ends must have taken effect; what else runs may have, before it.
        reached = closure(&history, &running, reached);
        reached.retain(|(done, _)| done.contains(&number));
        reached = reached
            .into_iter()
            .map(|(mut done, value)| {
                done.remove(&number);
                (done, value)
            })
            .collect();
        running.remove(&number);
        if reached.is_empty() {
            return Some(format!("{:?} fits into no order", history[number]));
        }
    }
    None
}

/// Writes whose outcome is unknown and whose value nobody read may never have happened, and change nothing for the others.
fn without_unseen(history: &[Operation]) -> Vec<Operation> {
    let seen = |value: u64| history.iter().any(|operation| operation.kind == Kind::Read(Some(value)));
    let is_idle = |operation: &&Operation| !matches!(operation.kind, Kind::Write(value) if operation.end == NEVER && !seen(value));
    history.iter().filter(is_idle).cloned().collect()
}

fn closure(history: &[Operation], running: &BTreeSet<usize>, from: BTreeSet<State>) -> BTreeSet<State> {
    let mut reached = from.clone();
    let mut open: Vec<State> = from.into_iter().collect();
    while let Some((done, value)) = open.pop() {
        for number in running.iter().filter(|number| !done.contains(number)) {
            let value = match &history[*number].kind {
                Kind::Write(written) => Some(*written),
                Kind::Delete => None,
                Kind::Read(seen) if *seen == value => value,
                Kind::Read(_) | Kind::ReadSet(_) => continue,
            };
            let mut done = done.clone();
            done.insert(*number);
            let state = (done, value);
            if reached.insert(state.clone()) {
                open.push(state);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{history, zones};

    fn history(operations: &[(u64, u64, Kind)]) -> Vec<Operation> {
        operations
            .iter()
            .map(|(start, end, kind)| Operation {
                start: *start,
                end: *end,
                kind: kind.clone(),
            })
            .collect()
    }

    #[test]
    fn a_deleted_value_must_not_come_back() {
        use Kind::{Delete, Read, Write};
        let fine = history(&[
            (1, 2, Write(1)),
            (3, 4, Delete),
            (5, 6, Read(None)),
            (7, 9, Write(2)),
            (8, 10, Read(Some(2))),
        ]);
        assert_eq!(violation(&fine), None);
        let back = history(&[(1, 2, Write(1)), (3, 4, Delete), (5, 6, Read(Some(1)))]);
        assert!(violation(&back).is_some());
        let twice = history(&[(1, 2, Write(1)), (3, 4, Delete), (5, 6, Read(None)), (7, 8, Read(Some(1)))]);
        assert!(violation(&twice).is_some());
        let late = history(&[(1, 2, Write(1)), (3, NEVER, Delete), (5, 6, Read(Some(1))), (7, 8, Read(None))]);
        assert_eq!(violation(&late), None);
    }

    #[test]
    fn says_the_same_as_zones_where_values_are_unique() {
        use rand::{RngExt, SeedableRng};
        let mut chance = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        let mut broken = 0;
        for _ in 0..3000 {
            let writes = chance.random_range(1..4);
            let mut operations: Vec<(u64, u64, Kind)> = Vec::new();
            for number in 0..chance.random_range(2..8) {
                let start = chance.random_range(1..20);
                let kind = match number < writes {
                    true => Kind::Write(number),
                    false => Kind::Read(Some(chance.random_range(0..writes + 1)).filter(|value| *value < writes)),
                };
                let end = match (&kind, chance.random_bool(0.2)) {
                    (Kind::Write(_), true) => NEVER,
                    _ => start + chance.random_range(0..6),
                };
                operations.push((start, end, kind));
            }
            let history = history(&operations);
            let by_zones = zones::violation(&history::for_zones(&history).unwrap()).is_some();
            assert_eq!(violation(&history).is_some(), by_zones, "{history:?}");
            broken += u64::from(by_zones);
        }
        assert!((300..2700).contains(&broken), "{broken} of 3000 histories are broken");
    }
}
