//! What a link of a given quality must do to a flow, as bounds on counts: tight enough to tell a fault from none, wide enough for chance.
//!
//! A count that chance decides must lie within five standard deviations of its mean: a false alarm in two million probes. Where another fault
//! on the same link adds losses or waits of its own, only the lower bound holds.

use serde::{Deserialize, Serialize};

use crate::link::{Burst, CERTAIN_PPM, Quality};

const DEVIATIONS: f64 = 5.0;
/// Datagrams of a flow that shows chance, at least; a probe of a small share takes more, so that sixty are hit.
const FLOW_MIN: u32 = 1000;
const FLOW_MAX: u32 = 10_000;
const HITS: u32 = 60;

/// A figure and where it must lie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// What was counted or measured, with its unit.
    pub what: String,
    /// What it was.
    pub seen: u64,
    /// At least so much was expected.
    pub least: u64,
    /// At most so much was; `None`: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<u64>,
}

impl Bound {
    pub(crate) fn new(what: &str, seen: u64, (least, most): (u64, Option<u64>)) -> Bound {
        Bound {
            what: what.into(),
            seen,
            least,
            most,
        }
    }

    /// Whether it lies there.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.seen >= self.least && self.most.is_none_or(|most| self.seen <= most)
    }
}

/// How many datagrams show shares of packets, each with its variance factor; all shares that are not 0 are to be shown.
pub(super) fn flow_length(shares: &[(u32, f64)]) -> u32 {
    let shown = shares.iter().filter(|(share_ppm, _)| *share_ppm > 0);
    let lengths = shown.map(|(share_ppm, variance)| f64::from(HITS) * variance * f64::from(CERTAIN_PPM) / f64::from(*share_ppm));
    let most = lengths.fold(0.0, f64::max);
    if most > 0.0 { (most as u32).clamp(FLOW_MIN, FLOW_MAX) } else { 0 }
}

/// Where the count of hits among `n` must lie. Of a share of 0 a few may be hit by accident: a full buffer of a loaded machine.
pub(super) fn binomial(n: u32, share_ppm: u32, variance_factor: f64) -> (u64, Option<u64>) {
    if share_ppm == 0 {
        return (0, Some(u64::from(n / 1000 + 5)));
    }
    let (trials, share) = (f64::from(n), f64::from(share_ppm) / f64::from(CERTAIN_PPM));
    let (mean, deviation) = (trials * share, (trials * share * (1.0 - share) * variance_factor).sqrt());
    let reach = DEVIATIONS * deviation;
    ((mean - reach).max(0.0).floor() as u64, Some((mean + reach).ceil() as u64))
}

/// By how much the variance of a count is greater than that of independent trials, for losses in bursts: with correlation r of neighbours, in the
/// long run (1 + r) / (1 - r).
pub(super) fn burst_variance(burst: Option<Burst>) -> f64 {
    let Some(burst) = burst else { return 1.0 };
    let turns = f64::from(burst.enter_ppm + burst.leave_ppm) / f64::from(CERTAIN_PPM);
    // A chain that turns more often than not has less variance than chance; count it as chance.
    ((2.0 - turns) / turns.max(f64::EPSILON)).max(1.0)
}

/// Where the median time one way must lie, in microseconds. A heal is told from no heal by half of what went away; a machine may be so slow
/// that a fault delays more than asked, which is no reason to doubt it.
pub(super) fn delay(before: &Quality, now: &Quality) -> (u64, Option<u64>) {
    let spread = 3 * now.jitter_us;
    let least = now.delay_us.saturating_sub(spread);
    let most = (before.delay_us > now.delay_us).then(|| {
        let went_away = before.delay_us - now.delay_us;
        now.delay_us + spread + went_away.div_ceil(2)
    });
    (least, most.filter(|_| !adds_waits(now)))
}

/// Whether packets may be missing or late for reasons that have no share or length.
pub(super) fn adds_waits(quality: &Quality) -> bool {
    quality.rate.is_some() || quality.flap.is_some() || quality.stall.is_some()
}

/// Whether packets may be missing, or damaged, by chance.
pub(super) fn adds_losses(quality: &Quality) -> bool {
    quality.mean_loss_ppm() > 0 || quality.corrupt_ppm > 0 || quality.corrupt_past_checksum_ppm > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_of_loss_tells_it_from_none() {
        for share in [10_000, 20_000, 100_000, 500_000, 990_000] {
            let n = flow_length(&[(share, 1.0), (0, 9.0)]);
            let (least, _) = binomial(n, share, 1.0);
            let (_, none) = binomial(n, 0, 1.0);
            assert!(n >= 1000 && least > none.unwrap(), "{share}: {n}, {least}");
        }
        assert_eq!(flow_length(&[(0, 1.0)]), 0);
        let n = flow_length(&[(100_000, 9.0)]);
        assert!(binomial(n, 100_000, 9.0).0 > binomial(n, 0, 1.0).1.unwrap(), "{n}");
    }

    #[test]
    fn the_interval_is_that_of_the_binomial() {
        // Mean 100, standard deviation 9.49.
        assert_eq!(binomial(1000, 100_000, 1.0), (52, Some(148)));
        assert_eq!(binomial(1000, 0, 1.0), (0, Some(6)));
        let burst = Burst {
            enter_ppm: 20_000,
            leave_ppm: 180_000,
            loss_ppm: 1_000_000,
        };
        assert!((burst_variance(Some(burst)) - 9.0).abs() < 1e-9);
        assert_eq!(binomial(1000, 100_000, 9.0), (0, Some(243)));
    }

    #[test]
    fn a_heal_of_a_delay_is_told_from_none_and_a_slow_machine_is_no_failure() {
        let slow = |delay_us| Quality {
            delay_us,
            ..Quality::default()
        };
        assert_eq!(delay(&slow(0), &slow(50_000)), (50_000, None));
        assert_eq!(delay(&slow(50_000), &slow(0)), (0, Some(25_000)));
        assert_eq!(delay(&slow(80_000), &slow(50_000)), (50_000, Some(65_000)));
    }

    #[test]
    fn a_bound_holds_from_end_to_end() {
        let holds = |seen| Bound::new("x", seen, (2, Some(4))).holds();
        assert_eq!([1, 2, 4, 5].map(holds), [false, true, true, false]);
        assert!(Bound::new("x", u64::MAX, (2, None)).holds());
    }
}
