//! A get at its coordinator: the newest of R replies, made safe against later operations before it is returned.

use super::message::{OpId, QuorumMessage};
use super::replica::Stored;
use crate::members::{NodeIndex, Text};
use crate::version::Version;

/// One replica's reply.
pub(super) type ReadReply = (NodeIndex, Option<Version>);

/// A get on its way.
#[derive(Debug)]
pub(super) struct Get {
    pub(super) key: Text,
    homes: Vec<NodeIndex>,
    replies: Vec<ReadReply>,
    newest: Option<Stored>,
    /// Replicas that hold the newest version, or a newer one, durably: those that replied with it, later those that acknowledged it.
    holders: Vec<NodeIndex>,
    is_writing_back: bool,
}

impl Get {
    pub(super) fn new(key: Text, homes: Vec<NodeIndex>) -> Get {
        Get {
            key,
            homes,
            replies: Vec::new(),
            newest: None,
            holders: Vec::new(),
            is_writing_back: false,
        }
    }

    /// Counts a reply; true once, when R replicas replied. Later replies change nothing.
    pub(super) fn on_reply(&mut self, from: NodeIndex, stored: Option<Stored>, r: usize) -> bool {
        let is_new = !self.replies.iter().any(|(node, _)| *node == from) && self.homes.contains(&from);
        if self.replies.len() >= r || !is_new {
            return false;
        }
        self.replies.push((from, stored.as_ref().map(|stored| stored.version.clone())));
        if let Some(stored) = stored {
            match self.newest.as_ref().map(|newest| newest.version.cmp(&stored.version)) {
                Some(std::cmp::Ordering::Greater) => {}
                Some(std::cmp::Ordering::Equal) => self.holders.push(from),
                Some(std::cmp::Ordering::Less) | None => {
                    self.newest = Some(stored);
                    self.holders = vec![from];
                }
            }
        }
        self.replies.len() == r
    }

    /// From now on, the newest version is written to the replicas that are not known to hold it.
    pub(super) fn write_back(&mut self) {
        self.is_writing_back = true;
    }

    /// Counts an acknowledgement of the write-back; true once W replicas hold the newest version.
    pub(super) fn on_ack(&mut self, from: NodeIndex, w: usize) -> bool {
        if !self.is_writing_back {
            return false;
        }
        if !self.holders.contains(&from) && self.homes.contains(&from) {
            self.holders.push(from);
        }
        self.holders.len() >= w
    }

    /// The newest value among the replies.
    pub(super) fn newest(&self) -> Option<&Stored> {
        self.newest.as_ref()
    }

    /// The replies counted, in order of arrival.
    pub(super) fn replies(&self) -> &[ReadReply] {
        &self.replies
    }

    /// Replicas known to hold the newest version durably.
    pub(super) fn holders(&self) -> &[NodeIndex] {
        &self.holders
    }

    /// The replicas that have not answered the present stage, and what to send them.
    pub(super) fn calls(&self, op: OpId) -> (Vec<NodeIndex>, QuorumMessage) {
        let open = |answered: &dyn Fn(NodeIndex) -> bool| self.homes.iter().copied().filter(|home| !answered(*home)).collect();
        match &self.newest {
            Some(Stored { version, value }) if self.is_writing_back => {
                let message = QuorumMessage::Write {
                    op,
                    key: self.key.clone(),
                    version: version.clone(),
                    value: value.clone(),
                };
                (open(&|home| self.holders.contains(&home)), message)
            }
            _ => {
                let message = QuorumMessage::Read {
                    op,
                    key: self.key.clone(),
                    value_wanted: true,
                };
                (open(&|home| self.replies.iter().any(|(node, _)| *node == home)), message)
            }
        }
    }
}
