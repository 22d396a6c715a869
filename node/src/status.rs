//! Health as the application sees it, not as a TCP connect would: has it recovered, how deep are its queues, how slow is its disk.

use serde::{Deserialize, Serialize};

use crate::members::Text;

/// A node's answer to `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The log is replayed, the incarnation durable, and requests are served.
    pub ready: bool,
    /// Name of the node.
    pub node: Text,
    /// Which life of the node, from 1.
    pub incarnation: u64,
    /// Operations that were accepted and are not answered.
    pub queue_depth: u64,
    /// The most there ever were in this life.
    pub queue_depth_max: u64,
    /// How long the last fsync of the log took, in us; 0 before the first.
    pub last_fsync_us: u64,
    /// How long the slowest took, in us.
    pub slowest_fsync_us: u64,
    /// How many fsyncs of the log returned.
    pub fsyncs: u64,
    /// Keys held durably.
    pub keys: u64,
    /// Other members with a working link.
    pub peers_connected: u64,
    /// Time since the node serves, in ms.
    pub uptime_ms: u64,
    /// What the node's wall clock shows as it answers, in ns since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_ns: Option<u64>,
    /// The node's latest Lamport stamp.
    pub lamport: u64,
    /// In the quorum store: the failure domain that the node is in, if it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Text>,
    /// In the Raft store: where the node stands in its cluster.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
}

/// Where a node of the Raft store stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The id of the member that this node is.
    pub member: Text,
    /// `follower`, `pre-candidate`, `candidate`, `leader` or `learner`.
    pub role: Text,
    /// The current term.
    pub term: u64,
    /// The node that leads this term, as far as this one knows.
    pub leader: Option<Text>,
    /// The commit index.
    pub commit: u64,
    /// The last entry that the state machine holds.
    pub applied: u64,
    /// The last entry of the log.
    pub last: u64,
    /// Its term; 0 if there is none.
    #[serde(default)]
    pub last_term: u64,
    /// The last entry of the newest snapshot.
    pub snapshot: u64,
    /// Members that vote in the newest configuration.
    pub voters: Vec<Text>,
    /// Members that only receive.
    pub learners: Vec<Text>,
    /// Whether that configuration may still be taken back or is on the way to another one: it is joint, or not committed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub changing: bool,
}
