//! How messages, starts and commands are told to the trace.

use std::collections::BTreeSet;

use super::core::{RaftCore, Step};
use super::message::{RaftBody, RaftMessage};
use crate::core::Stamp;
use crate::members::Text;
use crate::trace::{Origin, RaftEvent};

/// A message that leaves.
pub(super) fn sent(message: &RaftMessage, stamp: Stamp) -> RaftEvent {
    let (mut prev, mut last, mut commit, mut ok) = (None, None, None, None);
    match &message.body {
        RaftBody::PreVote { last: place } | RaftBody::Vote { last: place, .. } => last = Some(*place),
        RaftBody::PreVoteReply { granted } | RaftBody::VoteReply { granted } => ok = Some(*granted),
        RaftBody::Append {
            prev: before,
            entries,
            commit: index,
        } => {
            (prev, commit) = (Some(*before), Some(*index));
            last = Some(entries.last().map_or(*before, |entry| entry.place()));
        }
        RaftBody::Appended { last: place } => (last, ok) = (Some(*place), Some(true)),
        RaftBody::Rejected { .. } => ok = Some(false),
        RaftBody::Heartbeat { commit: index, .. } => commit = Some(*index),
        RaftBody::Snapshot(part) => last = Some(part.last),
        RaftBody::SnapshotReply { .. } => ok = Some(true),
        _ => {}
    }
    RaftEvent::Send {
        to: message.to.clone(),
        id: frame_id(message, stamp),
        m: message.body.kind(),
        term: message.term,
        prev,
        last,
        commit,
        ok,
    }
}

/// A message that arrived.
pub(super) fn received(message: &RaftMessage, stamp: Stamp) -> RaftEvent {
    RaftEvent::Receive {
        from: message.from.clone(),
        id: frame_id(message, stamp),
        m: message.body.kind(),
        term: message.term,
    }
}

fn frame_id(message: &RaftMessage, stamp: Stamp) -> Text {
    format!("{}/{}/{}", message.from, stamp.incarnation, stamp.lamport).into()
}

/// What stands in the trace for a command outside of any session: nothing is promised about its retries.
pub(super) fn origin_of_session(origin: Origin) -> Origin {
    if origin.session.is_some() { origin } else { Origin::default() }
}

impl RaftCore {
    /// Tells what was found on the disk: the life before may have died between an fsync and its line in the trace.
    pub(super) fn trace_start(&self, step: &mut Step<'_>, mono_offset_ns: i64) {
        let (_, membership) = self.configs.latest();
        let list = |members: &BTreeSet<Text>| members.iter().cloned().collect();
        step.trace(RaftEvent::RaftStart {
            member: self.member().clone(),
            term: self.hard.term,
            vote: self.hard.vote.clone(),
            base: self.log.base(),
            last: self.log.last(),
            commit: self.commit,
            applied: self.applied,
            state_hash: self.machine.hash(),
            members: list(&membership.everybody()),
            voters: list(&membership.voters),
            voters_old: membership.voters_old.as_ref().map(list),
            learners: list(&membership.learners),
            reads: self.config.reads.name(),
            sessions: true,
            election_ms: self.config.election_ms,
            heartbeat_ms: self.config.heartbeat_ms,
            snapshot_every: self.config.snapshot_every,
            mono_offset_ns,
        });
        for entry in self.log.entries() {
            step.trace(RaftEvent::Append {
                index: entry.index(),
                term: entry.term(),
                digest: entry.digest(),
                entry: entry.command().kind(),
                origin: entry.command().origin(),
                replayed: true,
            });
        }
        let (upto, term_at) = self.log.last();
        step.trace(RaftEvent::Fsync {
            upto,
            term_at,
            replayed: true,
        });
    }
}
