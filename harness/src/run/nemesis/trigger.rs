//! Faults that wait for an event: kept at it where the node has a gate, looked for where not.

use std::time::Duration;

use squall_nemeses::receipt::Triggered;
use tokio::time::{Instant, sleep, timeout_at};

use super::Nemesis;
use crate::run::gate::Kept;
use crate::schedule::when::When;

/// Between two looks at what nobody tells us: short against an operation.
const LOOK: Duration = Duration::from_millis(1);

/// The event came.
pub(super) struct Event {
    what: String,
    since: Instant,
    /// The node of the event, at its gate.
    pub(super) kept: Option<Kept>,
}

impl Event {
    /// How it goes into the receipt, now that the fault is applied.
    pub(super) fn receipt(&self) -> Triggered {
        Triggered {
            event: self.what.clone(),
            node: self.kept.as_ref().map(|kept| kept.node.clone()),
            held: self.kept.as_ref().is_some_and(Kept::is_held),
            latency_us: u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX),
        }
    }
}

impl Nemesis {
    /// Waits for an event until `deadline`; `None` if it does not come.
    pub(super) async fn wait_for(&self, when: &When, deadline: Instant) -> Option<Event> {
        let event = |kept: Option<Kept>| Event {
            what: when.to_string(),
            since: kept.as_ref().map_or_else(Instant::now, |kept| kept.since),
            kept,
        };
        if let When::Operations { completed } = when {
            while self.activity.completed() < *completed {
                if Instant::now() >= deadline {
                    return None;
                }
                sleep(LOOK).await;
            }
            return Some(event(None));
        }
        let told = self.watch.wait_for(when);
        let kept = timeout_at(deadline, told).await.ok()?.ok()?;
        Some(event(Some(kept)))
    }
}
