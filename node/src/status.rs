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
    /// The node's latest Lamport stamp.
    pub lamport: u64,
}
