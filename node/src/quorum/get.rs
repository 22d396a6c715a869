//! A get at its coordinator: what R replies together hold, made safe against later operations before it is returned.
//!
//! With **digest reads** one replica is asked for the value and the others for versions and a checksum. If what the one sent is, together
//! with what the others hold, the newest, it is the answer, as if all had sent it. If a digest is newer, or has the same version and another
//! checksum, or the value does not come in time, all are asked for values, and the get begins anew: a full read within the get is as good
//! as a get that asked so from the start.

use super::cell::Cell;
use super::message::{OpId, QuorumMessage, Shown};
use crate::bugs::{Bug, Planted};
use crate::members::{NodeIndex, Text};

/// One replica's reply. Without values if only a digest was asked for.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) from: NodeIndex,
    pub(super) shown: Shown,
}

/// What a reply leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// More are needed.
    Wait,
    /// Enough are there.
    Decide,
    /// The digests do not agree with the value: ask all for values.
    Disagree,
}

/// A get on its way.
#[derive(Debug)]
pub(super) struct Get {
    pub(super) key: Text,
    homes: Vec<NodeIndex>,
    /// The replica that is asked for the value while the others are asked for digests; `None`: all are asked for values.
    full: Option<NodeIndex>,
    replies: Vec<Reply>,
    is_decided: bool,
    merged: Cell,
    /// Replicas that hold all that is returned, or what replaces it, durably: those that replied with it, later those that acknowledged it.
    holders: Vec<NodeIndex>,
    is_writing_back: bool,
    planted: Planted,
}

impl Get {
    pub(super) fn new(key: Text, homes: Vec<NodeIndex>, full: Option<NodeIndex>, planted: Planted) -> Get {
        Get {
            key,
            homes,
            full,
            replies: Vec::new(),
            is_decided: false,
            merged: Cell::default(),
            holders: Vec::new(),
            is_writing_back: false,
            planted,
        }
    }

    /// Counts a reply. After the decision, replies change nothing.
    pub(super) fn on_reply(&mut self, from: NodeIndex, shown: Shown, r: usize) -> Step {
        let is_new = !self.replies.iter().any(|reply| reply.from == from) && self.homes.contains(&from);
        // Where values are asked for, a version without its value answers another question; the call is made again.
        let is_answer = shown.has_values
            || self
                .full
                .is_some_and(|full| full != from && (shown.checksum.is_some() || shown.cell.is_empty()));
        if self.is_decided || !is_new || !is_answer {
            return Step::Wait;
        }
        self.replies.push(Reply { from, shown });
        if self.replies.len() < r {
            return Step::Wait;
        }
        if self.full.is_none() {
            self.decide();
            return Step::Decide;
        }
        let Some(full) = self
            .replies
            .iter()
            .find(|reply| reply.shown.has_values && Some(reply.from) == self.full)
        else {
            return Step::Wait;
        };
        let cell = &full.shown.cell;
        if self.planted.has(Bug::Q18) || self.replies.iter().all(|reply| agrees(cell, &reply.shown)) {
            self.decide();
            return Step::Decide;
        }
        self.ask_all_for_values();
        Step::Disagree
    }

    fn decide(&mut self) {
        self.is_decided = true;
        let counted = if self.planted.has(Bug::Q11) { 1 } else { self.replies.len() };
        for reply in self.replies.iter().filter(|reply| reply.shown.has_values).take(counted) {
            self.merged.merge_all(&reply.shown.cell);
        }
        let versions = self.merged.versions();
        let holds = |reply: &&Reply| !versions.is_empty() && reply.shown.cell.versions() == versions;
        self.holders = self.replies.iter().filter(holds).map(|reply| reply.from).collect();
    }

    /// Begins anew, without digests. True if it had asked for some.
    pub(super) fn ask_all_for_values(&mut self) -> bool {
        if self.is_decided || self.full.take().is_none() {
            return false;
        }
        self.replies.clear();
        true
    }

    /// From now on, what was found is written to the replicas that are not known to hold it.
    pub(super) fn write_back(&mut self) {
        self.is_writing_back = true;
    }

    /// Counts an acknowledgement of the write-back; true once W replicas hold what was found.
    pub(super) fn on_ack(&mut self, from: NodeIndex, w: usize) -> bool {
        if !self.is_writing_back {
            return false;
        }
        if !self.holders.contains(&from) && self.homes.contains(&from) {
            self.holders.push(from);
        }
        self.holders.len() >= w
    }

    /// What the replies hold together.
    pub(super) fn found(&self) -> &Cell {
        &self.merged
    }

    /// Whether enough replies are there.
    pub(super) fn is_decided(&self) -> bool {
        self.is_decided
    }

    /// The replies counted, in order of arrival.
    pub(super) fn replies(&self) -> &[Reply] {
        &self.replies
    }

    /// Replicas known to hold what was found durably.
    pub(super) fn holders(&self) -> &[NodeIndex] {
        &self.holders
    }

    /// What to send to the replicas that have not answered the present stage.
    pub(super) fn calls(&self, op: OpId) -> Vec<(NodeIndex, QuorumMessage)> {
        if self.is_writing_back {
            let Some(message) = QuorumMessage::write(op, self.key.clone(), &self.merged) else {
                return Vec::new();
            };
            let open = self.homes.iter().filter(|home| !self.holders.contains(home));
            return open.map(|home| (*home, message.clone())).collect();
        }
        let open = self
            .homes
            .iter()
            .filter(|home| !self.replies.iter().any(|reply| reply.from == **home));
        open.map(|home| {
            let value_wanted = self.full.is_none_or(|full| full == *home);
            let read = QuorumMessage::Read {
                op,
                key: self.key.clone(),
                value_wanted,
                digest: !value_wanted,
            };
            (*home, read)
        })
        .collect()
    }
}

/// Whether a cell is all that is known beside this reply: what the reply holds is in it or replaced by it, and if both hold the same
/// versions, the values are the same.
fn agrees(cell: &Cell, shown: &Shown) -> bool {
    let is_same = cell.versions() == shown.cell.versions();
    let is_equal = shown.has_values || cell.is_empty() || shown.checksum == Some(cell.checksum());
    cell.covers_all(&shown.cell) && (!is_same || is_equal)
}
