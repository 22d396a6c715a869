//! A run of two clients on five nodes, told as the lines of a history: a partition that both feel, a kill that nobody sees.

use serde_json::{Value, json};
use squall_checker::history::mark::Header;

/// The partition's first success, in milliseconds after it came into force.
pub(super) const FIRST_SUCCESS_MS: u64 = 15;

/// What the load writes last to each key.
const LAST_VALUE: u64 = 4_880;

const APPLIED_MS: u64 = 1_501;

pub(super) struct Story {
    pub(super) header: Value,
    pub(super) end: Option<&'static str>,
    /// Time in nanoseconds and the rest of the line.
    lines: Vec<(u64, Value)>,
}

impl Story {
    /// A run that is valid and proves something.
    pub(super) fn good() -> Story {
        let header = json!({
            "squall_history": 1, "run": "20260214T093012Z-quorum-seed7", "seed": 7, "requested": ["partition", "kill"],
            "system": "quorum N=3 R=2 W=2, 5 nodes", "workload": "register", "clients": 2, "seats": 3,
            "nodes": ["n1", "n2", "n3", "n4", "n5"],
        });
        let mut story = Story {
            header,
            end: Some("complete"),
            lines: Vec::new(),
        };
        for (time_ms, phase) in [(0, "warm-up"), (1_500, "storm"), (3_000, "recovery"), (5_000, "final")] {
            story.mark(time_ms, "harness", "phase", json!({ "name": phase }));
        }
        // Client 1 goes on as process 4 after its timeout: three seats further.
        for (process, key, from_ms, to_ms) in [
            (0, "k0", 0, 1_490),
            (1, "k1", 0, 1_490),
            (0, "k0", 3_000, 4_900),
            (4, "k1", 3_000, 4_900),
        ] {
            story.load(process, key, from_ms, to_ms);
        }
        story.felt_partition();
        story.fault(
            2,
            "kill",
            2_500,
            2_900,
            &json!({"kill": {"target": {"node": "n4"}}}),
            &json!({"resolved": {"node": "n4"}}),
        );
        for (place, node) in ["n1", "n2", "n3", "n4", "n5"].into_iter().enumerate() {
            story.mark(
                1,
                "harness",
                "ready",
                json!({"node": node, "at": "start", "ok": true, "after_ms": 1}),
            );
            story.mark(
                3_100,
                "harness",
                "ready",
                json!({"node": node, "at": "recovery", "ok": true, "after_ms": 90}),
            );
            let time_ms = 5_010 + 10 * place as u64;
            for key in 0..2 {
                let read = json!({"process": 2, "f": "read", "key": format!("k{key}"), "node": node});
                story.operation(time_ms + 4 * key, 1, &read, Value::Null, "ok", json!(LAST_VALUE));
            }
            let counters =
                json!({"retransmits": place * 7, "drops": 100 - place, "queue_depth_max": 3 + place, "slowest_fsync_us": 9_000 - place});
            story.mark(5_200, "harness", "counters", json!({"node": node, "counters": counters}));
        }
        story.mark(5_200, "harness", "counters", json!({"node": "clients", "counters": {"retries": 3}}));
        story.mark(5_150, "harness", "stall", json!({"worst_ms": 4}));
        story
    }

    /// Each client works on a key of its own: a write, a read of it, each slower than the last by a little.
    fn load(&mut self, process: u64, key: &str, from_ms: u64, to_ms: u64) {
        for (place, time_ms) in (from_ms..to_ms).step_by(20).enumerate() {
            let value = json!(time_ms);
            let took_ms = 1 + place as u64 % 7;
            let write = json!({"process": process, "f": "write", "key": key, "node": "n1"});
            self.operation(time_ms, took_ms, &write, value.clone(), "ok", value.clone());
            let read = json!({"process": process, "f": "read", "key": key, "node": "n1"});
            self.operation(time_ms + 10, took_ms, &read, Value::Null, "ok", value);
        }
    }

    /// Client 0 is served again soon, after one refusal; client 1 only after a timeout, as process 4.
    fn felt_partition(&mut self) {
        let shape = json!({"partition": {"shape": {"halves": {"order": ["n1", "n2", "n3", "n4", "n5"]}}}});
        self.fault(1, "partition", APPLIED_MS, 2_400, &shape, &json!({"resolved": {"node": null}}));
        let read = |process: u64, key: &str| json!({"process": process, "f": "read", "key": key, "node": "n1"});
        let no_quorum = json!({"kind": "no-quorum", "message": "1 of 2 replicas"});
        self.operation(APPLIED_MS - 1, 3, &read(0, "k0"), Value::Null, "ok", json!(1_480));
        self.operation(APPLIED_MS + 5, 5, &read(0, "k0"), Value::Null, "fail", no_quorum);
        self.operation(APPLIED_MS + 12, 3, &read(0, "k0"), Value::Null, "ok", json!(1_480));
        let write = json!({"process": 1, "f": "write", "key": "k1", "node": "n5"});
        self.operation(APPLIED_MS + 2, 500, &write, json!(77), "info", json!({"kind": "timeout"}));
        self.operation(2_300, 2, &read(4, "k1"), Value::Null, "ok", json!(1_480));
        self.operation(2_450, 2, &read(0, "k0"), Value::Null, "ok", json!(1_480));
        self.operation(2_470, 9, &read(4, "k1"), Value::Null, "ok", json!(1_480));
    }

    fn fault(&mut self, id: u64, kind: &str, applied_ms: u64, heal_ms: u64, asked: &Value, resolved: &Value) {
        let stages = [
            (applied_ms - 1, "asked"),
            (applied_ms, "applied"),
            (applied_ms + 9, "probed"),
            (heal_ms, "heal-asked"),
            (heal_ms + 10, "healed"),
        ];
        for (time_ms, stage) in stages {
            let mut value = json!({"id": id, "stage": stage, "probe": {"ok": true}});
            match stage {
                "asked" => value["asked"] = asked.clone(),
                "applied" => value["resolved"] = resolved.clone(),
                _ => {}
            }
            self.mark(time_ms, "nemesis", kind, value);
        }
    }

    /// An operation from its invocation to its end: the value of an `ok`, the error of anything else.
    fn operation(&mut self, time_ms: u64, took_ms: u64, what: &Value, argument: Value, end: &str, seen: Value) {
        let line = |kind: &str, field: &str, value: Value| {
            let mut line = what.clone();
            line["type"] = json!(kind);
            line["value"] = Value::Null;
            line[field] = value;
            line
        };
        self.lines.push((time_ms * 1_000_000, line("invoke", "value", argument)));
        let field = if end == "ok" { "value" } else { "error" };
        self.lines.push(((time_ms + took_ms) * 1_000_000, line(end, field, seen)));
    }

    pub(super) fn mark(&mut self, time_ms: u64, process: &str, f: &str, value: Value) {
        self.lines.push((
            time_ms * 1_000_000,
            json!({"type": "info", "process": process, "f": f, "value": value}),
        ));
    }

    /// Changes the value of this stage of this injection.
    pub(super) fn change_stage(&mut self, id: u64, stage: &str, change: impl FnOnce(&mut Value)) {
        let is_it = |line: &&mut (u64, Value)| line.1["value"]["id"] == id && line.1["value"]["stage"] == stage;
        let (_, line) = self.lines.iter_mut().find(is_it).expect("the story has this stage");
        change(&mut line["value"]);
    }

    /// Two acknowledged writes of a key, then a read of the first.
    pub(super) fn stale_read(&mut self, key: &str) {
        let line = |process: u64, f: &str| json!({"process": process, "f": f, "key": key, "node": "n2"});
        self.operation(2_000, 4, &line(6, "write"), json!(17), "ok", json!(17));
        self.operation(2_010, 4, &line(6, "write"), json!(18), "ok", json!(18));
        self.operation(2_020, 4, &line(7, "read"), Value::Null, "ok", json!(17));
        self.operation(5_100, 4, &line(2, "read"), Value::Null, "ok", json!(18));
    }

    /// Nothing was recorded from 2 s on.
    pub(super) fn storm_ends_early(&mut self) {
        self.lines.retain(|line| line.0 < 2_100_000_000);
    }

    /// The lines of the history.
    pub(super) fn text(&self) -> String {
        let mut lines = self.lines.clone();
        if let Some(reason) = self.end {
            lines.push((
                5_300_000_000,
                json!({"type": "info", "process": "harness", "f": "end", "value": {"reason": reason}}),
            ));
        }
        // Stable: what was told first stands first.
        lines.sort_by_key(|line| line.0);
        // As a header proper: it is known by its first field, which a bare JSON object does not keep.
        let header: Header = serde_json::from_value(self.header.clone()).expect("the story's header is one");
        let mut text = serde_json::to_string(&header).expect("a header has string keys") + "\n";
        for (index, (time_ns, mut line)) in lines.into_iter().enumerate() {
            line["index"] = json!(index);
            line["time"] = json!(time_ns);
            text.push_str(&format!("{line}\n"));
        }
        text
    }
}
