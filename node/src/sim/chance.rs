//! Draws: a generator for each concern, derived from the seed by name, so that a draw added in one place moves nothing elsewhere.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::world::Delay;

/// How often a [`Delay`] may double.
const DOUBLINGS_MAX: u32 = 5;

/// The draws of one concern.
#[derive(Debug, Clone)]
pub struct Chance {
    generator: ChaCha8Rng,
}

impl Chance {
    /// The draws of `seed` for `concern`: at most 24 bytes of ASCII, like `sim.network`.
    ///
    /// # Panics
    /// If the name is longer.
    pub fn new(seed: u64, concern: &str) -> Chance {
        assert!(concern.len() <= 24, "`{concern}` does not fit into the key beside the seed");
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..8 + concern.len()].copy_from_slice(concern.as_bytes());
        Chance {
            generator: ChaCha8Rng::from_seed(key),
        }
    }

    /// A number below `bound`; 0 if that is 0.
    ///
    /// Multiplies instead of rejecting, so that every draw takes one word; the bias, `bound` in 2^64, is below any measurement.
    pub fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.generator.next_u64()) * u128::from(bound);
        u64::try_from(product >> 64).expect("the upper half of a product of two 64-bit numbers has 64 bits")
    }

    /// True in `per_mille` of 1,000 draws.
    pub fn happens(&mut self, per_mille: u16) -> bool {
        self.below(1000) < u64::from(per_mille)
    }

    /// A delay in ns: at least `least_ns`, then uniform within a spread that doubles by coin, up to five times. Mostly short and sometimes
    /// thirty times as long, so that overtaking is common. Whole numbers only: no logarithm, which machines may round differently.
    pub fn delay_ns(&mut self, delay: Delay) -> u64 {
        let word = self.generator.next_u64();
        let doublings = word.trailing_ones().min(DOUBLINGS_MAX);
        let share = u128::from(word >> 32) * u128::from(delay.spread_ns);
        delay.least_ns + (u64::try_from(share >> 32).expect("a part of 64 bits") << doublings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concerns_and_seeds_draw_for_themselves() {
        let first = |seed, concern| Chance::new(seed, concern).below(u64::MAX);
        assert_eq!(first(7, "sim.network"), first(7, "sim.network"));
        assert_ne!(first(7, "sim.network"), first(8, "sim.network"));
        assert_ne!(first(7, "sim.network"), first(7, "sim.disk"));
    }

    #[test]
    fn delays_are_mostly_short_and_sometimes_long() {
        let mut chance = Chance::new(1, "test");
        let delay = Delay {
            least_ns: 100,
            spread_ns: 1000,
        };
        let drawn: Vec<u64> = (0..10_000).map(|_| chance.delay_ns(delay)).collect();
        assert!(drawn.iter().all(|ns| (100..100 + 32_000).contains(ns)));
        let longer = |than: u64| drawn.iter().filter(|ns| **ns > than).count();
        assert!((3_000..7_000).contains(&longer(1_100)), "{}", longer(1_100));
        assert!((20..500).contains(&longer(16_000)), "{}", longer(16_000));
    }

    #[test]
    fn what_happens_never_or_always_does() {
        let mut chance = Chance::new(1, "test");
        assert!((0..1000).all(|_| !chance.happens(0) && chance.happens(1000) && chance.below(0) == 0));
    }
}
