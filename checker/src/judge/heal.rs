//! The rule that our own faults end when we say so: a heal that our own probe refutes is the harness's failure, not the system's.
//!
//! Source: ARCHITECTURE.md, "Crash and liveness".

use super::finding::RuleFinding;
use super::timeline::Timeline;
use crate::seconds::seconds;
use crate::verdict::Verdict;

const RULE: &str = "heal";

/// One finding per refuted heal, in the order of the schedule.
pub(super) fn findings(timeline: &Timeline) -> Vec<RuleFinding> {
    let refuted = timeline.injected().filter(|injection| injection.healed == Some(false));
    refuted
        .map(|injection| {
            let when = injection.healed_ns.map(seconds).unwrap_or_default();
            let message = format!("{} was healed at {when} and our own probe still sees it", injection.name());
            let probe = injection.probe.iter().map(|probe| format!("probe: {probe}"));
            RuleFinding::new(RULE, Verdict::HarnessError, message).with_evidence(probe)
        })
        .collect()
}
