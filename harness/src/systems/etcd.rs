//! etcd 3 as a system under test: the program of the distribution, its JSON gateway, and a client of ours.
//!
//! Main decision: the gateway (HTTP/1.1 and JSON on the client port) instead of gRPC, whose client crates need `protoc` to build and
//! retry on their own. The price is a hop inside the node: the gateway is a gRPC client of the same process.

mod client;
mod members;
mod program;
mod refusal;
mod status;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_nemeses::Capability;
use squall_workloads::Client;

use self::client::EtcdClient;
use self::program::{environment, find};
use self::status::{node_status, standing};
use super::http;
use super::{ASK_TIMEOUT, Ask, Asked, Cast, Joining, Member, NodeFiles, NodeStatus, Position, System, SystemInfo, WallClock};
use crate::sandbox::place::NodeCommand;

/// Where clients ask, and where faults between clients and nodes strike.
pub const CLIENT_PORT: u16 = 2379;

/// Where members talk to each other.
pub const PEER_PORT: u16 = 2380;

/// etcd's own defaults, written out because recovery bounds rest on them: a leader is missed after 1 s without a heartbeat.
const HEARTBEAT_MS: &str = "100";
const ELECTION_MS: &str = "1000";

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
    fault_model: "crash, pause, any network fault, honest power loss of a file system with a journal, any wall clock (registers use no leases), any change of its members",
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
            Capability::Transfer,
            Capability::Membership,
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
        members::CHANGE_BOUND
    }

    fn standing<'a>(&'a self, member: &'a Member) -> Ask<'a, Result<Option<super::Standing>>> {
        Box::pin(async move { members::standing(member).await.map(Some) })
    }

    fn change_members<'a>(&'a self, leader: &'a Member, add: &'a [Member], remove: &'a [Member]) -> Ask<'a, Asked> {
        Box::pin(members::change(leader, add, remove))
    }

    fn promote<'a>(&'a self, leader: &'a Member, member: &'a Member) -> Ask<'a, Asked> {
        Box::pin(members::promote(leader, member))
    }

    fn transfer<'a>(&'a self, leader: &'a Member, to: &'a Member) -> Ask<'a, Asked> {
        Box::pin(members::transfer(leader, to.address))
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

#[cfg(test)]
mod tests;
