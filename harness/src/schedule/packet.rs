//! A packet that a fault waits for, in a plan as `before-packet`: who sends it, to whom, and how large it is.
//!
//! Who plays a role is settled packet by packet, from who is known to lead when it comes to the switch; a leader that changes meanwhile changes whose
//! packets count, and not how many did.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_nemeses::link::CLIENTS;

/// Which of the packets that carry a payload of TCP: no bare acknowledgement, and a large send is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NthPacket {
    /// The how manyth that fits since the fault began to wait; the first is 1.
    #[serde(default = "super::when::first")]
    pub nth: u64,
    /// Who sends it; anybody if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<End>,
    /// To whom; to anybody if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<End>,
    /// Bytes of its payload at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_bytes: Option<u64>,
}

/// An end of a packet's way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum End {
    /// This node.
    Node(String),
    /// A node that takes itself for the leader then.
    Leader,
    /// A node that does not, while another does.
    Follower,
    /// The clients: all of them, and the harness where it asks nodes how they are.
    Clients,
}

/// A packet that came to the switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// A node, or [`CLIENTS`].
    pub from: &'a str,
    /// A node, or [`CLIENTS`].
    pub to: &'a str,
    /// Bytes of its payload.
    pub bytes: u64,
}

impl Packet<'_> {
    /// The node of the event: who sent it, or who is to get what clients sent.
    pub fn node(&self) -> &str {
        if self.from == CLIENTS { self.to } else { self.from }
    }
}

impl NthPacket {
    /// Whether it is one of those that are waited for, while these lead.
    pub fn fits(&self, packet: &Packet<'_>, leaders: &BTreeSet<String>) -> bool {
        let is = |end: &Option<End>, id: &str| end.as_ref().is_none_or(|end| end.is(id, leaders));
        is(&self.from, packet.from) && is(&self.to, packet.to) && self.min_bytes.is_none_or(|least| packet.bytes >= least)
    }

    /// The ends that are named.
    pub(super) fn ends(&self) -> impl Iterator<Item = &End> {
        self.from.iter().chain(&self.to)
    }

    /// Whether who leads must be known.
    pub(super) fn has_roles(&self) -> bool {
        self.ends().any(|end| matches!(end, End::Leader | End::Follower))
    }

    /// Whether such a packet would be one to its own sender, which no network sees.
    pub(super) fn is_to_itself(&self) -> bool {
        self.from.is_some() && self.from == self.to && self.from != Some(End::Follower)
    }
}

impl End {
    fn is(&self, id: &str, leaders: &BTreeSet<String>) -> bool {
        match self {
            End::Node(name) => name == id,
            End::Leader => leaders.contains(id),
            End::Follower => id != CLIENTS && !leaders.is_empty() && !leaders.contains(id),
            End::Clients => id == CLIENTS,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Node(name) => formatter.write_str(name),
            End::Leader => formatter.write_str("the leader"),
            End::Follower => formatter.write_str("a follower"),
            End::Clients => formatter.write_str("clients"),
        }
    }
}

/// For a report: ` from the leader to n2, of 100 bytes or more`.
impl fmt::Display for NthPacket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (word, end) in [("from", &self.from), ("to", &self.to)] {
            if let Some(end) = end {
                write!(formatter, " {word} {end}")?;
            }
        }
        match self.min_bytes {
            Some(bytes) => write!(formatter, ", of {bytes} bytes or more"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of these packets fit while `leaders` lead.
    fn check(nth: &str, leaders: &[&str], expected: &[(&str, &str, u64)]) {
        let nth: NthPacket = serde_json::from_str(nth).expect("a packet to wait for");
        let leaders = leaders.iter().map(ToString::to_string).collect();
        let ends = ["n1", "n2", "n3", CLIENTS];
        let ways = ends.iter().flat_map(|from| ends.iter().map(move |to| (*from, *to)));
        let packets = ways
            .filter(|(from, to)| from != to)
            .flat_map(|(from, to)| [(from, to, 10), (from, to, 500)]);
        let fit = packets.filter(|(from, to, bytes)| {
            let packet = Packet { from, to, bytes: *bytes };
            nth.fits(&packet, &leaders)
        });
        assert_eq!(fit.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn names_roles_and_sizes_each_take_their_packets() {
        check(
            r#"{"from":{"node":"n1"},"to":{"node":"n2"}}"#,
            &[],
            &[("n1", "n2", 10), ("n1", "n2", 500)],
        );
        check(
            r#"{"from":"leader","to":"follower","min_bytes":11}"#,
            &["n2"],
            &[("n2", "n1", 500), ("n2", "n3", 500)],
        );
        check(r#"{"from":"leader"}"#, &[], &[]);
        check(r#"{"to":"follower"}"#, &[], &[]);
        check(
            r#"{"from":"clients","to":"leader","min_bytes":500}"#,
            &["n1", "n3"],
            &[(CLIENTS, "n1", 500), (CLIENTS, "n3", 500)],
        );
        check(
            r#"{"from":"leader","to":"clients","min_bytes":500}"#,
            &["n3"],
            &[("n3", CLIENTS, 500)],
        );
    }

    #[test]
    fn the_node_of_a_packet_is_its_sender_or_whoever_is_to_get_what_clients_sent() {
        let node = |from, to| Packet { from, to, bytes: 1 }.node().to_owned();
        assert_eq!(node("n1", "n2"), "n1");
        assert_eq!(node("n1", CLIENTS), "n1");
        assert_eq!(node(CLIENTS, "n2"), "n2");
    }
}
