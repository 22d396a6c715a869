//! Chance in a power cut: what survives of all that need not.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::rules::Cut;

/// Decides, step by step, what survives. A clean cut lets nothing survive.
pub(super) struct Dice {
    chance: Option<(ChaCha8Rng, f64)>,
}

impl Dice {
    pub(super) fn new(cut: Cut) -> Dice {
        let Cut::Torn(seed) = cut else { return Dice { chance: None } };
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // Nearly nothing, a half, nearly everything: most errors show at one of the ends.
        let share = [0.1, 0.5, 0.9][rng.random_range(0..3)];
        Dice {
            chance: Some((rng, share)),
        }
    }

    /// Whether the next thing survives.
    pub(super) fn keeps(&mut self) -> bool {
        self.chance.as_mut().is_some_and(|(rng, share)| rng.random_bool(*share))
    }

    /// Which of these bits survive.
    pub(super) fn some_of(&mut self, bits: u8) -> u8 {
        (0..8)
            .filter(|bit| bits & 1 << bit != 0 && self.keeps())
            .fold(0, |kept, bit| kept | 1 << bit)
    }

    /// How many of `n` steps in order survive.
    pub(super) fn prefix(&mut self, n: usize) -> usize {
        self.chance.as_mut().map_or(0, |(rng, _)| rng.random_range(0..=n))
    }
}
