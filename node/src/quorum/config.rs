//! What a quorum node is started with.

use crate::bugs::Planted;
use crate::members::{Members, NodeIndex, Text};

/// Where the counter of a new version comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum VersionScheme {
    /// One more than the largest in a majority of the replicas. The correct one.
    Quorum,
    /// The coordinator's wall clock in ns. Wrong as soon as clocks differ by more than a put takes.
    WallClock,
    /// The coordinator's own count of puts. Wrong as soon as two coordinators write one key.
    CoordinatorLocal,
    /// A hybrid logical clock: the wall clock, but past everything this node has heard of. Wrong when clocks differ, as a wall clock is,
    /// unless replicas are asked first.
    Hlc,
    /// Version vectors: concurrent puts are kept side by side, and a get returns all of them.
    Vector,
}

impl VersionScheme {
    /// The name on the command line and in the trace.
    pub fn name(self) -> &'static str {
        match self {
            VersionScheme::Quorum => "quorum",
            VersionScheme::WallClock => "wall-clock",
            VersionScheme::CoordinatorLocal => "coordinator-local",
            VersionScheme::Hlc => "hlc",
            VersionScheme::Vector => "vector",
        }
    }
}

/// When a tombstone may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Reaping {
    /// Once nothing older can come to any home replica any more. The correct one.
    Safe,
    /// Each replica lets it go after a time. Wrong as soon as a replica, a hint or a message was away for longer.
    Grace,
    /// Never.
    Never,
}

impl Reaping {
    /// The name on the command line and in the trace.
    pub fn name(self) -> &'static str {
        match self {
            Reaping::Safe => "safe",
            Reaping::Grace => "grace",
            Reaping::Never => "never",
        }
    }
}

/// What a node does for its keys beside answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upkeep {
    /// Time between two comparisons with another node, in ms; 0 for none.
    pub anti_entropy_ms: u64,
    /// Whether a coordinator keeps what a home replica did not acknowledge, and sends it later.
    pub hints: bool,
    /// When tombstones go.
    pub reaping: Reaping,
    /// How old a tombstone is before anybody thinks of reaping it, in ms.
    pub reap_after_ms: u64,
}

impl Default for Upkeep {
    /// All of it. Half a second between comparisons: with four peers each is met every two seconds, at the price of one message of a few
    /// kB per comparison. Two seconds before a tombstone is looked at: longer than an operation takes to end, so that the reaper seldom
    /// waits for one.
    fn default() -> Upkeep {
        Upkeep {
            anti_entropy_ms: 500,
            hints: true,
            reaping: Reaping::Safe,
            reap_after_ms: 2000,
        }
    }
}

/// The parameters of a quorum core. Made by hand, then checked by [`QuorumConfig::check`].
#[derive(Clone, Debug)]
pub struct QuorumConfig {
    /// All members.
    pub members: Members,
    /// This node.
    pub me: NodeIndex,
    /// Replicas per key (N).
    pub n: usize,
    /// Replies a get waits for (R).
    pub r: usize,
    /// Durable acknowledgements a put or a write-back waits for (W).
    pub w: usize,
    /// Whether a get makes what it returns durable on W replicas first.
    pub write_back: bool,
    /// Where versions come from.
    pub versions: VersionScheme,
    /// With hybrid clocks: whether a put asks a majority for their versions first, as in the scheme `quorum`.
    pub version_read: bool,
    /// Added to the wall clock when versions come from it, in ms.
    pub clock_offset_ms: i64,
    /// Whether a get asks one replica for the value and the others for digests.
    pub digest_reads: bool,
    /// What is done beside answering.
    pub upkeep: Upkeep,
    /// Points per member on the ring.
    pub vnodes: u16,
    /// The failure domain of each member, in the order of the members; empty: replicas go wherever the ring puts them.
    pub domains: Vec<Text>,
    /// After how long an unanswered call to a replica is sent again, in ms.
    pub call_timeout_ms: u64,
    /// After how long an operation ends without success, in ms.
    pub op_timeout_ms: u64,
    /// The planted bug that is switched on.
    pub planted: Planted,
}

impl QuorumConfig {
    /// Whether the numbers fit together.
    ///
    /// # Errors
    /// A sentence for the user that names the option and its value.
    pub fn check(&self) -> Result<(), String> {
        let members = self.members.count();
        if self.n == 0 || self.n > members {
            return Err(format!("--n {} is not between 1 and the number of members, {members}", self.n));
        }
        if self.r == 0 || self.r > self.n {
            return Err(format!("--r {} is not between 1 and --n {}", self.r, self.n));
        }
        if self.w == 0 || self.w > self.n {
            return Err(format!("--w {} is not between 1 and --n {}", self.w, self.n));
        }
        if self.vnodes == 0 {
            return Err("--vnodes 0 leaves no place on the ring; give at least 1".to_owned());
        }
        if !self.domains.is_empty() && self.domains.len() != members {
            let given = self.domains.len();
            return Err(format!("{given} of {members} members have a --domain; give each one, or none"));
        }
        if self.version_read && self.versions != VersionScheme::Hlc {
            let scheme = self.versions.name();
            return Err(format!(
                "--version-read belongs to --versions hlc; the scheme `{scheme}` decides itself whether it asks"
            ));
        }
        if self.call_timeout_ms == 0 || self.op_timeout_ms == 0 {
            return Err("--call-timeout-ms and --op-timeout-ms must be at least 1".to_owned());
        }
        Ok(())
    }

    /// Whether a put asks replicas for their versions first.
    pub fn asks_replicas(&self) -> bool {
        match self.versions {
            VersionScheme::Quorum | VersionScheme::Vector => true,
            VersionScheme::Hlc => self.version_read,
            VersionScheme::WallClock | VersionScheme::CoordinatorLocal => false,
        }
    }

    /// The fewest replicas of N that any two such groups share: floor(N/2) + 1.
    pub fn majority(&self) -> usize {
        self.n / 2 + 1
    }

    /// From how many replies with the newest version a get needs no write-back.
    ///
    /// Every later get (R replies) and every later put (whose version read takes a majority) must meet one of the holders, so
    /// `N - min(R, majority) + 1`. The well-known `N - R + 1` looks only at gets. With N=5 and R=4 that is 2 holders, and a later put that
    /// reads versions from the 3 others takes a smaller version than the one already returned: its value is lost behind an older one.
    pub fn holders_enough(&self) -> usize {
        self.n - self.r.min(self.majority()) + 1
    }

    /// A checksum over what all nodes of a cluster must agree on: where keys are placed, and whether values have vectors. R, W and the rest
    /// concern only the coordinator.
    pub fn layout(&self) -> u32 {
        let names: Vec<&str> = self.members.names().iter().map(AsRef::as_ref).collect();
        let mut text = format!("quorum n={} vnodes={} members={}", self.n, self.vnodes, names.join(","));
        if self.versions == VersionScheme::Vector {
            text.push_str(" vectors");
        }
        if !self.domains.is_empty() {
            let domains: Vec<&str> = self.domains.iter().map(AsRef::as_ref).collect();
            text.push_str(&format!(" domains={}", domains.join(",")));
        }
        crc32fast::hash(text.as_bytes())
    }

    /// The only node of a cluster of one, with every default: what tests and tools begin with.
    pub fn of_one() -> QuorumConfig {
        QuorumConfig {
            members: Members::new(["n1"]).expect("`n1` is a name"),
            me: NodeIndex(0),
            n: 1,
            r: 1,
            w: 1,
            write_back: true,
            versions: VersionScheme::Quorum,
            version_read: false,
            clock_offset_ms: 0,
            digest_reads: false,
            upkeep: Upkeep::default(),
            vnodes: 1,
            domains: Vec::new(),
            call_timeout_ms: 300,
            op_timeout_ms: 1000,
            planted: Planted::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(members: usize, n: usize, r: usize, w: usize) -> QuorumConfig {
        let names: Vec<String> = (1..=members).map(|number| format!("n{number}")).collect();
        QuorumConfig {
            members: Members::new(names.iter().map(String::as_str)).unwrap(),
            n,
            r,
            w,
            vnodes: 8,
            ..QuorumConfig::of_one()
        }
    }

    #[test]
    fn refuses_numbers_that_do_not_fit_and_names_them() {
        assert!(config(5, 3, 2, 2).check().is_ok());
        assert!(
            config(2, 3, 2, 2)
                .check()
                .unwrap_err()
                .contains("--n 3 is not between 1 and the number of members, 2")
        );
        assert!(config(5, 3, 4, 2).check().unwrap_err().contains("--r 4 is not between 1 and --n 3"));
        assert!(config(5, 3, 2, 0).check().unwrap_err().contains("--w 0"));
        let odd = QuorumConfig {
            version_read: true,
            ..config(5, 3, 2, 2)
        };
        assert!(odd.check().unwrap_err().contains("the scheme `quorum`"));
    }

    #[test]
    fn holders_meet_every_later_get_and_every_later_version_read() {
        for n in 1..=7 {
            for r in 1..=n {
                let config = config(7, n, r, 1);
                let holders = config.holders_enough();
                assert!(holders + r > n && holders + config.majority() > n);
                assert!(
                    holders == 1 || holders - 1 + r <= n || holders - 1 + config.majority() <= n,
                    "one less would do"
                );
            }
        }
        assert_eq!(config(5, 5, 4, 3).holders_enough(), 3, "N-R+1 would be 2");
    }

    #[test]
    fn nodes_that_place_keys_differently_have_different_layouts() {
        let base = config(5, 3, 2, 2);
        assert_eq!(
            base.layout(),
            QuorumConfig {
                r: 1,
                w: 1,
                me: NodeIndex(2),
                ..base.clone()
            }
            .layout()
        );
        assert_ne!(base.layout(), QuorumConfig { n: 4, ..base.clone() }.layout());
        assert_ne!(base.layout(), QuorumConfig { vnodes: 9, ..base.clone() }.layout());
        let vectors = QuorumConfig {
            versions: VersionScheme::Vector,
            ..base.clone()
        };
        assert_ne!(base.layout(), vectors.layout());
        let racks = |names: [&str; 5]| QuorumConfig {
            domains: names.map(Text::from).to_vec(),
            ..base.clone()
        };
        let (spread, other) = (racks(["a", "a", "b", "b", "c"]), racks(["a", "b", "b", "b", "c"]));
        assert!(spread.layout() != base.layout() && spread.layout() != other.layout());
        assert_eq!(spread.check(), Ok(()));
        let few = QuorumConfig {
            domains: vec!["a".into()],
            ..base.clone()
        };
        assert!(few.check().unwrap_err().contains("1 of 5 members have a --domain"));
    }
}
