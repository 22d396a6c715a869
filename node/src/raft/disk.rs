//! What is on the disk and what is on its way there: nothing leaves the node before what it depends on is durable.

use std::collections::VecDeque;

use super::config::node_of;
use super::core::{Hard, RaftCore, Role, Step};
use super::entry::{Command, Entry};
use super::message::{RaftBody, RaftMessage};
use super::record::{self, Record};
use super::snapshot::Incoming;
use crate::bugs::Bug;
use crate::core::Effect;
use crate::members::Text;
use crate::trace::{Place, RaftEvent};

/// What has to wait until a record is durable.
#[derive(Clone, Debug)]
enum Deferred {
    /// Tell the trace.
    Hard(Hard),
    /// Send.
    Send(RaftMessage),
    /// Count the own vote in this term.
    OwnVote { term: u64 },
}

/// The record numbers of this life, as the driver counts them.
#[derive(Debug, Default)]
pub(super) struct Disk {
    appended: u64,
    durable: u64,
    /// The record of the present term and vote.
    hard: u64,
    waiting: VecDeque<(u64, Deferred)>,
    /// Entries on their way.
    entries: VecDeque<(u64, Place)>,
    /// The log is durable up to here.
    pub(super) durable_index: u64,
}

impl Disk {
    /// Everything in the log was read from the disk.
    pub(super) fn loaded(&mut self, last_index: u64) {
        self.durable_index = last_index;
    }

    /// The log was replaced by one that a compaction on its way holds.
    pub(super) fn replaced(&mut self, last: Place, is_discarded: bool) {
        self.entries.clear();
        self.entries.push_back((self.appended, last));
        if is_discarded {
            self.durable_index = 0;
        }
    }
}

/// The next in the queue that needs no record above `durable`.
fn next_until<T>(queue: &mut VecDeque<(u64, T)>, durable: u64) -> Option<T> {
    if queue.front()?.0 > durable {
        return None;
    }
    queue.pop_front().map(|(_, item)| item)
}

impl RaftCore {
    /// Hands a record to the disk.
    pub(super) fn record(&mut self, step: &mut Step<'_>, record: &Record) {
        step.effects.push(Effect::Append {
            record: record::encode(record),
        });
        self.disk.appended += 1;
    }

    /// Replaces everything on the disk.
    pub(super) fn record_compaction(&mut self, step: &mut Step<'_>, records: Vec<Vec<u8>>) {
        step.effects.push(Effect::Compact { records });
        self.disk.appended += 1;
    }

    /// Changes term and vote, in one record.
    pub(super) fn set_hard(&mut self, step: &mut Step<'_>, term: u64, vote: Option<Text>) {
        self.hard = Hard { term, vote };
        let record = self.hard_record();
        self.record(step, &record);
        self.disk.hard = self.disk.appended;
        self.defer(Deferred::Hard(self.hard.clone()));
    }

    /// Term and vote, for the disk.
    pub(super) fn hard_record(&self) -> Record {
        let Hard { term, vote } = self.hard.clone();
        Record::Hard {
            term: if self.has(Bug::R02) { 0 } else { term },
            vote: vote.filter(|_| !self.has(Bug::R01) && !self.has(Bug::R02)),
        }
    }

    /// Counts the own vote of this term once it is durable.
    pub(super) fn defer_own_vote(&mut self) {
        self.defer(Deferred::OwnVote { term: self.hard.term });
    }

    /// Adds an entry to the log.
    pub(super) fn push_entry(&mut self, step: &mut Step<'_>, entry: Entry) {
        self.record(step, &Record::Entry(entry.clone()));
        self.disk.entries.push_back((self.disk.appended, entry.place()));
        self.appends += 1;
        step.trace(RaftEvent::Append {
            index: entry.index(),
            term: entry.term(),
            digest: entry.digest(),
            entry: entry.command().kind(),
            origin: entry.command().origin(),
            replayed: false,
        });
        if let Command::Config(membership) = entry.command() {
            self.configs.push(entry.index(), membership.clone());
            self.trace_config(step, "appended");
        }
        self.log.push(entry);
    }

    /// Removes the entries from an index on.
    pub(super) fn truncate_log(&mut self, step: &mut Step<'_>, from: u64) {
        self.record(step, &Record::Truncate { from });
        self.log.truncate(from);
        self.disk.entries.retain(|(_, (index, _))| *index < from);
        self.disk.durable_index = self.disk.durable_index.min(from - 1);
        step.trace(RaftEvent::Truncate {
            from,
            term: self.hard.term,
        });
        if !self.has(Bug::R32) && self.configs.truncate(from) {
            self.trace_config(step, "truncated");
        }
    }

    pub(super) fn on_durable(&mut self, step: &mut Step<'_>, appended: u64) {
        self.disk.durable = appended;
        let mut newest = None;
        while let Some(place) = next_until(&mut self.disk.entries, appended) {
            newest = Some(place);
        }
        if let Some((upto, term_at)) = newest.filter(|place| self.log.holds(*place)) {
            self.disk.durable_index = upto;
            step.trace(RaftEvent::Fsync {
                upto,
                term_at,
                replayed: false,
            });
        }
        while let Some(deferred) = next_until(&mut self.disk.waiting, appended) {
            self.carry_out(step, deferred);
        }
        if matches!(self.role, Role::Leader(_)) {
            self.commit_what_is_counted(step);
        }
    }

    fn carry_out(&mut self, step: &mut Step<'_>, deferred: Deferred) {
        match deferred {
            Deferred::Hard(Hard { term, vote }) => step.trace(RaftEvent::Hard { term, vote }),
            // What a former term promised means nothing any more.
            Deferred::Send(message) if message.term < self.hard.term => {}
            Deferred::Send(message) => self.let_go(step, message),
            Deferred::OwnVote { term } if term == self.hard.term => self.on_vote_reply(step, self.member().clone(), true),
            Deferred::OwnVote { .. } => {}
        }
    }

    fn defer(&mut self, deferred: Deferred) {
        self.disk.waiting.push_back((self.disk.appended, deferred));
    }

    /// Sends what depends on nothing on the disk.
    pub(super) fn send(&mut self, step: &mut Step<'_>, to: &Text, body: RaftBody) {
        let message = self.message(to, self.hard.term, body);
        self.let_go(step, message);
    }

    /// The same under another term: a pre-vote, and its grant.
    pub(super) fn send_with_term(&mut self, step: &mut Step<'_>, to: &Text, term: u64, body: RaftBody) {
        let message = self.message(to, term, body);
        self.let_go(step, message);
    }

    /// Sends once term and vote are durable.
    pub(super) fn send_after_hard(&mut self, step: &mut Step<'_>, to: &Text, body: RaftBody) {
        if self.disk.durable >= self.disk.hard {
            self.send(step, to, body);
        } else {
            self.send_after_all(step, to, body);
        }
    }

    /// Sends once everything is durable that was handed to the disk until now.
    pub(super) fn send_after_all(&mut self, step: &mut Step<'_>, to: &Text, body: RaftBody) {
        let message = self.message(to, self.hard.term, body);
        if self.disk.durable >= self.disk.appended || self.has(Bug::R03) {
            self.let_go(step, message);
        } else {
            self.defer(Deferred::Send(message));
        }
    }

    fn message(&self, to: &Text, term: u64, body: RaftBody) -> RaftMessage {
        RaftMessage {
            from: self.member().clone(),
            to: to.clone(),
            birth: self.acquaintance.identity.birth,
            term,
            body,
        }
    }

    fn let_go(&mut self, step: &mut Step<'_>, message: RaftMessage) {
        // A member whose node nobody knows, or that lived on this very node before, cannot be reached.
        let Some(to) = node_of(&self.config.nodes, &message.to).filter(|to| *to != self.config.me) else {
            return;
        };
        self.messages += 1;
        step.effects.push(Effect::Send { to, message });
    }

    /// Takes one record of the disk at the start.
    pub(super) fn load_record(&mut self, bytes: &[u8]) -> Result<(), String> {
        match record::decode(bytes)? {
            Record::Identity(identity) => self.load_identity(identity),
            Record::Confirmed {} => self.acquaintance.is_confirmed = true,
            Record::Met { member, birth } => {
                self.acquaintance.births.insert(member, birth);
            }
            Record::Hard { term, vote } => self.hard = Hard { term, vote },
            Record::Entry(entry) => {
                if entry.index() != self.log.last_index() + 1 {
                    let expected = self.log.last_index() + 1;
                    return Err(format!("entry {} stands where entry {expected} belongs", entry.index()));
                }
                if let Command::Config(membership) = entry.command()
                    && entry.index() > self.snapshot.last.0
                {
                    self.configs.push(entry.index(), membership.clone());
                }
                self.log.push(entry);
            }
            Record::Truncate { from } => {
                self.log.truncate(from);
                self.configs.truncate(from);
            }
            Record::Snapshot { last, membership, length } => self.incoming = Some(Incoming::new(last, membership, length)),
            Record::Part(part) => self.load_part(&part)?,
            Record::Base(base) => self.log.reset(base),
        }
        self.disk.loaded(self.log.last_index());
        Ok(())
    }
}
