//! What a system under test can do, and what a fault needs of it. Neither knows the other: whoever plans intersects the two.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Something a system can do, or tell, that a fault may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Capability {
    /// Its nodes may be killed at any moment.
    Kill,
    /// Its nodes may be stopped and continued.
    Pause,
    /// A node that was killed can be started again with its data.
    Restart,
    /// It can say which node takes itself for the leader.
    Leader,
    /// It can say which nodes ask to be the leader.
    Candidates,
    /// Its nodes can say how far their logs go.
    Logs,
    /// It can say which nodes hold a key.
    Replicas,
    /// Its leadership can be handed over.
    Transfer,
    /// Its members can be removed and added while it serves.
    Membership,
    /// Nodes that it never had can become members while it serves, and leave again.
    Grow,
}

impl fmt::Display for Capability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Capability::Kill => "kill",
            Capability::Pause => "pause",
            Capability::Restart => "restart",
            Capability::Leader => "name its leader",
            Capability::Candidates => "name its candidates",
            Capability::Logs => "say whose log is newest",
            Capability::Replicas => "name replicas",
            Capability::Transfer => "hand its leadership over",
            Capability::Membership => "take members out and in again",
            Capability::Grow => "take new nodes in",
        })
    }
}
