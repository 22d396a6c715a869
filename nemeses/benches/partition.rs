//! How long a partition takes from the command to its effect, and a heal to the first packet: `cargo bench -p squall-nemeses`.
//!
//! One of five nodes is isolated while a datagram with its own time of sending leaves it every 50 us. The effect is the last datagram
//! that got through; the heal is the first that does again. The figure to hold is 10 ms for the median (issue 2).

#[path = "../tests/support/mod.rs"]
mod support;

use std::net::UdpSocket;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use squall_nemeses::links::{AddressCuts, BackEnd, Links};
use squall_nemeses::partition;
use squall_nemeses::probe::Prober;
use squall_nemeses::program_folders;
use support::Star;

const MARK: &str = "SQUALL_NEMESES_BENCH";
const ROUNDS: usize = 51;
const SPACING: Duration = Duration::from_micros(50);
/// Longer than any datagram is on its way.
const SETTLE: Duration = Duration::from_millis(5);
const BOUND: Duration = Duration::from_secs(10);

fn main() {
    if std::env::var_os(MARK).is_none() {
        let mut again = Command::new(std::env::current_exe().expect("this program has a path"));
        let status = support::in_namespaces(again.env(MARK, "1"))
            .status()
            .expect("namespaces can be made");
        std::process::exit(status.code().unwrap_or(1));
    }
    for back_end in BackEnd::OF_ROUTER {
        let star = Star::new(5);
        match Links::open(&star.router, Some(back_end), &program_folders()) {
            Ok(links) => measure(&star, &links),
            Err(error) => print_line(&error.to_string()),
        }
    }
}

fn measure(star: &Star, links: &Links) {
    let cuts = partition::isolate("n1", &star.ids());
    let pairs: AddressCuts = cuts.iter().map(|(from, to)| (star.address(from), star.address(to))).collect();
    let mut prober = Prober::open(&star.targets).expect("the star is there");
    let flow = Flow::new(star);
    let [mut command, mut effect, mut proof, mut heal] = [const { Vec::new() }; 4];
    std::thread::scope(|scope| {
        scope.spawn(|| flow.send());
        scope.spawn(|| flow.receive());
        for _ in 0..ROUNDS {
            flow.first_after(flow.now_us());
            flow.log().clear();
            let asked = flow.now_us();
            links.apply(&pairs).expect("the back end was tried out");
            command.push(flow.now_us() - asked);
            let report = prober.prove(&cuts, BOUND).expect("the nodes are there");
            assert!(report.ok, "{report:?}");
            proof.push(report.took_us);
            let settled = Instant::now() + SETTLE;
            while Instant::now() < settled {
                std::thread::sleep(SPACING);
            }
            effect.push(flow.last_sent_us().saturating_sub(asked));
            let asked = flow.now_us();
            links.apply(&AddressCuts::new()).expect("the back end was tried out");
            heal.push(flow.first_after(asked) - asked);
        }
        flow.stop.store(true, Ordering::Relaxed);
    });
    let figures = [("command", command), ("effect", effect), ("proof", proof), ("heal", heal)];
    let text: Vec<String> = figures
        .into_iter()
        .map(|(name, values)| format!("{name} {}", median_and_max(values)))
        .collect();
    print_line(&format!("{:<16}{}", links.back_end().name(), text.join("   ")));
}

/// Datagrams from n1 to n2 that carry their time of sending.
struct Flow {
    sender: UdpSocket,
    receiver: UdpSocket,
    start: Instant,
    /// Of each one that arrived: when it was sent, when it arrived.
    arrived_us: Mutex<Vec<(u64, u64)>>,
    stop: AtomicBool,
}

impl Flow {
    fn new(star: &Star) -> Flow {
        let receiver = star.at("n2", || UdpSocket::bind((star.address("n2"), 4000)).expect("the port is free"));
        receiver.set_read_timeout(Some(SETTLE)).expect("a timeout can be set");
        let sender = star.at("n1", || UdpSocket::bind((star.address("n1"), 0)).expect("a port is free"));
        sender.connect((star.address("n2"), 4000)).expect("UDP connects to anything");
        Flow {
            sender,
            receiver,
            start: Instant::now(),
            arrived_us: Mutex::default(),
            stop: AtomicBool::new(false),
        }
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).expect("a benchmark ends before 584 542 years")
    }

    fn send(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            // A full buffer is as good as a lost datagram.
            let _ = self.sender.send(&self.now_us().to_be_bytes());
            std::thread::sleep(SPACING);
        }
    }

    fn receive(&self) {
        let mut stamp = [0; 8];
        while !self.stop.load(Ordering::Relaxed) {
            if self.receiver.recv(&mut stamp).is_ok() {
                self.log().push((u64::from_be_bytes(stamp), self.now_us()));
            }
        }
    }

    fn log(&self) -> MutexGuard<'_, Vec<(u64, u64)>> {
        self.arrived_us.lock().expect("no holder of this lock panics")
    }

    /// When the last one that arrived was sent.
    fn last_sent_us(&self) -> u64 {
        self.log().last().map_or(0, |(sent_us, _)| *sent_us)
    }

    /// Waits for one that was sent after `moment_us`, and returns when it arrived.
    fn first_after(&self, moment_us: u64) -> u64 {
        loop {
            if let Some((_, arrived_us)) = self.log().iter().find(|(sent_us, _)| *sent_us > moment_us) {
                return *arrived_us;
            }
            std::thread::sleep(SPACING);
        }
    }
}

fn median_and_max(mut values: Vec<u64>) -> String {
    values.sort_unstable();
    format!("{:>5} us (max {:>6})", values[values.len() / 2], values[values.len() - 1])
}

#[allow(clippy::print_stdout, reason = "the result of a benchmark")]
fn print_line(line: &str) {
    println!("{line}");
}
