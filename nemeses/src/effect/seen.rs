//! What became of a flow of datagrams.

use std::collections::BTreeSet;

/// One datagram that arrived intact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its number, from 0.
    pub number: u32,
    /// When, in nanoseconds since the flow began.
    pub arrived_ns: u64,
}

/// A flow over one link, as it was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// When each datagram was sent, in nanoseconds since the flow began.
    pub sent_ns: Vec<u64>,
    /// Those that arrived intact, in the order of their arrival.
    pub arrivals: Vec<Arrival>,
    /// Those that arrived damaged.
    pub n_damaged: u32,
}

impl Seen {
    /// Datagrams sent.
    #[must_use]
    pub fn sent(&self) -> u32 {
        self.sent_ns.len() as u32
    }

    /// Different datagrams that arrived intact.
    #[must_use]
    pub fn arrived(&self) -> u32 {
        self.arrivals.iter().map(|arrival| arrival.number).collect::<BTreeSet<_>>().len() as u32
    }

    /// Datagrams that did not arrive at all, or only damaged; a damaged one takes the place of one that is missing.
    #[must_use]
    pub fn lost(&self) -> u32 {
        (self.sent() - self.arrived()).saturating_sub(self.n_damaged)
    }

    /// Arrivals of datagrams that had arrived already.
    #[must_use]
    pub fn duplicated(&self) -> u32 {
        self.arrivals.len() as u32 - self.arrived()
    }

    /// Datagrams that a later one overtook.
    #[must_use]
    pub fn overtaken(&self) -> u32 {
        let (mut greatest, mut first, mut overtaken) = (None, BTreeSet::new(), 0);
        for arrival in &self.arrivals {
            if first.insert(arrival.number) {
                overtaken += u32::from(greatest > Some(arrival.number));
                greatest = greatest.max(Some(arrival.number));
            }
        }
        overtaken
    }

    /// Times one way, in nanoseconds, the shortest first.
    #[must_use]
    pub fn one_way_ns(&self) -> Vec<u64> {
        let time = |arrival: &Arrival| arrival.arrived_ns.saturating_sub(self.sent_ns[arrival.number as usize]);
        let mut times: Vec<u64> = self.arrivals.iter().map(time).collect();
        times.sort_unstable();
        times
    }

    /// The median time one way, in microseconds; `None` if nothing arrived.
    #[must_use]
    pub fn median_us(&self) -> Option<u64> {
        let times = self.one_way_ns();
        times.get(times.len() / 2).map(|ns| ns / 1000)
    }

    /// The longest time in which nothing arrived, in microseconds, from the first datagram's sending to the last one's; a flow that ends in silence
    /// counts as silent until then.
    #[must_use]
    pub fn longest_silence_us(&self) -> u64 {
        let (Some(first), Some(last)) = (self.sent_ns.first(), self.sent_ns.last()) else {
            return 0;
        };
        let moments = self.arrivals.iter().map(|arrival| arrival.arrived_ns);
        let (mut before, mut longest) = (*first, 0);
        for moment in moments.chain([*last]) {
            longest = longest.max(moment.saturating_sub(before));
            before = before.max(moment);
        }
        longest / 1000
    }

    /// The longest time in which all that was sent was lost, in microseconds: from the sending of the first datagram of those that did not arrive,
    /// one after another, to that of the last.
    #[must_use]
    pub fn longest_loss_us(&self) -> u64 {
        let arrived: BTreeSet<u32> = self.arrivals.iter().map(|arrival| arrival.number).collect();
        let (mut first_lost, mut longest) = (None, 0);
        for (number, sent_ns) in (0..).zip(&self.sent_ns) {
            if arrived.contains(&number) {
                first_lost = None;
            } else {
                longest = longest.max(sent_ns - *first_lost.get_or_insert(*sent_ns));
            }
        }
        longest / 1000
    }

    /// The pace of the arrivals behind the first, in thousands of bits of IP a second; `None` with fewer than three. Duplicates do not count.
    #[must_use]
    pub fn kbit_per_s(&self, bytes: usize) -> Option<u64> {
        let (first, last) = (self.arrivals.first()?, self.arrivals.last()?);
        let span_ns = last.arrived_ns.saturating_sub(first.arrived_ns).max(1);
        let n = u64::from(self.arrived());
        let bits = (n - 1) * bytes as u64 * 8;
        (n >= 3).then(|| (u128::from(bits) * 1_000_000 / u128::from(span_ns)) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(sent: usize, arrivals: &[(u32, u64)]) -> Seen {
        Seen {
            sent_ns: (0..sent as u64).map(|n| n * 1000).collect(),
            arrivals: arrivals
                .iter()
                .map(|&(number, arrived_ns)| Arrival { number, arrived_ns })
                .collect(),
            n_damaged: 0,
        }
    }

    #[test]
    fn counts_each_fate() {
        let seen = seen(6, &[(0, 500), (2, 2500), (2, 2600), (1, 4000), (5, 9000)]);
        assert_eq!((seen.sent(), seen.arrived(), seen.lost()), (6, 4, 2));
        assert_eq!((seen.duplicated(), seen.overtaken()), (1, 1));
        assert_eq!(seen.one_way_ns(), [500, 500, 600, 3000, 4000]);
        assert_eq!((seen.median_us(), seen.longest_silence_us()), (Some(0), 5));
    }

    #[test]
    fn a_flow_that_never_arrives_is_silent_all_along() {
        assert_eq!(seen(6, &[]).longest_silence_us(), 5);
        assert_eq!(seen(9, &[(0, 2000)]).longest_silence_us(), 6);
        assert_eq!(Seen::default().longest_silence_us(), 0);
    }

    #[test]
    fn a_machine_that_halts_makes_silence_and_no_loss_and_a_shut_gate_makes_both() {
        // Sent once in a microsecond; all arrive, but late.
        let halted = seen(6, &[(0, 0), (1, 900_000), (2, 900_000), (3, 900_000), (4, 900_000), (5, 900_000)]);
        assert_eq!((halted.longest_silence_us(), halted.longest_loss_us()), (900, 0));
        let shut = seen(9, &[(0, 0), (2, 2000), (7, 7000), (8, 8000)]);
        assert_eq!((shut.longest_silence_us(), shut.longest_loss_us()), (5, 3));
        assert_eq!(seen(5, &[]).longest_loss_us(), 4);
        assert_eq!(Seen::default().longest_loss_us(), 0);
    }

    #[test]
    fn a_damaged_datagram_is_not_lost() {
        let damaged = Seen {
            n_damaged: 2,
            ..seen(5, &[(0, 1), (1, 2)])
        };
        assert_eq!((damaged.lost(), damaged.arrived()), (1, 2));
    }

    #[test]
    fn the_pace_is_that_of_the_arrivals() {
        // 1000 bytes a millisecond are 8 Mbit/s.
        let paced = seen(9, &[(0, 0), (0, 1), (1, 1_000_000), (2, 2_000_000)]);
        assert_eq!(
            (paced.kbit_per_s(1000), seen(9, &[(0, 0), (1, 5)]).kbit_per_s(1000)),
            (Some(8000), None)
        );
    }
}
