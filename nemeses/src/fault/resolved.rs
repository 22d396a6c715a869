//! What a fault came to, as receipts have it.

use serde::{Deserialize, Deserializer, Serialize};

use crate::target::KeyRoles;
use crate::world::State;

/// The beat of a fault that comes and goes while it is in force, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pulse {
    /// How long it asks for its state at a time.
    pub on_ms: u64,
    /// How long it asks for nothing in between.
    pub off_ms: u64,
}

/// What a fault came to: enough to inject exactly this again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolved {
    /// The nodes that were chosen, if the fault chooses any: each of them is to be seen bitten, and healed. Older histories have one, called `node`.
    #[serde(
        default,
        alias = "node",
        deserialize_with = "one_or_several",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub nodes: Vec<String>,
    /// The key whose servers are hit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyRoles>,
    /// What the fault asks of the world.
    pub state: State,
}

/// One name, as histories had it before faults hit several nodes, or a list of names.
fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Names {
        One(String),
        Several(Vec<String>),
    }
    Ok(match Option::<Names>::deserialize(deserializer)? {
        None => Vec::new(),
        Some(Names::One(node)) => vec![node],
        Some(Names::Several(nodes)) => nodes,
    })
}
