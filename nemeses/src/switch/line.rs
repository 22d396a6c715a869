//! One directed link as a packet meets it: pure, with a clock that is handed in and chance from the link's own seed.
//!
//! What happens to the n-th packet of a link depends on the seed, the link and the packets before it alone; no other link's traffic moves it.

use std::net::Ipv4Addr;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::jitter::Jitter;
use crate::link::{Burst, CERTAIN_PPM, Gate, Quality};

/// The token bucket holds one full packet.
const BUCKET_BITS: u64 = 1500 * 8;

/// Why a packet did not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Cause {
    /// The link, or its port, was cut, or its gate closed.
    Cut,
    /// Chance.
    Loss,
    /// The queue before a bottleneck was full.
    Queue,
    /// It was larger than the link's largest packet.
    TooLarge,
    /// An RST went out in its place.
    Reset,
    /// Too much was held for it to be held too.
    Overflow,
    /// No such end, or no IPv4 packet.
    NoRoute,
    /// The receiver's device did not take it.
    Device,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Lost(Cause),
    Passes(Passage),
}

/// How a packet passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passage {
    /// When it is to be delivered, in nanoseconds of the switch's clock.
    pub(crate) due_ns: u64,
    /// Whether it arrives twice.
    pub(crate) twice: bool,
    /// A bit of it to turn, counted modulo its bits, after the checksum is made.
    pub(crate) damage: Option<u32>,
    /// A bit of its payload to turn before the checksum is made.
    pub(crate) forgery: Option<u32>,
    /// Whether those behind it may overtake it.
    pub(crate) kept_back: bool,
}

/// A link's memory.
#[derive(Debug)]
pub(crate) struct Line {
    rng: ChaCha8Rng,
    jitter: Jitter,
    /// Whether it is in a bad stretch.
    bad: bool,
    /// When the bottleneck will have let everything pass that it took.
    free_ns: u64,
    /// When the last packet that keeps the order is due.
    last_due_ns: u64,
    flap_since_ns: u64,
    stall_since_ns: u64,
}

impl Line {
    /// A link's chance comes from the run's seed and the addresses at its ends.
    pub(crate) fn new(seed: u64, from: Ipv4Addr, to: Ipv4Addr) -> Line {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(u64::from(u32::from(from)) << 32 | u64::from(u32::from(to)));
        Line {
            rng,
            jitter: Jitter::new(),
            bad: false,
            free_ns: 0,
            last_due_ns: 0,
            flap_since_ns: 0,
            stall_since_ns: 0,
        }
    }

    /// Says that the quality changed. Gates that are new count from now; what is left of a bottleneck or a delay that is no more is forgotten.
    /// What is held must be brought forward to [`Line::latest_due_ns`].
    pub(crate) fn turn(&mut self, before: &Quality, after: &Quality, now_ns: u64) {
        if before.flap != after.flap {
            self.flap_since_ns = now_ns;
        }
        if before.stall != after.stall {
            self.stall_since_ns = now_ns;
        }
        if before.rate != after.rate {
            self.free_ns = now_ns;
        }
        if before.burst != after.burst {
            self.bad = false;
        }
        self.last_due_ns = self.last_due_ns.min(self.latest_due_ns(after, now_ns));
    }

    /// The latest moment for which a packet that is on its way can still be held under a new quality.
    pub(crate) fn latest_due_ns(&self, quality: &Quality, now_ns: u64) -> u64 {
        let queue_us = quality.rate.map_or(0, |rate| rate.queue_us);
        let kept_us = quality.reorder.map_or(0, |reorder| reorder.by_us);
        let usual_us = [quality.delay_us, quality.jitter_us.saturating_mul(3), queue_us, kept_us];
        let usual_ns = usual_us.into_iter().fold(0u64, u64::saturating_add).saturating_mul(1000);
        after_gate(quality.stall, self.stall_since_ns, now_ns.saturating_add(usual_ns))
    }

    /// Whether nothing passes at this moment, whatever it is.
    pub(crate) fn is_shut(&self, quality: &Quality, now_ns: u64) -> bool {
        quality.cut || after_gate(quality.flap, self.flap_since_ns, now_ns) != now_ns
    }

    /// Decides about a packet of `bytes` bytes of IP.
    pub(crate) fn offer(&mut self, quality: &Quality, bytes: u64, now_ns: u64) -> Fate {
        if self.is_shut(quality, now_ns) {
            return Fate::Lost(Cause::Cut);
        }
        if quality.mtu.is_some_and(|mtu| bytes > u64::from(mtu)) {
            return Fate::Lost(Cause::TooLarge);
        }
        if self.loses(quality.loss_ppm, quality.burst) {
            return Fate::Lost(Cause::Loss);
        }
        let Some(sent_ns) = self.leaves_bottleneck(quality, bytes, now_ns) else {
            return Fate::Lost(Cause::Queue);
        };
        let (due_ns, kept_back) = self.due(quality, sent_ns);
        Fate::Passes(Passage {
            due_ns,
            kept_back,
            twice: self.happens(quality.duplicate_ppm),
            damage: self.draws_bit(quality.corrupt_ppm),
            forgery: self.draws_bit(quality.corrupt_past_checksum_ppm),
        })
    }

    /// The chain moves first, then the packet meets the state it moved to.
    fn loses(&mut self, loss_ppm: u32, burst: Option<Burst>) -> bool {
        let in_burst = burst.is_some_and(|burst| {
            let turns = self.happens(if self.bad { burst.leave_ppm } else { burst.enter_ppm });
            self.bad ^= turns;
            self.bad && self.happens(burst.loss_ppm)
        });
        in_burst || self.happens(loss_ppm)
    }

    /// When the bottleneck has passed it on; `None` if its queue is full. A bucket of one packet that fills while the link is idle, kept as
    /// the moment at which it would be full (a virtual scheduling algorithm, ITU-T I.371, annex A).
    fn leaves_bottleneck(&mut self, quality: &Quality, bytes: u64, now_ns: u64) -> Option<u64> {
        let Some(rate) = quality.rate else { return Some(now_ns) };
        let ns = |bits: u64| bits.saturating_mul(1_000_000) / rate.kbit_per_s.max(1);
        let full_ns = self.free_ns.max(now_ns.saturating_sub(ns(BUCKET_BITS)));
        let free_ns = full_ns.saturating_add(ns(bytes.saturating_mul(8)));
        if free_ns.saturating_sub(now_ns) > rate.queue_us.saturating_mul(1000).max(ns(bytes * 8)) {
            return None;
        }
        self.free_ns = free_ns;
        Some(free_ns.max(now_ns))
    }

    /// When it arrives. The order is kept but for those packets that are to be overtaken.
    fn due(&mut self, quality: &Quality, sent_ns: u64) -> (u64, bool) {
        let mut due_ns = sent_ns.saturating_add(quality.delay_us.saturating_mul(1000));
        if quality.jitter_us > 0 {
            let deviation_ns = self.jitter.at(sent_ns, &mut self.rng) * quality.jitter_us as f64 * 1000.0;
            due_ns = due_ns.saturating_add_signed(deviation_ns as i64).max(sent_ns);
        }
        due_ns = after_gate(quality.stall, self.stall_since_ns, due_ns).max(self.last_due_ns);
        match quality.reorder {
            Some(reorder) if self.happens(reorder.share_ppm) => (due_ns.saturating_add(reorder.by_us.saturating_mul(1000)), true),
            _ => {
                self.last_due_ns = due_ns;
                (due_ns, false)
            }
        }
    }

    /// Draws only where there is something to draw for, so that one quality does not move the chance of another.
    fn happens(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.rng.random_range(0..CERTAIN_PPM) < ppm
    }

    fn draws_bit(&mut self, ppm: u32) -> Option<u32> {
        self.happens(ppm).then(|| self.rng.next_u32())
    }
}

/// A moment, or the gate's opening if it is closed then.
fn after_gate(gate: Option<Gate>, since_ns: u64, now_ns: u64) -> u64 {
    let Some(gate) = gate else { return now_ns };
    let since_us = now_ns.saturating_sub(since_ns) / 1000;
    gate.opens_at_us(since_us).map_or(now_ns, |opens_us| {
        since_ns.saturating_add(opens_us.saturating_mul(1000)).max(now_ns + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{Rate, Reorder};

    const MS: u64 = 1_000_000;

    fn line(seed: u64) -> Line {
        Line::new(seed, Ipv4Addr::new(10, 77, 0, 2), Ipv4Addr::new(10, 77, 0, 3))
    }

    /// The fates of `n` packets of 1000 bytes, one each `spacing_ns`.
    fn fates(seed: u64, quality: &Quality, n: u64, spacing_ns: u64) -> Vec<Fate> {
        let mut line = line(seed);
        line.turn(&Quality::default(), quality, 0);
        (0..n).map(|number| line.offer(quality, 1000, number * spacing_ns)).collect()
    }

    fn lost(fates: &[Fate]) -> usize {
        fates.iter().filter(|fate| matches!(fate, Fate::Lost(_))).count()
    }

    fn dues(fates: &[Fate]) -> Vec<u64> {
        let due = |fate: &Fate| match fate {
            Fate::Passes(passage) => Some(passage.due_ns),
            Fate::Lost(_) => None,
        };
        fates.iter().filter_map(due).collect()
    }

    /// Whether a count of `n` trials is within five standard deviations of its mean.
    fn is_binomial(count: usize, n: usize, share: f64) -> bool {
        let (n, count) = (n as f64, count as f64);
        (count - n * share).abs() < 5.0 * (n * share * (1.0 - share)).sqrt()
    }

    #[test]
    fn a_healthy_link_delivers_at_once() {
        assert_eq!(dues(&fates(1, &Quality::default(), 3, 7)), [0, 7, 14]);
    }

    #[test]
    fn loses_duplicates_and_damages_as_many_as_asked() {
        let quality = Quality {
            loss_ppm: 100_000,
            duplicate_ppm: 50_000,
            corrupt_ppm: 20_000,
            corrupt_past_checksum_ppm: 30_000,
            ..Quality::default()
        };
        let fates = fates(3, &quality, 100_000, MS);
        assert!(is_binomial(lost(&fates), 100_000, 0.1));
        let passed: Vec<Passage> = fates
            .iter()
            .filter_map(|fate| match fate {
                Fate::Passes(passage) => Some(*passage),
                Fate::Lost(_) => None,
            })
            .collect();
        let count = |wanted: fn(&Passage) -> bool| passed.iter().filter(|passage| wanted(passage)).count();
        assert!(is_binomial(count(|passage| passage.twice), passed.len(), 0.05));
        assert!(is_binomial(count(|passage| passage.damage.is_some()), passed.len(), 0.02));
        assert!(is_binomial(count(|passage| passage.forgery.is_some()), passed.len(), 0.03));
    }

    #[test]
    fn the_same_seed_and_link_meet_the_same_fate_and_others_do_not() {
        let quality = Quality {
            loss_ppm: 500_000,
            jitter_us: 1000,
            delay_us: 5000,
            ..Quality::default()
        };
        assert_eq!(fates(7, &quality, 1000, MS), fates(7, &quality, 1000, MS));
        assert_ne!(fates(7, &quality, 1000, MS), fates(8, &quality, 1000, MS));
        let mut there = line(7);
        let mut back = Line::new(7, Ipv4Addr::new(10, 77, 0, 3), Ipv4Addr::new(10, 77, 0, 2));
        let pairs = (0..100).map(|n| (there.offer(&quality, 1000, n * MS), back.offer(&quality, 1000, n * MS)));
        assert!(pairs.filter(|(one, other)| one != other).count() > 10);
    }

    #[test]
    fn bursts_lose_as_many_as_the_chain_says_and_in_bursts() {
        let burst = Burst {
            enter_ppm: 10_000,
            leave_ppm: 200_000,
            loss_ppm: 1_000_000,
        };
        let quality = Quality {
            burst: Some(burst),
            ..Quality::default()
        };
        let fates = fates(5, &quality, 400_000, MS);
        let share = lost(&fates) as f64 / 400_000.0;
        assert!((share - 0.0476).abs() < 0.005, "{share}");
        let runs = fates.chunk_by(|one, other| matches!(one, Fate::Lost(_)) == matches!(other, Fate::Lost(_)));
        let lengths: Vec<usize> = runs.filter(|run| matches!(run[0], Fate::Lost(_))).map(<[Fate]>::len).collect();
        let mean = lengths.iter().sum::<usize>() as f64 / lengths.len() as f64;
        assert!((mean - 5.0).abs() < 0.3, "{mean}");
    }

    #[test]
    fn delay_and_jitter_keep_the_order_and_the_mean() {
        let quality = Quality {
            delay_us: 50_000,
            jitter_us: 5_000,
            ..Quality::default()
        };
        let dues = dues(&fates(2, &quality, 100_000, MS));
        assert!(dues.is_sorted());
        let delays: Vec<f64> = dues.iter().zip(0u64..).map(|(due, n)| (due - n * MS) as f64 / 1e6).collect();
        let mean = delays.iter().sum::<f64>() / 1e5;
        assert!((mean - 50.0).abs() < 1.0, "{mean}");
        let variance = delays.iter().map(|delay| (delay - mean).powi(2)).sum::<f64>() / 1e5;
        assert!((4.0..6.0).contains(&variance.sqrt()), "{variance}");
    }

    #[test]
    fn reordered_packets_are_overtaken_and_the_others_are_not() {
        let quality = Quality {
            reorder: Some(Reorder {
                share_ppm: 100_000,
                by_us: 2_500,
            }),
            ..Quality::default()
        };
        let dues = dues(&fates(4, &quality, 10_000, MS));
        let (mut late, mut in_order) = (0, Vec::new());
        for (due, sent) in dues.iter().zip((0..).map(|n| n * MS)) {
            if *due == sent {
                in_order.push(*due);
            } else {
                assert_eq!(*due, sent + 2_500_000);
                late += 1;
            }
        }
        assert!(is_binomial(late, 10_000, 0.1) && in_order.is_sorted());
    }

    #[test]
    fn a_bottleneck_passes_its_rate_and_drops_what_waits_too_long() {
        let quality = Quality {
            rate: Some(Rate {
                kbit_per_s: 8_000,
                queue_us: 20_000,
            }),
            ..Quality::default()
        };
        // A packet of 1000 bytes takes 1 ms; two come in a millisecond.
        let fates = fates(1, &quality, 2000, MS / 2);
        let dues = dues(&fates);
        assert!(dues.is_sorted());
        assert!((1000..=1022).contains(&dues.len()), "{} passed in a second", dues.len());
        let waits = fates.iter().zip((0..).map(|n| n * MS / 2)).filter_map(|(fate, sent)| match fate {
            Fate::Passes(passage) => Some(passage.due_ns - sent),
            Fate::Lost(cause) => {
                assert_eq!(*cause, Cause::Queue);
                None
            }
        });
        assert!(waits.max().unwrap() <= 20 * MS);
        assert_eq!(
            self::dues(&[line(1).offer(&quality, 1500, 9 * MS)]),
            [9 * MS],
            "an idle link has a full bucket"
        );
    }

    #[test]
    fn large_packets_vanish_and_small_ones_pass() {
        let quality = Quality {
            mtu: Some(1000),
            ..Quality::default()
        };
        assert_eq!(line(1).offer(&quality, 1001, 5), Fate::Lost(Cause::TooLarge));
        assert_eq!(dues(&[line(1).offer(&quality, 1000, 5)]), [5]);
    }

    #[test]
    fn a_flapping_link_is_shut_and_open_by_turns_and_a_stalled_one_delivers_in_gulps() {
        let gate = Gate {
            first_us: 1_000,
            closed_us: 2_000,
            open_us: 3_000,
        };
        let flapping = Quality {
            flap: Some(gate),
            ..Quality::default()
        };
        let shut: Vec<bool> = fates(1, &flapping, 10, MS)
            .iter()
            .map(|fate| *fate == Fate::Lost(Cause::Cut))
            .collect();
        assert_eq!(shut, [false, true, true, false, false, false, true, true, false, false]);
        let stalled = Quality {
            stall: Some(gate),
            ..Quality::default()
        };
        let dues: Vec<u64> = dues(&fates(1, &stalled, 10, MS)).iter().map(|due| due / MS).collect();
        assert_eq!(dues, [0, 3, 3, 3, 4, 5, 8, 8, 8, 9]);
    }

    #[test]
    fn what_a_heal_leaves_behind_delays_nothing() {
        let slow = Quality {
            delay_us: 10_000_000,
            rate: Some(Rate {
                kbit_per_s: 8,
                queue_us: 60_000_000,
            }),
            ..Quality::default()
        };
        let mut line = line(1);
        line.turn(&Quality::default(), &slow, 0);
        for _ in 0..10 {
            line.offer(&slow, 1000, 0);
        }
        line.turn(&slow, &Quality::default(), MS);
        assert_eq!(line.latest_due_ns(&Quality::default(), MS), MS);
        assert_eq!(dues(&[line.offer(&Quality::default(), 1000, 2 * MS)]), [2 * MS]);
    }
}
