//! The rules on readiness: every node gets ready at the start (else the harness has not set up a test), and again within the bound after
//! everything is proved healed (else the system has lost liveness).
//!
//! Source: ARCHITECTURE.md, "Crash and liveness". Liveness is judged only if the harness itself was never held up: a starved machine makes any store look
//! dead.

use super::crash::log_evidence;
use super::finding::{Class, RuleFinding};
use super::timeline::{Injection, Readiness, Timeline, WaitedAfter};
use crate::seconds::seconds;
use crate::verdict::Verdict;

const RULE: &str = "readiness";

/// From this lateness of the harness's own ticker on, slowness of the system proves nothing: four heartbeats of 50 ms.
pub const STALL_MS: u64 = 200;

const NS_PER_MS: u64 = 1_000_000;

/// One finding per node that was not ready when it had to be, in their order.
pub(super) fn findings(timeline: &Timeline) -> Vec<RuleFinding> {
    let failed = timeline.readiness.iter().filter(|readiness| !readiness.ok);
    failed.filter_map(|readiness| finding(readiness, timeline)).collect()
}

fn finding(readiness: &Readiness, timeline: &Timeline) -> Option<RuleFinding> {
    let found = match readiness.after {
        WaitedAfter::Start => {
            let message = format!("node {} was not ready within {} of its start", readiness.node, bound(readiness));
            RuleFinding::new(RULE, Verdict::HarnessError, message)
        }
        WaitedAfter::Restart | WaitedAfter::Recovery => match heal_before(readiness, timeline) {
            // A node that restarts into other faults may wait for its peers; the wait after the last heal decides about it.
            Heal::StillInForce(_) if readiness.after == WaitedAfter::Restart => return None,
            Heal::StillInForce(name) => unknown(readiness, &format!("{name} was still in force")),
            Heal::Unproved(name) => unknown(readiness, &format!("the heal of {name} was not proved")),
            Heal::Proved if timeline.worst_stall_ms >= STALL_MS => unknown(
                readiness,
                &format!("the harness itself was held up for {} ms", timeline.worst_stall_ms),
            ),
            Heal::Proved => {
                let after = if readiness.after == WaitedAfter::Restart {
                    "its restart"
                } else {
                    "the last heal"
                };
                let message = format!("node {} was not ready within {} of {after}", readiness.node, bound(readiness));
                RuleFinding::broken(RULE, Class::Liveness, message)
            }
        },
    };
    let reason = readiness
        .reason
        .iter()
        .map(|reason| format!("last answer of {} at {}: {reason}", readiness.node, seconds(readiness.time_ns)));
    Some(found.with_evidence(reason.chain(log_evidence(&readiness.node, &readiness.log_tail))))
}

fn unknown(readiness: &Readiness, why: &str) -> RuleFinding {
    let message = format!(
        "node {} was not ready within {}, but liveness cannot be judged: {why}",
        readiness.node,
        bound(readiness)
    );
    RuleFinding::new(RULE, Verdict::Unknown, message)
}

fn bound(readiness: &Readiness) -> String {
    seconds(readiness.waited_ms.saturating_mul(NS_PER_MS))
}

/// What was still being done to the cluster while a node was waited for.
enum Heal {
    Proved,
    StillInForce(String),
    Unproved(String),
}

/// Looks at every fault that began before the wait ended: its heal must have been asked for before the wait began, and proved at any time.
fn heal_before(readiness: &Readiness, timeline: &Timeline) -> Heal {
    // The length of the wait is given in whole milliseconds; one of them covers the rounding.
    let wait_ns = readiness.waited_ms.saturating_sub(1).saturating_mul(NS_PER_MS);
    let wait_began_ns = readiness.time_ns.saturating_sub(wait_ns);
    let began = |injection: &&Injection| injection.began_ns().is_some_and(|began_ns| began_ns <= readiness.time_ns);
    let mut unproved = None;
    for injection in timeline.injected().filter(began) {
        match injection.heal_asked_ns {
            Some(heal_asked_ns) if heal_asked_ns <= wait_began_ns => {
                if injection.healed != Some(true) {
                    unproved.get_or_insert_with(|| injection.name());
                }
            }
            _ => return Heal::StillInForce(injection.name()),
        }
    }
    unproved.map_or(Heal::Proved, Heal::Unproved)
}
