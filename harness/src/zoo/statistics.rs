//! What a handful of runs says about a rate, and about a time that was not always reached.

/// The 0.975 quantile of the normal distribution: two-sided intervals of 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// The interval of 95 % in which the rate lies that gave `hits` of `runs` (Wilson 1927): from 0 to 1 if there was no run.
pub(super) fn wilson(hits: u32, runs: u32) -> (f64, f64) {
    if runs == 0 {
        return (0.0, 1.0);
    }
    let (hits, runs) = (f64::from(hits), f64::from(runs));
    let rate = hits / runs;
    let denominator = 1.0 + Z * Z / runs;
    let centre = (rate + Z * Z / (2.0 * runs)) / denominator;
    let half = Z * (rate * (1.0 - rate) / runs + Z * Z / (4.0 * runs * runs)).sqrt() / denominator;
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

/// How long one subject was watched, in seconds, and whether the event came at the end of it. If not, it was still to come (right-censored).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Watched {
    pub(super) seconds: f64,
    pub(super) found: bool,
}

/// The median time to an event, with the interval of 95 %. A bound that the data does not reach is absent.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize)]
pub(super) struct Median {
    /// The time at which half are found.
    pub(super) seconds: Option<f64>,
    /// Its lower bound.
    pub(super) from: Option<f64>,
    /// Its upper bound.
    pub(super) to: Option<f64>,
}

/// The median of right-censored times: where the survival curve of Kaplan and Meier (1958) falls to one half; the interval is that of
/// Brookmeyer and Crowley (1982) with Greenwood's variance.
pub(super) fn median(watched: &[Watched]) -> Median {
    let mut times: Vec<f64> = watched.iter().filter(|one| one.found).map(|one| one.seconds).collect();
    times.sort_by(f64::total_cmp);
    times.dedup();
    let (mut survival, mut greenwood) = (1.0_f64, 0.0_f64);
    let mut median = Median::default();
    for time in times {
        let at_risk = watched.iter().filter(|one| one.seconds >= time).count() as f64;
        let events = watched.iter().filter(|one| one.found && one.seconds == time).count() as f64;
        survival *= 1.0 - events / at_risk;
        if at_risk > events {
            greenwood += events / (at_risk * (at_risk - events));
        }
        let half_width = Z * survival * greenwood.sqrt();
        if median.from.is_none() && survival - half_width <= 0.5 {
            median.from = Some(time);
        }
        if median.seconds.is_none() && survival <= 0.5 {
            median.seconds = Some(time);
        }
        if median.to.is_none() && survival + half_width < 0.5 {
            median.to = Some(time);
        }
    }
    median
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_wilson(hits: u32, runs: u32, expected: (f64, f64)) {
        let (from, to) = wilson(hits, runs);
        assert!(
            (from - expected.0).abs() < 5e-4 && (to - expected.1).abs() < 5e-4,
            "{hits} of {runs}: {from} to {to}"
        );
    }

    #[test]
    fn the_interval_of_a_rate_is_that_of_the_literature() {
        // Newcombe 1998, table I, method 3.
        check_wilson(81, 263, (0.2553, 0.3662));
        check_wilson(15, 148, (0.0624, 0.1605));
        check_wilson(0, 20, (0.0, 0.1611));
        check_wilson(1, 29, (0.0061, 0.1718));
        check_wilson(0, 0, (0.0, 1.0));
    }

    fn found(seconds: f64) -> Watched {
        Watched { seconds, found: true }
    }

    fn missed(seconds: f64) -> Watched {
        Watched { seconds, found: false }
    }

    #[test]
    fn the_median_of_complete_times_is_the_usual_one() {
        assert_eq!(median(&[found(1.0), found(2.0), found(9.0)]).seconds, Some(2.0));
    }

    #[test]
    fn who_was_not_found_counts_as_long_as_it_was_watched() {
        let all = [found(1.0), found(2.0), missed(3.0), missed(3.0), missed(3.0)];
        assert_eq!(median(&all).seconds, None, "fewer than half were found");
        let early = [found(1.0), found(2.0), missed(0.5), missed(0.5), found(4.0)];
        assert_eq!(median(&early).seconds, Some(2.0), "those that left early say nothing of later");
        assert_eq!(median(&[]), Median::default());
    }

    /// Remission times of 21 patients under 6-MP (Freireich et al. 1963), the textbook example: median 23 weeks, from 13 on.
    #[test]
    fn the_median_and_its_interval_are_those_of_the_textbook() {
        let events = [6.0, 6.0, 6.0, 7.0, 10.0, 13.0, 16.0, 22.0, 23.0].map(found);
        let censored = [6.0, 9.0, 10.0, 11.0, 17.0, 19.0, 20.0, 25.0, 32.0, 32.0, 34.0, 35.0].map(missed);
        let all: Vec<Watched> = events.into_iter().chain(censored).collect();
        let median = median(&all);
        assert_eq!((median.seconds, median.from, median.to), (Some(23.0), Some(13.0), None));
    }
}
