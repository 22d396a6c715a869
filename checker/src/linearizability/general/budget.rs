//! How much a search may do.

/// A limit that does not depend on the machine: the same history ends at the same configuration everywhere. It holds for each object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// How many configurations may be tried.
    pub configurations: u64,
    /// How much memory the search may take, in bytes.
    pub bytes: u64,
}

impl Default for Budget {
    /// Twenty million configurations are seconds to a minute; 1 GiB holds them.
    fn default() -> Budget {
        Budget {
            configurations: 20_000_000,
            bytes: 1 << 30,
        }
    }
}

/// Which limit ended a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// [`Budget::configurations`].
    Configurations,
    /// [`Budget::bytes`].
    Bytes,
    /// The caller said stop.
    Stopped,
}

/// Counts what is spent.
pub(super) struct Meter<'a> {
    left: u64,
    bytes: u64,
    stop: Option<&'a (dyn Fn() -> bool + Sync)>,
}

/// Configurations between two questions whether to stop: a fraction of a millisecond.
const ASK_EVERY: u64 = 256;

impl<'a> Meter<'a> {
    pub(super) fn new(budget: Budget, stop: Option<&'a (dyn Fn() -> bool + Sync)>) -> Meter<'a> {
        Meter {
            left: budget.configurations,
            bytes: budget.bytes,
            stop,
        }
    }

    /// A meter of its own with at most `configurations` of what is left here.
    pub(super) fn part(&self, configurations: u64) -> Meter<'a> {
        Meter {
            left: self.left.min(configurations),
            ..*self
        }
    }

    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Takes work done elsewhere into account.
    pub(super) fn take(&mut self, configurations: u64) {
        self.left = self.left.saturating_sub(configurations);
    }

    /// One configuration, with this much memory in use.
    pub(super) fn spend(&mut self, bytes: u64) -> Result<(), End> {
        if bytes > self.bytes {
            return Err(End::Bytes);
        }
        self.left = self.left.checked_sub(1).ok_or(End::Configurations)?;
        if self.left.is_multiple_of(ASK_EVERY) && self.stop.is_some_and(|stop| stop()) {
            return Err(End::Stopped);
        }
        Ok(())
    }
}
