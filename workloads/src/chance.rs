//! Chance that can be asked out of order: a number for each (seed, concern, client, count).
//!
//! ChaCha8 (`rand_chacha` 0.10) by name, never `StdRng`: the documentation of `rand` warns that the latter may change. One key per concern, one
//! ChaCha stream per client, one 64-bit word per count: a draw added to one concern moves nothing in another, and a client that skips
//! counts draws what it would have drawn anyway.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// One client's draws for one concern.
#[derive(Debug, Clone)]
pub(crate) struct Draws {
    rng: ChaCha8Rng,
    /// The count whose word the generator gives next.
    position: u64,
}

impl Draws {
    /// The draws of `client` for `concern`, which is part of the key: at most 24 bytes of ASCII.
    pub(crate) fn new(seed: u64, concern: &str, client: u32) -> Draws {
        assert!(concern.len() <= 24, "`{concern}` does not fit into the key beside the seed");
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..8 + concern.len()].copy_from_slice(concern.as_bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(u64::from(client));
        Draws { rng, position: 0 }
    }

    /// The number at `count`, uniform in `0..bound`. Cheap when counts come in order.
    ///
    /// Multiplies instead of rejecting, so that every count takes exactly one word; the bias, `bound` in 2^64, is below any measurement.
    pub(crate) fn below(&mut self, count: u64, bound: u64) -> u64 {
        if count != self.position {
            // Two 32-bit words for each count.
            self.rng.set_word_pos(u128::from(count) * 2);
        }
        self.position = count.wrapping_add(1);
        let product = u128::from(self.rng.next_u64()) * u128::from(bound);
        u64::try_from(product >> 64).expect("the upper half of a product of two 64-bit numbers has 64 bits")
    }
}

#[cfg(test)]
mod tests {
    use super::Draws;

    #[test]
    fn gives_the_same_number_for_a_count_whatever_was_asked_before() {
        let mut forward = Draws::new(7, "test", 3);
        let expected: Vec<u64> = (0..200).map(|count| forward.below(count, 1000)).collect();
        let mut backward = Draws::new(7, "test", 3);
        for count in (0..200u64).rev() {
            assert_eq!(backward.below(count, 1000), expected[count as usize], "count {count}");
        }
    }

    #[test]
    fn separates_seeds_concerns_and_clients() {
        let first = |seed, concern, client| Draws::new(seed, concern, client).below(0, u64::MAX);
        let reference = first(7, "test", 3);
        assert_ne!(reference, first(8, "test", 3));
        assert_ne!(reference, first(7, "tess", 3));
        assert_ne!(reference, first(7, "test", 4));
    }

    #[test]
    fn covers_the_whole_range_evenly() {
        let mut draws = Draws::new(1, "test", 0);
        let mut hits = [0u32; 10];
        (0..10_000).for_each(|count| hits[draws.below(count, 10) as usize] += 1);
        assert!(hits.iter().all(|&n| (850..1150).contains(&n)), "{hits:?}");
    }
}
