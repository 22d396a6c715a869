//! One history, one judgement: every rule that applies, merged by the order of [`Verdict`].
//!
//! Each rule is a file and knows nothing of the others; [`timeline`] is what they share. A judgement is a pure function of the history and of
//! what else was at hand, so that a run, a later `squall check` and another machine give the same one, byte for byte.

mod crash;
mod ending;
mod finding;
mod heal;
mod idle;
mod linearizable;
mod marks;
mod rare;
mod reach;
mod readiness;
mod siblings;
#[cfg(test)]
mod tests;
pub mod timeline;
mod traces;
mod vacuity;

use self::ending::Confirmed;
pub use self::finding::{Class, RuleFinding};
pub use self::linearizable::{Chosen, Examination, Judging};
pub use self::readiness::STALL_MS;
use self::timeline::Timeline;
pub use self::vacuity::{OPERATIONS_MIN, is_conclusive};
use crate::history::History;
use crate::linearizability::Witness;
use crate::trace::NodeTraces;
use crate::trace::raft::RaftRules;
use crate::verdict::Verdict;

/// What was at hand beside the history.
#[derive(Debug, Clone, Copy)]
pub enum Traces<'a> {
    /// The run folder, with the nodes' traces if they wrote any.
    AtHand(&'a NodeTraces),
    /// Only the history.
    Missing,
}

impl<'a> Traces<'a> {
    /// The rules on Raft traces, if there are any.
    fn raft(self) -> Option<&'a RaftRules> {
        match self {
            Traces::AtHand(at_hand) => at_hand.raft(),
            Traces::Missing => None,
        }
    }
}

/// What a history is worth, and why.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// The verdict over all rules. Of an interrupted run: over the prefix that was recorded.
    pub verdict: Verdict,
    /// Whether a person ended the run early.
    pub interrupted: bool,
    /// What the rules found, strongest first; rules that have nothing to say are absent.
    pub findings: Vec<RuleFinding>,
    /// How the operations of clients were judged, object by object.
    pub examination: Examination,
    /// The proof, if clients saw what must never be seen. What only traces show is proved by its finding's evidence.
    pub witness: Option<Witness>,
    /// What a reader must know to weigh the verdict, one sentence each.
    pub notes: Vec<String>,
}

impl Judgement {
    /// The finding that decided the verdict, if any rule had something to say.
    pub fn decisive(&self) -> Option<&RuleFinding> {
        self.findings.first()
    }
}

/// Judges a history by every rule that applies to it.
pub fn judge(history: &History, traces: Traces<'_>) -> Judgement {
    judge_with(history, traces, &Judging::default())
}

/// [`judge`] by a model and within a budget.
pub fn judge_with(history: &History, traces: Traces<'_>, judging: &Judging<'_>) -> Judgement {
    let timeline = Timeline::of(history);
    let examination = Examination::of(history, judging);
    let (mut findings, witness) = if crate::siblings::applies(history.header.as_ref()) {
        (siblings::findings(history), None)
    } else {
        linearizable::findings(history, &examination)
    };
    if let Traces::AtHand(at_hand) = traces {
        findings.extend(traces::findings(history, &timeline, at_hand));
    }
    findings.extend(crash::findings(&timeline));
    findings.extend(readiness::findings(&timeline));
    findings.extend(heal::findings(&timeline));
    findings.extend(history.header.iter().filter_map(|header| marks::finding(header, history)));
    match history
        .header
        .as_ref()
        .filter(|header| header.is_of_run() || timeline.end.is_some())
    {
        None => findings.extend(vacuity::of_nothing(history)),
        Some(header) => {
            let confirmed = confirmed(&timeline, traces, &findings, witness.is_some());
            findings.extend(ending::finding(&timeline, confirmed));
            if ending::complete(&timeline) {
                findings.extend(vacuity::of_run(header, history, &timeline, traces.raft()));
            } else if ending::interrupted(&timeline) {
                // What is missing may just not have come yet, but a prefix in which nothing concludes proves nothing either.
                findings.extend(vacuity::of_nothing(history));
            }
        }
    }
    // Stable: among equals, the order of the rules above.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.verdict));
    Judgement {
        verdict: Verdict::merge(findings.iter().map(|finding| finding.verdict)),
        interrupted: ending::interrupted(&timeline),
        findings,
        examination,
        witness,
        notes: notes(history, &timeline, traces),
    }
}

/// Whether what the online check saw, if it saw anything, is among these findings.
fn confirmed(timeline: &Timeline, traces: Traces<'_>, findings: &[RuleFinding], has_witness: bool) -> Confirmed {
    let Some(rule) = timeline.seen_online.as_ref().and_then(|seen| seen.rule.as_ref()) else {
        return if has_witness { Confirmed::Yes } else { Confirmed::No };
    };
    let is_it = |finding: &RuleFinding| finding.rule == *rule && finding.verdict == Verdict::Invalid;
    match traces {
        _ if findings.iter().any(is_it) => Confirmed::Yes,
        Traces::AtHand(_) => Confirmed::No,
        Traces::Missing => Confirmed::NoTraces,
    }
}

fn notes(history: &History, timeline: &Timeline, traces: Traces<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(ending::stopped_online(timeline));
    notes.extend(reach::outside_the_fault_model(history));
    notes.extend(reach::left_out(history));
    notes.extend(reach::past_the_clock_faults(timeline));
    if let Some(cut) = history.cut_line {
        let nothing_before = history.header.is_none() && history.operations.is_empty() && history.marks.is_empty();
        let which = if nothing_before { "the only one" } else { "the last" };
        notes.push(format!(
            "line {}, {which}, is cut after {} bytes and was left out",
            cut.line, cut.bytes
        ));
    }
    let strangers = history.marks.iter().filter(|mark| mark.is_operation_of_stranger()).count();
    if strangers > 0 {
        let lines = if strangers == 1 { "line says" } else { "lines say" };
        notes.push(format!(
            "{strangers} {lines} `invoke`, `ok` or `fail` of a process with a name and no number, and were passed over: clients are numbers"
        ));
    }
    if traces::expected(history).is_some() {
        match traces {
            Traces::Missing => notes.push("judged without the trace rules: the nodes' traces are not at hand".into()),
            Traces::AtHand(_) if timeline.end.is_none() => {
                let note = "without an end of the recording, nodes may have run on while their traces were read: \
                            no rule asked for events that are missing";
                notes.push(note.into());
            }
            Traces::AtHand(at_hand) => notes.extend(at_hand.raft().into_iter().flat_map(|raft| raft.notes())),
        }
    }
    notes
}
