//! `verdict.json`: the judgement and the numbers, for programs.

use serde::Serialize;
use squall_checker::judge::{Class, RuleFinding};
use squall_checker::verdict::Verdict;

use super::Report;
use super::numbers::Numbers;
use super::objects::Objects;

/// Version of the file's format. Fields may be added under the same version; a reader skips those it does not know.
const FORMAT: u32 = 1;

#[derive(Serialize)]
struct VerdictFile<'a> {
    squall_verdict: u32,
    /// The first field a person looks for.
    verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<Class>,
    interrupted: bool,
    exit_code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    findings: &'a [RuleFinding],
    #[serde(skip_serializing_if = "Option::is_none")]
    witness: Option<WitnessSummary<'a>>,
    notes: &'a [String],
    linearizability: &'a Objects,
    numbers: &'a Numbers,
}

/// The witness itself stands in `witness.txt` and `witness.jsonl`.
#[derive(Serialize)]
struct WitnessSummary<'a> {
    key: Option<&'a str>,
    n_operations: usize,
    sentence: &'a str,
    because: &'a [String],
}

/// The file's text.
pub(super) fn verdict(report: &Report) -> String {
    let judgement = &report.judgement;
    let file = VerdictFile {
        squall_verdict: FORMAT,
        verdict: judgement.verdict,
        class: judgement.decisive().and_then(|finding| finding.class),
        interrupted: judgement.interrupted,
        exit_code: report.exit_code(),
        run: report.header.as_ref().map(|header| header.run.as_str()),
        seed: report.header.as_ref().map(|header| header.seed),
        findings: &judgement.findings,
        witness: judgement.witness.as_ref().map(|witness| WitnessSummary {
            key: witness.key.as_deref(),
            n_operations: witness.operations.len(),
            sentence: &witness.sentence,
            because: &witness.because,
        }),
        notes: &judgement.notes,
        linearizability: &report.objects,
        numbers: &report.numbers,
    };
    let mut text = serde_json::to_string_pretty(&file).expect("every map has string keys");
    text.push('\n');
    text
}
