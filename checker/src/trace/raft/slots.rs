//! What is known of each index of the replicated log, whichever node said it.
//!
//! Indexes that every node has applied are forgotten, so this is as large as the distance between the fastest and the slowest node. If a
//! node stays away for long it is bounded all the same: then the oldest indexes are no longer judged, and the rules say so.

use std::collections::VecDeque;

use super::breach::Sight;
use super::event::{Apply, Index, Term};

/// Most indexes kept: about 60 MiB.
pub(super) const SLOTS_MAX: usize = 1 << 18;

/// How many applied indexes stay, for answers and reads that lag behind the slowest node.
const SLACK: Index = 4_096;

/// All that is known of one index.
#[derive(Debug, Clone, Default)]
pub(super) struct Slot {
    /// Entries seen here, one per term: nearly always one.
    first: Option<Seen>,
    others: Vec<Seen>,
    pub(super) committed: Option<Committed>,
    pub(super) applied: Option<Applied>,
    /// The entry of this term was answered `failed`.
    pub(super) failed: Option<(Term, Sight)>,
}

/// An entry in somebody's log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Seen {
    pub(super) term: Term,
    pub(super) digest: u64,
    /// Of the prefix that ends here, if it is known.
    pub(super) hash: Option<u64>,
    pub(super) sight: Sight,
}

/// An entry that somebody holds committed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Committed {
    pub(super) term_at: Term,
    /// The term of the leader that counted it; `None` if nobody is known to have.
    pub(super) counted_in: Option<Term>,
    pub(super) sight: Sight,
}

/// An entry that somebody applied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Applied {
    pub(super) apply: Apply,
    pub(super) sight: Sight,
}

impl Slot {
    /// The entry of this term.
    pub(super) fn seen(&self, term: Term) -> Option<&Seen> {
        self.first.iter().chain(&self.others).find(|seen| seen.term == term)
    }

    /// Notes an entry of a term that has none here.
    pub(super) fn add_seen(&mut self, seen: Seen) {
        if self.first.is_none() {
            self.first = Some(seen);
        } else {
            self.others.push(seen);
        }
    }

    /// Tells the hash of an entry that was seen without one.
    pub(super) fn set_hash(&mut self, term: Term, hash: u64) {
        let seen = self.first.iter_mut().chain(&mut self.others).find(|seen| seen.term == term);
        if let Some(seen) = seen {
            seen.hash.get_or_insert(hash);
        }
    }
}

/// The indexes that are kept.
#[derive(Debug, Clone)]
pub(super) struct Slots {
    /// How many may be kept.
    pub(super) n_max: usize,
    /// The index of the first slot.
    first: Index,
    slots: VecDeque<Slot>,
    /// Up to where indexes were forgotten although not every node had applied them; 0 if none were.
    pub(super) given_up: Index,
    /// Up to where indexes were forgotten.
    forgotten: Index,
}

impl Default for Slots {
    fn default() -> Slots {
        Slots {
            n_max: SLOTS_MAX,
            first: 0,
            slots: VecDeque::new(),
            given_up: 0,
            forgotten: 0,
        }
    }
}

impl Slots {
    /// What is known of an index, if it is kept.
    pub(super) fn get(&self, index: Index) -> Option<&Slot> {
        let place = index.checked_sub(self.first)?;
        self.slots.get(usize::try_from(place).ok()?)
    }

    /// The same, to change it.
    pub(super) fn get_mut(&mut self, index: Index) -> Option<&mut Slot> {
        let place = index.checked_sub(self.first)?;
        self.slots.get_mut(usize::try_from(place).ok()?)
    }

    /// The same, made if it is not there. `None` for an index that was forgotten, and for one so far away that it cannot be kept.
    pub(super) fn at(&mut self, index: Index) -> Option<&mut Slot> {
        if index <= self.forgotten {
            return None;
        }
        if self.slots.is_empty() {
            self.first = index;
        }
        if index < self.first {
            self.make_before(index)?;
        }
        let place = usize::try_from(index - self.first).ok()?;
        if place >= self.slots.len() {
            self.make_after(place)?;
        }
        // Making room may have moved the begin.
        self.get_mut(index)
    }

    fn make_before(&mut self, index: Index) -> Option<()> {
        let n_new = usize::try_from(self.first - index).ok()?;
        if n_new + self.slots.len() > self.n_max {
            return None;
        }
        for _ in 0..n_new {
            self.slots.push_front(Slot::default());
        }
        self.first = index;
        Some(())
    }

    fn make_after(&mut self, place: usize) -> Option<()> {
        let n_new = place + 1 - self.slots.len();
        if n_new > self.n_max / 2 {
            return None;
        }
        self.slots.extend(std::iter::repeat_with(Slot::default).take(n_new));
        if self.slots.len() > self.n_max {
            let n_old = self.slots.len() - self.n_max / 2;
            self.drop_first(n_old);
            self.given_up = self.forgotten;
        }
        Some(())
    }

    /// Forgets what every node has applied, but for the last few. Returns up to where.
    pub(super) fn forget(&mut self, applied_by_all: Index) -> Index {
        let upto = applied_by_all.saturating_sub(SLACK);
        if upto >= self.first {
            let n_old = usize::try_from(upto - self.first + 1).unwrap_or(usize::MAX).min(self.slots.len());
            self.drop_first(n_old);
        }
        self.forgotten
    }

    fn drop_first(&mut self, n_old: usize) {
        if n_old > 0 {
            self.slots.drain(..n_old);
            self.first += n_old as u64;
            self.forgotten = self.forgotten.max(self.first - 1);
        }
    }

    /// The first of the kept indexes that an applied command satisfies.
    pub(super) fn find_applied(&self, accept: impl Fn(&Applied) -> bool) -> Option<&Applied> {
        self.slots
            .iter()
            .filter_map(|slot| slot.applied.as_ref())
            .find(|applied| accept(applied))
    }
}
