//! What a rule sees besides the event itself: all nodes as they are just before it.

use std::collections::BTreeMap;

use super::breach::{Node, Nodes, Sight};
use super::event::Config;
use super::names::{NameId, Names};
use super::node::NodeState;

/// The present moment. Everything that happened before the event has been seen; of what is concurrent with it, perhaps some.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) nodes: &'a [NodeState],
    pub(super) names: &'a Names,
    /// The node that each member is, or was last.
    pub(super) homes: &'a BTreeMap<NameId, Node>,
    /// Whose event it is.
    pub(super) node: Node,
    pub(super) sight: Sight,
}

/// What became of a count over the voters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Missing {
    /// How many voters were there, of how many.
    pub(super) n_there: usize,
    pub(super) n_voters: usize,
    /// Those from whose silence it follows.
    pub(super) absent: Nodes,
}

impl<'a> Scene<'a> {
    /// The node whose event it is.
    pub(super) fn me(&self) -> &'a NodeState {
        &self.nodes[self.node]
    }

    /// Its name.
    pub(super) fn name(&self) -> &'a str {
        &self.me().name
    }

    /// A member's name.
    pub(super) fn text(&self, member: NameId) -> &'a str {
        self.names.get(member)
    }

    /// Whether two names stand for the same member: a message may be addressed to the node.
    pub(super) fn is_same(&self, one: NameId, other: NameId) -> bool {
        one == other || self.node_name(one) == self.node_name(other)
    }

    /// A member `n1.2` is the third life of the disk of `n1`.
    fn node_name(&self, member: NameId) -> &'a str {
        match self.homes.get(&member) {
            Some(home) => &self.nodes[*home].name,
            None => self.text(member),
        }
    }

    /// All nodes.
    pub(super) fn everybody(&self) -> Nodes {
        (0..self.nodes.len()).fold(0, |nodes, node| nodes | bit(node))
    }

    /// Whether a majority of each set of voters is there. `is_there` is asked of a member and its node; who has no node here, or has
    /// become another member since, counts as there: nothing is known of it.
    pub(super) fn majority_missing(&self, config: &Config, is_there: impl Fn(NameId, &NodeState) -> bool) -> Option<Missing> {
        config.sets().find_map(|voters| {
            let mut missing = Missing {
                n_there: 0,
                n_voters: voters.len(),
                absent: 0,
            };
            for voter in voters {
                let home = self.homes.get(voter).filter(|home| self.nodes[**home].member() == Some(*voter));
                match home {
                    Some(home) if !is_there(*voter, &self.nodes[*home]) => missing.absent |= bit(*home),
                    _ => missing.n_there += 1,
                }
            }
            (missing.n_there < voters.len() / 2 + 1).then_some(missing)
        })
    }
}

/// The set of one node.
pub(super) fn bit(node: Node) -> Nodes {
    1 << node
}
