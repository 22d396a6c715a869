//! A world for cores: a network that loses, doubles, delays and overtakes; disks that forget what was not synced; clients; one seed.
//!
//! It keeps the promises of a driver (`squall_node::core`) and nothing more. `world/watch.rs` says what must hold at every moment.

mod clients;
mod watch;

use std::collections::{BTreeMap, BTreeSet};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use squall_node::core::{ClientRef, Core, Effect, Event, Now};
use squall_node::members::{Members, NodeIndex};
use squall_node::message::{Outcome, RequestBody, RequestHeader};
use squall_node::quorum::{QuorumConfig, QuorumCore, QuorumMessage, Reaping, Upkeep, VersionScheme};
use squall_node::vector::Vector;
use squall_node::version::Version;

use crate::zones::{Kind, Operation};

const MS: u64 = 1_000_000;

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
    /// Deletes among 100 operations; as many puts fewer.
    pub(crate) deletes_percent: u32,
    /// Wall clocks differ by up to this much.
    pub(crate) skew_ms: u64,
    /// Messages lost, in percent; half as many are doubled.
    pub(crate) loss_percent: u32,
    /// Crashes and partitions happen.
    pub(crate) faults: bool,
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
    deletes_percent: 0,
    skew_ms: 0,
    loss_percent: 5,
    faults: true,
};

/// What clients saw, per key, and how often which outcome.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) histories: BTreeMap<String, Vec<Operation>>,
    pub(crate) outcomes: BTreeMap<&'static str, u64>,
    /// How often nodes did what, by the names of the trace.
    pub(crate) events: BTreeMap<&'static str, u64>,
    /// The vectors of the values written, in the scheme `vector`.
    pub(crate) vectors: BTreeMap<u64, Vector>,
}

enum Happening {
    Request {
        client: usize,
    },
    Arrive {
        at: NodeIndex,
        request: ClientRef,
        body: RequestBody,
    },
    Message {
        from: NodeIndex,
        to: NodeIndex,
        message: QuorumMessage,
    },
    Reply {
        request: ClientRef,
        outcome: Outcome,
    },
    GiveUp {
        request: ClientRef,
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
    Cut {
        island: BTreeSet<NodeIndex>,
    },
}

/// What survives a crash.
struct Disk {
    records: Vec<Vec<u8>>,
    /// A core that is never stepped: it only tells what the records say.
    content: QuorumCore,
    /// The newest tombstone that was reaped, per key.
    reaped: BTreeMap<String, Version>,
}

#[derive(serde::Deserialize)]
struct OnDisk {
    reap: Option<Reaped>,
}

#[derive(serde::Deserialize)]
struct Reaped {
    key: String,
    version: Version,
}

impl Disk {
    fn take(&mut self, records: impl Iterator<Item = Vec<u8>>) {
        for record in records {
            self.content.load(&record).unwrap();
            let OnDisk { reap } = serde_json::from_slice(&record).unwrap();
            if let Some(Reaped { key, version }) = reap {
                let newest = self.reaped.entry(key).or_insert_with(|| version.clone());
                *newest = newest.clone().max(version);
            }
            self.records.push(record);
        }
    }
}

struct Node {
    core: Option<QuorumCore>,
    life: u64,
    disk: Disk,
    unsynced: Vec<Vec<u8>>,
    /// Records of this life reported durable.
    reported: u64,
    is_syncing: bool,
    skew_ns: i64,
    /// The newest version on the disk, per key.
    newest: BTreeMap<String, Version>,
    /// When the earliest wake comes that is on its way.
    wake_ns: u64,
}

struct Client {
    open: Option<(u64, String, Kind, u64)>,
    requests: u64,
}

pub(crate) struct World {
    setting: Setting,
    config: QuorumConfig,
    chance: ChaCha8Rng,
    now_ns: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    queued: u64,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    island: BTreeSet<NodeIndex>,
    next_value: u64,
    operations_left: u32,
    values: BTreeMap<Version, String>,
    forbidden: BTreeSet<String>,
    record: Record,
}

/// Runs one seed of a setting and returns what the clients saw.
pub(crate) fn run(setting: Setting, seed: u64) -> Record {
    let mut world = World::new(setting, seed);
    while let Some(((at_ns, _), happening)) = world.queue.pop_first() {
        world.now_ns = at_ns;
        world.happen(happening);
        if world.operations_left == 0 && world.clients.iter().all(|client| client.open.is_none()) {
            break;
        }
    }
    world.record
}

impl World {
    fn new(setting: Setting, seed: u64) -> World {
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
        let mut chance = ChaCha8Rng::seed_from_u64(seed);
        let skew = i64::try_from(setting.skew_ms * MS).unwrap();
        let nodes = (0..setting.nodes).map(|_| Node {
            core: None,
            life: 0,
            disk: Disk {
                records: Vec::new(),
                content: QuorumCore::new(config.clone(), u64::MAX),
                reaped: BTreeMap::new(),
            },
            unsynced: Vec::new(),
            reported: 0,
            is_syncing: false,
            skew_ns: chance.random_range(-skew..=skew),
            newest: BTreeMap::new(),
            wake_ns: u64::MAX,
        });
        let nodes = nodes.collect();
        let mut world = World {
            setting,
            config,
            chance,
            now_ns: MS,
            queue: BTreeMap::new(),
            queued: 0,
            nodes,
            clients: (0..6).map(|_| Client { open: None, requests: 0 }).collect(),
            island: BTreeSet::new(),
            next_value: 0,
            operations_left: 150,
            values: BTreeMap::new(),
            forbidden: BTreeSet::new(),
            record: Record::default(),
        };
        for at in world.indices() {
            world.start(at);
        }
        for client in 0..world.clients.len() {
            let delay = world.delay();
            world.later(delay, Happening::Request { client });
        }
        if setting.faults {
            let at = world.any_node();
            world.later(20 * MS, Happening::Crash { at });
            world.later(
                40 * MS,
                Happening::Cut {
                    island: BTreeSet::from([at]),
                },
            );
        }
        world
    }

    fn indices(&self) -> Vec<NodeIndex> {
        self.config.members.indices().collect()
    }

    fn any_node(&mut self) -> NodeIndex {
        let indices = self.indices();
        indices[self.chance.random_range(0..indices.len())]
    }

    fn node(&mut self, at: NodeIndex) -> &mut Node {
        &mut self.nodes[usize::from(at.0)]
    }

    fn later(&mut self, delay_ns: u64, happening: Happening) {
        self.queued += 1;
        self.queue.insert((self.now_ns + delay_ns, self.queued), happening);
    }

    /// Mostly short, sometimes long: overtaking is common.
    fn delay(&mut self) -> u64 {
        let uniform: f64 = self.chance.random_range(0.001..1.0);
        let exponential_ms = -uniform.ln() * 4.0;
        (exponential_ms * MS as f64) as u64 + 1
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Request { client } => self.request(client),
            Happening::Arrive { at, request, body } => {
                let header = RequestHeader {
                    id: request.request,
                    ..RequestHeader::default()
                };
                self.step(
                    at,
                    Event::Request {
                        client: request,
                        header,
                        body,
                    },
                );
            }
            Happening::Message { from, to, message } => {
                if self.island.contains(&from) == self.island.contains(&to) {
                    self.step(to, Event::Message { from, message });
                }
            }
            Happening::Reply { request, outcome } => self.reply(request, outcome),
            Happening::GiveUp { request } => self.give_up(request),
            Happening::Synced { at, life, count } => self.synced(at, life, count),
            Happening::Wake { at, life } if self.node(at).life == life => {
                self.node(at).wake_ns = u64::MAX;
                self.step(at, Event::Wake);
            }
            Happening::Wake { .. } => {}
            Happening::Crash { at } => self.crash(at),
            Happening::Restart { at } => self.start(at),
            Happening::Cut { island } => self.cut(island),
        }
    }

    fn step(&mut self, at: NodeIndex, event: Event<QuorumMessage>) {
        let now_ns = self.now_ns;
        let node = self.node(at);
        let Some(core) = &mut node.core else { return };
        let mut effects = Vec::new();
        let now = Now {
            mono_ns: now_ns,
            wall_ns: (1 << 60) + now_ns.saturating_add_signed(node.skew_ns),
        };
        core.step(now, event, &mut effects);
        let (life, wake) = (node.life, core.wake_at_ns());
        for effect in effects {
            self.carry_out(at, effect);
        }
        self.sync_soon(at);
        // One wake is enough: each step asks anew.
        if let Some(wake_ns) = wake.filter(|wake_ns| *wake_ns < self.node(at).wake_ns) {
            self.node(at).wake_ns = wake_ns;
            self.later(wake_ns.saturating_sub(now_ns), Happening::Wake { at, life });
        }
    }

    fn carry_out(&mut self, at: NodeIndex, effect: Effect<QuorumMessage>) {
        match effect {
            Effect::Append { record } => self.node(at).unsynced.push(record),
            Effect::Send { to, message } => {
                assert_ne!(to, at, "a core sends to itself");
                if self.chance.random_range(0..100) >= self.setting.loss_percent {
                    let delay = self.delay();
                    self.later(
                        delay,
                        Happening::Message {
                            from: at,
                            to,
                            message: message.clone(),
                        },
                    );
                }
                if self.chance.random_range(0..200) < self.setting.loss_percent {
                    // A double that may arrive much later, in another life.
                    let delay = self.delay() * 20;
                    self.later(delay, Happening::Message { from: at, to, message });
                }
            }
            Effect::Reply { client, outcome } => {
                let delay = self.delay();
                self.later(delay, Happening::Reply { request: client, outcome });
            }
            Effect::Trace(event) => self.watch(at, &event),
            other => panic!("a quorum core wants {other:?}"),
        }
    }

    /// Starts an fsync of everything appended, unless one is running: the next batch waits for it.
    fn sync_soon(&mut self, at: NodeIndex) {
        let node = self.node(at);
        if node.is_syncing || node.unsynced.is_empty() {
            return;
        }
        node.is_syncing = true;
        let (life, count) = (node.life, node.unsynced.len());
        let delay = self.delay() / 2;
        self.later(delay, Happening::Synced { at, life, count });
    }

    fn synced(&mut self, at: NodeIndex, life: u64, count: usize) {
        let node = self.node(at);
        if node.life != life || node.core.is_none() {
            return;
        }
        node.is_syncing = false;
        node.disk.take(node.unsynced.drain(..count));
        node.reported += count as u64;
        let appended = node.reported;
        self.step(at, Event::Durable { appended });
    }

    fn crash(&mut self, at: NodeIndex) {
        let unsynced = self.node(at).unsynced.len();
        let kept = self.chance.random_range(0..=unsynced);
        let node = self.node(at);
        node.core = None;
        node.disk.take(node.unsynced.drain(..kept));
        node.unsynced.clear();
        let down_ns = self.chance.random_range(1..60) * MS;
        self.later(down_ns, Happening::Restart { at });
    }

    fn start(&mut self, at: NodeIndex) {
        let config = QuorumConfig {
            me: at,
            ..self.config.clone()
        };
        let node = self.node(at);
        let is_restart = node.life > 0;
        node.life += 1;
        node.reported = 0;
        node.is_syncing = false;
        node.wake_ns = u64::MAX;
        let mut core = QuorumCore::new(config, node.life);
        for record in &node.disk.records {
            core.load(record).unwrap();
        }
        node.core = Some(core);
        self.step(at, Event::Start { mono_offset_ns: 0 });
        for peer in self.indices().into_iter().filter(|peer| *peer != at && is_restart) {
            self.step(peer, Event::LinkUp { peer: at });
        }
        if self.setting.faults && is_restart {
            let (delay, victim) = (self.chance.random_range(10..120) * MS, self.any_node());
            self.later(delay, Happening::Crash { at: victim });
        }
    }

    /// Changes the partition: this island, and some time later another one, or none.
    fn cut(&mut self, island: BTreeSet<NodeIndex>) {
        self.island = island;
        let indices = self.indices();
        for (at, peer) in indices.iter().flat_map(|at| indices.iter().map(move |peer| (*at, *peer))) {
            if at != peer && self.island.contains(&at) == self.island.contains(&peer) {
                self.step(at, Event::LinkUp { peer });
            }
        }
        let next = if self.island.is_empty() {
            indices.into_iter().filter(|_| self.chance.random_bool(0.4)).collect()
        } else {
            BTreeSet::new()
        };
        let delay = self.chance.random_range(20..200) * MS;
        self.later(delay, Happening::Cut { island: next });
    }
}
