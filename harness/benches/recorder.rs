//! How many operations per second can be recorded? A store that answers at once, through the same generator, client loop and recorder as
//! a real run; every line must be in the file, and the file must be judged linearizable.
//!
//! Wanted: at least 200,000 operations per second on 2 cores; the peers' documented figure is 18,000 to 20,000 (Jepsen, `generator.clj`).
#![allow(clippy::print_stdout)]

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use squall::record::{Recorder, RunClock, Tapped, TappedLine, tap};
use squall::run::client_thread::ClientThread;
use squall::run::clients::{ClientReport, Driver, Seat, Settings, drive_client};
use squall_checker::history::History;
use squall_checker::history::operation::Outcome as Judged;
use squall_checker::linearizability;
use squall_checker::online::Online;
use squall_checker::verdict::Verdict;
use squall_workloads::{Argument, BoxFuture, Client, ErrorNote, Function, Kind, Operation, Options, Outcome, Retry, Seen, Stamp, Workload};
use tokio::sync::watch;

const WANTED_PER_S: f64 = 200_000.0;
const CLIENTS: u32 = 10;
const LOAD: Duration = Duration::from_secs(1);

/// Registers in memory, each change under one lock: linearizable by construction.
type Registers = Arc<Mutex<HashMap<Arc<str>, i64>>>;

/// Answers at once.
struct NullClient(Registers);

impl Client for NullClient {
    fn prepare<'a>(&'a mut self, _operation: &'a Operation, _stamp: Stamp, _deadline: Duration) -> BoxFuture<'a, Result<(), ErrorNote>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn perform<'a>(&'a mut self, operation: &'a Operation, _deadline: Duration) -> BoxFuture<'a, Outcome> {
        let mut registers = self.0.lock().expect("no holder of this lock panics");
        let seen = match (operation.f, operation.argument) {
            (Function::Write, Argument::Value(value)) => {
                registers.insert(Arc::clone(&operation.key), value);
                Seen::Nothing
            }
            _ => registers.get(&operation.key).copied().map_or(Seen::Nothing, Seen::Number),
        };
        Box::pin(std::future::ready(Outcome::Ok(seen)))
    }

    fn node(&self) -> &str {
        "n1"
    }

    fn abandon(&mut self) {}
}

fn main() {
    let folder = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("the build folder can be written");
    let path = folder.path().join("history.jsonl");
    let header =
        serde_json::from_str(r#"{"squall_history":1,"run":"bench","system":"registers in memory","nodes":["n1"],"workload":"register"}"#)
            .expect("every other field has a default");
    let recorder = Recorder::create(&path, &header, RunClock::start()).expect("the folder is empty");
    measure(recorder, &path);

    std::fs::remove_file(&path).expect("it was just judged");
    let (tap, tapped) = tap();
    let check = std::thread::spawn(move || check_online(&tapped));
    let recorder = Recorder::create_tapped(&path, &header, RunClock::start(), tap).expect("the folder is empty");
    println!("and with the online check beside it:");
    measure(recorder, &path);
    println!("online    {}", check.join().expect("the check does not panic"));
}

/// Takes what the tap gives; what became of it.
fn check_online(tapped: &Tapped) -> String {
    let mut online = Online::new(100_000_000);
    let mut completed = 0_u64;
    while let Some(line) = tapped.next() {
        match line {
            TappedLine::Invoke {
                index,
                process,
                key,
                asked,
                time_ns,
            } => online.invoke(process, index as u32, Some(key), asked, time_ns),
            TappedLine::Complete { process, ended, time_ns } => {
                completed += 1;
                let violation = online.complete(process, ended, time_ns);
                assert_eq!(violation, None, "the registers are linearizable");
            }
        }
    }
    assert_eq!(online.newly_left(), [], "every key is checked");
    let end = if tapped.fell_behind() {
        "then it fell behind"
    } else {
        "all of them"
    };
    format!("{completed:>10} operations checked, {end}; {:?}", online.size())
}

fn measure(recorder: Recorder, path: &Path) {
    let began = Instant::now();
    let report = load(&recorder);
    let recorded = recorder.close().expect("the file can be written");
    let took = began.elapsed();
    let per_s = report.operations() as f64 / took.as_secs_f64();
    println!(
        "recorded  {:>10} operations in {:.2} s, the last byte durable",
        report.operations(),
        took.as_secs_f64()
    );
    println!("rate      {per_s:>10.0} operations per second (wanted: {WANTED_PER_S})");
    println!("file      {:>10.1} MB, {} lines", recorded.bytes as f64 / 1e6, recorded.events);
    assert_eq!(recorded.events, 2 * report.operations(), "both lines of every operation");
    assert_eq!(recorded.bytes, path.metadata().expect("it was closed").len());

    judge(path, &report);
    assert!(per_s >= WANTED_PER_S, "{per_s:.0} operations per second, {WANTED_PER_S} are wanted");
}

/// Ten clients in a closed loop.
fn load(recorder: &Recorder) -> ClientReport {
    let thread = ClientThread::start().expect("a thread can be started");
    let workload = Workload::new(
        Kind::Register,
        Options {
            clients: CLIENTS,
            rate: 0,
            seed: 7,
            ..Options::default()
        },
    )
    .expect("the options are sound");
    let registers = Registers::default();
    let (stopper, stop) = watch::channel(false);
    let waiting = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime can be built");
    waiting.block_on(async {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let seat = Seat { number, of: CLIENTS };
                let settings = Settings {
                    retry: Retry::None,
                    operation_timeout: Duration::from_secs(1),
                    seed: 7,
                };
                let driver = Driver::new(Box::new(NullClient(Arc::clone(&registers))), recorder.pen(), seat, settings);
                thread.spawn(drive_client(driver, workload.generator(number), 0, stop.clone()))
            })
            .collect();
        tokio::time::sleep(LOAD).await;
        stopper.send(true).expect("clients listen");
        let mut report = ClientReport::default();
        for client in clients {
            report.add(client.await.expect("no client panics"));
        }
        report
    })
}

fn judge(path: &Path, report: &ClientReport) {
    let began = Instant::now();
    let file = BufReader::with_capacity(1 << 20, File::open(path).expect("it was closed"));
    let history = History::read(file).expect("it is a history");
    let ok = history
        .operations
        .iter()
        .filter(|operation| operation.outcome == Judged::Ok)
        .count();
    assert_eq!(ok as u64, report.ok, "every operation is in the file, with both its lines");
    let results = linearizability::check(&history);
    let verdict = Verdict::merge(results.iter().map(|result| result.verdict));
    println!(
        "judged    {:>10} keys in {:.2} s: {verdict}",
        results.len(),
        began.elapsed().as_secs_f64()
    );
    assert_eq!(verdict, Verdict::Valid);
}
