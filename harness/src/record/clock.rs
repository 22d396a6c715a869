//! The clock of a run: nanoseconds since its origin.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds on CLOCK_MONOTONIC since the run's origin. `std::time::Instant` reads the same clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunClock {
    origin_ns: u64,
}

impl RunClock {
    /// A clock whose time 0 is now.
    pub fn start() -> RunClock {
        RunClock { origin_ns: monotonic_ns() }
    }

    /// Nanoseconds since the origin. Two readings may be equal, also of different threads.
    pub fn now_ns(&self) -> u64 {
        // The kernel promises that the clock does not go back.
        monotonic_ns().saturating_sub(self.origin_ns)
    }

    /// What CLOCK_MONOTONIC showed at time 0: joins the history with traces and receipts that carry raw readings.
    pub fn origin_ns(&self) -> u64 {
        self.origin_ns
    }
}

fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // Both parts are never negative: the clock began at boot.
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::RunClock;

    #[test]
    fn begins_at_zero_and_never_goes_back() {
        let clock = RunClock::start();
        let readings: Vec<u64> = (0..1000).map(|_| clock.now_ns()).collect();
        assert!(readings[0] < 1_000_000_000, "{}", readings[0]);
        assert!(readings.windows(2).all(|pair| pair[0] <= pair[1]));
    }
}
