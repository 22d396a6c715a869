//! Between two nodes: a greeting, a heartbeat, and the core's own messages.
//!
//! The side that dials greets with the request `hello`; the other answers `welcome`. After that both sides may send, and the dialer pings:
//! a link on which nothing is heard is replaced, whatever the kernel thinks of it (after a partition TCP may wait many seconds before it
//! sends again).

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Empty, FORMAT_VERSION};
use crate::members::Text;

/// What a core's messages must be able to do: travel as JSON.
pub trait PeerMessage: Clone + std::fmt::Debug + Serialize + DeserializeOwned + 'static {}

impl<M: Clone + std::fmt::Debug + Serialize + DeserializeOwned + 'static> PeerMessage for M {}

/// Who is at the other end of a link, and how it was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// Name of the sender.
    pub node: Text,
    /// Which life of the sender.
    pub incarnation: u64,
    /// Checksum over what all nodes must agree on (mode, members, ring, N). Nodes that place keys differently must not talk.
    pub layout: u32,
}

/// A payload on a link between nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerFrame<M> {
    /// Format version of the sender.
    pub v: u32,
    /// What every frame carries.
    pub header: PeerHeader,
    /// The message.
    pub body: PeerBody<M>,
}

impl<M> PeerFrame<M> {
    /// A frame with a stamp.
    pub fn new(lamport: u64, body: PeerBody<M>) -> PeerFrame<M> {
        PeerFrame {
            v: FORMAT_VERSION,
            header: PeerHeader { lamport },
            body,
        }
    }
}

/// The header between nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerHeader {
    /// The sender's Lamport stamp.
    #[serde(default)]
    pub lamport: u64,
}

/// The body between nodes. On the wire an object with one of these members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", from = "PeerMembers<M>", bound(deserialize = "M: Deserialize<'de>"))]
pub enum PeerBody<M> {
    /// The answer to `hello`: the link is up.
    Welcome(Greeting),
    /// The answer to `hello` from a node that will not talk, with the reason.
    Refused(Text),
    /// Are you there?
    Ping {},
    /// Yes.
    Pong {},
    /// A message of the core.
    Message(M),
    /// A kind that this version does not know. Skipped, so that a newer peer can be talked to.
    Other {},
}

#[derive(Deserialize)]
#[serde(bound = "M: Deserialize<'de>")]
struct PeerMembers<M> {
    welcome: Option<Greeting>,
    refused: Option<Text>,
    ping: Option<Empty>,
    pong: Option<Empty>,
    message: Option<M>,
}

impl<M> From<PeerMembers<M>> for PeerBody<M> {
    fn from(members: PeerMembers<M>) -> PeerBody<M> {
        let PeerMembers {
            welcome,
            refused,
            ping,
            pong,
            message,
        } = members;
        (message.map(PeerBody::Message))
            .or(ping.map(|Empty {}| PeerBody::Ping {}))
            .or(pong.map(|Empty {}| PeerBody::Pong {}))
            .or(welcome.map(PeerBody::Welcome))
            .or(refused.map(PeerBody::Refused))
            .unwrap_or(PeerBody::Other {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_kind_is_read_as_other() {
        let frame: PeerFrame<u64> = serde_json::from_str(r#"{"v":2,"header":{"x":1},"body":{"gossip":{"a":[1,2]}}}"#).unwrap();
        assert_eq!(frame.body, PeerBody::Other {});
        assert_eq!(frame.header.lamport, 0);
    }

    #[test]
    fn frames_survive_the_wire() {
        for body in [
            PeerBody::Ping {},
            PeerBody::Pong {},
            PeerBody::Message(7_u64),
            PeerBody::Refused("no".into()),
        ] {
            let frame = PeerFrame::new(3, body);
            let text = serde_json::to_string(&frame).unwrap();
            assert_eq!(serde_json::from_str::<PeerFrame<u64>>(&text).unwrap(), frame);
        }
    }
}
