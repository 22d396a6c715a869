//! When a tombstone may go: once nothing older of its key can come to any home replica any more.
//!
//! A tombstone that goes while an older value is still under way somewhere lets that value come back: the deleted key is there again
//! (basho/riak_kv#1094). So the first home replica of a key asks around before:
//!
//! 1. **Held by all.** It writes the tombstone v to every home replica and waits until *all N* acknowledge that v, or what replaces it, is
//!    durable there.
//! 2. **Fenced.** It then asks *every member* which operation it began last, its fence, and waits until the member says that all up to
//!    the fence have ended and that it keeps no hint for the key.
//! 3. **Reaped.** It tells every home replica to let v go, if v is all it holds. A replica does so in one record, which also holds the
//!    fences, and v's counter as its floor. From then on it refuses every value that was sent under an operation up to its sender's fence.
//!
//! Why nothing older than v, and not replaced by it, is ever taken by a home replica again:
//!
//! - *Sent under an operation up to its sender's fence*: refused, however late it comes, in whichever life of the receiver.
//! - *Sent under a later operation*: that began after step 1. A get, or a put's reading of versions, was then answered by replicas that hold
//!   v, what replaces it, or nothing (reaped, with a floor of at least v's counter); so it writes back nothing older, and takes a larger
//!   version. A repair sends what a home replica holds: the same. A hint was kept when its operation ended; at step 2 the member kept none
//!   of this key, and the operations that could still leave an older one had ended. That a hint has gone means that the record of its
//!   end is durable, so no crash brings it back.
//! - *In the log of a replica*: the older value's record stands before the tombstone's, and that before the reaping.
//!
//! Versions that do not come from replicas (wall clocks that differ, counts of a coordinator) may be smaller than v even later; such a store
//! is unsound with tombstones that stay, too.
//!
//! A home replica that did not hear of step 3 keeps v, and anti-entropy may bring v back to the others: a tombstone, not a value. The
//! reaper then begins again. Nothing here depends on clocks; the age of a tombstone only decides when asking begins.
//!
//! The decision not taken is what stores of this kind usually do: to let a tombstone go after a grace time, and to hope that no replica,
//! hint or message was away for longer. It is there as [`Reaping::Grace`](super::config::Reaping), to be seen failing.

use std::collections::{BTreeMap, BTreeSet};

use super::cell::Cell;
use super::message::{OpId, QuorumMessage};
use super::outgoing::Outgoing;
use crate::members::{Members, NodeIndex, Text};
use crate::version::Version;

/// Reapings that are open at a time at most: each asks every member every call timeout while a node is away.
const OPEN_MAX: usize = 16;

/// The tombstones of which this node is the first home replica.
#[derive(Debug)]
pub(super) struct Reaper {
    reap_after_ns: u64,
    call_timeout_ns: u64,
    /// (when to look at it, key).
    waiting: BTreeSet<(u64, Text)>,
    open: BTreeMap<Text, Reaping>,
    /// The key behind each open operation.
    by_number: BTreeMap<u64, Text>,
}

/// One tombstone on its way out.
#[derive(Debug)]
struct Reaping {
    cell: Cell,
    version: Version,
    homes: Vec<NodeIndex>,
    number: u64,
    calls_end_ns: u64,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Home replicas that hold it.
    Holders(Vec<NodeIndex>),
    /// For each member that answered its fence, and whether all up to it has ended.
    Fences(BTreeMap<NodeIndex, (OpId, bool)>),
}

impl Reaper {
    pub(super) fn new(reap_after_ns: u64, call_timeout_ns: u64) -> Reaper {
        Reaper {
            reap_after_ns,
            call_timeout_ns,
            waiting: BTreeSet::new(),
            open: BTreeMap::new(),
            by_number: BTreeMap::new(),
        }
    }

    /// A tombstone became durable here.
    pub(super) fn watch(&mut self, mono_ns: u64, key: &Text) {
        self.waiting.insert((mono_ns.saturating_add(self.reap_after_ns), key.clone()));
    }

    pub(super) fn wake_at_ns(&self) -> Option<u64> {
        let waiting = self.waiting.first().map(|(at_ns, _)| *at_ns).filter(|_| self.open.len() < OPEN_MAX);
        let open = self.open.values().map(|reaping| reaping.calls_end_ns).min();
        waiting.into_iter().chain(open).min()
    }

    /// The next key whose tombstone is old enough, if there is room for it.
    pub(super) fn next_due(&mut self, mono_ns: u64) -> Option<Text> {
        if self.open.len() >= OPEN_MAX || self.waiting.first()?.0 > mono_ns {
            return None;
        }
        self.waiting.pop_first().map(|(_, key)| key)
    }

    /// Begins with a tombstone, unless its key is being reaped already.
    pub(super) fn begin(&mut self, mono_ns: u64, key: &Text, cell: &Cell, homes: Vec<NodeIndex>, op: OpId, out: &mut Outgoing<'_>) {
        let Some(tombstone) = cell.tombstone().filter(|_| !self.open.contains_key(key)) else {
            return;
        };
        let reaping = Reaping {
            cell: cell.clone(),
            version: tombstone.version.clone(),
            homes,
            number: op.number,
            calls_end_ns: mono_ns.saturating_add(self.call_timeout_ns),
            stage: Stage::Holders(Vec::new()),
        };
        reaping.call(key, op, out);
        self.by_number.insert(op.number, key.clone());
        self.open.insert(key.clone(), reaping);
    }

    /// A replica holds the tombstone, or what replaces it.
    pub(super) fn on_held(&mut self, from: NodeIndex, op: OpId, members: &Members, out: &mut Outgoing<'_>) {
        let Some((key, reaping)) = self.find(op.number) else { return };
        let Stage::Holders(holders) = &mut reaping.stage else { return };
        if reaping.homes.contains(&from) && !holders.contains(&from) {
            holders.push(from);
        }
        if holders.len() == reaping.homes.len() {
            reaping.stage = Stage::Fences(BTreeMap::new());
            reaping.call_all(key, op, members, out);
        }
    }

    /// A member told its fence, or how far it is. Returns what may go: key, version and fences.
    pub(super) fn on_fence(
        &mut self,
        from: NodeIndex,
        op: OpId,
        (last, closed, hinted): (OpId, OpId, bool),
        members: &Members,
        out: &mut Outgoing<'_>,
    ) {
        let Some((key, reaping)) = self.find(op.number) else { return };
        let Stage::Fences(fences) = &mut reaping.stage else { return };
        let (fence, is_ready) = fences.entry(from).or_insert((last, false));
        *is_ready |= closed >= *fence && !hinted;
        if fences.len() < members.count() || !fences.values().all(|(_, is_ready)| *is_ready) {
            return;
        }
        let message = QuorumMessage::Reap {
            key: key.clone(),
            version: reaping.version.clone(),
            fences: fences
                .iter()
                .map(|(node, (fence, _))| (members.name(*node).clone(), *fence))
                .collect(),
        };
        for home in &reaping.homes {
            out.send(*home, message.clone());
        }
        self.end(op.number);
    }

    /// Makes the unanswered calls again, under an operation of their own: a fence of another key must not refuse them. `holds` says what
    /// is held of a key here; where the tombstone was replaced, it is left alone.
    pub(super) fn keep_time(
        &mut self,
        mono_ns: u64,
        members: &Members,
        holds: impl Fn(&Text) -> Option<Cell>,
        mut next_op: impl FnMut() -> OpId,
        out: &mut Outgoing<'_>,
    ) {
        let is_due = |reaping: &&Reaping| reaping.calls_end_ns <= mono_ns;
        let due: Vec<u64> = self.open.values().filter(is_due).map(|reaping| reaping.number).collect();
        for number in due {
            let Some(key) = self.by_number.remove(&number) else { continue };
            let Some(mut reaping) = self.open.remove(&key) else { continue };
            if holds(&key).as_ref() != Some(&reaping.cell) {
                continue;
            }
            let op = next_op();
            reaping.number = op.number;
            reaping.calls_end_ns = mono_ns.saturating_add(self.call_timeout_ns);
            match &reaping.stage {
                Stage::Holders(_) => reaping.call(&key, op, out),
                Stage::Fences(_) => reaping.call_all(&key, op, members, out),
            }
            self.by_number.insert(op.number, key.clone());
            self.open.insert(key, reaping);
        }
    }

    fn find(&mut self, number: u64) -> Option<(&Text, &mut Reaping)> {
        let key = self.by_number.get(&number)?;
        Some((key, self.open.get_mut(key)?))
    }

    fn end(&mut self, number: u64) {
        if let Some(key) = self.by_number.remove(&number) {
            self.open.remove(&key);
        }
    }
}

impl Reaping {
    /// Step 1, to the home replicas that have not acknowledged.
    fn call(&self, key: &Text, op: OpId, out: &mut Outgoing<'_>) {
        let Stage::Holders(holders) = &self.stage else { return };
        for home in self.homes.iter().filter(|home| !holders.contains(home)) {
            if let Some(message) = QuorumMessage::write(op, key.clone(), &self.cell) {
                out.send(*home, message);
            }
        }
    }

    /// Step 2, to the members that are not ready.
    fn call_all(&self, key: &Text, op: OpId, members: &Members, out: &mut Outgoing<'_>) {
        let Stage::Fences(fences) = &self.stage else { return };
        for member in members.indices() {
            if fences.get(&member).is_none_or(|(_, is_ready)| !is_ready) {
                let key = key.clone();
                out.send(member, QuorumMessage::Fence { op, key });
            }
        }
    }
}
