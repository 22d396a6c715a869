//! The names of a file system: the tree as it is, and the ordered journal of the steps that are not durable yet.
//!
//! A step edits slots, a slot being a name in a directory, and remembers what stood there. Undoing the steps that a power cut loses, newest first,
//! gives the tree after it. Steps on the same slot depend on each other in order, and so do all moves of directories, without which
//! a directory could become its own ancestor.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use super::dice::Dice;
use super::rules::Rules;

/// Number of a file, directory or link.
pub(super) type Ino = u64;

/// The directory that is mounted.
pub(super) const ROOT: Ino = 1;

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    pub(super) dir: Ino,
    pub(super) name: OsString,
}

impl Slot {
    pub(super) fn new(dir: Ino, name: &OsStr) -> Slot {
        Slot {
            dir,
            name: name.to_owned(),
        }
    }
}

/// What a step does to one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) slot: Slot,
    pub(super) before: Option<Ino>,
    pub(super) after: Option<Ino>,
}

/// One entry of the journal. One without edits is a resize or a change of mode, which only an ordered journal holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Its place in the order of all operations.
    pub(super) sequence: u64,
    pub(super) edits: Vec<Edit>,
    /// Whether it takes a directory to another place.
    pub(super) moves_directory: bool,
    /// The file whose bytes are on the disk before this step is.
    pub(super) bytes_first: Option<Ino>,
}

impl Step {
    /// A step that only edits slots.
    pub(super) fn edits(sequence: u64, edits: Vec<Edit>) -> Step {
        Step {
            sequence,
            edits,
            moves_directory: false,
            bytes_first: None,
        }
    }

    fn touches(&self, dir: Ino) -> bool {
        self.edits.iter().any(|edit| edit.slot.dir == dir)
    }

    fn mentions(&self, ino: Ino) -> bool {
        self.edits.iter().any(|edit| edit.before == Some(ino) || edit.after == Some(ino))
    }
}

/// The tree and its journal.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    directories: BTreeMap<Ino, BTreeMap<OsString, Ino>>,
    journal: Vec<Step>,
}

impl Names {
    pub(super) fn new() -> Names {
        Names {
            directories: BTreeMap::from([(ROOT, BTreeMap::new())]),
            journal: Vec::new(),
        }
    }

    pub(super) fn get(&self, dir: Ino, name: &OsStr) -> Option<Ino> {
        self.directories.get(&dir)?.get(name).copied()
    }

    /// The entries of a directory; `None` if it is none.
    pub(super) fn entries(&self, dir: Ino) -> Option<&BTreeMap<OsString, Ino>> {
        self.directories.get(&dir)
    }

    pub(super) fn journal(&self) -> &[Step] {
        &self.journal
    }

    /// Enters a directory that has no name yet.
    pub(super) fn add_directory(&mut self, ino: Ino) {
        self.directories.insert(ino, BTreeMap::new());
    }

    /// Forgets a directory that nothing mentions any more.
    pub(super) fn forget_directory(&mut self, ino: Ino) {
        self.directories.remove(&ino);
    }

    /// Enters a name that is durable from the start.
    pub(super) fn import(&mut self, slot: &Slot, ino: Ino) {
        self.set(slot, Some(ino));
    }

    /// Applies a step and writes it down.
    pub(super) fn apply(&mut self, step: Step) {
        for edit in &step.edits {
            self.set(&edit.slot, edit.after);
        }
        self.journal.push(step);
    }

    /// Whether a step that is not durable mentions this inode.
    pub(super) fn is_mentioned(&self, ino: Ino) -> bool {
        self.journal.iter().any(|step| step.mentions(ino))
    }

    /// What stands in a slot after a clean power cut.
    pub(super) fn durable(&self, slot: &Slot) -> Option<Ino> {
        let first = self.journal.iter().flat_map(|step| &step.edits).find(|edit| edit.slot == *slot);
        first.map_or_else(|| self.get(slot.dir, &slot.name), |edit| edit.before)
    }

    /// Makes the whole journal durable.
    pub(super) fn commit_all(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.journal)
    }

    /// Makes every step durable that edits a name in `dir`, with those it depends on.
    pub(super) fn commit_directory(&mut self, dir: Ino) -> Vec<Step> {
        let mut wanted: BTreeSet<Slot> = BTreeSet::new();
        let mut moves = false;
        let mut committed = vec![false; self.journal.len()];
        for (place, step) in self.journal.iter().enumerate().rev() {
            let shared = step.edits.iter().any(|edit| wanted.contains(&edit.slot));
            if step.touches(dir) || shared || (moves && step.moves_directory) {
                committed[place] = true;
                moves |= step.moves_directory;
                wanted.extend(step.edits.iter().map(|edit| edit.slot.clone()));
            }
        }
        let (done, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.journal)
            .into_iter()
            .zip(committed)
            .partition(|(_, committed)| *committed);
        self.journal = left.into_iter().map(|(step, _)| step).collect();
        done.into_iter().map(|(step, _)| step).collect()
    }

    /// Draws which steps survive a power cut, among what the rules allow.
    pub(super) fn draw(&self, rules: Rules, dice: &mut Dice) -> Vec<bool> {
        if rules == Rules::Ext4Ordered {
            let n_kept = dice.prefix(self.journal.len());
            return (0..self.journal.len()).map(|place| place < n_kept).collect();
        }
        let mut lost: BTreeSet<&Slot> = BTreeSet::new();
        let mut lost_a_move = false;
        let keep = |step: &Step, lost: &BTreeSet<&Slot>, lost_a_move: bool| {
            let depends = step.edits.iter().any(|edit| lost.contains(&edit.slot)) || (lost_a_move && step.moves_directory);
            !depends
        };
        self.journal
            .iter()
            .map(|step| {
                let kept = keep(step, &lost, lost_a_move) && dice.keeps();
                if !kept {
                    lost_a_move |= step.moves_directory;
                    lost.extend(step.edits.iter().map(|edit| &edit.slot));
                }
                kept
            })
            .collect()
    }

    /// Undoes what is not kept; what is left is durable. Returns the inodes that can still be reached, with their number of names.
    pub(super) fn lose(&mut self, kept: &[bool]) -> BTreeMap<Ino, u32> {
        let journal = std::mem::take(&mut self.journal);
        for (step, _) in journal.iter().zip(kept).rev().filter(|(_, kept)| !**kept) {
            for edit in &step.edits {
                self.set(&edit.slot, edit.before);
            }
        }
        let mut reached = BTreeMap::from([(ROOT, 1)]);
        let mut queue = vec![ROOT];
        while let Some(dir) = queue.pop() {
            for &ino in self.directories.get(&dir).into_iter().flat_map(BTreeMap::values) {
                *reached.entry(ino).or_insert(0) += 1;
                if self.directories.contains_key(&ino) {
                    queue.push(ino);
                }
            }
        }
        self.directories.retain(|ino, _| reached.contains_key(ino));
        reached
    }

    fn set(&mut self, slot: &Slot, ino: Option<Ino>) {
        let entries = self.directories.entry(slot.dir).or_default();
        match ino {
            Some(ino) => entries.insert(slot.name.clone(), ino),
            None => entries.remove(&slot.name),
        };
    }
}
