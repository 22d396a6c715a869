//! Small histories that break the rule, told operation by operation; times in milliseconds.

use serde_json::{Value, json};

pub(super) struct Story {
    pub(super) header: Value,
    lines: Vec<(u64, String)>,
}

impl Story {
    pub(super) fn new() -> Story {
        Story {
            header: Value::Null,
            lines: Vec::new(),
        }
    }

    /// 17, much later 18, then 17 again; a read of 18 and an unknown write beside them, within a partition, after a kill.
    pub(super) fn stale_read(key: &str) -> Story {
        let mut story = Story::new();
        story.header = json!({"squall_history": 1, "run": "20260214T093012Z-quorum-seed7", "seed": 7,
            "system": "quorum N=3 R=1 W=1, 5 nodes", "workload": "register", "clients": 40});
        story.write(6, key, "17", 59_120, Some(59_148));
        story.write(13, key, "18", 62_104, Some(62_118));
        story.read(8, key, "18", 62_200, 62_231);
        story.write(21, key, "19", 61_900, None);
        story.read(31, key, "17", 62_391, 62_402);
        let halves = json!({"partition": {"shape": {"halves": {"order": ["n1", "n2"]}}}});
        story.fault(1, "kill", 58_000, 59_130, json!({"kill": {}}), json!({"resolved": {"node": "n4"}}));
        story.fault(2, "partition", 61_990, 66_000, halves, Value::Null);
        story
    }

    pub(super) fn write(&mut self, process: u64, key: &str, value: &str, begin_ms: u64, end_ms: Option<u64>) {
        let end = if end_ms.is_some() { "ok" } else { "info" };
        self.line(process, "write", key, value, "invoke", begin_ms);
        self.line(process, "write", key, value, end, end_ms.unwrap_or(begin_ms + 1_000));
    }

    pub(super) fn refused(&mut self, process: u64, key: &str, value: &str, begin_ms: u64, end_ms: u64) {
        self.line(process, "write", key, value, "invoke", begin_ms);
        self.line(process, "write", key, value, "fail", end_ms);
    }

    pub(super) fn read(&mut self, process: u64, key: &str, value: &str, begin_ms: u64, end_ms: u64) {
        self.line(process, "read", key, "null", "invoke", begin_ms);
        self.line(process, "read", key, value, "ok", end_ms);
    }

    fn fault(&mut self, id: u64, kind: &str, begin_ms: u64, end_ms: u64, asked: Value, resolved: Value) {
        let stages = [
            (
                begin_ms,
                json!({"id": id, "stage": "applied", "asked": asked, "resolved": resolved}),
            ),
            (end_ms, json!({"id": id, "stage": "heal-asked"})),
        ];
        for (time_ms, value) in stages {
            let line = json!({"time": time_ms * 1_000_000, "type": "info", "process": "nemesis", "f": kind, "value": value});
            self.lines.push((time_ms, line.to_string()));
        }
    }

    fn line(&mut self, process: u64, f: &str, key: &str, value: &str, kind: &str, time_ms: u64) {
        let (key, time_ns) = (Value::from(key), time_ms * 1_000_000);
        let line = format!(
            r#"{{"time":{time_ns},"type":"{kind}","process":{process},"f":"{f}","key":{key},"value":{value},"node":"n{}"}}"#,
            process % 5 + 1
        );
        self.lines.push((time_ms, line));
    }

    /// The lines of the history.
    pub(super) fn text(&self) -> String {
        let mut lines = self.lines.clone();
        lines.sort_by_key(|(time_ms, _)| *time_ms);
        let mut text = String::new();
        if !self.header.is_null() {
            let header: squall_checker::history::mark::Header =
                serde_json::from_value(self.header.clone()).expect("the story's header is one");
            text = serde_json::to_string(&header).expect("a header has string keys") + "\n";
        }
        for (_, line) in lines {
            text.push_str(&line);
            text.push('\n');
        }
        text
    }
}
