//! Tests of the engine: what arrives where, when, and how often.

use super::*;
use crate::link::{Gate, Reorder};
use crate::switch::packet::flag;
use crate::switch::packet::tests::{icmp, remainder, tcp, udp, without_checksum};

const MS: u64 = 1_000_000;
/// Those of the packets that the helpers make, and a stranger.
const ADDRESSES: [Ipv4Addr; 3] = [
    Ipv4Addr::new(10, 77, 0, 2),
    Ipv4Addr::new(10, 77, 0, 3),
    Ipv4Addr::new(10, 77, 0, 4),
];

/// What was delivered: to whom, which bytes.
#[derive(Default)]
struct Delivered(Vec<(usize, Vec<u8>)>);

impl Deliver for Delivered {
    fn deliver(&mut self, to: usize, frame: &[u8]) -> bool {
        self.0.push((to, frame.to_vec()));
        true
    }
}

struct Bench {
    engine: Engine,
    out: Delivered,
    now_ns: u64,
}

impl Bench {
    fn new(quality: &Quality) -> Bench {
        let mut bench = Bench {
            engine: Engine::new(7, ADDRESSES.to_vec()),
            out: Delivered::default(),
            now_ns: MS,
        };
        bench.turn(quality);
        bench
    }

    /// Gives the link from 0 to 1 another quality.
    fn turn(&mut self, quality: &Quality) -> u32 {
        let mut table = Table::new(3);
        table.set(0, 1, quality);
        self.engine.turn(Arc::new(table), self.now_ns, &mut self.out)
    }

    fn send(&mut self, frame: &[u8]) {
        self.engine.take(0, &mut frame.to_vec(), self.now_ns, &mut self.out);
    }

    /// Lets time pass and returns what was delivered meanwhile.
    fn pass(&mut self, ns: u64) -> Vec<Vec<u8>> {
        self.now_ns += ns;
        self.engine.deliver_due(self.now_ns, &mut self.out);
        std::mem::take(&mut self.out.0).into_iter().map(|(_, frame)| frame).collect()
    }

    fn counts(&self) -> &LinkCounts {
        &self.engine.counts()[1]
    }
}

fn datagram(number: u16) -> Vec<u8> {
    udp((number, 80), b"datagram")
}

#[test]
fn a_healthy_link_passes_on_what_it_got_untouched() {
    let mut bench = Bench::new(&Quality::default());
    let mut large = without_checksum(tcp((4000, 80), 1, 2, flag::ACK, &[7; 5000]));
    large[1] = 1;
    large[4..6].copy_from_slice(&1460u16.to_ne_bytes());
    bench.send(&large);
    assert_eq!(bench.out.0, [(1, large)]);
    assert_eq!((bench.counts().delivered, bench.counts().bytes), (4, 5000 + 160));
}

#[test]
fn only_the_link_that_is_cut_is_silent() {
    let mut bench = Bench::new(&Quality::cut());
    bench.send(&datagram(1));
    assert!(bench.pass(MS).is_empty());
    assert_eq!(bench.counts().lost, BTreeMap::from([(Cause::Cut, 1)]));
    let mut back = datagram(1);
    back[VNET + 12..VNET + 16].copy_from_slice(&ADDRESSES[1].octets());
    back[VNET + 16..VNET + 20].copy_from_slice(&ADDRESSES[0].octets());
    bench.engine.take(1, &mut back, bench.now_ns, &mut bench.out);
    assert_eq!(bench.pass(0).len(), 1);
    bench.turn(&Quality::default());
    bench.send(&datagram(1));
    assert_eq!(bench.pass(0).len(), 1);
}

#[test]
fn only_the_ports_that_are_cut_are_silent() {
    let mut bench = Bench::new(&Quality {
        cut_ports: [80].into(),
        ..Quality::default()
    });
    for ports in [(5, 80), (80, 5), (5, 81)] {
        bench.send(&udp(ports, b"x"));
        bench.send(&tcp(ports, 1, 1, flag::ACK, b"x"));
    }
    assert_eq!(bench.pass(0).len(), 2);
    assert_eq!(bench.counts().lost, BTreeMap::from([(Cause::Cut, 4)]));
}

#[test]
fn strangers_and_rubbish_go_nowhere() {
    let mut bench = Bench::new(&Quality::default());
    let mut stranger = datagram(1);
    stranger[VNET + 19] = 99;
    bench.send(&stranger);
    for rubbish in [&b""[..], &[0; VNET], &[0xff; 100]] {
        bench.send(rubbish);
    }
    assert!(bench.pass(0).is_empty());
    let logged = bench.engine.packets();
    assert_eq!((logged.len(), logged[0].lost), (1, Some(Cause::NoRoute)));
}

#[test]
fn a_packet_on_its_way_is_lost_with_the_link_and_comes_early_when_the_delay_is_healed() {
    let slow = Quality {
        delay_us: 50_000,
        ..Quality::default()
    };
    let mut bench = Bench::new(&slow);
    bench.send(&datagram(1));
    assert!(bench.pass(50 * MS - 1).is_empty());
    assert_eq!(bench.pass(1).len(), 1);

    bench.send(&datagram(2));
    bench.pass(MS);
    bench.turn(&slow.with(&Quality::cut()));
    assert!(bench.pass(100 * MS).is_empty());
    bench.turn(&slow);

    bench.send(&datagram(3));
    bench.pass(MS);
    bench.send(&datagram(4));
    bench.turn(&Quality::default());
    assert_eq!(bench.pass(0), [datagram(3), datagram(4)]);
    bench.send(&datagram(5));
    assert_eq!(bench.pass(0), [datagram(5)]);
}

#[test]
fn loss_meets_each_packet_of_a_large_send() {
    let mut bench = Bench::new(&Quality {
        loss_ppm: 500_000,
        ..Quality::default()
    });
    let mut large = without_checksum(tcp((4000, 80), 1, 2, flag::ACK, &[7; 60_000]));
    large[1] = 1;
    large[4..6].copy_from_slice(&1000u16.to_ne_bytes());
    bench.send(&large);
    let arrived = bench.pass(0);
    assert!((10..50).contains(&arrived.len()), "{} of 60", arrived.len());
    assert!(arrived.iter().all(|packet| packet.len() == VNET + 1040 && remainder(packet) == 0));
    assert_eq!(bench.counts().lost[&Cause::Loss] + bench.counts().delivered, 60);
}

#[test]
fn a_black_hole_swallows_the_packets_of_a_large_send_and_not_the_small_ones() {
    let mut bench = Bench::new(&Quality {
        mtu: Some(1000),
        ..Quality::default()
    });
    let mut large = without_checksum(tcp((4000, 80), 1, 2, flag::ACK, &[7; 2920]));
    large[1] = 1;
    large[4..6].copy_from_slice(&1460u16.to_ne_bytes());
    bench.send(&large);
    bench.send(&datagram(1));
    assert_eq!(bench.pass(0).len(), 1);
    assert_eq!(bench.counts().lost, BTreeMap::from([(Cause::TooLarge, 2)]));
}

#[test]
fn damage_is_seen_by_the_checksum_and_a_forgery_is_not() {
    for (damage, forgery) in [(1_000_000, 0), (0, 1_000_000)] {
        let mut bench = Bench::new(&Quality {
            corrupt_ppm: damage,
            corrupt_past_checksum_ppm: forgery,
            ..Quality::default()
        });
        for number in 0..200 {
            let sent = datagram(number);
            bench.send(&without_checksum(sent.clone()));
            let arrived = bench.pass(0).remove(0);
            assert_ne!(arrived[VNET..], sent[VNET..], "a bit is turned");
            let layout = packet::layout(&arrived);
            let header_sum = {
                let mut renewed = arrived.clone();
                packet::renew_header_checksum(&mut renewed, VNET + 20);
                renewed[VNET..VNET + 20] == arrived[VNET..VNET + 20]
            };
            let intact = layout.is_some() && header_sum && remainder(&arrived) == 0;
            assert_eq!(intact, damage == 0, "packet {number}");
        }
        assert_eq!(bench.counts().damaged, 200);
    }
}

#[test]
fn a_forged_echo_has_a_right_checksum_and_another_payload() {
    let mut bench = Bench::new(&Quality {
        corrupt_past_checksum_ppm: 1_000_000,
        ..Quality::default()
    });
    let echo = icmp(8, &[7; 100]);
    bench.send(&echo);
    let arrived = bench.pass(0).remove(0);
    assert_eq!((remainder(&arrived), arrived.len()), (0, echo.len()));
    assert_ne!(arrived[VNET + 28..], echo[VNET + 28..]);
    let error = icmp(3, &[7; 100]);
    bench.send(&error);
    assert_eq!(bench.pass(0), [error], "what a router tells is nobody's payload");
}

#[test]
fn a_forgery_leaves_packets_without_a_payload_alone() {
    let mut bench = Bench::new(&Quality {
        corrupt_past_checksum_ppm: 1_000_000,
        ..Quality::default()
    });
    let empty = tcp((1, 2), 3, 4, flag::ACK, b"");
    bench.send(&empty);
    assert_eq!((bench.pass(0), bench.counts().damaged), (vec![empty], 0));
}

#[test]
fn duplicates_and_packets_kept_back_arrive_and_are_counted() {
    let mut bench = Bench::new(&Quality {
        duplicate_ppm: 1_000_000,
        reorder: Some(Reorder {
            share_ppm: 500_000,
            by_us: 2_000,
        }),
        ..Quality::default()
    });
    let mut arrived = Vec::new();
    for number in 0..100 {
        bench.send(&datagram(number));
        arrived.extend(bench.pass(MS));
    }
    arrived.extend(bench.pass(10 * MS));
    assert_eq!(arrived.len(), 200);
    let ports: Vec<u16> = arrived.iter().map(|frame| packet::word(frame, VNET + 20)).collect();
    assert!(!ports.is_sorted(), "some were overtaken");
    let counts = bench.counts();
    assert!((25..75).contains(&counts.kept_back), "{counts:?}");
    assert_eq!((counts.duplicated, counts.delivered), (100, 200));
}

#[test]
fn connections_are_reset_once_and_new_ones_live() {
    let mut bench = Bench::new(&Quality::default());
    bench.send(&tcp((4000, 80), 100, 500, flag::ACK, b"abc"));
    bench.pass(0);
    let once = Quality {
        resets: 1,
        ..Quality::default()
    };
    assert_eq!(bench.turn(&once), 1);
    assert_eq!(bench.pass(0).len(), 2, "one to each end");
    assert_eq!(bench.turn(&once), 0, "the same again is no new reset");
    bench.send(&tcp((4000, 80), 103, 500, flag::ACK, b"d"));
    assert_eq!(bench.pass(0).len(), 2, "two answers, and the segment itself is gone");
    assert_eq!(bench.counts().lost, BTreeMap::from([(Cause::Reset, 1)]));
    bench.send(&tcp((4001, 80), 1, 0, flag::SYN, b""));
    assert_eq!(bench.pass(0).len(), 1);
    assert_eq!(
        bench.turn(&Quality { resets: 2, ..once }),
        2,
        "the old one is remembered until it is opened anew"
    );
}

#[test]
fn a_refusing_link_resets_until_it_is_healed() {
    let mut bench = Bench::new(&Quality {
        refuse: true,
        ..Quality::default()
    });
    let syn = tcp((4000, 80), 1, 0, flag::SYN, b"");
    bench.send(&syn);
    let arrived = bench.pass(0);
    assert_eq!(
        (arrived.len(), arrived[0][VNET + 16..VNET + 20].to_vec()),
        (1, ADDRESSES[0].octets().to_vec())
    );
    bench.turn(&Quality::default());
    bench.send(&syn);
    assert_eq!(bench.pass(0), [syn]);
}

#[test]
fn a_stalled_receiver_gets_its_packets_in_gulps() {
    let mut bench = Bench::new(&Quality {
        stall: Some(Gate {
            first_us: 0,
            closed_us: 10_000,
            open_us: 5_000,
        }),
        ..Quality::default()
    });
    bench.send(&datagram(1));
    assert!(bench.pass(9 * MS).is_empty());
    bench.send(&datagram(2));
    assert_eq!(bench.pass(MS), [datagram(1), datagram(2)]);
    bench.send(&datagram(3));
    assert_eq!(bench.pass(0), [datagram(3)]);
}
