//! Writes the trace of one Raft node as the node would: fields, numbers of events, and what follows from what it wrote before.

use serde_json::{Value, json};

use crate::trace::raft::log::extend;

/// The election timeout of every node.
pub(crate) const ELECTION_MS: u64 = 150;

/// One entry as tests speak of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    pub(crate) term: u64,
    /// A word; `noop` and `config…` are no commands.
    pub(crate) command: String,
}

/// The text of one node's trace, and the state that it tells of.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    pub(crate) node: String,
    pub(crate) member: String,
    pub(crate) incarnation: u64,
    seq: u64,
    pub(crate) text: String,
    /// The stamp and the time of the next line.
    pub(crate) stamp: u64,
    pub(crate) mono_ns: u64,
}

/// What a life begins with.
#[derive(Debug, Clone)]
pub(crate) struct Begin<'a> {
    pub(crate) term: u64,
    pub(crate) vote: Option<&'a str>,
    pub(crate) base: (u64, u64),
    pub(crate) log: &'a [Item],
    pub(crate) commit: u64,
    pub(crate) applied: u64,
    pub(crate) state: u64,
    pub(crate) voters: &'a [String],
    pub(crate) voters_old: Option<&'a [String]>,
    pub(crate) reads: &'a str,
}

/// The digest of a command.
pub(crate) fn digest(command: &str) -> u64 {
    command.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The state after one command more.
pub(crate) fn next_state(state: u64, index: u64, command: &str, effect: bool) -> u64 {
    extend(state, index, digest(command) ^ u64::from(effect))
}

fn hex(hash: u64) -> String {
    format!("{hash:016x}")
}

impl Writer {
    pub(crate) fn new(node: &str) -> Writer {
        Writer {
            node: node.to_owned(),
            member: node.to_owned(),
            incarnation: 0,
            seq: 0,
            text: String::new(),
            stamp: 0,
            mono_ns: 0,
        }
    }

    /// A new life: its start, what it found, and that this is durable.
    pub(crate) fn begin(&mut self, begin: &Begin<'_>) {
        (self.incarnation, self.seq) = (self.incarnation + 1, 0);
        let last = begin.base.0 + begin.log.len() as u64;
        let last_term = begin.log.last().map_or(begin.base.1, |item| item.term);
        self.line(
            "raft_start",
            json!({
                "member": self.member, "term": begin.term, "vote": begin.vote, "base": [begin.base.0, begin.base.1], "last": [last, last_term],
                "commit": begin.commit, "applied": begin.applied, "state_hash": hex(begin.state), "members": begin.voters,
                "voters": begin.voters, "voters_old": begin.voters_old, "learners": [], "reads": begin.reads, "sessions": true,
                "election_ms": ELECTION_MS, "heartbeat_ms": 30, "snapshot_every": 1000, "mono_offset_ns": 0,
            }),
        );
        for (index, item) in (begin.base.0 + 1..).zip(begin.log) {
            self.append(index, item, true);
        }
        if last > 0 {
            self.fsync(last, last_term, true);
        }
    }

    pub(crate) fn append(&mut self, index: u64, item: &Item, replayed: bool) {
        let entry = match item.command.as_str() {
            "noop" => "noop",
            command if command.starts_with("config") => "config",
            _ => "command",
        };
        let mut fields = json!({"index": index, "term": item.term, "digest": hex(digest(&item.command)), "entry": entry});
        if replayed {
            fields["replayed"] = json!(true);
        }
        self.line("append", fields);
    }

    pub(crate) fn fsync(&mut self, upto: u64, term_at: u64, replayed: bool) {
        let mut fields = json!({"upto": upto, "term_at": term_at});
        if replayed {
            fields["replayed"] = json!(true);
        }
        self.line("fsync", fields);
    }

    pub(crate) fn hard(&mut self, term: u64, vote: Option<&str>) {
        self.line("hard", json!({"term": term, "vote": vote}));
    }

    pub(crate) fn role(&mut self, role: &str, term: u64, last: (u64, u64)) {
        self.line("role", json!({"role": role, "term": term, "last": [last.0, last.1]}));
    }

    pub(crate) fn truncate(&mut self, from: u64, term: u64) {
        self.line("truncate", json!({"from": from, "term": term}));
    }

    pub(crate) fn commit(&mut self, to: u64, term_at: u64, by: &str, term: u64) {
        self.line("commit", json!({"to": to, "term_at": term_at, "by": by, "term": term}));
    }

    /// `command` as in the log; `asked` is client and sequence within session 1.
    pub(crate) fn apply(&mut self, index: u64, item: &Item, state: u64, asked: Option<(&str, u64)>, effect: bool) {
        let mut fields = json!({"index": index, "term_at": item.term, "digest": hex(digest(&item.command)), "state_hash": hex(state)});
        if let Some((client, sequence)) = asked {
            fields["client"] = json!(client);
            fields["sequence"] = json!(sequence);
            fields["session"] = json!(1);
            fields["effect"] = json!(effect);
        }
        self.line("apply", fields);
    }

    pub(crate) fn snapshot(&mut self, kind: &str, index: u64, term_at: u64, state: u64) {
        let mut fields = json!({"index": index, "term_at": term_at, "state_hash": hex(state)});
        if kind == "snap_install" {
            fields["from"] = json!("n1");
        }
        self.line(kind, fields);
    }

    pub(crate) fn config(&mut self, index: u64, voters: &[String], voters_old: Option<&[String]>, stage: &str) {
        let fields = json!({"index": index, "voters": voters, "voters_old": voters_old, "learners": [], "stage": stage});
        self.line("config", fields);
    }

    pub(crate) fn ack(&mut self, index: u64, item: &Item, asked: Option<(&str, u64)>, outcome: &str, f: &str) {
        let fields = json!({
            "client": asked.map(|asked| asked.0), "sequence": asked.map(|asked| asked.1), "session": asked.map(|_| 1), "index": index,
            "term_at": item.term, "digest": hex(digest(&item.command)), "outcome": outcome, "f": f,
        });
        self.line("ack", fields);
    }

    pub(crate) fn read(&mut self, index: u64, applied: u64, basis: &str, begun_ns: u64, term: u64) {
        let fields = json!({
            "client": "c9", "sequence": 1, "key": "k", "index": index, "applied": applied, "basis": basis, "begun_ns": begun_ns, "term": term,
        });
        self.line("read", fields);
    }

    /// A message; its frame's stamp is that of the line.
    pub(crate) fn send(&mut self, to: &str, message: &str, term: u64, ok: Option<bool>) -> String {
        let id = format!("{}/{}/{}", self.member, self.incarnation, self.stamp);
        let mut fields = json!({"to": to, "id": id, "m": message, "term": term});
        if let Some(ok) = ok {
            fields["ok"] = json!(ok);
        }
        self.line("send", fields);
        id
    }

    pub(crate) fn receive(&mut self, from: &str, id: &str, message: &str, term: u64) {
        self.line("receive", json!({"from": from, "id": id, "m": message, "term": term}));
    }

    pub(crate) fn health(&mut self, commit: u64, messages: u64, appends: u64) {
        let fields = json!({"commit": commit, "applied": commit, "term": 1, "role": "follower", "messages": messages, "appends": appends});
        self.line("health", fields);
    }

    fn line(&mut self, kind: &str, fields: Value) {
        let mut line = json!({
            "node": self.node, "incarnation": self.incarnation, "seq": self.seq, "mono_ns": self.mono_ns, "lamport": self.stamp, "kind": kind,
        });
        let all = line.as_object_mut().expect("a line is an object");
        all.extend(fields.as_object().expect("fields are an object").clone());
        self.text += &format!("{line}\n");
        self.seq += 1;
    }
}
