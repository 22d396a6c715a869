//! The parameters of one Raft node.

use std::collections::BTreeSet;

use clap::ValueEnum;

use crate::bugs::Planted;
use crate::members::{Members, NodeIndex, Text};

/// How reads are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Reads {
    /// The leader asks a majority whether it still leads (Ongaro 2014, §6.4)
    ReadIndex,
    /// The leader trusts its wall clock for a while after a majority answered; wrong if that clock is set back or slow
    Lease,
    /// Every node answers from its own state; stale reads are expected
    Local,
}

impl Reads {
    /// The name in the trace and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Reads::ReadIndex => "read-index",
            Reads::Lease => "lease",
            Reads::Local => "local",
        }
    }
}

/// What a [`crate::raft::RaftCore`] is made with.
#[derive(Clone, Debug)]
pub struct RaftConfig {
    /// All nodes that are or may become members: the address book. Members that come later are found here by their name.
    pub nodes: Members,
    /// This node.
    pub me: NodeIndex,
    /// The id of the member this node is, if its data folder is empty: the node's name, or `NAME.NUMBER` after its data were lost.
    pub member: Text,
    /// A number that no other life of this member's data ever had: by it the others notice that the data were lost. Used if the data
    /// folder is empty.
    pub birth: u64,
    /// The members that vote at first, if the data folder is empty.
    pub voters: BTreeSet<Text>,
    /// True if this node is to be added later: it starts without a configuration.
    pub join: bool,
    /// How reads are served.
    pub reads: Reads,
    /// Shortest election timeout, in ms; the longest is just below twice as much.
    pub election_ms: u64,
    /// Time between heartbeats, in ms.
    pub heartbeat_ms: u64,
    /// A snapshot is taken after so many applied entries.
    pub snapshot_every: u64,
    /// Open sessions at most; one more closes the one that was not used for longest.
    pub sessions_max: u64,
    /// Time after which an operation ends without success, in ms.
    pub op_timeout_ms: u64,
    /// The planted bug that is switched on.
    pub planted: Planted,
}

impl RaftConfig {
    /// Checks that the parameters fit together.
    ///
    /// # Errors
    /// A sentence for the user with the option, its value and what fits.
    pub fn check(&self) -> Result<(), String> {
        if self.heartbeat_ms == 0 || self.heartbeat_ms.saturating_mul(2) > self.election_ms {
            return Err(format!(
                "--heartbeat-ms {} is not between 1 and half of --election-ms {}",
                self.heartbeat_ms, self.election_ms
            ));
        }
        for (option, value) in [
            ("--snapshot-every", self.snapshot_every),
            ("--sessions-max", self.sessions_max),
            ("--op-timeout-ms", self.op_timeout_ms),
        ] {
            if value == 0 {
                return Err(format!("{option} 0 is not at least 1"));
            }
        }
        if node_of(&self.nodes, &self.member) != Some(self.me) {
            let node = self.nodes.name(self.me);
            return Err(format!("--member {} is neither {node} nor {node}.NUMBER", self.member));
        }
        if self.voters.is_empty() {
            return Err("--voters names nobody".to_owned());
        }
        if let Some(stranger) = self.voters.iter().find(|voter| node_of(&self.nodes, voter).is_none()) {
            return Err(format!("`{stranger}` in --voters is no node given by --peer"));
        }
        if !self.join && !self.voters.contains(&self.member) {
            return Err(format!(
                "{} is not among the first voters ({}): start it with --join and add it later",
                self.member,
                self.voters.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(",")
            ));
        }
        Ok(())
    }

    /// Checksum over what all nodes must agree on.
    pub fn layout(&self) -> u32 {
        let mut text = "raft".to_owned();
        for name in self.nodes.names() {
            text.push('\n');
            text.push_str(name);
        }
        crc32fast::hash(text.as_bytes())
    }
}

/// The node on which a member lives: the one of that name, or, for `NAME.NUMBER`, the node `NAME`.
pub(super) fn node_of(nodes: &Members, member: &str) -> Option<NodeIndex> {
    nodes.index(member).or_else(|| {
        let (node, number) = member.rsplit_once('.')?;
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        nodes.index(node).filter(|_| is_number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> RaftConfig {
        RaftConfig {
            nodes: Members::new(["n1", "n2", "n3"]).unwrap(),
            me: NodeIndex(0),
            member: "n1".into(),
            birth: 1,
            voters: ["n1", "n2", "n3"].map(Text::from).into(),
            join: false,
            reads: Reads::ReadIndex,
            election_ms: 150,
            heartbeat_ms: 30,
            snapshot_every: 100,
            sessions_max: 10,
            op_timeout_ms: 1000,
            planted: Planted::default(),
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        assert_eq!(config().check(), Ok(()));
        let check = |change: fn(&mut RaftConfig)| {
            let mut config = config();
            change(&mut config);
            config.check().unwrap_err()
        };
        assert!(check(|config| config.heartbeat_ms = 76).contains("--heartbeat-ms 76"));
        assert!(check(|config| config.snapshot_every = 0).contains("--snapshot-every 0"));
        assert!(check(|config| config.member = "n2".into()).contains("--member n2"));
        assert!(check(|config| config.voters = ["n9"].map(Text::from).into()).contains("`n9`"));
        assert!(check(|config| config.voters = ["n2"].map(Text::from).into()).contains("--join"));
    }

    #[test]
    fn a_member_with_a_number_lives_on_the_node_before_the_dot() {
        let nodes = Members::new(["n1", "n2.1"]).unwrap();
        assert_eq!(node_of(&nodes, "n1.17"), Some(NodeIndex(0)));
        assert_eq!(node_of(&nodes, "n2.1"), Some(NodeIndex(1)), "a node's own name comes first");
        assert_eq!(node_of(&nodes, "n2.1.3"), Some(NodeIndex(1)));
        assert_eq!(node_of(&nodes, "n1.x"), None);
        assert_eq!(node_of(&nodes, "n3"), None);
    }
}
