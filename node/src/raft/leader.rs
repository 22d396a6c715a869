//! A leader: what it sends to whom, what it counts as committed, and when it gives up.

use std::collections::{BTreeMap, VecDeque};

use super::change::Change;
use super::core::{RaftCore, Role, Step};
use super::entry::{Command, Entry};
use super::membership::{Membership, majority};
use super::message::RaftBody;
use super::reads::Rounds;
use super::snapshot::Delivery;
use super::transfer::Transfer;
use crate::bugs::Bug;
use crate::core::Now;
use crate::members::{NodeIndex, Text};

/// Appends without an answer at most. Two keep the line busy; what comes meanwhile shares the next one.
const FLYING_MAX: usize = 2;

/// Bytes of entries in one append, about. One entry may be longer, and fits into a frame alone.
const APPEND_BYTES_MAX: usize = 256 << 10;

/// Heartbeats without an answer after which entries are sent again.
const SILENT_HEARTBEATS: u64 = 3;

/// What a leader keeps for its term.
#[derive(Debug)]
pub(super) struct Leader {
    pub(super) progress: BTreeMap<Text, Progress>,
    /// The entry that began the term: before it is committed the leader does not know what is.
    pub(super) first_index: u64,
    heartbeat_at_ns: u64,
    pub(super) rounds: Rounds,
    pub(super) change: Option<Change>,
    pub(super) transfer: Option<Transfer>,
}

/// What a leader knows of another member.
#[derive(Debug)]
pub(super) struct Progress {
    /// The logs are the same up to here, durably there.
    pub(super) matched: u64,
    /// The next entry to send.
    next: u64,
    flow: Flow,
    /// When it was last heard of.
    heard_ns: u64,
    /// When entries were last sent or acknowledged.
    moved_ns: u64,
    /// The latest round it answered.
    pub(super) round: u64,
}

/// How entries are sent.
#[derive(Debug)]
enum Flow {
    /// One append at a time, until it is known where the logs meet.
    Probe { is_sent: bool },
    /// One after the other, without waiting: the last index of each append on its way.
    Stream { flying: VecDeque<u64> },
    /// What it needs is compacted: a snapshot instead.
    Install(Delivery),
}

impl Leader {
    pub(super) fn wake_at_ns(&self) -> u64 {
        let transfer_ns = self.transfer.as_ref().map_or(u64::MAX, |transfer| transfer.deadline_ns);
        let change_ns = self.change.as_ref().map_or(u64::MAX, |change| change.deadline_ns);
        self.heartbeat_at_ns.min(transfer_ns).min(change_ns)
    }

    pub(super) fn matched(&self, member: &Text) -> u64 {
        self.progress.get(member).map_or(0, |progress| progress.matched)
    }
}

impl Progress {
    fn new(now: Now, last_index: u64) -> Progress {
        Progress {
            matched: 0,
            next: last_index + 1,
            flow: Flow::Probe { is_sent: false },
            heard_ns: now.mono_ns,
            moved_ns: now.mono_ns,
            round: 0,
        }
    }

    /// Starts over behind what is known to be there.
    fn probe_again(&mut self) {
        self.next = self.matched + 1;
        self.flow = Flow::Probe { is_sent: false };
    }
}

impl RaftCore {
    pub(super) fn leader_mut(&mut self) -> Option<&mut Leader> {
        match &mut self.role {
            Role::Leader(leader) => Some(leader),
            _ => None,
        }
    }

    pub(super) fn leading(&self) -> Option<&Leader> {
        match &self.role {
            Role::Leader(leader) => Some(leader),
            _ => None,
        }
    }

    /// Takes office: the first entry of the term commits what former terms left (§5.4.2).
    pub(super) fn lead(&mut self, step: &mut Step<'_>) {
        let leader = Leader {
            progress: BTreeMap::new(),
            first_index: self.log.last_index() + 1,
            heartbeat_at_ns: step.now.mono_ns.saturating_add(self.heartbeat_ns()),
            rounds: Rounds::default(),
            change: None,
            transfer: None,
        };
        self.set_role(step, Role::Leader(Box::new(leader)));
        self.set_leader(step, self.member().clone());
        let births = self.births_known();
        self.propose(step, Command::Noop { births });
    }

    /// Adds an entry of this leader's term to the log and sends it.
    pub(super) fn propose(&mut self, step: &mut Step<'_>, command: Command) {
        let entry = Entry::new(self.log.last_index() + 1, self.hard.term, command);
        self.propose_entry(step, entry);
    }

    /// The same for an entry that is made already.
    pub(super) fn propose_entry(&mut self, step: &mut Step<'_>, entry: Entry) {
        let is_about_members = matches!(entry.command(), Command::Noop { .. } | Command::Config(_));
        self.push_entry(step, entry);
        if is_about_members {
            self.know_everybody(step.now);
        }
        self.replicate_to_all(step);
    }

    /// Keeps a progress for everybody in the newest configuration, and for nobody else.
    fn know_everybody(&mut self, now: Now) {
        let own = self.member().clone();
        let last_index = self.log.last_index();
        let everybody = self.configs.latest().1.everybody();
        let Some(leader) = self.leader_mut() else { return };
        leader.progress.retain(|member, _| everybody.contains(member));
        for member in everybody.into_iter().filter(|member| *member != own) {
            leader.progress.entry(member).or_insert_with(|| Progress::new(now, last_index - 1));
        }
    }

    pub(super) fn replicate_to_all(&mut self, step: &mut Step<'_>) {
        for member in self.peers() {
            self.replicate(step, &member);
        }
    }

    pub(super) fn peers(&self) -> Vec<Text> {
        self.leading()
            .map(|leader| leader.progress.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// Sends a member what it may be sent now.
    fn replicate(&mut self, step: &mut Step<'_>, to: &Text) {
        while let Some((from, needs_snapshot)) = self.next_to_send(to) {
            if needs_snapshot {
                return self.deliver(step, to);
            }
            let prev = (from - 1, self.log.term_at(from - 1).unwrap_or(0));
            let entries = self.log.batch(from, APPEND_BYTES_MAX);
            let last = entries.last().map_or(prev.0, Entry::index);
            let commit = self.commit;
            let Some(progress) = self.progress_mut(to) else { return };
            progress.moved_ns = step.now.mono_ns;
            match &mut progress.flow {
                Flow::Probe { is_sent } => *is_sent = true,
                Flow::Stream { flying } => {
                    flying.push_back(last);
                    progress.next = last + 1;
                }
                Flow::Install(_) => return,
            }
            self.send(step, to, RaftBody::Append { prev, entries, commit });
        }
    }

    /// The next entry for a member, if something may be sent to it now; true if only a snapshot helps.
    fn next_to_send(&self, to: &Text) -> Option<(u64, bool)> {
        let progress = self.leading()?.progress.get(to)?;
        let may_send = match &progress.flow {
            Flow::Probe { is_sent } => !is_sent,
            Flow::Stream { flying } => flying.len() < FLYING_MAX && progress.next <= self.log.last_index(),
            Flow::Install(_) => false,
        };
        may_send.then(|| (progress.next, self.log.term_at(progress.next - 1).is_none()))
    }

    fn progress_mut(&mut self, member: &Text) -> Option<&mut Progress> {
        self.leader_mut()?.progress.get_mut(member)
    }

    /// Begins to send a snapshot.
    fn deliver(&mut self, step: &mut Step<'_>, to: &Text) {
        let delivery = Delivery::new(&self.snapshot);
        let Some(progress) = self.progress_mut(to) else { return };
        progress.moved_ns = step.now.mono_ns;
        let part = delivery.part();
        progress.flow = Flow::Install(delivery);
        self.send(step, to, RaftBody::Snapshot(part));
    }

    pub(super) fn on_snapshot_reply(&mut self, step: &mut Step<'_>, from: &Text, index: u64, next: u64) {
        self.hear(step.now, from);
        let Some(progress) = self.progress_mut(from) else { return };
        let Flow::Install(delivery) = &mut progress.flow else { return };
        if delivery.goes_on(index, next) {
            progress.moved_ns = step.now.mono_ns;
            let part = delivery.part();
            self.send(step, from, RaftBody::Snapshot(part));
        }
    }

    fn hear(&mut self, now: Now, from: &Text) {
        if let Some(progress) = self.progress_mut(from) {
            progress.heard_ns = now.mono_ns;
        }
    }

    /// A member has everything up to here, durably.
    pub(super) fn on_appended(&mut self, step: &mut Step<'_>, from: &Text, last: (u64, u64)) {
        self.hear(step.now, from);
        let Some(progress) = self.progress_mut(from) else { return };
        progress.matched = progress.matched.max(last.0);
        progress.next = progress.next.max(progress.matched + 1);
        progress.moved_ns = step.now.mono_ns;
        let has_arrived = match &mut progress.flow {
            Flow::Stream { flying } => {
                flying.retain(|index| *index > last.0);
                false
            }
            Flow::Probe { .. } => true,
            Flow::Install(delivery) => delivery.is_contained_in(last.0),
        };
        if has_arrived {
            progress.next = progress.matched + 1;
            progress.flow = Flow::Stream { flying: VecDeque::new() };
        }
        self.commit_what_is_counted(step);
        self.replicate(step, from);
        self.drive_transfer(step);
    }

    /// A member's log parts from ours before what was sent: goes back by whole terms.
    pub(super) fn on_rejected(&mut self, step: &mut Step<'_>, from: &Text, prev: u64, conflict_term: Option<u64>, conflict_index: u64) {
        self.hear(step.now, from);
        let last_of_term = conflict_term.and_then(|term| self.log.last_of_term(term));
        let Some(progress) = self.progress_mut(from) else { return };
        let is_news = match progress.flow {
            Flow::Probe { .. } => prev + 1 == progress.next,
            Flow::Stream { .. } => prev > progress.matched,
            Flow::Install(_) => false,
        };
        if is_news {
            let next = last_of_term.map_or(conflict_index, |last| last + 1);
            progress.next = next.min(prev).max(progress.matched + 1);
            progress.flow = Flow::Probe { is_sent: false };
            self.replicate(step, from);
        }
    }

    /// Who must agree, to elections and to entries: the latest configuration in the log.
    pub(super) fn quorums(&self) -> Membership {
        let (_, membership) = self.configs.latest();
        if self.has(Bug::R31) {
            membership.leave()
        } else {
            membership.clone()
        }
    }

    /// Whether everything up to an index is committed because a quorum holds it: only if the entry there is of the present term, for one
    /// of a former term may still be overwritten (Ongaro and Ousterhout 2014, §5.4.2, Figure 8).
    fn is_committed_by_counting(&self, index: u64) -> bool {
        index > self.commit && (self.log.term_at(index) == Some(self.hard.term) || self.has(Bug::R04))
    }

    /// Commits what a quorum holds durably. This node counts like the others, by what its own disk holds.
    pub(super) fn commit_what_is_counted(&mut self, step: &mut Step<'_>) {
        let Some(leader) = self.leading() else { return };
        let own = self.member();
        let durable_index = if self.has(Bug::R03) {
            self.log.last_index()
        } else {
            self.disk.durable_index
        };
        let reached = |member: &Text| if member == own { durable_index } else { leader.matched(member) };
        let index = match self.quorums() {
            _ if self.has(Bug::R36) => durable_index,
            quorums if self.has(Bug::R09) => quorums.index_reached_by(|voters| majority(voters) - 1, reached),
            quorums => quorums.quorum_index(reached),
        };
        if self.is_committed_by_counting(index) {
            self.advance_commit(step, index, "count");
        }
        self.drive_change(step);
        self.ask_for_reads(step);
    }

    /// Whether an entry of this leader's own term is committed: only then it knows what was committed before.
    pub(super) fn has_committed_in_its_term(&self) -> bool {
        self.leading().is_some_and(|leader| self.commit >= leader.first_index)
    }

    pub(super) fn on_heartbeat_reply(&mut self, step: &mut Step<'_>, from: &Text, round: u64) {
        self.hear(step.now, from);
        let (last_round, last_index) = (self.leading().map_or(0, |leader| leader.rounds.last()), self.log.last_index());
        let (is_any_round, is_matched) = (self.has(Bug::R19), self.has(Bug::R27));
        let Some(progress) = self.progress_mut(from) else { return };
        progress.round = progress.round.max(if is_any_round { last_round } else { round });
        if is_matched {
            progress.matched = last_index;
        }
        self.settle_rounds(step);
    }

    /// Tells everybody that this leader is there, in a new round.
    pub(super) fn send_heartbeats(&mut self, step: &mut Step<'_>) {
        let (now, commit) = (step.now, self.commit);
        let heartbeat_at_ns = now.mono_ns.saturating_add(self.heartbeat_ns());
        let Some(leader) = self.leader_mut() else { return };
        leader.heartbeat_at_ns = heartbeat_at_ns;
        let round = leader.rounds.begin(now);
        let receivers: Vec<_> = leader
            .progress
            .iter()
            .map(|(member, progress)| (member.clone(), progress.matched))
            .collect();
        for (member, matched) in receivers {
            // Never more than it acknowledged: behind that its log may be another.
            let commit = if self.has(Bug::R13) { commit } else { commit.min(matched) };
            self.send(step, &member, RaftBody::Heartbeat { commit, round });
        }
    }

    /// What a leader does when time passes.
    pub(super) fn keep_leading(&mut self, step: &mut Step<'_>) {
        let now_ns = step.now.mono_ns;
        self.end_late_transfer(step);
        self.end_late_change(step);
        if self.leading().is_some_and(|leader| now_ns >= leader.heartbeat_at_ns) {
            if !self.is_heard(step.now) {
                // Behind a one-way cut a leader would else be useless for ever.
                return self.become_follower(step, self.hard.term, None);
            }
            self.send_heartbeats(step);
            self.settle_rounds(step);
            for member in self.peers() {
                self.send_again_after_silence(step, &member);
            }
            self.drive_transfer(step);
        }
    }

    /// Check-quorum: whether a quorum was heard of within an election timeout.
    fn is_heard(&self, now: Now) -> bool {
        let Some(leader) = self.leading() else { return false };
        let since_ns = now.mono_ns.saturating_sub(self.election_ns());
        let is_heard = |member: &Text| match leader.progress.get(member) {
            Some(progress) => progress.heard_ns > since_ns,
            None => member == self.member(),
        };
        self.configs.latest().1.is_quorum(is_heard)
    }

    /// How far the slowest member is of those that were heard of within an election timeout.
    pub(super) fn slowest_heard(&self, now: Now) -> Option<u64> {
        let since_ns = now.mono_ns.saturating_sub(self.election_ns());
        let heard = self.leading()?.progress.values().filter(|progress| progress.heard_ns > since_ns);
        heard.map(|progress| progress.matched).min()
    }

    fn send_again_after_silence(&mut self, step: &mut Step<'_>, to: &Text) {
        let silence_ns = self.heartbeat_ns().saturating_mul(SILENT_HEARTBEATS);
        let Some(progress) = self.progress_mut(to) else { return };
        let waits = match &progress.flow {
            Flow::Probe { is_sent } => *is_sent,
            Flow::Stream { flying } => !flying.is_empty(),
            Flow::Install(_) => true,
        };
        if waits && step.now.mono_ns >= progress.moved_ns.saturating_add(silence_ns) {
            self.send_again(step, to);
        } else {
            self.replicate(step, to);
        }
    }

    /// What was sent to this member may be lost.
    fn send_again(&mut self, step: &mut Step<'_>, to: &Text) {
        let Some(progress) = self.progress_mut(to) else { return };
        progress.moved_ns = step.now.mono_ns;
        if let Flow::Install(delivery) = &progress.flow {
            let part = delivery.part();
            return self.send(step, to, RaftBody::Snapshot(part));
        }
        progress.probe_again();
        self.replicate(step, to);
    }

    /// A link was made.
    pub(super) fn send_again_to(&mut self, step: &mut Step<'_>, peer: NodeIndex) {
        for member in self.peers() {
            if super::config::node_of(&self.config.nodes, &member) == Some(peer) {
                self.send_again(step, &member);
            }
        }
    }
}
