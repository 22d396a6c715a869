//! Whether the nodes' clocks can be compared: rules that ask for time may only do so while they can.
//!
//! All nodes of a run read the host's CLOCK_MONOTONIC. A file from elsewhere, a wrong `mono_offset_ns` or a clock that a fault moved shows
//! itself: a clock that goes back within a life, or a message that comes before it was sent.

use super::breach::{Node, Sight};
use super::letters::{LetterId, Sent};

/// How many messages of each node are remembered: those under way are far fewer.
const SENT_MAX: usize = 1_024;

/// All nodes' clocks.
#[derive(Debug, Clone)]
pub(super) struct Clocks {
    nodes: Vec<Clock>,
}

#[derive(Debug, Clone, Default)]
struct Clock {
    last_ns: u64,
    /// Why it cannot be trusted.
    doubt: Option<String>,
    sent: Sent<SENT_MAX>,
}

impl Clocks {
    /// Of so many nodes.
    pub(super) fn of(n_nodes: usize) -> Clocks {
        Clocks {
            nodes: vec![Clock::default(); n_nodes],
        }
    }

    /// A new life may have another offset.
    pub(super) fn start(&mut self, node: Node) {
        self.nodes[node].last_ns = 0;
    }

    /// An event of a node.
    pub(super) fn event(&mut self, sight: Sight) {
        let clock = &mut self.nodes[usize::from(sight.node)];
        if sight.mono_ns < clock.last_ns && clock.doubt.is_none() {
            clock.doubt = Some(format!(
                "its clock went back by {} ns at line {}",
                clock.last_ns - sight.mono_ns,
                sight.line
            ));
        }
        clock.last_ns = sight.mono_ns;
    }

    /// A message leaves.
    pub(super) fn sent(&mut self, sight: Sight, incarnation: u64, stamp: u64) {
        let sent = &mut self.nodes[usize::from(sight.node)].sent;
        sent.add((incarnation, stamp), sight.mono_ns);
    }

    /// A message comes. `from` and `to` are names for the doubt.
    pub(super) fn received(&mut self, sight: Sight, from: (Node, &str), to: &str, id: LetterId) {
        let Some(sent_ns) = self.nodes[from.0].sent.left_ns(id) else {
            return;
        };
        if sent_ns <= sight.mono_ns {
            return;
        }
        let early_ns = sent_ns - sight.mono_ns;
        let from_name = from.1;
        let both = [(from.0, to, "sent to"), (usize::from(sight.node), from_name, "received from")];
        for (node, other, how) in both {
            let doubt = || format!("a message {how} {other} came {early_ns} ns before it left, by their clocks");
            self.nodes[node].doubt.get_or_insert_with(doubt);
        }
    }

    /// Whether the first moment is certainly later than the second.
    pub(super) fn is_later(&self, one: Sight, other: Sight) -> bool {
        one.mono_ns > other.mono_ns && self.are_sound(one.node, other.node)
    }

    /// Whether two nodes' clocks can be compared.
    pub(super) fn are_sound(&self, one: u8, other: u8) -> bool {
        one == other || [one, other].iter().all(|node| self.nodes[usize::from(*node)].doubt.is_none())
    }

    /// Nodes whose clocks cannot be trusted, with the reason.
    pub(super) fn doubts(&self) -> impl Iterator<Item = (Node, &str)> {
        let nodes = self.nodes.iter().enumerate();
        nodes.filter_map(|(node, clock)| Some((node, clock.doubt.as_deref()?)))
    }
}
