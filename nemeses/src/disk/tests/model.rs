//! A model of a disk that enumerates, by brute force, every state a power cut may leave.
//!
//! It keeps what was done since the last sync as a list of atoms, and tries every subset that the rules allow. Lengths and offsets are in units of 128
//! bytes, and a unit's content is one byte, so that a set of thousands of contents stays small.

use std::collections::{BTreeMap, BTreeSet};

use crate::disk::Rules;

pub(super) const UNIT: u64 = 128;
const UNITS_OF_SECTOR: usize = 4;
const UNITS_OF_BLOCK: usize = 32;

/// A directory's number and a name in it.
pub(super) type Place = (u64, &'static str);
/// Names and what they lead to.
pub(super) type Tree = BTreeMap<Place, u64>;
pub(super) type Content = Vec<u8>;

#[derive(Clone, Debug)]
enum Atom {
    /// Units from an offset on, all with this content.
    Write {
        at: usize,
        count: usize,
        byte: u8,
    },
    Resize {
        to: usize,
    },
}

#[derive(Clone, Debug, Default)]
struct File {
    durable: Content,
    now: Content,
    /// With their places in the order of all operations.
    pending: Vec<(u64, Atom)>,
}

#[derive(Clone, Debug)]
struct Step {
    sequence: u64,
    edits: Vec<(Place, Option<u64>, Option<u64>)>,
    /// The file that is renamed over another one.
    renamed_over: Option<u64>,
}

/// The model.
#[derive(Clone, Debug)]
pub(super) struct Model {
    rules: Rules,
    pub(super) tree: Tree,
    steps: Vec<Step>,
    files: BTreeMap<u64, File>,
    sequence: u64,
}

impl Model {
    pub(super) fn new(rules: Rules) -> Model {
        Model {
            rules,
            tree: Tree::new(),
            steps: Vec::new(),
            files: BTreeMap::new(),
            sequence: 0,
        }
    }

    fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    fn step(&mut self, edits: Vec<(Place, Option<u64>, Option<u64>)>, renamed_over: Option<u64>) {
        for (place, _, after) in &edits {
            match after {
                Some(ino) => self.tree.insert(*place, *ino),
                None => self.tree.remove(place),
            };
        }
        let sequence = self.next();
        self.steps.push(Step {
            sequence,
            edits,
            renamed_over,
        });
    }

    pub(super) fn create(&mut self, place: Place, ino: u64) {
        self.files.insert(ino, File::default());
        self.step(vec![(place, None, Some(ino))], None);
    }

    pub(super) fn make_directory(&mut self, place: Place, ino: u64) {
        self.step(vec![(place, None, Some(ino))], None);
    }

    pub(super) fn link(&mut self, ino: u64, place: Place) {
        self.step(vec![(place, None, Some(ino))], None);
    }

    pub(super) fn unlink(&mut self, place: Place) {
        let before = self.tree[&place];
        self.step(vec![(place, Some(before), None)], None);
    }

    pub(super) fn rename(&mut self, from: Place, to: Place) {
        let ino = self.tree[&from];
        let replaced = self.tree.get(&to).copied();
        if replaced != Some(ino) {
            self.step(vec![(from, Some(ino), None), (to, replaced, Some(ino))], replaced.map(|_| ino));
        }
    }

    pub(super) fn write(&mut self, ino: u64, at: usize, count: usize, byte: u8) {
        let sequence = self.next();
        let file = self.files.get_mut(&ino).unwrap();
        let atom = Atom::Write { at, count, byte };
        apply(&mut file.now, &atom);
        file.pending.push((sequence, atom));
    }

    pub(super) fn resize(&mut self, ino: u64, to: usize) {
        if self.files[&ino].now.len() == to {
            return;
        }
        let sequence = self.next();
        let file = self.files.get_mut(&ino).unwrap();
        file.now.resize(to, 0);
        file.pending.push((sequence, Atom::Resize { to }));
    }

    pub(super) fn sync_file(&mut self, ino: u64) {
        if self.rules == Rules::Ext4Ordered {
            self.commit_journal();
        }
        let file = self.files.get_mut(&ino).unwrap();
        file.durable = file.now.clone();
        file.pending.clear();
    }

    pub(super) fn sync_directory(&mut self, dir: u64) {
        if self.rules == Rules::Ext4Ordered {
            self.commit_journal();
            return;
        }
        // Its own steps, and the earlier ones that touch the same places, until nothing is added.
        let mut done: BTreeSet<u64> = self
            .steps
            .iter()
            .filter(|step| step.edits.iter().any(|edit| edit.0.0 == dir))
            .map(|step| step.sequence)
            .collect();
        // From the newest on: what a step depends on is older.
        for later in self.steps.iter().rev() {
            if done.contains(&later.sequence) {
                let earlier = self
                    .steps
                    .iter()
                    .filter(|step| step.sequence < later.sequence && share(step, later));
                done.extend(earlier.map(|step| step.sequence));
            }
        }
        self.steps.retain(|step| !done.contains(&step.sequence));
    }

    /// All that the journal has is durable; the bytes of renamed files up to their renames, too.
    fn commit_journal(&mut self) {
        let steps = std::mem::take(&mut self.steps);
        for (ino, file) in &mut self.files {
            let forced = steps
                .iter()
                .filter(|step| step.renamed_over == Some(*ino))
                .map(|step| step.sequence)
                .max()
                .unwrap_or(0);
            let mut base = file.durable.clone();
            // A block's bytes are those in memory when it is written.
            let blocks: BTreeSet<usize> = blocks_before(&file.pending, forced);
            let mut left = Vec::new();
            for (sequence, atom) in std::mem::take(&mut file.pending) {
                match atom {
                    Atom::Resize { to } => {
                        apply(&mut base, &atom);
                        left = left
                            .into_iter()
                            .filter_map(|(sequence, atom)| Some((sequence, clipped(atom, to)?)))
                            .collect();
                    }
                    Atom::Write { at, count, byte } => {
                        for part in parts(at, count) {
                            let atom = Atom::Write {
                                at: part.0,
                                count: part.1,
                                byte,
                            };
                            if blocks.contains(&(part.0 / UNITS_OF_BLOCK)) {
                                apply(&mut base, &atom);
                            } else {
                                left.push((sequence, atom));
                            }
                        }
                    }
                }
            }
            file.durable = base;
            file.pending = left;
        }
    }

    /// The one state a clean cut leaves.
    pub(super) fn durable(&self) -> (Tree, BTreeMap<u64, Content>) {
        let mut tree = self.tree.clone();
        for step in self.steps.iter().rev() {
            undo(&mut tree, step);
        }
        (tree, self.files.iter().map(|(ino, file)| (*ino, file.durable.clone())).collect())
    }

    /// Whether a power cut may leave these names and contents.
    pub(super) fn allows(&self, tree: &Tree, contents: &BTreeMap<u64, Content>) -> bool {
        match self.rules {
            Rules::PosixStrict => {
                self.subsets().iter().any(|possible| reachable(possible) == *tree)
                    && contents.iter().all(|(ino, content)| self.files[ino].any_subset().contains(content))
            }
            Rules::Ext4Ordered => (0..=self.sequence + 1).any(|end| {
                let mut possible = self.tree.clone();
                for step in self.steps.iter().rev().filter(|step| step.sequence >= end) {
                    undo(&mut possible, step);
                }
                reachable(&possible) == *tree
                    && contents.iter().all(|(ino, content)| {
                        let kept = self
                            .steps
                            .iter()
                            .filter(|step| step.sequence < end && step.renamed_over == Some(*ino));
                        let forced = kept.map(|step| step.sequence).max().unwrap_or(0);
                        self.files[ino].journaled(end, forced).contains(content)
                    })
            }),
        }
    }

    /// Every tree that some of the steps make, each with those it depends on.
    fn subsets(&self) -> Vec<Tree> {
        let mut trees = Vec::new();
        for bits in 0..1u32 << self.steps.len() {
            let kept = |place: usize| bits & 1 << place != 0;
            let closed = (0..self.steps.len())
                .all(|later| !kept(later) || (0..later).all(|earlier| kept(earlier) || !share(&self.steps[earlier], &self.steps[later])));
            if closed {
                let mut tree = self.tree.clone();
                for place in (0..self.steps.len()).rev().filter(|place| !kept(*place)) {
                    undo(&mut tree, &self.steps[place]);
                }
                trees.push(tree);
            }
        }
        trees
    }
}

impl File {
    /// Any subset of the atoms, sector by sector; what follows a shrinking needs it; a longer length may come alone.
    fn any_subset(&self) -> BTreeSet<Content> {
        // With each content: whether a shrinking was left out.
        let mut states: BTreeSet<(Content, bool)> = BTreeSet::from([(self.durable.clone(), false)]);
        let mut length = self.durable.len();
        for (_, atom) in &self.pending {
            match atom {
                Atom::Resize { to } => {
                    let shrinks = *to < length;
                    length = *to;
                    let kept: Vec<_> = states.iter().filter(|state| !state.1).map(|state| applied(state, atom)).collect();
                    if shrinks {
                        states = states.into_iter().map(|(content, _)| (content, true)).collect();
                    }
                    states.extend(kept);
                }
                Atom::Write { at, count, byte } => {
                    length = length.max(at + count);
                    for (at, count) in parts(*at, *count) {
                        let kept: Vec<_> = states
                            .iter()
                            .filter(|state| !state.1)
                            .map(|state| applied(state, &Atom::Write { at, count, byte: *byte }))
                            .collect();
                        states.extend(kept);
                    }
                }
            }
        }
        let longer: Vec<_> = states
            .iter()
            .filter(|state| !state.1 && state.0.len() < self.now.len())
            .map(|state| applied(state, &Atom::Resize { to: self.now.len() }))
            .collect();
        states.into_iter().chain(longer).map(|state| state.0).collect()
    }

    /// Resizes before `end` and no others; writes into what stood there in any subset of sectors; new blocks whole, if the journal can know them;
    /// everything in blocks that were written before `forced`.
    fn journaled(&self, end: u64, forced: u64) -> BTreeSet<Content> {
        let forced = blocks_before(&self.pending, forced);
        let mut settled = self.durable.len();
        for (_, atom) in self.pending.iter().filter(|(sequence, _)| *sequence < end) {
            if let Atom::Resize { to } = atom {
                settled = *to;
            }
        }
        // What the resizes that survive have left of the writes before them.
        let mut writes: Vec<(u64, Atom)> = Vec::new();
        for (sequence, atom) in &self.pending {
            match atom {
                Atom::Resize { to } if *sequence < end => {
                    writes = writes
                        .into_iter()
                        .filter_map(|(sequence, atom)| Some((sequence, clipped(atom, *to)?)))
                        .collect();
                }
                Atom::Resize { .. } => {}
                Atom::Write { .. } => writes.push((*sequence, atom.clone())),
            }
        }
        let mut last_of: BTreeMap<usize, u64> = BTreeMap::new();
        let mut is_new: BTreeSet<usize> = BTreeSet::new();
        for (sequence, atom) in &writes {
            let Atom::Write { at, count, .. } = atom else { continue };
            for (at, count) in parts(*at, *count) {
                last_of.insert(at / UNITS_OF_BLOCK, *sequence);
                if at + count > settled {
                    is_new.insert(at / UNITS_OF_BLOCK);
                }
            }
        }
        if forced.iter().any(|block| last_of.get(block).is_some_and(|last| *last >= end)) {
            return BTreeSet::new(); // what the block holds is newer than the journal's end
        }
        // First which new blocks appear, then which sectors elsewhere.
        let free: Vec<usize> = is_new
            .iter()
            .filter(|block| !forced.contains(block) && last_of[block] < end)
            .copied()
            .collect();
        let mut contents = BTreeSet::new();
        for bits in 0..1u32 << free.len() {
            let whole: BTreeSet<usize> = free
                .iter()
                .enumerate()
                .filter(|(place, _)| bits & 1 << place != 0)
                .map(|(_, block)| *block)
                .chain(forced.iter().copied())
                .collect();
            contents.extend(self.with_blocks(end, &whole, &is_new, settled));
        }
        contents
    }

    fn with_blocks(&self, end: u64, whole: &BTreeSet<usize>, is_new: &BTreeSet<usize>, settled: usize) -> BTreeSet<Content> {
        let mut states = BTreeSet::from([self.durable.clone()]);
        for (sequence, atom) in &self.pending {
            match atom {
                Atom::Resize { .. } if *sequence < end => {
                    states = states.iter().map(|content| applied(&(content.clone(), false), atom).0).collect()
                }
                Atom::Resize { .. } => {}
                Atom::Write { at, count, byte } => {
                    for (at, count) in parts(*at, *count) {
                        let atom = Atom::Write { at, count, byte: *byte };
                        let kept = states.iter().map(|content| applied(&(content.clone(), false), &atom).0).collect();
                        let block = at / UNITS_OF_BLOCK;
                        if whole.contains(&block) {
                            states = kept;
                        } else if !is_new.contains(&block) || at < settled {
                            states.extend(kept);
                        }
                    }
                }
            }
        }
        // A sector at the old end that is torn never makes the file longer.
        let longest = |content: &Content| {
            let blocks = whole.iter().next_back().map_or(0, |block| (block + 1) * UNITS_OF_BLOCK);
            content.len().min(settled.max(blocks)).min(self.now.len().max(settled))
        };
        states.iter().map(|content| content[..longest(content)].to_vec()).collect()
    }
}

/// The blocks that were written before a moment.
fn blocks_before(pending: &[(u64, Atom)], moment: u64) -> BTreeSet<usize> {
    let mut blocks = BTreeSet::new();
    for (_, atom) in pending.iter().filter(|(sequence, _)| *sequence < moment) {
        if let Atom::Write { at, count, .. } = atom {
            blocks.extend(parts(*at, *count).into_iter().map(|(at, _)| at / UNITS_OF_BLOCK));
        }
    }
    blocks
}

/// What a truncation leaves of a write before it.
fn clipped(atom: Atom, to: usize) -> Option<Atom> {
    match atom {
        Atom::Write { at, count, byte } if at < to => Some(Atom::Write {
            at,
            count: count.min(to - at),
            byte,
        }),
        _ => None,
    }
}

/// Whether two steps touch the same place.
fn share(one: &Step, other: &Step) -> bool {
    one.edits.iter().any(|edit| other.edits.iter().any(|with| edit.0 == with.0))
}

fn undo(tree: &mut Tree, step: &Step) {
    for (place, before, _) in &step.edits {
        match before {
            Some(ino) => tree.insert(*place, *ino),
            None => tree.remove(place),
        };
    }
}

/// What of a tree can be reached from its root, which is number 1.
fn reachable(tree: &Tree) -> Tree {
    let mut directories = BTreeSet::from([1]);
    loop {
        let reached: Tree = tree
            .iter()
            .filter(|((dir, _), _)| directories.contains(dir))
            .map(|(place, ino)| (*place, *ino))
            .collect();
        let before = directories.len();
        directories.extend(reached.values());
        if directories.len() == before {
            return reached;
        }
    }
}

/// A range of units, cut at the borders of sectors.
fn parts(at: usize, count: usize) -> Vec<(usize, usize)> {
    let mut parts = Vec::new();
    let mut from = at;
    while from < at + count {
        let to = (from / UNITS_OF_SECTOR + 1) * UNITS_OF_SECTOR;
        parts.push((from, to.min(at + count) - from));
        from = to;
    }
    parts
}

fn apply(content: &mut Content, atom: &Atom) {
    match atom {
        Atom::Resize { to } => content.resize(*to, 0),
        Atom::Write { at, count, byte } => {
            let end = at + count;
            content.resize(content.len().max(end), 0);
            content[*at..end].fill(*byte);
        }
    }
}

fn applied(state: &(Content, bool), atom: &Atom) -> (Content, bool) {
    let mut content = state.0.clone();
    apply(&mut content, atom);
    (content, state.1)
}
