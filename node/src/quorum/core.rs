//! The quorum core: coordinator, replica and upkeep of one node behind the events of a driver.

use std::collections::VecDeque;

use super::anti_entropy::{self, AntiEntropy};
use super::cell::{Cell, Stored};
use super::config::{QuorumConfig, Reaping};
use super::coordinator::Coordinator;
use super::get::Get;
use super::hints::Hints;
use super::log::{Log, Settled};
use super::message::{OpId, Part, QuorumMessage, Shown, cell_of};
use super::outgoing::Outgoing;
use super::pushes::{Cause, Push, Pushes};
use super::put::Put;
use super::reaper::Reaper;
use super::record::{self, Entry};
use super::replica::{Replica, Taken, Waiter};
use super::work::Work;
use crate::bugs::Bug;
use crate::core::{ClientRef, Core, CoreHealth, Effect, Event, Now};
use crate::members::{NodeIndex, Text};
use crate::message::{Outcome, RequestBody, RequestHeader};
use crate::ring::Ring;
use crate::trace::{TraceEvent, value_id};
use crate::version::Version;

const NS_PER_MS: u64 = 1_000_000;

/// One node of the quorum store.
#[derive(Debug)]
pub struct QuorumCore {
    config: QuorumConfig,
    ring: Ring,
    coordinator: Coordinator,
    replica: Replica,
    log: Log,
    hints: Hints,
    pushes: Pushes,
    anti_entropy: AntiEntropy,
    reaper: Reaper,
    /// When hints are sent to everybody again, on the monotonic clock in ns.
    hints_due_ns: u64,
    /// The time of the last step.
    now: Now,
    /// Messages of this node to itself. Empty between steps.
    to_self: VecDeque<QuorumMessage>,
}

impl Core for QuorumCore {
    type Message = QuorumMessage;

    fn load(&mut self, record: &[u8]) -> Result<(), String> {
        match record::decode(record)? {
            Entry::Put { stored, .. } if stored.value.is_none() && self.config.planted.has(Bug::Q19) => {}
            Entry::Put { key, stored } => {
                self.coordinator.versions.clock.observe(stored.version.counter);
                self.replica.settle_put(0, &key, stored);
            }
            Entry::Hint { to, key, stored } => {
                let to = self.member(&to)?;
                self.hints.load(to, key, stored);
            }
            Entry::HintEnd { to, key } => {
                let to = self.member(&to)?;
                self.hints.load_end(to, key);
            }
            Entry::Reap { key, version, fences } => {
                self.replica.load_reap(key, version, &fences, &self.config.members);
            }
            Entry::Clock { ceiling } => self.coordinator.versions.clock.load(ceiling),
        }
        Ok(())
    }

    fn step(&mut self, now: Now, event: Event<QuorumMessage>, effects: &mut Vec<Effect<QuorumMessage>>) {
        self.now = now;
        let mut to_self = std::mem::take(&mut self.to_self);
        let mut out = Outgoing {
            me: self.config.me,
            effects,
            to_self: &mut to_self,
        };
        self.coordinator.keep_time(now, &mut out);
        // At once: a fence that is asked for must find either the operation open or its hint kept.
        self.keep_hints(&mut out);
        match event {
            Event::Start { mono_offset_ns } => self.start(now, mono_offset_ns, &mut out),
            Event::Request { client, header, body } => self.on_request(now, client, &header, body, &mut out),
            Event::Message { from, message } => self.on_message(now, from, message, &mut out),
            Event::Durable { appended } => self.on_durable(now, appended, &mut out),
            Event::LinkUp { peer } => {
                self.coordinator.call_again(peer, &mut out);
                self.send_hints(now, peer, &mut out);
            }
            Event::Wake => {}
        }
        self.keep_up(now, &mut out);
        while let Some(message) = out.to_self.pop_front() {
            self.on_message(now, self.config.me, message, &mut out);
        }
        if let Some(ceiling) = self.coordinator.versions.clock.take_wanted() {
            self.log.append(Entry::Clock { ceiling }, &mut out);
        }
        self.to_self = to_self;
    }

    fn wake_at_ns(&self) -> Option<u64> {
        let hints = (!self.hints.is_empty()).then_some(self.hints_due_ns);
        [
            self.coordinator.wake_at_ns(self.now),
            self.pushes.wake_at_ns(),
            self.anti_entropy.wake_at_ns(),
            self.reaper.wake_at_ns(),
            hints,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn health(&self) -> CoreHealth {
        CoreHealth {
            keys: self.replica.key_count() as u64,
            open_operations: self.coordinator.open_count() as u64,
        }
    }

    fn domain(&self) -> Option<Text> {
        self.config.domains.get(usize::from(self.config.me.0)).cloned()
    }
}

impl QuorumCore {
    /// A core for one life of a node. `config` was checked; `incarnation` is durable and was never used before.
    pub fn new(config: QuorumConfig, incarnation: u64) -> QuorumCore {
        let ring = Ring::new(&config.members, config.vnodes).spread_over(&config.domains);
        let ns = |ms: u64| ms.saturating_mul(NS_PER_MS);
        let peers = config.members.indices().filter(|peer| *peer != config.me).collect();
        QuorumCore {
            ring,
            coordinator: Coordinator::new(config.clone(), incarnation),
            replica: Replica::default(),
            log: Log::default(),
            hints: Hints::default(),
            pushes: Pushes::default(),
            anti_entropy: AntiEntropy::new(ns(config.upkeep.anti_entropy_ms), peers),
            reaper: Reaper::new(ns(config.upkeep.reap_after_ms), ns(config.call_timeout_ms)),
            hints_due_ns: 0,
            now: Now { mono_ns: 0, wall_ns: 0 },
            to_self: VecDeque::new(),
            config,
        }
    }

    /// The newest of what this node holds durably of a key; what its replica would show.
    pub fn durable(&self, key: &str) -> Option<&Stored> {
        self.replica.read(key).and_then(Cell::newest)
    }

    /// All that this node holds durably of a key.
    pub fn siblings(&self, key: &str) -> Option<&Cell> {
        self.replica.read(key)
    }

    fn member(&self, name: &str) -> Result<NodeIndex, String> {
        let member = self.config.members.index(name);
        member.ok_or_else(|| format!("a record names `{}`, which is no member", name.escape_default()))
    }

    /// Tells the trace how the node was started, and what it found in its log: its former life may have died after an fsync and before
    /// the line that tells of it, and acknowledgements may now rest on that fsync.
    fn start(&mut self, now: Now, mono_offset_ns: i64, out: &mut Outgoing<'_>) {
        let config = &self.config;
        out.trace(TraceEvent::Start {
            n: config.n,
            r: config.r,
            w: config.w,
            write_back: config.write_back,
            versions: config.versions.name(),
            reaping: config.upkeep.reaping.name(),
            // A node turns to its peers one after another.
            anti_entropy_ms: config.upkeep.anti_entropy_ms.saturating_mul(config.members.count() as u64 - 1),
            members: config.members.names().to_vec(),
            mono_offset_ns,
        });
        self.coordinator.versions.clock.start(now.mono_ns);
        self.anti_entropy.start(now.mono_ns);
        for (key, version) in self.replica.take_reaped() {
            let replayed = true;
            out.trace(TraceEvent::Reap { key, version, replayed });
        }
        let mut tombstones = Vec::new();
        for (key, cell) in self.replica.all() {
            for stored in cell.iter() {
                out.trace(put_event(key, stored, true));
            }
            tombstones.extend(cell.tombstone().map(|_| key.clone()));
        }
        tombstones.iter().for_each(|key| self.watch_tombstone(now, key));
    }

    fn on_request(&mut self, now: Now, client: ClientRef, header: &RequestHeader, body: RequestBody, out: &mut Outgoing<'_>) {
        match body {
            RequestBody::Replicas { key } => {
                let homes = self.homes(&key);
                let nodes = homes.into_iter().map(|home| self.config.members.name(home).clone()).collect();
                out.reply(client, Outcome::Replicas { nodes });
            }
            RequestBody::Get { key } => {
                let homes = self.homes(&key);
                let nearest = homes.iter().find(|home| **home == self.config.me).or(homes.first()).copied();
                let full = nearest.filter(|_| self.config.digest_reads);
                let get = Work::Get(Get::new(key, homes, full, self.config.planted));
                self.coordinator.begin(now, client, header, get, out);
            }
            RequestBody::Put { key, value } => self.begin_put(now, client, header, key, Some(value), out),
            RequestBody::Delete { key } => self.begin_put(now, client, header, key, None, out),
            _ => {
                out.reply(client, Outcome::failed("bad-request", "not a request for the store"));
            }
        }
    }

    fn begin_put(&mut self, now: Now, client: ClientRef, header: &RequestHeader, key: Text, value: Option<Text>, out: &mut Outgoing<'_>) {
        let homes = self.homes(&key);
        let put = Work::Put(Put::new(key, value, homes));
        self.coordinator.begin(now, client, header, put, out);
    }

    fn homes(&self, key: &str) -> Vec<NodeIndex> {
        self.ring.homes(key, self.config.n)
    }

    fn on_message(&mut self, now: Now, from: NodeIndex, message: QuorumMessage, out: &mut Outgoing<'_>) {
        match message {
            QuorumMessage::Read {
                op,
                key,
                value_wanted,
                digest,
            } => {
                let part = match (value_wanted, digest) {
                    (true, _) => Part::Values,
                    (false, true) => Part::Digest,
                    (false, false) => Part::Versions,
                };
                let reply = QuorumMessage::read_reply(op, self.replica.read(&key), part, self.replica.floor());
                out.send(from, reply);
            }
            QuorumMessage::ReadReply {
                op,
                version,
                value,
                deleted,
                vector,
                siblings,
                checksum,
                floor,
            } => {
                let has_values = version.is_none() || value.is_some() || deleted;
                let cell = version.map(|version| cell_of(version, value, vector, siblings)).unwrap_or_default();
                let shown = Shown {
                    cell,
                    has_values,
                    checksum,
                    floor,
                };
                self.coordinator.on_read_reply(now, from, op, shown, out);
            }
            QuorumMessage::Write {
                op,
                key,
                version,
                value,
                vector,
                siblings,
            } => {
                let cell = cell_of(version, value, vector, siblings);
                self.on_write(from, op, key, &cell, out);
            }
            QuorumMessage::WriteReply { op } => self.on_write_reply(now, from, op, out),
            QuorumMessage::Compare { after, until, held } => self.on_compare(now, from, (after.as_ref(), until.as_ref()), &held, out),
            QuorumMessage::Want { keys } => keys.iter().for_each(|key| self.repair(now, from, key, out)),
            QuorumMessage::Fence { op, key } => {
                let reply = QuorumMessage::FenceReply {
                    op,
                    last: self.coordinator.last(),
                    closed: self.coordinator.closed(self.pushes.first_open()),
                    hinted: self.hints.has(&key, &self.config.members),
                };
                out.send(from, reply);
            }
            QuorumMessage::FenceReply { op, last, closed, hinted } => {
                if op.incarnation == self.coordinator.last().incarnation {
                    self.reaper.on_fence(from, op, (last, closed, hinted), &self.config.members, out);
                }
            }
            QuorumMessage::Reap { key, version, fences } => self.replica.reap(&key, &version, fences, &mut self.log, out),
        }
    }

    fn on_write(&mut self, from: NodeIndex, op: OpId, key: Text, cell: &Cell, out: &mut Outgoing<'_>) {
        for stored in cell.iter() {
            self.coordinator.versions.clock.observe(stored.version.counter);
        }
        match self.replica.write(key, cell, Waiter { to: from, op }, &mut self.log, out) {
            Taken::Pending if self.config.planted.has(Bug::Q15) => out.send(from, QuorumMessage::WriteReply { op }),
            Taken::Durable => out.send(from, QuorumMessage::WriteReply { op }),
            Taken::Pending | Taken::Refused => {}
        }
    }

    fn on_write_reply(&mut self, now: Now, from: NodeIndex, op: OpId, out: &mut Outgoing<'_>) {
        if op.incarnation != self.coordinator.last().incarnation || self.coordinator.on_write_reply(now, from, op, out) {
            return;
        }
        let Some(push) = self.pushes.on_ack(from, op.number) else {
            return self.reaper.on_held(from, op, &self.config.members, out);
        };
        match push.cause {
            Cause::Hint => {
                let disk = (&self.config.members, &mut self.log);
                self.hints.delivered(from, &push.key, &push.cell, disk, out);
                self.send_hints(now, from, out);
            }
            Cause::Repair => {
                if let Some(newest) = push.cell.newest() {
                    out.trace(TraceEvent::Repair {
                        to: self.config.members.name(from).clone(),
                        key: push.key,
                        version: newest.version.clone(),
                    });
                }
            }
        }
    }

    fn on_durable(&mut self, now: Now, appended: u64, out: &mut Outgoing<'_>) {
        while let Some(Settled { number, entry, waiters }) = self.log.settle_next(appended) {
            match entry {
                Entry::Put { key, stored } => {
                    out.trace(put_event(&key, &stored, false));
                    self.replica.settle_put(number, &key, stored);
                    self.watch_tombstone(now, &key);
                }
                Entry::Hint { to, key, stored } => out.trace(TraceEvent::HintStore {
                    to,
                    key,
                    version: stored.version,
                }),
                Entry::HintEnd { to, key } => {
                    if let Some(to) = self.config.members.index(&to) {
                        self.hints.settle_end(number, to, &key);
                    }
                }
                Entry::Reap { key, version, fences } => {
                    if self.replica.settle_reap(number, &key, &version, &fences, &self.config.members) {
                        let replayed = false;
                        out.trace(TraceEvent::Reap { key, version, replayed });
                    }
                }
                Entry::Clock { ceiling } => {
                    self.coordinator.versions.clock.settle(ceiling);
                    self.coordinator.try_parked(now, out);
                }
            }
            for waiter in waiters {
                out.send(waiter.to, QuorumMessage::WriteReply { op: waiter.op });
            }
        }
    }

    /// Keeps for home replicas what they have not acknowledged.
    fn keep_hints(&mut self, out: &mut Outgoing<'_>) {
        for (to, key, stored) in self.coordinator.take_unacknowledged() {
            let disk = (&self.config.members, &mut self.log);
            self.hints.keep(to, &key, &stored, disk, out);
        }
    }

    /// What is due by time alone.
    fn keep_up(&mut self, now: Now, out: &mut Outgoing<'_>) {
        self.pushes.keep_time(now.mono_ns);
        if !self.hints.is_empty() && self.hints_due_ns <= now.mono_ns {
            self.hints_due_ns = now.mono_ns.saturating_add(self.config.call_timeout_ms.saturating_mul(NS_PER_MS));
            for peer in self.config.members.indices() {
                self.send_hints(now, peer, out);
            }
        }
        let (ring, config) = (&self.ring, &self.config);
        let shares = |key: &Text, peer: NodeIndex| are_homes(ring, config, key, peer);
        if let Some((peer, message)) = self.anti_entropy.next(now.mono_ns, &self.replica, shares) {
            out.send(peer, message);
        }
        self.keep_reaping(now, out);
    }

    fn keep_reaping(&mut self, now: Now, out: &mut Outgoing<'_>) {
        let (replica, coordinator) = (&self.replica, &mut self.coordinator);
        let holds = |key: &Text| replica.read(key).cloned();
        self.reaper
            .keep_time(now.mono_ns, &self.config.members, holds, || coordinator.next_op(), out);
        while let Some(key) = self.reaper.next_due(now.mono_ns) {
            let Some(cell) = self.replica.read(&key) else { continue };
            match (self.config.upkeep.reaping, cell.tombstone()) {
                (Reaping::Safe, Some(tombstone)) if self.config.planted.has(Bug::Q14) => {
                    let version = tombstone.version.clone();
                    for home in self.ring.homes(&key, self.config.n) {
                        let (key, version, fences) = (key.clone(), version.clone(), Vec::new());
                        out.send(home, QuorumMessage::Reap { key, version, fences });
                    }
                }
                (Reaping::Safe, Some(_)) => {
                    let (homes, op) = (self.ring.homes(&key, self.config.n), self.coordinator.next_op());
                    self.reaper.begin(now.mono_ns, &key, cell, homes, op, out);
                }
                (Reaping::Grace, Some(tombstone)) => {
                    let version = tombstone.version.clone();
                    self.replica.reap(&key, &version, Vec::new(), &mut self.log, out);
                }
                _ => {}
            }
        }
    }

    /// A key may hold a tombstone now: whoever is to let it go looks at it later.
    fn watch_tombstone(&mut self, now: Now, key: &Text) {
        let is_mine = match self.config.upkeep.reaping {
            Reaping::Safe => self.homes(key).first() == Some(&self.config.me),
            Reaping::Grace => true,
            Reaping::Never => false,
        };
        if is_mine && self.replica.read(key).is_some_and(|cell| cell.tombstone().is_some()) {
            self.reaper.watch(now.mono_ns, key);
        }
    }

    fn send_hints(&mut self, now: Now, to: NodeIndex, out: &mut Outgoing<'_>) {
        let has_room = |key: &Text| self.pushes.has_room(to, key, Cause::Hint);
        let due: Vec<(Text, Cell)> = (self.hints.due(to).filter(|(key, _)| has_room(key)))
            .take(PUSHES_AT_ONCE)
            .map(|(key, cell)| (key.clone(), cell.clone()))
            .collect();
        due.into_iter()
            .for_each(|(key, cell)| self.push(now, to, key, cell, Cause::Hint, out));
    }

    fn on_compare(
        &mut self,
        now: Now,
        from: NodeIndex,
        range: (Option<&Text>, Option<&Text>),
        told: &[(Text, Vec<Version>)],
        out: &mut Outgoing<'_>,
    ) {
        let shares = |key: &Text| are_homes(&self.ring, &self.config, key, from);
        let difference = anti_entropy::compare(&self.replica, range, told, shares);
        for key in &difference.send {
            self.repair(now, from, key, out);
        }
        if !difference.want.is_empty() {
            out.send(from, QuorumMessage::Want { keys: difference.want });
        }
    }

    /// Sends a peer what is held of a key, if both keep it.
    fn repair(&mut self, now: Now, to: NodeIndex, key: &Text, out: &mut Outgoing<'_>) {
        if !are_homes(&self.ring, &self.config, key, to) {
            return;
        }
        if let Some(cell) = self.replica.read(key).cloned() {
            self.push(now, to, key.clone(), cell, Cause::Repair, out);
        }
    }

    /// Sends a value of this node's own accord, if there is room for it now.
    fn push(&mut self, now: Now, to: NodeIndex, key: Text, cell: Cell, cause: Cause, out: &mut Outgoing<'_>) {
        let Some(version) = cell.newest().map(|newest| newest.version.clone()) else {
            return;
        };
        let op = self.coordinator.next_op();
        let message = QuorumMessage::write(op, key.clone(), &cell).filter(|_| self.pushes.has_room(to, &key, cause));
        let Some(message) = message else { return };
        if cause == Cause::Hint {
            let (to, key) = (self.config.members.name(to).clone(), key.clone());
            out.trace(TraceEvent::HintSend { to, key, version });
        }
        let ends_ns = now.mono_ns.saturating_add(self.config.call_timeout_ms.saturating_mul(NS_PER_MS));
        let push = Push {
            to,
            key,
            cell,
            cause,
            ends_ns,
        };
        self.pushes.begin(op.number, push);
        out.send(to, message);
    }
}

/// Hints collected for one node at once at most; the next ones follow as these are acknowledged.
const PUSHES_AT_ONCE: usize = 64;

/// Whether this node and the peer both keep a key.
fn are_homes(ring: &Ring, config: &QuorumConfig, key: &Text, peer: NodeIndex) -> bool {
    let homes = ring.homes(key, config.n);
    homes.contains(&config.me) && homes.contains(&peer)
}

fn put_event(key: &Text, stored: &Stored, replayed: bool) -> TraceEvent {
    TraceEvent::Put {
        key: key.clone(),
        version: stored.version.clone(),
        value_id: value_id(stored.value.as_ref()),
        durable: true,
        replayed,
        vector: stored.vector.clone(),
    }
}
