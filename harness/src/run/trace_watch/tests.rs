//! Rounds over real files, without the thread and with a clock that the test moves.

use std::fs::{self, OpenOptions};
use std::io::Write;

use serde_json::json;
use tempfile::TempDir;

use super::{BEAT, Outcome, Rounds, TraceWatch, WAITING_MAX, Word};
use crate::record::test_support::{events, recorder};
use crate::run::lifeline::{Stop, StopSwitch};

/// Three nodes' folders, and the lines that they write.
struct Cluster {
    folder: TempDir,
    rounds: Rounds,
    now_ns: u64,
}

impl Cluster {
    fn new() -> Cluster {
        Cluster::bounded(WAITING_MAX)
    }

    fn bounded(n_waiting_max: usize) -> Cluster {
        let folder = TempDir::new().expect("tests may write to the temporary folder");
        let traces = ["n1", "n2", "n3"].map(|node| (node.to_owned(), folder.path().join(node)));
        Cluster {
            rounds: Rounds::over(traces.into(), n_waiting_max),
            folder,
            now_ns: 100,
        }
    }

    fn write(&self, node: &str, text: &str) {
        let path = self.folder.path().join(node);
        let mut file = OpenOptions::new().append(true).create(true).open(path).expect("the folder is ours");
        file.write_all(text.as_bytes()).expect("there is room");
    }

    fn round(&mut self) -> Outcome {
        self.rounds.next(|| self.now_ns)
    }

    #[track_caller]
    fn quiet(&mut self) {
        let Outcome { word, unreadable } = self.round();
        assert_eq!((word, unreadable), (Word::Nothing, Vec::new()));
    }

    /// The rule of the alarm that this round raises.
    #[track_caller]
    fn alarm(&mut self) -> &'static str {
        match self.round().word {
            Word::Alarm(alarm) => alarm.rule,
            word => panic!("{word:?}"),
        }
    }
}

fn line(node: &str, (incarnation, seq): (u64, u64), mono_ns: u64, event: &serde_json::Value) -> String {
    let mut line = json!({"node": node, "incarnation": incarnation, "seq": seq, "mono_ns": mono_ns, "lamport": mono_ns});
    let fields = event.as_object().expect("an event is an object").clone();
    line.as_object_mut().expect("a line is an object").extend(fields);
    format!("{line}\n")
}

fn start(node: &str, incarnation: u64, mono_ns: u64) -> String {
    // A later life finds the vote of the first.
    let (term, vote) = if incarnation == 1 { (0, None) } else { (1, Some("n1")) };
    let event = json!({
        "kind": "raft_start", "member": node, "term": term, "vote": vote, "base": [0, 0], "last": [0, 0], "commit": 0, "applied": 0,
        "state_hash": "0000000000000000", "members": ["n1", "n2", "n3"], "voters": ["n1", "n2", "n3"], "voters_old": null, "learners": [],
        "reads": "read-index", "sessions": true, "election_ms": 150, "heartbeat_ms": 30, "snapshot_every": 1000, "mono_offset_ns": 0,
    });
    line(node, (incarnation, 0), mono_ns, &event)
}

fn vote(node: &str, at: (u64, u64), mono_ns: u64, whom: &str) -> String {
    line(node, at, mono_ns, &json!({"kind": "hard", "term": 1, "vote": whom}))
}

#[test]
fn a_second_vote_is_told_in_the_round_after_it_was_written() {
    let mut cluster = Cluster::new();
    cluster.quiet();
    cluster.write("n2", &start("n2", 1, 10));
    cluster.write("n2", &vote("n2", (1, 1), 20, "n1"));
    cluster.quiet();
    cluster.write("n2", &vote("n2", (1, 2), 30, "n3"));
    assert_eq!(cluster.alarm(), "trace T2");
}

#[test]
fn an_event_that_is_later_than_the_rounds_begin_waits_for_the_next_round() {
    let mut cluster = Cluster::new();
    let lines = [start("n2", 1, 10), vote("n2", (1, 1), 20, "n1"), vote("n2", (1, 2), 101, "n3")];
    cluster.write("n2", &lines.concat());
    cluster.quiet();
    assert_eq!(cluster.rounds.rules.n_waiting(), 1);
    cluster.now_ns = 101;
    assert_eq!(cluster.alarm(), "trace T2");
}

/// A half line is a write in progress, or what a SIGKILL left; a second vote that was never written whole was never cast.
#[test]
fn a_half_line_is_no_event_and_its_nodes_next_life_goes_on() {
    let mut cluster = Cluster::new();
    let whole = [start("n2", 1, 10), vote("n2", (1, 1), 20, "n1")].concat();
    let second = vote("n2", (1, 2), 30, "n3");
    for cut in 0..second.len() {
        let path = cluster.folder.path().join("n2");
        fs::write(&path, format!("{whole}{}", &second[..cut])).expect("the folder is ours");
        cluster.quiet();
    }
    let next = [start("n2", 2, 40), vote("n2", (2, 1), 50, "n3")].concat();
    fs::write(cluster.folder.path().join("n2"), format!("{whole}{next}")).expect("the folder is ours");
    assert_eq!(cluster.alarm(), "trace T2", "both lives' votes are known");
}

#[test]
fn rubbish_in_a_trace_is_told_once_and_stops_nothing_and_the_others_stay_watched() {
    let mut cluster = Cluster::new();
    cluster.write("n1", &start("n1", 1, 10));
    cluster.write("n1", "rubbish\n");
    cluster.write("n2", &start("n2", 1, 10));
    let outcome = cluster.round();
    assert_eq!(outcome.word, Word::Nothing);
    let expected = "the trace of n1 cannot be read: line 2: this is no event of a trace: expected a JSON object";
    assert_eq!(outcome.unreadable, [expected]);
    cluster.write("n1", "more rubbish\n");
    cluster.quiet();
    cluster.write("n2", &[vote("n2", (1, 1), 20, "n1"), vote("n2", (1, 2), 30, "n3")].concat());
    assert_eq!(cluster.alarm(), "trace T2");
}

#[test]
fn a_trace_that_became_shorter_is_told_and_stops_nothing() {
    let mut cluster = Cluster::new();
    cluster.write("n1", &start("n1", 1, 10));
    cluster.quiet();
    cluster.write("n1", "");
    fs::write(cluster.folder.path().join("n1"), b"\n").expect("the folder is ours");
    let outcome = cluster.round();
    assert_eq!(outcome.word, Word::Nothing);
    assert!(outcome.unreadable[0].contains("the file has 1 bytes, after"), "{outcome:?}");
}

#[test]
fn a_clock_that_goes_back_ends_the_watch() {
    let mut cluster = Cluster::new();
    let lines = [start("n2", 1, 10), vote("n2", (1, 1), 20, "n1"), vote("n2", (1, 2), 15, "n3")];
    cluster.write("n2", &lines.concat());
    let Word::GivenUp(why) = cluster.round().word else {
        panic!("it goes on")
    };
    assert!(why.starts_with("of n2, its clock went back by 5 ns at line 3"), "{why}");
}

#[test]
fn events_that_are_always_yet_to_come_do_not_fill_the_memory() {
    let mut cluster = Cluster::bounded(2);
    let late = u64::MAX;
    cluster.write("n2", &[start("n2", 1, 10), vote("n2", (1, 1), late, "n1")].concat());
    cluster.quiet();
    let more: String = (2..9).map(|seq| vote("n2", (1, seq), late, "n1")).collect();
    cluster.write("n2", &more);
    let Word::GivenUp(why) = cluster.round().word else {
        panic!("it goes on")
    };
    assert_eq!(why, "more than 2 events of the nodes' traces wait to be judged");
}

#[test]
fn the_thread_marks_the_history_and_throws_the_switch_and_says_nothing_after_its_end() {
    let (folder, recorder) = recorder();
    let traces = TempDir::new().expect("tests may write to the temporary folder");
    let trace = traces.path().join("n1");
    let origin_ns = recorder.pen().clock().origin_ns();
    let lines = [
        start("n1", 1, origin_ns),
        vote("n1", (1, 1), origin_ns, "n1"),
        vote("n1", (1, 2), origin_ns, "n2"),
    ];
    fs::write(&trace, lines.concat()).expect("the folder is ours");
    let switch = StopSwitch::new();
    let watch = TraceWatch::start([("n1".to_owned(), trace)].into(), recorder.pen(), switch.clone()).expect("a thread can be started");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let thrown = runtime.block_on(async { tokio::time::timeout(100 * BEAT, switch.thrown()).await });
    watch.end();
    recorder.close().expect("the file can be written");
    let Ok(Stop::Violation(why)) = thrown else { panic!("{thrown:?}") };
    assert!(
        why.starts_with("trace T2: n1 voted twice in term 1: for n1 and for n2; seen online "),
        "{why}"
    );
    let marks: Vec<_> = events(&folder).into_iter().filter(|event| event.f == "violation").collect();
    let [mark] = &marks[..] else { panic!("{marks:?}") };
    assert_eq!(mark.value, json!({"operations": [], "completed_ns": 0, "rule": "trace T2"}));
}
