//! The quorum store in the simulator: clients, crashes and partitions of a test, all by one seed.
//!
//! `world/watch.rs` says what must hold at every moment, in every setting.

mod clients;
mod faults;
mod watch;

use std::collections::BTreeMap;

use squall_node::core::Core;
use squall_node::members::Members;
use squall_node::quorum::{QuorumConfig, QuorumCore, Reaping, Upkeep, VersionScheme};
use squall_node::sim::{Chance, Cluster, Delay, Notice, World};
use squall_node::vector::Vector;

use self::clients::Clients;
use self::faults::Faults;
use self::watch::Watch;
use crate::history::Operation;

pub(crate) const MS: u64 = 1_000_000;

/// What a run is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) nodes: usize,
    pub(crate) n: usize,
    pub(crate) r: usize,
    pub(crate) w: usize,
    pub(crate) write_back: bool,
    pub(crate) versions: VersionScheme,
    pub(crate) version_read: bool,
    pub(crate) digest_reads: bool,
    pub(crate) upkeep: Upkeep,
    /// Deletes among 1,000 operations.
    pub(crate) deletes_per_mille: u64,
    /// Wall clocks differ by up to this much, both ways.
    pub(crate) skew_ms: u64,
    /// Messages lost, of 1,000; half as many are doubled.
    pub(crate) lost_per_mille: u16,
}

/// All of it, in this world's time: its operations end after 100 ms.
pub(crate) const UPKEEP: Upkeep = Upkeep {
    anti_entropy_ms: 25,
    hints: true,
    reaping: Reaping::Safe,
    reap_after_ms: 5,
};

pub(crate) const SOUND: Setting = Setting {
    nodes: 3,
    n: 3,
    r: 2,
    w: 2,
    write_back: true,
    versions: VersionScheme::Quorum,
    version_read: false,
    digest_reads: false,
    upkeep: UPKEEP,
    deletes_per_mille: 0,
    skew_ms: 0,
    lost_per_mille: 50,
};

/// What clients saw, per key, how often which outcome, and the digest of everything.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) histories: BTreeMap<String, Vec<Operation>>,
    pub(crate) outcomes: BTreeMap<&'static str, u64>,
    pub(crate) digest: u64,
    /// How often nodes did what, by the names of the trace.
    pub(crate) events: BTreeMap<&'static str, u64>,
    /// The vectors of the values written, in the scheme `vector`.
    pub(crate) vectors: BTreeMap<u64, Vector>,
}

/// Who asked for a timer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Timer {
    /// A client is free again.
    Free { client: usize },
    /// A client waits no longer.
    GiveUp { client: usize, request: u64 },
    /// Something is done to the cluster.
    Fault,
}

/// Timers by their token.
#[derive(Debug, Default)]
pub(crate) struct Timers(Vec<Timer>);

impl Timers {
    pub(crate) fn call_in<C: Core>(&mut self, cluster: &mut Cluster<C>, delay_ns: u64, timer: Timer) {
        self.0.push(timer);
        cluster.call_at(cluster.now_ns() + delay_ns, self.0.len() as u64 - 1);
    }

    fn of(&self, token: u64) -> Timer {
        self.0[usize::try_from(token).unwrap()]
    }
}

/// Runs one seed of a setting and returns what the clients saw.
pub(crate) fn run(setting: Setting, seed: u64) -> Record {
    let config = config(setting);
    let mut cluster = cluster(setting, &config, seed);
    let (mut timers, mut watch) = (Timers::default(), Watch::new(&config));
    let mut clients = Clients::new(seed, setting.nodes, setting.deletes_per_mille);
    let mut faults = Faults::new(seed, setting.nodes);
    cluster.nodes().for_each(|at| cluster.start(at));
    clients.begin(&mut cluster, &mut timers);
    faults.begin(&mut cluster, &mut timers);
    while !clients.are_done() {
        match cluster.next_notice().expect("clients have timers") {
            Notice::Reply { client, outcome } => clients.reply(&mut cluster, &mut timers, client, outcome),
            Notice::Timer(token) => match timers.of(token) {
                Timer::Free { client } => clients.request(&mut cluster, &mut timers, client),
                Timer::GiveUp { client, request } => clients.give_up(&mut cluster, &mut timers, client, request),
                Timer::Fault => {
                    watch.look(&cluster, clients.definitely_failed());
                    if let Some(killed) = faults.act(&mut cluster, &mut timers) {
                        watch.survived(cluster.disk(killed), killed);
                    }
                }
            },
            Notice::Exited { node, reason } => panic!("seed {seed}: {node:?} exited: {reason}"),
        }
    }
    let digest = cluster.digest().value();
    watch.look(&cluster, clients.definitely_failed());
    for at in cluster.nodes() {
        cluster.kill(at);
        watch.survived(cluster.disk(at), at);
    }
    let mut record = clients.into_record();
    record.digest = digest;
    (record.events, record.vectors) = watch.into_figures();
    record
}

fn config(setting: Setting) -> QuorumConfig {
    let names: Vec<String> = (1..=setting.nodes).map(|number| format!("n{number}")).collect();
    let config = QuorumConfig {
        members: Members::new(names.iter().map(String::as_str)).unwrap(),
        n: setting.n,
        r: setting.r,
        w: setting.w,
        write_back: setting.write_back,
        versions: setting.versions,
        version_read: setting.version_read,
        digest_reads: setting.digest_reads,
        upkeep: setting.upkeep,
        vnodes: 4,
        call_timeout_ms: 30,
        op_timeout_ms: 100,
        ..QuorumConfig::of_one()
    };
    config.check().unwrap();
    config
}

fn cluster(setting: Setting, config: &QuorumConfig, seed: u64) -> Cluster<QuorumCore> {
    let mut skews = Chance::new(seed, "test.skew");
    let skew_ns = setting.skew_ms * MS;
    let mut skew = || i64::try_from(skews.below(2 * skew_ns + 1)).unwrap() - i64::try_from(skew_ns).unwrap();
    let world = World {
        // Slow and uneven, so that operations overlap.
        peers: Delay {
            least_ns: 1,
            spread_ns: 3 * MS,
        },
        clients: Delay {
            least_ns: 1,
            spread_ns: 3 * MS,
        },
        fsync: Delay {
            least_ns: 1,
            spread_ns: MS,
        },
        lost_per_mille: setting.lost_per_mille,
        doubled_per_mille: setting.lost_per_mille / 2,
        wall_skew_ns: (0..setting.nodes).map(|_| skew()).collect(),
        ..World::default()
    };
    let config = config.clone();
    let members = config.members.clone();
    Cluster::new(&members, world, seed, move |me, life| {
        QuorumCore::new(QuorumConfig { me, ..config.clone() }, life)
    })
}
