//! Reads without an entry in the log (Ongaro 2014, §6.4): by a round of heartbeats, by a lease, or by nothing at all.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::config::Reads;
use super::core::{NS_PER_MS, RaftCore, Step};
use super::forward::Forwarded;
use super::machine::version;
use super::message::RaftBody;
use crate::bugs::Bug;
use crate::core::{ClientRef, Now};
use crate::members::Text;
use crate::message::{Outcome, RequestHeader};
use crate::trace::RaftEvent;

/// Reads on their way at most.
const OPEN_MAX: usize = 8192;

/// A lease is shorter than the time in which nobody else can be elected, by this part: 10 % for what the answer and clocks of different
/// speed take.
const LEASE_TENTHS: u64 = 9;

/// The rounds of heartbeats of one leader.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    last: u64,
    /// (round, wall clock when it began), of those that no quorum answered.
    begun: VecDeque<(u64, u64)>,
    /// The lease ends then, on the wall clock.
    lease_until_wall_ns: u64,
    /// Leadership was offered to another one in this term: from then on an election may come at any moment.
    pub(super) is_lease_revoked: bool,
}

impl Rounds {
    /// Numbers a new round.
    pub(super) fn begin(&mut self, now: Now) -> u64 {
        self.last += 1;
        self.begun.push_back((self.last, now.wall_ns));
        self.last
    }

    /// A quorum answered a round: the lease counts from its beginning.
    fn confirm(&mut self, round: u64, lease_ns: u64) {
        while let Some((_, wall_ns)) = self.begun.front().copied().filter(|(begun, _)| *begun <= round) {
            self.begun.pop_front();
            self.lease_until_wall_ns = wall_ns.saturating_add(lease_ns);
        }
    }

    /// The newest one.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    fn has_lease(&self, now: Now) -> bool {
        !self.is_lease_revoked && now.wall_ns < self.lease_until_wall_ns
    }
}

/// Reads that are not answered.
#[derive(Debug, Default)]
pub(super) struct OpenReads {
    open: BTreeMap<u64, Read>,
    /// (deadline, read).
    agenda: BTreeSet<(u64, u64)>,
    last: u64,
    /// They arrived after the present round began.
    waiting: Vec<u64>,
    asked: Option<Asked>,
    /// Where another node leads.
    pub(super) forwarded: Forwarded,
}

#[derive(Debug)]
struct Read {
    asker: Asker,
    begun_ns: u64,
    deadline_ns: u64,
}

/// Who waits for a read.
#[derive(Debug)]
pub(super) enum Asker {
    /// A client, for the value of a key.
    Client {
        client: ClientRef,
        key: Text,
        name: Option<Text>,
        sequence: Option<u64>,
    },
    /// A member that was asked by its own clients, for an index.
    Member { member: Text, id: u64 },
}

/// The round that reads wait for.
#[derive(Debug)]
struct Asked {
    round: u64,
    /// What was committed when the round began, after all these reads had arrived.
    index: u64,
    reads: Vec<u64>,
}

impl OpenReads {
    pub(super) fn wake_at_ns(&self) -> Option<u64> {
        self.agenda.first().map(|(at_ns, _)| *at_ns)
    }

    pub(super) fn count(&self) -> usize {
        self.open.len()
    }

    /// These wait for a round that begins from now on.
    pub(super) fn wait(&mut self, reads: Vec<u64>) {
        self.waiting.extend(reads);
    }

    fn add(&mut self, read: Read) -> u64 {
        self.last += 1;
        self.agenda.insert((read.deadline_ns, self.last));
        self.open.insert(self.last, read);
        self.last
    }

    fn take(&mut self, number: u64) -> Option<Read> {
        let read = self.open.remove(&number)?;
        self.agenda.remove(&(read.deadline_ns, number));
        Some(read)
    }
}

impl RaftCore {
    pub(super) fn begin_read(&mut self, step: &mut Step<'_>, client: ClientRef, header: RequestHeader, key: Text) {
        let read = Read {
            begun_ns: step.now.mono_ns,
            deadline_ns: self.deadline_ns(step.now, &header),
            asker: Asker::Client {
                client,
                key,
                name: header.client,
                sequence: header.seq,
            },
        };
        if self.config.reads == Reads::Local {
            return self.serve(step, &read, self.applied, Reads::Local);
        }
        if self.config.reads == Reads::Lease && self.may_read_by_lease(step.now) {
            return self.serve(step, &read, self.commit, Reads::Lease);
        }
        let leads = self.leading().is_some();
        if leads && self.has(Bug::R15) {
            return self.serve(step, &read, self.commit, Reads::ReadIndex);
        }
        if !leads && (self.leader.is_none() || !self.is_voter()) {
            return step.reply(client, Outcome::not_leader(self.leader_node()));
        }
        if self.reads.count() >= OPEN_MAX {
            let message = format!("{} reads are on their way already", self.reads.count());
            return step.reply(client, Outcome::failed("overloaded", message));
        }
        let number = self.reads.add(read);
        if leads {
            self.reads.waiting.push(number);
            self.ask_for_reads(step);
        } else {
            self.reads.forwarded.wait(number);
            self.ask_leader(step);
        }
    }

    /// A read of this leader on behalf of somebody else, always confirmed by a majority.
    pub(super) fn begin_confirmed_read(&mut self, step: &mut Step<'_>, asker: Asker) {
        if self.reads.count() >= OPEN_MAX {
            return; // it asks again
        }
        let begun_ns = step.now.mono_ns;
        let number = self.reads.add(Read {
            asker,
            begun_ns,
            deadline_ns: begun_ns.saturating_add(self.config.op_timeout_ms.saturating_mul(NS_PER_MS)),
        });
        self.reads.waiting.push(number);
        self.ask_for_reads(step);
    }

    /// Whether the leader may trust that nobody else leads: by its wall clock, and only if it knows what is committed.
    fn may_read_by_lease(&self, now: Now) -> bool {
        self.has_committed_in_its_term() && self.leading().is_some_and(|leader| leader.rounds.has_lease(now))
    }

    /// Begins a round for the reads that wait, unless one is on its way or the leader does not know yet what is committed.
    pub(super) fn ask_for_reads(&mut self, step: &mut Step<'_>) {
        if self.reads.asked.is_some() || self.reads.waiting.is_empty() || !(self.has_committed_in_its_term() || self.has(Bug::R16)) {
            return;
        }
        self.send_heartbeats(step);
        let Some(leader) = self.leading() else { return };
        self.reads.asked = Some(Asked {
            round: leader.rounds.last,
            index: self.commit,
            reads: std::mem::take(&mut self.reads.waiting),
        });
        self.settle_rounds(step);
    }

    /// Looks which rounds a quorum has answered.
    pub(super) fn settle_rounds(&mut self, step: &mut Step<'_>) {
        let tenths = if self.has(Bug::R17) { 4 * LEASE_TENTHS } else { LEASE_TENTHS };
        let lease_ns = self.config.election_ms.saturating_mul(NS_PER_MS) / 10 * tenths;
        let own = self.member().clone();
        let (_, membership) = self.configs.latest();
        let Some(leader) = self.leading() else { return };
        let answered = |member: &Text| match leader.progress.get(member) {
            Some(progress) => progress.round,
            None if *member == own => leader.rounds.last,
            None => 0,
        };
        let confirmed = membership.quorum_index(answered);
        if let Some(leader) = self.leader_mut() {
            leader.rounds.confirm(confirmed, lease_ns);
        }
        if let Some(Asked { index, reads, .. }) = self.reads.asked.take_if(|asked| asked.round <= confirmed) {
            self.serve_all(step, reads, index);
            self.ask_for_reads(step);
        }
    }

    /// Answers reads for which this index was confirmed.
    pub(super) fn serve_all(&mut self, step: &mut Step<'_>, reads: Vec<u64>, index: u64) {
        for number in reads {
            if let Some(read) = self.reads.take(number) {
                self.serve(step, &read, index, Reads::ReadIndex);
            }
        }
    }

    /// Answers a read from the state machine, which has applied `index`.
    fn serve(&mut self, step: &mut Step<'_>, read: &Read, index: u64, basis: Reads) {
        let (client, key, name, sequence) = match &read.asker {
            Asker::Member { member, id } => {
                let (member, id) = (member.clone(), *id);
                return self.send(step, &member, RaftBody::Index { id, index });
            }
            Asker::Client {
                client,
                key,
                name,
                sequence,
            } => (*client, key, name, *sequence),
        };
        step.trace(RaftEvent::Read {
            client: name.clone(),
            sequence,
            key: key.clone(),
            index,
            applied: self.applied,
            basis: basis.name(),
            begun_ns: read.begun_ns,
            term: self.hard.term,
        });
        let held = self.machine.get(key);
        let outcome = Outcome::Value {
            value: held.map(|held| held.value.clone()),
            version: held.map(|held| version(held.at)),
        };
        step.reply(client, outcome);
    }

    /// A read that was not answered changed nothing. A member that asked asks again.
    pub(super) fn abandon_reads(&mut self, step: &mut Step<'_>) {
        for read in std::mem::take(&mut self.reads.open).into_values() {
            if let Asker::Client { client, .. } = read.asker {
                step.reply(client, Outcome::not_leader(self.leader_node()));
            }
        }
        self.reads.agenda.clear();
        self.reads.waiting.clear();
        self.reads.asked = None;
    }

    pub(super) fn end_late_reads(&mut self, step: &mut Step<'_>) {
        while let Some((_, number)) = self.reads.agenda.first().copied().filter(|(at_ns, _)| *at_ns <= step.now.mono_ns) {
            let Some(read) = self.reads.take(number) else { return };
            self.reads.waiting.retain(|waiting| *waiting != number);
            if let Asker::Client { client, .. } = read.asker {
                let message = "no majority confirmed in time who leads";
                step.reply(client, Outcome::failed("no-quorum", message));
            }
        }
    }
}
