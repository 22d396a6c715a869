//! What two faults in force on the same link come to: what a packet would meet that had to take two such links in a row.
//!
//! Delays add, independent chances combine, the narrower bottleneck and the smaller size count, and of two processes in time of
//! which a link can have only one (bursts, gates) the worse one does. The rule does not care which fault came first.

use super::quality::{Burst, Gate, Quality, Rate, Reorder, either_ppm};
use crate::world::Compose;

impl Compose for Quality {
    fn and(&mut self, other: &Quality) {
        *self = self.with(other);
    }
}

impl Quality {
    /// Both at once.
    #[must_use]
    pub fn with(&self, other: &Quality) -> Quality {
        Quality {
            cut: self.cut || other.cut,
            cut_ports: self.cut_ports.union(&other.cut_ports).copied().collect(),
            flap: worse(self.flap, other.flap, gate_badness),
            resets: self.resets.saturating_add(other.resets),
            refuse: self.refuse || other.refuse,
            mtu: least(self.mtu, other.mtu),
            loss_ppm: either_ppm(self.loss_ppm, other.loss_ppm),
            burst: worse(self.burst, other.burst, burst_badness),
            rate: narrower(self.rate, other.rate),
            delay_us: self.delay_us.saturating_add(other.delay_us),
            jitter_us: self.jitter_us.saturating_add(other.jitter_us),
            stall: worse(self.stall, other.stall, gate_badness),
            reorder: reordered(self.reorder, other.reorder),
            duplicate_ppm: either_ppm(self.duplicate_ppm, other.duplicate_ppm),
            corrupt_ppm: either_ppm(self.corrupt_ppm, other.corrupt_ppm),
            corrupt_past_checksum_ppm: either_ppm(self.corrupt_past_checksum_ppm, other.corrupt_past_checksum_ppm),
        }
    }
}

/// The one with the greater badness, where both are there.
fn worse<T: Copy, B: Ord>(one: Option<T>, other: Option<T>, badness: fn(T) -> B) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if badness(other) > badness(one) { other } else { one }),
        _ => one.or(other),
    }
}

fn least(one: Option<u16>, other: Option<u16>) -> Option<u16> {
    one.into_iter().chain(other).min()
}

/// All fields take part, so that two that are not the same never tie and the rule stays symmetric.
fn gate_badness(gate: Gate) -> (u64, u64, u64, u64) {
    (gate.closed_ppm(), gate.closed_us, u64::MAX - gate.open_us, u64::MAX - gate.first_us)
}

fn burst_badness(burst: Burst) -> (u32, u32, u32, u32) {
    (burst.mean_loss_ppm(), burst.loss_ppm, burst.enter_ppm, burst.leave_ppm)
}

/// The narrower one decides the pace; a packet waits in front of it, so its queue counts. Of equals, the shorter queue.
fn narrower(one: Option<Rate>, other: Option<Rate>) -> Option<Rate> {
    one.into_iter().chain(other).min_by_key(|rate| (rate.kbit_per_s, rate.queue_us))
}

fn reordered(one: Option<Reorder>, other: Option<Reorder>) -> Option<Reorder> {
    match (one, other) {
        (Some(one), Some(other)) => Some(Reorder {
            share_ppm: either_ppm(one.share_ppm, other.share_ppm),
            by_us: one.by_us.max(other.by_us),
        }),
        _ => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn bad(number: u32) -> Quality {
        let gate = Gate {
            first_us: u64::from(number),
            closed_us: 1000 * u64::from(number),
            open_us: 500,
        };
        Quality {
            cut: number == 9,
            cut_ports: BTreeSet::from([number as u16]),
            flap: Some(gate),
            resets: number,
            refuse: number == 8,
            mtu: Some(1000 + number as u16),
            loss_ppm: 100_000 * number,
            burst: Some(Burst {
                enter_ppm: 1000 * number,
                leave_ppm: 100_000,
                loss_ppm: 1_000_000,
            }),
            rate: Some(Rate {
                kbit_per_s: 1000 * u64::from(number),
                queue_us: 50_000,
            }),
            delay_us: 10 * u64::from(number),
            jitter_us: u64::from(number),
            stall: Some(gate),
            reorder: Some(Reorder {
                share_ppm: 100_000 * number,
                by_us: u64::from(number),
            }),
            duplicate_ppm: 100_000 * number,
            corrupt_ppm: 100_000 * number,
            corrupt_past_checksum_ppm: 100_000 * number,
        }
    }

    #[test]
    fn a_healthy_link_changes_nothing() {
        assert_eq!(bad(3).with(&Quality::default()), bad(3));
        assert_eq!(Quality::default().with(&bad(3)), bad(3));
    }

    #[test]
    fn the_order_of_two_faults_does_not_matter() {
        for (one, other) in [(1, 2), (2, 1), (3, 9), (5, 5)] {
            assert_eq!(bad(one).with(&bad(other)), bad(other).with(&bad(one)));
        }
    }

    #[test]
    fn two_are_worse_than_each() {
        let both = bad(1).with(&bad(2));
        assert_eq!((both.delay_us, both.jitter_us, both.resets), (30, 3, 3));
        assert_eq!((both.loss_ppm, both.duplicate_ppm), (280_000, 280_000), "0.1 + 0.2 - 0.02");
        assert_eq!((both.mtu, both.rate.unwrap().kbit_per_s), (Some(1001), 1000));
        assert_eq!((both.flap, both.stall, both.burst), (bad(2).flap, bad(2).stall, bad(2).burst));
        assert_eq!((both.reorder.unwrap().by_us, both.cut_ports.len()), (2, 2));
        assert!(bad(8).with(&bad(1)).refuse && bad(1).with(&bad(9)).cut);
    }
}
