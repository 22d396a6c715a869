//! The clocks of the machine, read as plain numbers so that they stand on the same axis as the harness's.

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::core::Now;

/// Reads both clocks.
pub(super) fn now() -> Now {
    Now {
        mono_ns: mono_ns(),
        wall_ns: nanoseconds(clock_gettime(ClockId::Realtime)),
    }
}

/// CLOCK_MONOTONIC, in ns.
pub(super) fn mono_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

/// By how much a time namespace shifts this process's CLOCK_MONOTONIC, in ns; 0 without one (time_namespaces(7)).
pub(super) fn mono_offset_ns() -> i64 {
    std::fs::read_to_string("/proc/self/timens_offsets")
        .ok()
        .and_then(|text| parse_offset(&text))
        .unwrap_or(0)
}

fn parse_offset(text: &str) -> Option<i64> {
    let mut fields = text.lines().find(|line| line.starts_with("monotonic"))?.split_whitespace().skip(1);
    let (seconds, nanoseconds): (i64, i64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
}

/// Times before the clock's origin count as the origin: a set-back wall clock must not wrap around.
fn nanoseconds(time: Timespec) -> u64 {
    let whole = u64::try_from(time.tv_sec).unwrap_or(0).saturating_mul(1_000_000_000);
    whole.saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_shift_of_a_time_namespace() {
        assert_eq!(
            parse_offset("monotonic      -3600  500000000\nboottime  7 0\n"),
            Some(-3_599_500_000_000)
        );
        assert_eq!(parse_offset("boottime 1 2"), None);
    }

    #[test]
    fn both_clocks_run() {
        let (first, second) = (now(), now());
        assert!(first.mono_ns > 0 && second.mono_ns >= first.mono_ns && first.wall_ns > 1_600_000_000_000_000_000);
    }
}
