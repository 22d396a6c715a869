//! One client of one member: what it sends for an operation, and what it makes of the answer or of none.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use squall_workloads::{Argument, BoxFuture, Client, ErrorNote, Function, Operation, Outcome, Seen, Stamp};

use super::super::http::{Connection, HttpError, Response};
use super::refusal::refusal;

/// One client of one member. It never retries, and never asks another member.
pub(super) struct EtcdClient {
    pub(super) node: String,
    pub(super) address: SocketAddr,
    pub(super) serializable: bool,
    pub(super) connection: Option<Connection>,
}

impl Client for EtcdClient {
    fn prepare<'a>(&'a mut self, operation: &'a Operation, _stamp: Stamp, deadline: Duration) -> BoxFuture<'a, Result<(), ErrorNote>> {
        Box::pin(async move {
            let connection = match self.connection.take().filter(Connection::is_usable) {
                Some(connection) => connection,
                None => Connection::open(self.address, deadline)
                    .await
                    .map_err(|error| ErrorNote::new("unreachable", error.to_string()))?,
            };
            let (path, json) = request(operation, self.serializable)
                .ok_or_else(|| ErrorNote::new("unsupported", format!("etcd has no {:?}", operation.f)))?;
            self.connection.insert(connection).encode_post(path, &json);
            Ok(())
        })
    }

    fn perform<'a>(&'a mut self, operation: &'a Operation, deadline: Duration) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let Some(connection) = &mut self.connection else {
                return Outcome::Failed(ErrorNote::new("unreachable", "not connected"));
            };
            let reply = tokio::time::timeout(deadline, connection.exchange()).await;
            conclude(
                operation,
                reply.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into())),
            )
        })
    }

    fn node(&self) -> &str {
        &self.node
    }

    fn abandon(&mut self) {
        self.connection = None;
    }
}

/// Path and body of the question for an operation; `None` for what no single request does.
pub(super) fn request(operation: &Operation, serializable: bool) -> Option<(&'static str, String)> {
    let key = BASE64_STANDARD.encode(&*operation.key);
    let encoded = |value: i64| BASE64_STANDARD.encode(value.to_string());
    Some(match (operation.f, operation.argument) {
        (Function::Write, Argument::Value(value)) => ("/v3/kv/put", format!(r#"{{"key":"{key}","value":"{}"}}"#, encoded(value))),
        (Function::Read, _) if serializable => ("/v3/kv/range", format!(r#"{{"key":"{key}","serializable":true}}"#)),
        (Function::Read, _) => ("/v3/kv/range", format!(r#"{{"key":"{key}"}}"#)),
        (Function::Cas, Argument::Pair(expected, new)) => {
            // A key that was never written has no creation; comparing its value would compare with the empty string.
            let compare = match expected {
                Some(value) => format!(r#""target":"VALUE","value":"{}""#, encoded(value)),
                None => r#""target":"CREATE","create_revision":"0""#.to_owned(),
            };
            let body = format!(
                r#"{{"compare":[{{"key":"{key}","result":"EQUAL",{compare}}}],"success":[{{"request_put":{{"key":"{key}","value":"{}"}}}}],"failure":[{{"request_range":{{"key":"{key}"}}}}]}}"#,
                encoded(new)
            );
            ("/v3/kv/txn", body)
        }
        _ => return None,
    })
}

/// What a reply, or its absence, says of an operation.
pub(super) fn conclude(operation: &Operation, reply: Result<Response, HttpError>) -> Outcome {
    let (never_happened, note) = match reply {
        Ok(response) if response.status == 200 => match answer(operation, &response.body) {
            Some(Answer::Done(seen)) => return Outcome::Ok(seen),
            Some(Answer::Found(seen)) => return Outcome::Failed(ErrorNote::mismatch(seen)),
            None => (false, ErrorNote::new("malformed-reply", String::from_utf8_lossy(&response.body))),
        },
        Ok(response) => refusal(&response),
        Err(HttpError::Io(error)) if error.kind() == std::io::ErrorKind::TimedOut => (false, ErrorNote::new("timeout", "no reply in time")),
        Err(HttpError::Io(error)) => (false, ErrorNote::new("connection-lost", error.to_string())),
        Err(error) => (false, ErrorNote::new("malformed-reply", error.to_string())),
    };
    if never_happened || operation.f.changes_nothing() {
        Outcome::Failed(note)
    } else {
        Outcome::Unknown(note)
    }
}

/// What a good reply says.
enum Answer {
    /// It happened.
    Done(Seen),
    /// A compare-and-set found this instead.
    Found(Seen),
}

/// The part of a reply to a put, a range or a transaction that matters.
#[derive(Deserialize)]
struct Reply {
    /// In every reply; without it a body is something else.
    #[serde(rename = "header")]
    _header: IgnoredAny,
    #[serde(default)]
    kvs: Vec<Pair>,
    /// Of a transaction: whether the comparison held. False is left out.
    #[serde(default)]
    succeeded: bool,
    /// Of a transaction: the answers to its parts.
    #[serde(default)]
    responses: Vec<Part>,
}

/// The answer to a part of a transaction.
#[derive(Deserialize)]
struct Part {
    response_range: Option<Range>,
}

/// The answer to a range within a transaction.
#[derive(Deserialize)]
struct Range {
    #[serde(default)]
    kvs: Vec<Pair>,
}

/// Base64 both; what is empty is left out.
#[derive(Deserialize)]
struct Pair {
    #[serde(default)]
    key: String,
    #[serde(default)]
    value: String,
}

fn answer(operation: &Operation, body: &[u8]) -> Option<Answer> {
    let reply: Reply = serde_json::from_slice(body).ok()?;
    match operation.f {
        Function::Cas if reply.succeeded => Some(Answer::Done(Seen::Nothing)),
        Function::Cas => {
            let range = reply.responses.iter().find_map(|part| part.response_range.as_ref())?;
            Some(Answer::Found(seen(operation, &range.kvs)?))
        }
        _ if operation.f.changes_nothing() => Some(Answer::Done(seen(operation, &reply.kvs)?)),
        _ => Some(Answer::Done(Seen::Nothing)),
    }
}

/// What stands under the operation's key.
fn seen(operation: &Operation, pairs: &[Pair]) -> Option<Seen> {
    let value = match pairs {
        [] => return Some(Seen::Nothing),
        [Pair { key, value }] if BASE64_STANDARD.decode(key).ok()? == operation.key.as_bytes() => BASE64_STANDARD.decode(value).ok()?,
        // A wrong answer in a right form is for the judge, not for the error count.
        _ => return Some(Seen::from_text(Some("(values of other keys)"))),
    };
    Some(Seen::from_text(Some(&String::from_utf8_lossy(&value))))
}
