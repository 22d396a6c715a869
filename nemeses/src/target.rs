//! Whom a fault hits: plain data about nodes, and choices among them that are settled only when the fault is due.
//!
//! A plan cannot know who leads in its eleventh second. So it says "the leader", or gives an order in which to look for a node that is up;
//! the choice is settled at run time from what the harness observed, without any chance, and stored.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::world::State;

/// One node, as far as faults care.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Name of the node, for example `n3`.
    pub id: String,
    /// Its address; the source of all its traffic.
    pub address: Ipv4Addr,
    /// A file that refers to its network namespace, for example `/run/netns/n3`.
    pub namespace: PathBuf,
    /// Its link at the router's side, for example `v-n3`.
    pub interface: String,
    /// Pid 1 of its own pid namespace, by the number that we see; `None` while it is down.
    pub init_pid: Option<u32>,
    /// Its data folder.
    pub data: PathBuf,
}

/// The namespace that forwards all traffic between nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Router {
    /// A file that refers to it.
    pub namespace: PathBuf,
}

/// How a node is chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum TargetChoice {
    /// This one.
    Node(String),
    /// The first in a drawn order that is not down (and not paused, for a pause).
    Any {
        /// All nodes.
        order: Vec<String>,
    },
    /// The node that takes itself for the leader.
    Leader,
    /// The first in a drawn order that is up and does not take itself for the leader.
    Follower {
        /// All nodes.
        order: Vec<String>,
    },
    /// A node that asks to be the leader: between an election's timeout and its end.
    Candidate,
    /// The first in a drawn order of those whose log is the newest: the highest term of a last entry and, of those, the highest index (Ongaro 2014,
    /// section 3.6.1). A node that does not answer is none of them.
    Newest {
        /// All nodes.
        order: Vec<String>,
    },
    /// The node on which the event happened that the fault waited for.
    Source,
    /// The coordinator of a key in use.
    Coordinator {
        /// Drawn number; the harness takes the key at this place, modulo their number, of those in use.
        key_pick: u32,
        /// Where every node may coordinate, the first in this order that is up does.
        order: Vec<String>,
    },
}

/// What the harness found out, for the choices that need it. See [`crate::Fault::asks`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roles {
    /// The node that takes itself for the leader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// A node that asks to be the leader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<String>,
    /// Where the log of each node ends that says so: the term and the index of its last entry.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub logs: BTreeMap<String, (u64, u64)>,
    /// The node on which the event happened that the fault waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Who serves the key that was picked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyRoles>,
}

/// Who serves a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRoles {
    /// The key.
    pub key: String,
    /// The node that coordinates it; `None` where any node does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinator: Option<String>,
    /// The nodes that hold it.
    pub replicas: Vec<String>,
}

/// Why a fault was not injected. Not an error: the run counts and shows it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Skipped(pub String);

impl TargetChoice {
    /// Settles the choice. `unfit` says of a node why it cannot be hit now.
    pub(crate) fn settle(&self, roles: &Roles, unfit: impl Fn(&str) -> Option<&'static str>) -> Result<String, Skipped> {
        let fit = |node: &String, called: &str| match unfit(node) {
            None => Ok(node.clone()),
            Some(why) => Err(Skipped(format!("{called} {node} is {why}"))),
        };
        match self {
            TargetChoice::Node(node) => fit(node, "node"),
            TargetChoice::Any { order } => first_fit(order, unfit),
            TargetChoice::Leader => match &roles.leader {
                Some(leader) => fit(leader, "leader"),
                None => Err(Skipped("no node takes itself for the leader".into())),
            },
            TargetChoice::Follower { order } => match &roles.leader {
                Some(leader) => {
                    let is_leader = |node: &str| (leader == node).then_some("the leader");
                    first_fit(order, |node| unfit(node).or_else(|| is_leader(node)))
                }
                None => Err(Skipped("no node takes itself for the leader".into())),
            },
            TargetChoice::Candidate => match &roles.candidate {
                Some(candidate) => fit(candidate, "candidate"),
                None => Err(Skipped("no node asks to be the leader".into())),
            },
            TargetChoice::Newest { order } => match roles.logs.values().max() {
                Some(newest) => {
                    let is_older = |node: &str| (roles.logs.get(node) != Some(newest)).then_some("not the newest");
                    first_fit(order, |node| is_older(node).or_else(|| unfit(node)))
                }
                None => Err(Skipped("no node says how far its log goes".into())),
            },
            TargetChoice::Source => match &roles.source {
                Some(source) => fit(source, "source"),
                None => Err(Skipped("it waited for no event of a node".into())),
            },
            TargetChoice::Coordinator { order, .. } => match roles.key.as_ref().ok_or_else(no_key)?.coordinator.as_ref() {
                Some(coordinator) => fit(coordinator, "coordinator"),
                None => first_fit(order, unfit),
            },
        }
    }

    /// The order of the nodes among which it chooses, if it has one.
    pub(crate) fn order(&self) -> Option<&[String]> {
        match self {
            TargetChoice::Any { order }
            | TargetChoice::Follower { order }
            | TargetChoice::Newest { order }
            | TargetChoice::Coordinator { order, .. } => Some(order),
            TargetChoice::Node(_) | TargetChoice::Leader | TargetChoice::Candidate | TargetChoice::Source => None,
        }
    }

    /// Every node the choice names.
    pub(crate) fn names(&self) -> &[String] {
        match self {
            TargetChoice::Node(node) => std::slice::from_ref(node),
            _ => self.order().unwrap_or(&[]),
        }
    }
}

pub(crate) fn first_fit(order: &[String], unfit: impl Fn(&str) -> Option<&'static str>) -> Result<String, Skipped> {
    let fit = order.iter().find(|node| unfit(node).is_none());
    fit.cloned().ok_or_else(|| {
        let why = order.first().and_then(|node| unfit(node)).unwrap_or("unknown");
        Skipped(format!(
            "no node can be hit: the first, {}, is {why}",
            order.first().map_or("nobody", String::as_str)
        ))
    })
}

pub(crate) fn no_key() -> Skipped {
    Skipped("no key is in use yet".into())
}

/// Why a node cannot be killed or cut off: it does not run anyway.
pub(crate) fn unless_down(now: &State) -> impl Fn(&str) -> Option<&'static str> {
    |node| now.down.contains(node).then_some("down already")
}

/// Why a node is not taken out of the members: who joined by a fault leaves with it.
pub(crate) fn unless_spare(now: &State) -> impl Fn(&str) -> Option<&'static str> {
    |node| now.joined.contains(node).then_some("a spare node, which leaves by itself")
}

/// Why a node cannot be paused.
pub(crate) fn unless_down_or_paused(now: &State) -> impl Fn(&str) -> Option<&'static str> {
    |node| unless_down(now)(node).or_else(|| now.paused.contains(node).then_some("paused already"))
}
