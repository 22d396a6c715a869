//! How the report writes numbers, moments and other people's text.

use squall_checker::escape::visible;

/// A number with a thin gap between thousands: `41 203`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// The last words of kinds of faults that are no nouns of which there are many: two read-only disks are `2 read-only`.
const NOT_COUNTED: &[&str] = &[
    "checksum", "corrupt", "cpu", "down", "eio", "enospc", "fd", "flapping", "full", "memory", "mtu", "only", "ports", "power", "rot",
    "slow", "torn",
];

/// A number of faults of a kind: `9 partitions`, `2 lb-flushes`, `3 read-only`.
pub fn of_kind(number: u64, kind: &str) -> String {
    let last = kind.rsplit('-').next().unwrap_or(kind);
    match NOT_COUNTED.contains(&last) {
        true => format!("{} {kind}", count(number)),
        false => plural(number, kind),
    }
}

/// A number with its noun: `1 fault`, `14 faults`, `2 histories`, `2 losses`.
pub fn plural(number: u64, noun: &str) -> String {
    let many = match noun.strip_suffix('y') {
        _ if number == 1 => noun.to_owned(),
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ if noun.ends_with('s') || noun.ends_with("sh") => format!("{noun}es"),
        _ => format!("{noun}s"),
    };
    format!("{} {many}", count(number))
}

/// Microseconds as milliseconds with three figures or so: `0.420`, `4.20`, `42.0`, `4 200`.
pub fn millis(time_us: u64) -> String {
    match time_us {
        0..1_000 => format!("{:.3}", time_us as f64 / 1_000.0),
        1_000..10_000 => format!("{:.2}", time_us as f64 / 1_000.0),
        10_000..100_000 => format!("{:.1}", time_us as f64 / 1_000.0),
        _ => count((time_us + 500) / 1_000),
    }
}

/// Nanoseconds as seconds to the millisecond: `12.118`.
pub fn seconds(time_ns: u64) -> String {
    format!("{}.{:03}", time_ns / 1_000_000_000, time_ns / 1_000_000 % 1_000)
}

/// A part of a whole in percent: `99.2 %`; `100 %` only if it is the whole, `0 %` only if it is nothing.
pub fn percent(part: u64, whole: u64) -> String {
    match (part, whole) {
        (_, 0) => "-".into(),
        (0, _) => "0 %".into(),
        (part, whole) if part == whole => "100 %".into(),
        // 1 of 8 059 is neither nothing nor ten times what it is, and 8 058 of 8 059 is not all.
        (part, whole) => {
            let share = part as f64 * 100.0 / whole as f64;
            match share.min(100.0 - share) {
                tiny if tiny < 0.005 => if share < 50.0 { "under 0.01 %" } else { "over 99.99 %" }.into(),
                small if small < 0.05 => format!("{share:.2} %"),
                _ => format!("{share:.1} %"),
            }
        }
    }
}

/// Text that came from a node, a file or a user, fit for a terminal: control characters are shown, not sent.
pub fn shown(text: &str) -> String {
    visible(text, usize::MAX)
}

/// At most `chars_max` characters of `text`, with `…` for the rest.
pub fn shortened(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some(_) => text.chars().take(chars_max.saturating_sub(1)).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_thousands() {
        for (number, expected) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1 000"),
            (41_203, "41 203"),
            (1_234_567, "1 234 567"),
        ] {
            assert_eq!(count(number), expected);
        }
        assert_eq!(count(u64::MAX), "18 446 744 073 709 551 615");
    }

    #[test]
    fn many_of_each_kind_are_called_by_a_word_that_there_is() {
        let all: Vec<String> = squall_nemeses::fault::FAULTS.iter().map(|info| of_kind(2, info.name)).collect();
        insta::assert_snapshot!(all.join("\n"), @r"
        2 partitions
        2 kills
        2 pauses
        2 clocks
        2 transfers
        2 memberships
        2 restart-storms
        2 stutters
        2 cpu
        2 memory
        2 fd
        2 power
        2 torn
        2 fsyncs
        2 eio
        2 enospc
        2 slow-disks
        2 lying-fsyncs
        2 delays
        2 losses
        2 duplicates
        2 reorders
        2 corrupt
        2 corrupt-past-checksum
        2 rates
        2 resets
        2 mtu
        2 slow-receivers
        2 flapping
        2 swizzles
        2 client-cuts
        2 disk-full
        2 read-only
        2 disk-rates
        2 bit-rot
        2 misdirected-writes
        2 shrinks
        2 rack-down
        2 spine-cuts
        2 region-slow
        2 lb-flushes
        2 lb-ports
        2 grows
        2 replaces
        ");
        assert_eq!([of_kind(1, "kill"), of_kind(1, "read-only")], ["1 kill", "1 read-only"]);
    }

    #[test]
    fn many_of_a_noun_have_its_plural() {
        let all = ["operation", "history", "delay", "loss"].map(|noun| plural(2, noun));
        assert_eq!(all, ["2 operations", "2 histories", "2 delays", "2 losses"]);
    }

    #[test]
    fn a_share_is_whole_only_if_it_is_the_whole() {
        assert_eq!(percent(999_999, 1_000_000), "over 99.99 %");
        assert_eq!(percent(1, 1_000_000), "under 0.01 %");
        assert_eq!((percent(1, 8_059), percent(8_058, 8_059)), ("0.01 %".into(), "99.99 %".into()));
        assert_eq!((percent(5, 10_000), percent(4, 10_000)), ("0.1 %".into(), "0.04 %".into()));
        assert_eq!((percent(1, 3), percent(999, 1_000)), ("33.3 %".into(), "99.9 %".into()));
        assert_eq!(percent(7, 7), "100 %");
        assert_eq!(percent(0, 7), "0 %");
        assert_eq!(percent(0, 0), "-");
    }

    #[test]
    fn milliseconds_keep_their_figures() {
        for (time_us, expected) in [
            (0, "0.000"),
            (420, "0.420"),
            (4_212, "4.21"),
            (42_120, "42.1"),
            (421_200, "421"),
            (4_212_000, "4 212"),
        ] {
            assert_eq!(millis(time_us), expected);
        }
    }

    #[test]
    fn control_characters_are_shown_and_never_sent() {
        assert_eq!(shown("a\u{1b}[2Jb\r\n\u{9b}"), "a\\u{1b}[2Jb\\u{d}\\u{a}\\u{9b}");
        assert_eq!(shown("ключ-键"), "ключ-键");
        assert_eq!(shown("gpj.\u{202e}exe"), "gpj.\\u{202e}exe");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(shortened("kéy", 3), "kéy");
        assert_eq!(shortened("kéys", 3), "ké…");
    }
}
