//! Puts per second of the Raft store: three real node processes on loopback, their data on tmpfs, the trace on, and 64 clients that
//! each wait for an answer, which comes after an fsync on a majority, before they ask again.
//!
//! `cargo bench -p squall-node --bench raft_puts`; seconds and clients may follow behind `--`. Prints what was reached and the CPU time
//! that a put took, which says what the machine can do even while others use it. Compare figures of one machine only.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on panics")]

use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

const HOST: Ipv4Addr = Ipv4Addr::new(127, 79, 0, 1);
const WARM_UP: Duration = Duration::from_secs(1);

/// Ended with the bench.
struct Nodes(Vec<Child>);

impl Drop for Nodes {
    fn drop(&mut self) {
        for node in &mut self.0 {
            let _ = node.kill();
            let _ = node.wait();
        }
    }
}

fn start_nodes(folder: &Path) -> (Nodes, Vec<SocketAddr>) {
    let listeners: Vec<_> = (0..3).map(|_| TcpListener::bind((HOST, 0)).unwrap()).collect();
    let addresses: Vec<SocketAddr> = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
    drop(listeners);
    let nodes = (0..3).map(|node| {
        let name = format!("n{}", node + 1);
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall-node"));
        command.args(["raft", "--id", &name, "--listen", &addresses[node].to_string()]);
        for (place, address) in addresses.iter().enumerate() {
            command.args(["--peer", &format!("n{}={address}", place + 1)]);
        }
        command
            .arg("--data")
            .arg(folder.join(&name))
            .arg("--trace")
            .arg(folder.join(format!("{name}.trace")));
        command.stderr(Stdio::null()).spawn().unwrap()
    });
    (Nodes(nodes.collect()), addresses)
}

/// CPU time that a process has used, in us: user and system, the 14th and 15th field of its stat, in ticks of 10 ms (proc_pid_stat(5)).
fn cpu_us(pid: &str) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().unwrap())
        .sum();
    ticks * 10_000
}

async fn ask(stream: &mut TcpStream, body: &str, buffer: &mut Vec<u8>) -> Value {
    let text = format!(r#"{{"v":1,"header":{{"id":1}},"body":{body}}}"#);
    buffer.clear();
    buffer.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
    buffer.extend_from_slice(text.as_bytes());
    stream.write_all(buffer).await.unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).await.unwrap();
    buffer.resize(usize::try_from(u32::from_be_bytes(length)).unwrap(), 0);
    stream.read_exact(buffer).await.unwrap();
    let mut reply: Value = serde_json::from_slice(buffer).unwrap();
    reply["body"].take()
}

async fn leader(addresses: &[SocketAddr]) -> SocketAddr {
    loop {
        for address in addresses {
            if let Ok(mut stream) = TcpStream::connect(address).await {
                let status = ask(&mut stream, r#"{"status":{}}"#, &mut Vec::new()).await;
                if status["status"]["role"] == "leader" {
                    return *address;
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One client: counts acknowledged puts and their latency, in us, between the two instants.
async fn put_on(address: SocketAddr, number: usize, from: Instant, until: Instant, done: Rc<Cell<u64>>, latencies: Rc<RefCell<Vec<u64>>>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = Vec::new();
    for value in 0_u64.. {
        let begun = Instant::now();
        if begun >= until {
            return;
        }
        let body = format!(r#"{{"put":{{"key":"k{}","value":"{number}-{value}"}}}}"#, value % 16);
        let reply = ask(&mut stream, &body, &mut buffer).await;
        assert!(reply["stored"].is_object(), "{reply}");
        let ended = Instant::now();
        if begun >= from && ended < until {
            done.set(done.get() + 1);
            latencies.borrow_mut().push(u64::try_from((ended - begun).as_micros()).unwrap());
        }
    }
}

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|word| word.parse::<u64>().ok());
    let seconds = numbers.next().unwrap_or(5);
    let clients = usize::try_from(numbers.next().unwrap_or(64)).unwrap();
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let (nodes, addresses) = start_nodes(folder.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (done, latencies) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(Vec::new())));
    runtime.block_on(LocalSet::new().run_until(async {
        let address = leader(&addresses).await;
        let from = Instant::now() + WARM_UP;
        let until = from + Duration::from_secs(seconds);
        let tasks: Vec<_> = (0..clients)
            .map(|number| tokio::task::spawn_local(put_on(address, number, from, until, Rc::clone(&done), Rc::clone(&latencies))))
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    }));
    // Both counted from the start of the processes, the puts without the warm-up: a little too much per put.
    let nodes_us: u64 = nodes.0.iter().map(|node| cpu_us(&node.id().to_string())).sum();
    let clients_us = cpu_us("self");
    let puts = done.get().max(1);
    let mut latencies = latencies.take();
    latencies.sort_unstable();
    let at = |part: usize| latencies[(latencies.len() - 1) * part / 1000];
    let line = format!(
        "{} puts/s with {clients} clients over {seconds} s; latency in us: median {}, 99 % {}, 99.9 % {}; CPU per put in us: \
         nodes {}, clients {}\n",
        done.get() / seconds,
        at(500),
        at(990),
        at(999),
        nodes_us / puts,
        clients_us / puts
    );
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}
