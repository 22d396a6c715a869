//! The Raft store in the simulator. What its clients ask and make of an answer is decided where real clients do, in `systems/raft.rs`.

use serde_json::Value;
use squall_node::bugs::Planted;
use squall_node::members::{Members, NodeIndex};
use squall_node::message::{Outcome as Answer, RequestBody};
use squall_node::raft::{RaftConfig, RaftCore, Reads as Served};
use squall_workloads::{Operation, Outcome};

use super::Store;
use crate::plan::node_names;
use crate::systems::raft::{Reads, Settings, conclude, error_note, with_request};
use crate::systems::wire::{Note, Reply, Request};

/// A Raft cluster.
pub(in crate::sim) struct Raft {
    settings: Settings,
    members: Members,
    planted: Planted,
}

impl Raft {
    /// # Errors
    /// A sentence with the setting that does not fit.
    pub(in crate::sim) fn new(settings: &Settings) -> Result<Raft, String> {
        let names = node_names(settings.nodes);
        let raft = Raft {
            settings: settings.clone(),
            planted: Planted::new(settings.bug)?,
            members: Members::new(names.iter().map(String::as_str))?,
        };
        raft.config(NodeIndex(0), 0).check()?;
        Ok(raft)
    }

    /// What one node is started with. The births of a run's nodes differ from each other's; that they differ from those of other runs is of
    /// no use here.
    fn config(&self, me: NodeIndex, seed: u64) -> RaftConfig {
        RaftConfig {
            nodes: self.members.clone(),
            me,
            member: self.members.name(me).clone(),
            birth: (seed << 16 | u64::from(me.0)) & ((1 << 48) - 1),
            voters: self.members.names().iter().cloned().collect(),
            join: false,
            reads: match self.settings.reads {
                Reads::ReadIndex => Served::ReadIndex,
                Reads::Lease => Served::Lease,
                Reads::Local => Served::Local,
            },
            snapshot_every: u64::from(self.settings.snapshot_every),
            // What a node's command line has where nothing is given; a test holds them together.
            election_ms: 300,
            heartbeat_ms: 50,
            sessions_max: 1024,
            op_timeout_ms: 1000,
            planted: self.planted,
        }
    }
}

impl Store for Raft {
    type Core = RaftCore;

    fn members(&self) -> &Members {
        &self.members
    }

    fn maker(&self, seed: u64) -> Box<dyn Fn(NodeIndex, u64) -> RaftCore> {
        let configs: Vec<RaftConfig> = self.members.indices().map(|me| self.config(me, seed)).collect();
        Box::new(move |at, life| RaftCore::new(configs[usize::from(at.0)].clone(), life, seed))
    }

    fn is_leader(&self, core: &RaftCore) -> bool {
        core.role_name() == "leader"
    }

    fn has_sessions(&self) -> bool {
        true
    }

    fn request(&self, operation: &Operation) -> RequestBody {
        let mut body = None;
        with_request(operation, |request| body = Some(body_of(request)));
        body.expect("every operation is asked for in one request")
    }

    fn outcome(&self, operation: &Operation, answer: Answer) -> Outcome {
        match reply_of(answer) {
            Reply::Unknown(note) => Outcome::Unknown(error_note(note)),
            reply => conclude(operation, reply),
        }
    }
}

/// A request as a node reads it.
fn body_of(request: &Request<'_>) -> RequestBody {
    match *request {
        Request::Get { key } => RequestBody::Get { key: key.into() },
        Request::Put { key, value } => RequestBody::Put {
            key: key.into(),
            value: value.into(),
        },
        Request::Cas { key, expect, value } => RequestBody::Cas {
            key: key.into(),
            expect: expect.map(Into::into),
            value: value.into(),
        },
        Request::Delete { key } => RequestBody::Delete { key: key.into() },
        Request::Append { key, value } => RequestBody::Append {
            key: key.into(),
            value: value.into(),
        },
        Request::Session {} => RequestBody::Session {},
        Request::Change { add, remove } => RequestBody::Change {
            add: add.iter().map(|name| name.as_str().into()).collect(),
            remove: remove.iter().map(|name| name.as_str().into()).collect(),
        },
        Request::Transfer { to } => RequestBody::Transfer { to: to.into() },
        Request::Status {} => RequestBody::Status {},
        Request::Replicas { key } => RequestBody::Replicas { key: key.into() },
    }
}

/// An answer as a client reads it. Clients of a workload ask for nothing else.
fn reply_of(answer: Answer) -> Reply {
    let note = |kind: &str, message: &str, leader: Option<String>| Note {
        kind: kind.to_owned(),
        message: message.to_owned(),
        leader,
    };
    match answer {
        Answer::Value { value, .. } => Reply::Value {
            value: value.map(|value| value.to_string()),
            version: Value::Null,
        },
        Answer::Stored { .. } => Reply::Stored { version: Value::Null },
        Answer::Cas { swapped, seen, .. } => Reply::Cas {
            swapped,
            seen: seen.map(|seen| seen.to_string()),
        },
        Answer::Session { id } => Reply::Session { id },
        Answer::Failed { kind, message, leader } => Reply::Failed(note(&kind, &message, leader.map(|leader| leader.to_string()))),
        Answer::Unknown { kind, message } => Reply::Unknown(note(&kind, &message, None)),
        other => Reply::Unknown(note("wrong-reply", &format!("{other:?}"), None)),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use clap::Parser;
    use squall_node::cli::{NodeCommand, Store as Command};

    use super::*;
    use crate::systems::{Cast, Member, NodeFiles, SystemPlan};

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        node: NodeCommand,
    }

    #[test]
    fn a_simulated_node_has_the_parameters_of_a_started_one() {
        let settings = Settings {
            nodes: 3,
            reads: Reads::Lease,
            snapshot_every: 77,
            bug: None,
        };
        let member = |number: u8| Member {
            id: format!("n{number}"),
            address: Ipv4Addr::new(10, 77, 0, number),
        };
        let members: Vec<Member> = (1..=3).map(member).collect();
        let files = NodeFiles {
            data: "data".into(),
            trace: "trace".into(),
            gate: None,
        };
        let system = SystemPlan::Raft(settings.clone()).open().unwrap();
        let command = system.command(&members[1], Cast::from(&members[..]), &files);
        let Command::Raft(args) = Program::try_parse_from(&command.args).unwrap().node.store else {
            panic!("a Raft node was asked for");
        };
        let config = Raft::new(&settings).unwrap().config(NodeIndex(1), 7);
        assert_eq!((config.member.as_ref(), config.join), (args.node.id.as_str(), args.join));
        assert!(args.voters.is_empty() && config.voters.len() == 3);
        assert_eq!((config.reads, config.snapshot_every), (args.reads, args.snapshot_every));
        assert_eq!((config.election_ms, config.heartbeat_ms), (args.election_ms, args.heartbeat_ms));
        assert_eq!((config.sessions_max, config.op_timeout_ms), (args.sessions_max, args.op_timeout_ms));
    }
}
