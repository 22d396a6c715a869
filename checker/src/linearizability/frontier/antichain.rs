//! Sets of configurations without those that others make needless.

use super::configuration::{Configuration, Slots};
use super::counts::Counts;

/// Configurations of which none dominates another, in the order in which they came. Emptied and filled again without allocating.
pub(super) struct Antichain<S> {
    items: Vec<Item<S>>,
    /// Hash table of chains through `items`: the round in which a head was set, and the head.
    heads: Vec<(u32, u32)>,
    round: u32,
    /// How often two were compared since this was last asked.
    comparisons: u64,
}

struct Item<S> {
    configuration: Configuration<S>,
    hash: u64,
    /// The next of the chain.
    next: u32,
    needless: bool,
}

const END: u32 = u32::MAX;

/// Heads at first; a power of two.
const HEADS_MIN: usize = 16;

impl<S: Slots> Antichain<S> {
    pub(super) fn new() -> Antichain<S> {
        Antichain {
            items: Vec::new(),
            heads: vec![(0, END); HEADS_MIN],
            round: 1,
            comparisons: 0,
        }
    }

    /// The place of the new configuration; `None` if one that is here makes it needless.
    pub(super) fn insert(&mut self, new: Configuration<S>, counts: &Counts) -> Option<usize> {
        let hash = new.group_hash();
        let mut at = self.head(hash);
        while at != END {
            let item = &mut self.items[at as usize];
            at = item.next;
            if item.needless || item.hash != hash || !item.configuration.is_of_group(&new) {
                continue;
            }
            self.comparisons += 1;
            if new.is_dominated_by(&item.configuration, counts) {
                return None;
            }
            if item.configuration.is_dominated_by(&new, counts) {
                item.needless = true;
            }
        }
        let next = self.head(hash);
        self.items.push(Item {
            configuration: new,
            hash,
            next,
            needless: false,
        });
        self.set_head(hash, self.items.len() as u32 - 1);
        if self.items.len() > 2 * self.heads.len() {
            self.grow();
        }
        Some(self.items.len() - 1)
    }

    fn place(&self, hash: u64) -> usize {
        // The upper bits are the good ones of this hash.
        (hash >> 32) as usize & (self.heads.len() - 1)
    }

    fn head(&self, hash: u64) -> u32 {
        let (round, head) = self.heads[self.place(hash)];
        if round == self.round { head } else { END }
    }

    fn set_head(&mut self, hash: u64, head: u32) {
        let place = self.place(hash);
        self.heads[place] = (self.round, head);
    }

    fn grow(&mut self) {
        self.heads = vec![(0, END); 4 * self.heads.len()];
        self.round = 1;
        for place in 0..self.items.len() {
            let hash = self.items[place].hash;
            self.items[place].next = self.head(hash);
            self.set_head(hash, place as u32);
        }
    }

    /// The configuration at a place, unless a later one made it needless.
    pub(super) fn get(&self, place: usize) -> Option<&Configuration<S>> {
        let item = &self.items[place];
        (!item.needless).then_some(&item.configuration)
    }

    /// Says what led to the configuration at a place.
    pub(super) fn set_trail(&mut self, place: usize, trail: u32) {
        self.items[place].configuration.trail = trail;
    }

    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        let each = self
            .items
            .first()
            .map_or(0, |item| item.configuration.bytes() + size_of::<Item<S>>());
        self.items.len() * each + self.heads.len() * size_of::<(u32, u32)>()
    }

    pub(super) fn take_comparisons(&mut self) -> u64 {
        std::mem::take(&mut self.comparisons)
    }

    /// Takes all out that are kept.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Configuration<S>> {
        self.round = self.round.checked_add(1).unwrap_or_else(|| {
            self.heads.fill((0, END));
            1
        });
        self.items.drain(..).filter(|item| !item.needless).map(|item| item.configuration)
    }
}
