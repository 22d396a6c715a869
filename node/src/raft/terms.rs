//! Messages and their terms: a higher one is taken over, a lower one is answered with the present one (Ongaro and Ousterhout 2014, §5.1).

use super::config::node_of;
use super::core::{RaftCore, Role, Step};
use super::message::{RaftBody, RaftMessage};
use crate::bugs::Bug;
use crate::members::{NodeIndex, Text};

impl RaftCore {
    pub(super) fn on_message(&mut self, step: &mut Step<'_>, from: NodeIndex, message: RaftMessage) {
        if node_of(&self.config.nodes, &message.from) != Some(from) {
            return;
        }
        let RaftMessage {
            from,
            to,
            birth,
            term,
            body,
            ..
        } = message;
        if self.is_about_identity(step, &from, birth, &body) || to != *self.member() {
            return;
        }
        if term > self.hard.term && !self.rises(step, &from, term, &body) {
            return;
        }
        if term < self.hard.term {
            return self.answer_the_past(step, &from, &body);
        }
        if body.is_from_a_leader() && !self.follow(step, &from) {
            return;
        }
        match body {
            RaftBody::PreVote { last } => self.on_pre_vote(step, &from, term, last),
            RaftBody::PreVoteReply { granted } => self.on_pre_vote_reply(step, from, term, granted),
            RaftBody::Vote { last, transfer } => self.on_vote(step, &from, last, transfer),
            RaftBody::VoteReply { granted } => self.on_vote_reply(step, from, granted),
            RaftBody::Append { prev, entries, commit } => self.on_append(step, &from, prev, entries, commit),
            RaftBody::Appended { last } => self.on_appended(step, &from, last),
            RaftBody::Rejected {
                prev,
                conflict_term,
                conflict_index,
            } => self.on_rejected(step, &from, prev, conflict_term, conflict_index),
            RaftBody::Heartbeat { commit, round } => self.on_heartbeat(step, &from, commit, round),
            RaftBody::HeartbeatReply { round } => self.on_heartbeat_reply(step, &from, round),
            RaftBody::Snapshot(part) => self.on_snapshot(step, &from, part),
            RaftBody::SnapshotReply { index, next } => self.on_snapshot_reply(step, &from, index, next),
            RaftBody::AskIndex { id } => self.on_ask_index(step, from, id),
            RaftBody::Index { id, index } => self.on_index(step, id, index),
            RaftBody::TimeoutNow {} => self.on_timeout_now(step),
            RaftBody::Introduce {} | RaftBody::Known {} | RaftBody::Stranger { .. } => {}
        }
    }

    /// A message of a higher term: whether it is to be handled, after taking that term over where it counts.
    pub(super) fn rises(&mut self, step: &mut Step<'_>, from: &Text, term: u64, body: &RaftBody) -> bool {
        match body {
            _ if self.has(Bug::R14) && self.leading().is_some() && !body.is_from_a_leader() => false,
            // Nothing has begun yet.
            RaftBody::PreVote { .. } | RaftBody::PreVoteReply { granted: true } => true,
            RaftBody::Vote { transfer: false, .. } if self.is_loyal(step.now) => false,
            _ => {
                let leader = body.is_from_a_leader().then(|| from.clone());
                self.become_follower(step, term, leader);
                true
            }
        }
    }

    /// A message of a lower term: its sender is told of ours, so that a leader of the past steps down.
    pub(super) fn answer_the_past(&mut self, step: &mut Step<'_>, from: &Text, body: &RaftBody) {
        match body {
            RaftBody::PreVote { .. } => self.send(step, from, RaftBody::PreVoteReply { granted: false }),
            RaftBody::Vote { .. } => self.send_after_hard(step, from, RaftBody::VoteReply { granted: false }),
            _ if body.is_from_a_leader() => self.send_after_hard(step, from, RaftBody::HeartbeatReply { round: 0 }),
            _ => {}
        }
    }

    /// Takes a higher term over, or steps down in the present one.
    pub(super) fn become_follower(&mut self, step: &mut Step<'_>, term: u64, leader: Option<Text>) {
        if term > self.hard.term {
            self.set_hard(step, term, None);
        }
        self.leader = None;
        if let Role::Leader(leader) = std::mem::replace(&mut self.role, Role::Follower) {
            self.set_role(step, Role::Follower);
            self.abandon(step, *leader);
        } else {
            self.set_role(step, Role::Follower);
        }
        if let Some(leader) = leader {
            self.set_leader(step, leader);
        }
        self.reset_election_timer(step.now);
    }

    pub(super) fn set_leader(&mut self, step: &mut Step<'_>, leader: Text) {
        if self.leader.as_ref() != Some(&leader) {
            self.leader = Some(leader);
            self.end_handover(step);
        }
    }
}
