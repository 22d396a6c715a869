//! Raft traces from bytes to verdict: `cargo bench -p squall-checker --bench trace`. Goal: a million events per second and core.

use std::fmt::Write;
use std::hint::black_box;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use squall_checker::trace::raft::RaftRules;
use squall_checker::trace::{Conditions, NodeTraces};

fn main() {
    divan::main();
}

const NODES: [&str; 3] = ["n1", "n2", "n3"];

/// Entries of a run: 25 events each.
const ENTRIES: u64 = 40_000;

/// One node's text.
struct Node {
    name: &'static str,
    text: String,
    seq: u64,
    stamp: u64,
}

impl Node {
    fn line(&mut self, stamp: u64, rest: &str) {
        self.stamp = stamp;
        let Node { name, seq, .. } = self;
        writeln!(
            self.text,
            r#"{{"node":"{name}","incarnation":1,"seq":{seq},"mono_ns":{},"lamport":{},{rest}}}"#,
            1_000_000_000 + stamp * 1_000,
            (1u64 << 32) + stamp
        )
        .expect("a text can grow");
        self.seq += 1;
    }
}

/// A healthy run of three nodes: each entry is appended, sent, made durable, committed, applied and answered, with a read for every fourth.
fn run() -> Vec<(String, String)> {
    let mut nodes = NODES.map(|name| Node {
        name,
        text: String::new(),
        seq: 0,
        stamp: 0,
    });
    for node in &mut nodes {
        let name = node.name;
        node.line(1, &format!(
            r#""kind":"raft_start","member":"{name}","term":0,"vote":null,"base":[0,0],"last":[0,0],"commit":0,"applied":0,"state_hash":"0000000000000000","members":["n1","n2","n3"],"voters":["n1","n2","n3"],"voters_old":null,"learners":[],"reads":"read-index","sessions":true,"election_ms":150,"heartbeat_ms":30,"snapshot_every":1000,"mono_offset_ns":0"#
        ));
        node.line(2, r#""kind":"hard","term":1,"vote":"n1""#);
    }
    nodes[0].line(3, r#""kind":"role","role":"leader","term":1,"last":[0,0]"#);
    for index in 1..=ENTRIES {
        entry(&mut nodes, index);
    }
    nodes.map(|node| (node.name.to_owned(), node.text)).into()
}

fn entry(nodes: &mut [Node; 3], index: u64) {
    let stamp = 20 * index;
    let hash = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let client = format!(r#""client":"c{}","sequence":{index},"session":1"#, index % 64);
    let append = format!(r#""kind":"append","index":{index},"term":1,"digest":"{hash:016x}","entry":"command",{client}"#);
    let fsync = format!(r#""kind":"fsync","upto":{index},"term_at":1"#);
    let apply = format!(
        r#""kind":"apply","index":{index},"term_at":1,"digest":"{hash:016x}","state_hash":"{:016x}",{client},"effect":true"#,
        !hash
    );
    nodes[0].line(stamp, &append);
    for (peer, at) in [("n2", stamp + 1), ("n3", stamp + 2)] {
        let id = format!("n1/1/{}", (1u64 << 32) + at);
        let before = index - 1;
        nodes[0].line(
            at,
            &format!(
                r#""kind":"send","to":"{peer}","id":"{id}","m":"append","term":1,"prev":[{before},1],"last":[{index},1],"commit":{before}"#
            ),
        );
    }
    nodes[0].line(stamp + 3, &fsync);
    for (place, sent) in [(1, stamp + 1), (2, stamp + 2)] {
        let id = format!("n1/1/{}", (1u64 << 32) + sent);
        let name = nodes[place].name;
        nodes[place].line(
            stamp + 4,
            &format!(r#""kind":"receive","from":"n1","id":"{id}","m":"append","term":1"#),
        );
        if index > 1 {
            nodes[place].line(
                stamp + 4,
                &format!(r#""kind":"commit","to":{},"term_at":1,"by":"leader","term":1"#, index - 1),
            );
        }
        nodes[place].line(stamp + 5, &append);
        nodes[place].line(stamp + 6, &fsync);
        let id = format!("{name}/1/{}", (1u64 << 32) + stamp + 7);
        nodes[place].line(
            stamp + 7,
            &format!(r#""kind":"send","to":"n1","id":"{id}","m":"append_reply","term":1,"last":[{index},1],"ok":true"#),
        );
        nodes[0].line(
            stamp + 8,
            &format!(r#""kind":"receive","from":"{name}","id":"{id}","m":"append_reply","term":1"#),
        );
        if index > 1 {
            let hash = (index - 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let before = format!(r#""client":"c{}","sequence":{},"session":1"#, (index - 1) % 64, index - 1);
            nodes[place].line(
                stamp + 9,
                &format!(
                    r#""kind":"apply","index":{},"term_at":1,"digest":"{hash:016x}","state_hash":"{:016x}",{before},"effect":true"#,
                    index - 1,
                    !hash
                ),
            );
        }
    }
    nodes[0].line(
        stamp + 9,
        &format!(r#""kind":"commit","to":{index},"term_at":1,"by":"count","term":1"#),
    );
    nodes[0].line(stamp + 9, &apply);
    nodes[0].line(
        stamp + 10,
        &format!(r#""kind":"ack",{client},"index":{index},"term_at":1,"digest":"{hash:016x}","outcome":"ok","f":"put""#),
    );
    if index.is_multiple_of(4) {
        nodes[0].line(stamp + 11, &format!(
            r#""kind":"read","client":"c1","sequence":{index},"key":"k1","index":{index},"applied":{index},"basis":"read-index","begun_ns":{},"term":1"#,
            1_000_000_000 + stamp * 1_000
        ));
    }
}

/// From bytes in memory to the word of every rule.
#[divan::bench(sample_count = 5)]
fn from_bytes_to_verdict(bencher: Bencher<'_, '_>) {
    let texts = run();
    let n_events = texts.iter().map(|(_, text)| text.lines().count()).sum::<usize>();
    let n_bytes = texts.iter().map(|(_, text)| text.len()).sum::<usize>();
    let sources = || texts.iter().map(|(node, text)| (node.clone(), Ok(text.as_bytes())));
    let conditions = Conditions {
        settled: true,
        ..Conditions::default()
    };
    let traces = NodeTraces::read(sources());
    assert_eq!(traces.raft().map(RaftRules::n_events), Some(n_events as u64));
    assert_eq!(traces.check(&conditions), [], "the run is correct");
    bencher
        .counter(ItemsCount::new(n_events))
        .counter(BytesCount::new(n_bytes))
        .bench_local(|| black_box(NodeTraces::read(sources()).check(&conditions)));
}
