//! A put at its coordinator: read versions from a majority, take a larger one, send to all, count durable acknowledgements.

use super::message::{OpId, QuorumMessage};
use crate::members::{NodeIndex, Text};
use crate::version::Version;

/// A put on its way.
#[derive(Debug)]
pub(super) struct Put {
    pub(super) key: Text,
    pub(super) value: Text,
    homes: Vec<NodeIndex>,
    stage: Stage,
}

/// What a put waits for. Only in the second stage can a replica hold the value: before it, failure is definite.
#[derive(Debug)]
enum Stage {
    Versions { answered: Vec<NodeIndex>, counter_max: u64 },
    Acknowledgements { version: Version, acks: Vec<NodeIndex> },
}

impl Put {
    pub(super) fn new(key: Text, value: Text, homes: Vec<NodeIndex>) -> Put {
        Put {
            key,
            value,
            homes,
            stage: Stage::Versions {
                answered: Vec::new(),
                counter_max: 0,
            },
        }
    }

    /// Counts a version; returns the largest counter once `majority` replicas answered. Later answers return nothing.
    pub(super) fn on_version(&mut self, from: NodeIndex, version: Option<&Version>, majority: usize) -> Option<u64> {
        let Stage::Versions { answered, counter_max } = &mut self.stage else {
            return None;
        };
        if answered.contains(&from) || !self.homes.contains(&from) {
            return None;
        }
        answered.push(from);
        *counter_max = (*counter_max).max(version.map_or(0, |version| version.counter));
        (answered.len() >= majority).then_some(*counter_max)
    }

    /// The put has its version, once and for ever; the next calls carry the value.
    pub(super) fn assign(&mut self, version: Version) {
        assert!(matches!(self.stage, Stage::Versions { .. }), "a put gets one version");
        self.stage = Stage::Acknowledgements { version, acks: Vec::new() };
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

    /// The replicas that have not answered the present stage, and what to send them. The same message every time: a version is never
    /// changed.
    pub(super) fn calls(&self, op: OpId) -> (Vec<NodeIndex>, QuorumMessage) {
        let (answered, message) = match &self.stage {
            Stage::Versions { answered, .. } => (
                answered,
                QuorumMessage::Read {
                    op,
                    key: self.key.clone(),
                    value_wanted: false,
                },
            ),
            Stage::Acknowledgements { version, acks } => (
                acks,
                QuorumMessage::Write {
                    op,
                    key: self.key.clone(),
                    version: version.clone(),
                    value: self.value.clone(),
                },
            ),
        };
        (
            self.homes.iter().copied().filter(|home| !answered.contains(home)).collect(),
            message,
        )
    }
}
