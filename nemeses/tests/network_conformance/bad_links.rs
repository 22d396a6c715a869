//! What bad links do, on every network: each part of a quality by itself, several at once, and all of them as the probes of faults see them.

use std::collections::BTreeMap;
use std::time::Duration;

use squall_nemeses::effect::{Flow, LinkProber, Meter, Seen, Turn};
use squall_nemeses::link::{Burst, Gate, Pair, Quality, Rate, Reorder};

use super::{BOUND, FLOW, each_network};

/// Like [`each_network`], for one quality of one link; skips nothing: a refusal is an answer.
fn each_link(test: &str, quality: Quality, flow: Flow, check: impl Fn(&Seen)) {
    each_network(test, 2, |wired| {
        if let Some(seen) = wired.seen(&quality, flow) {
            check(&seen[&Pair::new("n1", "n2")]);
        }
    });
}

/// Whether a count is within five standard deviations of what `n` trials give.
fn is_binomial(count: u32, n: u32, share: f64) -> bool {
    let (count, n) = (f64::from(count), f64::from(n));
    (count - n * share).abs() <= 5.0 * (n * share * (1.0 - share)).sqrt()
}

#[test]
fn delays_as_long_as_asked() {
    let quality = Quality {
        delay_us: 50_000,
        ..Quality::default()
    };
    each_link("bad_links::delays_as_long_as_asked", quality, FLOW, |seen| {
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
    each_link("bad_links::jitters_without_reordering", quality, flow, |seen| {
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
    each_link("bad_links::loses_as_many_as_asked", quality, flow, |seen| {
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
    each_link("bad_links::loses_in_bursts", quality, flow, |seen| {
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
    each_link("bad_links::duplicates_as_many_as_asked", quality, FLOW, |seen| {
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
    each_link("bad_links::keeps_back_as_many_as_asked", quality, FLOW, |seen| {
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
    each_link(
        "bad_links::damage_on_the_wire_is_loss_and_a_forgery_reaches_the_program",
        wire,
        FLOW,
        |seen| {
            assert_eq!(seen.n_damaged, 0);
            assert!(is_binomial(seen.lost(), 1000, 0.2), "{}", seen.lost());
        },
    );
}

#[test]
fn a_forgery_reaches_the_program() {
    let forgery = Quality {
        corrupt_past_checksum_ppm: 200_000,
        ..Quality::default()
    };
    each_link("bad_links::a_forgery_reaches_the_program", forgery, FLOW, |seen| {
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
    each_link("bad_links::a_bottleneck_has_its_pace", quality, flow, |seen| {
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
        each_link(
            "bad_links::a_black_hole_swallows_large_packets_only",
            quality.clone(),
            flow,
            |seen| {
                assert_eq!(seen.lost(), if passes { 0 } else { 20 });
            },
        );
    }
}

#[test]
fn a_change_of_one_link_leaves_what_is_on_its_way_on_the_others() {
    each_network(
        "bad_links::a_change_of_one_link_leaves_what_is_on_its_way_on_the_others",
        3,
        |wired| {
            let slow = |delay_us| Quality {
                delay_us,
                ..Quality::default()
            };
            let (there, other) = (Pair::new("n1", "n2"), Pair::new("n3", "n2"));
            wired.apply(&[("n1", "n2", &slow(300_000))]);
            let mut meter = Meter::open(&wired.star.targets).unwrap();
            let flow = Flow {
                n: 20,
                spacing: Duration::from_millis(20),
                ..FLOW
            };
            // The change comes in the middle of the flow, whose packets are all on their way when it ends.
            let seen = std::thread::scope(|scope| {
                scope.spawn(|| wired.apply(&[("n1", "n2", &slow(300_000)), ("n3", "n2", &slow(100_000))]));
                meter.measure([there.clone()], flow).unwrap()
            });
            assert_eq!((seen[&there].lost(), seen[&there].overtaken()), (0, 0));
            assert!(seen[&there].one_way_ns()[0] >= 300_000_000);
            let seen = meter.measure([there.clone(), other.clone()], flow).unwrap();
            let fastest = [&there, &other].map(|pair| seen[pair].one_way_ns()[0] / 100_000_000);
            assert_eq!(fastest, [3, 1]);
        },
    );
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
    each_link("bad_links::a_flapping_link_is_silent_by_turns", quality, flow, |seen| {
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
        "bad_links::loss_jitter_order_and_pace_at_once_are_each_what_was_asked",
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
    each_network("bad_links::the_probes_see_each_quality_bite_and_heal", 2, |wired| {
        let (there, back) = (Pair::new("n1", "n2"), Pair::new("n2", "n1"));
        let mut prober = LinkProber::open(&wired.star.targets).unwrap();
        for quality in one_of_each() {
            let wanted: BTreeMap<Pair, Quality> = [&there, &back].map(|pair| (pair.clone(), quality.clone())).into();
            if wired.network.refuses(&there, &quality).is_some() {
                assert!(wired.network.apply(&wanted).is_err());
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
                wired.network.apply(&links).unwrap();
                let report = prober.prove(&turns, &mut prepared, BOUND).unwrap();
                assert!(report.ok, "{}: {turn:?}: {report:?}", wired.network.kind());
            }
        }
    });
}
