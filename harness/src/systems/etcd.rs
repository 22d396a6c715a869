//! etcd 3 as a system under test: the program of the distribution, its JSON gateway, and a client of ours.
//!
//! Main decision: the gateway (HTTP/1.1 and JSON on the client port) instead of gRPC, whose client crates need `protoc` to build and
//! retry on their own. The price is a hop inside the node: the gateway is a gRPC client of the same process.

mod members;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use squall_nemeses::Capability;
use squall_workloads::{Argument, BoxFuture, Client, ErrorNote, Function, Operation, Outcome, Seen, Stamp};

use super::http::{self, Connection, HttpError, Response};
use super::{ASK_TIMEOUT, Ask, Asked, Cast, Joining, Member, NodeFiles, NodeStatus, Position, System, SystemInfo, WallClock, find_program};
use crate::sandbox::place::NodeCommand;

/// Where clients ask, and where faults between clients and nodes strike.
pub const CLIENT_PORT: u16 = 2379;

/// Where members talk to each other.
pub const PEER_PORT: u16 = 2380;

/// etcd's own defaults, written out because recovery bounds rest on them: a leader is missed after 1 s without a heartbeat.
const HEARTBEAT_MS: &str = "100";
const ELECTION_MS: &str = "1000";

const MISSING: &str = "there is no program `etcd` here; get it with `apt-get install etcd-server`";

/// What `squall list systems` says.
pub(super) const INFO: SystemInfo = SystemInfo {
    name: "etcd",
    about: "etcd 3.4 or newer, as the distribution ships it: Raft, every write and linearizable read through a majority",
    expected: &[
        (
            "(default: linearizable reads)",
            "valid; from 3.4.20 and 3.5.0 to the fix of 2026 there is a rare published bug under pauses, etcd-io/etcd #20418",
        ),
        (
            "--serializable",
            "invalid: a read may be answered by a member that lags or is cut off",
        ),
    ],
    fault_model: "crash, pause, any network fault, honest power loss of a file system with a journal, any wall clock (registers use no leases)",
    available: || find().map(|_| ()).map_err(|error| format!("{error:#}")),
};

/// Settings of an etcd cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Members of the cluster.
    pub nodes: u32,
    /// Whether reads are answered from a member's own state (`serializable`), without asking a majority.
    pub serializable: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            nodes: 3,
            serializable: false,
        }
    }
}

impl Settings {
    pub(super) fn capabilities(&self) -> Vec<Capability> {
        vec![
            Capability::Kill,
            Capability::Pause,
            Capability::Restart,
            Capability::Leader,
            Capability::Logs,
            Capability::Grow,
        ]
    }

    pub(super) fn validate(&self) -> Result<(), String> {
        match self.nodes {
            1..=100 => Ok(()),
            nodes => Err(format!("--nodes {nodes}: a cluster has 1 to 100 nodes")),
        }
    }
}

/// An etcd cluster.
pub struct Etcd {
    settings: Settings,
    program: PathBuf,
    version: String,
}

impl Etcd {
    /// Finds the program and asks it for its version.
    ///
    /// # Errors
    /// When it is not on this machine or too old; one line that says how to get it.
    pub fn open(settings: Settings) -> Result<Etcd> {
        let (program, version) = find()?;
        Ok(Etcd {
            settings,
            program,
            version,
        })
    }
}

impl System for Etcd {
    fn describe(&self) -> String {
        let reads = if self.settings.serializable {
            "serializable"
        } else {
            "linearizable"
        };
        format!("etcd {}, {reads} reads", self.version)
    }

    fn binaries(&self) -> Vec<PathBuf> {
        vec![self.program.clone()]
    }

    fn command(&self, member: &Member, cast: Cast<'_>, files: &NodeFiles) -> NodeCommand {
        let url = |address: Ipv4Addr, port: u16| format!("http://{address}:{port}");
        let (peer_url, client_url) = (url(member.address, PEER_PORT), url(member.address, CLIENT_PORT));
        // Who enters a cluster that serves has an identity of its own each time, and a folder with it.
        let (members, state, data) = match cast.entry {
            Some(entry) => (&entry.members[..], "existing", files.data.join(format!("life-{}", entry.life))),
            None => (cast.founders, "new", files.data.clone()),
        };
        let cluster: Vec<String> = members
            .iter()
            .map(|peer| format!("{}={}", peer.id, url(peer.address, PEER_PORT)))
            .collect();
        // Only flags that 3.4, 3.5 and 3.6 all know. Those of the initial cluster are ignored once the data folder exists.
        let flags = [
            ("--name", member.id.clone()),
            ("--data-dir", data.display().to_string()),
            ("--listen-peer-urls", peer_url.clone()),
            ("--initial-advertise-peer-urls", peer_url),
            ("--listen-client-urls", client_url.clone()),
            ("--advertise-client-urls", client_url),
            ("--initial-cluster", cluster.join(",")),
            ("--initial-cluster-state", state.into()),
            ("--heartbeat-interval", HEARTBEAT_MS.into()),
            ("--election-timeout", ELECTION_MS.into()),
            ("--logger", "zap".into()),
            ("--log-outputs", "stderr".into()),
        ];
        let args = flags.into_iter().map(|(flag, value)| format!("{flag}={value}")).collect();
        NodeCommand {
            program: self.program.clone(),
            args,
            env: environment(),
        }
    }

    fn status<'a>(&'a self, member: &'a Member) -> Ask<'a, Result<NodeStatus>> {
        Box::pin(async move {
            let standing = standing(member).await?;
            // Health goes through a majority, so that it is asked last and its failure hides nothing that the member knows by itself.
            let health = http::get(endpoint(member.address), "/health", ASK_TIMEOUT).await;
            Ok(node_status(&standing, health))
        })
    }

    fn wall_clock<'a>(&'a self, member: &'a Member) -> Ask<'a, Result<Option<WallClock>>> {
        Box::pin(async move {
            // Answered by the member alone, whoever leads.
            let response = http::get(endpoint(member.address), "/version", ASK_TIMEOUT).await?;
            Ok(response.date.as_deref().and_then(wall_clock_in))
        })
    }

    fn client(&self, member: &Member, _name: &str) -> Box<dyn Client> {
        let Settings { serializable, .. } = self.settings;
        Box::new(EtcdClient {
            node: member.id.clone(),
            address: endpoint(member.address),
            serializable,
            connection: None,
        })
    }

    fn joining(&self) -> Joining {
        Joining::Announced
    }

    fn join_bound(&self) -> Duration {
        members::JOIN_BOUND
    }

    fn standing<'a>(&'a self, member: &'a Member) -> Ask<'a, Result<Option<super::Standing>>> {
        Box::pin(async move { members::standing(member).await.map(Some) })
    }

    fn change_members<'a>(&'a self, leader: &'a Member, add: &'a [Member], remove: &'a [Member]) -> Ask<'a, Asked> {
        Box::pin(members::change(leader, add, remove))
    }

    /// What it calls its index is that of the last entry it knows to be committed; how far its log goes beyond that no member says.
    fn position<'a>(&'a self, member: &'a Member) -> Ask<'a, Result<Position>> {
        Box::pin(async move {
            let figures = standing(member).await?.figures;
            let figure = |name: &str| figures.get(name).copied();
            Ok(Position {
                campaigns: false,
                log_end: figure("raft_term").zip(figure("raft_index")),
            })
        })
    }

    fn is_leader<'a>(&'a self, member: &'a Member) -> Ask<'a, Result<Option<bool>>> {
        Box::pin(async move {
            let standing = standing(member).await?;
            Ok(Some(standing.leader == Some(standing.member)))
        })
    }
}

/// The `Date` of a response: a time in whole seconds (RFC 9110, section 5.6.7).
fn wall_clock_in(date: &str) -> Option<WallClock> {
    let date = chrono::DateTime::parse_from_rfc2822(date).ok()?;
    Some(WallClock {
        shown_ns: date.timestamp_nanos_opt()?,
        grain_ns: 1_000_000_000,
    })
}

fn endpoint(address: Ipv4Addr) -> SocketAddr {
    SocketAddr::from((address, CLIENT_PORT))
}

/// The program and its version.
fn find() -> Result<(PathBuf, String)> {
    let program = find_program("etcd").ok_or_else(|| anyhow!(MISSING))?;
    let said = ask_version(&program)?;
    let version = version_in(&said).with_context(|| format!("{} cannot be used", program.display()))?;
    Ok((program, version))
}

/// Runs `etcd --version`, for 5 s at most, and gives the beginning of what it says.
fn ask_version(program: &Path) -> Result<String> {
    let mut asked = Command::new(program);
    asked
        .arg("--version")
        .env_clear()
        .envs(environment())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = asked.spawn().with_context(|| format!("run {}", program.display()))?;
    for _ in 0..500 {
        if child.try_wait().context("wait for `etcd --version`")?.is_some() {
            let mut said = Vec::new();
            child
                .stdout
                .take()
                .context("its output is a pipe")?
                .take(4096)
                .read_to_end(&mut said)
                .context("read what it said")?;
            return Ok(String::from_utf8_lossy(&said).into_owned());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    // It may have ended this moment.
    let _ = child.kill();
    child.wait().context("wait for `etcd --version`")?;
    bail!("`{} --version` did not end within 5 s", program.display())
}

/// `3.4.23` from `etcd Version: 3.4.23` and whatever follows.
fn version_in(said: &str) -> Result<String> {
    let first = said.lines().next().unwrap_or_default();
    let version = first.strip_prefix("etcd Version: ").unwrap_or_default().trim();
    let mut numbers = version.split('.').map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        bail!("asked for its version it says {:?}", first.chars().take(80).collect::<String>());
    };
    // 3.3 has the gateway at another path, and the distributions that ship it have no newer one.
    if (major, minor) < (3, 4) {
        bail!("it is etcd {major}.{minor}; 3.4 or newer is needed");
    }
    Ok(version.chars().filter(|c| c.is_ascii_graphic()).take(40).collect())
}

/// etcd refuses to start on architectures it is not tested on, unless this variable names them in Go's words.
fn environment() -> BTreeMap<String, String> {
    let go = match std::env::consts::ARCH {
        "x86_64" => return BTreeMap::new(),
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    };
    BTreeMap::from([("ETCD_UNSUPPORTED_ARCH".into(), go.into())])
}

/// What a member knows by itself.
#[derive(Debug, PartialEq, Eq)]
struct Standing {
    member: u64,
    leader: Option<u64>,
    figures: BTreeMap<String, u64>,
}

async fn standing(member: &Member) -> Result<Standing> {
    let response = http::post(endpoint(member.address), "/v3/maintenance/status", "{}", ASK_TIMEOUT).await?;
    if response.status != 200 {
        bail!("{} answered a question for its status with {}", member.id, refusal(&response).1);
    }
    let fields = serde_json::from_slice(&response.body).with_context(|| format!("read the status of {}", member.id))?;
    standing_in(&fields).with_context(|| format!("{} tells no member id", member.id))
}

fn standing_in(fields: &Value) -> Option<Standing> {
    let number = |pointer| fields.pointer(pointer).and_then(number_in);
    let figures = [
        ("db_size_bytes", "/dbSize"),
        ("raft_applied_index", "/raftAppliedIndex"),
        ("raft_index", "/raftIndex"),
        ("raft_term", "/raftTerm"),
        ("revision", "/header/revision"),
    ];
    Some(Standing {
        member: number("/header/member_id")?,
        leader: number("/leader").filter(|id| *id != 0),
        figures: figures
            .into_iter()
            .filter_map(|(name, pointer)| Some((name.to_owned(), number(pointer)?)))
            .collect(),
    })
}

/// Protobuf's JSON writes 64-bit numbers as strings, and leaves zeros out.
fn number_in(value: &Value) -> Option<u64> {
    value.as_str().map_or_else(|| value.as_u64(), |text| text.parse().ok())
}

fn node_status(standing: &Standing, health: Result<Response, HttpError>) -> NodeStatus {
    let (healthy, health) = match health {
        Ok(response) if says_healthy(&response) => (true, "healthy".to_owned()),
        // Made a note of, because a note is short whatever a node sends.
        Ok(response) => (
            false,
            ErrorNote::new("not healthy", String::from_utf8_lossy(&response.body).trim_end()).to_string(),
        ),
        Err(error) => (false, format!("no health ({error})")),
    };
    let leader = standing.leader.map_or("no leader".to_owned(), |id| format!("leader {id:x}"));
    NodeStatus {
        ready: healthy && standing.leader.is_some(),
        said: format!("member {:x}, {leader}, {health}", standing.member),
        incarnation: None,
        figures: standing.figures.clone(),
    }
}

fn says_healthy(response: &Response) -> bool {
    let health = serde_json::from_slice::<Value>(&response.body)
        .ok()
        .and_then(|fields| fields.get("health").cloned());
    response.status == 200 && health.is_some_and(|health| health == "true" || health == true)
}

/// One client of one member. It never retries, and never asks another member.
struct EtcdClient {
    node: String,
    address: SocketAddr,
    serializable: bool,
    connection: Option<Connection>,
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
fn request(operation: &Operation, serializable: bool) -> Option<(&'static str, String)> {
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
fn conclude(operation: &Operation, reply: Result<Response, HttpError>) -> Outcome {
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

/// An error as the gateway tells it: gRPC's code and etcd's words.
#[derive(Deserialize)]
struct Refusal {
    code: u32,
    #[serde(default)]
    message: String,
}

/// Whether a refused write certainly never happens, and what the refusal says.
fn refusal(response: &Response) -> (bool, ErrorNote) {
    match serde_json::from_slice(&response.body) {
        Ok(Refusal { code, message }) => (is_definite(code, &message), ErrorNote::new(name_of(code), message)),
        Err(_) => (
            false,
            ErrorNote::new(format!("http-{}", response.status), String::from_utf8_lossy(&response.body)),
        ),
    }
}

/// Whether a member that refuses a write in this way has not handed it to Raft, and will not.
///
/// By etcd's sources (`etcdserver/v3_server.go`, `processInternalRaftRequestOnce`; `api/v3rpc`; `api/v3rpc/rpctypes`): what is checked
/// before the proposal is definite. Everything after it is not: every kind of timeout, `leader changed`, `server stopped`. Two that
/// look definite are not. `context deadline exceeded` under code 2 comes from the proposal itself, which may have been taken in.
/// `database space exceeded` is told before the proposal, but also by `quotaApplierV3.Put`, which writes first and complains then.
fn is_definite(code: u32, message: &str) -> bool {
    match name_of(code).as_ref() {
        "invalid-argument" | "permission-denied" | "unauthenticated" | "unimplemented" => true,
        "resource-exhausted" => message == "etcdserver: too many requests",
        _ => false,
    }
}

/// A status code after gRPC's names (grpc/grpc, `doc/statuscodes.md`); its `UNKNOWN` is an error here and no outcome.
fn name_of(code: u32) -> Cow<'static, str> {
    const NAMES: [&str; 17] = [
        "ok",
        "cancelled",
        "unknown-error",
        "invalid-argument",
        "deadline-exceeded",
        "not-found",
        "already-exists",
        "permission-denied",
        "resource-exhausted",
        "failed-precondition",
        "aborted",
        "out-of-range",
        "unimplemented",
        "internal",
        "unavailable",
        "data-loss",
        "unauthenticated",
    ];
    let name = usize::try_from(code).ok().and_then(|code| NAMES.get(code));
    name.map_or_else(|| format!("grpc-{code}").into(), |name| (*name).into())
}

#[cfg(test)]
mod tests;
