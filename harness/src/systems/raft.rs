//! Squall's own Raft store as a system under test: `squall node raft`, three members, every command through the log.

mod exchange;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, bail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_nemeses::{Capability, Mechanism};
use squall_node::bugs::Bug;
use squall_workloads::{BoxFuture, Client, ErrorNote, Operation, Outcome, Stamp};

pub(crate) use self::exchange::{SESSION_EXPIRED, conclude, error_note, with_request};
use super::quorum::{node_status, wall_clock_in};
use super::wire::{Connection, Reply, Request, WireError, ask};
use super::{ASK_TIMEOUT, Ask, Asked, Cast, Member, NodeFiles, NodeStatus, Position, Standing, System, SystemInfo, WallClock};
use crate::sandbox::place::NodeCommand;

/// The port every node listens on; each has an address of its own.
pub const PORT: u16 = 7000;

/// What `squall list systems` says.
pub(super) const INFO: SystemInfo = SystemInfo {
    name: "raft",
    about: "Squall's own Raft store: pre-vote, check-quorum, read-index, snapshots, joint consensus, client sessions",
    expected: &[
        ("(default: --read-mode read-index)", "valid"),
        ("--read-mode lease", "valid while clocks run alike"),
        (
            "--read-mode local",
            "invalid: a member answers from what it has applied, and may lag or be cut off",
        ),
        ("--workload counter --retry idempotent", "valid: exactly once, by sessions"),
        (
            "--workload counter --retry blind",
            "invalid as soon as a reply is lost: at least once",
        ),
    ],
    fault_model: "crash, pause, any network fault, honest power loss, disk errors (the node exits), any wall clock; no clock faults with lease reads",
    available: || Ok(()),
};

/// How reads are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Reads {
    /// By the leader, after a majority has confirmed that it still leads.
    #[default]
    ReadIndex,
    /// By the leader, as long as no other can have been elected by its clock.
    Lease,
    /// By any member, from its own state.
    Local,
}

impl Reads {
    fn flag(self) -> &'static str {
        match self {
            Reads::ReadIndex => "read-index",
            Reads::Lease => "lease",
            Reads::Local => "local",
        }
    }
}

/// Settings of a Raft cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Members of the cluster.
    pub nodes: u32,
    /// How reads are answered.
    pub reads: Reads,
    /// Entries between two snapshots.
    pub snapshot_every: u32,
    /// The planted bug that is switched on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub bug: Option<Bug>,
}

impl Default for Settings {
    /// Three nodes, which is the smallest cluster that survives anything.
    fn default() -> Settings {
        Settings {
            nodes: 3,
            reads: Reads::default(),
            snapshot_every: 1_000,
            bug: None,
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
            Capability::Candidates,
            Capability::Logs,
            Capability::Transfer,
            Capability::Membership,
            Capability::Grow,
        ]
    }

    pub(super) fn disclaims(&self, fault: Mechanism) -> Option<&'static str> {
        (self.reads == Reads::Lease && fault == Mechanism::Clocks).then_some("its leases are measured by clocks")
    }

    pub(super) fn validate(&self) -> Result<(), String> {
        match self.nodes {
            0 | 101.. => return Err(format!("--nodes {}: a cluster has 1 to 100 nodes", self.nodes)),
            _ if self.snapshot_every == 0 => return Err("--snapshot-every 0: a snapshot holds at least one entry".into()),
            _ => {}
        }
        super::validate_bug(self.bug, squall_node::bugs::Store::Raft)
    }
}

/// A Raft cluster.
pub struct Raft {
    settings: Settings,
    /// Each client's session, whichever member it talks to. A client is driven by one task at a time.
    sessions: Mutex<BTreeMap<String, Arc<Mutex<Session>>>>,
}

/// What a client must know to have a command that is sent again done once.
#[derive(Debug, Default)]
struct Session {
    /// The number under which the store knows the client; `None` until it has one, and after it was told that it has expired.
    id: Option<u64>,
    /// The last command, and the session it was first sent in: sent again in another one, it might be done again.
    last: Option<(Stamp, u64)>,
}

impl Raft {
    pub(super) fn new(settings: Settings) -> Raft {
        Raft {
            settings,
            sessions: Mutex::default(),
        }
    }
}

fn endpoint(address: Ipv4Addr) -> SocketAddr {
    SocketAddr::from((address, PORT))
}

impl System for Raft {
    fn describe(&self) -> String {
        let mut text = format!("raft, {} reads", self.settings.reads.flag());
        if let Some(bug) = self.settings.bug {
            text.push_str(&format!(", planted bug {}", bug.id()));
        }
        text
    }

    fn command(&self, member: &Member, cast: Cast<'_>, files: &NodeFiles) -> NodeCommand {
        let mut args: Vec<String> = ["node", "raft", "--id", &member.id].map(String::from).to_vec();
        args.extend(["--listen".into(), endpoint(member.address).to_string()]);
        for peer in cast.founders.iter().chain(cast.spares) {
            args.extend(["--peer".into(), format!("{}={}", peer.id, endpoint(peer.address))]);
        }
        if !cast.spares.is_empty() {
            let voters: Vec<&str> = cast.founders.iter().map(|founder| founder.id.as_str()).collect();
            args.extend(["--voters".into(), voters.join(",")]);
        }
        args.extend(cast.spares.contains(member).then(|| "--join".into()));
        args.extend(["--data".into(), files.data.display().to_string()]);
        args.extend(["--trace".into(), files.trace.display().to_string()]);
        args.extend(files.gate.map(|gate| format!("--trace-gate={gate}")));
        args.extend(["--reads".into(), self.settings.reads.flag().into()]);
        args.extend(["--snapshot-every".into(), self.settings.snapshot_every.to_string()]);
        if let Some(bug) = self.settings.bug {
            args.extend(["--bug".into(), bug.id().into()]);
        }
        NodeCommand::squall(args)
    }

    fn status<'a>(&'a self, member: &'a Member) -> Ask<'a, Result<NodeStatus>> {
        Box::pin(async move {
            let fields = status_of(member).await?;
            let mut status = node_status(&fields);
            status.ready &= serves(&fields);
            Ok(status)
        })
    }

    fn wall_clock<'a>(&'a self, member: &'a Member) -> Ask<'a, Result<Option<WallClock>>> {
        Box::pin(async move { Ok(wall_clock_in(&status_of(member).await?)) })
    }

    fn client(&self, member: &Member, name: &str) -> Box<dyn Client> {
        let mut sessions = self.sessions.lock().expect("no holder of this lock panics");
        Box::new(RaftClient {
            node: member.id.clone(),
            address: endpoint(member.address),
            session: Arc::clone(sessions.entry(name.to_owned()).or_default()),
            name: name.to_owned(),
            connection: None,
        })
    }

    fn is_leader<'a>(&'a self, member: &'a Member) -> Ask<'a, Result<Option<bool>>> {
        Box::pin(async move {
            let fields = status_of(member).await?;
            Ok(fields.get("role").and_then(serde_json::Value::as_str).map(|role| role == "leader"))
        })
    }

    fn position<'a>(&'a self, member: &'a Member) -> Ask<'a, Result<Position>> {
        Box::pin(async move { Ok(position_in(&status_of(member).await?)) })
    }

    fn standing<'a>(&'a self, member: &'a Member) -> Ask<'a, Result<Option<Standing>>> {
        Box::pin(async move {
            let fields = serde_json::Value::Object(status_of(member).await?);
            let fields: StandingFields = serde_json::from_value(fields)?;
            Ok(Some(Standing {
                leads: fields.role == "leader",
                term: fields.term,
                voters: fields.voters,
                learners: fields.learners,
                changing: fields.changing,
            }))
        })
    }

    fn change_members<'a>(&'a self, leader: &'a Member, add: &'a [Member], remove: &'a [Member]) -> Ask<'a, Asked> {
        let names = |members: &[Member]| members.iter().map(|member| member.id.clone()).collect::<Vec<_>>();
        let (add, remove) = (names(add), names(remove));
        Box::pin(async move {
            let request = Request::Change {
                add: &add,
                remove: &remove,
            };
            request_of_nemesis(leader, request).await
        })
    }

    fn transfer<'a>(&'a self, leader: &'a Member, to: &'a Member) -> Ask<'a, Asked> {
        Box::pin(request_of_nemesis(leader, Request::Transfer { to: &to.id }))
    }

    fn traces(&self) -> bool {
        true
    }
}

/// A candidate of the election before the election is one, too.
fn position_in(fields: &serde_json::Map<String, serde_json::Value>) -> Position {
    let number = |name| fields.get(name).and_then(serde_json::Value::as_u64);
    let role = fields.get("role").and_then(serde_json::Value::as_str);
    Position {
        campaigns: matches!(role, Some("candidate" | "pre-candidate")),
        log_end: number("last_term").zip(number("last")),
    }
}

/// What of a node's status says where it stands.
#[derive(Deserialize)]
struct StandingFields {
    role: String,
    term: u64,
    voters: Vec<String>,
    learners: Vec<String>,
    #[serde(default)]
    changing: bool,
}

async fn request_of_nemesis(leader: &Member, request: Request<'_>) -> Asked {
    match ask(endpoint(leader.address), &request, ASK_TIMEOUT).await {
        Ok(Reply::Members { .. } | Reply::Transferred { .. }) => Asked::Done,
        Ok(Reply::Failed(note)) => Asked::Refused(format!("{}: {}", note.kind, note.message)),
        Ok(Reply::Unknown(note)) => Asked::Unknown(format!("{}: {}", note.kind, note.message)),
        Ok(other) => Asked::Unknown(format!("it answered {other:?}")),
        Err(error) => Asked::Unknown(error.to_string()),
    }
}

/// Whether a node that answers also serves: it knows a leader, and votes. One that was taken out of the members and not taken in again
/// must not pass for recovered.
fn serves(fields: &serde_json::Map<String, serde_json::Value>) -> bool {
    let knows_a_leader = fields.get("leader").is_some_and(serde_json::Value::is_string);
    let voters = fields.get("voters").and_then(serde_json::Value::as_array);
    let votes = voters
        .zip(fields.get("member"))
        .is_some_and(|(voters, member)| voters.contains(member));
    knows_a_leader && votes
}

async fn status_of(member: &Member) -> Result<serde_json::Map<String, serde_json::Value>> {
    match ask(endpoint(member.address), &Request::Status {}, ASK_TIMEOUT).await? {
        Reply::Status(fields) => Ok(fields),
        other => bail!("{} answered a question for its status with {other:?}", member.id),
    }
}

/// One client of one member.
struct RaftClient {
    node: String,
    address: SocketAddr,
    name: String,
    session: Arc<Mutex<Session>>,
    connection: Option<Connection>,
}

impl RaftClient {
    /// The session for this command; opens one if the client has none. Opening changes nothing of the objects under test, so it happens
    /// before the operation is invoked.
    async fn session(&mut self, stamp: Stamp, deadline: Duration) -> Result<u64, ErrorNote> {
        let known = self.session.lock().expect("no holder of this lock panics").id;
        let id = match known {
            Some(id) => id,
            None => self.open_session(deadline).await?,
        };
        let mut session = self.session.lock().expect("no holder of this lock panics");
        session.id = Some(id);
        match session.last {
            Some((same, of)) if same == stamp && of != id => Err(ErrorNote::new(
                "session-lost",
                "the session of the first attempt is gone; asked again in another one, the command might be done twice",
            )),
            _ => {
                session.last = Some((stamp, id));
                Ok(id)
            }
        }
    }

    async fn open_session(&mut self, deadline: Duration) -> Result<u64, ErrorNote> {
        let connection = self.connection.as_mut().expect("connected by the caller");
        connection.encode(&Request::Session {}, Stamp(0), None, deadline);
        let reply = tokio::time::timeout(deadline, connection.exchange()).await;
        match reply {
            Ok(Ok(Reply::Session { id })) => Ok(id),
            Ok(Ok(Reply::Failed(note) | Reply::Unknown(note))) => Err(error_note(note)),
            other => {
                // Half of a reply may be on its way.
                self.connection = None;
                Err(ErrorNote::new("unreachable", format!("no session: {other:?}")))
            }
        }
    }
}

impl Client for RaftClient {
    fn prepare<'a>(&'a mut self, operation: &'a Operation, stamp: Stamp, deadline: Duration) -> BoxFuture<'a, Result<(), ErrorNote>> {
        Box::pin(async move {
            if self.connection.is_none() {
                let opened = Connection::open(self.address, &self.name, deadline).await;
                self.connection = Some(opened.map_err(|error| ErrorNote::new("unreachable", error.to_string()))?);
            }
            let session = match operation.f.changes_nothing() {
                true => None,
                false => Some(self.session(stamp, deadline).await?),
            };
            let connection = self
                .connection
                .as_mut()
                .expect("connected above, and a session keeps the connection");
            // The node is told to give up a tenth earlier than we do: a definite failure that arrives in time is worth more to the judge
            // than an outcome that nobody knows.
            with_request(operation, |request| connection.encode(request, stamp, session, deadline * 9 / 10));
            Ok(())
        })
    }

    fn perform<'a>(&'a mut self, operation: &'a Operation, _deadline: Duration) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let Some(connection) = &mut self.connection else {
                return Outcome::Failed(ErrorNote::new("unreachable", "not connected"));
            };
            match connection.exchange().await {
                Ok(Reply::Unknown(note)) => {
                    if note.kind == SESSION_EXPIRED {
                        self.session.lock().expect("no holder of this lock panics").id = None;
                    }
                    Outcome::Unknown(error_note(note))
                }
                Ok(reply) => conclude(operation, reply),
                Err(WireError::Io(error)) => Outcome::Unknown(ErrorNote::new("connection-lost", error.to_string())),
                Err(error @ WireError::Malformed(_)) => Outcome::Unknown(ErrorNote::new("malformed-reply", error.to_string())),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_serves_only_with_a_leader_and_as_a_voter() {
        let serves = |text: &str| serves(&serde_json::from_str(text).expect("the test's fields are JSON"));
        assert!(serves(r#"{"member":"n2","leader":"n1","voters":["n1","n2"]}"#));
        assert!(!serves(r#"{"member":"n2","leader":null,"voters":["n1","n2"]}"#));
        assert!(
            !serves(r#"{"member":"n2","leader":"n1","voters":["n1","n3"]}"#),
            "taken out and not taken in again"
        );
        assert!(!serves(r#"{"leader":"n1"}"#));
    }
}
