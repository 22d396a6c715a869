//! What a fault waits for beside the time: events of the run, in a plan as `when`.
//!
//! From its hour on the fault waits; the first event that fits lets it loose, against whoever it names, the node of the event itself
//! (`"source"`) among them. If none fits in time, it is skipped, with that reason.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::packet::{End, NthPacket, Packet};
use crate::systems::SystemPlan;

/// An event to wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum When {
    /// A node becomes the leader. Of a program that is not ours it is asked, so the fault comes a while later.
    LeaderElected(Nth),
    /// A node has taken an entry into its log, or a version for a value, and has not made it durable: nothing was synced, nobody was told.
    Append(Nth),
    /// A node asks its disk for an fsync, and the disk holds it back: what it wrote is not durable, and it knows that nothing is. The node's data
    /// folder is a disk of ours then, so this can be waited for with every program. A write with `O_DSYNC` is no fsync.
    BeforeFsync(Nth),
    /// A packet is about to enter its link, and the switch holds it back: it was sent, and nobody got it. What follows on its connection waits
    /// behind it. This can be waited for with every program, on the network `switch`.
    BeforePacket(NthPacket),
    /// So many operations of clients have come to an end since the load began.
    Operations {
        /// How many.
        completed: u64,
    },
}

/// Which of the events of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nth {
    /// The how manyth since the fault began to wait; the first is 1.
    #[serde(default = "first")]
    pub nth: u64,
    /// Where; anywhere if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<On>,
}

/// Where an event happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum On {
    /// On this node.
    Node(String),
    /// On a node that takes itself for the leader then.
    Leader,
}

pub(super) fn first() -> u64 {
    1
}

/// What was seen of a node, for whoever waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It leads from now on.
    Leads,
    /// It leads no more, or never did.
    Follows,
    /// It has appended.
    Appends,
    /// It asks for an fsync.
    Syncs,
}

impl When {
    /// Whether the nodes' traces tell of it, or of who leads when it comes.
    pub fn is_traced(&self) -> bool {
        match self {
            When::LeaderElected(_) | When::Append(_) => true,
            When::BeforeFsync(nth) => nth.on == Some(On::Leader),
            When::BeforePacket(nth) => nth.has_roles(),
            When::Operations { .. } => false,
        }
    }

    /// Whether the nodes' disks tell of it.
    pub fn is_of_disks(&self) -> bool {
        matches!(self, When::BeforeFsync(_))
    }

    /// Whether the network tells of it.
    pub fn is_of_packets(&self) -> bool {
        matches!(self, When::BeforePacket(_))
    }

    /// What is next to it where no disk can hold an fsync: our own nodes, kept at their traces, have appended by then and synced nothing.
    pub fn without_disks(&self) -> Option<When> {
        match self {
            When::BeforeFsync(nth) => Some(When::Append(nth.clone())),
            _ => None,
        }
    }

    /// Which of the events of its kind on nodes it waits for, if of such a kind.
    fn which(&self) -> Option<&Nth> {
        match self {
            When::LeaderElected(nth) | When::Append(nth) | When::BeforeFsync(nth) => Some(nth),
            When::BeforePacket(_) | When::Operations { .. } => None,
        }
    }

    /// Whether an event of a node is one of those that are waited for.
    pub fn fits(&self, node: &str, is_leader: bool, seen: Seen) -> bool {
        let nth = match (self, seen) {
            (When::LeaderElected(nth), Seen::Leads) | (When::Append(nth), Seen::Appends) | (When::BeforeFsync(nth), Seen::Syncs) => nth,
            _ => return false,
        };
        match &nth.on {
            None => true,
            Some(On::Node(name)) => name == node,
            Some(On::Leader) => is_leader,
        }
    }

    /// Whether a packet is one of those that are waited for, while these nodes lead.
    pub fn fits_packet(&self, packet: &Packet<'_>, leaders: &BTreeSet<String>) -> bool {
        matches!(self, When::BeforePacket(nth) if nth.fits(packet, leaders))
    }

    /// The how manyth of those that fit.
    pub fn nth(&self) -> u64 {
        match self {
            When::BeforePacket(nth) => nth.nth,
            _ => self.which().map_or(1, |nth| nth.nth),
        }
    }

    /// The nodes that it names.
    fn named_nodes(&self) -> impl Iterator<Item = &String> {
        let of_nodes = self.which().and_then(|nth| match nth.on.as_ref()? {
            On::Node(name) => Some(name),
            On::Leader => None,
        });
        let packet = match self {
            When::BeforePacket(nth) => Some(nth),
            _ => None,
        };
        let of_packet = packet.into_iter().flat_map(NthPacket::ends).filter_map(|end| match end {
            End::Node(name) => Some(name),
            _ => None,
        });
        of_nodes.into_iter().chain(of_packet)
    }

    /// Whether it asks who leads.
    fn has_roles(&self) -> bool {
        match self {
            When::BeforePacket(nth) => nth.has_roles(),
            _ => self.which().is_some_and(|nth| nth.on == Some(On::Leader)),
        }
    }

    /// Checks what a person wrote.
    ///
    /// # Errors
    /// Names the word at fault, or what the system cannot tell.
    pub fn validate(&self, system: &SystemPlan, nodes: &[String]) -> Result<(), String> {
        if self.nth() == 0 {
            return Err("`nth` is 0; the first is 1".into());
        }
        if let Some(name) = self.named_nodes().find(|name| !nodes.contains(name)) {
            return Err(format!("there is no node `{name}`; there are {}", nodes.join(", ")));
        }
        match (self, system) {
            (When::LeaderElected(_), SystemPlan::Quorum(_)) => Err("`leader-elected`: quorum has no leader".into()),
            (_, SystemPlan::Quorum(_)) if self.has_roles() => Err("`leader`: quorum has no leader".into()),
            (When::BeforePacket(nth), _) if nth.is_to_itself() => {
                Err("`before-packet`: what goes from an end to itself goes over no network; name two".into())
            }
            (When::Append(_), SystemPlan::Etcd(_)) => Err(String::from(
                "`append`: etcd writes no trace that tells of it; `before-fsync`, `before-packet` and `operations` can be waited for with every \
                 system",
            )),
            _ => Ok(()),
        }
    }

    /// Its name in a plan.
    pub fn name(&self) -> &'static str {
        match self {
            When::LeaderElected(_) => "leader-elected",
            When::Append(_) => "append",
            When::BeforeFsync(_) => "before-fsync",
            When::BeforePacket(_) => "before-packet",
            When::Operations { .. } => "operations",
        }
    }
}

/// For a report: `append, the 5th on the leader`.
impl fmt::Display for When {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let When::Operations { completed } = self {
            return write!(formatter, "{completed} operations completed");
        }
        write!(formatter, "{} number {}", self.name(), self.nth())?;
        if let When::BeforePacket(nth) = self {
            return nth.fmt(formatter);
        }
        match self.which().and_then(|nth| nth.on.as_ref()) {
            None => Ok(()),
            Some(On::Node(node)) => write!(formatter, " on {node}"),
            Some(On::Leader) => write!(formatter, " on the leader"),
        }
    }
}
