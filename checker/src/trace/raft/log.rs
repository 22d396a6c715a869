//! The checker's copy of one node's log: terms, digests and rolling prefix hashes, in the part that rules can still ask for.
//!
//! The hash of a prefix is h_i = H(h_(i-1), term_i, digest_i), so two logs are equal up to an index exactly if two numbers are. Where the
//! log begins after a snapshot whose prefix nobody saw, hashes are unknown (`None`) and nothing is said about what lies below.

use std::collections::VecDeque;

use super::event::{Index, Term};

/// The hash of the empty log.
const EMPTY: u64 = 0xcbf2_9ce4_8422_2325;

/// The hash of a prefix and one entry more: two rounds of a 64-bit multiply-and-fold (wyhash's mixing step).
pub(super) fn extend(hash: u64, term: Term, digest: u64) -> u64 {
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        (product as u64) ^ (product >> 64) as u64
    };
    let mixed = fold(hash ^ 0xa076_1d64_78bd_642f, term ^ 0xe703_7ed1_a0b4_28db);
    fold(mixed ^ digest, 0x8ebc_6af0_9c88_c6e3 ^ hash.rotate_left(29))
}

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) term: Term,
    pub(super) digest: u64,
    /// Of the prefix that ends here.
    pub(super) hash: Option<u64>,
}

/// One node's log from after `base` on.
#[derive(Debug, Clone)]
pub(super) struct Log {
    base: (Index, Term),
    base_hash: Option<u64>,
    entries: VecDeque<Entry>,
    /// Where each term begins, in ascending order, for the entries that are here.
    runs: VecDeque<(Index, Term)>,
}

impl Default for Log {
    fn default() -> Log {
        Log::after((0, 0), None)
    }
}

impl Log {
    /// A log that begins after `base`; `hash` is that of everything up to it, if it is known.
    pub(super) fn after(base: (Index, Term), hash: Option<u64>) -> Log {
        Log {
            base,
            base_hash: if base.0 == 0 { Some(EMPTY) } else { hash },
            entries: VecDeque::new(),
            runs: VecDeque::new(),
        }
    }

    /// The last index and its term.
    pub(super) fn last(&self) -> (Index, Term) {
        match self.entries.back() {
            Some(entry) => (self.last_index(), entry.term),
            None => self.base,
        }
    }

    pub(super) fn last_index(&self) -> Index {
        self.base.0.saturating_add(self.entries.len() as u64)
    }

    /// The index before the first entry that is here.
    pub(super) fn base_index(&self) -> Index {
        self.base.0
    }

    /// The entry at an index; `None` below the base and past the end.
    pub(super) fn get(&self, index: Index) -> Option<&Entry> {
        let place = index.checked_sub(self.base.0)?.checked_sub(1)?;
        self.entries.get(usize::try_from(place).ok()?)
    }

    /// The term of an index, the base's too.
    pub(super) fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.base.0 {
            return Some(self.base.1);
        }
        self.get(index).map(|entry| entry.term)
    }

    /// The hash of the prefix that ends at an index, if it is known.
    pub(super) fn hash_at(&self, index: Index) -> Option<u64> {
        if index == self.base.0 {
            return self.base_hash;
        }
        self.get(index)?.hash
    }

    /// What the hash of the prefix will be with this entry appended.
    pub(super) fn hash_with(&self, term: Term, digest: u64) -> Option<u64> {
        let before = self.entries.back().map_or(self.base_hash, |entry| entry.hash);
        before.map(|before| extend(before, term, digest))
    }

    /// Appends after the last entry.
    pub(super) fn push(&mut self, entry: Entry) {
        if self.runs.back().is_none_or(|run| run.1 != entry.term) {
            self.runs.push_back((self.last_index() + 1, entry.term));
        }
        self.entries.push_back(entry);
    }

    /// Removes the entries from this index on.
    pub(super) fn truncate(&mut self, from: Index) {
        let kept = from.saturating_sub(1).saturating_sub(self.base.0);
        self.entries.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
        while self.runs.back().is_some_and(|run| run.0 >= from) {
            self.runs.pop_back();
        }
    }

    /// Forgets the entries up to `index`, which stays as the base.
    pub(super) fn forget(&mut self, index: Index) {
        while self.base.0 < index {
            let Some(entry) = self.entries.pop_front() else { return };
            self.base = (self.base.0 + 1, entry.term);
            self.base_hash = entry.hash;
        }
        while self.runs.get(1).is_some_and(|run| run.0 <= index + 1) {
            self.runs.pop_front();
        }
    }

    /// The log as a leader had it when it was elected.
    pub(super) fn outline(&self) -> Outline {
        Outline {
            base: self.base.0,
            last: self.last_index(),
            runs: self.runs.iter().copied().collect(),
        }
    }
}

/// Which term each index of a log had at one moment. As small as the number of terms in it.
#[derive(Debug, Clone)]
pub(super) struct Outline {
    base: Index,
    last: Index,
    runs: Vec<(Index, Term)>,
}

/// What an outline says of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outlined {
    /// An entry of this term.
    Term(Term),
    /// No entry: the log ended before.
    PastTheEnd,
    /// Compacted, or no longer known.
    Below,
}

impl Outline {
    /// The entry at an index at that moment.
    pub(super) fn at(&self, index: Index) -> Outlined {
        if index > self.last {
            return Outlined::PastTheEnd;
        }
        let place = self.runs.partition_point(|run| run.0 <= index);
        match place.checked_sub(1) {
            Some(place) if index > self.base => Outlined::Term(self.runs[place].1),
            _ => Outlined::Below,
        }
    }
}
