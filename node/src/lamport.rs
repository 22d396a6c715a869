//! The Lamport clock (Lamport 1978): one number that grows along every cause, stamped on every frame and every trace event.
//!
//! A node that restarts must not stamp below its own earlier events, and the clock itself is not written to disk. So each life starts at
//! `start * 2^32`: no life makes four thousand million stamps, and the number stays below 2^53, which every JSON reader holds exactly,
//! for two million lives. `start` counts the starts of all nodes together, by whoever starts them. A node's own count, its incarnation, is not
//! enough: by messages it takes over the stamps of a node that was started more often, and falls behind them when it is started again itself.
//! It is what is left where nobody counts, and then stamps may go back when all nodes that had the higher ones lose their power at once.

/// Stamps above this are not believed: a hostile client could else push the clock of the whole cluster to its end.
const STAMP_MAX: u64 = 1 << 53;

/// A node's logical clock.
#[derive(Clone, Debug)]
pub struct Lamport {
    now: u64,
}

impl Lamport {
    /// The clock of a new life of a node: the first number of its start.
    pub fn of_start(start: u64) -> Lamport {
        Lamport {
            now: start.saturating_mul(1 << 32).min(STAMP_MAX),
        }
    }

    /// The stamp for the next frame or trace event: larger than all before.
    pub fn tick(&mut self) -> u64 {
        self.now = self.now.saturating_add(1);
        self.now
    }

    /// Takes note of a stamp that was received, so that all later ones are larger.
    pub fn observe(&mut self, stamp: u64) {
        if stamp <= STAMP_MAX {
            self.now = self.now.max(stamp);
        }
    }

    /// The latest stamp given or seen.
    pub fn now(&self) -> u64 {
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_grow_past_everything_seen_and_past_an_earlier_life() {
        let mut clock = Lamport::of_start(1);
        let first = clock.tick();
        clock.observe(first + 1000);
        assert!(clock.tick() > first + 1000);
        assert!(Lamport::of_start(2).tick() > clock.now());
    }

    #[test]
    fn does_not_believe_a_hostile_stamp() {
        let mut clock = Lamport::of_start(1);
        clock.observe(u64::MAX);
        assert_eq!(clock.tick(), (1 << 32) + 1);
    }
}
