//! Storms: whole clusters under loss, doubling, delay, cuts, crashes, changes of the members and transfers, all from one seed. Clients
//! write and read registers, and append tokens with retries; afterwards the registers must be linearizable and each token there once.

mod clients;
mod faults;

use std::collections::{BTreeMap, BTreeSet};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use squall_node::core::{ClientRef, Core, Effect, Event, Now};
use squall_node::members::{Members, NodeIndex, Text};
use squall_node::message::{Outcome, RequestBody, RequestHeader};
use squall_node::raft::{RaftConfig, RaftMessage, Reads};
use squall_node::status::Standing;
use squall_node::trace::TraceEvent;

use crate::cluster::{Cluster, MS};
use crate::watch::Watch;
use crate::zones::{self, Operation};

/// What a run is about.
#[derive(Clone, Copy)]
struct Setting {
    nodes: u16,
    voters: u16,
    reads: Reads,
    snapshot_every: u64,
    loss_percent: u32,
    faults: bool,
    changes: bool,
}

const CALM: Setting = Setting {
    nodes: 3,
    voters: 3,
    reads: Reads::ReadIndex,
    snapshot_every: 1000,
    loss_percent: 0,
    faults: false,
    changes: false,
};

const STORM: Setting = Setting {
    loss_percent: 5,
    snapshot_every: 25,
    faults: true,
    ..CALM
};

enum Happening {
    Ask {
        client: usize,
    },
    Arrive {
        at: NodeIndex,
        request: ClientRef,
        header: RequestHeader,
        body: RequestBody,
    },
    Message {
        from: NodeIndex,
        to: NodeIndex,
        message: RaftMessage,
    },
    Reply {
        request: ClientRef,
        outcome: Outcome,
    },
    Lost {
        client: usize,
        request: u64,
    },
    Synced {
        at: NodeIndex,
        life: u64,
        count: usize,
    },
    Wake {
        at: NodeIndex,
        life: u64,
    },
    Crash {
        at: NodeIndex,
    },
    Restart {
        at: NodeIndex,
    },
    Cut,
    Administer,
}

/// What a client does, until it is answered.
#[derive(Clone)]
enum Work {
    Open,
    Write { key: String, value: u64 },
    Read { key: String },
    Append { token: u64 },
}

#[derive(Default)]
struct Client {
    session: Option<u64>,
    sequence: u64,
    requests: u64,
    work: Option<Work>,
    begun: u64,
    target: u16,
}

struct World {
    setting: Setting,
    cluster: Cluster,
    chance: ChaCha8Rng,
    now_ns: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    queued: u64,
    clients: Vec<Client>,
    /// (from, to) that lose everything.
    cuts: BTreeSet<(NodeIndex, NodeIndex)>,
    wakes: BTreeMap<NodeIndex, u64>,
    syncing: BTreeSet<NodeIndex>,
    operations_left: u32,
    next_value: u64,
    watch: Watch,
    histories: BTreeMap<String, Vec<Operation>>,
    acked_tokens: BTreeSet<u64>,
    is_healed: bool,
    /// Keys that are read when all is over.
    unread: Vec<&'static str>,
    answered: u64,
}

fn run(setting: Setting, seed: u64) -> World {
    let mut world = World::new(setting, seed);
    while let Some(((at_ns, _), happening)) = world.queue.pop_first() {
        world.now_ns = at_ns;
        world.happen(happening);
        if world.operations_left == 0 && !world.is_healed {
            world.heal();
        }
        if world.is_healed && world.clients.iter().all(|client| client.work.is_none()) && !world.read_last() {
            break;
        }
        assert!(
            world.now_ns < 120_000 * MS,
            "seed {seed}: the cluster does not recover: {:#?}",
            world.standings()
        );
    }
    world
}

impl World {
    fn new(setting: Setting, seed: u64) -> World {
        let names: Vec<String> = (1..=setting.nodes).map(|number| format!("n{number}")).collect();
        let book = Members::new(names.iter().map(String::as_str)).unwrap();
        let voters: BTreeSet<Text> = book.names()[..usize::from(setting.voters)].iter().cloned().collect();
        let configs = book.indices().map(|me| RaftConfig {
            nodes: book.clone(),
            me,
            member: book.name(me).clone(),
            birth: seed << 8 | u64::from(me.0),
            voters: voters.clone(),
            join: !voters.contains(book.name(me)),
            reads: setting.reads,
            election_ms: 150,
            heartbeat_ms: 30,
            snapshot_every: setting.snapshot_every,
            sessions_max: 64,
            op_timeout_ms: 400,
            planted: Default::default(),
        });
        let mut world = World {
            setting,
            cluster: Cluster::new(configs, &book, seed),
            chance: ChaCha8Rng::seed_from_u64(seed),
            now_ns: MS,
            queue: BTreeMap::new(),
            queued: 0,
            clients: (0..5).map(|_| Client::default()).collect(),
            cuts: BTreeSet::new(),
            wakes: BTreeMap::new(),
            syncing: BTreeSet::new(),
            operations_left: 250,
            next_value: 0,
            watch: Watch::new(if setting.changes { 1 } else { usize::from(setting.voters / 2 + 1) }),
            histories: BTreeMap::new(),
            acked_tokens: BTreeSet::new(),
            is_healed: false,
            unread: vec!["k0", "k1", "log"],
            answered: 0,
        };
        for at in book.indices() {
            world.start(at);
        }
        for client in 0..world.clients.len() {
            world.later(client as u64 * MS, Happening::Ask { client });
        }
        if setting.faults {
            let at = world.any_node();
            world.later(500 * MS, Happening::Crash { at });
            world.later(700 * MS, Happening::Cut);
        }
        if setting.changes {
            world.later(600 * MS, Happening::Administer);
        }
        world
    }

    /// Where everybody stands, for a person who looks for the reason.
    fn standings(&self) -> Vec<Option<Standing>> {
        let nodes = self.cluster.book.indices();
        nodes.map(|at| self.cluster.core(at).and_then(Core::standing)).collect()
    }

    fn any_node(&mut self) -> NodeIndex {
        NodeIndex(self.chance.random_range(0..self.setting.nodes))
    }

    fn later(&mut self, delay_ns: u64, happening: Happening) {
        self.queued += 1;
        self.queue.insert((self.now_ns + delay_ns, self.queued), happening);
    }

    /// Mostly short, sometimes long: overtaking is common.
    fn delay(&mut self) -> u64 {
        let uniform: f64 = self.chance.random_range(0.001..1.0);
        (-uniform.ln() * 3.0 * MS as f64) as u64 + 1
    }

    fn now(&self) -> Now {
        Now {
            mono_ns: self.now_ns,
            wall_ns: (1 << 60) + self.now_ns,
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Ask { client } => self.ask(client),
            Happening::Arrive { at, request, header, body } => self.step(
                at,
                Event::Request {
                    client: request,
                    header,
                    body,
                },
            ),
            Happening::Message { from, to, message } => {
                if !self.cuts.contains(&(from, to)) {
                    self.step(to, Event::Message { from, message });
                }
            }
            Happening::Reply { request, outcome } => self.answered(request, outcome),
            Happening::Lost { client, request } => {
                if self.clients[client].requests == request && self.clients[client].work.is_some() {
                    self.try_again(client, None);
                }
            }
            Happening::Synced { at, life, count } => self.synced(at, life, count),
            Happening::Wake { at, life } => {
                if self.cluster.node(at).life == life && self.wakes.get(&at) == Some(&self.now_ns) {
                    self.wakes.remove(&at);
                    self.step(at, Event::Wake);
                }
            }
            Happening::Crash { at } => self.crash(at),
            Happening::Restart { at } => self.start(at),
            Happening::Cut => self.cut(),
            Happening::Administer => self.administer(),
        }
    }

    fn step(&mut self, at: NodeIndex, event: Event<RaftMessage>) {
        let now = self.now();
        let effects = self.cluster.step(at, now, event);
        self.carry_out(at, effects);
    }

    fn carry_out(&mut self, at: NodeIndex, effects: Vec<Effect<RaftMessage>>) {
        for effect in effects {
            match effect {
                Effect::Send { to, message } => self.send(at, to, message),
                Effect::Reply { client, outcome } => {
                    let delay = self.delay();
                    self.later(delay, Happening::Reply { request: client, outcome });
                }
                Effect::Trace(TraceEvent::Raft(event)) => self.watch.see(at, &event),
                Effect::Stop { reason } => panic!("{reason}"),
                other => panic!("{other:?}"),
            }
        }
        let count = self.cluster.node(at).unsynced();
        if count > 0 && self.syncing.insert(at) {
            let (life, delay) = (self.cluster.node(at).life, self.delay() / 3);
            self.later(delay, Happening::Synced { at, life, count });
        }
        let wake = self
            .cluster
            .core(at)
            .and_then(Core::wake_at_ns)
            .map(|at_ns| at_ns.max(self.now_ns + 1));
        if let Some(wake) = wake.filter(|wake| self.wakes.get(&at).is_none_or(|known| wake < known)) {
            self.wakes.insert(at, wake);
            let life = self.cluster.node(at).life;
            self.later(wake - self.now_ns, Happening::Wake { at, life });
        }
    }

    fn send(&mut self, from: NodeIndex, to: NodeIndex, message: RaftMessage) {
        let loss = if self.is_healed { 0 } else { self.setting.loss_percent };
        if self.chance.random_range(0..200) < loss {
            let (delay, message) = (self.delay() * 20, message.clone());
            self.later(delay, Happening::Message { from, to, message });
        }
        if self.chance.random_range(0..100) >= loss {
            let delay = self.delay();
            self.later(delay, Happening::Message { from, to, message });
        }
    }

    fn synced(&mut self, at: NodeIndex, life: u64, count: usize) {
        if self.cluster.node(at).life == life && self.cluster.core(at).is_some() {
            self.syncing.remove(&at);
            let appended = self.cluster.sync(at, count);
            self.step(at, Event::Durable { appended });
        }
    }
}

/// Runs all seeds; `STORM_FACTOR=20` in the environment runs twenty times as many.
fn storms(setting: Setting, seeds: std::ops::Range<u64>) -> BTreeMap<&'static str, u64> {
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    let factor: u64 = std::env::var("STORM_FACTOR").map_or(1, |factor| factor.parse().unwrap());
    for seed in seeds.start..seeds.start + factor * (seeds.end - seeds.start) {
        let outcome = std::panic::catch_unwind(|| run(setting, seed));
        let Ok(world) = outcome else {
            panic!("seed {seed} broke a promise")
        };
        for (key, history) in &world.histories {
            assert_eq!(zones::violation(history), None, "seed {seed}, key {key}");
        }
        assert!(
            world.answered >= 200,
            "seed {seed}: only {} operations were answered",
            world.answered
        );
        for (what, count) in world.watch.counts {
            *counts.entry(what).or_default() += count;
        }
    }
    counts
}

#[test]
fn a_calm_cluster_elects_once_and_serves_everybody() {
    let counts = storms(CALM, 0..20);
    assert_eq!(counts["elections"] % 20, 0, "{counts:?}");
    assert!(counts["tokens"] >= 20 * 30, "{counts:?}");
}

#[test]
fn a_storm_breaks_no_promise_and_does_bite() {
    let counts = storms(STORM, 0..150);
    for what in ["elections", "truncations", "installs", "snapshots", "retries without effect"] {
        assert!(counts.get(what).is_some_and(|count| *count >= 20), "{what}: {counts:?}");
    }
}

#[test]
fn five_voters_and_lease_reads_on_honest_clocks_break_no_promise() {
    let setting = Setting {
        nodes: 5,
        voters: 5,
        reads: Reads::Lease,
        ..STORM
    };
    storms(setting, 1000..1080);
}

#[test]
fn changes_of_the_members_in_a_storm_break_no_promise() {
    let setting = Setting {
        nodes: 5,
        voters: 3,
        changes: true,
        ..STORM
    };
    let counts = storms(setting, 2000..2120);
    assert!(counts["configs"] >= 1000, "{counts:?}");
}

#[test]
fn local_reads_are_found_stale() {
    let setting = Setting {
        reads: Reads::Local,
        ..STORM
    };
    let is_stale = |seed| {
        run(setting, seed)
            .histories
            .values()
            .any(|history| zones::violation(history).is_some())
    };
    assert!((0..40).any(is_stale), "a world in which stale reads cannot be seen proves nothing");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let seen = |seed| {
        let world = run(STORM, seed);
        (world.histories, world.now_ns, world.queued, world.watch.counts)
    };
    assert_eq!(seen(7), seen(7));
}
