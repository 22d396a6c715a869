//! Moments of a history as sentences give them: seconds since its origin, cut and never rounded, so that what is earlier never shows as later.

/// `12.118 s`.
pub fn seconds(time_ns: u64) -> String {
    with_digits(time_ns, 3)
}

/// `1.203999 s` with 6 digits; at most 9.
pub fn with_digits(time_ns: u64, digits: usize) -> String {
    let fraction = format!("{:09}", time_ns % 1_000_000_000);
    format!("{}.{} s", time_ns / 1_000_000_000, &fraction[..digits.min(9)])
}

/// The fewest digits behind the point, of 3, 6 and 9, at which `tells_apart` holds of the nanoseconds of the last one; else 9.
pub fn fewest_digits(tells_apart: impl Fn(u64) -> bool) -> usize {
    let holds = |digits: &usize| tells_apart(10_u64.pow(9 - *digits as u32));
    [3, 6].into_iter().find(holds).unwrap_or(9)
}

/// The digits that tell different ones of these moments apart.
pub fn digits_of(times_ns: &[u64]) -> usize {
    let mut times_ns = times_ns.to_vec();
    times_ns.sort_unstable();
    times_ns.dedup();
    fewest_digits(|unit_ns| times_ns.windows(2).all(|pair| pair[0] / unit_ns < pair[1] / unit_ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_cut_to_their_digits() {
        assert_eq!(seconds(1_203_999_999), "1.203 s");
        assert_eq!(with_digits(1_203_999_999, 9), "1.203999999 s");
        assert_eq!(with_digits(0, 6), "0.000000 s");
        assert_eq!(seconds(7_200_000_000_001), "7200.000 s");
    }

    #[test]
    fn different_moments_are_shown_differently() {
        assert_eq!(digits_of(&[1_203_000_000, 1_204_000_000]), 3);
        assert_eq!(digits_of(&[1_203_999_999, 1_204_000_000]), 3);
        assert_eq!(digits_of(&[1_203_000_000, 1_203_999_999]), 6);
        assert_eq!(digits_of(&[5, 6]), 9);
        assert_eq!(digits_of(&[7, 7]), 3);
        assert_eq!(digits_of(&[3_000_000, 1_000_000, 1_001_000]), 6);
    }
}
