//! The rule that every word of the harness can be read: an exit, a stage or an end that cannot may have been the finding that decides.

use super::finding::RuleFinding;
use crate::history::History;
use crate::history::mark::Header;
use crate::verdict::Verdict;

const RULE: &str = "marks";

/// At most one finding, which names the first such line.
pub(super) fn finding(header: &Header, history: &History) -> Option<RuleFinding> {
    let mut unreadable = history.marks.iter().filter(|mark| mark.is_unreadable(&header.requested));
    let first = unreadable.next()?;
    let message = format!(
        "line {}, `{}` of the {}, cannot be read, so what it says is lost",
        first.line, first.event.f, first.event.process
    );
    let others = unreadable.count();
    let others = (others > 0).then(|| format!("{others} more such lines"));
    Some(RuleFinding::new(RULE, Verdict::Unknown, message).with_evidence(others))
}
