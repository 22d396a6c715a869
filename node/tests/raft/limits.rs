//! Bounds: a leader that cannot keep up refuses, definitely and at once, instead of growing.

use std::collections::BTreeSet;

use squall_node::core::{ClientRef, Effect, Event, Now};
use squall_node::members::{Members, NodeIndex, Text};
use squall_node::message::{Outcome, RequestBody, RequestHeader};
use squall_node::raft::{RaftConfig, RaftMessage, Reads};

use crate::cluster::{Cluster, MS};

const ALONE: NodeIndex = NodeIndex(0);

/// A node alone in its cluster that leads, and whose disk is slow from now on.
fn leader() -> Cluster {
    let book = Members::new(["n1"]).unwrap();
    let config = RaftConfig {
        nodes: book.clone(),
        me: ALONE,
        member: "n1".into(),
        birth: 1,
        voters: BTreeSet::from([Text::from("n1")]),
        join: false,
        reads: Reads::ReadIndex,
        election_ms: 100,
        heartbeat_ms: 10,
        snapshot_every: 1_000_000,
        sessions_max: 4,
        op_timeout_ms: 1000,
        planted: Default::default(),
    };
    let mut cluster = Cluster::new(std::iter::once(config), &book, 1);
    cluster.start(ALONE, at(0));
    for ms in [0, 0, 200, 200, 200] {
        let count = cluster.node(ALONE).unsynced();
        let appended = cluster.sync(ALONE, count);
        cluster.step(ALONE, at(ms), Event::Durable { appended });
    }
    assert_eq!(cluster.core(ALONE).unwrap().role_name(), "leader");
    cluster
}

fn at(ms: u64) -> Now {
    Now {
        mono_ns: ms * MS,
        wall_ns: ms * MS,
    }
}

fn put(cluster: &mut Cluster, request: u64, value: &str) -> Option<Outcome> {
    let event: Event<RaftMessage> = Event::Request {
        client: ClientRef { connection: 1, request },
        header: RequestHeader::default(),
        body: RequestBody::Put {
            key: "k".into(),
            value: value.into(),
        },
    };
    let effects = cluster.step(ALONE, at(200), event);
    effects.into_iter().find_map(|effect| match effect {
        Effect::Reply { outcome, .. } => Some(outcome),
        _ => None,
    })
}

fn is_overloaded(outcome: Option<Outcome>) -> bool {
    matches!(outcome, Some(Outcome::Failed { kind, .. }) if kind.as_ref() == "overloaded")
}

#[test]
fn the_command_above_the_bound_is_refused_and_takes_effect_never() {
    let mut cluster = leader();
    for request in 0..8192 {
        assert_eq!(put(&mut cluster, request, "v"), None, "request {request} waits for the disk");
    }
    assert!(is_overloaded(put(&mut cluster, 8192, "refused")));
    let count = cluster.node(ALONE).unsynced();
    let appended = cluster.sync(ALONE, count);
    let effects = cluster.step(ALONE, at(201), Event::Durable { appended });
    let answered = effects.iter().filter(|effect| {
        matches!(
            effect,
            Effect::Reply {
                outcome: Outcome::Stored { .. },
                ..
            }
        )
    });
    assert_eq!(answered.count(), 8192);
    assert_eq!(cluster.core(ALONE).unwrap().machine().get("k").unwrap().value.as_ref(), "v");
    assert_eq!(put(&mut cluster, 9000, "v"), None, "there is room again");
}

#[test]
fn bytes_are_bounded_too() {
    let mut cluster = leader();
    let value = "x".repeat(1_000_000);
    let refused = (0..50).find(|request| is_overloaded(put(&mut cluster, *request, &value)));
    assert!(refused.is_some_and(|request| (30..36).contains(&request)), "{refused:?}");
}
