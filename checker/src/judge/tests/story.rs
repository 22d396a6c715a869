//! A run as a story of a few facts, told as the lines of a history.

use serde_json::{Value, json};

use crate::history::mark::Header;

/// A run of three nodes under one partition. Each field can be changed before it is told.
#[derive(Debug, Clone)]
pub(super) struct Story {
    /// Fields of the header; `None` tells the story without one, as a foreign file.
    pub(super) header: Option<Value>,
    /// Operations before the storm, half of them writes of a new value and half reads of it.
    pub(super) warm_up: u64,
    /// The same after it.
    pub(super) recovery: u64,
    /// The nodes that answer a final read of the only key, with the type of the answer.
    pub(super) final_reads: Vec<(&'static str, &'static str)>,
    /// Time in milliseconds, process, f, value.
    pub(super) marks: Vec<(u64, &'static str, &'static str, Value)>,
    /// How it ends; `None`: cut.
    pub(super) end: Option<&'static str>,
    /// Whole lines of clients, put before the final reads.
    pub(super) operations: Vec<Value>,
}

impl Story {
    /// A run that is valid and proves something.
    pub(super) fn good() -> Story {
        let mut story = Story {
            header: Some(json!({"squall_history": 1, "requested": ["partition"], "nodes": ["n1", "n2", "n3"], "clients": 2})),
            warm_up: 100,
            recovery: 100,
            final_reads: vec![("n1", "ok"), ("n2", "ok"), ("n3", "ok")],
            marks: Vec::new(),
            end: Some("complete"),
            operations: Vec::new(),
        };
        story.fault(
            1,
            "partition",
            &[
                (1_000, "asked"),
                (1_001, "applied"),
                (1_010, "probed"),
                (2_000, "heal-asked"),
                (2_010, "healed"),
            ],
        );
        for node in ["n1", "n2", "n3"] {
            story.ready(node, "start", true, 1);
            story.ready(node, "recovery", true, 2_500);
        }
        story.finding("stall", 500, json!({"worst_ms": 199}));
        story
    }

    /// One injection with these stages, each with a probe that says yes.
    pub(super) fn fault(&mut self, id: u64, kind: &'static str, stages: &[(u64, &'static str)]) {
        for &(time_ms, stage) in stages {
            self.marks
                .push((time_ms, "nemesis", kind, json!({"id": id, "stage": stage, "probe": {"ok": true}})));
        }
    }

    /// Changes the value of the first mark of this stage.
    pub(super) fn stage(&mut self, stage: &str, change: impl FnOnce(&mut Value)) {
        let mark = self
            .marks
            .iter_mut()
            .find(|mark| mark.3["stage"] == stage)
            .expect("the story has this stage");
        change(&mut mark.3);
    }

    /// Removes all marks of this stage.
    pub(super) fn without_stage(&mut self, stage: &str) {
        self.marks.retain(|mark| mark.3["stage"] != stage);
    }

    pub(super) fn finding(&mut self, f: &'static str, time_ms: u64, value: Value) {
        self.marks.push((time_ms, "harness", f, value));
    }

    pub(super) fn ready(&mut self, node: &str, at: &str, ok: bool, time_ms: u64) {
        // The recovery's bound is 400 ms long and begins after the heal was asked for at 2 s.
        let value = json!({"node": node, "at": at, "ok": ok, "after_ms": 400, "reason": "refused", "log_tail": ["up", "down"]});
        self.finding("ready", time_ms, value);
    }

    /// The last answer of this node to this wait becomes no.
    pub(super) fn not_ready(&mut self, node: &str, at: &str) {
        let mark = self
            .marks
            .iter_mut()
            .find(|mark| mark.3["node"] == node && mark.3["at"] == at)
            .expect("the story waits for it");
        mark.3["ok"] = json!(false);
    }

    pub(super) fn exit(&mut self, node: &str, time_ms: u64, expected: bool) {
        let value = json!({"node": node, "expected": expected, "status": "signal 6 (SIGABRT)", "log_tail": ["panicked"]});
        self.finding("exit", time_ms, value);
    }

    /// A write on process 50 that is acknowledged, and a later read on process 51 that sees the value before it.
    pub(super) fn stale_read(&mut self) {
        for (time_ms, kind, process, f, value) in [
            (2_600_u64, "invoke", 50, "write", json!(9_001)),
            (2_601, "ok", 50, "write", json!(9_001)),
            (2_602, "invoke", 50, "write", json!(9_002)),
            (2_603, "ok", 50, "write", json!(9_002)),
            (2_604, "invoke", 51, "read", Value::Null),
            (2_605, "ok", 51, "read", json!(9_001)),
        ] {
            let line =
                json!({"index": 0, "time": time_ms * 1_000_000, "type": kind, "process": process, "f": f, "key": "stale", "value": value});
            self.operations.push(line);
        }
        self.final_read_of("stale", json!(9_002));
    }

    /// An operation that no register knows on a key of its own.
    pub(super) fn foreign_operation(&mut self) {
        for (time_ms, kind) in [(2_610_u64, "invoke"), (2_611, "ok")] {
            let time_ns = time_ms * 1_000_000;
            let line = json!({"index": 0, "time": time_ns, "type": kind, "process": 60, "f": "pop", "key": "foreign", "value": 7});
            self.operations.push(line);
        }
        self.final_read_of("foreign", json!(7));
    }

    /// One value written twice to a key of its own, and a read of it.
    pub(super) fn value_written_twice(&mut self) {
        for (time_ms, kind, f, value) in [
            (2_610_u64, "invoke", "write", json!(7)),
            (2_611, "ok", "write", json!(7)),
            (2_612, "invoke", "write", json!(7)),
            (2_613, "ok", "write", json!(7)),
        ] {
            let line =
                json!({"index": 0, "time": time_ms * 1_000_000, "type": kind, "process": 60, "f": f, "key": "twice", "value": value});
            self.operations.push(line);
        }
        self.final_read_of("twice", json!(7));
    }

    fn final_read_of(&mut self, key: &str, value: Value) {
        for (time_ms, kind, value) in [(3_500_u64, "invoke", Value::Null), (3_501, "ok", value)] {
            let time = time_ms * 1_000_000;
            let process = if key == "stale" { 70 } else { 71 };
            self.operations.push(
                json!({"index": 0, "time": time, "type": kind, "process": process, "f": "read", "key": key, "value": value, "node": "n1"}),
            );
        }
    }

    /// The lines of the history.
    pub(super) fn text(&self) -> String {
        let mut lines: Vec<Value> = Vec::new();
        let mut written = 0;
        let mut load = |lines: &mut Vec<Value>, count: u64, from_ms: u64| {
            for place in 0..count {
                let (f, argument) = if place % 2 == 0 {
                    ("write", json!(place + from_ms))
                } else {
                    ("read", Value::Null)
                };
                written = if place % 2 == 0 { place + from_ms } else { written };
                let time = (from_ms + 2 * place) * 1_000_000;
                lines.push(json!({"time": time, "type": "invoke", "process": 0, "f": f, "key": "k", "value": argument}));
                lines.push(json!({"time": time + 1_000_000, "type": "ok", "process": 0, "f": f, "key": "k", "value": written}));
            }
        };
        load(&mut lines, self.warm_up, 100);
        load(&mut lines, self.recovery, 2_100);
        lines.extend(self.operations.iter().cloned());
        for (place, (node, kind)) in self.final_reads.iter().enumerate() {
            let process = 100 + place;
            let time = (3_100 + 2 * place as u64) * 1_000_000;
            let value = if *kind == "ok" && written > 0 {
                json!(written)
            } else {
                Value::Null
            };
            lines.push(json!({"time": time, "type": "invoke", "process": process, "f": "read", "key": "k", "value": null, "node": node}));
            lines.push(json!({"time": time + 1, "type": kind, "process": process, "f": "read", "key": "k", "value": value, "node": node}));
        }
        let mut marks = self.marks.clone();
        marks.push((3_000, "harness", "phase", json!({"name": "final"})));
        marks.extend(
            self.end
                .map(|reason| (4_000, "harness", "end", json!({"reason": reason, "detail": "disk full"}))),
        );
        marks.sort_by_key(|mark| mark.0);
        let mark =
            |(time_ms, process, f, value)| json!({"time": time_ms * 1_000_000, "type": "info", "process": process, "f": f, "value": value});
        lines.extend(marks.into_iter().map(mark));
        for (index, line) in lines.iter_mut().enumerate() {
            line["index"] = json!(index);
        }
        // As a header proper: it is known by its first field, which a bare JSON object does not keep.
        let header = self
            .header
            .clone()
            .map(|header| serde_json::from_value::<Header>(header).expect("the story's header is one"));
        let header = header.map(|header| serde_json::to_string(&header).expect("a header has string keys"));
        header
            .into_iter()
            .chain(lines.iter().map(Value::to_string))
            .map(|line| format!("{line}\n"))
            .collect()
    }
}
