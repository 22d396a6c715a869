//! Squall's own quorum store as a system under test: `squall node quorum`, five members, each key on N of them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_nemeses::{Capability, Mechanism};
use squall_node::bugs::Bug;
use squall_workloads::{Argument, BoxFuture, Client, ErrorNote, Function, Operation, Outcome, Seen, Stamp};

use super::quorum_extras::Extras;
use super::wire::{Connection, Note, Reply, Request, WireError, ask};
use super::{ASK_TIMEOUT, Ask, Cast, Member, NodeFiles, NodeStatus, System, SystemInfo, WallClock};
use crate::sandbox::place::NodeCommand;

/// The port every node listens on; each has an address of its own.
pub const PORT: u16 = 7000;

/// The field of a status that holds the node's wall clock.
const WALL_NS: &str = "wall_ns";

/// What `squall list systems` says.
pub(super) const INFO: SystemInfo = SystemInfo {
    name: "quorum",
    about: "Squall's own leaderless store: consistent hash ring, N replicas, R and W quorums, read write-back",
    expected: &[
        ("(default: --n 3 --r 2 --w 2)", "valid"),
        ("--r 1 --w 1", "invalid"),
        (
            "--r 3 --w 1",
            "invalid, though R+W>N: a write that is on one replica only may be missed by the next one's version read",
        ),
        ("--versions coordinator-local", "invalid"),
        (
            "--versions wall-clock",
            "valid while clocks agree, invalid as soon as they differ (--clock-offset, --faults clock)",
        ),
        (
            "--versions hlc",
            "as wall-clock: valid while clocks agree, invalid within some runs when they differ; a node hears of most stamps in time, not of all",
        ),
        ("--versions hlc --version-read", "valid, whatever the clocks show"),
        (
            "--versions vector",
            "valid by a rule of its own: a read is a set, and each acknowledged value is in every later read or replaced there",
        ),
        ("--versions vector --r 1 --w 1", "invalid"),
        ("--digest-reads", "valid"),
        (
            "--anti-entropy-ms 0, --no-hints",
            "valid: both bring replicas up to date, neither counts towards R or W",
        ),
        ("--reaping safe (default), never", "valid, also with --deletes"),
        (
            "--reaping grace --deletes 20",
            "invalid within some runs: a tombstone that goes by age lets the deleted value come back",
        ),
        (
            "--no-write-back",
            "invalid within some runs; the more seldom the more hints and anti-entropy do",
        ),
    ],
    fault_model: "crash, pause, any network fault, honest power loss, disk errors (the node exits), any wall clock but with versions made of it; \
                  the members are fixed for a run",
    available: || Ok(()),
};

/// How a coordinator makes versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Versions {
    /// One more than the newest of a majority.
    #[default]
    Quorum,
    /// The coordinator's wall clock.
    WallClock,
    /// A counter of the coordinator's own.
    CoordinatorLocal,
    /// A hybrid logical clock.
    Hlc,
    /// Version vectors: concurrent values are kept side by side.
    Vector,
}

impl Versions {
    fn flag(self) -> &'static str {
        match self {
            Versions::Quorum => "quorum",
            Versions::WallClock => "wall-clock",
            Versions::CoordinatorLocal => "coordinator-local",
            Versions::Hlc => "hlc",
            Versions::Vector => "vector",
        }
    }
}

/// Settings of a quorum cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Members of the cluster.
    #[serde(default = "usual_nodes")]
    pub nodes: u32,
    /// Replicas of each key; 3, or fewer if there are fewer nodes, where a plan leaves it out.
    #[serde(default)]
    pub n: u32,
    /// Replies a read waits for; a majority of N where a plan leaves it out.
    #[serde(default)]
    pub r: u32,
    /// Durable acknowledgements a write waits for; a majority of N where a plan leaves it out.
    #[serde(default)]
    pub w: u32,
    /// Whether a read makes its value durable on W replicas before it replies.
    #[serde(default = "writes_back")]
    pub write_back: bool,
    /// How versions are made.
    #[serde(default)]
    pub versions: Versions,
    /// Fixed offsets of nodes' wall clocks, in milliseconds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub clock_offset_ms: BTreeMap<String, i64>,
    /// The failure domain of each node, as the store is told, so that replicas of a key are in different ones; none: the ring alone decides.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub domains: BTreeMap<String, String>,
    /// What the store does beside its quorums.
    #[serde(default, skip_serializing_if = "Extras::is_default")]
    pub extras: Extras,
    /// The planted bug that is switched on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub bug: Option<Bug>,
}

/// Members of a cluster where nothing else is said: more than replicas of a key, so that not every node has every key.
pub fn usual_nodes() -> u32 {
    5
}

/// Replicas of each key where nothing else is said.
pub fn usual_n(nodes: u32) -> u32 {
    nodes.min(3)
}

/// Replies and acknowledgements that are waited for where nothing else is said: a majority of the replicas.
pub fn usual_quorum(n: u32) -> u32 {
    n / 2 + 1
}

fn writes_back() -> bool {
    true
}

impl Settings {
    pub(super) fn capabilities(&self) -> Vec<Capability> {
        vec![Capability::Kill, Capability::Pause, Capability::Restart, Capability::Replicas]
    }

    pub(super) fn disclaims(&self, fault: Mechanism) -> Option<&'static str> {
        let by_clock = match self.versions {
            Versions::WallClock => true,
            Versions::Hlc => !self.extras.version_read,
            Versions::Quorum | Versions::CoordinatorLocal | Versions::Vector => false,
        };
        (by_clock && fault == Mechanism::Clocks).then_some("its versions are made of the wall clock")
    }

    pub(super) fn validate(&self) -> Result<(), String> {
        let Settings { nodes, n, r, w, .. } = *self;
        let rules = [
            (nodes == 0 || nodes > 100, format!("--nodes {nodes}: a cluster has 1 to 100 nodes")),
            (
                n == 0 || n > nodes,
                format!("--n {n}: a key has at least 1 replica and at most one on each of the {nodes} nodes"),
            ),
            (
                r == 0 || r > n,
                format!("--r {r}: a read waits for at least 1 and at most N={n} replies"),
            ),
            (
                w == 0 || w > n,
                format!("--w {w}: a write waits for at least 1 and at most N={n} acknowledgements"),
            ),
            (
                self.extras.version_read && self.versions != Versions::Hlc,
                "--version-read belongs to --versions hlc; the other schemes decide themselves whether they ask".into(),
            ),
        ];
        if let Some((_, message)) = rules.into_iter().find(|(broken, _)| *broken) {
            return Err(message);
        }
        let stranger = |name: &&String| !(1..=nodes).any(|k| ***name == format!("n{k}"));
        if let Some(name) = self.clock_offset_ms.keys().find(stranger) {
            return Err(format!("--clock-offset: there is no node `{name}`; the nodes are n1 to n{nodes}"));
        }
        if let Some(name) = self.domains.keys().find(stranger) {
            return Err(format!("`domains`: there is no node `{name}`; the nodes are n1 to n{nodes}"));
        }
        if !self.domains.is_empty() && self.domains.len() != nodes as usize {
            let given = self.domains.len();
            return Err(format!("`domains` has {given} of {nodes} nodes; give each node one, or none"));
        }
        let plain =
            |domain: &&String| !domain.is_empty() && domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if let Some(odd) = self.domains.values().find(|domain| !plain(domain)) {
            return Err(format!("`domains`: `{odd}` is no name; letters, digits, `-`, `_` and `.` are"));
        }
        super::validate_bug(self.bug, squall_node::bugs::Store::Quorum)
    }
}

/// A quorum cluster.
pub struct Quorum {
    settings: Settings,
}

impl Quorum {
    pub(super) fn new(settings: Settings) -> Quorum {
        Quorum { settings }
    }
}

fn endpoint(address: Ipv4Addr) -> SocketAddr {
    SocketAddr::from((address, PORT))
}

impl System for Quorum {
    fn describe(&self) -> String {
        let Settings {
            n,
            r,
            w,
            write_back,
            versions,
            clock_offset_ms,
            domains,
            extras,
            bug,
            ..
        } = &self.settings;
        let mut text = format!("quorum N={n} R={r} W={w}");
        if !write_back {
            text.push_str(" no write-back");
        }
        if *versions != Versions::Quorum {
            text.push_str(&format!(" {} versions", versions.flag()));
        }
        if !domains.is_empty() {
            text.push_str(" replicas in distinct domains");
        }
        for (flag, value) in extras.given() {
            let value = value.map(|value| format!(" {value}")).unwrap_or_default();
            text.push_str(&format!(" {}{value}", flag.trim_start_matches('-')));
        }
        for (node, offset) in clock_offset_ms {
            text.push_str(&format!(" {node}{offset:+}ms"));
        }
        if let Some(bug) = bug {
            text.push_str(&format!(", planted bug {}", bug.id()));
        }
        text
    }

    fn command(&self, member: &Member, cast: Cast<'_>, files: &NodeFiles) -> NodeCommand {
        let settings = &self.settings;
        let mut args: Vec<String> = ["node", "quorum", "--id", &member.id].map(String::from).to_vec();
        args.extend(["--listen".into(), endpoint(member.address).to_string()]);
        for peer in cast.founders {
            args.extend(["--peer".into(), format!("{}={}", peer.id, endpoint(peer.address))]);
        }
        args.extend([
            "--data".into(),
            files.data.display().to_string(),
            "--trace".into(),
            files.trace.display().to_string(),
        ]);
        args.extend(files.gate.map(|gate| format!("--trace-gate={gate}")));
        for (flag, value) in [("--n", settings.n), ("--r", settings.r), ("--w", settings.w)] {
            args.extend([flag.into(), value.to_string()]);
        }
        args.extend(["--versions".into(), settings.versions.flag().into()]);
        if !settings.write_back {
            args.push("--no-write-back".into());
        }
        for (flag, value) in settings.extras.given() {
            args.push(flag.into());
            args.extend(value);
        }
        for (node, domain) in &settings.domains {
            args.push(format!("--domain={node}={domain}"));
        }
        if let Some(offset) = settings.clock_offset_ms.get(&member.id) {
            args.push(format!("--clock-offset-ms={offset}"));
        }
        if let Some(bug) = settings.bug {
            args.extend(["--bug".into(), bug.id().into()]);
        }
        NodeCommand::squall(args)
    }

    fn status<'a>(&'a self, member: &'a Member) -> Ask<'a, Result<NodeStatus>> {
        Box::pin(async move {
            match ask(endpoint(member.address), &Request::Status {}, ASK_TIMEOUT).await? {
                Reply::Status(fields) => Ok(node_status(&fields)),
                other => bail!("{} answered a question for its status with {other:?}", member.id),
            }
        })
    }

    fn wall_clock<'a>(&'a self, member: &'a Member) -> Ask<'a, Result<Option<WallClock>>> {
        Box::pin(async move {
            match ask(endpoint(member.address), &Request::Status {}, ASK_TIMEOUT).await? {
                Reply::Status(fields) => Ok(wall_clock_in(&fields)),
                other => bail!("{} answered a question for its status with {other:?}", member.id),
            }
        })
    }

    fn client(&self, member: &Member, name: &str) -> Box<dyn Client> {
        Box::new(QuorumClient {
            node: member.id.clone(),
            address: endpoint(member.address),
            name: name.to_owned(),
            connection: None,
        })
    }

    fn replicas<'a>(&'a self, member: &'a Member, key: &'a str) -> Ask<'a, Result<Option<Vec<String>>>> {
        Box::pin(async move {
            match ask(endpoint(member.address), &Request::Replicas { key }, ASK_TIMEOUT)
                .await
                .context("ask for replicas")?
            {
                Reply::Replicas { nodes } => Ok(Some(nodes)),
                other => bail!("{} answered a question for replicas with {other:?}", member.id),
            }
        })
    }

    fn traces(&self) -> bool {
        true
    }
}

/// What our nodes say of their wall clocks.
pub(super) fn wall_clock_in(fields: &serde_json::Map<String, serde_json::Value>) -> Option<WallClock> {
    let shown_ns = fields.get(WALL_NS)?.as_i64()?;
    Some(WallClock { shown_ns, grain_ns: 0 })
}

/// What our nodes say of themselves.
pub(super) fn node_status(fields: &serde_json::Map<String, serde_json::Value>) -> NodeStatus {
    // A clock is no figure: nobody wants the largest.
    let figures: BTreeMap<String, u64> = fields
        .iter()
        .filter(|(name, _)| *name != WALL_NS)
        .filter_map(|(name, value)| Some((name.clone(), value.as_u64()?)))
        .collect();
    NodeStatus {
        ready: fields.get("ready").and_then(serde_json::Value::as_bool).unwrap_or(false),
        said: serde_json::Value::Object(fields.clone()).to_string(),
        incarnation: figures.get("incarnation").copied(),
        figures,
    }
}

/// All values that a read gave, as a list of numbers. Where the key was deleted beside a value that was written meanwhile, the value alone
/// counts: an absence replaces nothing that is still there.
pub(crate) fn siblings<'a>(values: impl Iterator<Item = Option<&'a str>>) -> Seen {
    let mut numbers = Vec::new();
    for text in values.flatten() {
        match Seen::from_text(Some(text)) {
            Seen::Number(number) => numbers.push(number),
            foreign => return foreign,
        }
    }
    Seen::List(numbers)
}

/// One client of one node. It never retries: a put sent again would write its value twice.
struct QuorumClient {
    node: String,
    address: SocketAddr,
    name: String,
    connection: Option<Connection>,
}

impl Client for QuorumClient {
    fn prepare<'a>(&'a mut self, operation: &'a Operation, stamp: Stamp, deadline: Duration) -> BoxFuture<'a, Result<(), ErrorNote>> {
        Box::pin(async move {
            let connection = match &mut self.connection {
                Some(connection) => connection,
                empty => {
                    let opened = Connection::open(self.address, &self.name, deadline).await;
                    empty.insert(opened.map_err(|error| ErrorNote::new("unreachable", error.to_string()))?)
                }
            };
            let key = &*operation.key;
            // The node is told to give up a tenth earlier than we do: a definite failure that arrives in time is worth more to the judge
            // than an outcome that nobody knows.
            let node_deadline = deadline * 9 / 10;
            match (operation.f, operation.argument) {
                (Function::Read, _) => connection.encode(&Request::Get { key }, stamp, None, node_deadline),
                (Function::Write, Argument::Value(value)) => connection.encode(
                    &Request::Put {
                        key,
                        value: &value.to_string(),
                    },
                    stamp,
                    None,
                    node_deadline,
                ),
                // A write of nothing takes the value away.
                (Function::Write, Argument::None) => connection.encode(&Request::Delete { key }, stamp, None, node_deadline),
                (other, _) => return Err(ErrorNote::new("unsupported", format!("a quorum store has no {other:?}"))),
            }
            Ok(())
        })
    }

    fn perform<'a>(&'a mut self, operation: &'a Operation, _deadline: Duration) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let Some(connection) = &mut self.connection else {
                return Outcome::Failed(ErrorNote::new("unreachable", "not connected"));
            };
            match (connection.exchange().await, operation.f) {
                (Ok(Reply::Value { value, .. }), Function::Read) => Outcome::Ok(Seen::from_text(value.as_deref())),
                (Ok(Reply::Siblings { values }), Function::Read) => {
                    Outcome::Ok(siblings(values.iter().map(|sibling| sibling.value.as_deref())))
                }
                (Ok(Reply::Stored { .. }), Function::Write) => Outcome::Ok(Seen::Nothing),
                (Ok(Reply::Failed(Note { kind, message, .. })), _) => Outcome::Failed(ErrorNote::new(kind, message)),
                (Ok(Reply::Unknown(Note { kind, message, .. })), _) => Outcome::Unknown(ErrorNote::new(kind, message)),
                (Ok(other), _) => Outcome::Unknown(ErrorNote::new("wrong-reply", format!("{other:?}"))),
                (Err(WireError::Io(error)), _) => Outcome::Unknown(ErrorNote::new("connection-lost", error.to_string())),
                (Err(error @ WireError::Malformed(_)), _) => Outcome::Unknown(ErrorNote::new("malformed-reply", error.to_string())),
            }
        })
    }

    fn node(&self) -> &str {
        &self.node
    }

    fn abandon(&mut self) {
        self.connection = None;
    }
}
