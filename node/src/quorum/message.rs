//! What quorum nodes say to each other. Every message names the operation of the coordinator, and every answer repeats it.

use serde::{Deserialize, Serialize};

use crate::members::Text;
use crate::version::Version;

/// An operation of one life of a coordinator. The incarnation is part of it: an answer to a former life must not count in this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OpId {
    /// Which life of the coordinator.
    pub incarnation: u64,
    /// Number within that life, from 1.
    pub number: u64,
}

/// A message between a coordinator and a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuorumMessage {
    /// What do you hold durably?
    Read {
        /// The coordinator's operation.
        op: OpId,
        /// The key.
        key: Text,
        /// False if the version is enough.
        value_wanted: bool,
    },
    /// The answer to `Read`.
    ReadReply {
        /// The coordinator's operation.
        op: OpId,
        /// The durable version; `None` for a key never held.
        version: Option<Version>,
        /// Its value, if it was wanted.
        value: Option<Text>,
    },
    /// Make this durable, unless you hold something newer.
    Write {
        /// The coordinator's operation.
        op: OpId,
        /// The key.
        key: Text,
        /// The version.
        version: Version,
        /// The value.
        value: Text,
    },
    /// This version or a newer one is durable here.
    WriteReply {
        /// The coordinator's operation.
        op: OpId,
    },
}
