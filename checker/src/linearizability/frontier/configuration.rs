//! One possible state of the register and of the operations that are under way, and sets of them without those that others make needless.

use std::hash::{Hash, Hasher};

use rustc_hash::FxHashMap;

/// A set of slots. The number of words is chosen once per key, by how many operations are open at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Slots<const WORDS: usize>([u64; WORDS]);

impl<const WORDS: usize> Slots<WORDS> {
    pub(super) const NONE: Slots<WORDS> = Slots([0; WORDS]);

    pub(super) fn has(&self, slot: usize) -> bool {
        self.0[slot / 64] >> (slot % 64) & 1 == 1
    }

    pub(super) fn insert(&mut self, slot: usize) {
        self.0[slot / 64] |= 1 << (slot % 64);
    }

    pub(super) fn remove(&mut self, slot: usize) {
        self.0[slot / 64] &= !(1 << (slot % 64));
    }

    fn is_within(&self, other: &Slots<WORDS>) -> bool {
        self.0.iter().zip(&other.0).all(|(one, other)| one & !other == 0)
    }
}

/// What may be true at one moment. The value and the sets are all that the future depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Configuration<const WORDS: usize> {
    /// The register's value.
    pub(super) value: u32,
    /// The last event at which a write changed it: writes under way since before may have happened just then, unseen.
    pub(super) written_at: u32,
    /// Writes under way that have been visible.
    pub(super) used: Slots<WORDS>,
    /// Compare-and-sets under way that have happened.
    pub(super) replaced: Slots<WORDS>,
    /// Reads and failed compare-and-sets under way that have seen what they report.
    pub(super) served: Slots<WORDS>,
    /// How many of each class of operations of unknown outcome have happened visibly; sorted by class, none zero.
    pub(super) counts: Vec<(u32, u32)>,
    /// The last of the changes that led here.
    pub(super) trail: u32,
}

impl<const WORDS: usize> Configuration<WORDS> {
    pub(super) fn count(&self, class: u32) -> u32 {
        self.counts
            .binary_search_by_key(&class, |(class, _)| *class)
            .map_or(0, |place| self.counts[place].1)
    }

    pub(super) fn count_one(&mut self, class: u32) {
        match self.counts.binary_search_by_key(&class, |(class, _)| *class) {
            Ok(place) => self.counts[place].1 += 1,
            Err(place) => self.counts.insert(place, (class, 1)),
        }
    }

    /// Whether whatever can follow this one can follow `other` too: `other` has used up no more and served no less.
    fn is_dominated_by(&self, other: &Configuration<WORDS>) -> bool {
        other.written_at >= self.written_at
            && other.used.is_within(&self.used)
            && self.served.is_within(&other.served)
            && other.counts.iter().all(|(class, count)| *count <= self.count(*class))
    }

    fn group(&self) -> Group<WORDS> {
        Group(self.value, self.replaced)
    }
}

/// Only configurations that agree in these are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Group<const WORDS: usize>(u32, Slots<WORDS>);

impl<const WORDS: usize> Hash for Group<WORDS> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
        self.1.0.iter().for_each(|word| state.write_u64(*word));
    }
}

/// Configurations of which none dominates another, in the order in which they came.
pub(super) struct Antichain<const WORDS: usize> {
    items: Vec<Option<Configuration<WORDS>>>,
    /// Never iterated: its order is nobody's.
    groups: FxHashMap<Group<WORDS>, Vec<u32>>,
    kept: usize,
    /// How often two were compared since this was last asked.
    comparisons: u64,
}

impl<const WORDS: usize> Antichain<WORDS> {
    pub(super) fn new() -> Antichain<WORDS> {
        Antichain {
            items: Vec::new(),
            groups: FxHashMap::default(),
            kept: 0,
            comparisons: 0,
        }
    }

    /// The place of the new configuration; `None` if one that is here makes it needless.
    pub(super) fn insert(&mut self, new: Configuration<WORDS>) -> Option<usize> {
        let group = self.groups.entry(new.group()).or_default();
        self.comparisons += group.len() as u64;
        let items = &mut self.items;
        let dominates = |place: &u32| {
            let known = items[*place as usize].as_ref().expect("groups hold what is kept");
            new.is_dominated_by(known)
        };
        if group.iter().any(dominates) {
            return None;
        }
        let kept = &mut self.kept;
        group.retain(|place| {
            let known = &mut items[*place as usize];
            let needless = known.as_ref().is_some_and(|known| known.is_dominated_by(&new));
            if needless {
                *known = None;
                *kept -= 1;
            }
            !needless
        });
        group.push(items.len() as u32);
        items.push(Some(new));
        *kept += 1;
        Some(items.len() - 1)
    }

    /// The configuration at a place, unless a later one made it needless.
    pub(super) fn get(&self, place: usize) -> Option<&Configuration<WORDS>> {
        self.items[place].as_ref()
    }

    pub(super) fn kept(&self) -> usize {
        self.kept
    }

    pub(super) fn take_comparisons(&mut self) -> u64 {
        std::mem::take(&mut self.comparisons)
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Configuration<WORDS>> {
        self.groups.clear();
        self.kept = 0;
        self.items.drain(..).flatten()
    }
}
