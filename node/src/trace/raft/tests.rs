//! Every kind and form of a Raft node's trace against the golden file, which was written by hand from the contract.

use super::{Hash64, Origin, RaftEvent};
use crate::members::Text;
use crate::trace::{TraceEvent, Tracer};

const DIGEST: Hash64 = Hash64(0x89ab_0123_cdef_4567);
const STATE: Hash64 = Hash64(0x0123_4567_89ab_cdef);

fn texts(names: &[&str]) -> Vec<Text> {
    names.iter().map(|name| Text::from(*name)).collect()
}

fn origin(sequence: u64, session: Option<u64>) -> Origin {
    Origin {
        client: Some("c7".into()),
        sequence: Some(sequence),
        session,
    }
}

fn starts() -> Vec<RaftEvent> {
    vec![
        RaftEvent::RaftStart {
            member: "n1.2".into(),
            term: 3,
            vote: Some("n2".into()),
            base: (4, 2),
            last: (7, 3),
            commit: 5,
            applied: 5,
            state_hash: STATE,
            members: texts(&["n1.2", "n2", "n3", "n4"]),
            voters: texts(&["n1.2", "n2", "n3"]),
            voters_old: Some(texts(&["n2", "n3"])),
            learners: texts(&["n4"]),
            reads: "read-index",
            sessions: true,
            election_ms: 150,
            heartbeat_ms: 30,
            snapshot_every: 1000,
            mono_offset_ns: 0,
        },
        RaftEvent::RaftStart {
            member: "n1".into(),
            term: 0,
            vote: None,
            base: (0, 0),
            last: (0, 0),
            commit: 0,
            applied: 0,
            state_hash: Hash64(0),
            members: texts(&["n1"]),
            voters: texts(&["n1"]),
            voters_old: None,
            learners: vec![],
            reads: "lease",
            sessions: true,
            election_ms: 150,
            heartbeat_ms: 30,
            snapshot_every: 1000,
            mono_offset_ns: -5,
        },
    ]
}

fn appended(index: u64, term: u64, entry: &'static str, origin: Origin, replayed: bool) -> RaftEvent {
    RaftEvent::Append {
        index,
        term,
        digest: DIGEST,
        entry,
        origin,
        replayed,
    }
}

fn log_events() -> Vec<RaftEvent> {
    let fsync = |replayed| RaftEvent::Fsync {
        upto: 7,
        term_at: 3,
        replayed,
    };
    let mut events = vec![
        appended(7, 3, "command", origin(3, Some(6)), true),
        fsync(true),
        RaftEvent::Hard {
            term: 4,
            vote: Some("n1.2".into()),
        },
        RaftEvent::Hard { term: 5, vote: None },
    ];
    events.extend(
        ["follower", "pre-candidate", "candidate", "leader", "learner"].map(|role| RaftEvent::Role {
            role,
            term: 4,
            last: (7, 3),
        }),
    );
    let opener = Origin {
        client: Some("c8".into()),
        sequence: Some(1),
        session: None,
    };
    events.extend([
        appended(8, 4, "noop", Origin::default(), false),
        appended(9, 4, "command", origin(4, None), false),
        appended(10, 4, "config", Origin::default(), false),
        appended(11, 4, "session", opener, false),
        RaftEvent::Truncate { from: 8, term: 5 },
        fsync(false),
    ]);
    events
}

fn state_events() -> Vec<RaftEvent> {
    let apply = |index, origin, effect| RaftEvent::Apply {
        index,
        term_at: 3,
        digest: DIGEST,
        state_hash: STATE,
        origin,
        effect,
    };
    let mut events: Vec<_> = ["count", "leader", "snapshot", "start"]
        .map(|by| RaftEvent::Commit {
            to: 7,
            term_at: 3,
            by,
            term: 5,
        })
        .into();
    events.extend([
        apply(7, Origin::default(), None),
        apply(8, origin(3, Some(6)), Some(true)),
        apply(9, origin(3, Some(6)), Some(false)),
        RaftEvent::SnapTake {
            index: 7,
            term_at: 3,
            state_hash: STATE,
        },
        RaftEvent::SnapInstall {
            index: 7,
            term_at: 3,
            state_hash: STATE,
            from: "n2".into(),
        },
    ]);
    events
}

fn config_events() -> Vec<RaftEvent> {
    vec![
        RaftEvent::Config {
            index: 8,
            voters: texts(&["n1.2", "n2", "n4"]),
            voters_old: Some(texts(&["n1.2", "n2", "n3"])),
            learners: vec![],
            stage: "appended",
        },
        RaftEvent::Config {
            index: 9,
            voters: texts(&["n1.2", "n2", "n4"]),
            voters_old: None,
            learners: texts(&["n5"]),
            stage: "committed",
        },
        RaftEvent::Config {
            index: 8,
            voters: texts(&["n1.2", "n2", "n3"]),
            voters_old: None,
            learners: vec![],
            stage: "truncated",
        },
    ]
}

fn client_events() -> Vec<RaftEvent> {
    let ack = |client: Option<&str>, sequence, session, index, outcome, f| RaftEvent::Ack {
        client: client.map(Text::from),
        sequence,
        session,
        index,
        term_at: 3,
        digest: DIGEST,
        outcome,
        f,
    };
    let read = |client: Option<&str>, sequence, index, basis| RaftEvent::Read {
        client: client.map(Text::from),
        sequence,
        key: "k1".into(),
        index,
        applied: index,
        basis,
        begun_ns: 70,
        term: 5,
    };
    vec![
        ack(Some("c7"), Some(3), Some(6), 8, "ok", "put"),
        ack(Some("c7"), Some(4), None, 9, "failed", "cas"),
        ack(None, None, None, 9, "unknown", "append"),
        read(Some("c7"), Some(5), 9, "read-index"),
        read(None, None, 9, "lease"),
        read(Some("c7"), Some(6), 8, "local"),
    ]
}

fn message_events() -> Vec<RaftEvent> {
    let send = |m, prev, last, commit, ok| RaftEvent::Send {
        to: "n2".into(),
        id: "n1.2/2/9".into(),
        m,
        term: 6,
        prev,
        last,
        commit,
        ok,
    };
    vec![
        send("pre_vote", None, Some((7, 3)), None, None),
        send("pre_vote_reply", None, None, None, Some(true)),
        send("vote", None, Some((7, 3)), None, None),
        send("vote_reply", None, None, None, Some(false)),
        send("append", Some((7, 3)), Some((9, 6)), Some(7), None),
        send("append_reply", None, Some((9, 6)), None, Some(true)),
        send("heartbeat", None, None, Some(7), None),
        send("heartbeat_reply", None, None, None, None),
        send("snapshot", None, Some((7, 3)), None, None),
        send("snapshot_reply", None, None, None, Some(true)),
        send("timeout_now", None, None, None, None),
        send("stranger", None, None, None, None),
        RaftEvent::Receive {
            from: "n2".into(),
            id: "n2/1/7".into(),
            m: "append_reply",
            term: 6,
        },
        RaftEvent::Health {
            commit: 7,
            applied: 7,
            term: 6,
            role: "leader",
            messages: 120,
            appends: 9,
        },
    ]
}

#[test]
fn prints_every_kind_and_form_as_in_the_golden_file() {
    let mut bytes = Vec::new();
    let mut tracer = Tracer::new("n1".into(), 2, &mut bytes);
    let all = [
        starts(),
        log_events(),
        state_events(),
        config_events(),
        client_events(),
        message_events(),
    ];
    for event in all.into_iter().flatten() {
        tracer.record(77, 8, &TraceEvent::Raft(event));
    }
    tracer.flush().unwrap();
    let golden = include_str!("../../../tests/golden/raft_trace.jsonl");
    for (printed, expected) in String::from_utf8(bytes).unwrap().lines().zip(golden.lines()) {
        assert_eq!(printed, expected);
    }
    assert_eq!(golden.lines().count(), 49);
}
