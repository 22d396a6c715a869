//! How long everything in a run takes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Lengths in milliseconds; one that is left out is as for `--time 15s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Timing {
    /// Load without faults, before the storm.
    pub warm_up_ms: u64,
    /// Load with faults; every injection is healed by its end.
    pub storm_ms: u64,
    /// Load without faults, after the storm.
    pub recovery_ms: u64,
    /// Deadline of one operation.
    pub operation_timeout_ms: u64,
    /// How long a started cluster may take to become ready.
    pub start_bound_ms: u64,
    /// How long a healed cluster may take to become ready; also the bound of the final reads.
    pub recovery_bound_ms: u64,
}

/// What `--operation-timeout` is unless it is given.
pub(super) fn operation_timeout_ms() -> u64 {
    1_000
}

fn start_bound_ms() -> u64 {
    15_000
}

/// TCP's retransmission timer has doubled all through an outage, and a loaded machine adds its own.
fn recovery_bound_ms() -> u64 {
    20_000
}

impl Timing {
    /// Divides `total_ms`: a seventh to warm up and a sixth to recover, within bounds, the rest to the storm; without faults the
    /// storm is plain load.
    pub fn of(total_ms: u64, operation_timeout_ms: u64) -> Timing {
        let warm_up_ms = (total_ms / 7).clamp(500, 5_000);
        let recovery_ms = (total_ms / 6).clamp(700, 6_000);
        Timing {
            warm_up_ms,
            storm_ms: total_ms.saturating_sub(warm_up_ms + recovery_ms).max(500),
            recovery_ms,
            operation_timeout_ms,
            start_bound_ms: start_bound_ms(),
            recovery_bound_ms: recovery_bound_ms(),
        }
    }

    /// The phase planned for a moment, in milliseconds since the load began.
    pub fn phase_at(&self, elapsed_ms: u64) -> &'static str {
        match elapsed_ms {
            ms if ms < self.warm_up_ms => "warm-up",
            ms if ms < self.warm_up_ms + self.storm_ms => "storm",
            ms if ms < self.total_ms() => "recovery",
            _ => "final",
        }
    }

    /// The whole planned length.
    pub fn total_ms(&self) -> u64 {
        self.warm_up_ms.saturating_add(self.storm_ms).saturating_add(self.recovery_ms)
    }
}
