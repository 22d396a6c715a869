//! Version vectors: which write has seen which.
//!
//! A vector counts, for each actor, how many of its writes are known (Parker et al., IEEE TSE 1983). A write that counts at least as much as
//! another for every actor happened after it, and replaces it; two writes of which neither does are concurrent, and both are kept.
//! Lamport's clock cannot tell the two cases apart (Lamport 1978).
//!
//! An actor is one life of one coordinator: its counts begin anew with each life, and a life never comes back, so no count is used twice
//! (`crate::incarnation`). Actors are never pruned: a vector without one of them would make a write that was replaced look concurrent
//! again (basho/riak_core#613).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::members::Text;
use crate::version::Version;

/// Counts of writes by actor. On the wire: `[["n1",incarnation,count],…]`, ordered. Empty in schemes that order all writes of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<(Text, u64, u64)>", into = "Vec<(Text, u64, u64)>")]
pub struct Vector(BTreeMap<(Text, u64), u64>);

impl Vector {
    /// True if nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many actors are counted.
    pub fn actor_count(&self) -> usize {
        self.0.len()
    }

    /// Whether everything that `other` counts is counted here, too.
    pub fn covers(&self, other: &Vector) -> bool {
        other
            .0
            .iter()
            .all(|(actor, count)| self.0.get(actor).is_some_and(|mine| mine >= count))
    }

    /// Counts what `other` counts, too.
    pub fn join(&mut self, other: &Vector) {
        for (actor, count) in &other.0 {
            self.count(actor.clone(), *count);
        }
    }

    /// Counts the write with this version: its coordinator's life is the actor, its sequence there the count.
    pub fn include(&mut self, version: &Version) {
        self.count((version.node.clone(), version.incarnation), version.sequence);
    }

    fn count(&mut self, actor: (Text, u64), count: u64) {
        let known = self.0.entry(actor).or_insert(count);
        *known = (*known).max(count);
    }
}

impl From<Vec<(Text, u64, u64)>> for Vector {
    fn from(counts: Vec<(Text, u64, u64)>) -> Vector {
        let mut vector = Vector::default();
        for (node, incarnation, count) in counts {
            vector.count((node, incarnation), count);
        }
        vector
    }
}

impl From<Vector> for Vec<(Text, u64, u64)> {
    fn from(vector: Vector) -> Self {
        vector
            .0
            .into_iter()
            .map(|((node, incarnation), count)| (node, incarnation, count))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(counts: &[(&str, u64, u64)]) -> Vector {
        Vector::from(
            counts
                .iter()
                .map(|(node, incarnation, count)| (Text::from(*node), *incarnation, *count))
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn tells_after_from_concurrent() {
        let first = vector(&[("n1", 1, 4)]);
        let after = vector(&[("n1", 1, 4), ("n2", 1, 1)]);
        let beside = vector(&[("n1", 1, 3), ("n3", 1, 1)]);
        assert!(after.covers(&first) && !first.covers(&after));
        assert!(!after.covers(&beside) && !beside.covers(&after));
        assert!(first.covers(&first) && first.covers(&Vector::default()));
    }

    #[test]
    fn another_life_is_another_actor() {
        let former = vector(&[("n1", 1, 9)]);
        let present = vector(&[("n1", 2, 1)]);
        assert!(!present.covers(&former) && !former.covers(&present));
    }

    #[test]
    fn a_join_covers_both_and_nothing_more() {
        let (a, b) = (vector(&[("n1", 1, 4), ("n2", 1, 1)]), vector(&[("n1", 1, 2), ("n3", 7, 5)]));
        let mut joined = a.clone();
        joined.join(&b);
        assert!(joined.covers(&a) && joined.covers(&b));
        assert_eq!(joined, vector(&[("n1", 1, 4), ("n2", 1, 1), ("n3", 7, 5)]));
    }

    #[test]
    fn is_a_list_on_the_wire_and_takes_the_largest_of_a_double() {
        let read: Vector = serde_json::from_str(r#"[["n2",1,5],["n1",3,2],["n2",1,4]]"#).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), r#"[["n1",3,2],["n2",1,5]]"#);
    }
}
