//! What the events of one node have made of it, as far as rules ask.

use std::collections::VecDeque;

use super::breach::Sight;
use super::event::{Config, Index, Role, Start, Term};
use super::log::Log;
use super::names::NameId;

/// One node, in its present life.
#[derive(Debug, Clone)]
pub(super) struct NodeState {
    pub(super) name: String,
    /// What its present life was started with; `None` before its first.
    pub(super) start: Option<Box<Start>>,
    /// The durable term and vote of the present member, and where it said so.
    pub(super) hard: (Term, Option<NameId>),
    pub(super) hard_at: Option<Sight>,
    pub(super) role: Role,
    pub(super) role_at: Option<Sight>,
    pub(super) log: Log,
    /// Up to where its snapshot reaches.
    pub(super) snapshot: Index,
    pub(super) durable: Durable,
    pub(super) commit: Index,
    pub(super) applied: Index,
    pub(super) config: Config,
    /// The entries in its log that change the members.
    pub(super) config_entries: Vec<(Index, Term)>,
    /// Hashes of prefixes at which a snapshot was taken or installed: what a restart begins with.
    pub(super) snapshot_hashes: VecDeque<(Index, u64)>,
    /// Between the start and the first event that is no part of it.
    pub(super) replay: Option<Replay>,
}

/// A start that still tells what was on the disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Replay {
    pub(super) sight: Sight,
    /// What the former life of the same member had made durable.
    pub(super) owed: Option<Mark>,
}

/// Most prefix hashes kept per node.
const SNAPSHOT_HASHES_MAX: usize = 16;

impl NodeState {
    /// A node that has not begun.
    pub(super) fn new(name: &str) -> NodeState {
        NodeState {
            name: name.to_owned(),
            start: None,
            hard: (0, None),
            hard_at: None,
            role: Role::Follower,
            role_at: None,
            log: Log::default(),
            snapshot: 0,
            durable: Durable::default(),
            commit: 0,
            applied: 0,
            config: Config::default(),
            config_entries: Vec::new(),
            snapshot_hashes: VecDeque::new(),
            replay: None,
        }
    }

    /// The member it is in its present life.
    pub(super) fn member(&self) -> Option<NameId> {
        self.start.as_ref().map(|start| start.member)
    }

    /// Whether retried commands were promised to take effect once.
    pub(super) fn has_sessions(&self) -> bool {
        self.start.as_ref().is_some_and(|start| start.sessions)
    }

    /// Remembers the hash of the prefix that a snapshot stands for.
    pub(super) fn keep_snapshot_hash(&mut self, index: Index, hash: Option<u64>) {
        if let Some(hash) = hash {
            self.snapshot_hashes.push_back((index, hash));
            if self.snapshot_hashes.len() > SNAPSHOT_HASHES_MAX {
                self.snapshot_hashes.pop_front();
            }
        }
    }

    /// The hash of the prefix up to an index, from the log or from a snapshot.
    pub(super) fn known_hash(&self, index: Index) -> Option<u64> {
        let of_snapshot = || {
            self.snapshot_hashes
                .iter()
                .rev()
                .find(|(at, _)| *at == index)
                .map(|(_, hash)| *hash)
        };
        self.log.hash_at(index).or_else(of_snapshot)
    }

    /// Forgets entries of the log, down from `index`.
    pub(super) fn forget(&mut self, index: Index) {
        self.log.forget(index.min(self.applied));
        self.durable.forget(index);
    }
}

/// A moment at which a log was durable up to an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) upto: Index,
    pub(super) term_at: Term,
    pub(super) sight: Sight,
}

/// Up to where a node's log was durable, and since when. Ascending in both.
#[derive(Debug, Clone, Default)]
pub(super) struct Durable {
    marks: VecDeque<Mark>,
}

/// Most moments kept per node.
const MARKS_MAX: usize = 1 << 16;

impl Durable {
    /// The log is durable further than before.
    pub(super) fn add(&mut self, mark: Mark) {
        if self.marks.back().is_none_or(|last| last.upto < mark.upto) {
            self.marks.push_back(mark);
            if self.marks.len() > MARKS_MAX {
                self.marks.pop_front();
            }
        }
    }

    /// Entries from `from` on are gone; what was durable before them still is. `term_before` is the term of the entry before.
    pub(super) fn truncate(&mut self, from: Index, term_before: Option<Term>) {
        let mut earliest = None;
        while self.marks.back().is_some_and(|mark| mark.upto >= from) {
            earliest = self.marks.pop_back();
        }
        if let (Some(mark), Some(term_at)) = (earliest, term_before) {
            self.add(Mark {
                upto: from - 1,
                term_at,
                ..mark
            });
        }
    }

    /// The last one: what a restart has to find again.
    pub(super) fn last(&self) -> Option<Mark> {
        self.marks.back().copied()
    }

    /// The first moment at which the log was durable up to this index.
    pub(super) fn since(&self, index: Index) -> Option<Mark> {
        let place = self.marks.partition_point(|mark| mark.upto < index);
        self.marks.get(place).copied()
    }

    /// Nothing is durable any more, or another member began.
    pub(super) fn clear(&mut self) {
        self.marks.clear();
    }

    /// Drops what is no longer asked for, but never the last one.
    fn forget(&mut self, index: Index) {
        while self.marks.len() > 1 && self.marks[0].upto <= index {
            self.marks.pop_front();
        }
    }
}
