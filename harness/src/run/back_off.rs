//! How long a client leaves a node alone that it could not reach.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// First bound of the pause after a node was not reached; doubles with every further miss.
const BACK_OFF_MS_FIRST: u64 = 5;
/// Last bound: a healed node is found again within a quarter of a second.
const BACK_OFF_MS_MAX: u64 = 250;

/// The waits of one client: full jitter, so that clients which lost a node together do not return together (Brooker, "Exponential
/// Backoff And Jitter", 2015).
#[derive(Debug, Clone)]
pub struct BackOff {
    /// Attempts since a node was last reached.
    misses: u32,
    pauses: ChaCha8Rng,
}

impl BackOff {
    /// Of the client at this seat; each has a generator of its own.
    pub fn new(seed: u64, seat: u32) -> BackOff {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..23].copy_from_slice(b"client.back-off");
        let mut pauses = ChaCha8Rng::from_seed(key);
        pauses.set_stream(u64::from(seat));
        BackOff { misses: 0, pauses }
    }

    /// Takes note of an attempt.
    pub fn count(&mut self, was_reached: bool) {
        self.misses = if was_reached { 0 } else { self.misses.saturating_add(1) };
    }

    /// How long to wait now; `None` if the node was reached.
    pub fn pause(&mut self) -> Option<Duration> {
        let doublings = self.misses.checked_sub(1)?;
        let bound_ms = BACK_OFF_MS_FIRST
            .checked_shl(doublings.min(16))
            .unwrap_or(BACK_OFF_MS_MAX)
            .min(BACK_OFF_MS_MAX);
        Some(Duration::from_micros(self.pauses.random_range(0..=bound_ms * 1000)))
    }

    /// A pause before asking again, in ns: anything up to the bound.
    pub fn jitter_ns(&mut self, bound_ns: u64) -> u64 {
        self.pauses.random_range(0..=bound_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_quarter_of_a_second_and_differ_between_clients() {
        let pauses = |seat: u32| {
            let mut back_off = BackOff::new(7, seat);
            back_off.count(true);
            assert_eq!(back_off.pause(), None, "nothing was missed yet");
            let mut miss = || {
                back_off.count(false);
                back_off.pause().expect("a node was missed")
            };
            (0..100).map(|_| miss()).collect::<Vec<_>>()
        };
        let first = pauses(0);
        assert!(
            first[0] <= Duration::from_millis(5) && first[2] <= Duration::from_millis(20),
            "{first:?}"
        );
        assert!(first.iter().all(|pause| *pause <= Duration::from_millis(250)));
        assert!(first.iter().any(|pause| *pause > Duration::from_millis(150)));
        assert_eq!(first, pauses(0));
        assert_ne!(first, pauses(1));
    }
}
