//! What every network must do, run against each: who reaches whom, what a cut is, what a heal is, and what bad links do.
//!
//! The networks are the switch and the kernel's with the best that this kernel has for bad links; with `SQUALL_NETEM_ONLY` set it is the kernel's with
//! netem, and nothing else: so the last test runs the others in a User Mode Linux kernel, which has it.
//!
//! A network may refuse a quality; it must then say so and leave the links as they are. It must never take one and do less.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "part of tests, though outside a #[test]")]

#[path = "network_conformance/bad_links.rs"]
mod bad_links;
mod support;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use squall_nemeses::effect::{Flow, Meter, Seen};
use squall_nemeses::link::{CLIENTS, Pair, Quality};
use squall_nemeses::partition::{self, Cuts};
use squall_nemeses::probe::Prober;
use support::wired::{Wired, each_network, netem_only};
use support::{skip, uml};

/// Patience with a loaded machine.
const BOUND: Duration = Duration::from_secs(10);
impl Wired {
    /// What a link from n1 to n2 of this quality does to a flow; `None` if this network refuses it, which is checked.
    fn seen(&self, quality: &Quality, flow: Flow) -> Option<BTreeMap<Pair, Seen>> {
        let (there, back) = (Pair::new("n1", "n2"), Pair::new("n2", "n1"));
        let wanted = BTreeMap::from([(there.clone(), quality.clone())]);
        let mut meter = Meter::open(&self.star.targets).unwrap();
        if !self.takes(quality) {
            let seen = meter.measure([there], flow).unwrap();
            assert!(
                seen.values().all(|seen| seen.lost() == 0),
                "what is refused leaves the link as it was"
            );
            return None;
        }
        let applied = self.network.apply(&wanted).unwrap();
        assert_eq!((applied.back_end, applied.n_bad), (self.network.back_end(), 1));
        assert_eq!(applied.shaping, self.network.shaping());
        let seen = meter.measure([there.clone(), back.clone()], flow).unwrap();
        let untouched = &seen[&back];
        assert_eq!(
            (untouched.lost(), untouched.duplicated(), untouched.overtaken()),
            (0, 0, 0),
            "the way back is another link"
        );

        self.network.apply(&BTreeMap::new()).unwrap();
        let healed = &meter.measure([there.clone()], FLOW).unwrap()[&there];
        assert_eq!(
            (healed.lost(), healed.duplicated(), healed.overtaken(), healed.n_damaged),
            (0, 0, 0, 0)
        );
        assert!(
            quality.delay_us == 0 || healed.median_us().unwrap() < quality.delay_us,
            "{:?}",
            healed.median_us()
        );
        Some(seen)
    }
}

const FLOW: Flow = Flow {
    n: 1000,
    bytes: 100,
    spacing: Duration::from_micros(100),
    patience: Duration::from_secs(1),
};

fn cut_links(cuts: &Cuts) -> BTreeMap<Pair, Quality> {
    cuts.iter().map(|(from, to)| (Pair::new(from, to), Quality::cut())).collect()
}

#[test]
fn everybody_reaches_everybody_and_every_shape_of_a_partition_is_exact() {
    each_network("everybody_reaches_everybody_and_every_shape_of_a_partition_is_exact", 5, |wired| {
        let nodes = wired.nodes();
        let targets: Vec<_> = wired
            .star
            .targets
            .iter()
            .filter(|target| nodes.contains(&target.id))
            .cloned()
            .collect();
        let mut prober = Prober::open(&targets).unwrap();
        let shapes = [
            Cuts::new(),
            partition::halves(&nodes),
            partition::majorities_ring(&nodes),
            partition::bridge(&nodes),
            partition::one_way(&nodes[1..3], &nodes),
            partition::isolate("n4", &nodes),
            partition::cut_coordinator("n5", &nodes[..3]),
            Cuts::new(),
        ];
        for cuts in shapes {
            let applied = wired.network.apply(&cut_links(&cuts)).unwrap();
            assert_eq!((applied.n_cuts, applied.n_bad), (cuts.len(), 0));
            let report = prober.prove(&cuts, BOUND).unwrap();
            assert!(report.ok, "{}: {cuts:?}: {report:?}", wired.network.kind());
        }
    });
}

#[test]
fn counts_what_a_cut_dropped() {
    each_network("counts_what_a_cut_dropped", 2, |wired| {
        let there = Pair::new("n1", "n2");
        wired.apply(&[("n1", "n2", &Quality::cut())]);
        let mut meter = Meter::open(&wired.star.targets).unwrap();
        let flow = Flow {
            n: 20,
            patience: Duration::from_millis(20),
            ..FLOW
        };
        assert_eq!(meter.measure([there.clone()], flow).unwrap()[&there].lost(), 20);
        assert_eq!(wired.network.dropped().unwrap(), Some(BTreeMap::from([(there, 20)])));
    });
}

#[test]
fn a_connection_stalls_silently_in_a_cut_and_goes_on_after_the_heal() {
    each_network("a_connection_stalls_silently_in_a_cut_and_goes_on_after_the_heal", 2, |wired| {
        let star = &wired.star;
        let listener = star.at("n2", || TcpListener::bind((star.address("n2"), 4000)).unwrap());
        let mut client = star.at("n1", || TcpStream::connect((star.address("n2"), 4000)).unwrap());
        let (mut server, _) = listener.accept().unwrap();
        server.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        wired.apply(&[("n1", "n2", &Quality::cut()), ("n2", "n1", &Quality::cut())]);
        client.write_all(b"during the cut").unwrap();
        assert_eq!(server.read(&mut [0; 64]).unwrap_err().kind(), ErrorKind::WouldBlock);
        wired.apply(&[]);
        server.set_read_timeout(Some(BOUND)).unwrap();
        assert_eq!(server.read(&mut [0; 64]).unwrap(), b"during the cut".len());
    });
}

#[test]
fn carries_a_stream_in_large_sends_unharmed() {
    each_network("carries_a_stream_in_large_sends_unharmed", 2, |wired| {
        let star = &wired.star;
        let listener = star.at("n2", || TcpListener::bind((star.address("n2"), 4000)).unwrap());
        let mut client = star.at("n1", || TcpStream::connect((star.address("n2"), 4000)).unwrap());
        let (mut server, _) = listener.accept().unwrap();
        let sent: Vec<u8> = (0..8u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let received = std::thread::scope(|scope| {
            scope.spawn(|| {
                client.write_all(&sent).unwrap();
                client.shutdown(std::net::Shutdown::Write).unwrap();
            });
            let mut received = Vec::new();
            server.set_read_timeout(Some(BOUND)).unwrap();
            server.read_to_end(&mut received).unwrap();
            received
        });
        assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
    });
}

#[test]
fn clients_are_cut_from_a_node_that_the_others_reach() {
    each_network("clients_are_cut_from_a_node_that_the_others_reach", 2, |wired| {
        let links = [(CLIENTS, "n1"), ("n1", CLIENTS), (CLIENTS, "n2"), ("n1", "n2"), ("n2", "n1")];
        let links = links.map(|(from, to)| Pair::new(from, to));
        wired.apply(&[(CLIENTS, "n1", &Quality::cut()), ("n1", CLIENTS, &Quality::cut())]);
        let mut meter = Meter::open(&wired.star.targets).unwrap();
        let flow = Flow {
            n: 20,
            patience: Duration::from_millis(50),
            ..FLOW
        };
        let seen = meter.measure(links.clone(), flow).unwrap();
        assert_eq!(links.clone().map(|pair| seen[&pair].arrived()), [0, 0, 20, 20, 20]);
        wired.apply(&[]);
        let seen = meter.measure(links.clone(), FLOW).unwrap();
        assert!(links.iter().all(|pair| seen[pair].lost() == 0));
    });
}

/// What the star, netem and the packet filter need of a kernel that loads nothing by itself.
const MODULES: [&str; 15] = [
    "veth",
    "sch_htb",
    "sch_tbf",
    "sch_netem",
    "cls_u32",
    "iptable_filter",
    "nf_tables",
    "xt_tcpudp",
    "xt_multiport",
    "xt_length",
    "ipt_REJECT",
    "xt_connmark",
    "xt_statistic",
    "xt_NFQUEUE",
    "nfnetlink_queue",
];

#[test]
fn real_netem_passes_this_suite() {
    let test = "real_netem_passes_this_suite";
    if uml::is_init() {
        uml::set_up(&MODULES);
        let mut suite = std::process::Command::new(std::env::current_exe().unwrap());
        suite.args(["--skip", test, "--nocapture", "--test-threads=1"]);
        suite
            .env("SQUALL_NETEM_ONLY", "1")
            .env("CI", "true")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let status = suite.status().unwrap();
        println!("the suite ended with {status}");
        uml::switch_off();
    }
    if netem_only() {
        return println!("this is netem already");
    }
    let Some(kernel) = uml::kernel() else {
        return skip(test, "there is no `linux.uml`; install the package `user-mode-linux`");
    };
    let text = uml::boot(&kernel, test);
    assert!(text.contains("the suite ended with exit status: 0"), "{text}");
    assert!(text.contains("measured on netem") && !text.contains("emulated"), "{text}");
    let passed = text
        .lines()
        .filter(|line| line.starts_with("test result: ok.") && !line.contains(" 0 passed"));
    assert_eq!(passed.count(), 1, "{text}");
    let measured = text.lines().filter_map(|line| line.find("measured ").map(|start| &line[start..]));
    measured.for_each(|line| println!("{line}, in User Mode Linux"));
}
