//! What a Raft node writes to its trace. The names and their order are a contract with the reader; `tests/golden/raft_trace.jsonl` holds
//! both sides to it.
//!
//! Indexes count from 1, and 0 is nothing; terms count from 0. A member is named by its id, which is the node's name at first and a fresh
//! one after its data were lost.

use serde::{Serialize, Serializer};

use crate::members::Text;

/// (index, term) of an entry.
pub type Place = (u64, u64);

/// A 64-bit hash, printed as 16 hex digits: numbers above 2^53 are not exact for every JSON reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Hash64(pub u64);

impl Serialize for Hash64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'0'; 16];
        for (place, digit) in text.iter_mut().enumerate() {
            *digit = DIGITS[usize::try_from(self.0 >> (60 - 4 * place) & 15).expect("four bits")];
        }
        serializer.serialize_str(std::str::from_utf8(&text).expect("hex digits are text"))
    }
}

/// Who asked for a command, as far as the request said so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Origin {
    /// The client's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<Text>,
    /// The client's number of the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// The session, if the command belongs to one: the index of the entry that opened it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<u64>,
}

/// What happened at a Raft node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RaftEvent {
    /// The node begins to serve with what it found on its disk. Its log follows at once, as `append` events, and one `fsync`.
    RaftStart {
        /// The id of the member this node is.
        member: Text,
        /// The durable term.
        term: u64,
        /// The durable vote of that term.
        vote: Option<Text>,
        /// The last entry that is not in the log any more.
        base: Place,
        /// The last entry of the log.
        last: Place,
        /// What is known to be committed: the snapshot.
        commit: u64,
        /// What the state machine holds: the snapshot.
        applied: u64,
        /// Hash of the state machine.
        state_hash: Hash64,
        /// Everybody in the configuration.
        members: Vec<Text>,
        /// Who votes.
        voters: Vec<Text>,
        /// During a joint configuration: who voted before.
        voters_old: Option<Vec<Text>>,
        /// Who only receives.
        learners: Vec<Text>,
        /// How reads are served: `read-index`, `lease` or `local`.
        reads: &'static str,
        /// Whether retried commands of a session take effect once.
        sessions: bool,
        /// Shortest election timeout, in ms.
        election_ms: u64,
        /// Time between heartbeats, in ms.
        heartbeat_ms: u64,
        /// A snapshot is taken after so many entries.
        snapshot_every: u64,
        /// The time namespace's shift of the monotonic clock, in ns: subtract it from every `mono_ns`.
        mono_offset_ns: i64,
    },
    /// This term and vote are durable now.
    Hard {
        /// The term.
        term: u64,
        /// The vote in it.
        vote: Option<Text>,
    },
    /// The node has another role.
    Role {
        /// `follower`, `pre-candidate`, `candidate`, `leader` or `learner`.
        role: &'static str,
        /// The term.
        term: u64,
        /// The last entry of its log.
        last: Place,
    },
    /// An entry is in the node's log, not yet durable.
    Append {
        /// Its index.
        index: u64,
        /// Its term.
        term: u64,
        /// Hash of its content.
        digest: Hash64,
        /// `noop`, `command`, `config` or `session`.
        entry: &'static str,
        /// Who asked for it.
        #[serde(flatten)]
        origin: Origin,
        /// True for what a restarted node found in its log.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        replayed: bool,
    },
    /// The entries from an index on are removed.
    Truncate {
        /// The first that is removed.
        from: u64,
        /// The node's term.
        term: u64,
    },
    /// The log is durable up to an index.
    Fsync {
        /// The index.
        upto: u64,
        /// The term of the entry there.
        term_at: u64,
        /// True for what a restarted node found in its log.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        replayed: bool,
    },
    /// The commit index grew.
    Commit {
        /// The new one.
        to: u64,
        /// The term of the entry there.
        term_at: u64,
        /// How the node knows: `count`, `leader`, `snapshot` or `start`.
        by: &'static str,
        /// The node's term.
        term: u64,
    },
    /// An entry was applied to the state machine.
    Apply {
        /// Its index.
        index: u64,
        /// Its term.
        term_at: u64,
        /// Hash of its content.
        digest: Hash64,
        /// Hash of the state machine afterwards.
        state_hash: Hash64,
        /// Who asked for it; empty for what belongs to no session.
        #[serde(flatten)]
        origin: Origin,
        /// For commands of a session: false if it was a duplicate or refused.
        #[serde(skip_serializing_if = "Option::is_none")]
        effect: Option<bool>,
    },
    /// A snapshot was taken.
    SnapTake {
        /// The last entry in it.
        index: u64,
        /// The term of that entry.
        term_at: u64,
        /// Hash of the state machine in it.
        state_hash: Hash64,
    },
    /// The state machine was replaced by a snapshot.
    SnapInstall {
        /// The last entry in it.
        index: u64,
        /// The term of that entry.
        term_at: u64,
        /// Hash of the state machine in it.
        state_hash: Hash64,
        /// Who sent it.
        from: Text,
    },
    /// Another configuration is effective, or one is committed.
    Config {
        /// The index of its entry.
        index: u64,
        /// Who votes.
        voters: Vec<Text>,
        /// During a joint configuration: who voted before.
        voters_old: Option<Vec<Text>>,
        /// Who only receives.
        learners: Vec<Text>,
        /// `appended`, `committed` or `truncated`.
        stage: &'static str,
    },
    /// A client is about to be answered about an entry of this node's log.
    Ack {
        /// The client's name.
        client: Option<Text>,
        /// The client's number of the command.
        sequence: Option<u64>,
        /// The session, if the command belongs to one.
        #[serde(skip_serializing_if = "Option::is_none")]
        session: Option<u64>,
        /// The index of the entry.
        index: u64,
        /// Its term.
        term_at: u64,
        /// Hash of its content.
        digest: Hash64,
        /// `ok`, `failed` or `unknown`.
        outcome: &'static str,
        /// The request's name.
        f: &'static str,
    },
    /// A read is about to be answered.
    Read {
        /// The client's name.
        client: Option<Text>,
        /// The client's number of the read.
        sequence: Option<u64>,
        /// The key.
        key: Text,
        /// The read index: what the state must hold at least.
        index: u64,
        /// What it holds.
        applied: u64,
        /// `read-index`, `lease` or `local`.
        basis: &'static str,
        /// When the request arrived at this node, on the monotonic clock.
        begun_ns: u64,
        /// The node's term.
        term: u64,
    },
    /// A message leaves.
    Send {
        /// The member it is for.
        to: Text,
        /// `<member>/<incarnation>/<Lamport stamp of the frame>`, the same at both ends.
        id: Text,
        /// What kind of message.
        m: &'static str,
        /// Its term.
        term: u64,
        /// The entry before the ones it carries.
        #[serde(skip_serializing_if = "Option::is_none")]
        prev: Option<Place>,
        /// The last entry it carries, acknowledges, or tells of.
        #[serde(skip_serializing_if = "Option::is_none")]
        last: Option<Place>,
        /// The commit index it carries.
        #[serde(skip_serializing_if = "Option::is_none")]
        commit: Option<u64>,
        /// Whether it grants.
        #[serde(skip_serializing_if = "Option::is_none")]
        ok: Option<bool>,
    },
    /// A message arrived.
    Receive {
        /// The member it is from.
        from: Text,
        /// See [`RaftEvent::Send`].
        id: Text,
        /// What kind of message.
        m: &'static str,
        /// Its term.
        term: u64,
    },
    /// Once a second.
    Health {
        /// The commit index.
        commit: u64,
        /// What the state machine holds.
        applied: u64,
        /// The term.
        term: u64,
        /// The role.
        role: &'static str,
        /// Messages sent so far in this life.
        messages: u64,
        /// Entries appended so far in this life.
        appends: u64,
    },
}

#[cfg(test)]
mod tests;
