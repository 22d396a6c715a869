//! The zoo: bugs that were found in other people's stores, planted into ours to see whether the harness finds them.
//!
//! Each is one small patch to the true code path: `if self.planted.has(Bug::…)`. Without the cargo feature `bugs` that is the
//! constant false, so a released binary holds none of them; with it, `--bug ID` switches one on. The catalogue itself stands in every build,
//! so that every build can say what there is. A documented setting (R + W <= N, wall-clock versions, no write-back) is not a bug.
//!
//! Sources: the column of the same name; the numbers are those of the catalogue that the project began with, so gaps are intended.

use serde::{Deserialize, Serialize};

/// Whether planted bugs are part of this build.
pub const COMPILED: bool = cfg!(feature = "bugs");

/// Which store a bug is planted into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Store {
    /// The Raft store.
    Raft,
    /// The quorum store.
    Quorum,
}

/// What the zoo knows of one bug.
#[derive(Debug, Clone, Copy)]
pub struct BugInfo {
    /// The bug.
    pub bug: Bug,
    /// What the store does wrong.
    pub what: &'static str,
    /// What that breaks.
    pub breaks: &'static str,
    /// Who had it.
    pub source: &'static str,
    /// The least that reveals it: fault kinds, as `squall list faults` prints them.
    pub faults: &'static [&'static str],
    /// When those come and for how long: further arguments of `squall run` beside them. Empty if the usual schedule will do.
    pub schedule: &'static [&'static str],
    /// The settings it shows under: further arguments of `squall run`.
    pub settings: &'static [&'static str],
    /// The fault it cannot be found without and that does not exist yet.
    pub waits_for: Option<&'static str>,
}

macro_rules! bugs {
    ($($id:ident, $store:ident, $what:literal, breaks $breaks:literal, source $source:literal,
       faults [$($fault:literal),*] $(, schedule [$($schedule:literal),*])?, settings [$($setting:literal),*] $(, waits for $waits:literal)?;)*) => {
        /// A planted bug, by its number in the catalogue.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Bug {
            $(#[doc = $what] $id,)*
            /// The control: [`HARMLESS`].
            C1,
        }

        impl Bug {
            /// Its number: `R04`.
            pub fn id(self) -> &'static str {
                match self {
                    $(Bug::$id => stringify!($id),)*
                    Bug::C1 => "C1",
                }
            }

            /// The store it is planted into.
            pub fn store(self) -> Store {
                match self {
                    $(Bug::$id => Store::$store,)*
                    Bug::C1 => Store::Raft,
                }
            }
        }

        /// The catalogue.
        pub const BUGS: &[BugInfo] = &[
            $(BugInfo {
                bug: Bug::$id,
                what: $what,
                breaks: $breaks,
                source: $source,
                faults: &[$($fault),*],
                schedule: &[$($($schedule),*)?],
                settings: &[$($setting),*],
                waits_for: bugs!(@waits $($waits)?),
            },)*
        ];
    };
    (@waits $waits:literal) => { Some($waits) };
    (@waits) => { None };
}

bugs! {
    R01, Raft, "the vote is not durable", breaks "one vote per term", source "NodeDB-Lab/nodedb#161; redpanda-data/redpanda#14, #19",
        faults ["kill", "partition"], settings [];
    R02, Raft, "the term is not durable", breaks "terms never go back", source "Ongaro 2014, section 3.8",
        faults ["kill", "partition"], settings [];
    R03, Raft, "entries are acknowledged before they are durable", breaks "acknowledged means durable on a majority", source "yugabyte/yugabyte-db#32875, #23453; etcd-io/etcd#14370",
        faults ["kill"], settings [];
    R04, Raft, "entries of older terms are committed by counting (Figure 8)", breaks "leader completeness", source "logcabin/logcabin#44",
        faults ["partition", "kill"], settings [];
    R05, Raft, "votes go to candidates with older logs", breaks "leader completeness", source "Ongaro 2014, section 3.6.1",
        faults ["partition"], settings [];
    R07, Raft, "two votes in one term", breaks "election safety", source "camunda/camunda#1068",
        faults ["kill", "delay"], settings [];
    R08, Raft, "half of the votes elect", breaks "election safety", source "databendlabs/openraft d60f1e85",
        faults ["partition"], settings [];
    R09, Raft, "half of the acknowledgements commit", breaks "acknowledged means durable on a majority", source "databendlabs/openraft#1802, beb0302b",
        faults ["partition"], settings [];
    R10, Raft, "the term of the entry before is not compared", breaks "log matching", source "willemt/raft 3fc7f32",
        faults ["partition", "kill"], schedule ["--fault-every", "600ms..1s", "--fault-for", "1s..2s"], settings [];
    R11, Raft, "every append truncates what stands behind it", breaks "committed entries stay", source "databendlabs/openraft 9540c904, 71a290cd",
        faults ["partition"], settings [];
    R13, Raft, "a follower commits what the leader has committed, matching or not", breaks "state machine safety", source "scylladb/scylladb#10578, #9965; willemt/raft 9de8af4",
        faults ["partition", "pause"], settings [];
    R14, Raft, "a leader ignores higher terms in replies", breaks "one leader at a time serves", source "Ongaro 2014, section 3.3",
        faults ["partition"], settings [];
    R15, Raft, "a leader reads without asking whether it still leads", breaks "linearizable reads", source "etcd 0.4 (Jepsen 2014); RedisRaft (Jepsen 2020)",
        faults ["partition"], settings [];
    R16, Raft, "a new leader reads before anything of its term is committed", breaks "linearizable reads", source "etcd-io/etcd#7331; RedisLabs/redisraft#22; tikv/tikv#9239",
        faults ["kill"], settings [];
    R17, Raft, "a lease outlives the election timeout", breaks "linearizable reads", source "tikv/tikv#964, #1127",
        faults ["partition"], schedule ["--fault-every", "700ms..1s", "--fault-for", "400ms..600ms"], settings ["--read-mode", "lease"];
    R18, Raft, "a lease is kept when leadership is transferred", breaks "linearizable reads", source "tikv/tikv#1593",
        faults ["transfer"], settings ["--read-mode", "lease"];
    R19, Raft, "a confirmation of leadership answers a later read, too", breaks "linearizable reads", source "etcd-io/etcd#20418",
        faults ["pause", "partition"], settings [];
    R20, Raft, "a command that is sent again is applied again", breaks "exactly once", source "Ongaro 2014, section 6.3",
        faults ["pause", "partition"], settings ["--workload", "counter", "--retry", "idempotent"];
    R22, Raft, "a snapshot claims one entry more than it holds", breaks "state machine safety", source "RedisLabs/raft#49; RedisLabs/redisraft#43",
        faults ["kill"], settings ["--snapshot-every", "50"];
    R23, Raft, "an installed snapshot keeps a conflicting tail of the log", breaks "log matching", source "databendlabs/openraft 674e78aa, 21684bbd; eBay/NuRaft#185",
        faults ["partition"], settings ["--snapshot-every", "50"];
    R24, Raft, "an installed snapshot does not replace the state machine", breaks "state machine safety", source "RedisRaft (Jepsen 2020)",
        faults ["partition", "kill"], settings ["--snapshot-every", "50"];
    R25, Raft, "an old snapshot takes the applied state back", breaks "applied never goes back", source "databendlabs/openraft eed681d5; etcd-io/etcd#20653",
        faults ["partition", "pause"], settings ["--snapshot-every", "50"];
    R27, Raft, "an acknowledged heartbeat counts as a matching log", breaks "acknowledged means durable on a majority", source "scylladb/scylladb#10578",
        faults ["partition", "pause"], settings [];
    R28, Raft, "operations in flight are called failed when a leader steps down", breaks "failed means it never happens", source "RedisRaft (Jepsen 2020)",
        faults ["partition", "pause"], settings [];
    R29, Raft, "an entry is acknowledged by its index, whatever its term", breaks "an acknowledgement is of the client's own entry", source "RedisRaft (Jepsen 2020)",
        faults ["partition"], settings [];
    R30, Raft, "a second change of members begins before the first is committed", breaks "quorums intersect", source "Ongaro, raft-dev 2015; redpanda-data/redpanda#17675; databendlabs/openraft c8fccb22",
        faults ["membership", "partition"], settings [];
    R31, Raft, "elections and commits count the new members alone", breaks "quorums intersect", source "databendlabs/openraft 6c0ccaf3",
        faults ["membership", "partition"], settings [];
    R32, Raft, "a truncated change of members stays in force", breaks "quorums intersect", source "canonical/raft#250, #323, #354",
        faults ["membership", "partition"], settings [];
    R36, Raft, "a leader commits what only its own log holds", breaks "acknowledged means durable on a majority", source "microsoft/CCF#5674",
        faults ["partition"], settings [];
    Q01, Quorum, "a coordinator's own replica counts twice", breaks "acknowledged means durable on W replicas", source "databendlabs/openraft#1802, in a store with quorums",
        faults ["partition"], settings [];
    Q04, Quorum, "a get does not wait for its write-back", breaks "no get returns older than one before", source "palantir/cassandra#422; scylladb/scylladb#28125, as proposed",
        faults ["partition"], settings [];
    Q07, Quorum, "versions are counters alone: two coordinators give the same", breaks "a version stands for one value", source "basho/riak_kv#1027",
        faults ["partition"], settings [];
    Q08, Quorum, "hints count towards W", breaks "acknowledged means durable on W replicas", source "Riak's sloppy quorums (Kingsbury, Jepsen 2013)",
        faults ["partition"], settings ["--w", "3"];
    Q11, Quorum, "a get returns the first reply and not the newest", breaks "reads are of the newest of R replies", source "Lynch and Shvartsman 1997, what their reads are not",
        faults ["partition"], settings [];
    Q14, Quorum, "a tombstone goes before all home replicas hold it", breaks "what was deleted stays so", source "basho/riak_kv#1094; Alquraan et al., OSDI 2018",
        faults ["partition"], settings ["--deletes", "30", "--reap-after-ms", "200", "--anti-entropy-ms", "100"];
    Q15, Quorum, "a replica acknowledges before it is durable", breaks "acknowledged means durable on W replicas", source "rostamlabs/rostam#94",
        faults ["kill"], settings [];
    Q16, Quorum, "a version vector keeps three actors", breaks "a write replaces what it has seen", source "basho/riak_core#613",
        faults ["kill"], settings ["--versions", "vector"];
    Q17, Quorum, "a hybrid clock takes no note of stamps it receives", breaks "a later write has the larger version", source "NodeDB-Lab/nodedb#264; calimero-network/core#2635",
        faults ["partition"], settings ["--versions", "hlc", "--version-read", "--clock-offset", "n1=200", "--clock-offset", "n2=-200"];
    Q18, Quorum, "digests that differ are ignored", breaks "reads are of the newest of R replies", source "apache/cassandra, the class of CASSANDRA-14635",
        faults ["partition"], settings ["--digest-reads"];
    Q19, Quorum, "a tombstone is not found again after a restart", breaks "what was deleted stays so", source "basho/bitcask#82",
        faults ["kill"], settings ["--deletes", "30"];
    Q20, Quorum, "a put that some replicas took is called failed", breaks "failed means it never happens", source "scylladb/scylladb#7258",
        faults ["partition", "pause"], settings ["--w", "3"];
}

/// The control C1: a change that takes away a check which another one repeats. Whoever reports it reports a false alarm.
pub const HARMLESS: BugInfo = BugInfo {
    bug: Bug::C1,
    what: "no bug: a check is left out that another one repeats",
    breaks: "nothing",
    source: "a control of ours",
    faults: &["partition", "kill", "pause"],
    schedule: &[],
    settings: &[],
    waits_for: None,
};

impl BugInfo {
    /// What is known of a bug.
    pub fn of(bug: Bug) -> &'static BugInfo {
        BUGS.iter()
            .chain([&HARMLESS])
            .find(|info| info.bug == bug)
            .expect("every bug stands in the catalogue")
    }
}

impl std::str::FromStr for Bug {
    type Err = String;

    fn from_str(text: &str) -> Result<Bug, String> {
        let mut all = BUGS.iter().chain([&HARMLESS]);
        let known = all.find(|info| info.bug.id().eq_ignore_ascii_case(text));
        known
            .map(|info| info.bug)
            .ok_or_else(|| format!("there is no planted bug `{text}`; see `squall list bugs`"))
    }
}

/// The bug that is switched on in a node, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Planted(Option<Bug>);

impl Planted {
    /// A node with this bug.
    ///
    /// # Errors
    /// If this build holds no bugs.
    pub fn new(bug: Option<Bug>) -> Result<Planted, String> {
        match bug {
            Some(bug) if !COMPILED => Err(format!(
                "--bug {}: this build holds no planted bugs; make one that does by `cargo build --release --features bugs`",
                bug.id()
            )),
            bug => Ok(Planted(bug)),
        }
    }

    /// Whether this bug is switched on. Always false in a build without bugs.
    pub fn has(self, bug: Bug) -> bool {
        COMPILED && self.0 == Some(bug)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_bug_stands_once_in_the_catalogue_with_a_source_and_a_fault() {
        let ids: BTreeSet<&str> = BUGS.iter().map(|info| info.bug.id()).collect();
        assert_eq!(ids.len(), BUGS.len());
        for info in BUGS {
            assert_eq!(info.bug.id().parse(), Ok(info.bug));
            assert!(!info.source.is_empty() && !info.faults.is_empty(), "{}", info.bug.id());
            let letter = match info.bug.store() {
                Store::Raft => "R",
                Store::Quorum => "Q",
            };
            assert!(info.bug.id().starts_with(letter), "{}", info.bug.id());
        }
    }

    #[test]
    fn a_build_without_bugs_has_none() {
        assert_eq!(Planted::new(None), Ok(Planted::default()));
        assert!(BUGS.iter().all(|info| !Planted::default().has(info.bug)));
        assert_eq!(Planted::new(Some(Bug::R04)).is_ok(), COMPILED);
    }

    #[test]
    fn names_what_is_not_planted() {
        assert!("R99".parse::<Bug>().unwrap_err().contains("`R99`"));
        assert_eq!("r04".parse(), Ok(Bug::R04));
    }
}
