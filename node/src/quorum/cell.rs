//! What a replica keeps of one key: the values that no other one replaced.
//!
//! In schemes that order all writes this is at most one, the newest. With version vectors concurrent writes are siblings, kept side by side
//! until a write that has seen them replaces them. Merging is commutative, associative and idempotent, so replicas that have seen the
//! same writes hold the same, in whatever order they came.

use crate::members::Text;
use crate::vector::Vector;
use crate::version::Version;

/// Siblings at most. A put replaces everything a majority held when it was asked, so there are as many siblings as puts at one time; beyond
/// this a replica takes no more of them, and their puts are not acknowledged by it.
pub(super) const SIBLINGS_MAX: usize = 64;

/// A value with its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The version.
    pub version: Version,
    /// The value; `None` for a tombstone, which says that the key was deleted.
    pub value: Option<Text>,
    /// What its write had seen, itself included; empty where versions order all writes.
    pub vector: Vector,
}

impl Stored {
    /// Whether this is `other` or replaces it.
    pub fn covers(&self, other: &Stored) -> bool {
        if self.vector.is_empty() || other.vector.is_empty() {
            self.version >= other.version
        } else {
            self.vector.covers(&other.vector)
        }
    }

    /// Bytes of the value.
    pub(super) fn byte_count(&self) -> usize {
        self.value.as_ref().map_or(0, |value| value.len())
    }
}

/// The siblings of one key, by version. Empty: nothing is known of the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell(Vec<Stored>);

impl Cell {
    /// A cell of one.
    pub(super) fn of(stored: Stored) -> Cell {
        Cell(vec![stored])
    }

    /// True if nothing is held.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The siblings, by version.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Stored> {
        self.0.iter()
    }

    /// How many siblings there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The sibling with the largest version. Since a write's counter is larger than those it has seen, nothing replaces it.
    pub fn newest(&self) -> Option<&Stored> {
        self.0.last()
    }

    /// Whether this value, or one that replaces it, is held.
    pub(super) fn covers(&self, stored: &Stored) -> bool {
        self.0.iter().any(|held| held.covers(stored))
    }

    /// Whether all of `other` is covered.
    pub(super) fn covers_all(&self, other: &Cell) -> bool {
        other.iter().all(|stored| self.covers(stored))
    }

    /// Takes a value unless it is covered; what it replaces goes. True if it was taken.
    pub(super) fn merge(&mut self, stored: Stored) -> bool {
        if self.covers(&stored) {
            return false;
        }
        self.0.retain(|held| !stored.covers(held));
        let place = self.0.partition_point(|held| held.version < stored.version);
        self.0.insert(place, stored);
        true
    }

    /// Takes all of `other`.
    pub(super) fn merge_all(&mut self, other: &Cell) {
        for stored in other.iter() {
            self.merge(stored.clone());
        }
    }

    /// The versions, ascending.
    pub(super) fn versions(&self) -> Vec<Version> {
        self.0.iter().map(|stored| stored.version.clone()).collect()
    }

    /// The tombstone, if that is all there is.
    pub(super) fn tombstone(&self) -> Option<&Stored> {
        match self.0.as_slice() {
            [only] if only.value.is_none() => Some(only),
            _ => None,
        }
    }

    /// A checksum over the versions and values.
    pub(super) fn checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        for Stored { version, value, .. } in &self.0 {
            hasher.update(version.to_string().as_bytes());
            match value {
                Some(value) => {
                    hasher.update(&[1]);
                    hasher.update(&(value.len() as u64).to_be_bytes());
                    hasher.update(value.as_bytes());
                }
                None => hasher.update(&[0]),
            }
        }
        hasher.finalize()
    }

    /// Bytes of the values.
    pub(super) fn byte_count(&self) -> usize {
        self.0.iter().map(Stored::byte_count).sum()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A value of a scheme that orders all writes.
    pub(in crate::quorum) fn plain(counter: u64) -> Stored {
        Stored {
            version: version(counter, "n1", counter),
            value: Some(counter.to_string().into()),
            vector: Vector::default(),
        }
    }

    fn version(counter: u64, node: &str, sequence: u64) -> Version {
        Version {
            counter,
            node: node.into(),
            incarnation: 1,
            sequence,
        }
    }

    /// A write of `node` that had seen `seen`.
    fn vectored(counter: u64, node: &str, sequence: u64, seen: &[&Stored]) -> Stored {
        let version = version(counter, node, sequence);
        let mut vector = Vector::default();
        seen.iter().for_each(|stored| vector.join(&stored.vector));
        vector.include(&version);
        Stored {
            version,
            value: Some(format!("{node}{sequence}").into()),
            vector,
        }
    }

    fn cell(of: &[&Stored]) -> Cell {
        let mut cell = Cell::default();
        of.iter().for_each(|stored| {
            cell.merge((*stored).clone());
        });
        cell
    }

    #[test]
    fn of_ordered_versions_the_newest_stays() {
        assert_eq!(cell(&[&plain(2), &plain(7), &plain(5)]), Cell::of(plain(7)));
    }

    #[test]
    fn concurrent_writes_are_siblings_until_one_that_saw_both() {
        let a = vectored(1, "n1", 1, &[]);
        let b = vectored(1, "n2", 1, &[]);
        let c = vectored(2, "n3", 1, &[&a, &b]);
        assert_eq!(cell(&[&b, &a]).len(), 2);
        assert_eq!(cell(&[&a, &b, &c]), Cell::of(c.clone()));
        assert_eq!(cell(&[&c, &a]), Cell::of(c), "what was replaced does not come back");
    }

    #[test]
    fn merging_gives_the_same_in_every_order() {
        let a = vectored(1, "n1", 1, &[]);
        let b = vectored(1, "n2", 1, &[]);
        let c = vectored(2, "n1", 2, &[&a]);
        let d = vectored(3, "n3", 1, &[&b]);
        let all = [&a, &b, &c, &d];
        let expected = cell(&all);
        assert_eq!(expected.versions(), [c.version.clone(), d.version.clone()]);
        for first in 0..4 {
            for step in [1, 3] {
                let order: Vec<&Stored> = (0..4).map(|place| all[(first + place * step) % 4]).collect();
                assert_eq!(cell(&order), expected);
            }
        }
    }

    #[test]
    fn the_checksum_tells_values_and_tombstones_apart() {
        let mut other = plain(7);
        other.value = Some("x".into());
        let mut deleted = plain(7);
        deleted.value = None;
        let sums = [plain(7), other, deleted.clone()].map(|stored| Cell::of(stored).checksum());
        assert!(sums[0] != sums[1] && sums[1] != sums[2] && sums[0] != sums[2]);
        assert_eq!(Cell::of(deleted.clone()).tombstone(), Some(&deleted));
        assert_eq!(Cell::of(plain(7)).tombstone(), None);
    }
}
