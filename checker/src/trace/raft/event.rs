//! One event of a Raft node as the rules see it. Indexes count from 1, 0 is "nothing"; terms count from 0.

use super::names::NameId;

/// An index of the log.
pub(super) type Index = u64;

/// A term.
pub(super) type Term = u64;

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
pub(super) enum What {
    /// The first event of a life.
    Start(Box<Start>),
    /// This term and vote are durable.
    Hard { term: Term, vote: Option<NameId> },
    /// The node takes a role.
    Role { role: Role, term: Term, last: (Index, Term) },
    /// An entry is in the node's log, not yet durable unless it was found there at the start.
    Append {
        index: Index,
        term: Term,
        digest: u64,
        is_config: bool,
        replayed: bool,
    },
    /// Entries from here on were removed; `term` is the node's present one.
    Truncate { from: Index, term: Term },
    /// The log is durable up to here.
    Fsync { upto: Index, term_at: Term, replayed: bool },
    /// The node knows everything up to here to be committed.
    Commit { to: Index, term_at: Term, by: By, term: Term },
    /// An entry went into the state machine.
    Apply(Apply),
    /// A snapshot of the state after this entry.
    SnapTake { index: Index, term_at: Term, state_hash: u64 },
    /// The state machine was replaced by a snapshot.
    SnapInstall { index: Index, term_at: Term, state_hash: u64 },
    /// The members from now on.
    Config { index: Index, stage: Stage, config: Box<Config> },
    /// A client is about to be answered.
    Ack(Ack),
    /// A read is about to be answered.
    Read {
        index: Index,
        applied: Index,
        basis: Basis,
        begun_ns: u64,
        term: Term,
    },
    /// A message is about to leave.
    Send {
        to: NameId,
        stamp: u64,
        message: Message,
        term: Term,
        ok: Option<bool>,
    },
    /// A message came.
    Receive {
        from: NameId,
        incarnation: u64,
        stamp: u64,
        message: Message,
        term: Term,
    },
    /// Counters, once a second.
    Health { commit: Index, messages: u64, appends: u64 },
}

/// What a restarted node found on its disk and was started with.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Start {
    pub(super) incarnation: u64,
    pub(super) member: NameId,
    pub(super) term: Term,
    pub(super) vote: Option<NameId>,
    /// Where the log begins: the entry before its first one.
    pub(super) base: (Index, Term),
    pub(super) last: (Index, Term),
    pub(super) commit: Index,
    pub(super) applied: Index,
    pub(super) state_hash: u64,
    pub(super) config: Config,
    /// Whether retried commands of a session take effect once.
    pub(super) sessions: bool,
    pub(super) election_ms: u64,
    pub(super) heartbeat_ms: u64,
}

/// Who counts in elections and commits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Config {
    /// Sorted.
    pub(super) voters: Vec<NameId>,
    /// Sorted; `Some` in a joint configuration, whose decisions need a majority of both.
    pub(super) voters_old: Option<Vec<NameId>>,
}

impl Config {
    /// The sets of which a decision needs a majority each.
    pub(super) fn sets(&self) -> impl Iterator<Item = &[NameId]> {
        [Some(self.voters.as_slice()), self.voters_old.as_deref()].into_iter().flatten()
    }
}

/// An entry that went into the state machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Apply {
    pub(super) index: Index,
    pub(super) term_at: Term,
    pub(super) digest: u64,
    /// Of the state after it.
    pub(super) state_hash: u64,
    pub(super) command: Option<Command>,
    /// False for a duplicate within a session, or a refusal.
    pub(super) effect: bool,
}

/// Who asked for a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Command {
    pub(super) client: NameId,
    /// The session's number; `None` for a command that may take effect once more when retried.
    pub(super) session: Option<u64>,
    pub(super) sequence: u64,
}

/// An answer to a client.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ack {
    pub(super) index: Index,
    pub(super) term_at: Term,
    pub(super) digest: u64,
    pub(super) command: Option<Command>,
    pub(super) outcome: Outcome,
    /// Whether the command changes the state whenever it is applied and not refused, unlike a `cas`.
    pub(super) always_takes_effect: bool,
}

/// How a client is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Ok,
    /// Certainly not, and never.
    Failed,
    Unknown,
}

/// Roles of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Follower,
    PreCandidate,
    Candidate,
    Leader,
    Learner,
}

/// How a node learned of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// It counted acknowledgements itself.
    Count,
    Leader,
    Snapshot,
    Start,
    /// Of a later version.
    Other,
}

/// Why a configuration took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Appended,
    Committed,
    Truncated,
    Other,
}

/// What makes a read fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Basis {
    ReadIndex,
    Lease,
    /// Promises nothing.
    Local,
    Other,
}

/// Kinds of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    Vote,
    VoteReply,
    PreVote,
    PreVoteReply,
    Append,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    Snapshot,
    SnapshotReply,
    TimeoutNow,
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
