//! The verdict and what proves it, as text: what was run, one line per fact, the verdict word at the start of a line.
//!
//! Everything readable without colour. Whatever came from a node, a file or a user passes [`shown`] on its way.

use std::collections::BTreeMap;

use anstyle::{AnsiColor, Style};
use squall_checker::escape::visible;
use squall_checker::history::mark::Header;
use squall_checker::judge::{Class, RuleFinding};
use squall_checker::linearizability::Witness;
use squall_checker::verdict::Verdict;

use super::numbers::{FaultRow, Numbers};
use super::words::{count, of_kind, percent, plural, shortened, shown};
use super::{Limits, Report, WitnessAt};

/// Lines of a witness that is printed for want of a file: six operations with what explains them.
const WITNESS_LINES_MAX: usize = 24;

/// What was run, how it went, and the verdict.
pub(super) fn verdict(report: &Report, witness_at: &WitnessAt, limits: &Limits) -> String {
    let mut lines = vec![shortened(&subject(report.header.as_ref(), &report.numbers), limits.line_chars)];
    lines.push(format!("  {}", operations(&report.numbers)));
    if report.header.is_some() || !report.numbers.faults.is_empty() {
        lines.push(format!("  {}", shortened(&faults(&report.numbers.faults), limits.line_chars)));
    }
    lines.push(headline(report, limits));
    let findings = &report.judgement.findings;
    let decisive = &findings[..findings.len().min(1)];
    lines.extend(decisive.iter().flat_map(|finding| evidence(finding, limits)));
    if let Some(witness) = &report.judgement.witness {
        lines.extend(witness_lines(witness, witness_at, limits));
    }
    if let (Some(_), WitnessAt::Files { spacetime, .. }) = (&report.spacetime, witness_at) {
        lines.push(format!("  the messages around the broken rule, drawn: {}", shown(spacetime)));
    }
    lines.extend(other_findings(findings, limits));
    lines.extend(report.judgement.notes.iter().map(|note| format!("  note: {}", shown(note))));
    block(&lines)
}

/// Lines as text.
pub(super) fn block(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Lines as text after an empty line; nothing for no lines.
pub(super) fn set_off(lines: &[String]) -> String {
    if lines.is_empty() {
        String::new()
    } else {
        format!("\n{}", block(lines))
    }
}

/// `quorum N=3 R=1 W=1, 5 nodes, register, 10 clients, seed 7`.
fn subject(header: Option<&Header>, numbers: &Numbers) -> String {
    let Some(header) = header else {
        let kinds: Vec<String> = numbers.kinds.iter().take(5).map(|kind| shown(kind)).collect();
        return format!(
            "a history without our header; operations: {}",
            if kinds.is_empty() { "none".into() } else { kinds.join(", ") }
        );
    };
    let named = [&header.system, &header.workload]
        .into_iter()
        .filter(|name| !name.is_empty())
        .map(|name| shown(name));
    let counted = [plural(u64::from(header.clients), "client"), format!("seed {}", header.seed)];
    named.chain(counted).collect::<Vec<_>>().join(", ")
}

fn operations(numbers: &Numbers) -> String {
    let outcomes = &numbers.outcomes;
    let all = outcomes.all();
    // A share only where there is something to share: `0 failed` says it all.
    let with_share = |part: u64, word: &str| match part {
        0 => format!("0 {word}"),
        part => format!("{} {word} ({})", count(part), percent(part, all)),
    };
    let (failed, unknown) = (with_share(outcomes.failed, "failed"), with_share(outcomes.unknown, "unknown"));
    format!("{}: {} ok, {failed}, {unknown}", plural(all, "operation"), count(outcomes.ok))
}

/// `14 faults: 9 partitions, 5 kills; all seen to bite, all healed`.
fn faults(rows: &[FaultRow]) -> String {
    let injected: Vec<&FaultRow> = rows.iter().filter(|row| row.skipped.is_none()).collect();
    let skipped = rows.len() - injected.len();
    let skipped = if skipped > 0 {
        format!("; {skipped} skipped")
    } else {
        String::new()
    };
    if injected.is_empty() {
        return format!("no faults{skipped}");
    }
    // In order of first appearance, as the schedule has them.
    let mut kinds: Vec<&str> = Vec::new();
    let mut n_of: BTreeMap<&str, u64> = BTreeMap::new();
    for row in &injected {
        if !n_of.contains_key(row.kind.as_str()) {
            kinds.push(&row.kind);
        }
        *n_of.entry(&row.kind).or_default() += 1;
    }
    let kinds: Vec<String> = kinds.iter().map(|kind| of_kind(n_of[kind], &shown(kind))).collect();
    let all = injected.len();
    let share = |part: usize| {
        if part == all {
            "all".to_owned()
        } else {
            format!("{part} of {all}")
        }
    };
    let bit = share(injected.iter().filter(|row| row.bit).count());
    let healed = share(injected.iter().filter(|row| row.healed).count());
    format!(
        "{}: {}; {bit} seen to bite, {healed} healed{skipped}",
        plural(all as u64, "fault"),
        kinds.join(", ")
    )
}

fn headline(report: &Report, limits: &Limits) -> String {
    let judgement = &report.judgement;
    let message = judgement
        .decisive()
        .map_or_else(|| "nothing to judge".into(), |finding| sentence(finding, limits));
    if judgement.interrupted && judgement.verdict != Verdict::Invalid {
        let style = Style::new().bold();
        return format!("{style}INTERRUPTED{style:#}  {} until then: {message}", judgement.verdict);
    }
    let style = style_of(judgement.verdict);
    let until = if judgement.interrupted { " (the run was interrupted)" } else { "" };
    format!("{style}{}{style:#}  {message}{until}", judgement.verdict.word().to_uppercase())
}

fn style_of(verdict: Verdict) -> Style {
    let color = match verdict {
        Verdict::Valid => AnsiColor::Green,
        Verdict::Invalid => AnsiColor::Red,
        Verdict::Unknown | Verdict::Vacuous => AnsiColor::Yellow,
        Verdict::HarnessError => AnsiColor::Magenta,
    };
    color.on_default().bold()
}

/// A finding in one line. Safety is what everybody takes `invalid` for; the other classes are named.
fn sentence(finding: &RuleFinding, limits: &Limits) -> String {
    let message = visible(&finding.message, limits.line_chars);
    match finding.class {
        None | Some(Class::Safety) => message,
        Some(class) => format!("{}: {message}", class.word()),
    }
}

fn evidence(finding: &RuleFinding, limits: &Limits) -> Vec<String> {
    let mut lines: Vec<String> = finding
        .evidence
        .iter()
        .take(limits.evidence)
        .map(|line| format!("  {}", visible(line, limits.line_chars)))
        .collect();
    if finding.evidence.len() > lines.len() {
        lines.push(format!("  … and {} more lines", finding.evidence.len() - lines.len()));
    }
    lines
}

fn witness_lines(witness: &Witness, at: &WitnessAt, limits: &Limits) -> Vec<String> {
    let size = plural(witness.operations.len() as u64, "operation");
    match at {
        WitnessAt::Files { witness, .. } => vec![format!("  smallest witness: {size}, in {}", shown(witness))],
        WitnessAt::Inline => {
            let text = witness.text();
            // The last paragraph is the table; what it means is said above.
            let table = text.trim_end().rsplit("\n\n").next().unwrap_or_default();
            let lines = table
                .lines()
                .take(WITNESS_LINES_MAX)
                .map(|line| format!("  {}", visible(line, limits.line_chars)));
            [format!("  smallest witness: {size}")].into_iter().chain(lines).collect()
        }
    }
}

/// What the other rules found, strongest first, each with its verdict; in the full report with its evidence.
fn other_findings(findings: &[RuleFinding], limits: &Limits) -> Vec<String> {
    let others = findings.iter().skip(1);
    let n_others = others.len();
    let mut lines = Vec::new();
    for finding in others.take(limits.findings) {
        lines.push(format!("  {}: {}", finding.verdict, sentence(finding, limits)));
        if *limits == Limits::FULL {
            lines.extend(evidence(finding, limits).into_iter().map(|line| format!("  {line}")));
        }
    }
    if n_others > limits.findings {
        lines.push(format!("  … and {}", plural((n_others - limits.findings) as u64, "more finding")));
    }
    lines
}
