//! How much work a key may cost: counted, never timed, so that the same history ends in the same verdict on every machine.

use std::cell::Cell;

/// The most that the search may cost for one key. Both are counted inside the search, so the same history always ends at the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Configurations looked at; two million a second is usual.
    pub configurations: u64,
    /// Bytes of configurations and of the way that led to them.
    pub bytes: u64,
}

impl Default for Budget {
    /// About a minute, and 1 GiB.
    fn default() -> Budget {
        Budget {
            configurations: 100_000_000,
            bytes: 1 << 30,
        }
    }
}

/// Why a search ended without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// [`Budget::configurations`].
    Configurations(u64),
    /// [`Budget::bytes`].
    Bytes(u64),
    /// The caller's stop.
    Stopped,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ended::Configurations(count) => write!(f, "the budget of {count} configurations ended"),
            Ended::Bytes(bytes) => write!(f, "the budget of {bytes} bytes ended"),
            Ended::Stopped => f.write_str("the check was stopped"),
        }
    }
}

/// Asks the caller whether to stop: true means yes.
pub type Stop<'a> = &'a (dyn Fn() -> bool + Sync);

/// What is left of a budget.
pub(super) struct Meter<'a> {
    budget: Budget,
    spent: Cell<u64>,
    stop: Option<Stop<'a>>,
}

/// Units of work between two questions to the caller: about a millisecond.
const UNITS_PER_STOP: u64 = 1_024;

/// Comparisons that cost as much as looking at one configuration.
const COMPARISONS_PER_UNIT: u64 = 64;

impl<'a> Meter<'a> {
    pub(super) fn of(budget: Budget, stop: Option<Stop<'a>>) -> Meter<'a> {
        Meter {
            budget,
            spent: Cell::new(0),
            stop,
        }
    }

    /// Another meter of the same caller with at most this many configurations.
    pub(super) fn at_most(&self, configurations: u64) -> Meter<'a> {
        let budget = Budget {
            configurations: self.budget.configurations.min(configurations),
            ..self.budget
        };
        Meter::of(budget, self.stop)
    }

    /// One configuration was looked at, and compared with others.
    pub(super) fn spend(&self, comparisons: u64) -> Result<(), Ended> {
        let before = self.spent.get();
        let spent = before + 1 + comparisons / COMPARISONS_PER_UNIT;
        self.spent.set(spent);
        if spent > self.budget.configurations {
            return Err(Ended::Configurations(self.budget.configurations));
        }
        if before / UNITS_PER_STOP != spent / UNITS_PER_STOP && self.stop.is_some_and(|stop| stop()) {
            return Err(Ended::Stopped);
        }
        Ok(())
    }

    pub(super) fn hold(&self, bytes: usize) -> Result<(), Ended> {
        if bytes as u64 > self.budget.bytes {
            return Err(Ended::Bytes(self.budget.bytes));
        }
        Ok(())
    }
}
