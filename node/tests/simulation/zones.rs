//! Is a history of one register linearizable? By zones (Gibbons and Korach, SIAM J. Comput. 1997), for unique values: exact, and small
//! enough to be checked by eye. It is written here a second time on purpose: the node's tests use nothing of the judge.

use std::collections::BTreeMap;

/// The end of an operation that was never answered.
pub(crate) const NEVER: u64 = u64::MAX;

/// One operation on one key. Times are those of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) start: u64,
    /// [`NEVER`] for an unknown outcome.
    pub(crate) end: u64,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Write(u64),
    /// `None` is the initial value.
    Read(Option<u64>),
}

/// A value's write and its reads: they happen together, before or after those of every other value.
#[derive(Debug, Default)]
struct Cluster {
    write: Option<(u64, u64)>,
    reads: Vec<(u64, u64)>,
}

impl Cluster {
    /// (smallest end, largest start) over the cluster.
    fn bounds(&self) -> (u64, u64) {
        let all = || self.reads.iter().chain(&self.write);
        (
            all().map(|(_, end)| *end).min().unwrap_or(NEVER),
            all().map(|(start, _)| *start).max().unwrap_or(0),
        )
    }
}

/// Why the history is not linearizable, or `None` if it is. Definitely failed operations must be left out by the caller; what it finds
/// of them is then a read of a value that nobody wrote.
pub(crate) fn violation(history: &[Operation]) -> Option<String> {
    let mut clusters: BTreeMap<Option<u64>, Cluster> = BTreeMap::new();
    // The initial value is written before time begins.
    clusters.entry(None).or_default().write = Some((0, 0));
    for Operation { start, end, kind } in history {
        match kind {
            Kind::Write(value) => clusters.entry(Some(*value)).or_default().write = Some((*start, *end)),
            Kind::Read(value) => clusters.entry(*value).or_default().reads.push((*start, *end)),
        }
    }
    let mut forward = Vec::new();
    let mut backward = Vec::new();
    for (value, cluster) in &clusters {
        let Some((written, write_end)) = cluster.write else {
            return Some(format!("{value:?} was read and never written"));
        };
        if let Some((_, end)) = cluster.reads.iter().find(|(_, end)| *end < written) {
            return Some(format!("{value:?} was read until {end}, before it was written at {written}"));
        }
        if cluster.reads.is_empty() && write_end == NEVER {
            continue; // It may never have happened.
        }
        let (first_end, last_start) = cluster.bounds();
        if first_end < last_start {
            forward.push((first_end, last_start, value))
        } else {
            backward.push((last_start, first_end, value))
        }
    }
    forward.sort();
    let overlap = forward.windows(2).find(|pair| pair[1].0 < pair[0].1);
    if let Some(pair) = overlap {
        return Some(format!("{:?} and {:?} each are current around the other", pair[0].2, pair[1].2));
    }
    for (from, to, value) in &backward {
        if let Some((.., around)) = forward.iter().find(|(start, end, _)| start < from && to < end) {
            return Some(format!("{value:?} happened while {around:?} was current"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn accepts_and_refuses_what_a_person_would() {
        use Kind::{Read, Write};
        let fine = history(&[(1, 2, Write(1)), (3, 9, Write(2)), (4, 5, Read(Some(1))), (6, 7, Read(Some(2)))]);
        assert_eq!(violation(&fine), None);
        let unknown_seen_late = history(&[(1, NEVER, Write(1)), (2, 3, Read(None)), (5, 6, Read(Some(1)))]);
        assert_eq!(violation(&unknown_seen_late), None);
        let stale = history(&[(1, 2, Write(1)), (3, 4, Write(2)), (5, 6, Read(Some(1)))]);
        assert!(violation(&stale).is_some());
        let inversion = history(&[(1, 9, Write(1)), (2, 3, Read(Some(1))), (4, 5, Read(None))]);
        assert!(violation(&inversion).is_some());
        let phantom = history(&[(1, 2, Read(Some(7)))]);
        assert!(violation(&phantom).is_some());
        let from_the_future = history(&[(1, 2, Read(Some(7))), (3, 4, Write(7))]);
        assert!(violation(&from_the_future).is_some());
        let lost = history(&[(1, 2, Write(1)), (3, 4, Read(None))]);
        assert!(violation(&lost).is_some());
    }
}
