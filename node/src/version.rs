//! Versions: what orders two values of one key.
//!
//! A version is (counter, node, incarnation, sequence), compared in that order, the node by its name's bytes. The counter carries the
//! order in time (Lynch and Shvartsman 1997, multi-writer ABD); the rest makes the version unique: no other node uses this name, no other
//! life of the node this incarnation (it is durable before the node serves), and within one life the sequence is used once.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::members::Text;

/// A version of a key's value. On the wire: `[counter, "node", incarnation, sequence]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "(u64, Text, u64, u64)", into = "(u64, Text, u64, u64)")]
pub struct Version {
    /// Larger than every counter the coordinator saw in a majority (scheme `quorum`), its wall clock in ns (`wall-clock`), or its own
    /// count (`coordinator-local`).
    pub counter: u64,
    /// Name of the coordinator that made the version.
    pub node: Text,
    /// Which life of that coordinator, from 1.
    pub incarnation: u64,
    /// Which version of that life, from 1.
    pub sequence: u64,
}

impl From<(u64, Text, u64, u64)> for Version {
    fn from((counter, node, incarnation, sequence): (u64, Text, u64, u64)) -> Version {
        Version {
            counter,
            node,
            incarnation,
            sequence,
        }
    }
}

impl From<Version> for (u64, Text, u64, u64) {
    fn from(version: Version) -> Self {
        (version.counter, version.node, version.incarnation, version.sequence)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}.{}.{}", self.counter, self.node, self.incarnation, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(counter: u64, node: &str, incarnation: u64, sequence: u64) -> Version {
        Version {
            counter,
            node: node.into(),
            incarnation,
            sequence,
        }
    }

    #[test]
    fn compares_counter_then_node_then_incarnation_then_sequence() {
        let ascending = [
            version(1, "n9", 9, 9),
            version(2, "n1", 9, 9),
            version(2, "n2", 1, 9),
            version(2, "n2", 2, 1),
            version(2, "n2", 2, 2),
        ];
        assert!(ascending.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn is_an_array_on_the_wire() {
        let text = serde_json::to_string(&version(5, "n1", 2, 9)).unwrap();
        assert_eq!(text, r#"[5,"n1",2,9]"#);
        assert_eq!(serde_json::from_str::<Version>(&text).unwrap(), version(5, "n1", 2, 9));
    }
}
