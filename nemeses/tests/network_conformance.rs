//! What every network must do, run against each: who reaches whom, what a cut is, what a heal is, and what bad links do.
//!
//! The networks are the switch and the kernel's with the best that this kernel has for bad links; with `SQUALL_NETEM_ONLY` set it is the kernel's with
//! netem, and nothing else: so the last test runs the others in a User Mode Linux kernel, which has it.
//!
//! A network may refuse a quality; it must then say so and leave the links as they are. It must never take one and do less.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "part of tests, though outside a #[test]")]

mod support;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use squall_nemeses::effect::{Flow, LinkProber, Meter, Seen, Turn};
use squall_nemeses::link::{Burst, CLIENTS, Gate, Pair, Quality, Rate, Reorder};
use squall_nemeses::links::{Links, Shaping};
use squall_nemeses::partition::{self, Cuts};
use squall_nemeses::probe::Prober;
use squall_nemeses::{KernelNetwork, Network, NetworkKind, program_folders};
use support::{Star, inside, skip, uml};

/// Patience with a loaded machine.
const BOUND: Duration = Duration::from_secs(10);
const SEED: u64 = 7;

/// A network of `n` nodes and its parts.
struct Built {
    star: Star,
    network: Box<dyn Network>,
}

impl Built {
    fn new(test: &str, kind: NetworkKind, n: u8) -> Option<Built> {
        match kind {
            NetworkKind::Kernel => {
                let star = Star::with_clients(n);
                let links = Links::open(&star.router, None, &program_folders()).unwrap();
                let choice = netem_only().then_some(Shaping::Netem);
                let start = Instant::now();
                let network = KernelNetwork::shaped(links, &star.targets, choice, SEED).unwrap();
                let by = network.shaping().unwrap().describe();
                println!("measured on {by}, ready in {} us", start.elapsed().as_micros());
                Some(Built {
                    star,
                    network: Box::new(network),
                })
            }
            NetworkKind::Switch => {
                if let Err(error) = squall_nemeses::switch::can_open() {
                    skip(test, &error.to_string());
                    return None;
                }
                let (star, switch) = Star::switched(n, SEED).unwrap();
                Some(Built {
                    star,
                    network: Box::new(switch),
                })
            }
        }
    }

    fn nodes(&self) -> Vec<String> {
        self.star.ids().into_iter().filter(|id| id != "clients").collect()
    }

    fn apply(&self, links: &[(&str, &str, &Quality)]) {
        let links = links.iter().map(|(from, to, quality)| (Pair::new(*from, *to), (*quality).clone()));
        self.network.apply(&links.collect()).unwrap();
    }

    /// What a link from n1 to n2 of this quality does to a flow; `None` if this network refuses it, which is checked.
    fn seen(&self, quality: &Quality, flow: Flow) -> Option<BTreeMap<Pair, Seen>> {
        let (there, back) = (Pair::new("n1", "n2"), Pair::new("n2", "n1"));
        let wanted = BTreeMap::from([(there.clone(), quality.clone())]);
        let mut meter = Meter::open(&self.star.targets).unwrap();
        if let Some(why) = self.network.refuses(&there, quality) {
            let error = self.network.apply(&wanted).unwrap_err();
            assert_eq!(error.to_string(), why);
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

fn netem_only() -> bool {
    std::env::var_os("SQUALL_NETEM_ONLY").is_some()
}

fn each_network(test: &str, n: u8, body: impl Fn(&Built)) {
    inside(test, || {
        let kinds = [NetworkKind::Kernel, NetworkKind::Switch];
        for kind in kinds.into_iter().filter(|kind| *kind == NetworkKind::Kernel || !netem_only()) {
            if let Some(built) = Built::new(test, kind, n) {
                body(&built);
            }
        }
    });
}

/// Like [`each_network`], for one quality of one link; skips nothing: a refusal is an answer.
fn each_link(test: &str, quality: Quality, flow: Flow, check: impl Fn(&Seen)) {
    each_network(test, 2, |built| {
        if let Some(seen) = built.seen(&quality, flow) {
            check(&seen[&Pair::new("n1", "n2")]);
        }
    });
}

/// Whether a count is within five standard deviations of what `n` trials give.
fn is_binomial(count: u32, n: u32, share: f64) -> bool {
    let (count, n) = (f64::from(count), f64::from(n));
    (count - n * share).abs() <= 5.0 * (n * share * (1.0 - share)).sqrt()
}

fn cut_links(cuts: &Cuts) -> BTreeMap<Pair, Quality> {
    cuts.iter().map(|(from, to)| (Pair::new(from, to), Quality::cut())).collect()
}

#[test]
fn everybody_reaches_everybody_and_every_shape_of_a_partition_is_exact() {
    each_network("everybody_reaches_everybody_and_every_shape_of_a_partition_is_exact", 5, |built| {
        let nodes = built.nodes();
        let targets: Vec<_> = built
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
            let applied = built.network.apply(&cut_links(&cuts)).unwrap();
            assert_eq!((applied.n_cuts, applied.n_bad), (cuts.len(), 0));
            let report = prober.prove(&cuts, BOUND).unwrap();
            assert!(report.ok, "{}: {cuts:?}: {report:?}", built.network.kind());
        }
    });
}

#[test]
fn counts_what_a_cut_dropped() {
    each_network("counts_what_a_cut_dropped", 2, |built| {
        let there = Pair::new("n1", "n2");
        built.apply(&[("n1", "n2", &Quality::cut())]);
        let mut meter = Meter::open(&built.star.targets).unwrap();
        let flow = Flow {
            n: 20,
            patience: Duration::from_millis(20),
            ..FLOW
        };
        assert_eq!(meter.measure([there.clone()], flow).unwrap()[&there].lost(), 20);
        assert_eq!(built.network.dropped().unwrap(), Some(BTreeMap::from([(there, 20)])));
    });
}

#[test]
fn a_connection_stalls_silently_in_a_cut_and_goes_on_after_the_heal() {
    each_network("a_connection_stalls_silently_in_a_cut_and_goes_on_after_the_heal", 2, |built| {
        let star = &built.star;
        let listener = star.at("n2", || TcpListener::bind((star.address("n2"), 4000)).unwrap());
        let mut client = star.at("n1", || TcpStream::connect((star.address("n2"), 4000)).unwrap());
        let (mut server, _) = listener.accept().unwrap();
        server.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        built.apply(&[("n1", "n2", &Quality::cut()), ("n2", "n1", &Quality::cut())]);
        client.write_all(b"during the cut").unwrap();
        assert_eq!(server.read(&mut [0; 64]).unwrap_err().kind(), ErrorKind::WouldBlock);
        built.apply(&[]);
        server.set_read_timeout(Some(BOUND)).unwrap();
        assert_eq!(server.read(&mut [0; 64]).unwrap(), b"during the cut".len());
    });
}

#[test]
fn carries_a_stream_in_large_sends_unharmed() {
    each_network("carries_a_stream_in_large_sends_unharmed", 2, |built| {
        let star = &built.star;
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
fn delays_as_long_as_asked() {
    let quality = Quality {
        delay_us: 50_000,
        ..Quality::default()
    };
    each_link("delays_as_long_as_asked", quality, FLOW, |seen| {
        assert_eq!((seen.lost(), seen.overtaken()), (0, 0));
        let times = seen.one_way_ns();
        assert!(times[0] >= 50_000_000, "none is early: {}", times[0]);
        println!(
            "measured 50 ms delay: median {} us, p99 {} us",
            seen.median_us().unwrap(),
            times[989] / 1000
        );
    });
}

#[test]
fn jitters_without_reordering() {
    let quality = Quality {
        delay_us: 30_000,
        jitter_us: 5_000,
        ..Quality::default()
    };
    let flow = Flow {
        n: 500,
        spacing: Duration::from_millis(2),
        ..FLOW
    };
    each_link("jitters_without_reordering", quality, flow, |seen| {
        let times = seen.one_way_ns();
        assert_eq!((seen.lost(), seen.overtaken()), (0, 0));
        assert!(times[450] - times[50] > 3_000_000, "{} to {}", times[50], times[450]);
        assert!(times[0] >= 15_000_000);
    });
}

#[test]
fn loses_as_many_as_asked() {
    let quality = Quality {
        loss_ppm: 100_000,
        ..Quality::default()
    };
    let flow = Flow {
        n: 10_000,
        spacing: Duration::from_micros(20),
        patience: Duration::from_millis(300),
        ..FLOW
    };
    each_link("loses_as_many_as_asked", quality, flow, |seen| {
        println!("measured 10 % loss: {} of 10000", seen.lost());
        assert!(is_binomial(seen.lost(), 10_000, 0.1), "{}", seen.lost());
    });
}

#[test]
fn loses_in_bursts() {
    let quality = Quality {
        burst: Some(Burst {
            enter_ppm: 20_000,
            leave_ppm: 180_000,
            loss_ppm: 1_000_000,
        }),
        ..Quality::default()
    };
    let flow = Flow {
        n: 5000,
        spacing: Duration::from_micros(30),
        patience: Duration::from_millis(300),
        ..FLOW
    };
    each_link("loses_in_bursts", quality, flow, |seen| {
        assert!((300..700).contains(&seen.lost()), "{}", seen.lost());
        let lost: Vec<u32> = (0..5000)
            .filter(|n| seen.arrivals.iter().all(|arrival| arrival.number != *n))
            .collect();
        let n_bursts = lost.chunk_by(|one, next| one + 1 == *next).count();
        assert!(lost.len() > 3 * n_bursts, "{} in {n_bursts} bursts", lost.len());
    });
}

#[test]
fn duplicates_as_many_as_asked() {
    let quality = Quality {
        duplicate_ppm: 100_000,
        ..Quality::default()
    };
    each_link("duplicates_as_many_as_asked", quality, FLOW, |seen| {
        assert_eq!((seen.lost(), seen.overtaken()), (0, 0));
        assert!(is_binomial(seen.duplicated(), 1000, 0.1), "{}", seen.duplicated());
    });
}

#[test]
fn keeps_back_as_many_as_asked() {
    let quality = Quality {
        delay_us: 5_000,
        reorder: Some(Reorder {
            share_ppm: 100_000,
            by_us: 20_000,
        }),
        ..Quality::default()
    };
    each_link("keeps_back_as_many_as_asked", quality, FLOW, |seen| {
        assert_eq!((seen.lost(), seen.duplicated()), (0, 0));
        assert!(is_binomial(seen.overtaken(), 1000, 0.1), "{}", seen.overtaken());
        let late = seen.one_way_ns().into_iter().filter(|time| *time >= 25_000_000).count();
        assert!(late >= seen.overtaken() as usize && seen.one_way_ns()[0] >= 5_000_000, "{late}");
    });
}

#[test]
fn damage_on_the_wire_is_loss_and_a_forgery_reaches_the_program() {
    let wire = Quality {
        corrupt_ppm: 200_000,
        ..Quality::default()
    };
    each_link("damage_on_the_wire_is_loss_and_a_forgery_reaches_the_program", wire, FLOW, |seen| {
        assert_eq!(seen.n_damaged, 0);
        assert!(is_binomial(seen.lost(), 1000, 0.2), "{}", seen.lost());
    });
}

#[test]
fn a_forgery_reaches_the_program() {
    let forgery = Quality {
        corrupt_past_checksum_ppm: 200_000,
        ..Quality::default()
    };
    each_link("a_forgery_reaches_the_program", forgery, FLOW, |seen| {
        assert_eq!(seen.lost(), 0);
        assert!(is_binomial(seen.n_damaged, 1000, 0.2), "{}", seen.n_damaged);
    });
}

#[test]
fn a_bottleneck_has_its_pace() {
    let quality = Quality {
        rate: Some(Rate {
            kbit_per_s: 10_000,
            queue_us: 500_000,
        }),
        ..Quality::default()
    };
    let flow = Flow {
        n: 200,
        bytes: 1500,
        spacing: Duration::ZERO,
        ..FLOW
    };
    each_link("a_bottleneck_has_its_pace", quality, flow, |seen| {
        println!("measured 10 Mbit/s: {} kbit/s", seen.kbit_per_s(1500).unwrap());
        assert_eq!(seen.lost(), 0);
        // 1500 bytes take 1.2 ms, and the first of them nothing, as the bucket was full.
        for arrival in &seen.arrivals {
            let took_ns = arrival.arrived_ns - seen.sent_ns[0];
            assert!(took_ns >= u64::from(arrival.number) * 1_200_000, "{arrival:?}");
        }
    });
}

#[test]
fn a_black_hole_swallows_large_packets_only() {
    let quality = Quality {
        mtu: Some(1200),
        ..Quality::default()
    };
    for (bytes, passes) in [(1201, false), (1200, true)] {
        let flow = Flow {
            n: 20,
            bytes,
            patience: Duration::from_millis(if passes { 10_000 } else { 50 }),
            ..FLOW
        };
        each_link("a_black_hole_swallows_large_packets_only", quality.clone(), flow, |seen| {
            assert_eq!(seen.lost(), if passes { 0 } else { 20 });
        });
    }
}

#[test]
fn clients_are_cut_from_a_node_that_the_others_reach() {
    each_network("clients_are_cut_from_a_node_that_the_others_reach", 2, |built| {
        let links = [(CLIENTS, "n1"), ("n1", CLIENTS), (CLIENTS, "n2"), ("n1", "n2"), ("n2", "n1")];
        let links = links.map(|(from, to)| Pair::new(from, to));
        built.apply(&[(CLIENTS, "n1", &Quality::cut()), ("n1", CLIENTS, &Quality::cut())]);
        let mut meter = Meter::open(&built.star.targets).unwrap();
        let flow = Flow {
            n: 20,
            patience: Duration::from_millis(50),
            ..FLOW
        };
        let seen = meter.measure(links.clone(), flow).unwrap();
        assert_eq!(links.clone().map(|pair| seen[&pair].arrived()), [0, 0, 20, 20, 20]);
        built.apply(&[]);
        let seen = meter.measure(links.clone(), FLOW).unwrap();
        assert!(links.iter().all(|pair| seen[pair].lost() == 0));
    });
}

#[test]
fn a_change_of_one_link_leaves_what_is_on_its_way_on_the_others() {
    each_network("a_change_of_one_link_leaves_what_is_on_its_way_on_the_others", 3, |built| {
        let slow = |delay_us| Quality {
            delay_us,
            ..Quality::default()
        };
        let (there, other) = (Pair::new("n1", "n2"), Pair::new("n3", "n2"));
        built.apply(&[("n1", "n2", &slow(300_000))]);
        let mut meter = Meter::open(&built.star.targets).unwrap();
        let flow = Flow {
            n: 20,
            spacing: Duration::from_millis(20),
            ..FLOW
        };
        // The change comes in the middle of the flow, whose packets are all on their way when it ends.
        let seen = std::thread::scope(|scope| {
            scope.spawn(|| built.apply(&[("n1", "n2", &slow(300_000)), ("n3", "n2", &slow(100_000))]));
            meter.measure([there.clone()], flow).unwrap()
        });
        assert_eq!((seen[&there].lost(), seen[&there].overtaken()), (0, 0));
        assert!(seen[&there].one_way_ns()[0] >= 300_000_000);
        let seen = meter.measure([there.clone(), other.clone()], flow).unwrap();
        let fastest = [&there, &other].map(|pair| seen[pair].one_way_ns()[0] / 100_000_000);
        assert_eq!(fastest, [3, 1]);
    });
}

#[test]
fn a_flapping_link_is_silent_by_turns() {
    let quality = Quality {
        flap: Some(Gate {
            first_us: 0,
            closed_us: 200_000,
            open_us: 200_000,
        }),
        ..Quality::default()
    };
    let flow = Flow {
        n: 800,
        spacing: Duration::from_millis(1),
        ..FLOW
    };
    each_link("a_flapping_link_is_silent_by_turns", quality, flow, |seen| {
        assert!(seen.longest_silence_us() >= 150_000, "{}", seen.longest_silence_us());
        assert!(seen.arrived() > 100, "{}", seen.arrived());
    });
}

#[test]
fn loss_jitter_order_and_pace_at_once_are_each_what_was_asked() {
    let quality = Quality {
        delay_us: 20_000,
        jitter_us: 2_000,
        loss_ppm: 100_000,
        burst: Some(Burst {
            enter_ppm: 50_000,
            leave_ppm: 450_000,
            loss_ppm: 500_000,
        }),
        rate: Some(Rate {
            kbit_per_s: 8_000,
            queue_us: 500_000,
        }),
        ..Quality::default()
    };
    let share = f64::from(quality.mean_loss_ppm()) / 1e6;
    let flow = Flow {
        n: 2000,
        spacing: Duration::from_micros(500),
        ..FLOW
    };
    each_link(
        "loss_jitter_order_and_pace_at_once_are_each_what_was_asked",
        quality,
        flow,
        move |seen| {
            // Bursts of two widen the interval a little.
            let (lost, mean) = (f64::from(seen.lost()), 2000.0 * share);
            assert!((lost - mean).abs() < 8.0 * (mean * (1.0 - share)).sqrt(), "{lost} of {mean}");
            assert_eq!(seen.overtaken(), 0);
            assert!(seen.one_way_ns()[0] >= 10_000_000);
        },
    );
}

/// A quality of each kind, as faults ask for it.
fn one_of_each() -> Vec<Quality> {
    let gate = Gate {
        first_us: 0,
        closed_us: 200_000,
        open_us: 100_000,
    };
    let texts = [
        r#"{"delay_us":60000,"jitter_us":6000}"#,
        r#"{"loss_ppm":200000}"#,
        r#"{"burst":{"enter_ppm":50000,"leave_ppm":250000,"loss_ppm":1000000}}"#,
        r#"{"reorder":{"share_ppm":100000,"by_us":10000}}"#,
        r#"{"duplicate_ppm":200000}"#,
        r#"{"corrupt_ppm":200000}"#,
        r#"{"rate":{"kbit_per_s":1000,"queue_us":500000}}"#,
        r#"{"mtu":1000}"#,
        r#"{"resets":1}"#,
        r#"{"refuse":true}"#,
        r#"{"cut_ports":[7001,7002]}"#,
    ];
    let gates = [
        Quality {
            flap: Some(gate),
            ..Quality::default()
        },
        Quality {
            stall: Some(gate),
            ..Quality::default()
        },
    ];
    texts
        .map(|text| serde_json::from_str(text).unwrap())
        .into_iter()
        .chain(gates)
        .collect()
}

#[test]
fn the_probes_see_each_quality_bite_and_heal() {
    each_network("the_probes_see_each_quality_bite_and_heal", 2, |built| {
        let (there, back) = (Pair::new("n1", "n2"), Pair::new("n2", "n1"));
        let mut prober = LinkProber::open(&built.star.targets).unwrap();
        for quality in one_of_each() {
            let wanted: BTreeMap<Pair, Quality> = [&there, &back].map(|pair| (pair.clone(), quality.clone())).into();
            if built.network.refuses(&there, &quality).is_some() {
                assert!(built.network.apply(&wanted).is_err());
                continue;
            }
            let healthy = Quality::default();
            for (links, before, now) in [(wanted.clone(), &healthy, &quality), (BTreeMap::new(), &quality, &healthy)] {
                let turn = Turn {
                    before: before.clone(),
                    now: now.clone(),
                };
                let turns = wanted.keys().map(|pair| (pair.clone(), turn.clone())).collect();
                let mut prepared = prober.prepare(&turns).unwrap();
                built.network.apply(&links).unwrap();
                let report = prober.prove(&turns, &mut prepared, BOUND).unwrap();
                assert!(report.ok, "{}: {turn:?}: {report:?}", built.network.kind());
            }
        }
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
