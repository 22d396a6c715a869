//! The promises of a driver, one by one, with a core so small that everything about it is known.

use std::collections::BTreeSet;

use super::{Cluster, Notice, World};
use crate::core::{ClientRef, Core, CoreHealth, Effect, Event, Now};
use crate::members::{Members, NodeIndex};
use crate::message::{Outcome, RequestBody, RequestHeader};
use crate::trace::TraceEvent;

const MS: u64 = 1_000_000;
const N1: NodeIndex = NodeIndex(0);
const N2: NodeIndex = NodeIndex(1);

/// Appends what it is told to put and answers when that is durable; tells its peers at once; counts what it hears.
#[derive(Default)]
struct Notebook {
    me: u16,
    /// Values found in the log.
    found: Vec<String>,
    /// Values appended in this life, in order.
    appended: Vec<String>,
    waiting: Vec<ClientRef>,
    answered: usize,
    /// Who was heard, in order.
    heard: Vec<NodeIndex>,
    links: Vec<NodeIndex>,
    wake_at_ns: Option<u64>,
    woken_ns: Vec<u64>,
}

impl Core for Notebook {
    type Message = u32;

    fn load(&mut self, record: &[u8]) -> Result<(), String> {
        let value = String::from_utf8(record.to_vec()).map_err(|error| error.to_string())?;
        if value == "unreadable" {
            return Err("this record is of nobody".to_owned());
        }
        self.found.push(value);
        Ok(())
    }

    fn step(&mut self, now: Now, event: Event<u32>, effects: &mut Vec<Effect<u32>>) {
        match event {
            Event::Request {
                client,
                body: RequestBody::Put { key, value },
                ..
            } => {
                assert_ne!(key.as_ref(), "panic", "told to");
                effects.push(Effect::Append {
                    record: value.as_bytes().to_vec(),
                });
                self.appended.push(value.to_string());
                self.waiting.push(client);
                let peers = (0..3).filter(|peer| *peer != self.me).map(NodeIndex);
                effects.extend(peers.map(|to| Effect::Send { to, message: 1 }));
                effects.push(Effect::Trace(TraceEvent::Get {
                    op: format!("{}", now.wall_ns).into(),
                    key,
                    replies: Vec::new(),
                }));
            }
            Event::Durable { appended } => {
                let appended = usize::try_from(appended).unwrap();
                for client in self.waiting[self.answered..appended].iter().copied() {
                    let outcome = Outcome::Replicas { nodes: Vec::new() };
                    effects.push(Effect::Reply { client, outcome });
                }
                self.answered = appended;
            }
            Event::Message { from, .. } => self.heard.push(from),
            Event::LinkUp { peer } => self.links.push(peer),
            Event::Wake => {
                self.woken_ns.push(now.mono_ns);
                self.wake_at_ns = None;
            }
            Event::Start { .. } => self.wake_at_ns = Some(now.mono_ns + 50 * MS),
            Event::Request { .. } => {}
        }
    }

    fn wake_at_ns(&self) -> Option<u64> {
        self.wake_at_ns
    }

    fn health(&self) -> CoreHealth {
        CoreHealth::default()
    }
}

fn lossless() -> World {
    World {
        lost_per_mille: 0,
        doubled_per_mille: 0,
        ..World::default()
    }
}

/// Three notebooks that were started and found each other.
fn cluster(world: World, seed: u64) -> Cluster<Notebook> {
    let members = Members::new(["n1", "n2", "n3"]).unwrap();
    let mut cluster = Cluster::new(&members, world, seed, |at, _| Notebook {
        me: at.0,
        ..Notebook::default()
    });
    cluster.nodes().for_each(|at| cluster.start(at));
    let told = run_for(&mut cluster, 100 * MS);
    assert!(told.is_empty(), "{told:?}");
    cluster
}

/// Lets time pass; returns what was told meanwhile.
fn run_for(cluster: &mut Cluster<Notebook>, span_ns: u64) -> Vec<Notice> {
    cluster.call_at(cluster.now_ns() + span_ns, u64::MAX);
    std::iter::from_fn(|| match cluster.next_notice() {
        Some(Notice::Timer(u64::MAX)) => None,
        told => told,
    })
    .collect()
}

fn put(cluster: &mut Cluster<Notebook>, at: NodeIndex, request: u64, key: &str, value: &str) -> bool {
    let client = ClientRef { connection: 1, request };
    let body = RequestBody::Put {
        key: key.into(),
        value: value.into(),
    };
    cluster.request(at, client, RequestHeader::default(), body)
}

fn replies(told: &[Notice]) -> usize {
    told.iter().filter(|notice| matches!(notice, Notice::Reply { .. })).count()
}

#[test]
fn the_same_seed_does_the_same_and_another_something_else() {
    let digest = |seed| {
        let mut cluster = cluster(World::default(), seed);
        (0..50).for_each(|request| assert!(put(&mut cluster, N1, request, "k", "v")));
        run_for(&mut cluster, 1_000 * MS);
        cluster.digest().value()
    };
    assert_eq!(digest(7), digest(7));
    assert_ne!(digest(7), digest(8));
}

#[test]
fn a_crash_keeps_all_that_was_acknowledged_and_some_prefix_of_the_rest() {
    let (mut n_lost, mut n_kept) = (0, 0);
    for seed in 0..400 {
        let mut cluster = cluster(lossless(), seed);
        let mut n_acknowledged = 0;
        for request in 0..20 {
            put(&mut cluster, N1, request, "k", &format!("value {request}"));
            n_acknowledged += replies(&run_for(&mut cluster, 200_000));
        }
        let appended = cluster.core(N1).unwrap().appended.clone();
        cluster.kill(N1);
        cluster.start(N1);
        let found = &cluster.core(N1).unwrap().found;
        assert!(found.len() >= n_acknowledged, "seed {seed}: an acknowledged record is lost");
        assert_eq!(found[..], appended[..found.len()], "seed {seed}: no prefix");
        n_lost += usize::from(found.len() < appended.len());
        n_kept += usize::from(found.len() > n_acknowledged);
    }
    assert!(
        n_lost > 100 && n_kept > 20,
        "{n_lost} lost and {n_kept} kept what was not acknowledged"
    );
}

#[test]
fn a_restart_is_a_new_life_that_answers_nothing_of_the_last() {
    let mut cluster = cluster(lossless(), 1);
    assert!(put(&mut cluster, N1, 1, "k", "a"));
    cluster.kill(N1);
    assert!(!put(&mut cluster, N1, 2, "k", "b"), "nobody listens");
    cluster.start(N1);
    assert_eq!(cluster.incarnation(N1), 2);
    assert_eq!(replies(&run_for(&mut cluster, 100 * MS)), 0, "the request was for the first life");
    assert!(put(&mut cluster, N1, 3, "k", "c"));
    assert_eq!(replies(&run_for(&mut cluster, 100 * MS)), 1);
}

#[test]
fn a_paused_node_does_nothing_until_it_goes_on_and_takes_what_waited() {
    let mut cluster = cluster(lossless(), 1);
    cluster.pause(N2);
    (0..10).for_each(|request| assert!(put(&mut cluster, N1, request, "k", "v")));
    assert!(put(&mut cluster, N2, 99, "k", "v"), "the kernel takes the connection");
    assert_eq!(replies(&run_for(&mut cluster, 500 * MS)), 10, "its peers go on");
    assert!(cluster.is_paused(N2) && cluster.core(N2).unwrap().heard.is_empty());
    cluster.resume(N2);
    assert_eq!(cluster.core(N2).unwrap().heard.len(), 10);
    assert_eq!(replies(&run_for(&mut cluster, 100 * MS)), 1, "the request that waited is answered");
}

#[test]
fn a_timer_of_a_paused_node_is_found_late_and_once() {
    let members = Members::new(["n1", "n2", "n3"]).unwrap();
    let mut cluster = Cluster::new(&members, lossless(), 1, |_, _| Notebook::default());
    cluster.start(N1);
    cluster.pause(N1);
    run_for(&mut cluster, 200 * MS);
    assert!(cluster.core(N1).unwrap().woken_ns.is_empty());
    let resumed_ns = cluster.now_ns();
    cluster.resume(N1);
    run_for(&mut cluster, 200 * MS);
    let woken_ns = &cluster.core(N1).unwrap().woken_ns;
    assert!(woken_ns.len() == 1 && woken_ns[0] >= resumed_ns, "{woken_ns:?}");
}

#[test]
fn what_the_disk_synced_under_a_pause_is_durable() {
    let mut cluster = cluster(lossless(), 1);
    put(&mut cluster, N1, 1, "k", "v");
    run_for(&mut cluster, MS / 4);
    cluster.pause(N1);
    assert_eq!(replies(&run_for(&mut cluster, 100 * MS)), 0);
    assert_eq!(cluster.disk(N1).unsynced(), 0);
    cluster.kill(N1);
    cluster.start(N1);
    assert_eq!(cluster.core(N1).unwrap().found, ["v"]);
}

#[test]
fn a_one_way_cut_silences_one_direction_and_its_heal_is_told_to_both() {
    let mut cluster = cluster(lossless(), 1);
    cluster.set_cuts(&BTreeSet::from([(N1, N2)]));
    put(&mut cluster, N1, 1, "k", "v");
    put(&mut cluster, N2, 2, "k", "v");
    run_for(&mut cluster, 100 * MS);
    let heard = |cluster: &Cluster<Notebook>, at| cluster.core(at).unwrap().heard.clone();
    assert!(heard(&cluster, N2).is_empty() && heard(&cluster, N1) == [N2]);
    let links = |cluster: &Cluster<Notebook>, at| cluster.core(at).unwrap().links.len();
    let before = (links(&cluster, N1), links(&cluster, N2));
    cluster.set_cuts(&BTreeSet::new());
    run_for(&mut cluster, 100 * MS);
    assert_eq!((links(&cluster, N1), links(&cluster, N2)), (before.0 + 1, before.1 + 1));
}

#[test]
fn a_core_that_panics_is_a_node_that_exits() {
    let mut cluster = cluster(lossless(), 1);
    put(&mut cluster, N1, 1, "panic", "v");
    let told = run_for(&mut cluster, 100 * MS);
    assert!(
        matches!(&told[..], [Notice::Exited { node: N1, reason }] if reason.contains("told to")),
        "{told:?}"
    );
    assert!(!cluster.is_up(N1) && cluster.is_up(N2));
}

#[test]
fn a_log_that_the_core_refuses_keeps_the_node_down() {
    let mut cluster = cluster(lossless(), 1);
    put(&mut cluster, N1, 1, "k", "unreadable");
    run_for(&mut cluster, 100 * MS);
    cluster.kill(N1);
    cluster.start(N1);
    let told = run_for(&mut cluster, MS);
    assert!(
        matches!(&told[..], [Notice::Exited { node: N1, reason }] if reason.contains("of nobody")),
        "{told:?}"
    );
    assert!(!cluster.is_up(N1));
}

#[test]
fn traces_are_printed_as_real_nodes_print_them_with_skewed_wall_clocks() {
    let world = World {
        wall_skew_ns: vec![0, 5_000],
        ..lossless()
    };
    let mut cluster = cluster(world, 1);
    put(&mut cluster, N2, 1, "k", "v");
    run_for(&mut cluster, 10 * MS);
    let mut lines = Vec::new();
    cluster.trace(N2).write_lines(&mut lines).unwrap();
    let line: serde_json::Value = serde_json::from_slice(&lines).unwrap();
    let (mono_ns, wall_ns) = (
        line["mono_ns"].as_u64().unwrap(),
        line["op"].as_str().unwrap().parse::<u64>().unwrap(),
    );
    assert_eq!(wall_ns, (1 << 60) + mono_ns + 5_000);
    assert_eq!(
        (line["node"].as_str(), line["incarnation"].as_u64(), line["seq"].as_u64()),
        (Some("n2"), Some(1), Some(0))
    );
    assert!(line["lamport"].as_u64() > Some(1 << 32));
}
