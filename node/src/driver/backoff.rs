//! How long to wait before dialling again: exponential with full jitter ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015),
//! so that nodes that lost each other together do not come back in step.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::members::NodeIndex;

/// The first wait is at most this long.
const FIRST_MS_MAX: u64 = 20;

/// No wait is longer: with a connect limit of 500 ms a healed link is back within about a second.
const WAIT_MS_MAX: u64 = 500;

/// The waits of one peer's dialer.
#[derive(Debug)]
pub(super) struct Backoff {
    chance: ChaCha8Rng,
    failures: u32,
}

impl Backoff {
    /// Each peer has its own stream of the seed, so that a draw for one moves nothing for another.
    pub(super) fn of_peer(seed: u64, peer: NodeIndex) -> Backoff {
        let mut chance = ChaCha8Rng::seed_from_u64(seed);
        chance.set_stream(u64::from(peer.0));
        Backoff { chance, failures: 0 }
    }

    /// The next wait.
    pub(super) fn next_wait(&mut self) -> Duration {
        let ceiling_ms = FIRST_MS_MAX.saturating_mul(1 << self.failures.min(16)).min(WAIT_MS_MAX);
        self.failures = self.failures.saturating_add(1);
        Duration::from_millis(self.chance.random_range(0..=ceiling_ms))
    }

    /// A link was made: start over.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A seed from the operating system, by way of std's hasher keys, which are drawn from it. Good enough to spread waits.
pub(super) fn seed_from_entropy() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(seed: u64, peer: u16) -> Vec<u64> {
        let mut backoff = Backoff::of_peer(seed, NodeIndex(peer));
        (0..40).map(|_| backoff.next_wait().as_millis().try_into().unwrap()).collect()
    }

    #[test]
    fn waits_grow_to_the_cap_and_fill_the_whole_range() {
        let waits = waits(7, 1);
        assert!(waits[0] <= 20 && waits[1] <= 40 && waits.iter().all(|wait| *wait <= 500));
        assert!(
            waits[10..].iter().any(|wait| *wait < 150) && waits[10..].iter().any(|wait| *wait > 350),
            "{waits:?}"
        );
    }

    #[test]
    fn a_seed_and_a_peer_give_their_own_waits() {
        assert_eq!(waits(7, 1), waits(7, 1));
        assert_ne!(waits(7, 1), waits(7, 2));
        assert_ne!(waits(7, 1), waits(8, 1));
    }
}
