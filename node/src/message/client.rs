//! Between a client and a node: requests and replies.
//!
//! A reply tells a definite failure from an unknown outcome, because a judge needs to know: `failed` says that the operation certainly
//! did not happen and never will; `unknown` says that it may have happened, then or later. A client must not send a put again after
//! `unknown` as if it were the same one: the value would be written twice.

use serde::{Deserialize, Serialize};

use super::{Empty, FORMAT_VERSION};
use crate::members::Text;
use crate::status::Status;
use crate::vector::Vector;
use crate::version::Version;

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Format version of the sender.
    pub v: u32,
    /// What every request carries.
    pub header: RequestHeader,
    /// What is asked.
    pub body: RequestBody,
}

/// The header of a request. All but `id` may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestHeader {
    /// Chosen by the client, returned with the reply. Should be unique among the open requests of a connection.
    pub id: u64,
    /// The client's Lamport stamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lamport: Option<u64>,
    /// The client's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Text>,
    /// The client's own number for this operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// The session the operation belongs to: with `client` and `seq` it makes a retry take effect once. Raft store only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<u64>,
    /// How long the client waits, in ms from the arrival of the request; the node's own limit holds if it is shorter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

/// What is asked. On the wire an object with exactly one of these members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", try_from = "RequestMembers")]
pub enum RequestBody {
    /// Read a key.
    Get {
        /// The key.
        key: Text,
    },
    /// Write a key.
    Put {
        /// The key.
        key: Text,
        /// The value.
        value: Text,
    },
    /// Write a key if it holds what is expected.
    Cas {
        /// The key.
        key: Text,
        /// What it must hold; `None`: it must not exist.
        expect: Option<Text>,
        /// The value.
        value: Text,
    },
    /// Remove a key.
    Delete {
        /// The key.
        key: Text,
    },
    /// Write the key's value with this text at its end.
    Append {
        /// The key.
        key: Text,
        /// The text.
        value: Text,
    },
    /// Open a session, whose retried commands take effect once.
    Session {},
    /// Change who votes.
    Change {
        /// Members that shall vote; they learn first.
        add: Vec<Text>,
        /// Members that shall leave.
        remove: Vec<Text>,
    },
    /// Hand the leadership over.
    Transfer {
        /// To this member.
        to: Text,
    },
    /// How is the node?
    Status {},
    /// Which nodes keep this key?
    Replicas {
        /// The key.
        key: Text,
    },
    /// A node, not a client, opens this connection; peer frames follow.
    Hello(super::Greeting),
}

#[derive(Deserialize)]
struct KeyOnly {
    key: Text,
}

#[derive(Deserialize)]
struct KeyAndValue {
    key: Text,
    value: Text,
}

#[derive(Deserialize)]
struct Swap {
    key: Text,
    #[serde(default)]
    expect: Option<Text>,
    value: Text,
}

#[derive(Deserialize)]
struct Members {
    #[serde(default)]
    add: Vec<Text>,
    #[serde(default)]
    remove: Vec<Text>,
}

#[derive(Deserialize)]
struct To {
    to: Text,
}

/// The body as it is parsed: unknown members are skipped, and what remains must be one.
#[derive(Deserialize)]
struct RequestMembers {
    get: Option<KeyOnly>,
    put: Option<KeyAndValue>,
    cas: Option<Swap>,
    delete: Option<KeyOnly>,
    append: Option<KeyAndValue>,
    session: Option<Empty>,
    change: Option<Members>,
    transfer: Option<To>,
    status: Option<Empty>,
    replicas: Option<KeyOnly>,
    hello: Option<super::Greeting>,
}

impl TryFrom<RequestMembers> for RequestBody {
    type Error = &'static str;

    fn try_from(members: RequestMembers) -> Result<RequestBody, Self::Error> {
        let found = [
            members.get.map(|body| RequestBody::Get { key: body.key }),
            members.put.map(|body| RequestBody::Put {
                key: body.key,
                value: body.value,
            }),
            members
                .cas
                .map(|Swap { key, expect, value }| RequestBody::Cas { key, expect, value }),
            members.delete.map(|body| RequestBody::Delete { key: body.key }),
            members.append.map(|body| RequestBody::Append {
                key: body.key,
                value: body.value,
            }),
            members.session.map(|Empty {}| RequestBody::Session {}),
            members.change.map(|Members { add, remove }| RequestBody::Change { add, remove }),
            members.transfer.map(|body| RequestBody::Transfer { to: body.to }),
            members.status.map(|Empty {}| RequestBody::Status {}),
            members.replicas.map(|body| RequestBody::Replicas { key: body.key }),
            members.hello.map(RequestBody::Hello),
        ];
        let mut known = found.into_iter().flatten();
        match (known.next(), known.next()) {
            (Some(body), None) => Ok(body),
            (None, _) => Err("the body names no known request: get, put, cas, delete, append, session, change, transfer, status, replicas"),
            (Some(_), Some(_)) => Err("the body names more than one request"),
        }
    }
}

/// What a node answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// Format version of the sender.
    pub v: u32,
    /// What every reply carries.
    pub header: ReplyHeader,
    /// The answer.
    pub body: Outcome,
}

impl Reply {
    /// The reply to request `id`.
    pub fn new(id: u64, lamport: u64, node: Text, body: Outcome) -> Reply {
        Reply {
            v: FORMAT_VERSION,
            header: ReplyHeader { id, lamport, node },
            body,
        }
    }
}

/// The header of a reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyHeader {
    /// The request this answers; 0 if the request's own could not be read.
    pub id: u64,
    /// The node's Lamport stamp.
    pub lamport: u64,
    /// The node's name.
    pub node: Text,
}

/// How a request ended. On the wire an object with exactly one of these members.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A get's answer; both null for a key that was never written.
    Value {
        /// What the key holds; null, with a version, for a key that was deleted.
        value: Option<Text>,
        /// The version of that value.
        version: Option<Version>,
    },
    /// A get's answer in the scheme `vector`: everything that no other value replaced. More than one where puts were concurrent.
    Siblings {
        /// The values, by version; none for a key that was never written.
        values: Vec<SiblingSeen>,
    },
    /// A put is durable on W replicas; in the Raft store a put, a delete or an append is committed.
    Stored {
        /// The version the value, or its absence, got.
        version: Version,
    },
    /// A compare-and-set was decided.
    Cas {
        /// Whether the key held what was expected, and now holds the new value.
        swapped: bool,
        /// What it held.
        seen: Option<Text>,
        /// The version of what it holds now; `None` if it does not exist.
        version: Option<Version>,
    },
    /// A session is open.
    Session {
        /// Its number, for the header of its commands.
        id: u64,
    },
    /// A change of the members is committed.
    Members {
        /// Who votes.
        voters: Vec<Text>,
        /// Who only receives.
        learners: Vec<Text>,
    },
    /// The leadership was handed over.
    Transferred {
        /// The leader now.
        leader: Text,
    },
    /// It certainly did not happen.
    Failed {
        /// One word for programs: `no-quorum`, `bad-request`, `frame-too-large`, `too-large`, `overloaded`, `version-exhausted`;
        /// in the Raft store also `not-leader`, `transferring`, `change-refused`.
        kind: Text,
        /// A sentence for people.
        message: Text,
        /// With `not-leader`: the node that leads, if this one knows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        leader: Option<Text>,
    },
    /// It may have happened, then or later.
    Unknown {
        /// One word for programs: `timeout`; in the Raft store also `leader-changed`, `session-expired`.
        kind: Text,
        /// A sentence for people.
        message: Text,
    },
    /// The home replicas of a key, in ring order.
    Replicas {
        /// Names of N nodes.
        nodes: Vec<Text>,
    },
    /// How the node is.
    Status(Box<Status>),
}

/// One of several values of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiblingSeen {
    /// The value; null where the key was deleted.
    pub value: Option<Text>,
    /// Its version.
    pub version: Version,
    /// What its write had seen, itself included: which other writes it replaces.
    pub vector: Vector,
}

impl Outcome {
    /// A definite failure.
    pub fn failed(kind: &str, message: impl AsRef<str>) -> Outcome {
        Outcome::Failed {
            kind: kind.into(),
            message: message.as_ref().into(),
            leader: None,
        }
    }

    /// A definite failure, because another node leads.
    pub fn not_leader(leader: Option<Text>) -> Outcome {
        let message = match &leader {
            Some(leader) => format!("`{leader}` leads, ask there"),
            None => "this node does not lead and knows of no leader, ask another one or later".to_owned(),
        };
        Outcome::Failed {
            kind: "not-leader".into(),
            message: message.into(),
            leader,
        }
    }

    /// An outcome that nobody knows.
    pub fn unknown(kind: &str, message: impl AsRef<str>) -> Outcome {
        Outcome::Unknown {
            kind: kind.into(),
            message: message.as_ref().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Request, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn skips_unknown_members_everywhere() {
        let text = r#"{"v":2,"new":1,"header":{"id":7,"trace":"x"},"body":{"get":{"key":"k","cache":false},"hint":[1]}}"#;
        let request = parse(text).unwrap();
        assert_eq!(request.body, RequestBody::Get { key: "k".into() });
        assert_eq!(
            request.header,
            RequestHeader {
                id: 7,
                ..RequestHeader::default()
            }
        );
    }

    #[test]
    fn refuses_a_body_without_exactly_one_request() {
        assert!(
            parse(r#"{"v":1,"header":{"id":1},"body":{}}"#)
                .unwrap_err()
                .contains("no known request")
        );
        let both = r#"{"v":1,"header":{"id":1},"body":{"get":{"key":"k"},"status":{}}}"#;
        assert!(parse(both).unwrap_err().contains("more than one request"));
    }

    #[test]
    fn refuses_wrong_types_and_missing_members() {
        for text in [
            r#"{"v":1,"header":{"id":-1},"body":{"status":{}}}"#,
            r#"{"v":1,"header":{},"body":{"status":{}}}"#,
            r#"{"v":1,"header":{"id":1},"body":{"put":{"key":"k"}}}"#,
            r#"{"v":1,"header":{"id":1},"body":{"put":{"key":"k","value":5}}}"#,
            r#"{"header":{"id":1},"body":{"status":{}}}"#,
            r#"[]"#,
        ] {
            assert!(parse(text).is_err(), "{text} was accepted");
        }
    }
}
