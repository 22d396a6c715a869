//! Times, ranges and other values as they are typed.

use std::ops::RangeInclusive;

use squall_nemeses::NetworkKind;

/// Lengths of time, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Times(pub(super) RangeInclusive<u64>);

/// Parts of a hundred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Percents(pub(super) RangeInclusive<u32>);

pub(super) fn parse_times_ms(text: &str) -> Result<Times, String> {
    parse_range(text, parse_time_ms).map(Times)
}

pub(super) fn parse_percents(text: &str) -> Result<Percents, String> {
    let percent = |text: &str| match text.parse() {
        Ok(percent @ 0..=100) => Ok(percent),
        _ => Err(format!("`{text}` is no whole number from 0 to 100")),
    };
    parse_range(text, percent).map(Percents)
}

/// Reads `A..B`, or `A` for both.
fn parse_range<T: PartialOrd + Copy>(text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<RangeInclusive<T>, String> {
    let (least, most) = text.split_once("..").unwrap_or((text, text));
    let (least, most) = (parse(least)?, parse(most)?);
    if least > most {
        return Err("write the smaller one first".into());
    }
    Ok(least..=most)
}

pub(super) fn parse_network(text: &str) -> Result<NetworkKind, String> {
    text.parse()
}

/// Reads `15s`, `2m`, `500ms`, `1h`; a bare number is seconds.
pub(in crate::cli) fn parse_time_ms(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("`{unit}` is no unit of time; write 500ms, 15s, 2m or 1h")),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| String::from("write a whole number and a unit: 500ms, 15s, 2m or 1h"))?;
    number
        .checked_mul(factor)
        .filter(|ms| (1..=86_400_000).contains(ms))
        .ok_or_else(|| String::from("between 1ms and 24h"))
}

pub(super) fn parse_offset(text: &str) -> Result<(String, i64), String> {
    let (node, offset) = text.split_once('=').ok_or("write it as NODE=MS: n2=500")?;
    let offset = offset.parse().map_err(|_| format!("`{offset}` is no number of milliseconds"))?;
    Ok((node.to_owned(), offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ranges_and_refuses_the_rest() {
        assert_eq!(parse_times_ms("500ms..2s"), Ok(Times(500..=2_000)));
        assert_eq!(parse_times_ms("2s"), Ok(Times(2_000..=2_000)));
        assert_eq!(parse_percents("20..80"), Ok(Percents(20..=80)));
        for wrong in ["3s..1s", "..", "1s..", "..1s", "1s...2s", "1s..2s..3s"] {
            assert!(parse_times_ms(wrong).is_err(), "{wrong}");
        }
        for wrong in ["101", "80..20", "-1", "x"] {
            assert!(parse_percents(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn reads_times_with_units_and_refuses_the_rest() {
        assert_eq!(parse_time_ms("15s"), Ok(15_000));
        assert_eq!(parse_time_ms("15"), Ok(15_000));
        assert_eq!(parse_time_ms("250ms"), Ok(250));
        assert_eq!(parse_time_ms("2m"), Ok(120_000));
        for wrong in ["", "s", "15x", "-1s", "0s", "25h", "99999999999999999999s", "18446744073709551615h"] {
            assert!(parse_time_ms(wrong).is_err(), "{wrong}");
        }
    }
}
