//! What quorum nodes say to each other. Every message that carries a value names the operation of the node that sent it, and every answer
//! repeats it: operations are numbered upwards, so a replica can refuse everything that was begun before some moment (`reaper`).

use serde::{Deserialize, Serialize};

use super::cell::{Cell, Stored};
use crate::members::Text;
use crate::vector::Vector;
use crate::version::Version;

/// An operation of one life of a coordinator. The incarnation is part of it: an answer to a former life must not count in this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OpId {
    /// Which life of the coordinator.
    pub incarnation: u64,
    /// Number within that life, from 1.
    pub number: u64,
}

/// One more value of a key beside the newest. Only version vectors leave more than one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sibling {
    /// Its version.
    pub version: Version,
    /// The value; `None` for a tombstone, or where values were not asked for.
    pub value: Option<Text>,
    /// What its write had seen.
    #[serde(default, skip_serializing_if = "Vector::is_empty")]
    pub vector: Vector,
}

/// A message between two nodes.
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
        /// True if a checksum of the values is to come in their place.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        digest: bool,
    },
    /// The answer to `Read`.
    ReadReply {
        /// The coordinator's operation.
        op: OpId,
        /// The newest durable version; `None` for a key of which nothing is held.
        version: Option<Version>,
        /// Its value, if it was wanted and the key was not deleted.
        value: Option<Text>,
        /// True if values were wanted and the newest version is a tombstone.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        deleted: bool,
        /// What the newest version's write had seen.
        #[serde(default, skip_serializing_if = "Vector::is_empty")]
        vector: Vector,
        /// The other values.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        siblings: Vec<Sibling>,
        /// A checksum over all versions and values, if it was wanted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        checksum: Option<u32>,
        /// The largest counter of a tombstone that was ever reaped here: no new version may be smaller.
        #[serde(default, skip_serializing_if = "is_zero")]
        floor: u64,
    },
    /// Make this durable, unless you hold what replaces it.
    Write {
        /// The sender's operation.
        op: OpId,
        /// The key.
        key: Text,
        /// The newest version.
        version: Version,
        /// Its value; `None` deletes the key.
        value: Option<Text>,
        /// What its write had seen.
        #[serde(default, skip_serializing_if = "Vector::is_empty")]
        vector: Vector,
        /// The other values.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        siblings: Vec<Sibling>,
    },
    /// All of it, or what replaces it, is durable here.
    WriteReply {
        /// The sender's operation.
        op: OpId,
    },
    /// Anti-entropy: of the keys after `after` up to `until` that we both keep, I hold these versions.
    Compare {
        /// The range begins behind this key; `None`: with the first.
        after: Option<Text>,
        /// The range ends with this key; `None`: with the last.
        until: Option<Text>,
        /// Keys and their versions, in order.
        held: Vec<(Text, Vec<Version>)>,
    },
    /// Anti-entropy: send me what you hold of these keys.
    Want {
        /// The keys.
        keys: Vec<Text>,
    },
    /// A tombstone of this key is to go: which operations have you begun, which ended, and do you keep a hint for the key?
    Fence {
        /// The reaper's operation.
        op: OpId,
        /// The key.
        key: Text,
    },
    /// The answer to `Fence`.
    FenceReply {
        /// The reaper's operation.
        op: OpId,
        /// The last operation this node began.
        last: OpId,
        /// All operations up to this one have ended.
        closed: OpId,
        /// Whether a hint for the key is kept.
        hinted: bool,
    },
    /// This tombstone may go, if it is all that is held. From now on take no value that was sent under these operations or earlier ones.
    Reap {
        /// The key.
        key: Text,
        /// The tombstone's version.
        version: Version,
        /// For each member the last operation under which an older value may still arrive.
        fences: Vec<(Text, OpId)>,
    },
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What a replica shows of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// The siblings; without values unless `has_values`.
    pub(super) cell: Cell,
    pub(super) has_values: bool,
    pub(super) checksum: Option<u32>,
    pub(super) floor: u64,
}

/// How much of a key is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Versions,
    Digest,
    Values,
}

impl QuorumMessage {
    /// A `Write` of a cell that is not empty.
    pub(super) fn write(op: OpId, key: Text, cell: &Cell) -> Option<QuorumMessage> {
        let Stored { version, value, vector } = cell.newest()?.clone();
        let siblings = siblings(cell, true);
        Some(QuorumMessage::Write {
            op,
            key,
            version,
            value,
            vector,
            siblings,
        })
    }

    /// The answer to a `Read`.
    pub(super) fn read_reply(op: OpId, cell: Option<&Cell>, part: Part, floor: u64) -> QuorumMessage {
        let has_values = part == Part::Values;
        let newest = cell.and_then(Cell::newest);
        QuorumMessage::ReadReply {
            op,
            version: newest.map(|newest| newest.version.clone()),
            value: newest.filter(|_| has_values).and_then(|newest| newest.value.clone()),
            deleted: has_values && newest.is_some_and(|newest| newest.value.is_none()),
            vector: newest.map(|newest| newest.vector.clone()).unwrap_or_default(),
            siblings: cell.map(|cell| siblings(cell, has_values)).unwrap_or_default(),
            checksum: cell.filter(|_| part == Part::Digest).map(Cell::checksum),
            floor,
        }
    }
}

fn siblings(cell: &Cell, has_values: bool) -> Vec<Sibling> {
    let others = cell.iter().rev().skip(1);
    others
        .map(|Stored { version, value, vector }| Sibling {
            version: version.clone(),
            value: value.clone().filter(|_| has_values),
            vector: vector.clone(),
        })
        .collect()
}

/// The cell that a message carries.
pub(super) fn cell_of(version: Version, value: Option<Text>, vector: Vector, siblings: Vec<Sibling>) -> Cell {
    let mut cell = Cell::of(Stored { version, value, vector });
    for Sibling { version, value, vector } in siblings {
        cell.merge(Stored { version, value, vector });
    }
    cell
}
