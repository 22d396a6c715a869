//! What Raft nodes say to each other.

use serde::{Deserialize, Serialize};

use super::entry::Entry;
use super::membership::Membership;
use crate::members::Text;
use crate::trace::Place;

/// A message from one member to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaftMessage {
    /// The sender.
    pub from: Text,
    /// The receiver. A node that is another member by now does not take it.
    pub to: Text,
    /// Which life of the sender's data speaks; see [`super::RaftConfig::birth`].
    pub birth: u64,
    /// The sender's term; in a pre-vote and in a pre-vote that is granted, the term that would begin.
    pub term: u64,
    /// The rest.
    pub body: RaftBody,
}

/// The kinds of messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RaftBody {
    /// Would you vote for me? (Ongaro 2014, §9.6)
    PreVote {
        /// The sender's last entry.
        last: Place,
    },
    /// The answer.
    PreVoteReply {
        /// Yes or no.
        granted: bool,
    },
    /// Vote for me.
    Vote {
        /// The sender's last entry.
        last: Place,
        /// The leader asked the sender to stand: vote although the leader was heard of.
        transfer: bool,
    },
    /// The answer.
    VoteReply {
        /// Yes or no.
        granted: bool,
    },
    /// Entries from the leader.
    Append {
        /// The entry before them.
        prev: Place,
        /// The entries, one after the other.
        entries: Vec<Entry>,
        /// The leader's commit index.
        commit: u64,
    },
    /// The log up to here is the leader's, and durable.
    Appended {
        /// The last entry known to be the same.
        last: Place,
    },
    /// `prev` is not in the log.
    Rejected {
        /// The index of `prev`.
        prev: u64,
        /// The term that stands there instead; `None` if the log is too short.
        conflict_term: Option<u64>,
        /// The first entry of that term, or the one behind the log's end: no need to try anything later.
        conflict_index: u64,
    },
    /// I lead.
    Heartbeat {
        /// What the receiver may commit: never more than it acknowledged.
        commit: u64,
        /// Numbers the leader's rounds, so that an answer tells when it still led.
        round: u64,
    },
    /// Yes.
    HeartbeatReply {
        /// The round.
        round: u64,
    },
    /// A part of a snapshot.
    Snapshot(SnapshotPart),
    /// What of the snapshot has arrived.
    SnapshotReply {
        /// The snapshot's last entry.
        index: u64,
        /// The byte that is wanted next.
        next: u64,
    },
    /// What is committed, and do you still lead?
    AskIndex {
        /// Comes back with the answer.
        id: u64,
    },
    /// This was committed when the question arrived or later, and a majority confirmed the leader since.
    Index {
        /// The question.
        id: u64,
        /// The index.
        index: u64,
    },
    /// Stand for election at once (Ongaro 2014, §3.10).
    TimeoutNow {},
    /// A member whose data are new asks whether anybody knows older ones.
    Introduce {},
    /// Nobody here does, and the receiver's data are now known.
    Known {},
    /// Somebody does: the receiver's data are not those of the member it says it is.
    Stranger {
        /// The data that are refused.
        birth: u64,
    },
}

/// A part of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotPart {
    /// The last entry in the snapshot.
    pub last: Place,
    /// The configuration there.
    pub membership: Membership,
    /// Where the part begins, in bytes.
    pub offset: u64,
    /// Length of the whole, in bytes.
    pub length: u64,
    /// The part.
    pub data: Text,
}

impl RaftBody {
    /// The kind as the trace names it.
    pub fn kind(&self) -> &'static str {
        match self {
            RaftBody::PreVote { .. } => "pre_vote",
            RaftBody::PreVoteReply { .. } => "pre_vote_reply",
            RaftBody::Vote { .. } => "vote",
            RaftBody::VoteReply { .. } => "vote_reply",
            RaftBody::Append { .. } => "append",
            RaftBody::Appended { .. } | RaftBody::Rejected { .. } => "append_reply",
            RaftBody::Heartbeat { .. } => "heartbeat",
            RaftBody::HeartbeatReply { .. } => "heartbeat_reply",
            RaftBody::Snapshot(_) => "snapshot",
            RaftBody::SnapshotReply { .. } => "snapshot_reply",
            RaftBody::AskIndex { .. } => "ask_index",
            RaftBody::Index { .. } => "index",
            RaftBody::TimeoutNow {} => "timeout_now",
            RaftBody::Introduce {} => "introduce",
            RaftBody::Known {} => "known",
            RaftBody::Stranger { .. } => "stranger",
        }
    }

    /// True if only the leader of the message's term sends it.
    pub fn is_from_a_leader(&self) -> bool {
        matches!(
            self,
            RaftBody::Append { .. } | RaftBody::Heartbeat { .. } | RaftBody::Snapshot(_) | RaftBody::Index { .. } | RaftBody::TimeoutNow {}
        )
    }
}
