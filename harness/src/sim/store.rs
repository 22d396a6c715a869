//! What the simulation must know of a store: its cores, and what operations are to them. To simulate another store, write one more [`Store`].

mod quorum;
mod raft;

use squall_node::core::Core;
use squall_node::members::{Members, NodeIndex};
use squall_node::message::{Outcome as Answer, RequestBody};
use squall_workloads::{Operation, Outcome};

pub(super) use self::quorum::Quorum;
pub(super) use self::raft::Raft;

/// A store with its settings.
pub(super) trait Store {
    /// The rules of one of its nodes.
    type Core: Core + 'static;

    /// All members, by name.
    fn members(&self) -> &Members;

    /// What makes the core of one life of a node, as its command line would. `seed` is the run's.
    fn maker(&self, seed: u64) -> Box<dyn Fn(NodeIndex, u64) -> Self::Core>;

    /// Whether a node takes itself for the leader.
    fn is_leader(&self, _core: &Self::Core) -> bool {
        false
    }

    /// Whether a change belongs to a session, which a client opens first.
    fn has_sessions(&self) -> bool {
        false
    }

    /// The nodes that hold a key, if the store can say.
    fn replicas(&self, _key: &str) -> Option<Vec<String>> {
        None
    }

    /// What a client asks.
    fn request(&self, operation: &Operation) -> RequestBody;

    /// What an answer is to who asked; the same as a client on a socket makes of it.
    fn outcome(&self, operation: &Operation, answer: Answer) -> Outcome;
}
