//! Tests of the client loop, against a client that does what a script says.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use squall_checker::history::event::{Event, EventType};
use squall_workloads::{BoxFuture, Client, ErrorNote, Generator, Operation, Outcome, Retry, Seen, Stamp, Step};
use tempfile::TempDir;
use tokio::sync::watch;

use super::{ClientReport, Driver, Seat, Settings, drive_client};
use crate::record::Recorder;
use crate::record::test_support::{events, recorder};

/// What a scripted client does with one operation.
#[derive(Clone, Copy)]
enum Act {
    Succeed,
    Refuse,
    Lose,
    Hang,
    BeUnreachable,
    NeverConnect,
}

/// Plays its script, then succeeds for ever.
#[derive(Default)]
struct Scripted {
    script: VecDeque<Act>,
    act: Option<Act>,
    performed: Arc<AtomicU64>,
    abandoned: Arc<AtomicU64>,
    /// The idempotency keys it was given.
    stamps: Arc<Mutex<Vec<u64>>>,
}

impl Client for Scripted {
    fn prepare<'a>(&'a mut self, _operation: &'a Operation, stamp: Stamp, _deadline: Duration) -> BoxFuture<'a, Result<(), ErrorNote>> {
        self.stamps.lock().expect("no holder panics").push(stamp.0);
        let act = self.script.pop_front().unwrap_or(Act::Succeed);
        self.act = Some(act);
        Box::pin(async move {
            match act {
                Act::BeUnreachable => Err(ErrorNote::new("unreachable", "refused")),
                Act::NeverConnect => std::future::pending().await,
                _ => Ok(()),
            }
        })
    }

    fn perform<'a>(&'a mut self, _operation: &'a Operation, _deadline: Duration) -> BoxFuture<'a, Outcome> {
        self.performed.fetch_add(1, Ordering::Relaxed);
        let act = self.act.expect("it was prepared");
        Box::pin(async move {
            match act {
                Act::Refuse => Outcome::Failed(ErrorNote::new("no-quorum", "")),
                Act::Lose => Outcome::Unknown(ErrorNote::new("connection", "reset")),
                Act::Hang => std::future::pending().await,
                _ => Outcome::Ok(Seen::Nothing),
            }
        })
    }

    fn node(&self) -> &str {
        "n1"
    }

    fn abandon(&mut self) {
        self.abandoned.fetch_add(1, Ordering::Relaxed);
    }
}

/// Asks for its operations one after the other.
struct Listed(VecDeque<Step>);

impl Generator for Listed {
    fn next(&mut self, _now_ns: u64, _last: Option<&Outcome>) -> Step {
        self.0.pop_front().unwrap_or(Step::Done)
    }
}

fn driver(recorder: &Recorder, client: Scripted) -> Driver {
    let settings = Settings {
        retry: Retry::None,
        operation_timeout: Duration::from_millis(30),
        seed: 7,
    };
    Driver::new(Box::new(client), recorder.pen(), Seat { number: 2, of: 10 }, settings)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built")
}

/// Drives a scripted client through `operations`; the report and the recorded lines as `process type error-kind`.
fn run(script: &[Act], operations: Vec<Operation>) -> (ClientReport, Vec<String>) {
    let (folder, recorder) = recorder();
    let client = Scripted {
        script: script.iter().copied().collect(),
        ..Scripted::default()
    };
    let generator = Listed(operations.into_iter().map(Step::Invoke).collect());
    let (_go_on, stop) = watch::channel(false);
    let driver = driver(&recorder, client);
    let report = runtime().block_on(drive_client(driver, Box::new(generator), 0, stop));
    recorder.close().expect("the file can be written");
    (report, lines(&folder))
}

fn lines(folder: &TempDir) -> Vec<String> {
    let line = |event: Event| {
        let kind = match event.kind {
            EventType::Invoke => "invoke",
            EventType::Ok => "ok",
            EventType::Fail => "fail",
            EventType::Info => "info",
        };
        let error = event
            .error
            .as_ref()
            .and_then(|error| error["kind"].as_str())
            .unwrap_or_default()
            .to_owned();
        format!("{} {kind} {error}", event.process).trim_end().to_owned()
    };
    events(folder).into_iter().map(line).collect()
}

#[test]
fn a_write_without_a_reply_ends_its_process() {
    for (act, error) in [(Act::Hang, "timeout"), (Act::Lose, "connection")] {
        let (report, lines) = run(
            &[act, act, Act::Succeed],
            vec![Operation::write("k", 1), Operation::write("k", 2), Operation::write("k", 3)],
        );
        let info = |process: u64| format!("{process} info {error}");
        assert_eq!(lines, ["2 invoke", &info(2), "12 invoke", &info(12), "22 invoke", "22 ok"]);
        assert_eq!((report.ok, report.unknown, report.reconnects), (1, 2, 2));
        assert_eq!(report.written.len(), 1);
    }
}

#[test]
fn a_read_without_a_reply_certainly_changed_nothing() {
    for (act, error) in [(Act::Hang, "timeout"), (Act::Lose, "connection")] {
        let (report, lines) = run(&[act, Act::Succeed], vec![Operation::read("k"), Operation::read("k")]);
        assert_eq!(
            lines,
            [
                "2 invoke".to_owned(),
                format!("2 fail {error}"),
                "2 invoke".to_owned(),
                "2 ok".to_owned()
            ]
        );
        assert_eq!(
            (report.ok, report.failed, report.reconnects),
            (1, 1, 1),
            "the late reply must not be taken for the next one"
        );
        assert!(report.written.is_empty());
    }
}

#[test]
fn a_refused_operation_keeps_process_and_connection() {
    let (report, lines) = run(&[Act::Refuse], vec![Operation::write("k", 1), Operation::read("k")]);
    assert_eq!(lines, ["2 invoke", "2 fail no-quorum", "2 invoke", "2 ok"]);
    assert_eq!(
        (report.failed, report.unreachable, report.reconnects, report.written.len()),
        (1, 0, 0, 0)
    );
    assert_eq!(report.operations(), 2);
}

#[test]
fn what_could_not_be_sent_did_not_happen() {
    for act in [Act::BeUnreachable, Act::NeverConnect] {
        let (folder, recorder) = recorder();
        let client = Scripted {
            script: [act].into(),
            ..Scripted::default()
        };
        let (performed, abandoned) = (Arc::clone(&client.performed), Arc::clone(&client.abandoned));
        let mut driver = driver(&recorder, client);
        let outcome = runtime()
            .block_on(driver.attempt(&Operation::write("k", 1)))
            .expect("the recorder is there");
        assert!(
            matches!(&outcome, Outcome::Failed(note) if note.kind == "unreachable"),
            "{outcome:?}"
        );
        assert_eq!((performed.load(Ordering::Relaxed), abandoned.load(Ordering::Relaxed)), (0, 1));
        assert_eq!((driver.report().failed, driver.report().unreachable), (1, 1));
        recorder.close().expect("the file can be written");
        assert_eq!(lines(&folder), ["2 invoke", "2 fail unreachable"]);
    }
}

/// Stops a client after a moment; it must end within `bound`.
fn check_stop(client: Scripted, steps: Vec<Step>, bound: Duration) {
    let (_folder, recorder) = recorder();
    let settings = Settings {
        retry: Retry::None,
        operation_timeout: Duration::from_millis(500),
        seed: 7,
    };
    let driver = Driver::new(Box::new(client), recorder.pen(), Seat { number: 0, of: 10 }, settings);
    let (stopper, stop) = watch::channel(false);
    let elapsed = runtime().block_on(async {
        let load = tokio::spawn(drive_client(driver, Box::new(Listed(steps.into())), 0, stop));
        // One thread: the client runs until it waits for something.
        tokio::task::yield_now().await;
        let asked = Instant::now();
        stopper.send(true).expect("the client listens");
        load.await.expect("the client does not panic");
        asked.elapsed()
    });
    assert!(elapsed < bound, "{elapsed:?}");
}

#[test]
fn stops_at_once_while_it_waits() {
    let at_once = Duration::from_millis(250);
    check_stop(Scripted::default(), vec![Step::WaitUntil(u64::MAX)], at_once);
    let connecting = Scripted {
        script: [Act::NeverConnect].into(),
        ..Scripted::default()
    };
    check_stop(connecting, vec![Step::Invoke(Operation::read("k"))], at_once);
}

#[test]
fn an_operation_in_flight_keeps_its_deadline() {
    let hanging = Scripted {
        script: [Act::Hang].into(),
        ..Scripted::default()
    };
    check_stop(hanging, vec![Step::Invoke(Operation::write("k", 1)); 3], Duration::from_millis(900));
}

#[test]
fn ends_when_nobody_can_stop_it_any_more() {
    let (_folder, recorder) = recorder();
    let (stopper, stop) = watch::channel(false);
    drop(stopper);
    let report = runtime().block_on(drive_client(
        driver(&recorder, Scripted::default()),
        Box::new(Listed([].into())),
        0,
        stop,
    ));
    assert_eq!(report.operations(), 0);
}

#[test]
fn ends_when_nothing_is_recorded_any_more() {
    let (_folder, recorder) = recorder();
    let driver = driver(&recorder, Scripted::default());
    recorder.close().expect("the file can be written");
    let (_go_on, stop) = watch::channel(false);
    let endless = Listed(vec![Step::Invoke(Operation::read("k")); 5].into());
    let report = runtime().block_on(drive_client(driver, Box::new(endless), 0, stop));
    assert_eq!(report.operations(), 0);
}

/// The recorded lines, the idempotency keys and the report of two writes, of which the first meets `script`.
fn run_with_retries(retry: Retry, script: &[Act]) -> (Vec<String>, Vec<u64>, ClientReport) {
    let (folder, recorder) = recorder();
    let client = Scripted {
        script: script.iter().copied().collect(),
        ..Scripted::default()
    };
    let stamps = Arc::clone(&client.stamps);
    let mut driver = driver(&recorder, client);
    driver.retry = retry;
    let report = runtime().block_on(async move {
        for value in 1..=2 {
            driver.attempt(&Operation::write("k", value)).await.expect("the recorder is there");
        }
        driver.report().clone()
    });
    recorder.close().expect("the file can be written");
    let stamps = stamps.lock().expect("no holder panics").clone();
    (lines(&folder), stamps, report)
}

#[test]
fn all_attempts_at_an_operation_are_one_operation_in_the_history() {
    let script = [Act::Refuse, Act::Lose, Act::Succeed];
    let (lines, stamps, report) = run_with_retries(Retry::Idempotent, &script);
    assert_eq!(lines, ["2 invoke", "2 ok", "2 invoke", "2 ok"]);
    assert_eq!(stamps, [1, 1, 1, 2], "the store can know it again");
    assert_eq!((report.ok, report.succeeded_after_retry), (2, 1));

    let (lines, stamps, _) = run_with_retries(Retry::Blind, &script);
    assert_eq!(lines, ["2 invoke", "2 ok", "2 invoke", "2 ok"]);
    assert_eq!(stamps, [1, 2, 3, 4], "the store cannot");

    let (lines, stamps, report) = run_with_retries(Retry::None, &script);
    assert_eq!(lines, ["2 invoke", "2 fail no-quorum", "2 invoke", "2 info connection"]);
    assert_eq!((stamps, report.succeeded_after_retry), (vec![1, 2], 0));
}

#[test]
fn an_operation_that_may_have_happened_never_ends_as_failed() {
    let script = [Act::Lose, Act::Refuse, Act::BeUnreachable, Act::Refuse, Act::Refuse];
    let (lines, ..) = run_with_retries(Retry::Blind, &script);
    assert_eq!(lines[..2], ["2 invoke", "2 info connection"]);
}
