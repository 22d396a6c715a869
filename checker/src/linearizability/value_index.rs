//! Which cluster a value has: an array where values are counted, as our workloads and most generators do, a hash map for the rest.
//!
//! With ten million operations of one key the map alone would be 140 MB, touched at random twice per operation: half the time of the
//! whole check. Counted values are written and read in about their own order, so that the array's part in use fits the cache.

use rustc_hash::FxHashMap;

use crate::history::values::ValueId;

/// Stands in the array for a value without a cluster; there are fewer clusters than this.
const NONE: u32 = u32::MAX;

/// The array has at most this many places per operation of the key. A map costs 18 to 37 bytes per value, so four places cost no more.
const PLACES_PER_OPERATION: usize = 4;

/// Clusters by value.
pub(super) struct ValueIndex {
    /// The cluster of each integer from 0, as far as one was written.
    counted: Vec<u32>,
    /// How long `counted` may become.
    counted_max: usize,
    /// Everything else. Never iterated: its order is nobody's.
    others: FxHashMap<ValueId, u32>,
}

impl ValueIndex {
    /// An empty index for the values of a key with so many operations.
    pub(super) fn for_operations(count: usize) -> ValueIndex {
        ValueIndex {
            counted: Vec::new(),
            counted_max: count.saturating_mul(PLACES_PER_OPERATION),
            others: FxHashMap::default(),
        }
    }

    /// The value's cluster, if it has one.
    pub(super) fn get(&self, value: ValueId) -> Option<u32> {
        match self.place(value) {
            Some(place) => self.counted.get(place).copied().filter(|cluster| *cluster != NONE),
            None => self.others.get(&value).copied(),
        }
    }

    /// The value's cluster, which is `new` if it had none.
    pub(super) fn get_or_insert(&mut self, value: ValueId, new: u32) -> u32 {
        let Some(place) = self.place(value) else {
            return *self.others.entry(value).or_insert(new);
        };
        if place >= self.counted.len() {
            self.counted.resize(place + 1, NONE);
        }
        let cluster = &mut self.counted[place];
        if *cluster == NONE {
            *cluster = new;
        }
        *cluster
    }

    fn place(&self, value: ValueId) -> Option<usize> {
        let place = usize::try_from(value.integer()?).ok()?;
        (place < self.counted_max).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_as_a_map_whatever_the_values() {
        let mut index = ValueIndex::for_operations(5);
        let integers = [0, 7, 3, 19, 20, 21, -1, i64::MAX / 2, -4_611_686_018_427_387_904];
        let values: Vec<ValueId> = integers
            .into_iter()
            .filter_map(ValueId::of_integer)
            .chain([ValueId::NULL])
            .collect();
        assert_eq!(values.len(), integers.len() + 1);
        for (cluster, &value) in (0..).zip(&values) {
            assert_eq!(index.get(value), None);
            assert_eq!(index.get_or_insert(value, cluster), cluster);
            assert_eq!(index.get_or_insert(value, cluster + 1), cluster, "the first one stays");
        }
        for (cluster, &value) in (0..).zip(&values) {
            assert_eq!(index.get(value), Some(cluster));
        }
        assert_eq!(index.get(ValueId::of_integer(5).unwrap()), None);
        assert_eq!(index.counted.len(), 20, "no further than four places per operation");
    }
}
