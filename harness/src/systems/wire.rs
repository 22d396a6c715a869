//! Reader and writer of our stores' client protocol (node/PROTOCOL.md), written against the document and not against `squall-node`.
//!
//! A codec shared with the node could not find its own bugs; the golden frames in `node/tests/golden` hold the two together.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
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
    /// To a put.
    Stored {
        /// The version it got.
        #[serde(default)]
        version: Value,
    },
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

/// Why an operation did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Note {
    /// A short word: `no-quorum`, `timeout`.
    pub(crate) kind: String,
    /// For a person.
    #[serde(default)]
    pub(crate) message: String,
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
    #[error("{0}")]
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
        let stream = tokio::time::timeout(timeout, TcpStream::connect(address)).await.map_err(|_| timed_out("connect"))??;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, client: client.to_owned(), next_id: 0, out: Vec::new(), input: Vec::new() })
    }

    /// Encodes a request; [`Connection::exchange`] sends it.
    pub(crate) fn encode(&mut self, request: &Request<'_>, deadline: Duration) {
        self.next_id += 1;
        let header = RequestHeader {
            id: self.next_id,
            client: &self.client,
            seq: self.next_id,
            deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
        };
        encode_frame(&RequestFrame { v: 1, header, body: request }, &mut self.out);
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
            return Err(WireError::Malformed(format!("frame of {length} bytes, the bound is {FRAME_BYTES_MAX}")));
        }
        self.input.resize(length, 0);
        self.stream.read_exact(&mut self.input).await?;
        decode_reply(&self.input)
    }
}

/// Asks one question on a connection of its own.
pub(crate) async fn ask(address: SocketAddr, request: &Request<'_>, timeout: Duration) -> Result<Reply, WireError> {
    tokio::time::timeout(timeout, async {
        let mut connection = Connection::open(address, "squall", timeout).await?;
        connection.encode(request, timeout);
        connection.exchange().await
    })
    .await
    .map_err(|_| timed_out("answer"))?
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
        return Err(WireError::Malformed(format!("format version {}, this reader knows 1 and 2", frame.v)));
    }
    Ok(frame)
}
