//! How the picture names values, durations and moments: short, since every character costs room.

use squall_checker::escape::visible;

/// Longest value within the picture, in characters.
const VALUE_CHARS_MAX: usize = 16;
/// Longest value, name or key anywhere on the page, in characters.
pub(in crate::report) const LONG_CHARS_MAX: usize = 64;

/// A value or a key within the picture: its two ends if it is long, since long values often differ only in the last.
pub(in crate::report) fn value(text: &str) -> String {
    let text = visible(text, usize::MAX);
    let count = text.chars().count();
    if count <= VALUE_CHARS_MAX {
        return text;
    }
    let head: String = text.chars().take(VALUE_CHARS_MAX - 6).collect();
    let tail: String = text.chars().skip(count - 5).collect();
    format!("{head}…{tail}")
}

/// A value or a name where there is room: cut with its length.
pub(in crate::report) fn long(text: &str) -> String {
    match text.chars().count() {
        count if count <= LONG_CHARS_MAX => text.to_owned(),
        count => format!("{}… ({count} characters)", text.chars().take(LONG_CHARS_MAX).collect::<String>()),
    }
}

/// A duration with three figures or so: `273 ms`, `1.24 s`.
pub(in crate::report) fn duration(time_ns: u64) -> String {
    let (unit_ns, unit) = match time_ns {
        0..1_000 => return format!("{time_ns} ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    let whole = time_ns / unit_ns;
    let hundredths = time_ns % unit_ns * 100 / unit_ns;
    match whole {
        0..10 => format!("{whole}.{hundredths:02} {unit}"),
        10..100 => format!("{whole}.{} {unit}", hundredths / 10),
        _ => format!("{whole} {unit}"),
    }
}

/// How many columns of a monospaced typeface a text takes at most: beyond ASCII, characters may be two wide.
pub(in crate::report) fn columns(text: &str) -> f64 {
    text.chars()
        .map(|character| {
            if character.is_ascii() || "…→µ·✕".contains(character) {
                1.0
            } else {
                2.0
            }
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_keep_three_figures() {
        let shown: Vec<String> = [7, 1_234, 45_600, 273_000_000, 2_784_000_000, 61_000_000_000].map(duration).into();
        assert_eq!(shown, ["7 ns", "1.23 µs", "45.6 µs", "273 ms", "2.78 s", "61.0 s"]);
    }

    #[test]
    fn long_values_keep_both_ends() {
        assert_eq!(value("\"0123456789abcdef0123456789\""), "\"012345678…6789\"");
        assert_eq!(value("1234"), "1234");
        assert_eq!(
            long(&"é".repeat(10_000)).chars().count(),
            64 + "… (10000 characters)".chars().count()
        );
    }
}
