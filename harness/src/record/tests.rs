//! Tests of the recorder: what stands in the file, in which order, and what happens when it cannot be written.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use squall_checker::history::event::{Event, EventType};
use squall_checker::history::mark::{EndReason, FaultStage, Finding, Stage};
use squall_workloads::{Argument, ErrorNote, Operation, Outcome, Seen};

use super::test_support::{bare_header, events, recorder};
use super::writer::Disk;
use super::{Pen, Recorder, RecorderGone, RunClock};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be built")
}

/// One operation of one process that takes no time.
async fn record(pen: &Pen, process: u64, operation: &Operation, outcome: Outcome) -> Result<(), RecorderGone> {
    let open = pen.reserve().await?.invoke(process, operation, &"n1".into());
    let returned_ns = open.invoked_ns();
    open.complete(returned_ns, outcome);
    Ok(())
}

#[test]
fn writes_what_a_person_can_read() {
    let (folder, recorder) = recorder();
    let pen = recorder.pen();
    let written = runtime().block_on(async {
        record(&pen, 3, &Operation::write("k3", 17), Outcome::Ok(Seen::Nothing)).await?;
        record(&pen, 1, &Operation::read("k3"), Outcome::Ok(Seen::Number(17))).await?;
        record(&pen, 1, &Operation::read("k3"), Outcome::Ok(Seen::Foreign("\u{1b}[2J\n\"".into()))).await?;
        record(&pen, 1, &Operation::read("k4"), Outcome::Ok(Seen::Nothing)).await?;
        record(
            &pen,
            4,
            &Operation::read("k3"),
            Outcome::Failed(ErrorNote::new("no-quorum", "2 of 3")),
        )
        .await?;
        record(
            &pen,
            3,
            &Operation::write("k3", 18),
            Outcome::Unknown(ErrorNote::new("timeout", "")),
        )
        .await
    });
    assert_eq!(written, Ok(()));
    let asked = FaultStage {
        id: 4,
        stage: Stage::Skipped,
        asked: None,
        resolved: None,
        probe: None,
        reason: Some("n2 is down".into()),
    };
    pen.fault("kill", asked);
    pen.finding(Finding::Stall { worst_ms: 3 });
    pen.finding(Finding::End {
        reason: EndReason::Complete,
        detail: None,
    });
    let recorded = recorder.close().expect("the file can be written");

    let text = std::fs::read_to_string(folder.path().join("history.jsonl")).expect("it was closed");
    assert_eq!((recorded.events, recorded.bytes), (15, text.len() as u64));
    let timeless: Vec<String> = text.lines().skip(1).map(without_time).collect();
    insta::assert_snapshot!(timeless.join("\n"), @r#"
    {"index":0,"time":T,"type":"invoke","process":3,"f":"write","key":"k3","value":17,"node":"n1"}
    {"index":1,"time":T,"type":"ok","process":3,"f":"write","key":"k3","value":17,"node":"n1"}
    {"index":2,"time":T,"type":"invoke","process":1,"f":"read","key":"k3","value":null,"node":"n1"}
    {"index":3,"time":T,"type":"ok","process":1,"f":"read","key":"k3","value":17,"node":"n1"}
    {"index":4,"time":T,"type":"invoke","process":1,"f":"read","key":"k3","value":null,"node":"n1"}
    {"index":5,"time":T,"type":"ok","process":1,"f":"read","key":"k3","value":"\u001b[2J\n\"","node":"n1"}
    {"index":6,"time":T,"type":"invoke","process":1,"f":"read","key":"k4","value":null,"node":"n1"}
    {"index":7,"time":T,"type":"ok","process":1,"f":"read","key":"k4","value":null,"node":"n1"}
    {"index":8,"time":T,"type":"invoke","process":4,"f":"read","key":"k3","value":null,"node":"n1"}
    {"index":9,"time":T,"type":"fail","process":4,"f":"read","key":"k3","value":null,"node":"n1","error":{"kind":"no-quorum","message":"2 of 3"}}
    {"index":10,"time":T,"type":"invoke","process":3,"f":"write","key":"k3","value":18,"node":"n1"}
    {"index":11,"time":T,"type":"info","process":3,"f":"write","key":"k3","value":18,"node":"n1","error":{"kind":"timeout"}}
    {"index":12,"time":T,"type":"info","process":"nemesis","f":"kill","value":{"id":4,"reason":"n2 is down","stage":"skipped"}}
    {"index":13,"time":T,"type":"info","process":"harness","f":"stall","value":{"worst_ms":3}}
    {"index":14,"time":T,"type":"info","process":"harness","f":"end","value":{"reason":"complete"}}
    "#);
}

/// Replaces the number after `"time":`.
fn without_time(line: &str) -> String {
    let (before, after) = line.split_once("\"time\":").expect("every line has a time");
    let digits = after.find(|letter: char| !letter.is_ascii_digit()).expect("the line goes on");
    format!("{before}\"time\":T{}", &after[digits..])
}

#[test]
fn the_header_tells_what_the_clock_showed_at_time_0() {
    let folder = tempfile::TempDir::new().expect("tests may write to the temporary folder");
    let path = folder.path().join("history.jsonl");
    let clock = RunClock::start();
    let origin_ns = clock.origin_ns();
    Recorder::create(&path, &bare_header(), clock)
        .expect("the folder is empty")
        .close()
        .expect("the file can be written");
    let text = std::fs::read_to_string(&path).expect("it was closed");
    assert!(
        text.contains(&format!(r#""clock":{{"kind":"monotonic","origin_ns":{origin_ns},"error_ns":0}}"#)),
        "{text}"
    );
}

#[test]
fn never_writes_over_an_older_history() {
    let (folder, recorder) = recorder();
    let again = Recorder::create(&folder.path().join("history.jsonl"), &bare_header(), RunClock::start());
    assert_eq!(again.err().map(|error| error.kind()), Some(io::ErrorKind::AlreadyExists));
    recorder.close().expect("the file can be written");
}

/// A register behind a lock, driven by several threads at once; returns the file's lines.
fn record_concurrent_load(n_clients: u64, n_operations: u64) -> Vec<Event> {
    let (folder, recorder) = recorder();
    let store = Arc::new(Mutex::new(None::<i64>));
    let runtime = runtime();
    let clients: Vec<_> = (0..n_clients)
        .map(|client| {
            let (pen, store) = (recorder.pen(), Arc::clone(&store));
            runtime.spawn(async move {
                for count in 0..n_operations {
                    let value = i64::try_from(count * n_clients + client + 1).expect("small");
                    let operation = if count % 2 == 0 {
                        Operation::write("k", value)
                    } else {
                        Operation::read("k")
                    };
                    let open = pen.reserve().await?.invoke(client, &operation, &"n1".into());
                    let seen = {
                        let mut register = store.lock().expect("no holder panics");
                        match operation.argument {
                            Argument::Value(value) => {
                                *register = Some(value);
                                Seen::Nothing
                            }
                            _ => register.map_or(Seen::Nothing, Seen::Number),
                        }
                    };
                    open.complete(pen.clock().now_ns(), Outcome::Ok(seen));
                }
                Ok::<(), RecorderGone>(())
            })
        })
        .collect();
    for client in clients {
        runtime.block_on(client).expect("no client panics").expect("the recorder is there");
    }
    recorder.close().expect("the file can be written");
    events(&folder)
}

#[test]
fn every_prefix_of_the_file_is_causally_closed() {
    let events = record_concurrent_load(8, 2_000);
    assert_eq!(events.len(), 8 * 2_000 * 2);
    let mut open: BTreeMap<String, u64> = BTreeMap::new();
    let mut written = std::collections::BTreeSet::new();
    for (position, event) in events.iter().enumerate() {
        assert_eq!(event.index, position as u64, "indices are dense");
        let process = event.process.to_string();
        match event.kind {
            EventType::Invoke => {
                assert_eq!(
                    open.insert(process, event.time),
                    None,
                    "line {position}: a process does one thing at a time"
                );
                written.extend(event.value.as_i64());
            }
            _ => {
                let invoked_ns = open
                    .remove(&process)
                    .unwrap_or_else(|| panic!("line {position} completes what was not invoked before"));
                assert!(invoked_ns <= event.time);
                if let Some(seen) = event.value.as_i64() {
                    assert!(
                        written.contains(&seen),
                        "line {position} saw {seen}, which nobody had begun to write"
                    );
                }
            }
        }
    }
}

#[test]
fn a_full_queue_delays_operations_and_loses_none() {
    // More lines than the queue holds, faster than the writer looks.
    let n_operations = super::QUEUE_LINES as u64 / 4;
    let events = record_concurrent_load(4, n_operations);
    assert_eq!(events.len() as u64, 4 * n_operations * 2);
}

#[test]
fn room_that_was_not_used_comes_back() {
    let (folder, recorder) = recorder();
    let pen = recorder.pen();
    runtime().block_on(async {
        for _ in 0..super::QUEUE_LINES {
            drop(pen.reserve().await);
        }
        let slot = pen.reserve().await.expect("the recorder is there");
        drop(slot.invoke(0, &Operation::read("k"), &"n1".into()));
    });
    assert_eq!(recorder.close().expect("the file can be written").events, 1);
    assert_eq!(events(&folder).len(), 1, "an operation that was dropped stays open");
}

/// A disk that is full after some bytes: it takes what fits and then fails, as a file system does.
struct SmallDisk {
    left: usize,
    file: Arc<Mutex<Vec<u8>>>,
}

impl Write for SmallDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(self.left);
        self.left -= taken;
        self.file.lock().expect("no holder panics").extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Disk for SmallDisk {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_ends_the_recording_with_a_usable_prefix() {
    let file = Arc::new(Mutex::new(Vec::new()));
    let disk = SmallDisk {
        left: 10_000,
        file: Arc::clone(&file),
    };
    let recorder = Recorder::onto(Box::new(disk), &bare_header(), RunClock::start(), None).expect("the header fits");
    let (pen, mut failed) = (recorder.pen(), recorder.failed());
    let ended = runtime().block_on(async {
        let load = async { while record(&pen, 0, &Operation::write("k", 1), Outcome::Ok(Seen::Nothing)).await.is_ok() {} };
        tokio::time::timeout(Duration::from_secs(20), async {
            load.await;
            failed.wait_for(Option::is_some).await.map(|reason| reason.clone())
        })
        .await
    });
    let reason = ended
        .expect("the load ends by itself")
        .expect("the writer says why")
        .expect("it was waited for");
    assert!(reason.contains("space"), "{reason}");
    assert_eq!(recorder.close().map_err(|error| error.kind()), Err(io::ErrorKind::StorageFull));

    let file = file.lock().expect("no holder panics");
    assert_eq!(file.len(), 10_000, "nothing is written after the first error");
    let text = std::str::from_utf8(&file).expect("JSON is text");
    let lines: Vec<&str> = text.split('\n').collect();
    let (cut, whole) = lines.split_last().expect("there is a header");
    assert!(serde_json::from_str::<Event>(cut).is_err(), "the last line is cut: {cut}");
    assert!(whole[1..].iter().all(|line| serde_json::from_str::<Event>(line).is_ok()));
}

#[test]
fn pens_that_outlive_the_recorder_do_no_harm() {
    let (folder, recorder) = recorder();
    let pen = recorder.pen();
    pen.finding(Finding::Phase { name: "storm".into() });
    recorder.close().expect("the file can be written");
    pen.finding(Finding::Phase { name: "late".into() });
    let late = runtime().block_on(record(&pen, 0, &Operation::read("k"), Outcome::Ok(Seen::Nothing)));
    assert_eq!(late, Err(RecorderGone));
    assert_eq!(events(&folder).len(), 1);
}

#[test]
fn a_recorder_that_is_dropped_still_writes_what_it_has() {
    let (folder, recorder) = recorder();
    recorder.pen().finding(Finding::Phase { name: "storm".into() });
    drop(recorder);
    assert_eq!(events(&folder).len(), 1);
}
