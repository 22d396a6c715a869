//! A hybrid logical clock (Kulkarni et al., OPODIS 2014): stamps that follow the wall clock and yet grow along every cause.
//!
//! A stamp is the wall clock in ns, or one more than the largest stamp given or seen, whichever is larger; so stamps of 64 bits hold the
//! logical part in their lowest digits, and no clock that agrees with the others ever runs ahead of them.
//!
//! **A restart must not go back**, not even if the wall clock did. Before a stamp is given, a ceiling above it is durable; the next life
//! begins at the ceiling. Were it to give stamps from there at once, it would be ahead of everybody by up to [`LEASE_NS`], which is the very
//! error that these clocks are blamed for; so it waits until the wall clock has reached the ceiling, at most one lease (as CockroachDB does
//! with its persisted upper bound). If the wall clock is further behind than that, it was set back, and the ceiling holds.

use crate::bugs::{Bug, Planted};

/// How far ahead of the stamps a ceiling is put, in ns. 200 ms: a tenth of a second between records under load, and a restart, which takes
/// about as long, waits for no more than that.
const LEASE_NS: u64 = 200_000_000;

/// The clock of one life of a node.
#[derive(Debug, Default)]
pub(super) struct HybridClock {
    /// The largest stamp given or seen.
    last: u64,
    /// Stamps up to here may be given: this is durable.
    ceiling: u64,
    /// The largest ceiling asked for.
    asked: u64,
    /// A ceiling to be made durable.
    wanted: Option<u64>,
    /// What a former life may have given; nothing is given before the wall clock is there, or the monotonic clock at `rest_ends_ns`.
    former: u64,
    rest_ends_ns: u64,
    planted: Planted,
}

impl HybridClock {
    pub(super) fn new(planted: Planted) -> HybridClock {
        HybridClock {
            planted,
            ..HybridClock::default()
        }
    }

    /// Takes note of a stamp, so that all later ones are larger.
    pub(super) fn observe(&mut self, stamp: u64) {
        if !self.planted.has(Bug::Q17) {
            self.last = self.last.max(stamp);
        }
    }

    /// A ceiling of a former life, found in the log.
    pub(super) fn load(&mut self, ceiling: u64) {
        self.former = self.former.max(ceiling);
        self.ceiling = self.former;
        self.asked = self.former;
    }

    /// The life begins.
    pub(super) fn start(&mut self, mono_ns: u64) {
        self.rest_ends_ns = mono_ns.saturating_add(LEASE_NS);
    }

    /// The next stamp, larger than `seen`. `None` if it has to wait: for the disk, or for the rest after a restart.
    pub(super) fn next(&mut self, wall_ns: u64, mono_ns: u64, seen: u64) -> Option<u64> {
        if self.is_resting(wall_ns, mono_ns) {
            return None;
        }
        let seen = if self.planted.has(Bug::Q17) { 0 } else { seen };
        let stamp = wall_ns.max(self.last.max(seen).max(self.former).saturating_add(1));
        if self.asked.saturating_sub(stamp) < LEASE_NS / 2 {
            self.asked = stamp.saturating_add(LEASE_NS);
            self.wanted = Some(self.asked);
        }
        if stamp > self.ceiling {
            return None;
        }
        self.last = stamp;
        Some(stamp)
    }

    /// A ceiling that is to be made durable now.
    pub(super) fn take_wanted(&mut self) -> Option<u64> {
        self.wanted.take()
    }

    /// This ceiling is durable.
    pub(super) fn settle(&mut self, ceiling: u64) {
        self.ceiling = self.ceiling.max(ceiling);
    }

    /// When the rest after a restart ends at the latest, on the monotonic clock in ns; `None` if there is none.
    pub(super) fn rest_ends_ns(&self, wall_ns: u64, mono_ns: u64) -> Option<u64> {
        let until_wall_ns = mono_ns.saturating_add(self.former.saturating_sub(wall_ns));
        self.is_resting(wall_ns, mono_ns)
            .then(|| self.rest_ends_ns.min(until_wall_ns).max(mono_ns + 1))
    }

    fn is_resting(&self, wall_ns: u64, mono_ns: u64) -> bool {
        self.former > wall_ns && mono_ns < self.rest_ends_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: u64 = 1 << 60;

    /// A clock whose first ceiling is durable.
    fn running() -> HybridClock {
        let mut clock = HybridClock::default();
        clock.start(0);
        assert_eq!(clock.next(WALL, 0, 0), None, "nothing is durable yet");
        let ceiling = clock.take_wanted().unwrap();
        clock.settle(ceiling);
        clock
    }

    #[test]
    fn follows_the_wall_clock_and_grows_where_that_stands_still() {
        let mut clock = running();
        assert_eq!(clock.next(WALL, 0, 0), Some(WALL));
        assert_eq!(clock.next(WALL, 0, 0), Some(WALL + 1));
        assert_eq!(clock.next(WALL - 500, 0, 0), Some(WALL + 2));
        assert_eq!(clock.next(WALL + 9, 0, 0), Some(WALL + 9));
    }

    #[test]
    fn moves_past_every_stamp_seen() {
        let mut clock = running();
        clock.observe(WALL + 100);
        assert_eq!(clock.next(WALL, 0, 0), Some(WALL + 101));
        assert_eq!(clock.next(WALL, 0, WALL + 200), Some(WALL + 201));
    }

    #[test]
    fn gives_nothing_above_a_durable_ceiling_and_asks_for_the_next_in_time() {
        let mut clock = running();
        assert_eq!(clock.next(WALL + LEASE_NS * 3 / 4, 0, 0), Some(WALL + LEASE_NS * 3 / 4));
        let next = clock.take_wanted().unwrap();
        assert_eq!(next, WALL + LEASE_NS * 7 / 4);
        assert_eq!(clock.next(WALL + LEASE_NS + 1, 0, 0), None);
        clock.settle(next);
        assert!(clock.next(WALL + LEASE_NS + 1, 0, 0).is_some());
    }

    #[test]
    fn a_restart_neither_goes_back_nor_runs_ahead() {
        let mut clock = HybridClock::default();
        clock.load(WALL + 50);
        clock.start(1000);
        assert_eq!(clock.next(WALL, 1000, 0), None, "the wall clock has not reached the ceiling");
        assert_eq!(clock.rest_ends_ns(WALL, 1000), Some(1050));
        assert_eq!(clock.next(WALL + 60, 1060, 0), None, "the disk");
        let ceiling = clock.take_wanted().unwrap();
        clock.settle(ceiling);
        assert_eq!(clock.next(WALL + 60, 1060, 0), Some(WALL + 60));
    }

    #[test]
    fn a_wall_clock_that_was_set_back_does_not_take_stamps_back() {
        let mut clock = HybridClock::default();
        clock.load(WALL);
        clock.start(0);
        let back = WALL - 3_600_000_000_000;
        assert_eq!(clock.rest_ends_ns(back, 5), Some(LEASE_NS));
        clock.next(back, LEASE_NS, 0);
        let ceiling = clock.take_wanted().unwrap();
        clock.settle(ceiling);
        assert_eq!(clock.next(back, LEASE_NS, 0), Some(WALL + 1));
    }
}
