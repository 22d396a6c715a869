//! Whether a node's trace lacks its tail: a message of it came to another node, and no line of it says that it was sent.
//!
//! A node hands a `send` to the kernel before the message's bytes leave, so a kill cannot cut it off: somebody else did. The stamps of a
//! life's frames grow, so the highest one that was sent and the highest that came are all that is kept.

use super::breach::{Node, Sight};

/// What each node sent and what came from it.
#[derive(Debug, Clone, Default)]
pub(super) struct Lost {
    nodes: Vec<Vec<Life>>,
}

#[derive(Debug, Clone, Copy)]
struct Life {
    incarnation: u64,
    has_begun: bool,
    sent: Option<u64>,
    received: Option<(u64, Sight)>,
}

/// Most lives kept per node: the first go first.
const LIVES_MAX: usize = 1 << 10;

impl Lost {
    /// Of so many nodes.
    pub(super) fn of(n_nodes: usize) -> Lost {
        Lost {
            nodes: vec![Vec::new(); n_nodes],
        }
    }

    /// A life begins.
    pub(super) fn began(&mut self, node: Node, incarnation: u64) {
        self.life(node, incarnation).has_begun = true;
    }

    /// A message leaves.
    pub(super) fn sent(&mut self, node: Node, incarnation: u64, stamp: u64) {
        let sent = &mut self.life(node, incarnation).sent;
        *sent = (*sent).max(Some(stamp));
    }

    /// A message of this node's life came to the node of `at`.
    pub(super) fn received(&mut self, node: Node, incarnation: u64, stamp: u64, at: Sight) {
        let received = &mut self.life(node, incarnation).received;
        if received.is_none_or(|(highest, _)| highest < stamp) {
            *received = Some((stamp, at));
        }
    }

    fn life(&mut self, node: Node, incarnation: u64) -> &mut Life {
        let lives = &mut self.nodes[node];
        if let Some(place) = lives.iter().rposition(|life| life.incarnation == incarnation) {
            return &mut lives[place];
        }
        if lives.len() == LIVES_MAX {
            lives.remove(0);
        }
        lives.push(Life {
            incarnation,
            has_begun: false,
            sent: None,
            received: None,
        });
        lives.last_mut().expect("a life was pushed")
    }

    /// A life of this node whose lines are missing, and the message that shows it: `None` in its place for a whole life.
    pub(super) fn of_node(&self, node: Node) -> Option<(u64, bool, Sight)> {
        self.nodes[node].iter().find_map(|life| {
            let (stamp, at) = life.received?;
            (life.sent < Some(stamp)).then_some((life.incarnation, life.has_begun, at))
        })
    }
}
