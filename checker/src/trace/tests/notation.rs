//! Traces in a notation that fits on a line, written as the nodes write them and read by the reader.
//!
//! Each row is `<node> <event>`, in an order in which it could have happened: the row's number is its Lamport stamp and its time in
//! milliseconds. Every node starts before the first row. A version is `counter@node`, of that node's first life.
//!
//! ```text
//! n1 assign 1 k 5@n1 17            n1 get 2 k n1=5@n1 n2=-
//! n2 put k 5@n1 17                 n1 write-back 2 k 5@n1 yes
//! n1 put-done 1 k ok 5@n1 n1,n2    n1 get-done 2 k ok 5@n1 n1,n2
//! n2 restart                       n2 found k 5@n1 17
//! n2 reap k 5@n1                   n2 found-reap k 5@n1
//! n2 put k 5@n1 17 n1:5 n3:2       (with a vector of counts)
//! ```

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::trace::NodeTraces;

/// What all nodes are started with.
#[derive(Clone, Copy)]
pub(super) struct Settings {
    pub(super) n: u64,
    pub(super) r: u64,
    pub(super) w: u64,
    pub(super) write_back: bool,
}

/// A majority everywhere, with write-back.
pub(super) const SOUND: Settings = Settings {
    n: 3,
    r: 2,
    w: 2,
    write_back: true,
};

/// The fastest and least safe.
pub(super) const WEAK: Settings = Settings {
    n: 3,
    r: 1,
    w: 1,
    write_back: false,
};

/// The nodes of every story.
pub(super) const NODES: [&str; 5] = ["n1", "n2", "n3", "n4", "n5"];

/// The text of each node's trace.
pub(super) fn texts(settings: Settings, story: &str) -> BTreeMap<&'static str, String> {
    let mut writers: BTreeMap<&str, Writer> = NODES.into_iter().map(|node| (node, Writer::new(node))).collect();
    for writer in writers.values_mut() {
        writer.start(0, settings);
    }
    let rows = story.lines().map(str::trim).filter(|row| !row.is_empty());
    for (row, stamp) in rows.zip(1..) {
        let (node, event) = row.split_once(' ').expect("a row names a node");
        writers.get_mut(node).expect("a node of the story").event(stamp, event, settings);
    }
    writers.into_iter().map(|(node, writer)| (node, writer.text)).collect()
}

/// The traces of a story.
pub(super) fn traces(settings: Settings, story: &str) -> NodeTraces {
    let mut traces = NodeTraces::default();
    for (node, text) in texts(settings, story) {
        traces.add(node, Ok(text.as_bytes()));
    }
    traces
}

struct Writer {
    node: &'static str,
    incarnation: u64,
    seq: u64,
    text: String,
}

impl Writer {
    fn new(node: &'static str) -> Writer {
        Writer {
            node,
            incarnation: 0,
            seq: 0,
            text: String::new(),
        }
    }

    fn start(&mut self, stamp: u64, settings: Settings) {
        (self.incarnation, self.seq) = (self.incarnation + 1, 0);
        let Settings { n, r, w, write_back } = settings;
        let fields = json!({"n": n, "r": r, "w": w, "write_back": write_back, "versions": "quorum", "members": NODES, "mono_offset_ns": 0});
        self.line(stamp, "start", fields);
    }

    fn event(&mut self, stamp: u64, event: &str, settings: Settings) {
        let words: Vec<&str> = event.split_whitespace().collect();
        let op = |number: &str| format!("{}/{}/{number}", self.node, self.incarnation);
        let (kind, fields) = match words[..] {
            ["restart"] => return self.start(stamp, settings),
            ["assign", number, key, new, value] => {
                let fields = json!({"op": op(number), "key": key, "version": version(new), "value_id": value});
                ("assign", fields)
            }
            [kind @ ("put" | "found"), key, held, value, ref counts @ ..] => {
                let mut fields = json!({"key": key, "version": version(held), "value_id": value, "durable": true});
                if kind == "found" {
                    fields["replayed"] = json!(true);
                }
                if !counts.is_empty() {
                    fields["vector"] = counts.iter().map(|count| actor(count)).collect();
                }
                ("put", fields)
            }
            [kind @ ("reap" | "found-reap"), key, held] => {
                let mut fields = json!({"key": key, "version": version(held)});
                if kind == "found-reap" {
                    fields["replayed"] = json!(true);
                }
                ("reap", fields)
            }
            ["get", number, key, ref replies @ ..] => {
                let reply = |text: &&str| {
                    let (node, held) = text.split_once('=').expect("a reply is node=version");
                    json!({"node": node, "version": version(held)})
                };
                let replies: Vec<Value> = replies.iter().map(reply).collect();
                ("get", json!({"op": op(number), "key": key, "replies": replies}))
            }
            ["write-back", number, key, newest, needed] => {
                let fields = json!({"op": op(number), "key": key, "version": version(newest), "needed": needed == "yes", "holders": 1});
                ("write_back", fields)
            }
            [f @ ("put-done" | "get-done" | "delete-done"), number, key, outcome, of, acks] => {
                let acks: Vec<&str> = acks.split(',').filter(|node| *node != "-").collect();
                let f = f.trim_end_matches("-done");
                let fields = json!({"op": op(number), "f": f, "key": key, "outcome": outcome, "version": version(of), "acks": acks});
                ("done", fields)
            }
            _ => panic!("no event `{event}`"),
        };
        self.line(stamp, kind, fields);
    }

    fn line(&mut self, stamp: u64, kind: &str, mut fields: Value) {
        fields["node"] = json!(self.node);
        fields["incarnation"] = json!(self.incarnation);
        fields["seq"] = json!(self.seq);
        fields["mono_ns"] = json!(stamp * 1_000_000);
        fields["lamport"] = json!(stamp);
        fields["kind"] = json!(kind);
        self.text += &format!("{fields}\n");
        self.seq += 1;
    }
}

fn actor(text: &str) -> Value {
    let (node, count) = text.split_once(':').expect("a count is node:count");
    json!([node, 1, count.parse::<u64>().expect("a count")])
}

fn version(text: &str) -> Value {
    match text.split_once('@') {
        Some((counter, node)) => {
            let counter: u64 = counter.parse().expect("a counter");
            json!([counter, node, 1, counter])
        }
        None => Value::Null,
    }
}
