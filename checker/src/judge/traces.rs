//! The rules on the nodes' traces, and what keeps them from being applied: a trace that is missing or cannot be read.

use super::finding::{Class, RuleFinding, seconds};
use super::timeline::Timeline;
use crate::history::History;
use crate::history::mark::Header;
use crate::trace::NodeTraces;
use crate::verdict::Verdict;

const RULE: &str = "traces";

/// What the traces show, for a run whose nodes wrote some.
pub(super) fn findings(history: &History, timeline: &Timeline, traces: &NodeTraces) -> Vec<RuleFinding> {
    let Some(header) = expected(history) else { return Vec::new() };
    // Without the last word of the recording the nodes may have been running while their traces were read, one after another.
    let settled = timeline.end.is_some();
    let broken = traces
        .check(header.clock.origin_ns, settled)
        .into_iter()
        .map(|violation| RuleFinding::broken(violation.rule, Class::Safety, violation.message).with_evidence(violation.evidence));
    broken.chain(not_judged(header, timeline, traces)).collect()
}

/// The header of a history whose nodes wrote traces.
pub(super) fn expected(history: &History) -> Option<&Header> {
    history.header.as_ref().filter(|header| header.traces)
}

/// One finding for all traces that are missing or damaged. A node that never came up has written none.
fn not_judged(header: &Header, timeline: &Timeline, traces: &NodeTraces) -> Option<RuleFinding> {
    let missing = header.nodes.iter().filter(|node| !traces.has(node)).filter_map(|node| {
        let ready = timeline.readiness.iter().find(|ready| ready.ok && ready.node == *node)?;
        Some(format!(
            "the trace of {node} is missing, although it was ready at {}",
            seconds(ready.time_ns)
        ))
    });
    let damaged = traces
        .errors()
        .map(|(node, error)| format!("the trace of {node} cannot be read: {error}"));
    let mut sentences = missing.chain(damaged);
    let first = sentences.next()?;
    Some(RuleFinding::new(RULE, Verdict::Unknown, first).with_evidence(sentences))
}
