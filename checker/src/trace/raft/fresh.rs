//! T12: a read by read index or by lease sees everything that was answered before it began.
//!
//! **Why time may be asked here.** A client that has its answer may read from any node, and no message between nodes tells that one came
//! before the other. All nodes read one host's CLOCK_MONOTONIC: an answer is stamped before its bytes leave, a read when its request has
//! come, so if the first stamp is below the second, the entry was committed before the read began. The read's index is taken after that
//! from a leader whose log holds the entry, and the state that is served has applied it. Where clocks disagree nothing is said.

use std::collections::BTreeMap;

use super::breach::{Breaches, Rests, Rule, Sight};
use super::clocks::Clocks;
use super::event::{Basis, Index};
use super::scene::{Scene, bit};

/// Most answers, and most reads, that are remembered: the oldest go first. Two seconds of a cluster that answers 60,000 per second.
const KEPT_MAX: usize = 1 << 17;

/// Answers and reads by time, as far as they can still decide.
#[derive(Debug, Clone, Default)]
pub(super) struct Freshness {
    /// The highest index answered by that moment; ascending in both.
    answered: BTreeMap<u64, (Index, Sight)>,
    /// By the moment they began, reads that had applied less than all later ones.
    reads: BTreeMap<u64, (Index, Sight)>,
}

/// A read about to be answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Read {
    pub(super) index: Index,
    pub(super) applied: Index,
    pub(super) basis: Basis,
    pub(super) begun_ns: u64,
}

impl Freshness {
    /// An index was answered ok.
    pub(super) fn answer(&mut self, scene: Scene<'_>, index: Index, clocks: &Clocks, breaches: &mut Breaches) {
        let at = scene.sight;
        // A read that began later and had applied less. The first one later has the least of all later ones.
        if let Some((begun_ns, (applied, read))) = self.reads.range(at.mono_ns.saturating_add(1)..).next()
            && *applied < index
        {
            stale(scene, (at, index), (*read, *applied, *begun_ns), clocks, breaches);
        }
        self.exposed(index, at);
    }

    /// Everything up to `index` was seen by a client at that moment.
    fn exposed(&mut self, index: Index, at: Sight) {
        let before = self.answered.range(..=at.mono_ns).next_back();
        if before.is_some_and(|(_, (known, _))| *known >= index) {
            return;
        }
        while let Some((time_ns, _)) = self.answered.range(at.mono_ns..).next().filter(|(_, (known, _))| *known <= index) {
            let time_ns = *time_ns;
            self.answered.remove(&time_ns);
        }
        self.answered.insert(at.mono_ns, (index, at));
        if self.answered.len() > KEPT_MAX {
            self.answered.pop_first();
        }
    }

    /// A read is about to be answered.
    pub(super) fn read(&mut self, scene: Scene<'_>, read: Read, clocks: &Clocks, breaches: &mut Breaches) {
        if !matches!(read.basis, Basis::ReadIndex | Basis::Lease) {
            return;
        }
        let at = scene.sight;
        if read.applied < read.index {
            breaches.add(Rule::ReadFreshness, || {
                let (index, applied) = (read.index, read.applied);
                let message = format!(
                    "{} answered a read of index {index}, but had applied only index {applied}",
                    scene.name()
                );
                (message, vec![at.says(format!("a read at index {index}, applied {applied}"))])
            });
        }
        // A read that began after it ended is a clock's word that nobody can use.
        if read.begun_ns > at.mono_ns {
            return;
        }
        if let Some((_, (index, answered))) = self.answered.range(..read.begun_ns).next_back()
            && *index > read.applied
        {
            stale(scene, (*answered, *index), (at, read.applied, read.begun_ns), clocks, breaches);
        }
        self.keep_read(read, at);
    }

    fn keep_read(&mut self, read: Read, at: Sight) {
        let Read { applied, begun_ns, .. } = read;
        if self.reads.range(begun_ns..).next().is_some_and(|(_, (later, _))| *later <= applied) {
            return;
        }
        while let Some((time_ns, _)) = self
            .reads
            .range(..=begun_ns)
            .next_back()
            .filter(|(_, (earlier, _))| *earlier >= applied)
        {
            let time_ns = *time_ns;
            self.reads.remove(&time_ns);
        }
        self.reads.insert(begun_ns, (applied, at));
        if self.reads.len() > KEPT_MAX {
            self.reads.pop_first();
        }
    }
}

fn stale(scene: Scene<'_>, answer: (Sight, Index), read: (Sight, Index, u64), clocks: &Clocks, breaches: &mut Breaches) {
    let ((answered, index), (at, applied, begun_ns)) = (answer, read);
    if !clocks.are_sound(answered.node, at.node) {
        return;
    }
    let rests = Rests {
        absent: 0,
        timed: bit(usize::from(answered.node)) | bit(usize::from(at.node)),
    };
    breaches.add_resting(Rule::ReadFreshness, rests, || {
        let reader = &scene.nodes[usize::from(at.node)].name;
        let answerer = &scene.nodes[usize::from(answered.node)].name;
        let ahead_us = begun_ns.saturating_sub(answered.mono_ns) / 1_000;
        let message = format!(
            "{reader} answered a read from index {applied}, although {answerer} had answered index {index} {ahead_us} us before the read began"
        );
        let facts = vec![
            answered.says(format!("answers ok for index {index}")),
            at.says(format!("a read with index {applied} applied")),
        ];
        (message, facts)
    });
}
