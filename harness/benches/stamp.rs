//! How much longer is a recorded interval than the time its request was really on the wire? An echo server on loopback measures how long it
//! holds each reply, ten clients ask it a thousand times per second in all, and the file is compared with what the server knows.
//!
//! Wanted: less than 50 us in the median. What is left is the loopback's own way and the wake-up of the client.
#![allow(clippy::print_stdout)]

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use squall::record::{Recorder, RunClock};
use squall::run::client_thread::ClientThread;
use squall::run::clients::{Driver, Seat, Settings, drive_client};
use squall_checker::history::History;
use squall_checker::history::operation::{Function, Outcome as Judged};
use squall_workloads::{Argument, BoxFuture, Client, ErrorNote, Kind, Operation, Options, Outcome, Retry, Seen, Stamp, Workload};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

const WANTED_US: f64 = 50.0;
const CLIENTS: u32 = 10;
const RATE: u32 = 1_000;
const LOAD: Duration = Duration::from_secs(5);

/// How long each value was held, in nanoseconds, measured by the server.
type Held = HashMap<i64, u64>;

/// Sends the value of each write and awaits it back; reads are sent as 0.
struct EchoClient {
    server: SocketAddr,
    stream: Option<tokio::net::TcpStream>,
}

impl Client for EchoClient {
    fn prepare<'a>(&'a mut self, _operation: &'a Operation, _stamp: Stamp, _deadline: Duration) -> BoxFuture<'a, Result<(), ErrorNote>> {
        Box::pin(async move {
            if self.stream.is_none() {
                let connected = tokio::net::TcpStream::connect(self.server).await;
                let stream = connected.map_err(|error| ErrorNote::new("unreachable", error.to_string()))?;
                stream
                    .set_nodelay(true)
                    .map_err(|error| ErrorNote::new("socket", error.to_string()))?;
                self.stream = Some(stream);
            }
            Ok(())
        })
    }

    fn perform<'a>(&'a mut self, operation: &'a Operation, _deadline: Duration) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let stream = self.stream.as_mut().expect("it was prepared");
            let mut buffer = match operation.argument {
                Argument::Value(value) => value.to_be_bytes(),
                _ => [0; 8],
            };
            let echoed = async {
                stream.write_all(&buffer).await?;
                stream.read_exact(&mut buffer).await
            };
            match echoed.await {
                Ok(_) => Outcome::Ok(Seen::Nothing),
                Err(error) => Outcome::Unknown(ErrorNote::new("connection", error.to_string())),
            }
        })
    }

    fn node(&self) -> &str {
        "n1"
    }

    fn abandon(&mut self) {
        self.stream = None;
    }
}

/// One request that waits for its reply.
struct Holding {
    value: i64,
    received: Instant,
    until: Instant,
}

/// Holds every reply between half a millisecond and two. It never sleeps, so that its own wake-ups are not taken for ours. Ends when all
/// clients have left.
fn echo(listener: &TcpListener) -> Held {
    let mut streams: Vec<(TcpStream, Option<Holding>)> = (0..CLIENTS)
        .map(|_| {
            let (stream, _) = listener.accept().expect("clients connect");
            stream.set_nodelay(true).expect("a connected socket takes options");
            stream.set_nonblocking(true).expect("a connected socket takes options");
            (stream, None)
        })
        .collect();
    let mut held = Held::new();
    while !streams.is_empty() {
        streams.retain_mut(|(stream, holding)| match holding {
            Some(request) if Instant::now() >= request.until => {
                let held_ns = request.received.elapsed().as_nanos();
                held.insert(request.value, u64::try_from(held_ns).expect("not centuries"));
                let sent = stream.write_all(&request.value.to_be_bytes());
                *holding = None;
                sent.is_ok()
            }
            Some(_) => true,
            None => receive(stream, holding),
        });
    }
    held
}

/// Looks for a request; false when the client has left.
fn receive(stream: &mut TcpStream, holding: &mut Option<Holding>) -> bool {
    let mut buffer = [0u8; 8];
    match stream.read(&mut buffer) {
        Ok(8) => {
            let (received, value) = (Instant::now(), i64::from_be_bytes(buffer));
            let hold = Duration::from_micros(500 + value.unsigned_abs() * 37 % 1_500);
            *holding = Some(Holding {
                value,
                received,
                until: received + hold,
            });
            true
        }
        Ok(0) => false,
        Ok(_) => panic!("loopback tore eight bytes apart"),
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

fn main() {
    let folder = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("the build folder can be written");
    let path = folder.path().join("history.jsonl");
    let header = serde_json::from_str(r#"{"squall_history":1}"#).expect("every other field has a default");
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let address = listener.local_addr().expect("it is bound");
    let server = std::thread::spawn(move || echo(&listener));
    let recorder = Recorder::create(&path, &header, RunClock::start()).expect("the folder is empty");
    load(&recorder, address);
    recorder.close().expect("the file can be written");
    let held = server.join().expect("the server does not panic");

    let mut excess_ns = excess(&path, &held);
    excess_ns.sort_unstable();
    let n = excess_ns.len();
    assert!(n >= 1_000, "only {n} writes were measured");
    let us = |permille: usize| excess_ns[(n - 1) * permille / 1000] as f64 / 1e3;
    println!("recorded interval minus time held by the server, {n} operations, {CLIENTS} clients, {RATE} per second in all");
    println!("median {:>8.1} us (wanted: under {WANTED_US})", us(500));
    println!("p90    {:>8.1} us", us(900));
    println!("p99    {:>8.1} us", us(990));
    println!("least  {:>8.1} us", us(0));
    assert!(excess_ns[0] >= 0, "an interval is shorter than what it contains");
    assert!(us(500) < WANTED_US, "the median is {:.1} us, under {WANTED_US} is wanted", us(500));
}

fn load(recorder: &Recorder, server: SocketAddr) {
    let thread = ClientThread::start().expect("a thread can be started");
    // Writes only: each names itself by its value.
    let options = Options {
        clients: CLIENTS,
        rate: RATE,
        reads_percent: 0,
        seed: 7,
        ..Options::default()
    };
    let workload = Workload::new(Kind::Register, options).expect("the options are sound");
    let (stopper, stop) = watch::channel(false);
    let waiting = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime can be built");
    waiting.block_on(async {
        let began_ns = recorder.pen().clock().now_ns();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let settings = Settings {
                    retry: Retry::None,
                    operation_timeout: Duration::from_secs(1),
                    seed: 7,
                };
                let client = Box::new(EchoClient { server, stream: None });
                let driver = Driver::new(client, recorder.pen(), Seat { number, of: CLIENTS }, settings);
                thread.spawn(drive_client(driver, workload.generator(number), began_ns, stop.clone()))
            })
            .collect();
        tokio::time::sleep(LOAD).await;
        stopper.send(true).expect("clients listen");
        for client in clients {
            client.await.expect("no client panics");
        }
    });
}

/// For each write, its recorded interval minus the time the server held it, in nanoseconds.
fn excess(path: &Path, held: &Held) -> Vec<i64> {
    let file = BufReader::new(File::open(path).expect("it was closed"));
    let history = History::read(file).expect("it is a history");
    let writes = history
        .operations
        .iter()
        .filter(|operation| operation.f == Function::Write && operation.outcome == Judged::Ok);
    writes
        .map(|write| {
            let value = write.argument.integer().expect("every value is a number");
            let interval_ns = write.returned_ns().expect("it is ok") - write.invoked_ns;
            i64::try_from(interval_ns).expect("not centuries") - i64::try_from(held[&value]).expect("not centuries")
        })
        .collect()
}
