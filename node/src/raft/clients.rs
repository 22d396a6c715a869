//! Requests of clients: their limits and deadlines, and an honest answer when this node cannot know how they end.

use std::collections::{BTreeMap, BTreeSet};

use super::core::{NS_PER_MS, RaftCore, Step};
use super::entry::{Command, Entry, Operation};
use super::leader::Leader;
use super::machine::{Answer, Applied};
use crate::bugs::Bug;
use crate::core::{ClientRef, Now};
use crate::message::{Outcome, RequestBody, RequestHeader};
use crate::trace::{Hash64, Origin, RaftEvent};

/// Commands on their way at most. A client that waits for its answers has one; thousands mean that answers do not come.
const OPEN_MAX: usize = 8192;

/// Bytes of commands on their way at most.
const OPEN_BYTES_MAX: usize = 32 << 20;

/// Commands in the log of this leader that are not answered.
#[derive(Debug, Default)]
pub(super) struct Pending {
    open: BTreeMap<u64, Open>,
    /// (deadline, index).
    agenda: BTreeSet<(u64, u64)>,
    bytes: usize,
}

#[derive(Debug)]
struct Open {
    client: ClientRef,
    term: u64,
    digest: Hash64,
    origin: Origin,
    request: &'static str,
    deadline_ns: u64,
    bytes: usize,
}

impl Pending {
    pub(super) fn wake_at_ns(&self) -> Option<u64> {
        self.agenda.first().map(|(at_ns, _)| *at_ns)
    }

    pub(super) fn count(&self) -> usize {
        self.open.len()
    }

    fn insert(&mut self, index: u64, open: Open) {
        self.bytes += open.bytes;
        self.agenda.insert((open.deadline_ns, index));
        self.open.insert(index, open);
    }

    fn take(&mut self, index: u64) -> Option<Open> {
        let open = self.open.remove(&index)?;
        self.bytes -= open.bytes;
        self.agenda.remove(&(open.deadline_ns, index));
        Some(open)
    }

    fn late(&self, now: Now) -> Option<u64> {
        self.agenda
            .first()
            .filter(|(at_ns, _)| *at_ns <= now.mono_ns)
            .map(|(_, index)| *index)
    }
}

impl RaftCore {
    pub(super) fn on_request(&mut self, step: &mut Step<'_>, client: ClientRef, header: RequestHeader, body: RequestBody) {
        let operation = match body {
            RequestBody::Get { key } => return self.begin_read(step, client, header, key),
            RequestBody::Put { key, value } => Operation::Put { key, value },
            RequestBody::Cas { key, expect, value } => Operation::Cas { key, expect, value },
            RequestBody::Delete { key } => Operation::Delete { key },
            RequestBody::Append { key, value } => Operation::Append { key, value },
            RequestBody::Session {} => {
                let command = Command::Open {
                    client: header.client.clone(),
                    sequence: header.seq,
                    sessions_max: self.config.sessions_max,
                };
                return self.begin_command(step, client, &header, command);
            }
            RequestBody::Change { add, remove } => return self.begin_change(step, client, &header, add, remove),
            RequestBody::Transfer { to } => return self.begin_transfer(step, client, &to),
            RequestBody::Replicas { .. } => {
                let voters = self.configs.latest().1.voters.iter().cloned();
                return step.reply(client, Outcome::Replicas { nodes: voters.collect() });
            }
            RequestBody::Status {} | RequestBody::Hello(_) => {
                return step.reply(client, Outcome::failed("bad-request", "not a request for the store"));
            }
        };
        if header.session.is_some() && header.seq.is_none() {
            return step.reply(
                client,
                Outcome::failed("bad-request", "a command of a session needs `seq` in its header"),
            );
        }
        let command = Command::Write {
            client: header.client.clone(),
            sequence: header.seq,
            session: header.session,
            operation,
        };
        self.begin_command(step, client, &header, command);
    }

    /// Refuses a command that cannot go into the log here and now; nothing of it will ever happen.
    pub(super) fn refusal(&self) -> Option<Outcome> {
        let Some(leader) = self.leading() else {
            return Some(Outcome::not_leader(self.leader_node()));
        };
        if leader.transfer.is_some() {
            return Some(Outcome::failed(
                "transferring",
                "the leadership is being handed over, ask again soon",
            ));
        }
        if self.pending.count() >= OPEN_MAX || self.pending.bytes >= OPEN_BYTES_MAX {
            let message = format!("{} commands are on their way already", self.pending.count());
            return Some(Outcome::failed("overloaded", message));
        }
        None
    }

    fn begin_command(&mut self, step: &mut Step<'_>, client: ClientRef, header: &RequestHeader, command: Command) {
        if let Some(refusal) = self.refusal() {
            return step.reply(client, refusal);
        }
        let deadline_ns = self.deadline_ns(step.now, header);
        let (term, origin, request) = (self.hard.term, command.origin(), command.request());
        let index = self.log.last_index() + 1;
        let entry = Entry::new(index, term, command);
        let open = Open {
            client,
            term,
            digest: entry.digest(),
            origin,
            request,
            deadline_ns,
            bytes: entry.byte_count(),
        };
        // It may be committed on the spot, if this node is alone.
        self.pending.insert(index, open);
        self.propose_entry(step, entry);
    }

    pub(super) fn deadline_ns(&self, now: Now, header: &RequestHeader) -> u64 {
        let timeout_ms = header.deadline_ms.unwrap_or(u64::MAX).min(self.config.op_timeout_ms);
        now.mono_ns.saturating_add(timeout_ms.saturating_mul(NS_PER_MS))
    }

    /// An entry was applied: answers who asked for it, if it is the entry that was asked for and not another one in its place.
    pub(super) fn answer(&mut self, step: &mut Step<'_>, entry: &Entry, applied: &Applied) {
        let Some(open) = self.pending.take(entry.index()) else { return };
        if open.term != entry.term() && !self.has(Bug::R29) {
            return self.answer_unknown(step, entry.index(), &open, "leader-changed");
        }
        let outcome = if matches!(applied.answer, Answer::Expired {}) {
            "unknown"
        } else {
            "ok"
        };
        trace_ack(step, entry.index(), &open, outcome);
        step.reply(open.client, applied.answer.outcome());
    }

    /// Nobody can know here how the command ends: its entry is in the log and may survive.
    fn answer_unknown(&self, step: &mut Step<'_>, index: u64, open: &Open, kind: &str) {
        trace_ack(step, index, open, "unknown");
        let message = match kind {
            "timeout" => format!(
                "not committed within {} ms or the request's own deadline",
                self.config.op_timeout_ms
            ),
            _ => "this node leads no more; a later leader may commit it or not".to_owned(),
        };
        step.reply(open.client, Outcome::unknown(kind, message));
    }

    /// This node leads no more: what it says to everybody who waits.
    pub(super) fn abandon(&mut self, step: &mut Step<'_>, leader: Leader) {
        // Whoever answers by the index alone needs to know who asked for what stands there.
        let given_up = if self.has(Bug::R29) {
            Pending::default()
        } else {
            std::mem::take(&mut self.pending)
        };
        for (index, open) in given_up.open {
            if self.has(Bug::R28) {
                trace_ack(step, index, &open, "failed");
                step.reply(open.client, Outcome::not_leader(None));
            } else {
                self.answer_unknown(step, index, &open, "leader-changed");
            }
        }
        self.abandon_reads(step);
        if let Some(change) = leader.change {
            step.reply(
                change.client,
                Outcome::unknown("leader-changed", "this node leads no more; the next leader ends what is begun"),
            );
        }
        self.handover = leader.transfer.map(Into::into);
    }

    pub(super) fn end_late_commands(&mut self, step: &mut Step<'_>) {
        while let Some(index) = self.pending.late(step.now) {
            let Some(open) = self.pending.take(index) else { return };
            self.answer_unknown(step, index, &open, "timeout");
        }
    }
}

fn trace_ack(step: &mut Step<'_>, index: u64, open: &Open, outcome: &'static str) {
    step.trace(RaftEvent::Ack {
        client: open.origin.client.clone(),
        sequence: open.origin.sequence,
        session: open.origin.session,
        index,
        term_at: open.term,
        digest: open.digest,
        outcome,
        f: open.request,
    });
}
