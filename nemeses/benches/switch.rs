//! What the user-space network costs and how exact it is: `cargo bench -p squall-nemeses --bench switch`.
//!
//! First figures of whole networks, by programs of our own over UDP and TCP, the kernel's star beside the switch; the figures to hold are those of issue 5:
//! at least 8 Gbit/s in large sends, less than 20 us added one way at the median, 50 ms within 50.0 and 50.3 ms at the 99th percentile, 10 % loss
//! within its binomial interval over 10 000 packets, cut and heal below 0.2 ms at the median. Then, by divan, what a change and a question cost.

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use squall_nemeses::effect::{Flow, Meter};
use squall_nemeses::link::{Pair, Quality};
use squall_nemeses::switch::Switch;
use support::Star;

const MARK: &str = "SQUALL_SWITCH_BENCH";
const STREAM: Duration = Duration::from_secs(2);
const DATAGRAMS: u32 = 5000;
const ROUNDS: usize = 101;

/// What divan measures with.
static SWITCH: OnceLock<Switch> = OnceLock::new();

fn main() {
    if std::env::var_os(MARK).is_none() {
        let mut again = Command::new(std::env::current_exe().expect("this program has a path"));
        again.args(std::env::args_os().skip(1)).env(MARK, "1");
        let status = support::in_namespaces(&mut again).status().expect("namespaces can be made");
        std::process::exit(status.code().unwrap_or(1));
    }
    {
        let star = Star::new(2);
        print_line(&format!("kernel  {}", plain(&star)));
        // A switch without ends: the same kernel's star, and CPUs that stay awake as they do beside any switch.
        let _awake = Switch::open(&[], Ipv4Addr::LOCALHOST, 7).expect("it needs nothing");
        print_line(&format!("kernel  {}; idle CPUs kept awake, as by the switch", plain(&star)));
    }
    let (star, switch) = Star::switched(5, 7).expect("TUN devices can be had");
    print_line(&format!("switch  {}", plain(&star)));
    exactness(&star, &switch);
    changes(&star, &switch);
    SWITCH.get_or_init(|| switch);
    divan::main();
}

/// Latency and throughput between n1 and n2.
fn plain(star: &Star) -> String {
    let times = one_way(star, DATAGRAMS, Duration::from_micros(200));
    let at = |percent: usize| times[times.len() * percent / 100] as f64 / 1000.0;
    let first = stream(star);
    format!(
        "one way p50 {:.1} us, p99 {:.1} us ({} datagrams); one TCP stream {first:.1} Gbit/s",
        at(50),
        at(99),
        times.len()
    )
}

/// Times one way in nanoseconds, sorted: a thread that sends and one that waits in recv.
fn one_way(star: &Star, n: u32, spacing: Duration) -> Vec<u64> {
    let receiver = star.at("n2", || UdpSocket::bind((star.address("n2"), 4001)).expect("the port is free"));
    let sender = star.at("n1", || UdpSocket::bind((star.address("n1"), 0)).expect("a port is free"));
    sender.connect((star.address("n2"), 4001)).expect("UDP connects to anything");
    receiver
        .set_read_timeout(Some(Duration::from_secs(1)))
        .expect("a timeout can be set");
    let start = Instant::now();
    let now_ns = || start.elapsed().as_nanos() as u64;
    let mut times = std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..n {
                while Instant::now() < start + spacing * number {
                    std::thread::sleep(spacing / 4);
                }
                sender.send(&now_ns().to_be_bytes()).expect("the network is up");
            }
        });
        let mut times = Vec::new();
        let mut stamp = [0; 8];
        while times.len() < n as usize && receiver.recv(&mut stamp).is_ok() {
            times.push(now_ns() - u64::from_be_bytes(stamp));
        }
        times
    });
    times.sort_unstable();
    times
}

/// Gbit/s of payload that one stream carries.
fn stream(star: &Star) -> f64 {
    let listener = star.at("n2", || TcpListener::bind((star.address("n2"), 4002)).expect("the port is free"));
    let mut client = star.at("n1", || TcpStream::connect((star.address("n2"), 4002)).expect("n2 listens"));
    let (mut server, _) = listener.accept().expect("n1 connects");
    let start = Instant::now();
    let bytes = std::thread::scope(|scope| {
        scope.spawn(move || {
            let block = vec![7; 128 << 10];
            while start.elapsed() < STREAM {
                client.write_all(&block).expect("n2 reads");
            }
        });
        let (mut block, mut bytes) = (vec![0; 256 << 10], 0);
        loop {
            match server.read(&mut block).expect("n1 writes") {
                0 => break bytes,
                n => bytes += n,
            }
        }
    });
    bytes as f64 * 8.0 / start.elapsed().as_secs_f64() / 1e9
}

fn exactness(star: &Star, switch: &Switch) {
    let there = Pair::new("n1", "n2");
    let apply = |quality: Quality| switch.apply(&BTreeMap::from([(there.clone(), quality)])).expect("the switch lives");
    apply(Quality {
        delay_us: 50_000,
        ..Quality::default()
    });
    let times = one_way(star, 2000, Duration::from_millis(1));
    let at = |permille: usize| times[(times.len() * permille / 1000).min(times.len() - 1)] as f64 / 1e6;
    print_line(&format!(
        "50 ms delay: min {:.3}, p50 {:.3}, p99 {:.3}, max {:.3} ms",
        at(0),
        at(500),
        at(990),
        at(1000)
    ));
    apply(Quality {
        loss_ppm: 100_000,
        ..Quality::default()
    });
    let flow = Flow {
        n: 10_000,
        bytes: 100,
        spacing: Duration::from_micros(20),
        patience: Duration::from_millis(200),
    };
    let mut meter = Meter::open(&star.targets).expect("the ends are there");
    let seen = meter.measure([there.clone()], flow).expect("the ends are there");
    print_line(&format!(
        "10 % loss: {} of 10000 lost (95 % interval 941 to 1059)",
        seen[&there].lost()
    ));
    switch.apply(&BTreeMap::new()).expect("the switch lives");
}

/// From the command to the last datagram that passes a cut, and to the first after a heal.
fn changes(star: &Star, switch: &Switch) {
    let receiver = star.at("n2", || UdpSocket::bind((star.address("n2"), 4003)).expect("the port is free"));
    let sender = star.at("n1", || UdpSocket::bind((star.address("n1"), 0)).expect("a port is free"));
    sender.connect((star.address("n2"), 4003)).expect("UDP connects to anything");
    receiver
        .set_read_timeout(Some(Duration::from_millis(5)))
        .expect("a timeout can be set");
    let (start, stop) = (Instant::now(), AtomicBool::new(false));
    let now_us = || start.elapsed().as_nanos() as u64 / 1000;
    let cut = BTreeMap::from([(Pair::new("n1", "n2"), Quality::cut())]);
    let (mut cuts, mut heals) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // A full buffer is as good as a lost datagram.
                let _ = sender.send(&now_us().to_be_bytes());
                std::thread::sleep(Duration::from_micros(20));
            }
        });
        let mut stamp = [0; 8];
        for _ in 0..ROUNDS {
            receiver.recv(&mut stamp).expect("the link is healthy");
            let asked = now_us();
            switch.apply(&cut).expect("the switch lives");
            let mut last = asked;
            while receiver.recv(&mut stamp).is_ok() {
                last = last.max(u64::from_be_bytes(stamp));
            }
            cuts.push(last - asked);
            let asked = now_us();
            switch.apply(&BTreeMap::new()).expect("the switch lives");
            while receiver.recv(&mut stamp).is_err() {}
            heals.push(now_us() - asked);
        }
        stop.store(true, Ordering::Relaxed);
    });
    print_line(&format!("cut {}   heal {}", median_and_max(cuts), median_and_max(heals)));
}

fn median_and_max(mut values: Vec<u64>) -> String {
    values.sort_unstable();
    format!("median {} us (max {})", values[values.len() / 2], values[values.len() - 1])
}

#[divan::bench]
fn change_of_twenty_links(bencher: divan::Bencher<'_, '_>) {
    let switch = SWITCH.get().expect("main makes it");
    let ids = ["n1", "n2", "n3", "n4", "n5"];
    let pairs = ids
        .iter()
        .flat_map(|from| ids.iter().map(move |to| (from, to)))
        .filter(|(from, to)| from != to);
    let links: BTreeMap<Pair, Quality> = pairs.map(|(from, to)| (Pair::new(*from, *to), Quality::cut())).collect();
    bencher.bench_local(|| switch.apply(&links).expect("the switch lives"));
}

#[divan::bench]
fn counts_of_all_links(bencher: divan::Bencher<'_, '_>) {
    let switch = SWITCH.get().expect("main makes it");
    bencher.bench_local(|| switch.counts().expect("the switch lives"));
}

#[allow(clippy::print_stdout, reason = "the result of a benchmark")]
fn print_line(line: &str) {
    println!("{line}");
}
