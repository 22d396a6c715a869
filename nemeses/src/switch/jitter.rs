//! How the time on a link's way varies: slowly, as a property of the link at that moment.
//!
//! A draw for each packet would either reorder packets (as netem does) or, with the order kept, shift the mean towards the maximum: at a thousand
//! packets a second 50 ms ± 10 became 55.5. So the deviation is a stationary AR(1) process on a grid of 10 ms, `x' = 0.9 x + sqrt(1 - 0.81) e` with
//! normal `e`, straight lines between the points of the grid, and cut off at three standard deviations. Its correlation is gone after
//! about a quarter of a second. Only where it falls faster than time passes (a standard deviation beyond some 10 ms) is a packet delayed by
//! the one before it.

use rand::{Rng, RngExt};

/// Between two points of the grid.
const STEP_NS: u64 = 10_000_000;
/// Correlation of two neighbours.
const KEPT: f64 = 0.9;
/// After so many steps nothing is left of the old value (0.9^100 is below 0.0001).
const STEPS_MAX: u64 = 100;
const DEVIATIONS_MAX: f64 = 3.0;

/// The process of one link.
#[derive(Debug)]
pub(super) struct Jitter {
    /// The point of the grid before now, and the values there and at the next.
    at: Option<u64>,
    now: f64,
    next: f64,
}

impl Jitter {
    pub(super) fn new() -> Jitter {
        Jitter {
            at: None,
            now: 0.0,
            next: 0.0,
        }
    }

    /// The deviation at a moment, in standard deviations. Moments do not run backwards.
    pub(super) fn at(&mut self, now_ns: u64, rng: &mut impl Rng) -> f64 {
        let (point, part) = (now_ns / STEP_NS, (now_ns % STEP_NS) as f64 / STEP_NS as f64);
        let steps = match self.at {
            Some(at) => point.saturating_sub(at).min(STEPS_MAX),
            None => {
                self.next = normal(rng);
                1
            }
        };
        for _ in 0..steps {
            self.now = self.next;
            self.next = KEPT * self.now + (1.0 - KEPT * KEPT).sqrt() * normal(rng);
        }
        self.at = Some(point.max(self.at.unwrap_or(0)));
        (self.now + part * (self.next - self.now)).clamp(-DEVIATIONS_MAX, DEVIATIONS_MAX)
    }
}

/// A standard normal number (Box and Muller 1958).
fn normal(rng: &mut impl Rng) -> f64 {
    // 1 minus a number of [0, 1) is never 0, which has no logarithm.
    let (radius, angle): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn is_stationary_and_slow() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut jitter = Jitter::new();
        let values: Vec<f64> = (0..200_000).map(|n| jitter.at(n * 1_000_000, &mut rng)).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
        // 20 000 points of which about one in nineteen is independent: standard errors near 0.03.
        assert!(mean.abs() < 0.15, "{mean}");
        assert!((variance - 1.0).abs() < 0.15, "{variance}");
        let steepest = values.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f64::max);
        assert!(steepest < 0.4, "{steepest} deviations in a millisecond");
        let far: f64 = values.iter().zip(&values[1000..]).map(|(one, other)| one * other).sum::<f64>() / values.len() as f64;
        assert!(far.abs() < 0.15, "correlated after a second: {far}");
    }

    #[test]
    fn a_long_silence_costs_nothing_and_forgets() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut jitter = Jitter::new();
        let first = jitter.at(0, &mut rng);
        assert_eq!(first, jitter.at(0, &mut rng));
        let later = jitter.at(u64::MAX, &mut rng);
        assert!(later.abs() <= DEVIATIONS_MAX);
    }
}
