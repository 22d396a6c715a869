//! The log in memory: the entries that are not compacted away.

use std::collections::VecDeque;

use super::entry::Entry;
use crate::trace::Place;

/// Entries `base + 1 ..= last`, without gaps.
#[derive(Clone, Debug, Default)]
pub(super) struct RaftLog {
    base: Place,
    entries: VecDeque<Entry>,
}

impl RaftLog {
    /// The last entry that is not here any more; (0, 0) before the first.
    pub(super) fn base(&self) -> Place {
        self.base
    }

    /// The last entry; the base if there is none.
    pub(super) fn last(&self) -> Place {
        self.entries.back().map_or(self.base, Entry::place)
    }

    pub(super) fn last_index(&self) -> u64 {
        self.last().0
    }

    fn offset(&self, index: u64) -> Option<usize> {
        usize::try_from(index.checked_sub(self.base.0 + 1)?).ok()
    }

    pub(super) fn entry(&self, index: u64) -> Option<&Entry> {
        self.entries.get(self.offset(index)?)
    }

    /// The term at an index; known for the base too.
    pub(super) fn term_at(&self, index: u64) -> Option<u64> {
        if index == self.base.0 {
            return Some(self.base.1);
        }
        self.entry(index).map(Entry::term)
    }

    /// Whether the entry there has this term.
    pub(super) fn holds(&self, (index, term): Place) -> bool {
        self.term_at(index) == Some(term)
    }

    /// Entries from an index on, at least one if there is one, together at most about `bytes_max`.
    pub(super) fn batch(&self, from: u64, bytes_max: usize) -> Vec<Entry> {
        let mut bytes = 0;
        let start = self.offset(from).unwrap_or(self.entries.len()).min(self.entries.len());
        self.entries
            .range(start..)
            .take_while(|entry| {
                let fits = bytes == 0 || bytes + entry.byte_count() <= bytes_max;
                bytes += entry.byte_count();
                fits
            })
            .cloned()
            .collect()
    }

    /// All entries.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Adds the next entry.
    pub(super) fn push(&mut self, entry: Entry) {
        self.entries.push_back(entry);
    }

    /// Removes the entries from an index on.
    pub(super) fn truncate(&mut self, from: u64) {
        self.entries.truncate(self.offset(from).unwrap_or(0));
    }

    /// Removes the entries up to an index, which becomes the base. Does nothing if the index is not here.
    pub(super) fn compact(&mut self, to: u64) {
        let (Some(term), Some(offset)) = (self.term_at(to), self.offset(to)) else {
            return;
        };
        self.entries.drain(..=offset);
        self.base = (to, term);
    }

    /// Removes everything: the log goes on behind this place.
    pub(super) fn reset(&mut self, base: Place) {
        self.entries.clear();
        self.base = base;
    }

    /// The first entry of the term that stands at an index, as far back as the log goes.
    pub(super) fn first_of_term_at(&self, index: u64) -> u64 {
        let term = self.term_at(index);
        let mut first = index;
        while first > self.base.0 + 1 && self.term_at(first - 1) == term {
            first -= 1;
        }
        first
    }

    /// The last entry of a term, if there is one. Terms never fall along a log.
    pub(super) fn last_of_term(&self, term: u64) -> Option<u64> {
        let count = self.entries.partition_point(|entry| entry.term() <= term);
        let place = if count == 0 { self.base } else { self.entries[count - 1].place() };
        (place.1 == term && place.0 > 0).then_some(place.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::raft::entry::Command;

    fn log(base: Place, terms: &[u64]) -> RaftLog {
        let mut log = RaftLog::default();
        log.reset(base);
        for term in terms {
            let index = log.last_index() + 1;
            log.push(Entry::new(index, *term, Command::Noop { births: BTreeMap::new() }));
        }
        log
    }

    #[test]
    fn knows_its_places() {
        let log = log((4, 2), &[2, 3, 3]);
        assert_eq!((log.base(), log.last()), ((4, 2), (7, 3)));
        assert_eq!(
            [3, 4, 5, 7, 8].map(|index| log.term_at(index)),
            [None, Some(2), Some(2), Some(3), None]
        );
        assert!(log.holds((6, 3)) && !log.holds((6, 2)) && !log.holds((9, 3)));
    }

    #[test]
    fn cuts_both_ends() {
        let mut log = log((0, 0), &[1, 1, 2, 3]);
        log.compact(2);
        assert_eq!((log.base(), log.last()), ((2, 1), (4, 3)));
        log.compact(1);
        log.compact(9);
        assert_eq!(log.base(), (2, 1), "an index that is not there changes nothing");
        log.truncate(4);
        assert_eq!(log.last(), (3, 2));
        log.truncate(1);
        assert_eq!(log.last(), (2, 1), "what is compacted cannot be removed");
    }

    #[test]
    fn finds_the_ends_of_terms() {
        let log = log((2, 1), &[1, 2, 2, 5, 5]);
        assert_eq!([3, 4, 5, 7].map(|index| log.first_of_term_at(index)), [3, 4, 4, 6]);
        assert_eq!(
            [1, 2, 3, 5, 6].map(|term| log.last_of_term(term)),
            [Some(3), Some(5), None, Some(7), None]
        );
        let empty = RaftLog::default();
        assert_eq!(empty.last_of_term(0), None);
    }

    #[test]
    fn a_batch_has_at_least_one_entry_and_stops_at_the_bound() {
        let log = log((0, 0), &[1; 10]);
        let one = log.entry(1).unwrap().byte_count();
        assert_eq!(log.batch(3, 0).len(), 1);
        assert_eq!(log.batch(3, 3 * one).len(), 3);
        assert_eq!(log.batch(8, usize::MAX).len(), 3);
        assert_eq!(log.batch(11, usize::MAX), []);
    }
}
