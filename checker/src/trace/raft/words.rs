//! The words of a node's trace: what each of them means.

use super::event::{Basis, By, Message, Outcome, Role, Stage};

/// A message's id in a trace: `<member>/<incarnation>/<Lamport stamp of its frame>`, the same at both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageId<'a> {
    /// The member that sent it.
    pub member: &'a str,
    /// In which of its lives.
    pub incarnation: u64,
    /// The Lamport stamp of the frame.
    pub stamp: u64,
}

impl MessageId<'_> {
    /// Reads an id; `None` if it is none.
    pub fn read(text: &str) -> Option<MessageId<'_>> {
        let (rest, stamp) = text.rsplit_once('/')?;
        let (member, incarnation) = rest.rsplit_once('/')?;
        Some(MessageId {
            member,
            incarnation: incarnation.parse().ok()?,
            stamp: stamp.parse().ok()?,
        })
    }
}

impl Role {
    /// The role of this name; `None` for one of a later version.
    pub fn of_word(text: &str) -> Option<Role> {
        Some(match text {
            "follower" => Role::Follower,
            "pre-candidate" => Role::PreCandidate,
            "candidate" => Role::Candidate,
            "leader" => Role::Leader,
            "learner" => Role::Learner,
            _ => return None,
        })
    }
}

impl By {
    /// What `by` of a commit says.
    pub fn of_word(text: &str) -> By {
        match text {
            "count" => By::Count,
            "leader" => By::Leader,
            "snapshot" => By::Snapshot,
            "start" => By::Start,
            _ => By::Other,
        }
    }
}

impl Stage {
    /// What `stage` of a configuration says.
    pub fn of_word(text: &str) -> Stage {
        match text {
            "appended" => Stage::Appended,
            "committed" => Stage::Committed,
            "truncated" => Stage::Truncated,
            _ => Stage::Other,
        }
    }
}

impl Outcome {
    /// What `outcome` of an answer says; `None` for one of a later version.
    pub fn of_word(text: &str) -> Option<Outcome> {
        Some(match text {
            "ok" => Outcome::Ok,
            "failed" => Outcome::Failed,
            "unknown" => Outcome::Unknown,
            _ => return None,
        })
    }
}

impl Basis {
    /// What `basis` of a read says.
    pub fn of_word(text: &str) -> Basis {
        match text {
            "read-index" => Basis::ReadIndex,
            "lease" => Basis::Lease,
            "local" => Basis::Local,
            _ => Basis::Other,
        }
    }
}

impl Message {
    /// What `m` of a message says.
    pub fn of_word(text: &str) -> Message {
        match text {
            "vote" => Message::Vote,
            "vote_reply" => Message::VoteReply,
            "pre_vote" => Message::PreVote,
            "pre_vote_reply" => Message::PreVoteReply,
            "append" => Message::Append,
            "append_reply" => Message::AppendReply,
            "heartbeat" => Message::Heartbeat,
            "heartbeat_reply" => Message::HeartbeatReply,
            "snapshot" => Message::Snapshot,
            "snapshot_reply" => Message::SnapshotReply,
            "timeout_now" => Message::TimeoutNow,
            _ => Message::Other,
        }
    }
}
