//! One possible state of the register and of the operations that are under way, and when one makes another needless.

use std::hash::Hasher;

use rustc_hash::FxHasher;

use super::counts::Counts;

/// A set of slots, one slot per operation under way. The kind is chosen once per key, by how many operations are open at once.
pub(super) trait Slots: Clone + PartialEq {
    /// The empty set with room for `width` slots.
    fn none(width: usize) -> Self;
    fn words(&self) -> &[u64];
    fn words_mut(&mut self) -> &mut [u64];

    fn has(&self, slot: usize) -> bool {
        self.words()[slot / 64] >> (slot % 64) & 1 == 1
    }

    fn insert(&mut self, slot: usize) {
        self.words_mut()[slot / 64] |= 1 << (slot % 64);
    }

    fn remove(&mut self, slot: usize) {
        self.words_mut()[slot / 64] &= !(1 << (slot % 64));
    }

    fn is_within(&self, other: &Self) -> bool {
        self.words().iter().zip(other.words()).all(|(one, other)| one & !other == 0)
    }
}

impl<const WORDS: usize> Slots for [u64; WORDS] {
    fn none(_: usize) -> Self {
        [0; WORDS]
    }

    fn words(&self) -> &[u64] {
        self
    }

    fn words_mut(&mut self) -> &mut [u64] {
        self
    }
}

/// As many slots as there are operations, for histories wider than any client's loop makes them.
impl Slots for Box<[u64]> {
    fn none(width: usize) -> Self {
        vec![0; width.div_ceil(64)].into_boxed_slice()
    }

    fn words(&self) -> &[u64] {
        self
    }

    fn words_mut(&mut self) -> &mut [u64] {
        self
    }
}

/// What may be true at one moment. The value and the sets are all that the future depends on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Configuration<S> {
    /// The register's value.
    pub(super) value: u32,
    /// The last event at which a write changed it: writes under way since before may have happened just then, unseen.
    pub(super) written_at: u32,
    /// Writes under way that have been visible.
    pub(super) used: S,
    /// Compare-and-sets under way that have happened.
    pub(super) replaced: S,
    /// Reads and failed compare-and-sets under way that have seen what they report.
    pub(super) served: S,
    /// How many of each class of operations of unknown outcome have happened visibly; a place in [`Counts`].
    pub(super) counts: u32,
    /// The last of the changes that led here.
    pub(super) trail: u32,
}

impl<S: Slots> Configuration<S> {
    /// Whether whatever can follow this one can follow `other` too: `other` has used up no more and served no less. What was used up of
    /// unknown outcomes decides only between two that are equal otherwise, as far as it is not compared.
    pub(super) fn is_dominated_by(&self, other: &Configuration<S>, counts: &Counts) -> bool {
        if other.written_at < self.written_at || !other.used.is_within(&self.used) || !self.served.is_within(&other.served) {
            return false;
        }
        if other.counts == self.counts {
            return true;
        }
        let alike = other.written_at == self.written_at && other.used == self.used && other.served == self.served;
        counts.are_within(other.counts, self.counts) && (!alike || counts.total(other.counts) <= counts.total(self.counts))
    }

    /// Only configurations that agree in these are compared.
    pub(super) fn is_of_group(&self, other: &Configuration<S>) -> bool {
        self.value == other.value && self.replaced == other.replaced
    }

    /// A hash of the group.
    pub(super) fn group_hash(&self) -> u64 {
        let mut hasher = FxHasher::default();
        hasher.write_u32(self.value);
        self.replaced.words().iter().for_each(|word| hasher.write_u64(*word));
        hasher.finish()
    }

    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        // A set may be on the heap; counting it twice where it is not does no harm.
        size_of::<Self>() + 3 * size_of_val(self.used.words())
    }
}
