//! The coordinator: operations that are open at this node, from the client's request to the reply.
//!
//! The rules of an operation are in `put` and `get`; here they meet replicas' answers, deadlines and the trace. A put that was answered
//! before all home replicas acknowledged it stays here as a [`Trail`] for one call timeout: most of them come a moment later, and what then
//! is missing becomes a hint.

use std::collections::{BTreeMap, BTreeSet};

use super::cell::{Cell, Stored};
use super::config::{QuorumConfig, VersionScheme};
use super::get::Step;
use super::message::{OpId, Shown};
use super::outgoing::Outgoing;
use super::version_source::{Made, VersionSource};
use super::work::{Trail, Work};
use crate::bugs::Bug;
use crate::core::{ClientRef, Now};
use crate::members::{NodeIndex, Text};
use crate::message::{Outcome, RequestHeader, SiblingSeen};
use crate::trace::{ReplySeen, TraceEvent, value_id};

/// Open operations at most. A client that waits for its answers has one; thousands mean that answers do not come.
const OPEN_MAX: usize = 8192;

/// Bytes of keys and values in open operations at most.
const OPEN_BYTES_MAX: usize = 128 << 20;

/// Trails at most, and their bytes. With a home replica away every put leaves one; what finds no place is left to anti-entropy.
const TRAILS_MAX: usize = 4096;
const TRAIL_BYTES_MAX: usize = 32 << 20;

const NS_PER_MS: u64 = 1_000_000;

/// The open operations of one life of a node.
#[derive(Debug)]
pub(super) struct Coordinator {
    config: QuorumConfig,
    incarnation: u64,
    pub(super) versions: VersionSource,
    open: BTreeMap<u64, Open>,
    open_bytes: usize,
    trails: BTreeMap<u64, Trail>,
    trail_bytes: usize,
    /// (when, operation): its deadline, the end of its present calls, or that of its trail.
    agenda: BTreeSet<(u64, u64)>,
    /// Puts that wait for the hybrid clock.
    parked: BTreeSet<u64>,
    last_op: u64,
    /// What home replicas did not acknowledge, for the core to take.
    unacknowledged: Vec<(NodeIndex, Text, Stored)>,
}

#[derive(Debug)]
struct Open {
    client: ClientRef,
    /// When the operation ends without success.
    deadline_ns: u64,
    timeout_ms: u64,
    /// Its place in the agenda.
    wake_ns: u64,
    work: Work,
}

impl Coordinator {
    pub(super) fn new(config: QuorumConfig, incarnation: u64) -> Coordinator {
        let versions = VersionSource::new(&config, incarnation);
        Coordinator {
            config,
            incarnation,
            versions,
            open: BTreeMap::new(),
            open_bytes: 0,
            trails: BTreeMap::new(),
            trail_bytes: 0,
            agenda: BTreeSet::new(),
            parked: BTreeSet::new(),
            last_op: 0,
            unacknowledged: Vec::new(),
        }
    }

    pub(super) fn open_count(&self) -> usize {
        self.open.len()
    }

    /// When [`Coordinator::keep_time`] has something to do.
    pub(super) fn wake_at_ns(&self, now: Now) -> Option<u64> {
        let rest = self.versions.clock.rest_ends_ns(self.versions.wall_ns(now), now.mono_ns);
        let rest = rest.filter(|_| !self.parked.is_empty());
        self.agenda.first().map(|(at_ns, _)| *at_ns).into_iter().chain(rest).min()
    }

    /// A number for an operation that sends something.
    pub(super) fn next_op(&mut self) -> OpId {
        self.last_op += 1;
        self.op_id(self.last_op)
    }

    /// The operation begun last.
    pub(super) fn last(&self) -> OpId {
        self.op_id(self.last_op)
    }

    /// All operations up to this one have ended, if those of pushes up to `first_push` have.
    pub(super) fn closed(&self, first_push: Option<u64>) -> OpId {
        let first_open = self.open.first_key_value().map(|(number, _)| *number);
        let first_trail = self.trails.first_key_value().map(|(number, _)| *number);
        let first = first_open.into_iter().chain(first_trail).chain(first_push).min();
        self.op_id(first.map_or(self.last_op, |first| first - 1))
    }

    /// What home replicas did not acknowledge since this was asked last.
    pub(super) fn take_unacknowledged(&mut self) -> Vec<(NodeIndex, Text, Stored)> {
        std::mem::take(&mut self.unacknowledged)
    }

    /// Opens an operation and makes its first calls.
    pub(super) fn begin(&mut self, now: Now, client: ClientRef, header: &RequestHeader, work: Work, out: &mut Outgoing<'_>) {
        if self.open.len() >= OPEN_MAX || self.open_bytes + work.byte_count() > OPEN_BYTES_MAX {
            let message = format!("{} operations are open already", self.open.len());
            return out.reply(client, Outcome::failed("overloaded", message));
        }
        self.last_op += 1;
        self.open_bytes += work.byte_count();
        let timeout_ms = header.deadline_ms.unwrap_or(u64::MAX).min(self.config.op_timeout_ms);
        let deadline_ns = now.mono_ns.saturating_add(timeout_ms.saturating_mul(NS_PER_MS));
        let open = Open {
            client,
            deadline_ns,
            timeout_ms,
            wake_ns: 0,
            work,
        };
        if matches!(open.work, Work::Put(_)) && !self.versions.asks_replicas() {
            self.assign(now, self.last_op, open, out);
        } else {
            self.call(now, self.last_op, open, out);
        }
    }

    /// Sends an operation's outstanding calls and keeps it until they are answered or time is up.
    fn call(&mut self, now: Now, number: u64, open: Open, out: &mut Outgoing<'_>) {
        for (home, message) in open.work.calls(self.op_id(number)) {
            out.send(home, message);
        }
        self.wait(now, number, open);
    }

    /// Keeps an operation until its calls are answered or time is up.
    fn wait(&mut self, now: Now, number: u64, mut open: Open) {
        self.agenda.remove(&(open.wake_ns, number));
        let call_ends_ns = now.mono_ns.saturating_add(self.config.call_timeout_ms.saturating_mul(NS_PER_MS));
        open.wake_ns = call_ends_ns.min(open.deadline_ns);
        self.agenda.insert((open.wake_ns, number));
        self.open.insert(number, open);
    }

    /// A link was made: what was sent to this peer before may be lost, so the calls it has not answered are made again, with the same
    /// content.
    pub(super) fn call_again(&mut self, peer: NodeIndex, out: &mut Outgoing<'_>) {
        for (number, open) in &self.open {
            if self.parked.contains(number) {
                continue;
            }
            let calls = open.work.calls(self.op_id(*number));
            for (_, message) in calls.into_iter().filter(|(home, _)| *home == peer) {
                out.send(peer, message);
            }
        }
    }

    /// A replica told what it holds.
    pub(super) fn on_read_reply(&mut self, now: Now, from: NodeIndex, op: OpId, shown: Shown, out: &mut Outgoing<'_>) {
        for stored in shown.cell.iter() {
            self.versions.clock.observe(stored.version.counter);
        }
        let Some(mut open) = self.take(op) else { return };
        let number = op.number;
        match &mut open.work {
            Work::Put(put) => {
                if put.on_version(from, &shown, self.config.majority()) {
                    self.assign(now, number, open, out);
                } else {
                    self.put_back(number, open);
                }
            }
            Work::Get(get) => match get.on_reply(from, shown, self.config.r) {
                Step::Wait => self.put_back(number, open),
                Step::Decide => self.decide_get(now, number, open, out),
                Step::Disagree => self.call(now, number, open, out),
            },
        }
    }

    /// Gives a put its version and sends the value, or lets it wait for the clock.
    fn assign(&mut self, now: Now, number: u64, mut open: Open, out: &mut Outgoing<'_>) {
        let Work::Put(put) = &mut open.work else { return };
        let seen = put.seen();
        match self.versions.next(now, &seen) {
            Made::Version(version, vector) => {
                let (op, key) = (self.op_name(number), put.key.clone());
                out.trace(TraceEvent::Assign {
                    op,
                    key,
                    version: version.clone(),
                    value_id: value_id(put.value.as_ref()),
                    vector: vector.clone(),
                });
                put.assign(version, vector);
                self.parked.remove(&number);
                self.call(now, number, open, out);
            }
            Made::NotYet => {
                self.parked.insert(number);
                self.wait(now, number, open);
            }
            Made::Exhausted => {
                let message = format!("a replica holds counter {}, and there is no version above it", seen.counter);
                self.finish(now, number, open, Outcome::failed("version-exhausted", message), out);
            }
        }
    }

    /// The clock may have come so far that puts need not wait any more.
    pub(super) fn try_parked(&mut self, now: Now, out: &mut Outgoing<'_>) {
        for number in std::mem::take(&mut self.parked) {
            if let Some(open) = self.open.remove(&number) {
                self.assign(now, number, open, out);
            }
        }
    }

    /// Enough replies are there: return what they hold, or make it durable on W replicas first.
    fn decide_get(&mut self, now: Now, number: u64, mut open: Open, out: &mut Outgoing<'_>) {
        let op = self.op_name(number);
        let Work::Get(get) = &mut open.work else { return };
        out.trace(TraceEvent::Get {
            op: op.clone(),
            key: get.key.clone(),
            replies: get
                .replies()
                .iter()
                .map(|reply| self.reply_seen(reply.from, &reply.shown.cell))
                .collect(),
        });
        let Some(newest) = get.found().newest().filter(|_| self.config.write_back) else {
            return self.finish_get(now, number, open, out);
        };
        let holders = get.holders().len();
        let needed = holders < self.config.holders_enough();
        out.trace(TraceEvent::WriteBack {
            op,
            key: get.key.clone(),
            version: newest.version.clone(),
            needed,
            holders,
        });
        if !needed {
            return self.finish_get(now, number, open, out);
        }
        get.write_back();
        // Replicas that replied with the version hold it durably and count. Where that alone reaches W, the setting is unsound anyway
        // (W + majority <= N or R + W <= N); the others are still told.
        let is_done = holders >= self.config.w || self.config.planted.has(Bug::Q04);
        self.call(now, number, open, out);
        if is_done && let Some(open) = self.open.remove(&number) {
            self.finish_get(now, number, open, out);
        }
    }

    fn reply_seen(&self, from: NodeIndex, cell: &Cell) -> ReplySeen {
        let mut versions = cell.versions();
        ReplySeen {
            node: self.config.members.name(from).clone(),
            version: versions.pop(),
            siblings: versions,
        }
    }

    /// A replica holds what the operation sent, or what replaces it, durably. False if it is no operation of a client.
    pub(super) fn on_write_reply(&mut self, now: Now, from: NodeIndex, op: OpId, out: &mut Outgoing<'_>) -> bool {
        let Some(mut open) = self.take(op) else {
            return op.incarnation == self.incarnation && self.on_trail(from, op.number);
        };
        let mut w = self.config.w;
        if self.config.planted.has(Bug::Q01) && (from == self.config.me || open.work.acks().contains(&self.config.me)) {
            w -= 1;
        }
        match &mut open.work {
            Work::Put(put) => match put.on_ack(from, w).then(|| put.version().cloned()).flatten() {
                Some(version) => self.finish(now, op.number, open, Outcome::Stored { version }, out),
                None => self.put_back(op.number, open),
            },
            Work::Get(get) => {
                if get.on_ack(from, w) {
                    self.finish_get(now, op.number, open, out);
                } else {
                    self.put_back(op.number, open);
                }
            }
        }
        true
    }

    /// An answered put was acknowledged once more.
    fn on_trail(&mut self, from: NodeIndex, number: u64) -> bool {
        let Some(trail) = self.trails.get_mut(&number) else { return false };
        trail.missing.retain(|home| *home != from);
        if trail.missing.is_empty() {
            self.end_trail(number);
        }
        true
    }

    fn end_trail(&mut self, number: u64) -> Option<Trail> {
        let trail = self.trails.remove(&number)?;
        self.trail_bytes -= trail.byte_count();
        self.agenda.remove(&(trail.ends_ns, number));
        Some(trail)
    }

    fn finish_get(&mut self, now: Now, number: u64, open: Open, out: &mut Outgoing<'_>) {
        let Work::Get(get) = &open.work else { return };
        let outcome = if self.config.versions == VersionScheme::Vector {
            let siblings = get.found().iter().map(|Stored { version, value, vector }| SiblingSeen {
                value: value.clone(),
                version: version.clone(),
                vector: vector.clone(),
            });
            Outcome::Siblings {
                values: siblings.collect(),
            }
        } else {
            let newest = get.found().newest();
            Outcome::Value {
                value: newest.and_then(|newest| newest.value.clone()),
                version: newest.map(|newest| newest.version.clone()),
            }
        };
        self.finish(now, number, open, outcome, out);
    }

    /// Ends operations whose deadline passed, makes the unanswered calls of others again, and makes hints of what trails were left with.
    pub(super) fn keep_time(&mut self, now: Now, out: &mut Outgoing<'_>) {
        while let Some((at_ns, number)) = self.agenda.first().copied().filter(|(at_ns, _)| *at_ns <= now.mono_ns) {
            self.agenda.remove(&(at_ns, number));
            if let Some(trail) = self.end_trail(number) {
                self.leave(&trail.key, &trail.cell, &trail.missing);
                continue;
            }
            let mut open = self.open.remove(&number).expect("the agenda names open operations and trails only");
            if now.mono_ns >= open.deadline_ns {
                let outcome = self.timed_out(&open);
                self.finish(now, number, open, outcome, out);
                continue;
            }
            if let Work::Get(get) = &mut open.work {
                get.ask_all_for_values();
            }
            if self.config.planted.has(Bug::Q08)
                && let Some(outcome) = self.count_hints(&mut open)
            {
                self.finish(now, number, open, outcome, out);
                continue;
            }
            if self.parked.contains(&number) {
                self.wait(now, number, open);
            } else {
                self.call(now, number, open, out);
            }
        }
        if !self.parked.is_empty() {
            self.try_parked(now, out);
        }
    }

    /// Q08: keeps hints for the home replicas that are silent, and counts each as the replica's acknowledgement.
    fn count_hints(&mut self, open: &mut Open) -> Option<Outcome> {
        let Work::Put(put) = &mut open.work else { return None };
        let (cell, missing) = put.missing()?;
        self.leave(&put.key, cell, &missing);
        let mut hinted = missing.into_iter().filter(|home| *home != self.config.me);
        let is_done = hinted.any(|home| put.on_ack(home, self.config.w));
        put.version()
            .filter(|_| is_done)
            .cloned()
            .map(|version| Outcome::Stored { version })
    }

    /// A put whose value may have left is unknown; everything else certainly changed nothing.
    fn timed_out(&self, open: &Open) -> Outcome {
        let QuorumConfig { r, w, .. } = self.config;
        let ms = open.timeout_ms;
        match &open.work {
            Work::Put(put) if put.version().is_some() && self.config.planted.has(Bug::Q20) => Outcome::failed(
                "no-quorum",
                format!("{} of {w} replicas acknowledged within {ms} ms", put.acks().len()),
            ),
            Work::Put(put) if put.version().is_some() => Outcome::unknown(
                "timeout",
                format!("{} of {w} replicas acknowledged within {ms} ms", put.acks().len()),
            ),
            Work::Put(_) => {
                let majority = self.config.majority();
                Outcome::failed(
                    "no-quorum",
                    format!("fewer than {majority} replicas told their version within {ms} ms"),
                )
            }
            Work::Get(get) if !get.is_decided() => Outcome::failed(
                "no-quorum",
                format!("{} of {r} replicas replied within {ms} ms", get.replies().len()),
            ),
            Work::Get(_) => Outcome::failed("no-quorum", format!("fewer than {w} replicas took the write-back within {ms} ms")),
        }
    }

    /// Closes an operation: trace, then reply.
    fn finish(&mut self, now: Now, number: u64, open: Open, outcome: Outcome, out: &mut Outgoing<'_>) {
        self.agenda.remove(&(open.wake_ns, number));
        self.parked.remove(&number);
        self.open_bytes -= open.work.byte_count();
        let name = match &outcome {
            Outcome::Failed { .. } => "failed",
            Outcome::Unknown { .. } => "unknown",
            _ => "ok",
        };
        let (f, key, version) = match &open.work {
            Work::Put(put) => {
                let f = if put.value.is_some() { "put" } else { "delete" };
                (f, put.key.clone(), put.version().cloned())
            }
            Work::Get(get) => {
                let newest = get.found().newest();
                ("get", get.key.clone(), newest.map(|newest| newest.version.clone()))
            }
        };
        let acks = open
            .work
            .acks()
            .iter()
            .map(|node| self.config.members.name(*node).clone())
            .collect();
        out.trace(TraceEvent::Done {
            op: self.op_name(number),
            f,
            key,
            outcome: name,
            version,
            acks,
        });
        out.reply(open.client, outcome);
        self.follow_up(now, number, &open.work, name == "ok");
    }

    /// What home replicas have not acknowledged of an answered put: they have a little longer if all went well.
    fn follow_up(&mut self, now: Now, number: u64, work: &Work, went_well: bool) {
        let Work::Put(put) = work else { return };
        let Some((cell, missing)) = put.missing().filter(|(_, missing)| self.config.upkeep.hints && !missing.is_empty()) else {
            return;
        };
        if !went_well {
            return self.leave(&put.key, cell, &missing);
        }
        let trail = Trail {
            key: put.key.clone(),
            cell: cell.clone(),
            missing,
            ends_ns: now.mono_ns.saturating_add(self.config.call_timeout_ms.saturating_mul(NS_PER_MS)),
        };
        if self.trails.len() < TRAILS_MAX && self.trail_bytes + trail.byte_count() <= TRAIL_BYTES_MAX {
            self.trail_bytes += trail.byte_count();
            self.agenda.insert((trail.ends_ns, number));
            self.trails.insert(number, trail);
        }
    }

    /// Leaves to the core what these nodes have not acknowledged. This node itself needs no hint: its own log is late, not lost.
    fn leave(&mut self, key: &Text, cell: &Cell, missing: &[NodeIndex]) {
        for home in missing.iter().filter(|home| **home != self.config.me) {
            let stored = cell.iter().map(|stored| (*home, key.clone(), stored.clone()));
            self.unacknowledged.extend(stored);
        }
    }

    /// Takes an open operation of this life out; an answer to another life, or to a closed operation, finds none.
    fn take(&mut self, op: OpId) -> Option<Open> {
        if op.incarnation != self.incarnation {
            return None;
        }
        self.open.remove(&op.number)
    }

    fn put_back(&mut self, number: u64, open: Open) {
        self.open.insert(number, open);
    }

    fn op_id(&self, number: u64) -> OpId {
        OpId {
            incarnation: self.incarnation,
            number,
        }
    }

    fn op_name(&self, number: u64) -> Text {
        format!("{}/{}/{number}", self.config.members.name(self.config.me), self.incarnation).into()
    }
}
