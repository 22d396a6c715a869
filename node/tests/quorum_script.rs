//! The quorum core by hand: one core, and a test that plays its peers. Each test is a short script of messages with the decision that must
//! follow. What no script thinks of is left to `tests/simulation`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use squall_node::core::{ClientRef, Core, Effect, Event, Now};
use squall_node::members::{Members, NodeIndex, Text};
use squall_node::message::{Outcome, RequestBody, RequestHeader};
use squall_node::quorum::{OpId, QuorumConfig, QuorumCore, QuorumMessage, Reaping, Upkeep};
use squall_node::trace::TraceEvent;
use squall_node::vector::Vector;
use squall_node::version::Version;

const CLIENT: ClientRef = ClientRef { connection: 1, request: 7 };
const MS: u64 = 1_000_000;

/// Nothing happens but what a client asked for.
const NO_UPKEEP: Upkeep = Upkeep {
    anti_entropy_ms: 0,
    hints: false,
    reaping: Reaping::Never,
    reap_after_ms: 0,
};

/// A core as node n1 of a cluster in which every node is home of every key, and what it let out.
struct Script {
    core: QuorumCore,
    now_ms: u64,
    appended: u64,
    traces: Vec<TraceEvent>,
}

type Sent = Vec<(u16, QuorumMessage)>;

impl Script {
    fn new(n: usize, r: usize, w: usize) -> Script {
        Script::with(n, r, w, |config| config)
    }

    fn with(n: usize, r: usize, w: usize, change: impl FnOnce(QuorumConfig) -> QuorumConfig) -> Script {
        let names: Vec<String> = (1..=n).map(|number| format!("n{number}")).collect();
        let config = change(QuorumConfig {
            members: Members::new(names.iter().map(String::as_str)).unwrap(),
            n,
            r,
            w,
            upkeep: NO_UPKEEP,
            vnodes: 4,
            ..QuorumConfig::of_one()
        });
        config.check().unwrap();
        Script {
            core: QuorumCore::new(config, 1),
            now_ms: 0,
            appended: 0,
            traces: Vec::new(),
        }
    }

    /// One step: what was sent to peers, and the reply if there was one.
    fn step(&mut self, event: Event<QuorumMessage>) -> (Sent, Option<Outcome>) {
        let mut effects = Vec::new();
        let mono_ns = self.now_ms * MS;
        self.core.step(
            Now {
                mono_ns,
                wall_ns: mono_ns + 5,
            },
            event,
            &mut effects,
        );
        let (mut sent, mut reply) = (Sent::new(), None);
        for effect in effects {
            match effect {
                Effect::Append { .. } => self.appended += 1,
                Effect::Send { to, message } => sent.push((to.0, message)),
                Effect::Reply { client, outcome } => {
                    assert_eq!((client, reply.replace(outcome)), (CLIENT, None));
                }
                Effect::Trace(event) => self.traces.push(event),
                Effect::Compact { .. } | Effect::Stop { .. } => panic!("the quorum store has no such effect"),
            }
        }
        (sent, reply)
    }

    fn request(&mut self, body: RequestBody) -> (Sent, Option<Outcome>) {
        self.step(Event::Request {
            client: CLIENT,
            header: RequestHeader::default(),
            body,
        })
    }

    fn put(&mut self) -> (Sent, Option<Outcome>) {
        self.request(RequestBody::Put {
            key: "k".into(),
            value: "new".into(),
        })
    }

    fn get(&mut self) -> (Sent, Option<Outcome>) {
        self.request(RequestBody::Get { key: "k".into() })
    }

    fn message(&mut self, from: u16, message: QuorumMessage) -> (Sent, Option<Outcome>) {
        self.step(Event::Message {
            from: NodeIndex(from),
            message,
        })
    }

    /// A peer tells what it holds: a counter, or nothing.
    fn holds(&mut self, from: u16, op: u64, counter: Option<u64>) -> (Sent, Option<Outcome>) {
        self.message(from, read_reply(op, counter.map(version), counter.map(value)))
    }

    fn acknowledges(&mut self, from: u16, op: u64) -> (Sent, Option<Outcome>) {
        self.message(from, QuorumMessage::WriteReply { op: op_id(op) })
    }

    fn disk_done(&mut self) -> (Sent, Option<Outcome>) {
        let appended = self.appended;
        self.step(Event::Durable { appended })
    }

    fn at(&mut self, now_ms: u64) -> (Sent, Option<Outcome>) {
        self.now_ms = now_ms;
        self.step(Event::Wake)
    }
}

fn read_reply(op: u64, version: Option<Version>, value: Option<Text>) -> QuorumMessage {
    QuorumMessage::ReadReply {
        op: op_id(op),
        version,
        value,
        deleted: false,
        vector: Vector::default(),
        siblings: Vec::new(),
        checksum: None,
        floor: 0,
    }
}

fn op_id(number: u64) -> OpId {
    OpId { incarnation: 1, number }
}

fn version(counter: u64) -> Version {
    Version {
        counter,
        node: "n9".into(),
        incarnation: 1,
        sequence: counter,
    }
}

fn value(counter: u64) -> Text {
    format!("v{counter}").into()
}

fn mine(counter: u64, sequence: u64) -> Version {
    Version {
        counter,
        node: "n1".into(),
        incarnation: 1,
        sequence,
    }
}

/// The writes among what was sent, by receiver.
fn writes(sent: &Sent) -> Vec<(u16, Version)> {
    let version = |message: &QuorumMessage| match message {
        QuorumMessage::Write { version, .. } => Some(version.clone()),
        _ => None,
    };
    let mut writes: Vec<_> = sent.iter().filter_map(|(to, message)| Some((*to, version(message)?))).collect();
    writes.sort();
    writes
}

fn kind(outcome: Option<Outcome>) -> String {
    match outcome {
        Some(Outcome::Failed { kind, .. }) => format!("failed {kind}"),
        Some(Outcome::Unknown { kind, .. }) => format!("unknown {kind}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_put_takes_the_version_after_the_largest_of_a_majority() {
    let mut script = Script::new(3, 2, 2);
    assert_eq!(script.put().0.len(), 2, "both peers are asked, the own replica is asked directly");
    let (sent, reply) = script.holds(1, 1, Some(41));
    assert_eq!(writes(&sent), [(1, mine(42, 1)), (2, mine(42, 1))]);
    assert_eq!(reply, None);
    assert_eq!(script.acknowledges(1, 1).1, None, "one of two");
    assert_eq!(
        script.disk_done().1,
        Some(Outcome::Stored { version: mine(42, 1) }),
        "the own disk is the second"
    );
}

#[test]
fn two_puts_of_one_key_at_once_get_two_versions() {
    let mut script = Script::new(3, 2, 2);
    script.put();
    script.put();
    let first = writes(&script.holds(1, 1, Some(5)).0);
    let second = writes(&script.holds(1, 2, Some(5)).0);
    assert_eq!((first[0].1.clone(), second[0].1.clone()), (mine(6, 1), mine(6, 2)));
}

#[test]
fn the_own_acknowledgement_waits_for_the_own_disk() {
    let mut script = Script::new(1, 1, 1);
    assert_eq!(script.put().1, None);
    assert_eq!(
        script.get().1,
        Some(Outcome::Value {
            value: None,
            version: None
        }),
        "what is not durable is not shown"
    );
    assert_eq!(script.disk_done().1, Some(Outcome::Stored { version: mine(1, 1) }));
    assert_eq!(
        script.get().1,
        Some(Outcome::Value {
            value: Some("new".into()),
            version: Some(mine(1, 1))
        })
    );
}

#[test]
fn a_put_that_told_nobody_fails_definitely() {
    let mut script = Script::new(3, 2, 2);
    script.put();
    assert_eq!(script.at(999).1, None);
    assert_eq!(kind(script.at(1000).1), "failed no-quorum");
    assert!(writes(&script.holds(1, 1, Some(3)).0).is_empty(), "a late version starts nothing");
}

#[test]
fn a_put_that_told_somebody_is_unknown_at_its_deadline_and_keeps_its_version_till_then() {
    let mut script = Script::new(3, 2, 2);
    script.put();
    script.holds(1, 1, None);
    script.disk_done();
    for now_ms in [300, 600, 900] {
        let (sent, reply) = script.at(now_ms);
        assert_eq!(
            writes(&sent),
            [(1, mine(1, 1)), (2, mine(1, 1))],
            "the same version again at {now_ms} ms"
        );
        assert_eq!(reply, None);
    }
    assert_eq!(kind(script.at(1000).1), "unknown timeout");
    assert_eq!(script.acknowledges(1, 1).1, None, "a late acknowledgement changes nothing");
}

#[test]
fn a_client_that_waits_less_gets_its_answer_sooner() {
    let mut script = Script::new(3, 2, 2);
    let header = RequestHeader {
        deadline_ms: Some(50),
        ..RequestHeader::default()
    };
    script.step(Event::Request {
        client: CLIENT,
        header,
        body: RequestBody::Get { key: "k".into() },
    });
    assert_eq!(script.core.wake_at_ns(), Some(50 * MS));
    assert_eq!(kind(script.at(50).1), "failed no-quorum");
    assert_eq!(script.core.wake_at_ns(), None);
}

#[test]
fn an_acknowledgement_counts_once() {
    let mut script = Script::new(5, 3, 3);
    script.put();
    script.holds(1, 1, None);
    script.holds(2, 1, None);
    script.acknowledges(1, 1);
    script.acknowledges(1, 1);
    assert_eq!(script.acknowledges(1, 1).1, None);
    script.acknowledges(2, 1);
    assert!(script.acknowledges(3, 1).1.is_some());
}

#[test]
fn an_answer_to_a_former_life_does_not_count() {
    let mut script = Script::new(3, 2, 1);
    script.put();
    script.holds(1, 1, None);
    let former = OpId { incarnation: 0, number: 1 };
    assert_eq!(script.message(1, QuorumMessage::WriteReply { op: former }).1, None);
    assert!(script.acknowledges(1, 1).1.is_some());
}

#[test]
fn a_get_of_a_key_never_written_needs_no_write_back() {
    let mut script = Script::new(3, 2, 2);
    script.get();
    assert_eq!(
        script.holds(2, 1, None).1,
        Some(Outcome::Value {
            value: None,
            version: None
        })
    );
}

#[test]
fn a_get_that_meets_enough_holders_returns_at_once() {
    let mut script = Script::new(3, 2, 2);
    script.get();
    // The own replica holds nothing, so the first peer's reply is the second of two, and one holder of two is too few.
    let (sent, reply) = script.holds(1, 1, Some(8));
    assert_eq!((writes(&sent), reply), (vec![(2, version(8))], None));
    let outcome = script.acknowledges(2, 1).1;
    assert_eq!(
        outcome,
        Some(Outcome::Value {
            value: Some(value(8)),
            version: Some(version(8))
        })
    );
    // Now the own disk has it too, and the next get needs nobody to be told.
    script.disk_done();
    script.get();
    assert!(matches!(script.holds(1, 2, Some(8)), (sent, Some(Outcome::Value { .. })) if sent.is_empty()));
}

#[test]
fn a_write_back_is_acknowledged_durably_before_the_reply() {
    let mut script = Script::new(3, 2, 2);
    script.get();
    script.holds(1, 1, Some(8));
    assert_eq!(script.appended, 1, "the own replica takes the write-back");
    assert!(
        matches!(script.disk_done().1, Some(Outcome::Value { .. })),
        "and counts once its disk has it"
    );
}

#[test]
fn two_holders_of_four_replies_are_too_few_among_five_replicas() {
    // N - R + 1 would be 2; but the version read of a later put asks 3 of 5 and could miss both holders.
    let mut script = Script::new(5, 4, 3);
    script.get();
    script.holds(1, 1, Some(8));
    script.holds(2, 1, Some(8));
    let (sent, reply) = script.holds(3, 1, Some(7));
    assert_eq!(reply, None);
    assert_eq!(writes(&sent), [(3, version(8)), (4, version(8))]);
    let needed = script.traces.iter().any(|event| {
        matches!(
            event,
            TraceEvent::WriteBack {
                needed: true,
                holders: 2,
                ..
            }
        )
    });
    assert!(needed, "{:?}", script.traces);
    assert!(script.acknowledges(4, 1).1.is_some());
}

#[test]
fn a_get_whose_write_back_is_not_acknowledged_fails() {
    let mut script = Script::new(5, 3, 3);
    script.get();
    script.holds(1, 1, Some(8));
    script.holds(2, 1, None);
    assert_eq!(kind(script.at(1000).1), "failed no-quorum");
}

#[test]
fn without_write_back_the_newest_reply_is_returned_at_once() {
    let mut script = Script::with(3, 2, 2, |config| QuorumConfig {
        write_back: false,
        ..config
    });
    script.get();
    let (sent, reply) = script.holds(1, 1, Some(8));
    assert_eq!(
        (sent, reply),
        (
            vec![],
            Some(Outcome::Value {
                value: Some(value(8)),
                version: Some(version(8))
            })
        )
    );
}

#[test]
fn a_new_link_gets_the_calls_it_has_not_answered() {
    let mut script = Script::new(5, 3, 3);
    script.put();
    script.holds(1, 1, None);
    script.holds(2, 1, None);
    script.acknowledges(1, 1);
    let link_up = |peer| Event::LinkUp { peer: NodeIndex(peer) };
    assert_eq!(writes(&script.step(link_up(3)).0), [(3, mine(1, 1))]);
    assert!(script.step(link_up(1)).0.is_empty(), "it has answered");
}

#[test]
fn a_counter_at_its_end_fails_definitely() {
    let mut script = Script::new(3, 2, 2);
    script.put();
    assert_eq!(kind(script.holds(1, 1, Some(u64::MAX)).1), "failed version-exhausted");
}

#[test]
fn events_are_traced_before_what_depends_on_them() {
    let mut script = Script::new(1, 1, 1);
    let mut effects = Vec::new();
    let now = Now { mono_ns: 0, wall_ns: 0 };
    let body = RequestBody::Put {
        key: "k".into(),
        value: "new".into(),
    };
    script.core.step(
        now,
        Event::Request {
            client: CLIENT,
            header: RequestHeader::default(),
            body,
        },
        &mut effects,
    );
    script.core.step(now, Event::Durable { appended: 1 }, &mut effects);
    let order: Vec<&str> = effects
        .iter()
        .map(|effect| match effect {
            Effect::Append { .. } => "append",
            Effect::Send { .. } => "send",
            Effect::Reply { .. } => "reply",
            Effect::Trace(TraceEvent::Assign { .. }) => "assign",
            Effect::Trace(TraceEvent::Put { .. }) => "put",
            Effect::Trace(TraceEvent::Done { .. }) => "done",
            Effect::Trace(_) | Effect::Compact { .. } | Effect::Stop { .. } => "other",
        })
        .collect();
    assert_eq!(order, ["assign", "append", "put", "done", "reply"]);
}

#[test]
fn a_restarted_replica_tells_what_it_found() {
    let mut first = Script::new(1, 1, 1);
    let mut effects = Vec::new();
    let now = Now { mono_ns: 0, wall_ns: 0 };
    let body = RequestBody::Put {
        key: "k".into(),
        value: "new".into(),
    };
    first.core.step(
        now,
        Event::Request {
            client: CLIENT,
            header: RequestHeader::default(),
            body,
        },
        &mut effects,
    );
    let record = effects.into_iter().find_map(|effect| match effect {
        Effect::Append { record } => Some(record),
        _ => None,
    });
    let mut second = Script::new(1, 1, 1);
    second.core.load(&record.unwrap()).unwrap();
    second.step(Event::Start { mono_offset_ns: 0 });
    assert!(matches!(&second.traces[0], TraceEvent::Start { n: 1, .. }));
    assert!(matches!(&second.traces[1], TraceEvent::Put { replayed: true, version, .. } if *version == mine(1, 1)));
}
