//! Reader and writer of our stores' client protocol (node/PROTOCOL.md), written against the document and not against `squall-node`.
//!
//! A codec shared with the node could not find its own bugs; the golden frames in `node/tests/golden` hold the two together.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use squall_workloads::Stamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest frame either side accepts, in bytes.
const FRAME_BYTES_MAX: usize = 1 << 20;

/// What a client can ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Request<'a> {
    /// The value of a key.
    Get {
        /// The key.
        key: &'a str,
    },
    /// Stores a value.
    Put {
        /// The key.
        key: &'a str,
        /// The value.
        value: &'a str,
    },
    /// Takes the value of a key away.
    Delete {
        /// The key.
        key: &'a str,
    },
    /// Stores a value if the key holds an expected one.
    Cas {
        /// The key.
        key: &'a str,
        /// What it must hold; `None`: it must not exist.
        expect: Option<&'a str>,
        /// The value.
        value: &'a str,
    },
    /// Adds text to the end of a value.
    Append {
        /// The key.
        key: &'a str,
        /// The text.
        value: &'a str,
    },
    /// Opens a session.
    Session {},
    /// Changes who votes.
    Change {
        /// Members that shall vote.
        add: &'a [String],
        /// Members that shall leave.
        remove: &'a [String],
    },
    /// Hands the leadership over.
    Transfer {
        /// To this member.
        to: &'a str,
    },
    /// How the node is.
    Status {},
    /// Which nodes hold a key.
    Replicas {
        /// The key.
        key: &'a str,
    },
}

/// What a node answers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reply {
    /// To a get.
    Value {
        /// `None` if the key was never written.
        value: Option<String>,
        /// Its version.
        #[serde(default)]
        version: Value,
    },
    /// To a get, where concurrent values are kept side by side.
    Siblings {
        /// All of them; none if the key was never written.
        values: Vec<Sibling>,
    },
    /// To a put or a delete.
    Stored {
        /// The version it got.
        #[serde(default)]
        version: Value,
    },
    /// To a compare-and-set.
    Cas {
        /// Whether the key held what was expected.
        swapped: bool,
        /// What it held.
        #[serde(default)]
        seen: Option<String>,
    },
    /// To a request for a session.
    Session {
        /// Its number.
        id: u64,
    },
    /// To a change of members: it is committed.
    Members {},
    /// To a transfer: another node leads.
    Transferred {},
    /// It certainly did not happen.
    Failed(Note),
    /// It may have happened, then or later.
    Unknown(Note),
    /// To a question for replicas.
    Replicas {
        /// Home replicas, ring order.
        nodes: Vec<String>,
    },
    /// To a question for status.
    Status(serde_json::Map<String, Value>),
}

/// One of several values of a key.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Sibling {
    /// The value; `None` where the key was deleted.
    pub(crate) value: Option<String>,
    /// Its version.
    #[serde(default)]
    pub(crate) version: Value,
}

/// Why an operation did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Note {
    /// A short word: `no-quorum`, `timeout`.
    pub(crate) kind: String,
    /// For a person.
    #[serde(default)]
    pub(crate) message: String,
    /// Who would have answered.
    #[serde(default)]
    pub(crate) leader: Option<String>,
}

#[derive(Serialize)]
struct RequestFrame<'a> {
    v: u32,
    header: RequestHeader<'a>,
    body: &'a Request<'a>,
}

#[derive(Serialize)]
struct RequestHeader<'a> {
    id: u64,
    client: &'a str,
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<u64>,
    deadline_ms: u64,
}

#[derive(Deserialize)]
struct ReplyFrame {
    v: u32,
    header: ReplyHeader,
    body: Reply,
}

#[derive(Deserialize)]
struct ReplyHeader {
    id: u64,
}

/// Why no reply can be had from a connection any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// The connection broke or could not be made.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The peer sent something that is no reply.
    #[error("not a reply: {0}")]
    Malformed(String),
}

/// One connection to one node; one request at a time.
pub(crate) struct Connection {
    stream: TcpStream,
    client: String,
    next_id: u64,
    out: Vec<u8>,
    input: Vec<u8>,
}

impl Connection {
    /// Connects within `timeout`.
    pub(crate) async fn open(address: SocketAddr, client: &str, timeout: Duration) -> Result<Connection, WireError> {
        let stream = tokio::time::timeout(timeout, TcpStream::connect(address))
            .await
            .map_err(|_| timed_out("connect"))??;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            client: client.to_owned(),
            next_id: 0,
            out: Vec::new(),
            input: Vec::new(),
        })
    }

    /// Encodes a request; [`Connection::exchange`] sends it. `stamp` tells a store with sessions, within the client's `session`, whether it
    /// has seen this operation before.
    pub(crate) fn encode(&mut self, request: &Request<'_>, stamp: Stamp, session: Option<u64>, deadline: Duration) {
        self.next_id += 1;
        let header = RequestHeader {
            id: self.next_id,
            client: &self.client,
            seq: stamp.0,
            session,
            deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
        };
        encode_frame(
            &RequestFrame {
                v: 1,
                header,
                body: request,
            },
            &mut self.out,
        );
    }

    /// Sends the encoded request and awaits its reply. Replies to earlier, abandoned requests are skipped by their id.
    pub(crate) async fn exchange(&mut self) -> Result<Reply, WireError> {
        self.stream.write_all(&self.out).await?;
        loop {
            let reply = self.read_reply().await?;
            if reply.header.id == self.next_id {
                return Ok(reply.body);
            }
        }
    }

    async fn read_reply(&mut self) -> Result<ReplyFrame, WireError> {
        let length = self.stream.read_u32().await? as usize;
        if length == 0 || length > FRAME_BYTES_MAX {
            return Err(WireError::Malformed(format!(
                "frame of {length} bytes, the bound is {FRAME_BYTES_MAX}"
            )));
        }
        self.input.resize(length, 0);
        self.stream.read_exact(&mut self.input).await?;
        decode_reply(&self.input)
    }
}

/// How long the first attempt to connect may take; each further one twice as long. The kernel accepts for a busy node, too; and a first
/// packet lost on a link that is coming up is sent again by TCP only after a second, but by us at once.
const FIRST_CONNECT_TIMEOUT: Duration = Duration::from_millis(100);

/// Asks one question on a connection of its own, all within `timeout`.
pub(crate) async fn ask(address: SocketAddr, request: &Request<'_>, timeout: Duration) -> Result<Reply, WireError> {
    tokio::time::timeout(timeout, async {
        let mut connection = connect_soon(address).await?;
        connection.encode(request, Stamp(1), None, timeout);
        connection.exchange().await
    })
    .await
    .map_err(|_| timed_out("answer"))?
}

/// Connects, and does not wait for a lost packet. A refusal is final.
async fn connect_soon(address: SocketAddr) -> Result<Connection, WireError> {
    let mut patience = FIRST_CONNECT_TIMEOUT;
    loop {
        match Connection::open(address, "squall", patience).await {
            Err(WireError::Io(error)) if error.kind() == std::io::ErrorKind::TimedOut => patience *= 2,
            done => return done,
        }
    }
}

fn timed_out(what: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no {what} in time"))
}

fn encode_frame(frame: &impl Serialize, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&[0; 4]);
    serde_json::to_writer(&mut *out, frame).expect("requests hold only strings and numbers, and a vector takes every write");
    let length = u32::try_from(out.len() - 4).expect("a key and a value were bounded by whoever typed them");
    out[..4].copy_from_slice(&length.to_be_bytes());
}

fn decode_reply(payload: &[u8]) -> Result<ReplyFrame, WireError> {
    let frame: ReplyFrame = serde_json::from_slice(payload).map_err(|error| WireError::Malformed(error.to_string()))?;
    if frame.v == 0 || frame.v > 2 {
        return Err(WireError::Malformed(format!(
            "format version {}, this reader knows 1 and 2",
            frame.v
        )));
    }
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        name: String,
        kind: String,
        payload: String,
        hex: String,
    }

    fn golden(kind: &str) -> Vec<Golden> {
        golden_of("frames.jsonl", kind)
    }

    fn golden_of(file: &str, kind: &str) -> Vec<Golden> {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../node/tests/golden")
            .join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let frames: Vec<Golden> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("golden frames are JSON lines"))
            .collect();
        frames.into_iter().filter(|frame| frame.kind == kind).collect()
    }

    fn named<'a>(frames: &'a [Golden], name: &str) -> &'a Golden {
        frames
            .iter()
            .find(|frame| frame.name == name)
            .unwrap_or_else(|| panic!("no golden frame `{name}`"))
    }

    #[test]
    fn writes_requests_as_the_nodes_golden_frames_have_them() {
        let frames = golden("request");
        let requests = [
            ("get", Request::Get { key: "k1" }),
            ("put", Request::Put { key: "k1", value: "17" }),
            ("delete", Request::Delete { key: "k1" }),
            (
                "put of text outside ASCII",
                Request::Put {
                    key: "schlüssel",
                    value: "\"\\\n値",
                },
            ),
            ("status", Request::Status {}),
            ("replicas", Request::Replicas { key: "k1" }),
        ];
        for (name, request) in requests {
            let header = RequestHeader {
                id: 7,
                client: "c3",
                seq: 9,
                session: None,
                deadline_ms: 1000,
            };
            let mut written = Vec::new();
            encode_frame(
                &RequestFrame {
                    v: 1,
                    header,
                    body: &request,
                },
                &mut written,
            );
            assert_eq!(
                u32::from_be_bytes(written[..4].try_into().expect("four bytes")) as usize,
                written.len() - 4,
                "{name}"
            );
            let ours: Value = serde_json::from_slice(&written[4..]).expect("we write JSON");
            let mut theirs: Value = serde_json::from_str(&named(&frames, name).payload).expect("golden payloads are JSON");
            // We keep no Lamport clock, and the member may be left out.
            theirs["header"].as_object_mut().expect("a header is an object").remove("lamport");
            assert_eq!(ours, theirs, "{name}");
        }
    }

    #[test]
    fn writes_requests_of_the_raft_store_as_its_golden_frames_have_them() {
        let frames = golden_of("frames_raft.jsonl", "request");
        let nodes = ["n4"].map(String::from);
        let gone = ["n1"].map(String::from);
        let requests = [
            ("put in a session", Request::Put { key: "k1", value: "17" }),
            (
                "cas",
                Request::Cas {
                    key: "k1",
                    expect: Some("17"),
                    value: "18",
                },
            ),
            ("append", Request::Append { key: "k1", value: "x" }),
            ("session", Request::Session {}),
            (
                "change",
                Request::Change {
                    add: &nodes,
                    remove: &gone,
                },
            ),
            ("transfer", Request::Transfer { to: "n2" }),
        ];
        for (name, request) in requests {
            let theirs: Value = serde_json::from_str(&named(&frames, name).payload).expect("golden payloads are JSON");
            let ours = serde_json::to_value(&request).expect("a request is plain data");
            assert_eq!(ours, theirs["body"], "{name}");
        }
    }

    #[test]
    fn reads_the_raft_stores_golden_replies() {
        let frames = golden_of("frames_raft.jsonl", "reply");
        for frame in &frames {
            decode_reply(frame.payload.as_bytes()).unwrap_or_else(|error| panic!("{}: {error}", frame.name));
        }
        let read = |name: &str| decode_reply(named(&frames, name).payload.as_bytes()).expect("read above").body;
        assert!(matches!(read("not the leader"), Reply::Failed(note) if note.leader.as_deref() == Some("n2")));
    }

    #[test]
    fn reads_the_nodes_golden_replies() {
        let frames = golden("reply");
        let read = |name: &str| {
            let frame = named(&frames, name);
            let bytes: Vec<u8> = (0..frame.hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&frame.hex[at..at + 2], 16).expect("hex"))
                .collect();
            let reply = decode_reply(&bytes[4..]).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(reply.header.id, 7, "{name}");
            reply.body
        };
        let version = serde_json::json!([5, "n1", 1, 9]);
        assert_eq!(
            read("value"),
            Reply::Value {
                value: Some("17".into()),
                version: version.clone()
            }
        );
        assert_eq!(
            read("value of a key never written"),
            Reply::Value {
                value: None,
                version: Value::Null
            }
        );
        assert!(matches!(
            read("value of a deleted key"),
            Reply::Value {
                value: None,
                version: Value::Array(_)
            }
        ));
        let sibling = |value: Option<&str>, version: Value| Sibling {
            value: value.map(String::from),
            version,
        };
        let values = vec![
            sibling(Some("17"), version.clone()),
            sibling(None, serde_json::json!([6, "n2", 1, 4])),
        ];
        assert_eq!(read("siblings"), Reply::Siblings { values });
        assert_eq!(read("stored"), Reply::Stored { version });
        assert!(matches!(read("failed"), Reply::Failed(note) if note.kind == "no-quorum"));
        assert!(matches!(read("unknown"), Reply::Unknown(note) if note.kind == "timeout"));
        assert_eq!(
            read("replicas"),
            Reply::Replicas {
                nodes: ["n1", "n4", "n2"].map(String::from).to_vec()
            }
        );
        assert!(matches!(read("status"), Reply::Status(fields) if fields["ready"] == Value::Bool(true)));
    }

    #[test]
    fn refuses_what_is_no_reply() {
        for payload in [
            "",
            "{}",
            "[]",
            r#"{"v":9,"header":{"id":1},"body":{"status":{}}}"#,
            r#"{"v":1,"header":{"id":1},"body":{"other":{}}}"#,
        ] {
            assert!(
                matches!(decode_reply(payload.as_bytes()), Err(WireError::Malformed(_))),
                "{payload}"
            );
        }
        let future = r#"{"v":2,"new":1,"header":{"id":1,"new":2},"body":{"stored":{"version":null,"new":3}}}"#;
        assert!(decode_reply(future.as_bytes()).is_ok(), "unknown members are skipped");
    }
}
