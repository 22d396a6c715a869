//! The rule on how the recording ended: on purpose, by ctrl-C, at a violation, by a failure of the harness, or cut in the middle.
//!
//! A prefix of a history is causally closed (ARCHITECTURE.md, "The history"), so what it proves broken stays broken; that nothing is broken in it
//! says nothing about what was never recorded.

use super::finding::RuleFinding;
use super::timeline::{SeenOnline, Timeline};
use crate::escape::visible;
use crate::history::mark::EndReason;
use crate::seconds::seconds;
use crate::verdict::Verdict;

const RULE: &str = "ending";

/// Longest key or name of a rule in a sentence, in characters.
const KEY_CHARS_MAX: usize = 40;

/// What the judge has of what the online check saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Confirmed {
    /// The same.
    Yes,
    /// Not the same.
    No,
    /// It cannot look: the nodes' traces are not at hand.
    NoTraces,
}

/// At most one finding: an ordinary end, and an interrupted one, have none; nor has one at a violation that the judge finds, too. Where
/// it does not, the two checks disagree, and neither is believed.
pub(super) fn finding(timeline: &Timeline, confirmed: Confirmed) -> Option<RuleFinding> {
    let Some(end) = &timeline.end else {
        return Some(RuleFinding::new(
            RULE,
            Verdict::Unknown,
            "the recording has no end: the harness was killed",
        ));
    };
    match end.reason {
        EndReason::Complete | EndReason::Interrupted => None,
        EndReason::Violation if confirmed == Confirmed::Yes => None,
        EndReason::Violation => Some(not_confirmed(timeline.seen_online.as_ref(), confirmed)),
        EndReason::HarnessError => {
            let message = format!("the harness could not go on at {}", seconds(end.time_ns));
            Some(RuleFinding::new(RULE, Verdict::HarnessError, message).with_evidence(end.detail.clone()))
        }
    }
}

fn not_confirmed(seen: Option<&SeenOnline>, confirmed: Confirmed) -> RuleFinding {
    let what = match seen {
        Some(SeenOnline { rule: Some(rule), .. }) => visible(rule, KEY_CHARS_MAX),
        Some(SeenOnline { key: Some(key), .. }) => format!("key `{}`", visible(key, KEY_CHARS_MAX)),
        _ => "the register".to_owned(),
    };
    let (so, evidence) = if confirmed == Confirmed::NoTraces {
        (
            "without the nodes' traces cannot find",
            "judge the run folder, where the nodes' traces are",
        )
    } else {
        ("does not find", "one of the two is wrong: please report this history")
    };
    let message = format!("the online check saw a violation of {what} that this check {so}");
    RuleFinding::new(RULE, Verdict::Unknown, message).with_evidence([evidence.to_owned()])
}

/// A sentence on how soon the online check stopped the run, if it did.
pub(super) fn stopped_online(timeline: &Timeline) -> Option<String> {
    let seen = timeline.seen_online.as_ref()?;
    let stopped = timeline.end.as_ref().is_some_and(|end| end.reason == EndReason::Violation);
    let after_ms = seen.time_ns.saturating_sub(seen.completed_ns).div_ceil(1_000_000);
    let after = match &seen.rule {
        Some(rule) => format!(
            "of {}, {after_ms} ms after the last event that shows it,",
            visible(rule, KEY_CHARS_MAX)
        ),
        None => format!("{after_ms} ms after its last operation had returned"),
    };
    stopped.then(|| {
        format!(
            "stopped at the first violation seen online, {after} at {}",
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
