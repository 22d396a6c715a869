//! The rule on how the recording ended: on purpose, by ctrl-C, by a failure of the harness, or cut in the middle.
//!
//! A prefix of a history is causally closed (ARCHITECTURE.md, "The history"), so what it proves broken stays broken; that nothing is broken in it
//! says nothing about what was never recorded.

use super::finding::{RuleFinding, seconds};
use super::timeline::Timeline;
use crate::history::mark::EndReason;
use crate::verdict::Verdict;

const RULE: &str = "ending";

/// At most one finding: an ordinary end, and an interrupted one, have none.
pub(super) fn finding(timeline: &Timeline) -> Option<RuleFinding> {
    let Some(end) = &timeline.end else {
        return Some(RuleFinding::new(
            RULE,
            Verdict::Unknown,
            "the recording has no end: the harness was killed",
        ));
    };
    match end.reason {
        EndReason::Complete | EndReason::Interrupted => None,
        EndReason::HarnessError => {
            let message = format!("the harness could not go on at {}", seconds(end.time_ns));
            Some(RuleFinding::new(RULE, Verdict::HarnessError, message).with_evidence(end.detail.clone()))
        }
    }
}

/// Whether a person ended the run early.
pub(super) fn interrupted(timeline: &Timeline) -> bool {
    timeline.end.as_ref().is_some_and(|end| end.reason == EndReason::Interrupted)
}

/// Whether all phases ran, so that what is missing is missing for good.
pub(super) fn complete(timeline: &Timeline) -> bool {
    timeline.end.as_ref().is_some_and(|end| end.reason == EndReason::Complete)
}
