//! The quorum core: coordinator and replica of one node behind the events of a driver.

use std::collections::VecDeque;

use super::config::QuorumConfig;
use super::coordinator::{Coordinator, Work};
use super::get::Get;
use super::message::QuorumMessage;
use super::outgoing::Outgoing;
use super::put::Put;
use super::replica::{Replica, Stored, Taken, Waiter};
use crate::core::{ClientRef, Core, CoreHealth, Effect, Event, Now};
use crate::members::{NodeIndex, Text};
use crate::message::{Outcome, RequestBody, RequestHeader};
use crate::ring::Ring;
use crate::trace::{TraceEvent, value_id};

/// One node of the quorum store.
#[derive(Debug)]
pub struct QuorumCore {
    config: QuorumConfig,
    ring: Ring,
    coordinator: Coordinator,
    replica: Replica,
    /// Messages of the coordinator here to the replica here, and back. Empty between steps.
    to_self: VecDeque<QuorumMessage>,
}

impl Core for QuorumCore {
    type Message = QuorumMessage;

    fn load(&mut self, record: &[u8]) -> Result<(), String> {
        self.replica.load(record)
    }

    fn step(&mut self, now: Now, event: Event<QuorumMessage>, effects: &mut Vec<Effect<QuorumMessage>>) {
        let mut to_self = std::mem::take(&mut self.to_self);
        let mut out = Outgoing {
            me: self.config.me,
            effects,
            to_self: &mut to_self,
        };
        self.coordinator.keep_time(now, &mut out);
        match event {
            Event::Start { mono_offset_ns } => self.start(mono_offset_ns, &mut out),
            Event::Request { client, header, body } => self.on_request(now, client, &header, body, &mut out),
            Event::Message { from, message } => self.on_message(now, from, message, &mut out),
            Event::Durable { appended } => self.on_durable(appended, &mut out),
            Event::LinkUp { peer } => self.coordinator.call_again(peer, &mut out),
            Event::Wake => {}
        }
        while let Some(message) = out.to_self.pop_front() {
            self.on_message(now, self.config.me, message, &mut out);
        }
        self.to_self = to_self;
    }

    fn wake_at_ns(&self) -> Option<u64> {
        self.coordinator.wake_at_ns()
    }

    fn health(&self) -> CoreHealth {
        CoreHealth {
            keys: self.replica.key_count() as u64,
            open_operations: self.coordinator.open_count() as u64,
        }
    }
}

impl QuorumCore {
    /// A core for one life of a node. `config` was checked; `incarnation` is durable and was never used before.
    pub fn new(config: QuorumConfig, incarnation: u64) -> QuorumCore {
        let ring = Ring::new(&config.members, config.vnodes);
        let coordinator = Coordinator::new(config.clone(), incarnation);
        QuorumCore {
            config,
            ring,
            coordinator,
            replica: Replica::default(),
            to_self: VecDeque::new(),
        }
    }

    /// What this node holds durably of a key; what its replica would show.
    pub fn durable(&self, key: &str) -> Option<&Stored> {
        self.replica.read(key)
    }

    /// Tells the trace how the node was started, and what it found in its log: its former life may have died after an fsync and before
    /// the line that tells of it, and acknowledgements may now rest on that fsync.
    fn start(&self, mono_offset_ns: i64, out: &mut Outgoing<'_>) {
        let config = &self.config;
        out.trace(TraceEvent::Start {
            n: config.n,
            r: config.r,
            w: config.w,
            write_back: config.write_back,
            versions: config.versions.name(),
            members: config.members.names().to_vec(),
            mono_offset_ns,
        });
        for (key, stored) in self.replica.all() {
            out.trace(put_event(key, stored, true));
        }
    }

    fn on_request(&mut self, now: Now, client: ClientRef, header: &RequestHeader, body: RequestBody, out: &mut Outgoing<'_>) {
        match body {
            RequestBody::Replicas { key } => {
                let nodes = self
                    .homes(&key)
                    .into_iter()
                    .map(|home| self.config.members.name(home).clone())
                    .collect();
                out.reply(client, Outcome::Replicas { nodes });
            }
            RequestBody::Get { key } => {
                let homes = self.homes(&key);
                self.coordinator.begin(now, client, header, Work::Get(Get::new(key, homes)), out);
            }
            RequestBody::Put { key, value } => {
                let homes = self.homes(&key);
                self.coordinator
                    .begin(now, client, header, Work::Put(Put::new(key, value, homes)), out);
            }
            _ => {
                out.reply(client, Outcome::failed("bad-request", "not a request for the store"));
            }
        }
    }

    fn homes(&self, key: &str) -> Vec<NodeIndex> {
        self.ring.homes(key, self.config.n)
    }

    fn on_message(&mut self, now: Now, from: NodeIndex, message: QuorumMessage, out: &mut Outgoing<'_>) {
        match message {
            QuorumMessage::Read { op, key, value_wanted } => {
                let stored = self.replica.read(&key);
                let version = stored.map(|stored| stored.version.clone());
                let value = stored.filter(|_| value_wanted).map(|stored| stored.value.clone());
                out.send(from, QuorumMessage::ReadReply { op, version, value });
            }
            QuorumMessage::Write { op, key, version, value } => {
                match self.replica.write(key, Stored { version, value }, Waiter { to: from, op }) {
                    Taken::Durable => out.send(from, QuorumMessage::WriteReply { op }),
                    Taken::Pending => {}
                    Taken::Append(record) => out.effects.push(Effect::Append { record }),
                }
            }
            QuorumMessage::ReadReply { op, version, value } => self.coordinator.on_read_reply(now, from, op, version, value, out),
            QuorumMessage::WriteReply { op } => self.coordinator.on_write_reply(from, op, out),
        }
    }

    fn on_durable(&mut self, appended: u64, out: &mut Outgoing<'_>) {
        while let Some(settled) = self.replica.settle_next(appended) {
            out.trace(put_event(&settled.key, &settled.stored, false));
            for waiter in settled.waiters {
                out.send(waiter.to, QuorumMessage::WriteReply { op: waiter.op });
            }
        }
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
