//! The coordinator: operations that are open at this node, from the client's request to the reply.
//!
//! The rules of an operation are in `put` and `get`; here they meet replicas' answers, deadlines and the trace.

use std::collections::{BTreeMap, BTreeSet};

use super::config::QuorumConfig;
use super::get::Get;
use super::message::{OpId, QuorumMessage};
use super::outgoing::Outgoing;
use super::put::Put;
use super::replica::Stored;
use super::version_source::VersionSource;
use crate::core::{ClientRef, Now};
use crate::members::{NodeIndex, Text};
use crate::message::{Outcome, RequestHeader};
use crate::trace::{ReplySeen, TraceEvent, value_id};
use crate::version::Version;

/// Open operations at most. A client that waits for its answers has one; thousands mean that answers do not come.
const OPEN_MAX: usize = 8192;

/// Bytes of keys and values in open operations at most.
const OPEN_BYTES_MAX: usize = 128 << 20;

const NS_PER_MS: u64 = 1_000_000;

/// The open operations of one life of a node.
#[derive(Debug)]
pub(super) struct Coordinator {
    config: QuorumConfig,
    incarnation: u64,
    versions: VersionSource,
    open: BTreeMap<u64, Open>,
    open_bytes: usize,
    /// (when, operation): its deadline or the end of its present calls, whichever is first.
    agenda: BTreeSet<(u64, u64)>,
    last_op: u64,
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

/// What an operation does.
#[derive(Debug)]
pub(super) enum Work {
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

impl Coordinator {
    pub(super) fn new(config: QuorumConfig, incarnation: u64) -> Coordinator {
        let versions = VersionSource::new(&config, incarnation);
        let (open, agenda) = (BTreeMap::new(), BTreeSet::new());
        Coordinator {
            config,
            incarnation,
            versions,
            open,
            open_bytes: 0,
            agenda,
            last_op: 0,
        }
    }

    pub(super) fn open_count(&self) -> usize {
        self.open.len()
    }

    /// When [`Coordinator::keep_time`] has something to do.
    pub(super) fn wake_at_ns(&self) -> Option<u64> {
        self.agenda.first().map(|(at_ns, _)| *at_ns)
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
            self.assign(now, self.last_op, open, 0, out);
        } else {
            self.call(now, self.last_op, open, out);
        }
    }

    /// Sends an operation's outstanding calls and keeps it until they are answered or time is up.
    fn call(&mut self, now: Now, number: u64, mut open: Open, out: &mut Outgoing<'_>) {
        let (homes, message) = open.work.calls(self.op_id(number));
        for home in homes {
            out.send(home, message.clone());
        }
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
            let (homes, message) = open.work.calls(self.op_id(*number));
            if homes.contains(&peer) {
                out.send(peer, message);
            }
        }
    }

    /// A replica told what it holds.
    pub(super) fn on_read_reply(
        &mut self,
        now: Now,
        from: NodeIndex,
        op: OpId,
        version: Option<Version>,
        value: Option<Text>,
        out: &mut Outgoing<'_>,
    ) {
        let Some(mut open) = self.take(op) else { return };
        let number = op.number;
        match &mut open.work {
            Work::Put(put) => match put.on_version(from, version.as_ref(), self.config.majority()) {
                Some(counter_seen) => self.assign(now, number, open, counter_seen, out),
                None => self.put_back(number, open),
            },
            Work::Get(get) => {
                // A version without its value answers another question; the call is made again.
                let is_answer = version.is_some() == value.is_some();
                let stored = version.zip(value).map(|(version, value)| Stored { version, value });
                if is_answer && get.on_reply(from, stored, self.config.r) {
                    self.decide_get(now, number, open, out);
                } else {
                    self.put_back(number, open);
                }
            }
        }
    }

    /// Gives a put its version and sends the value.
    fn assign(&mut self, now: Now, number: u64, mut open: Open, counter_seen: u64, out: &mut Outgoing<'_>) {
        let Some(version) = self.versions.next(now, counter_seen) else {
            let message = format!("a replica holds counter {counter_seen}, the largest there is");
            return self.finish(number, open, Outcome::failed("version-exhausted", message), out);
        };
        if let Work::Put(put) = &mut open.work {
            let (op, key) = (self.op_name(number), put.key.clone());
            out.trace(TraceEvent::Assign {
                op,
                key,
                version: version.clone(),
                value_id: value_id(&put.value),
            });
            put.assign(version);
        }
        self.call(now, number, open, out);
    }

    /// R replies are there: return the newest, or make it durable on W replicas first.
    fn decide_get(&mut self, now: Now, number: u64, mut open: Open, out: &mut Outgoing<'_>) {
        let op = self.op_name(number);
        let Work::Get(get) = &mut open.work else { return };
        let name = |node: NodeIndex| self.config.members.name(node).clone();
        let replies = get
            .replies()
            .iter()
            .map(|(node, version)| ReplySeen {
                node: name(*node),
                version: version.clone(),
            })
            .collect();
        out.trace(TraceEvent::Get {
            op: op.clone(),
            key: get.key.clone(),
            replies,
        });
        let Some(newest) = get.newest().filter(|_| self.config.write_back) else {
            return self.finish_get(number, open, out);
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
            return self.finish_get(number, open, out);
        }
        get.write_back();
        // Replicas that replied with the version hold it durably and count. Where that alone reaches W, the setting is unsound anyway
        // (W + majority <= N or R + W <= N); the others are still told.
        let is_done = holders >= self.config.w;
        self.call(now, number, open, out);
        if is_done && let Some(open) = self.open.remove(&number) {
            self.finish_get(number, open, out);
        }
    }

    /// A replica holds the operation's version, or a newer one, durably.
    pub(super) fn on_write_reply(&mut self, from: NodeIndex, op: OpId, out: &mut Outgoing<'_>) {
        let Some(mut open) = self.take(op) else { return };
        let w = self.config.w;
        match &mut open.work {
            Work::Put(put) => match put.on_ack(from, w).then(|| put.version().cloned()).flatten() {
                Some(version) => self.finish(op.number, open, Outcome::Stored { version }, out),
                None => self.put_back(op.number, open),
            },
            Work::Get(get) => {
                if get.on_ack(from, w) {
                    self.finish_get(op.number, open, out);
                } else {
                    self.put_back(op.number, open);
                }
            }
        }
    }

    fn finish_get(&mut self, number: u64, open: Open, out: &mut Outgoing<'_>) {
        let Work::Get(get) = &open.work else { return };
        let (value, version) = get.newest().map(|newest| (newest.value.clone(), newest.version.clone())).unzip();
        self.finish(number, open, Outcome::Value { value, version }, out);
    }

    /// Ends operations whose deadline passed, and makes the unanswered calls of others again.
    pub(super) fn keep_time(&mut self, now: Now, out: &mut Outgoing<'_>) {
        while let Some((_, number)) = self.agenda.first().copied().filter(|(at_ns, _)| *at_ns <= now.mono_ns) {
            let open = self.open.remove(&number).expect("the agenda names open operations only");
            if now.mono_ns < open.deadline_ns {
                self.call(now, number, open, out);
            } else {
                let outcome = self.timed_out(&open);
                self.finish(number, open, outcome, out);
            }
        }
    }

    /// A put whose value may have left is unknown; everything else certainly changed nothing.
    fn timed_out(&self, open: &Open) -> Outcome {
        let QuorumConfig { r, w, .. } = self.config;
        let ms = open.timeout_ms;
        match &open.work {
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
            Work::Get(get) if get.replies().len() < r => Outcome::failed(
                "no-quorum",
                format!("{} of {r} replicas replied within {ms} ms", get.replies().len()),
            ),
            Work::Get(_) => Outcome::failed("no-quorum", format!("fewer than {w} replicas took the write-back within {ms} ms")),
        }
    }

    /// Closes an operation: trace, then reply.
    fn finish(&mut self, number: u64, open: Open, outcome: Outcome, out: &mut Outgoing<'_>) {
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
        out.trace(TraceEvent::Done {
            op: self.op_name(number),
            f,
            key,
            outcome: name,
            version,
            acks,
        });
        out.reply(open.client, outcome);
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
