//! The reaping of a tombstone by hand: one core, which is the first home replica, and a test that plays the other members. What no script
//! thinks of is left to `tests/simulation`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use squall_node::core::{ClientRef, Core, Effect, Event, Now};
use squall_node::members::{Members, NodeIndex, Text};
use squall_node::message::{Outcome, RequestBody, RequestHeader};
use squall_node::quorum::{OpId, QuorumConfig, QuorumCore, QuorumMessage, Upkeep};
use squall_node::trace::TraceEvent;
use squall_node::vector::Vector;
use squall_node::version::Version;

const MS: u64 = 1_000_000;

/// Node n1 of three, home of a key of which it is the first replica.
struct Script {
    core: QuorumCore,
    key: Text,
    now_ms: u64,
    appended: u64,
    reaped: bool,
}

type Sent = Vec<(u16, QuorumMessage)>;

impl Script {
    /// With a tombstone that is durable at n1 and old enough.
    fn with_a_tombstone() -> Script {
        let config = QuorumConfig {
            members: Members::new(["n1", "n2", "n3"]).unwrap(),
            n: 3,
            r: 2,
            w: 2,
            upkeep: Upkeep {
                anti_entropy_ms: 0,
                reap_after_ms: 10,
                ..Upkeep::default()
            },
            vnodes: 4,
            ..QuorumConfig::of_one()
        };
        let mut script = Script {
            core: QuorumCore::new(config, 1),
            key: "k".into(),
            now_ms: 0,
            appended: 0,
            reaped: false,
        };
        script.step(Event::Start { mono_offset_ns: 0 });
        let keys = (0..).map(|number| Text::from(format!("k{number}")));
        script.key = keys.into_iter().find(|key| script.first_home(key) == "n1").unwrap();
        assert!(script.write(1, 3, 7, None).is_empty());
        let sent = script.disk_done();
        assert!(matches!(sent[..], [(1, QuorumMessage::WriteReply { op })] if op == op_id(3)));
        script
    }

    fn first_home(&mut self, key: &Text) -> String {
        let mut effects = Vec::new();
        let client = ClientRef { connection: 1, request: 1 };
        let body = RequestBody::Replicas { key: key.clone() };
        let header = RequestHeader::default();
        self.core.step(self.now(), Event::Request { client, header, body }, &mut effects);
        match &effects[..] {
            [
                Effect::Reply {
                    outcome: Outcome::Replicas { nodes },
                    ..
                },
            ] => nodes[0].to_string(),
            other => panic!("{other:?}"),
        }
    }

    fn now(&self) -> Now {
        let mono_ns = self.now_ms * MS;
        Now { mono_ns, wall_ns: mono_ns }
    }

    fn step(&mut self, event: Event<QuorumMessage>) -> Sent {
        let mut effects = Vec::new();
        self.core.step(self.now(), event, &mut effects);
        let mut sent = Sent::new();
        for effect in effects {
            match effect {
                Effect::Append { .. } => self.appended += 1,
                Effect::Send { to, message } => sent.push((to.0, message)),
                Effect::Trace(TraceEvent::Reap { .. }) => self.reaped = true,
                _ => {}
            }
        }
        sent
    }

    fn message(&mut self, from: u16, message: QuorumMessage) -> Sent {
        let from = NodeIndex(from);
        self.step(Event::Message { from, message })
    }

    fn write(&mut self, from: u16, op: u64, counter: u64, value: Option<&str>) -> Sent {
        let write = QuorumMessage::Write {
            op: op_id(op),
            key: self.key.clone(),
            version: version(counter),
            value: value.map(Text::from),
            vector: Vector::default(),
            siblings: Vec::new(),
        };
        self.message(from, write)
    }

    fn disk_done(&mut self) -> Sent {
        let appended = self.appended;
        self.step(Event::Durable { appended })
    }

    fn at(&mut self, now_ms: u64) -> Sent {
        self.now_ms = now_ms;
        self.step(Event::Wake)
    }

    fn fence_reply(&mut self, from: u16, op: OpId, (last, closed, hinted): (u64, u64, bool)) -> Sent {
        let reply = QuorumMessage::FenceReply {
            op,
            last: op_id(last),
            closed: op_id(closed),
            hinted,
        };
        self.message(from, reply)
    }

    /// Both other replicas hold the tombstone: the fences are asked for under this operation.
    fn held_by_all(&mut self) -> OpId {
        let op = written(&self.at(10));
        assert!(self.message(1, QuorumMessage::WriteReply { op }).is_empty());
        let sent = self.message(2, QuorumMessage::WriteReply { op });
        assert_eq!(fenced(&sent), [1, 2]);
        op
    }
}

fn op_id(number: u64) -> OpId {
    OpId { incarnation: 1, number }
}

fn version(counter: u64) -> Version {
    Version {
        counter,
        node: "n2".into(),
        incarnation: 1,
        sequence: counter,
    }
}

/// The operation under which a tombstone was written to both others.
fn written(sent: &Sent) -> OpId {
    match sent[..] {
        [
            (1 | 2, QuorumMessage::Write { op, value: None, .. }),
            (1 | 2, QuorumMessage::Write { .. }),
        ] => op,
        _ => panic!("{sent:?}"),
    }
}

/// Who is asked for a fence.
fn fenced(sent: &Sent) -> Vec<u16> {
    let is_fence = |(to, message): &(u16, QuorumMessage)| matches!(message, QuorumMessage::Fence { .. }).then_some(*to);
    sent.iter().filter_map(is_fence).collect()
}

/// Who may reap.
fn reaping(sent: &Sent) -> Vec<u16> {
    let is_reap = |(to, message): &(u16, QuorumMessage)| matches!(message, QuorumMessage::Reap { .. }).then_some(*to);
    sent.iter().filter_map(is_reap).collect()
}

#[test]
fn nothing_is_asked_before_all_home_replicas_hold_the_tombstone() {
    let mut script = Script::with_a_tombstone();
    assert!(script.at(9).is_empty(), "it is too young");
    let op = written(&script.at(10));
    assert!(script.message(1, QuorumMessage::WriteReply { op }).is_empty());
    assert!(
        script.message(1, QuorumMessage::WriteReply { op }).is_empty(),
        "one replica counts once"
    );
    let again = script.at(310);
    assert!(matches!(again[..], [(2, QuorumMessage::Write { .. })]), "{again:?}");
}

#[test]
fn a_tombstone_goes_when_every_members_older_operations_and_hints_have_ended() {
    let mut script = Script::with_a_tombstone();
    let op = script.held_by_all();
    assert!(script.fence_reply(1, op, (9, 9, false)).is_empty());
    assert!(script.fence_reply(2, op, (5, 4, false)).is_empty(), "operation 5 of n3 is open");
    let sent = script.at(310);
    assert_eq!(fenced(&sent), [2]);
    let Some((_, QuorumMessage::Fence { op, .. })) = sent.first() else {
        panic!("{sent:?}")
    };
    let op = *op;
    assert!(script.fence_reply(2, op, (6, 6, true)).is_empty(), "it keeps a hint");
    let sent = script.fence_reply(2, op, (8, 7, false));
    assert_eq!(reaping(&sent), [1, 2], "what it began since is no matter");
    let fences = sent.iter().find_map(|(_, message)| match message {
        QuorumMessage::Reap { fences, .. } => Some(fences.clone()),
        _ => None,
    });
    let fences = fences.unwrap();
    assert_eq!(fences[1..], [("n2".into(), op_id(9)), ("n3".into(), op_id(5))]);
    assert!(!script.reaped, "its own disk is not asked yet");
    script.disk_done();
    assert!(script.reaped && script.core.durable(&script.key).is_none());
}

#[test]
fn what_was_sent_before_a_fence_is_refused_for_good() {
    let mut script = Script::with_a_tombstone();
    let op = script.held_by_all();
    script.fence_reply(1, op, (9, 9, false));
    script.fence_reply(2, op, (5, 5, false));
    script.disk_done();
    let appended = script.appended;
    assert!(script.write(1, 9, 6, Some("old")).is_empty());
    assert!(script.write(2, 5, 6, Some("old")).is_empty());
    assert_eq!(script.appended, appended, "refused as if it were lost");
    script.write(2, 6, 8, Some("new"));
    script.disk_done();
    assert_eq!(script.core.durable(&script.key).unwrap().version, version(8));
}

#[test]
fn a_tombstone_that_was_replaced_is_left_alone() {
    let mut script = Script::with_a_tombstone();
    let op = script.held_by_all();
    script.fence_reply(1, op, (9, 9, false));
    script.write(1, 10, 8, Some("new"));
    script.disk_done();
    script.fence_reply(2, op, (5, 5, false));
    script.disk_done();
    assert!(!script.reaped);
    assert_eq!(script.core.durable(&script.key).unwrap().version, version(8));
    assert!(script.at(310).is_empty());
}
