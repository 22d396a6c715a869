//! What the simulation must know of a store: its cores, and what operations are to them. To simulate another store, write one more [`Store`].

use squall_node::core::Core;
use squall_node::members::{Members, NodeIndex};
use squall_node::message::{Outcome as Answer, RequestBody};
use squall_node::quorum::{QuorumConfig, QuorumCore, VersionScheme};
use squall_node::ring::{Ring, VNODES_DEFAULT};
use squall_workloads::{ErrorNote, Function, Operation, Outcome, Seen};

use crate::plan::node_names;
use crate::systems::quorum::{Settings, Versions};

/// A store with its settings.
pub(super) trait Store {
    /// The rules of one of its nodes.
    type Core: Core + 'static;

    /// All members, `n1` first.
    fn members(&self) -> &Members;

    /// What makes the core of one life of a node, as its command line would.
    fn maker(&self) -> Box<dyn Fn(NodeIndex, u64) -> Self::Core>;

    /// Whether a node takes itself for the leader.
    fn is_leader(&self, _core: &Self::Core) -> bool {
        false
    }

    /// The nodes that hold a key, if the store can say.
    fn replicas(&self, _key: &str) -> Option<Vec<String>> {
        None
    }

    /// What a client asks.
    fn request(&self, operation: &Operation) -> RequestBody {
        let key = operation.key.clone();
        match operation.value {
            None => RequestBody::Get { key },
            Some(value) => RequestBody::Put {
                key,
                value: value.to_string().into(),
            },
        }
    }

    /// What an answer is to who asked; the same as a client on a socket makes of it.
    fn outcome(&self, operation: &Operation, answer: Answer) -> Outcome {
        match (answer, operation.f) {
            (Answer::Value { value, .. }, Function::Read) => Outcome::Ok(Seen::from_text(value.as_deref())),
            (Answer::Stored { .. }, Function::Write) => Outcome::Ok(Seen::Nothing),
            (Answer::Failed { kind, message, .. }, _) => Outcome::Failed(ErrorNote::new(kind.to_string(), message.to_string())),
            (Answer::Unknown { kind, message, .. }, _) => Outcome::Unknown(ErrorNote::new(kind.to_string(), message.to_string())),
            (other, _) => Outcome::Unknown(ErrorNote::new("wrong-reply", format!("{other:?}"))),
        }
    }
}

/// The quorum store.
pub(super) struct Quorum {
    /// Of the first node.
    config: QuorumConfig,
    /// Of each node, in ms.
    clock_offsets: Vec<i64>,
    ring: Ring,
}

impl Quorum {
    /// # Errors
    /// A sentence with the number that does not fit.
    pub(super) fn new(settings: &Settings) -> Result<Quorum, String> {
        let names = node_names(settings.nodes);
        let members = Members::new(names.iter().map(String::as_str))?;
        let offset = |at: NodeIndex| settings.clock_offset_ms.get(members.name(at).as_ref()).copied().unwrap_or(0);
        let clock_offsets = members.indices().map(offset).collect();
        let config = QuorumConfig {
            me: NodeIndex(0),
            n: settings.n as usize,
            r: settings.r as usize,
            w: settings.w as usize,
            write_back: settings.write_back,
            versions: match settings.versions {
                Versions::Quorum => VersionScheme::Quorum,
                Versions::WallClock => VersionScheme::WallClock,
                Versions::CoordinatorLocal => VersionScheme::CoordinatorLocal,
            },
            clock_offset_ms: 0,
            vnodes: VNODES_DEFAULT,
            // What a node's command line has where nothing is given; a test holds them together.
            call_timeout_ms: 300,
            op_timeout_ms: 1000,
            members,
        };
        config.check()?;
        let ring = Ring::new(&config.members, config.vnodes);
        Ok(Quorum {
            config,
            clock_offsets,
            ring,
        })
    }

    /// What one node is started with.
    pub(super) fn config(&self, me: NodeIndex) -> QuorumConfig {
        QuorumConfig {
            me,
            clock_offset_ms: self.clock_offsets[usize::from(me.0)],
            ..self.config.clone()
        }
    }
}

impl Store for Quorum {
    type Core = QuorumCore;

    fn members(&self) -> &Members {
        &self.config.members
    }

    fn maker(&self) -> Box<dyn Fn(NodeIndex, u64) -> QuorumCore> {
        let configs: Vec<QuorumConfig> = self.config.members.indices().map(|me| self.config(me)).collect();
        Box::new(move |at, life| QuorumCore::new(configs[usize::from(at.0)].clone(), life))
    }

    fn replicas(&self, key: &str) -> Option<Vec<String>> {
        let homes = self.ring.homes(key, self.config.n);
        Some(homes.into_iter().map(|home| self.config.members.name(home).to_string()).collect())
    }
}
