//! Whom a fault hits: plain data about nodes, and choices among them that are settled only when the fault is due.
//!
//! A plan cannot know who leads in its eleventh second. So it says "the leader", or gives an order in which to look for a node that is up;
//! the choice is settled at run time from what the harness observed, without any chance, and stored (`target/settle.rs`).

mod settle;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) use self::settle::{
    check_all, check_choice, check_names, first_fit, no_key, unless_down, unless_down_or_paused, unless_spare, with_newcomers,
};
use crate::word::{Tagged, also_words, word_or_table};

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

/// How a node is chosen, or several at once. A way that needs nothing said can be written as a word alone: an order that is left out is drawn from the
/// plan's seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, remote = "Self")]
#[schemars(transform = also_words)]
pub enum TargetChoice {
    /// This one.
    Node(String),
    /// The first in a drawn order that is not down (and not paused, for a pause).
    Any {
        /// All nodes.
        #[serde(default)]
        order: Vec<String>,
    },
    /// The node that takes itself for the leader.
    Leader,
    /// The first in a drawn order that is up and does not take itself for the leader.
    Follower {
        /// All nodes.
        #[serde(default)]
        order: Vec<String>,
    },
    /// A node that asks to be the leader: between an election's timeout and its end.
    Candidate,
    /// The first in a drawn order of those whose log is the newest: the highest term of a last entry and, of those, the highest index (Ongaro 2014,
    /// section 3.6.1). A node that does not answer is none of them.
    Newest {
        /// All nodes.
        #[serde(default)]
        order: Vec<String>,
    },
    /// The node on which the event happened that the fault waited for.
    Source,
    /// The coordinator of a key in use.
    Coordinator {
        /// Drawn number; the harness takes the key at this place, modulo their number, of those in use.
        #[serde(default)]
        key_pick: u32,
        /// Where every node may coordinate, the first in this order that is up does.
        #[serde(default)]
        order: Vec<String>,
    },
    /// As many nodes at once as leave a majority of the members: of five two, of four one.
    Minority(Several),
    /// A majority of the members at once: of five three, of four three.
    Majority(Several),
}

/// Which nodes, where several are hit at once: the first of an order that can be, newcomers behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct Several {
    /// All nodes, in the order in which they are taken.
    #[serde(default)]
    pub order: Vec<String>,
    /// Whether the leader is one of them, or none of them; left out, as the order has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<bool>,
}

impl Serialize for TargetChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        TargetChoice::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for TargetChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TargetChoice, D::Error> {
        word_or_table(deserializer)
    }
}

impl Tagged for TargetChoice {
    fn tagged<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TargetChoice, D::Error> {
        TargetChoice::deserialize(deserializer)
    }
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
    /// Whom the fault struck in the run that is replayed: they are struck again, whoever plays what role now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub struck: Option<Struck>,
}

/// Whom a fault struck.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Struck {
    /// The nodes that were chosen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
    /// The spare nodes that were taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spares: Vec<String>,
    /// The key whose servers were hit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyRoles>,
}

/// Who serves a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
