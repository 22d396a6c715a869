//! What a coordinator has under way: a put or a get that is open, and the trail of a put that was answered.

use super::cell::Cell;
use super::get::Get;
use super::message::{OpId, QuorumMessage};
use super::put::Put;
use crate::members::{NodeIndex, Text};

/// What an answered put still waits for.
#[derive(Debug)]
pub(super) struct Trail {
    pub(super) key: Text,
    pub(super) cell: Cell,
    pub(super) missing: Vec<NodeIndex>,
    /// Its place in the agenda.
    pub(super) ends_ns: u64,
}

impl Trail {
    pub(super) fn byte_count(&self) -> usize {
        self.key.len() + self.cell.byte_count()
    }
}

/// What an operation does.
#[derive(Debug)]
pub(super) enum Work {
    Put(Put),
    Get(Get),
}

impl Work {
    pub(super) fn calls(&self, op: OpId) -> Vec<(NodeIndex, QuorumMessage)> {
        match self {
            Work::Put(put) => put.calls(op),
            Work::Get(get) => get.calls(op),
        }
    }

    /// Home replicas known to hold what was sent, or what is returned, durably.
    pub(super) fn acks(&self) -> &[NodeIndex] {
        match self {
            Work::Put(put) => put.acks(),
            Work::Get(get) => get.holders(),
        }
    }

    pub(super) fn byte_count(&self) -> usize {
        match self {
            Work::Put(put) => put.key.len() + put.value.as_ref().map_or(0, |value| value.len()),
            Work::Get(get) => get.key.len(),
        }
    }
}
