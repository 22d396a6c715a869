//! Tests of held packets: which is held, what waits behind it, and what becomes of all when they are let go.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::engine::{Deliver, Engine};
use super::gate::{BYTES_MAX, Comer};
use super::line::Cause;
use super::packet::tests::{remainder, tcp, udp, without_checksum};
use super::packet::{VNET, flag};
use super::table::Table;
use crate::link::Quality;

const MS: u64 = 1_000_000;
/// Those of the packets that the helpers make, and a stranger.
const ADDRESSES: [Ipv4Addr; 3] = [
    Ipv4Addr::new(10, 77, 0, 2),
    Ipv4Addr::new(10, 77, 0, 3),
    Ipv4Addr::new(10, 77, 0, 4),
];
const BOUND_NS: u64 = 5_000 * MS;

#[derive(Default)]
struct Delivered(Vec<Vec<u8>>);

impl Deliver for Delivered {
    fn deliver(&mut self, _to: usize, frame: &[u8]) -> bool {
        self.0.push(frame.to_vec());
        true
    }
}

/// How long a packet was held, in microseconds, how many were behind it, and why it was lost.
type Fate = (u64, u64, Option<Cause>);

/// A switch whose gate holds the packets of these numbers among those it is asked about, counted from 1.
struct Bench {
    engine: Engine,
    out: Delivered,
    now_ns: u64,
    asked: Arc<Mutex<Vec<Comer>>>,
}

impl Bench {
    fn holding(nth: &'static [u64]) -> Bench {
        let asked = Arc::<Mutex<Vec<Comer>>>::default();
        let mut engine = Engine::new(7, ADDRESSES.to_vec());
        let (seen, n_seen) = (Arc::clone(&asked), AtomicU64::new(0));
        let asker = move |comer: &Comer| {
            seen.lock().unwrap().push(*comer);
            nth.contains(&(n_seen.fetch_add(1, Ordering::Relaxed) + 1))
        };
        engine.ask(Arc::new(asker), BOUND_NS);
        Bench {
            engine,
            out: Delivered::default(),
            now_ns: MS,
            asked,
        }
    }

    fn turn(&mut self, quality: &Quality) {
        let mut table = Table::new(3);
        table.set(0, 1, quality);
        self.engine.turn(Arc::new(table), self.now_ns, &mut self.out);
    }

    /// Sends frames of the first end, one after another, and returns what was delivered by then.
    fn send(&mut self, frames: &[&Vec<u8>]) -> Vec<Vec<u8>> {
        for frame in frames {
            self.engine.take(0, &mut (*frame).clone(), self.now_ns, &mut self.out);
        }
        self.pass(0)
    }

    fn pass(&mut self, ns: u64) -> Vec<Vec<u8>> {
        self.now_ns += ns;
        self.engine.deliver_due(self.now_ns, &mut self.out);
        std::mem::take(&mut self.out.0)
    }

    /// Lets packet `number` go; also says what was delivered.
    fn release(&mut self, number: u64) -> Option<(Fate, Vec<Vec<u8>>)> {
        let released = self.engine.release(number, self.now_ns, &mut self.out)?;
        Some(((released.held_us, released.n_behind, released.lost), self.pass(0)))
    }

    fn asked(&self) -> Vec<u64> {
        self.asked.lock().unwrap().iter().map(|comer| comer.bytes).collect()
    }
}

/// A packet of a connection from port `port`, with the bytes from `sequence` on.
fn data(port: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    tcp((port, 80), sequence, 500, flag::ACK, payload)
}

#[test]
fn the_packet_that_is_waited_for_is_held_and_what_follows_on_its_connection_goes_on_behind_it_in_order() {
    let mut bench = Bench::holding(&[2]);
    let (first, second, third) = (data(4000, 1, b"a"), data(4000, 2, b"bb"), data(4000, 4, b"ccc"));
    let (ack, end) = (data(4000, 7, b""), tcp((4000, 80), 7, 500, flag::FIN | flag::ACK, b""));
    assert_eq!(bench.send(&[&first, &second, &third, &ack, &end]), [first]);
    assert_eq!(bench.asked(), [1, 2], "who is behind is not asked about");
    bench.now_ns += 3 * MS;
    assert_eq!(bench.release(1), Some(((3_000, 3, None), vec![second, third, ack, end])));
    assert_eq!(bench.asked(), [1, 2, 3], "but when it goes on");
    assert_eq!(bench.release(1), None, "nothing is held any more");
    let later = data(4000, 8, b"d");
    assert_eq!(bench.send(&[&later]), [later]);
}

#[test]
fn only_payloads_of_tcp_can_be_waited_for() {
    let mut bench = Bench::holding(&[1]);
    let others = [
        data(4000, 1, b""),
        udp((4000, 80), b"datagram"),
        tcp((4000, 80), 1, 0, flag::SYN, b""),
    ];
    assert_eq!(bench.send(&others.each_ref()), others);
    assert_eq!(bench.asked(), Vec::<u64>::new());
    assert_eq!(bench.send(&[&data(4000, 1, b"abc")]), Vec::<Vec<u8>>::new());
    assert_eq!(bench.asked(), [3]);
}

#[test]
fn nothing_waits_but_the_connection_of_the_held_packet_and_that_in_one_direction() {
    let mut bench = Bench::holding(&[1]);
    bench.send(&[&data(4000, 1, b"held")]);
    let others = [data(4001, 1, b"another connection"), udp((4000, 80), b"a probe")];
    assert_eq!(bench.send(&others.each_ref()), others);
    let mut back = data(4000, 1, b"the way back");
    back[VNET + 12..VNET + 16].copy_from_slice(&ADDRESSES[1].octets());
    back[VNET + 16..VNET + 20].copy_from_slice(&ADDRESSES[0].octets());
    back[VNET + 20..VNET + 24].copy_from_slice(&[0, 80, 4000u16.to_be_bytes()[0], 4000u16.to_be_bytes()[1]]);
    bench.engine.take(1, &mut back.clone(), bench.now_ns, &mut bench.out);
    assert_eq!(bench.pass(0), [back]);
}

#[test]
fn two_connections_can_be_held_at_once_and_are_let_go_one_by_one() {
    let mut bench = Bench::holding(&[1, 2]);
    let (one, other) = (data(4000, 1, b"one"), data(4001, 1, b"other"));
    assert!(bench.send(&[&one, &other]).is_empty());
    assert_eq!(bench.release(2), Some(((0, 0, None), vec![other])));
    assert_eq!(bench.release(1), Some(((0, 0, None), vec![one])));
}

#[test]
fn what_goes_on_behind_a_held_packet_can_be_held_itself_and_the_order_stays() {
    let mut bench = Bench::holding(&[1, 2]);
    let packets = [data(4000, 1, b"a"), data(4000, 2, b"b"), data(4000, 3, b"c")];
    assert!(bench.send(&packets.each_ref()).is_empty());
    assert_eq!(bench.release(1), Some(((0, 2, None), vec![packets[0].clone()])));
    assert_eq!(bench.release(2), Some(((0, 1, None), packets[1..].to_vec())));
}

#[test]
fn a_link_that_is_cut_meanwhile_loses_what_was_held() {
    let mut bench = Bench::holding(&[1]);
    bench.send(&[&data(4000, 1, b"held"), &data(4000, 5, b"behind")]);
    bench.turn(&Quality::cut());
    assert_eq!(bench.release(1), Some(((0, 1, Some(Cause::Cut)), vec![])));
    assert_eq!(bench.engine.counts()[1].lost, BTreeMap::from([(Cause::Cut, 2)]));
}

#[test]
fn a_link_that_is_slow_by_then_delays_what_was_held_and_keeps_the_order() {
    let mut bench = Bench::holding(&[1]);
    let packets = [data(4000, 1, b"held"), data(4000, 5, b"behind")];
    bench.send(&packets.each_ref());
    let slow = Quality {
        delay_us: 10_000,
        ..Quality::default()
    };
    bench.turn(&slow);
    assert_eq!(bench.release(1), Some(((0, 1, None), vec![])));
    assert!(bench.pass(10 * MS - 1).is_empty());
    assert_eq!(bench.pass(1), packets);
}

#[test]
fn a_connection_that_is_reset_meanwhile_gets_resets_for_what_was_held() {
    let mut bench = Bench::holding(&[1]);
    bench.send(&[&data(4000, 1, b"held")]);
    bench.turn(&Quality {
        resets: 1,
        ..Quality::default()
    });
    bench.pass(0);
    let ((_, _, lost), resets) = bench.release(1).expect("it is held");
    assert_eq!((lost, resets.len()), (Some(Cause::Reset), 2));
    assert!(resets.iter().all(|reset| reset[VNET + 20 + 13] & flag::RST != 0));
}

#[test]
fn a_packet_that_would_be_lost_anyway_is_not_waited_for() {
    let mut bench = Bench::holding(&[1]);
    bench.turn(&Quality::cut());
    bench.send(&[&data(4000, 1, b"lost")]);
    bench.turn(&Quality::default());
    assert_eq!(bench.asked(), Vec::<u64>::new());
    assert!(bench.send(&[&data(4000, 1, b"again")]).is_empty());
    assert_eq!(bench.asked(), [5]);
}

#[test]
fn a_large_send_is_one_packet_and_goes_on_as_it_came() {
    let mut bench = Bench::holding(&[1]);
    let mut large = without_checksum(tcp((4000, 80), 1, 2, flag::ACK, &[7; 5000]));
    large[1] = 1;
    large[4..6].copy_from_slice(&1460u16.to_ne_bytes());
    bench.send(&[&large]);
    assert_eq!(bench.asked(), [5000]);
    assert_eq!(bench.release(1), Some(((0, 0, None), vec![large.clone()])));
    // On a link on which each packet has a fate of its own it is cut up when it goes on, and not before.
    let mut bench = Bench::holding(&[1]);
    bench.send(&[&large]);
    let lossy = Quality {
        duplicate_ppm: 1,
        ..Quality::default()
    };
    bench.turn(&lossy);
    let (_, packets) = bench.release(1).expect("it is held");
    assert_eq!((packets.len(), packets.iter().all(|packet| remainder(packet) == 0)), (4, true));
}

#[test]
fn nothing_is_held_longer_than_its_bound() {
    let mut bench = Bench::holding(&[1]);
    let packets = [data(4000, 1, b"held"), data(4000, 5, b"behind")];
    bench.send(&packets.each_ref());
    assert_eq!(bench.engine.next_due_ns(), Some(bench.now_ns + BOUND_NS));
    assert!(bench.pass(BOUND_NS - 1).is_empty());
    assert_eq!(bench.pass(1), packets);
    assert_eq!((bench.release(1), bench.engine.next_due_ns()), (None, None));
}

#[test]
fn holds_no_more_bytes_than_its_bound_and_counts_what_it_drops() {
    let mut bench = Bench::holding(&[1]);
    let large = data(4000, 1, &[7; 60_000]);
    let n_fit = BYTES_MAX / large.len();
    for _ in 0..n_fit + 3 {
        bench.engine.take(0, &mut large.clone(), bench.now_ns, &mut bench.out);
    }
    assert_eq!(bench.engine.counts()[1].lost, BTreeMap::from([(Cause::Overflow, 3)]));
    let ((_, n_behind, _), delivered) = bench.release(1).expect("it is held");
    assert_eq!((n_behind as usize + 1, delivered.len()), (n_fit, n_fit));
    assert!(bench.send(&[&data(4000, 9, b"room again")]).len() == 1);
}
