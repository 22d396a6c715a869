//! What a step of the quorum core lets out, in order.

use std::collections::VecDeque;

use super::message::QuorumMessage;
use crate::core::{ClientRef, Effect};
use crate::members::NodeIndex;
use crate::message::Outcome;
use crate::trace::TraceEvent;

/// The effects of the step, and the messages between coordinator and replica of the same node: those take no way through the driver.
pub(super) struct Outgoing<'a> {
    pub(super) me: NodeIndex,
    pub(super) effects: &'a mut Vec<Effect<QuorumMessage>>,
    pub(super) to_self: &'a mut VecDeque<QuorumMessage>,
}

impl Outgoing<'_> {
    /// To another node by the driver, to this one directly.
    pub(super) fn send(&mut self, to: NodeIndex, message: QuorumMessage) {
        if to == self.me {
            self.to_self.push_back(message);
        } else {
            self.effects.push(Effect::Send { to, message });
        }
    }

    pub(super) fn append(&mut self, record: Vec<u8>) {
        self.effects.push(Effect::Append { record });
    }

    pub(super) fn reply(&mut self, client: ClientRef, outcome: Outcome) {
        self.effects.push(Effect::Reply { client, outcome });
    }

    pub(super) fn trace(&mut self, event: TraceEvent) {
        self.effects.push(Effect::Trace(event));
    }
}
