//! Compressed time: moments to pixels so that order and equality are exact and lengths are not.
//!
//! A violation of a millisecond may follow a pause of a minute. Every distinct moment gets a step of its own, wider by the logarithm of
//! the time it stands for; the axis prints the times. What is left of and right of what can be read off exactly, what is how long cannot.

use std::collections::BTreeMap;

/// A stretch that needs room for its text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span {
    /// Its first moment.
    pub(super) from_ns: u64,
    /// Its last moment.
    pub(super) to_ns: u64,
    /// Least width in pixels.
    pub(super) width: f64,
}

/// Moments and their places.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    times_ns: Vec<u64>,
    /// One per moment, in pixels, the first 0.
    places: Vec<f64>,
}

/// Least and largest step between two moments that somebody compares, in pixels: a box's edges can be told apart, and no pause fills the
/// picture.
const STEP_PX: (f64, f64) = (26.0, 96.0);
/// The same between moments of the context, where only the order counts.
const CONTEXT_STEP_PX: (f64, f64) = (9.0, 36.0);

/// Places all `times_ns`; the value says whether the moment belongs to what is proved.
///
/// The step between neighbours is 18 px and 22 px per decade above 0.1 ms, within bounds; then, from the narrowest span outward, a span
/// that is too narrow widens its own steps evenly.
pub(super) fn compress(times_ns: &BTreeMap<u64, bool>, spans: &[Span]) -> Axis {
    let times: Vec<(u64, bool)> = times_ns.iter().map(|(&time_ns, &is_proof)| (time_ns, is_proof)).collect();
    let mut steps: Vec<f64> = times.windows(2).map(|pair| step(pair[0], pair[1])).collect();
    let place = |time_ns: u64| times.partition_point(|(other_ns, _)| *other_ns < time_ns).min(steps_end(&times));
    let mut spans: Vec<(usize, usize, f64)> = spans
        .iter()
        .map(|span| (place(span.from_ns), place(span.to_ns), span.width))
        .filter(|(from, to, _)| from < to)
        .collect();
    spans.sort_by_key(|(from, to, _)| (to - from, *from));
    for (from, to, width) in spans {
        let missing = width - steps[from..to].iter().sum::<f64>();
        if missing > 0.0 {
            let each = missing / (to - from) as f64;
            steps[from..to].iter_mut().for_each(|step| *step += each);
        }
    }
    let mut places = vec![0.0];
    for step in steps {
        places.push(places[places.len() - 1] + step);
    }
    Axis {
        times_ns: times.into_iter().map(|(time_ns, _)| time_ns).collect(),
        places,
    }
}

fn steps_end(times: &[(u64, bool)]) -> usize {
    times.len().saturating_sub(1)
}

fn step((from_ns, from_proof): (u64, bool), (to_ns, to_proof): (u64, bool)) -> f64 {
    let tenths_ms = (to_ns - from_ns) as f64 / 100_000.0;
    let width = 18.0 + 22.0 * (1.0 + tenths_ms).log10();
    let (width, (least, most)) = if from_proof && to_proof {
        (width, STEP_PX)
    } else {
        (width / 3.0, CONTEXT_STEP_PX)
    };
    // Rounded here, so that the last bit of a platform's logarithm cannot add up.
    (width.clamp(least, most) * 10.0).round() / 10.0
}

impl Axis {
    /// The place of a moment: exact for those that were asked for, in between for others, the nearest end outside.
    pub(super) fn x(&self, time_ns: u64) -> f64 {
        let after = self.times_ns.partition_point(|other_ns| *other_ns < time_ns);
        match (after.checked_sub(1), self.times_ns.get(after)) {
            (_, Some(&at_ns)) if at_ns == time_ns => self.places[after],
            (Some(before), Some(&after_ns)) => {
                let before_ns = self.times_ns[before];
                let part = (time_ns - before_ns) as f64 / (after_ns - before_ns) as f64;
                self.places[before] + part * (self.places[after] - self.places[before])
            }
            (None, _) => 0.0,
            (_, None) => self.width(),
        }
    }

    /// The whole width, in pixels.
    pub(super) fn width(&self) -> f64 {
        self.places.last().copied().unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn order_and_equality_are_exact_and_spans_have_their_room() {
        let mut chance = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        for _ in 0..500 {
            let scale = 10_u64.pow(chance.random_range(1..12));
            let drawn: Vec<u64> = (0..40).map(|_| chance.random_range(0..scale)).collect();
            let times: BTreeMap<u64, bool> = drawn.iter().map(|&time_ns| (time_ns, chance.random_range(0..2) == 0)).collect();
            let spans: Vec<Span> = drawn
                .chunks(2)
                .map(|pair| Span {
                    from_ns: pair[0].min(pair[1]),
                    to_ns: pair[0].max(pair[1]),
                    width: chance.random_range(1..300).into(),
                })
                .collect();
            let axis = compress(&times, &spans);
            for (from_ns, to_ns) in times.keys().zip(times.keys().skip(1)) {
                assert!(axis.x(*to_ns) - axis.x(*from_ns) >= 8.9, "{from_ns} and {to_ns} run together");
            }
            for span in spans.iter().filter(|span| span.from_ns < span.to_ns) {
                assert!(axis.x(span.to_ns) - axis.x(span.from_ns) >= span.width - 1e-6, "{span:?}");
            }
            assert!(axis.width() < 40.0 * 96.0 + 20.0 * 300.0);
        }
    }

    #[test]
    fn a_minute_is_not_much_wider_than_a_second() {
        let times = [(0, true), (1_000_000_000, true), (61_000_000_000, true)].into();
        let axis = compress(&times, &[]);
        assert!(axis.x(61_000_000_000) - axis.x(1_000_000_000) <= 96.0);
        assert_eq!(axis.x(u64::MAX), axis.width());
    }

    #[test]
    fn no_moment_is_no_width() {
        assert_eq!(compress(&BTreeMap::new(), &[]).width(), 0.0);
    }
}
