//! The rule that a node process ends only when somebody ends it, or when a fault in force declares its end expected.
//!
//! Source: ARCHITECTURE.md, "Crash and liveness". Whether a fault explains an exit is decided where it is seen, because only the harness knows
//! what it has just done to the process; the word stands in the history.

use super::finding::{Class, RuleFinding};
use super::timeline::{NodeExit, Timeline, WaitedAfter};
use crate::seconds::seconds;

const RULE: &str = "crash";

/// The log lines that go with a crash: enough for a panic message and what led to it, few enough for a CI log.
const LOG_TAIL_LINES_MAX: usize = 10;

/// One finding per unasked end of a node, in their order.
///
/// A node that never became ready at the start has not been under test yet: that it ended is for the readiness rule to report, as a harness
/// error (a wrong flag and a port in use look just like that).
pub(super) fn findings(timeline: &Timeline) -> Vec<RuleFinding> {
    timeline
        .exits
        .iter()
        .filter(|exit| !exit.expected && !before_first_readiness(exit, timeline))
        .map(finding)
        .collect()
}

fn finding(exit: &NodeExit) -> RuleFinding {
    let message = format!("node {} ended by itself at {}: {}", exit.node, seconds(exit.time_ns), exit.status);
    RuleFinding::broken(RULE, Class::Crash, message).with_evidence(log_evidence(&exit.node, &exit.log_tail))
}

/// The last lines of a node's log, for the evidence of a finding about it.
pub(super) fn log_evidence(node: &str, log_tail: &[String]) -> Vec<String> {
    if log_tail.is_empty() {
        return vec![format!("node {node} left no log")];
    }
    let skipped = log_tail.len().saturating_sub(LOG_TAIL_LINES_MAX);
    log_tail.iter().skip(skipped).map(|line| format!("{node}: {line}")).collect()
}

fn before_first_readiness(exit: &NodeExit, timeline: &Timeline) -> bool {
    let mut of_node = timeline.readiness.iter().filter(|readiness| readiness.node == exit.node);
    of_node.next().is_some_and(|first| first.after == WaitedAfter::Start && !first.ok)
}
