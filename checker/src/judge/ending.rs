//! The rule on how the recording ended: on purpose, by ctrl-C, at a violation, by a failure of the harness, or cut in the middle.
//!
//! A prefix of a history is causally closed (ARCHITECTURE.md, "The history"), so what it proves broken stays broken; that nothing is broken in it
//! says nothing about what was never recorded.

use super::finding::RuleFinding;
use super::timeline::Timeline;
use crate::escape::visible;
use crate::history::mark::EndReason;
use crate::seconds::seconds;
use crate::verdict::Verdict;

const RULE: &str = "ending";

/// Longest key in a sentence, in characters.
const KEY_CHARS_MAX: usize = 40;

/// At most one finding: an ordinary end, and an interrupted one, have none; nor has one at a violation that the judge finds, too (`broken`).
/// Where it does not, the two checks disagree, and neither is believed.
pub(super) fn finding(timeline: &Timeline, broken: bool) -> Option<RuleFinding> {
    let Some(end) = &timeline.end else {
        return Some(RuleFinding::new(
            RULE,
            Verdict::Unknown,
            "the recording has no end: the harness was killed",
        ));
    };
    match end.reason {
        EndReason::Complete | EndReason::Interrupted => None,
        EndReason::Violation if broken => None,
        EndReason::Violation => {
            let seen = timeline.seen_online.as_ref().and_then(|seen| seen.key.as_ref());
            let key = seen.map_or_else(|| "the register".to_owned(), |key| format!("key `{}`", visible(key, KEY_CHARS_MAX)));
            let message = format!("the online check saw a violation of {key} that this check does not find");
            let evidence = "one of the two is wrong: please report this history".to_owned();
            Some(RuleFinding::new(RULE, Verdict::Unknown, message).with_evidence([evidence]))
        }
        EndReason::HarnessError => {
            let message = format!("the harness could not go on at {}", seconds(end.time_ns));
            Some(RuleFinding::new(RULE, Verdict::HarnessError, message).with_evidence(end.detail.clone()))
        }
    }
}

/// A sentence on how soon the online check stopped the run, if it did.
pub(super) fn stopped_online(timeline: &Timeline) -> Option<String> {
    let seen = timeline.seen_online.as_ref()?;
    let stopped = timeline.end.as_ref().is_some_and(|end| end.reason == EndReason::Violation);
    let after_ms = seen.time_ns.saturating_sub(seen.completed_ns).div_ceil(1_000_000);
    stopped.then(|| {
        format!(
            "stopped at the first violation seen online, {after_ms} ms after its last operation had returned at {}",
            seconds(seen.completed_ns)
        )
    })
}

/// Whether a person ended the run early.
pub(super) fn interrupted(timeline: &Timeline) -> bool {
    timeline.end.as_ref().is_some_and(|end| end.reason == EndReason::Interrupted)
}

/// Whether all phases ran, so that what is missing is missing for good.
pub(super) fn complete(timeline: &Timeline) -> bool {
    timeline.end.as_ref().is_some_and(|end| end.reason == EndReason::Complete)
}
