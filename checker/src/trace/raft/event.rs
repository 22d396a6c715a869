//! One event of a Raft node as the rules see it. Indexes count from 1, 0 is "nothing"; terms count from 0.
//!
//! Public for whoever has a node's events as values, as a simulator has, and need not print and read them. `words` says which word of a
//! trace means what.

use super::names::NameId;

/// An index of the log.
pub type Index = u64;

/// A term.
pub type Term = u64;

/// What stands on every line of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Which of the node's lives.
    pub incarnation: u64,
    /// The event's number within that life, from 0.
    pub seq: u64,
    /// The host's monotonic clock in ns, the node's own shift taken off.
    pub mono_ns: u64,
    /// The node's Lamport stamp.
    pub lamport: u64,
}

/// One event of one node.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    /// Its line in the file, counted from 1.
    pub(super) line: u32,
    /// The host's monotonic clock in ns, the node's own shift taken off.
    pub(super) mono_ns: u64,
    /// Larger than that of every event of another node that it depends on.
    pub(super) lamport: u64,
    pub(super) what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// The first event of a life.
    Start(Box<Start>),
    /// This term and vote are durable.
    Hard {
        /// The term.
        term: Term,
        /// The vote in that term.
        vote: Option<NameId>,
    },
    /// The node takes a role.
    Role {
        /// The role.
        role: Role,
        /// The term.
        term: Term,
        /// The last entry of the log.
        last: (Index, Term),
    },
    /// An entry is in the node's log, not yet durable unless it was found there at the start.
    Append {
        /// The index.
        index: Index,
        /// The term.
        term: Term,
        /// Hash of the entry's content.
        digest: u64,
        /// Whether it changes the members.
        is_config: bool,
        /// Whether it was found at the start.
        replayed: bool,
    },
    /// Entries from here on were removed; `term` is the node's present one.
    Truncate {
        /// The first that is removed.
        from: Index,
        /// The term.
        term: Term,
    },
    /// The log is durable up to here.
    Fsync {
        /// The index.
        upto: Index,
        /// The term of the entry there.
        term_at: Term,
        /// Whether it was found at the start.
        replayed: bool,
    },
    /// The node knows everything up to here to be committed.
    Commit {
        /// The index.
        to: Index,
        /// The term of the entry there.
        term_at: Term,
        /// How the node knows.
        by: By,
        /// The term.
        term: Term,
    },
    /// An entry went into the state machine.
    Apply(Apply),
    /// A snapshot of the state after this entry.
    SnapTake {
        /// The index.
        index: Index,
        /// The term of the entry there.
        term_at: Term,
        /// Hash of the state machine.
        state_hash: u64,
    },
    /// The state machine was replaced by a snapshot.
    SnapInstall {
        /// The index.
        index: Index,
        /// The term of the entry there.
        term_at: Term,
        /// Hash of the state machine.
        state_hash: u64,
    },
    /// The members from now on.
    Config {
        /// The index.
        index: Index,
        /// Why it is told.
        stage: Stage,
        /// Who counts.
        config: Box<Config>,
    },
    /// A client is about to be answered.
    Ack(Ack),
    /// A read is about to be answered.
    Read {
        /// The index.
        index: Index,
        /// What the state machine holds.
        applied: Index,
        /// What makes it fresh.
        basis: Basis,
        /// When the request came, on the host's monotonic clock in ns.
        begun_ns: u64,
        /// The term.
        term: Term,
    },
    /// A message is about to leave.
    Send {
        /// The member it is for.
        to: NameId,
        /// The Lamport stamp of its frame.
        stamp: u64,
        /// Its kind.
        message: Message,
        /// The term.
        term: Term,
        /// Whether it grants.
        ok: Option<bool>,
    },
    /// A message came.
    Receive {
        /// The member it is from.
        from: NameId,
        /// Which life.
        incarnation: u64,
        /// The Lamport stamp of its frame.
        stamp: u64,
        /// Its kind.
        message: Message,
        /// The term.
        term: Term,
    },
    /// Counters, once a second.
    Health {
        /// The commit index.
        commit: Index,
        /// Messages sent in this life.
        messages: u64,
        /// Entries appended in this life.
        appends: u64,
    },
}

/// What a restarted node found on its disk and was started with.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// Which life.
    pub incarnation: u64,
    /// The member that the node is.
    pub member: NameId,
    /// The term.
    pub term: Term,
    /// The vote in that term.
    pub vote: Option<NameId>,
    /// Where the log begins: the entry before its first one.
    pub base: (Index, Term),
    /// The last entry of the log.
    pub last: (Index, Term),
    /// The commit index.
    pub commit: Index,
    /// What the state machine holds.
    pub applied: Index,
    /// Hash of the state machine.
    pub state_hash: u64,
    /// Who counts.
    pub config: Config,
    /// Whether retried commands of a session take effect once.
    pub sessions: bool,
    /// Shortest election timeout, in ms.
    pub election_ms: u64,
    /// Time between heartbeats, in ms.
    pub heartbeat_ms: u64,
}

/// Who counts in elections and commits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Sorted.
    pub voters: Vec<NameId>,
    /// Sorted; `Some` in a joint configuration, whose decisions need a majority of both.
    pub voters_old: Option<Vec<NameId>>,
}

impl Config {
    /// The sets of which a decision needs a majority each.
    pub(super) fn sets(&self) -> impl Iterator<Item = &[NameId]> {
        [Some(self.voters.as_slice()), self.voters_old.as_deref()].into_iter().flatten()
    }
}

/// An entry that went into the state machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Apply {
    /// The index.
    pub index: Index,
    /// The term of the entry there.
    pub term_at: Term,
    /// Hash of the entry's content.
    pub digest: u64,
    /// Of the state after it.
    pub state_hash: u64,
    /// Who asked for it.
    pub command: Option<Command>,
    /// False for a duplicate within a session, or a refusal.
    pub effect: bool,
}

/// Who asked for a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Command {
    /// The client.
    pub client: NameId,
    /// The session's number; `None` for a command that may take effect once more when retried.
    pub session: Option<u64>,
    /// The client's number of the command.
    pub sequence: u64,
}

/// An answer to a client.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ack {
    /// The index.
    pub index: Index,
    /// The term of the entry there.
    pub term_at: Term,
    /// Hash of the entry's content.
    pub digest: u64,
    /// Who asked for it.
    pub command: Option<Command>,
    /// How.
    pub outcome: Outcome,
    /// Whether the command changes the state whenever it is applied and not refused, unlike a `cas`.
    pub always_takes_effect: bool,
}

/// How a client is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect.
    Ok,
    /// Certainly not, and never.
    Failed,
    /// Perhaps.
    Unknown,
}

/// Roles of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It follows.
    Follower,
    /// It asks whether it would be elected.
    PreCandidate,
    /// It asks for votes.
    Candidate,
    /// It leads.
    Leader,
    /// It only receives.
    Learner,
}

/// How a node learned of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// It counted acknowledgements itself.
    Count,
    /// The leader said so.
    Leader,
    /// With a snapshot.
    Snapshot,
    /// It was known at the start.
    Start,
    /// Of a later version.
    Other,
}

/// Why a configuration took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Its entry is in the log.
    Appended,
    /// Its entry is committed.
    Committed,
    /// The entry after it was removed.
    Truncated,
    /// Of a later version.
    Other,
}

/// What makes a read fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// A majority confirmed the leader after the request came.
    ReadIndex,
    /// The leader holds a lease.
    Lease,
    /// Promises nothing.
    Local,
    /// Of a later version.
    Other,
}

/// Kinds of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// A vote request.
    Vote,
    /// Its answer.
    VoteReply,
    /// A pre-vote request.
    PreVote,
    /// Its answer.
    PreVoteReply,
    /// Entries, or none.
    Append,
    /// Its answer.
    AppendReply,
    /// A heartbeat.
    Heartbeat,
    /// Its answer.
    HeartbeatReply,
    /// A part of a snapshot.
    Snapshot,
    /// Its answer.
    SnapshotReply,
    /// Leadership is handed over.
    TimeoutNow,
    /// Of a later version.
    Other,
}

impl Message {
    /// The word for a person.
    pub(super) fn word(self) -> &'static str {
        match self {
            Message::Vote => "vote request",
            Message::VoteReply => "vote reply",
            Message::PreVote => "pre-vote request",
            Message::PreVoteReply => "pre-vote reply",
            Message::Append => "append",
            Message::AppendReply => "append reply",
            Message::Heartbeat => "heartbeat",
            Message::HeartbeatReply => "heartbeat reply",
            Message::Snapshot => "snapshot",
            Message::SnapshotReply => "snapshot reply",
            Message::TimeoutNow => "timeout-now",
            Message::Other => "message",
        }
    }
}
