//! Databases under test: one file each, behind one interface.
//!
//! A system says how its nodes are started, when they are ready, how a client talks to them, and what it can do
//! ([`Capability`]); it never injects and never judges. To add a database, write one file here and enter it in [`SYSTEMS`] and
//! [`SystemPlan`].

pub mod etcd;
mod http;
pub mod quorum;
pub mod quorum_extras;
pub mod raft;
pub(crate) mod wire;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_checker::siblings::{READS, READS_ARE_SETS};
use squall_nemeses::disk::Rules;
use squall_nemeses::{Capability, Mechanism};
use squall_node::bugs::{Bug, Planted, Store};
use squall_workloads::{Client, Function};

use crate::run::members::JOIN_BOUND;
use crate::sandbox::place::NodeCommand;

/// A boxed future, so that systems can be trait objects.
pub type Ask<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A member of the cluster as its peers and clients see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// `n1`, `n2`, …
    pub id: String,
    /// Its address inside the sandbox.
    pub address: Ipv4Addr,
}

/// Who is to be in a cluster with a node that is started.
#[derive(Debug, Clone, Copy)]
pub struct Cast<'a> {
    /// The members at first.
    pub founders: &'a [Member],
    /// Nodes that faults let join later.
    pub spares: &'a [Member],
    /// For a node that was announced to a cluster that serves: what it joins.
    pub entry: Option<&'a Entry>,
}

impl<'a> From<&'a [Member]> for Cast<'a> {
    fn from(founders: &'a [Member]) -> Cast<'a> {
        Cast {
            founders,
            spares: &[],
            entry: None,
        }
    }
}

/// How a node entered a cluster that served already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Counts the node's entries, from 1: each begins with an empty folder.
    pub life: u32,
    /// Who was a member when it was announced, itself among them.
    pub members: Vec<Member>,
}

/// How nodes get into a cluster that serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joining {
    /// They run, with whatever data they have, and then are made members.
    Started,
    /// They are announced, are started with nothing, learn, and then are made members. Who was taken out ends, and never comes back under its old
    /// identity.
    Announced,
}

/// Where a node keeps its things; all inside its folder of the run.
#[derive(Debug, Clone)]
pub struct NodeFiles {
    /// Durable state.
    pub data: PathBuf,
    /// Event trace, outside the data folder.
    pub trace: PathBuf,
    /// The socket at which a node that writes a trace is kept, below the folder it runs in; none: nobody waits for its events.
    pub gate: Option<&'static str>,
}

/// What a node says of itself when asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeStatus {
    /// Whether it serves.
    pub ready: bool,
    /// What it said, in one line.
    pub said: String,
    /// Counts its starts where the system has such a number.
    pub incarnation: Option<u64>,
    /// Figures for the report: `queue_depth_max`, `slowest_fsync_us`, `keys`, …
    pub figures: BTreeMap<String, u64>,
}

/// What a node's wall clock shows, as the node itself says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallClock {
    /// The time it shows, in ns since 1970.
    pub shown_ns: i64,
    /// The node cuts it down to a multiple of this.
    pub grain_ns: i64,
}

/// Where a member of a cluster with leaders stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Whether it takes itself for the leader.
    pub leads: bool,
    /// The term, epoch or ballot it is in.
    pub term: u64,
    /// The nodes that vote, as far as it knows: by name, or by address where they have told no name yet.
    pub voters: Vec<String>,
    /// Nodes that are members and do not vote.
    pub learners: Vec<String>,
    /// Whether that may still be taken back, or is on the way to something else.
    pub changing: bool,
}

/// Where a member stands among the others that may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Whether it asks to be the leader; `false` if it does not tell.
    pub campaigns: bool,
    /// The term and the index of the last entry that it tells of.
    pub log_end: Option<(u64, u64)>,
}

/// What a system did about a request of the nemesis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// It is done.
    Done,
    /// It is not done, and this request will not do it; asked again, the same may be done.
    NotYet(String),
    /// It is not done, and this request will not do it.
    Refused(String),
    /// It may be done, or be done later.
    Unknown(String),
}

/// A database under test with its settings.
pub trait System: Send + Sync {
    /// The system and its settings in one phrase: `quorum N=3 R=2 W=2`.
    fn describe(&self) -> String;

    /// Programs that must stay reachable inside the sandbox.
    fn binaries(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// The command that runs one node, a member from the first or one that joins. A restart gets the same command.
    fn command(&self, member: &Member, cast: Cast<'_>, files: &NodeFiles) -> NodeCommand;

    /// Asks a node how it is.
    fn status<'a>(&'a self, member: &'a Member) -> Ask<'a, Result<NodeStatus>>;

    /// A client that talks to this member and to no other.
    fn client(&self, member: &Member, name: &str) -> Box<dyn Client>;

    /// The nodes that hold a key, if the system can say; asked of any member.
    fn replicas<'a>(&'a self, _member: &'a Member, _key: &'a str) -> Ask<'a, Result<Option<Vec<String>>>> {
        Box::pin(async { Ok(None) })
    }

    /// Whether this member takes itself for the leader, if the system has one.
    fn is_leader<'a>(&'a self, _member: &'a Member) -> Ask<'a, Result<Option<bool>>> {
        Box::pin(async { Ok(None) })
    }

    /// Whether this member asks to lead and how far its log goes, as far as it tells.
    fn position<'a>(&'a self, _member: &'a Member) -> Ask<'a, Result<Position>> {
        Box::pin(async { Ok(Position::default()) })
    }

    /// What the member's wall clock shows, if it tells.
    fn wall_clock<'a>(&'a self, _member: &'a Member) -> Ask<'a, Result<Option<WallClock>>> {
        Box::pin(async { Ok(None) })
    }

    /// Where a member stands, if the system has leaders and can change its members.
    fn standing<'a>(&'a self, _member: &'a Member) -> Ask<'a, Result<Option<Standing>>> {
        Box::pin(async { Ok(None) })
    }

    /// How nodes get into a cluster that serves, if they can.
    fn joining(&self) -> Joining {
        Joining::Started
    }

    /// How long a node that joins may take to be a member, and then to serve, before the fault that lets it counts as skipped. Where nodes are
    /// announced, so long may any member take to come or to go.
    fn join_bound(&self) -> Duration {
        JOIN_BOUND
    }

    /// Asks the leader to make these nodes members, and to take those out, all at once if it can. Where nodes are announced it announces them.
    fn change_members<'a>(&'a self, _leader: &'a Member, _add: &'a [Member], _remove: &'a [Member]) -> Ask<'a, Asked> {
        Box::pin(async { Asked::Refused("this system cannot change its members".into()) })
    }

    /// Asks the leader to let a node vote that was announced and learns.
    fn promote<'a>(&'a self, _leader: &'a Member, _member: &'a Member) -> Ask<'a, Asked> {
        Box::pin(async { Asked::Refused("this system knows no learners".into()) })
    }

    /// Asks the leader to hand its leadership to `to`.
    fn transfer<'a>(&'a self, _leader: &'a Member, _to: &'a Member) -> Ask<'a, Asked> {
        Box::pin(async { Asked::Refused("this system cannot hand its leadership over".into()) })
    }

    /// Whether the nodes write event traces.
    fn traces(&self) -> bool {
        false
    }
}

/// A system with its settings, as it stands in a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum SystemPlan {
    /// Squall's own quorum store.
    Quorum(quorum::Settings),
    /// Squall's own Raft store.
    Raft(raft::Settings),
    /// etcd 3.
    Etcd(etcd::Settings),
}

impl SystemPlan {
    /// The name under which the system is run.
    pub fn name(&self) -> &'static str {
        match self {
            SystemPlan::Quorum(_) => "quorum",
            SystemPlan::Raft(_) => "raft",
            SystemPlan::Etcd(_) => "etcd",
        }
    }

    /// Number of members.
    pub fn nodes(&self) -> u32 {
        match self {
            SystemPlan::Quorum(settings) => settings.nodes,
            SystemPlan::Raft(settings) => settings.nodes,
            SystemPlan::Etcd(settings) => settings.nodes,
        }
    }

    /// The port on which every node serves clients.
    pub fn port(&self) -> u16 {
        match self {
            SystemPlan::Quorum(_) => quorum::PORT,
            SystemPlan::Raft(_) => raft::PORT,
            SystemPlan::Etcd(_) => etcd::CLIENT_PORT,
        }
    }

    /// Checks what the types cannot: quorums that fit, names that exist.
    ///
    /// # Errors
    /// One sentence with the values at fault.
    pub fn validate(&self) -> Result<(), String> {
        match self {
            SystemPlan::Quorum(settings) => settings.validate(),
            SystemPlan::Raft(settings) => settings.validate(),
            SystemPlan::Etcd(settings) => settings.validate(),
        }
    }

    /// What faults may rely on; a property of the system, not of this machine.
    pub fn capabilities(&self) -> Vec<Capability> {
        match self {
            SystemPlan::Quorum(settings) => settings.capabilities(),
            SystemPlan::Raft(settings) => settings.capabilities(),
            SystemPlan::Etcd(settings) => settings.capabilities(),
        }
    }

    /// What it relies on where something is to become durable: ours on POSIX alone, etcd on file systems with a journal (it does not sync the
    /// directory its data is created in).
    pub fn disk_rules(&self) -> Rules {
        match self {
            SystemPlan::Quorum(_) | SystemPlan::Raft(_) => Rules::PosixStrict,
            SystemPlan::Etcd(_) => Rules::Ext4Ordered,
        }
    }

    /// Why a fault is outside of what the system, with these settings, claims to survive; `None` if it is not. Such a fault is injected only by
    /// name.
    pub fn disclaims(&self, fault: Mechanism) -> Option<&'static str> {
        match self {
            SystemPlan::Quorum(settings) => settings.disclaims(fault),
            SystemPlan::Raft(settings) => settings.disclaims(fault),
            SystemPlan::Etcd(_) => None,
        }
    }

    /// What its clients can ask.
    pub fn functions(&self) -> &'static [Function] {
        match self {
            SystemPlan::Quorum(_) => &[Function::Read, Function::Write],
            SystemPlan::Raft(_) => &Function::ALL,
            SystemPlan::Etcd(_) => &[Function::Read, Function::Write, Function::Cas],
        }
    }

    /// Whether a read gives all values that were written concurrently, rather than one.
    pub fn reads_are_sets(&self) -> bool {
        matches!(self, SystemPlan::Quorum(settings) if settings.versions == quorum::Versions::Vector)
    }

    /// What a history's header says beside its fields: how many seats there are, and whether clients ask again.
    pub(crate) fn header_extra(&self, seats: u32, retries: bool) -> serde_json::Map<String, serde_json::Value> {
        // The stride of process numbers: by it a reader tells which processes are the same client.
        let mut extra = serde_json::Map::from_iter([("seats".into(), seats.into()), ("retries".into(), retries.into())]);
        if self.reads_are_sets() {
            extra.insert(READS.into(), READS_ARE_SETS.into());
        }
        extra
    }

    /// The system, ready to be started.
    ///
    /// # Errors
    /// When its binary is not on this machine; says how to get it.
    pub fn open(&self) -> Result<Box<dyn System>> {
        Ok(match self {
            SystemPlan::Quorum(settings) => Box::new(quorum::Quorum::new(settings.clone())),
            SystemPlan::Raft(settings) => Box::new(raft::Raft::new(settings.clone())),
            SystemPlan::Etcd(settings) => Box::new(etcd::Etcd::open(settings.clone())?),
        })
    }
}

/// What `squall list systems` says of one.
pub struct SystemInfo {
    /// The name to type.
    pub name: &'static str,
    /// One line.
    pub about: &'static str,
    /// Settings and the verdict each is expected to get.
    pub expected: &'static [(&'static str, &'static str)],
    /// Faults it claims to survive.
    pub fault_model: &'static str,
    /// Whether it can run here; else how to get it.
    pub available: fn() -> Result<(), String>,
}

/// All systems.
pub const SYSTEMS: &[SystemInfo] = &[quorum::INFO, raft::INFO, etcd::INFO];

/// Checks that a planted bug is one of this store's, and that this build holds it.
fn validate_bug(bug: Option<Bug>, store: Store) -> Result<(), String> {
    let Some(bug) = bug else { return Ok(()) };
    if bug.store() != store {
        return Err(format!("--bug {}: it is planted in another store", bug.id()));
    }
    Planted::new(Some(bug)).map(|_| ())
}

/// How long one question to a node may take.
pub(crate) const ASK_TIMEOUT: Duration = Duration::from_secs(1);

/// Looks a program up in the usual folders.
fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .chain(usual)
        .map(|folder| folder.join(name))
        .find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}
