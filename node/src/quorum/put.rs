//! A put or a delete at its coordinator: read versions from a majority, take a larger one, send to all, count durable acknowledgements. A
//! delete writes a tombstone, which is a version like any other.

use super::cell::{Cell, Stored};
use super::message::{OpId, QuorumMessage, Shown};
use super::version_source::Seen;
use crate::members::{NodeIndex, Text};
use crate::vector::Vector;
use crate::version::Version;

/// A put on its way.
#[derive(Debug)]
pub(super) struct Put {
    pub(super) key: Text,
    /// `None` deletes.
    pub(super) value: Option<Text>,
    homes: Vec<NodeIndex>,
    stage: Stage,
}

/// What a put waits for. Only in the second stage can a replica hold the value: before it, failure is definite.
#[derive(Debug)]
enum Stage {
    Versions {
        answered: Vec<NodeIndex>,
        seen: Seen,
    },
    Acknowledgements {
        cell: Cell,
        version: Version,
        acks: Vec<NodeIndex>,
    },
}

impl Put {
    pub(super) fn new(key: Text, value: Option<Text>, homes: Vec<NodeIndex>) -> Put {
        Put {
            key,
            value,
            homes,
            stage: Stage::Versions {
                answered: Vec::new(),
                seen: Seen::default(),
            },
        }
    }

    /// Counts what a replica shows; true once `majority` replicas answered.
    pub(super) fn on_version(&mut self, from: NodeIndex, shown: &Shown, majority: usize) -> bool {
        let Stage::Versions { answered, seen } = &mut self.stage else {
            return false;
        };
        if answered.contains(&from) || !self.homes.contains(&from) {
            return false;
        }
        answered.push(from);
        seen.counter = seen.counter.max(shown.floor);
        for Stored { version, vector, .. } in shown.cell.iter() {
            seen.counter = seen.counter.max(version.counter);
            seen.vector.join(vector);
        }
        answered.len() >= majority
    }

    /// What the replicas that answered hold.
    pub(super) fn seen(&self) -> Seen {
        match &self.stage {
            Stage::Versions { seen, .. } => seen.clone(),
            Stage::Acknowledgements { .. } => Seen::default(),
        }
    }

    /// The put has its version, once and for ever; the next calls carry the value.
    pub(super) fn assign(&mut self, version: Version, vector: Vector) {
        assert!(matches!(self.stage, Stage::Versions { .. }), "a put gets one version");
        let cell = Cell::of(Stored {
            version: version.clone(),
            value: self.value.clone(),
            vector,
        });
        self.stage = Stage::Acknowledgements {
            cell,
            version,
            acks: Vec::new(),
        };
    }

    /// Counts an acknowledgement; true once W replicas gave one.
    pub(super) fn on_ack(&mut self, from: NodeIndex, w: usize) -> bool {
        let Stage::Acknowledgements { acks, .. } = &mut self.stage else {
            return false;
        };
        if !acks.contains(&from) && self.homes.contains(&from) {
            acks.push(from);
        }
        acks.len() >= w
    }

    /// The version, if the value may have left this node.
    pub(super) fn version(&self) -> Option<&Version> {
        match &self.stage {
            Stage::Versions { .. } => None,
            Stage::Acknowledgements { version, .. } => Some(version),
        }
    }

    /// Who acknowledged.
    pub(super) fn acks(&self) -> &[NodeIndex] {
        match &self.stage {
            Stage::Versions { .. } => &[],
            Stage::Acknowledgements { acks, .. } => acks,
        }
    }

    /// What was sent, and the home replicas that have not acknowledged it.
    pub(super) fn missing(&self) -> Option<(&Cell, Vec<NodeIndex>)> {
        match &self.stage {
            Stage::Versions { .. } => None,
            Stage::Acknowledgements { cell, acks, .. } => {
                Some((cell, self.homes.iter().copied().filter(|home| !acks.contains(home)).collect()))
            }
        }
    }

    /// What to send to the replicas that have not answered the present stage. The same message every time: a version is never changed.
    pub(super) fn calls(&self, op: OpId) -> Vec<(NodeIndex, QuorumMessage)> {
        let (answered, message) = match &self.stage {
            Stage::Versions { answered, .. } => {
                let read = QuorumMessage::Read {
                    op,
                    key: self.key.clone(),
                    value_wanted: false,
                    digest: false,
                };
                (answered, Some(read))
            }
            Stage::Acknowledgements { cell, acks, .. } => (acks, QuorumMessage::write(op, self.key.clone(), cell)),
        };
        let open = self.homes.iter().copied().filter(|home| !answered.contains(home));
        message
            .map(|message| open.map(|home| (home, message.clone())).collect())
            .unwrap_or_default()
    }
}
