//! The quorum core: coordinator and replica of one node, stepped by a driver.
//!
//! The operations themselves are in `put` and `get`, the replica in `replica`; here they meet messages, deadlines and the trace.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::config::{QuorumConfig, VersionScheme};
use super::get::Get;
use super::message::{OpId, QuorumMessage};
use super::put::Put;
use super::replica::{Replica, Stored, Taken, Waiter};
use crate::core::{ClientRef, Core, CoreHealth, Effect, Event, Now};
use crate::members::{NodeIndex, Text};
use crate::message::{Outcome, RequestBody, RequestHeader};
use crate::ring::Ring;
use crate::trace::{ReplySeen, TraceEvent, value_id};
use crate::version::Version;

/// Open operations at most. A client that waits for its answers has one; thousands mean that answers do not come.
const OPEN_MAX: usize = 8192;

/// Bytes of keys and values in open operations at most.
const OPEN_BYTES_MAX: usize = 128 << 20;

const NS_PER_MS: u64 = 1_000_000;

type Effects = Vec<Effect<QuorumMessage>>;

/// One node of the quorum store.
#[derive(Debug)]
pub struct QuorumCore {
    config: QuorumConfig,
    ring: Ring,
    incarnation: u64,
    replica: Replica,
    open: BTreeMap<u64, Open>,
    open_bytes: usize,
    /// (when, operation): its deadline or the end of its present calls, whichever is first.
    agenda: BTreeSet<(u64, u64)>,
    /// Messages of the coordinator here to the replica here, and back.
    to_self: VecDeque<QuorumMessage>,
    last_op: u64,
    last_sequence: u64,
    /// The counter of scheme `coordinator-local`.
    local_counter: u64,
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

#[derive(Debug)]
enum Work {
    Put(Put),
    Get(Get),
}

impl Work {
    fn calls(&self, op: OpId) -> (Vec<NodeIndex>, QuorumMessage) {
        match self {
            Work::Put(put) => put.calls(op),
            Work::Get(get) => get.calls(op),
        }
    }

    fn byte_count(&self) -> usize {
        match self {
            Work::Put(put) => put.key.len() + put.value.len(),
            Work::Get(get) => get.key.len(),
        }
    }
}

impl Core for QuorumCore {
    type Message = QuorumMessage;

    fn load(&mut self, record: &[u8]) -> Result<(), String> {
        self.replica.load(record)
    }

    fn step(&mut self, now: Now, event: Event<QuorumMessage>, effects: &mut Effects) {
        self.keep_time(now, effects);
        match event {
            Event::Start { mono_offset_ns } => self.start(mono_offset_ns, effects),
            Event::Request { client, header, body } => self.on_request(now, client, &header, body, effects),
            Event::Message { from, message } => self.on_message(now, from, message, effects),
            Event::Durable { appended } => self.on_durable(appended, effects),
            Event::LinkUp { peer } => self.call_again(peer, effects),
            Event::Wake => {}
        }
        while let Some(message) = self.to_self.pop_front() {
            self.on_message(now, self.config.me, message, effects);
        }
    }

    fn wake_at_ns(&self) -> Option<u64> {
        self.agenda.first().map(|(at_ns, _)| *at_ns)
    }

    fn health(&self) -> CoreHealth {
        CoreHealth {
            keys: self.replica.key_count() as u64,
            open_operations: self.open.len() as u64,
        }
    }
}

impl QuorumCore {
    /// A core for one life of a node. `config` was checked; `incarnation` is durable and was never used before.
    pub fn new(config: QuorumConfig, incarnation: u64) -> QuorumCore {
        let ring = Ring::new(&config.members, config.vnodes);
        QuorumCore {
            config,
            ring,
            incarnation,
            replica: Replica::default(),
            open: BTreeMap::new(),
            open_bytes: 0,
            agenda: BTreeSet::new(),
            to_self: VecDeque::new(),
            last_op: 0,
            last_sequence: 0,
            local_counter: 0,
        }
    }

    /// What this node holds durably of a key; what its replica would show.
    pub fn durable(&self, key: &str) -> Option<&Stored> {
        self.replica.read(key)
    }

    /// Tells the trace how the node was started, and what it found in its log: its former life may have died after an fsync and before
    /// the line that tells of it, and acknowledgements may now rest on that fsync.
    fn start(&self, mono_offset_ns: i64, effects: &mut Effects) {
        let config = &self.config;
        effects.push(Effect::Trace(TraceEvent::Start {
            n: config.n,
            r: config.r,
            w: config.w,
            write_back: config.write_back,
            versions: config.versions.name(),
            members: config.members.names().to_vec(),
            mono_offset_ns,
        }));
        effects.extend(self.replica.all().map(|(key, stored)| Effect::Trace(put_event(key, stored, true))));
    }

    fn on_request(&mut self, now: Now, client: ClientRef, header: &RequestHeader, body: RequestBody, effects: &mut Effects) {
        match body {
            RequestBody::Replicas { key } => {
                let nodes = self
                    .homes(&key)
                    .into_iter()
                    .map(|home| self.config.members.name(home).clone())
                    .collect();
                effects.push(Effect::Reply {
                    client,
                    outcome: Outcome::Replicas { nodes },
                });
            }
            RequestBody::Get { key } => {
                let homes = self.homes(&key);
                self.begin(now, client, header, Work::Get(Get::new(key, homes)), effects);
            }
            RequestBody::Put { key, value } => {
                let homes = self.homes(&key);
                self.begin(now, client, header, Work::Put(Put::new(key, value, homes)), effects);
            }
            RequestBody::Status {} | RequestBody::Hello(_) => {
                effects.push(Effect::Reply {
                    client,
                    outcome: Outcome::failed("bad-request", "not a request for the store"),
                });
            }
        }
    }

    fn homes(&self, key: &str) -> Vec<NodeIndex> {
        self.ring.homes(key, self.config.n)
    }

    /// Opens an operation and makes its first calls.
    fn begin(&mut self, now: Now, client: ClientRef, header: &RequestHeader, work: Work, effects: &mut Effects) {
        if self.open.len() >= OPEN_MAX || self.open_bytes + work.byte_count() > OPEN_BYTES_MAX {
            let message = format!("{} operations are open already", self.open.len());
            effects.push(Effect::Reply {
                client,
                outcome: Outcome::failed("overloaded", message),
            });
            return;
        }
        self.last_op += 1;
        let number = self.last_op;
        let timeout_ms = header.deadline_ms.unwrap_or(u64::MAX).min(self.config.op_timeout_ms);
        let deadline_ns = now.mono_ns.saturating_add(timeout_ms.saturating_mul(NS_PER_MS));
        self.open_bytes += work.byte_count();
        let mut open = Open {
            client,
            deadline_ns,
            timeout_ms,
            wake_ns: 0,
            work,
        };
        if let Work::Put(put) = &mut open.work
            && self.config.versions != VersionScheme::Quorum
        {
            // These schemes ask nobody; only the quorum counter can run out.
            let version = self.next_version(now, 0).expect("a clock or a count of puts does not reach 2^64");
            effects.push(Effect::Trace(assign_event(self.op_name(number), put, &version)));
            put.assign(version);
        }
        self.call(now, number, open, effects);
    }

    /// Sends an operation's outstanding calls and keeps it until they are answered or time is up.
    fn call(&mut self, now: Now, number: u64, mut open: Open, effects: &mut Effects) {
        let (homes, message) = open.work.calls(self.op_id(number));
        for home in homes {
            self.send(home, message.clone(), effects);
        }
        self.agenda.remove(&(open.wake_ns, number));
        let call_ends_ns = now.mono_ns.saturating_add(self.config.call_timeout_ms.saturating_mul(NS_PER_MS));
        open.wake_ns = call_ends_ns.min(open.deadline_ns);
        self.agenda.insert((open.wake_ns, number));
        self.open.insert(number, open);
    }

    /// A link was made: what was sent to this peer before may be lost, so the calls it has not answered are made again, with the same
    /// content.
    fn call_again(&mut self, peer: NodeIndex, effects: &mut Effects) {
        for (number, open) in &self.open {
            let (homes, message) = open.work.calls(self.op_id(*number));
            if homes.contains(&peer) {
                effects.push(Effect::Send { to: peer, message });
            }
        }
    }

    fn send(&mut self, to: NodeIndex, message: QuorumMessage, effects: &mut Effects) {
        if to == self.config.me {
            self.to_self.push_back(message);
        } else {
            effects.push(Effect::Send { to, message });
        }
    }

    fn on_message(&mut self, now: Now, from: NodeIndex, message: QuorumMessage, effects: &mut Effects) {
        match message {
            QuorumMessage::Read { op, key, value_wanted } => {
                let stored = self.replica.read(&key);
                let version = stored.map(|stored| stored.version.clone());
                let value = stored.filter(|_| value_wanted).map(|stored| stored.value.clone());
                self.send(from, QuorumMessage::ReadReply { op, version, value }, effects);
            }
            QuorumMessage::Write { op, key, version, value } => {
                match self.replica.write(key, Stored { version, value }, Waiter { to: from, op }) {
                    Taken::Durable => self.send(from, QuorumMessage::WriteReply { op }, effects),
                    Taken::Pending => {}
                    Taken::Append(record) => effects.push(Effect::Append { record }),
                }
            }
            QuorumMessage::ReadReply { op, version, value } => self.on_read_reply(now, from, op, version, value, effects),
            QuorumMessage::WriteReply { op } => self.on_write_reply(from, op, effects),
        }
    }

    fn on_durable(&mut self, appended: u64, effects: &mut Effects) {
        while let Some(settled) = self.replica.settle_next(appended) {
            effects.push(Effect::Trace(put_event(&settled.key, &settled.stored, false)));
            for waiter in settled.waiters {
                self.send(waiter.to, QuorumMessage::WriteReply { op: waiter.op }, effects);
            }
        }
    }

    fn on_read_reply(&mut self, now: Now, from: NodeIndex, op: OpId, version: Option<Version>, value: Option<Text>, effects: &mut Effects) {
        let Some(mut open) = self.take(op) else { return };
        match &mut open.work {
            Work::Put(put) => {
                let Some(counter) = put.on_version(from, version.as_ref(), self.config.majority()) else {
                    self.open.insert(op.number, open);
                    return;
                };
                let Some(version) = self.next_version(now, counter) else {
                    let message = format!("a replica holds counter {counter}, the largest there is");
                    return self.finish(op.number, open, Outcome::failed("version-exhausted", message), effects);
                };
                effects.push(Effect::Trace(assign_event(self.op_name(op.number), put, &version)));
                put.assign(version);
                self.call(now, op.number, open, effects);
            }
            Work::Get(get) => {
                // A version without its value answers another question; the call is made again.
                let is_answer = version.is_some() == value.is_some();
                let stored = version.zip(value).map(|(version, value)| Stored { version, value });
                if is_answer && get.on_reply(from, stored, self.config.r) {
                    self.decide_get(now, op.number, open, effects);
                } else {
                    self.open.insert(op.number, open);
                }
            }
        }
    }

    /// R replies are there: return the newest, or make it durable on W replicas first.
    fn decide_get(&mut self, now: Now, number: u64, mut open: Open, effects: &mut Effects) {
        let Work::Get(get) = &mut open.work else { return };
        let name = |node: NodeIndex| self.config.members.name(node).clone();
        let op = self.op_name(number);
        let replies = get
            .replies()
            .iter()
            .map(|(node, version)| ReplySeen {
                node: name(*node),
                version: version.clone(),
            })
            .collect();
        effects.push(Effect::Trace(TraceEvent::Get {
            op: op.clone(),
            key: get.key.clone(),
            replies,
        }));
        let Some(Stored { version, .. }) = get.newest().filter(|_| self.config.write_back).cloned() else {
            return self.finish_get(number, open, effects);
        };
        let holders = get.holders().len();
        let needed = holders < self.config.holders_enough();
        effects.push(Effect::Trace(TraceEvent::WriteBack {
            op,
            key: get.key.clone(),
            version,
            needed,
            holders,
        }));
        if !needed {
            return self.finish_get(number, open, effects);
        }
        get.write_back();
        // Replicas that replied with the version hold it durably and count. Where that alone reaches W, the setting is unsound anyway
        // (W + majority <= N); the others are still told.
        let is_done = holders >= self.config.w;
        self.call(now, number, open, effects);
        if is_done && let Some(open) = self.open.remove(&number) {
            self.finish_get(number, open, effects);
        }
    }

    fn on_write_reply(&mut self, from: NodeIndex, op: OpId, effects: &mut Effects) {
        let Some(mut open) = self.take(op) else { return };
        let w = self.config.w;
        let is_done = match &mut open.work {
            Work::Put(put) => put.on_ack(from, w),
            Work::Get(get) => get.on_ack(from, w),
        };
        match &open.work {
            Work::Put(put) if is_done => {
                let version = put.version().expect("only a put with a version counts acknowledgements").clone();
                self.finish(op.number, open, Outcome::Stored { version }, effects);
            }
            Work::Get(_) if is_done => self.finish_get(op.number, open, effects),
            Work::Put(_) | Work::Get(_) => {
                self.open.insert(op.number, open);
            }
        }
    }

    fn finish_get(&mut self, number: u64, open: Open, effects: &mut Effects) {
        let Work::Get(get) = &open.work else { return };
        let (value, version) = get.newest().map(|newest| (newest.value.clone(), newest.version.clone())).unzip();
        self.finish(number, open, Outcome::Value { value, version }, effects);
    }

    /// Ends operations whose deadline passed, and makes the unanswered calls of others again.
    fn keep_time(&mut self, now: Now, effects: &mut Effects) {
        while let Some((_, number)) = self.agenda.first().copied().filter(|(at_ns, _)| *at_ns <= now.mono_ns) {
            let open = self.open.remove(&number).expect("the agenda names open operations only");
            if now.mono_ns < open.deadline_ns {
                self.call(now, number, open, effects);
                continue;
            }
            let outcome = self.timed_out(&open);
            self.finish(number, open, outcome, effects);
        }
    }

    /// A put whose value may have left is unknown; everything else certainly changed nothing.
    fn timed_out(&self, open: &Open) -> Outcome {
        let (majority, ms) = (self.config.majority(), open.timeout_ms);
        match &open.work {
            Work::Put(put) if put.version().is_some() => {
                let message = format!("{} of {} replicas acknowledged within {ms} ms", put.acks().len(), self.config.w);
                Outcome::unknown("timeout", message)
            }
            Work::Put(_) => Outcome::failed(
                "no-quorum",
                format!("fewer than {majority} replicas told their version within {ms} ms"),
            ),
            Work::Get(get) if get.replies().len() < self.config.r => Outcome::failed(
                "no-quorum",
                format!("{} of {} replicas replied within {ms} ms", get.replies().len(), self.config.r),
            ),
            Work::Get(_) => Outcome::failed(
                "no-quorum",
                format!("fewer than {} replicas took the write-back within {ms} ms", self.config.w),
            ),
        }
    }

    /// Closes an operation: trace, then reply.
    fn finish(&mut self, number: u64, open: Open, outcome: Outcome, effects: &mut Effects) {
        self.agenda.remove(&(open.wake_ns, number));
        self.open_bytes -= open.work.byte_count();
        let name = match &outcome {
            Outcome::Failed { .. } => "failed",
            Outcome::Unknown { .. } => "unknown",
            _ => "ok",
        };
        let (f, key, version, acks) = match &open.work {
            Work::Put(put) => ("put", put.key.clone(), put.version().cloned(), put.acks()),
            Work::Get(get) => (
                "get",
                get.key.clone(),
                get.newest().map(|newest| newest.version.clone()),
                get.holders(),
            ),
        };
        let acks = acks.iter().map(|node| self.config.members.name(*node).clone()).collect();
        effects.push(Effect::Trace(TraceEvent::Done {
            op: self.op_name(number),
            f,
            key,
            outcome: name,
            version,
            acks,
        }));
        effects.push(Effect::Reply {
            client: open.client,
            outcome,
        });
    }

    /// Takes an open operation of this life out; an answer to another life, or to a closed operation, finds none.
    fn take(&mut self, op: OpId) -> Option<Open> {
        if op.incarnation != self.incarnation {
            return None;
        }
        self.open.remove(&op.number)
    }

    /// A version never given before: the sequence is used once in this life, and the life is used once. `None` if no larger counter
    /// exists.
    fn next_version(&mut self, now: Now, counter_seen: u64) -> Option<Version> {
        let counter = match self.config.versions {
            VersionScheme::Quorum => counter_seen.checked_add(1)?,
            VersionScheme::WallClock => {
                let offset_ns = self.config.clock_offset_ms.saturating_mul(NS_PER_MS.cast_signed());
                now.wall_ns.saturating_add_signed(offset_ns)
            }
            VersionScheme::CoordinatorLocal => {
                self.local_counter += 1;
                self.local_counter
            }
        };
        self.last_sequence += 1;
        let node = self.config.members.name(self.config.me).clone();
        Some(Version {
            counter,
            node,
            incarnation: self.incarnation,
            sequence: self.last_sequence,
        })
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

fn assign_event(op: Text, put: &Put, version: &Version) -> TraceEvent {
    TraceEvent::Assign {
        op,
        key: put.key.clone(),
        version: version.clone(),
        value_id: value_id(&put.value),
    }
}

fn put_event(key: &Text, stored: &Stored, replayed: bool) -> TraceEvent {
    TraceEvent::Put {
        key: key.clone(),
        version: stored.version.clone(),
        value_id: value_id(&stored.value),
        durable: true,
        replayed,
    }
}
