//! The rule of linearizability, as one finding for all keys: which is broken first, how many more are, which could not be judged.

use super::finding::{Class, RuleFinding};
use crate::history::History;
use crate::linearizability::{self, KeyResult, Witness};
use crate::verdict::Verdict;

const RULE: &str = "linearizability";

/// The findings, at most one per verdict, and the proof of the violation that was certain first.
pub(super) fn findings(history: &History) -> (Vec<RuleFinding>, Option<Witness>) {
    let results = linearizability::check(history);
    let witness = linearizability::first_violation(&results).and_then(|result| Witness::of(history, result));
    let broken = witness.as_ref().map(|witness| broken(witness, &results));
    let findings = broken
        .into_iter()
        .chain(undecided(history, &results))
        .chain(holds(&results))
        .collect();
    (findings, witness)
}

fn of_verdict(results: &[KeyResult], verdict: Verdict) -> impl Iterator<Item = &KeyResult> {
    results.iter().filter(move |result| result.verdict == verdict)
}

fn broken(witness: &Witness, results: &[KeyResult]) -> RuleFinding {
    let others = of_verdict(results, Verdict::Invalid).count().saturating_sub(1);
    let others = (others > 0).then(|| format!("{others} more of {} keys are not linearizable either", results.len()));
    RuleFinding::broken(RULE, Class::Safety, format!("{} is not linearizable", witness.key_name())).with_evidence(
        [witness.sentence.clone()]
            .into_iter()
            .chain(witness.because.iter().cloned())
            .chain(others),
    )
}

fn undecided(history: &History, results: &[KeyResult]) -> Option<RuleFinding> {
    let mut undecided = of_verdict(results, Verdict::Unknown);
    let first = undecided.next()?;
    let reason = first.reason.as_deref().unwrap_or("no reason given");
    let message = match first.key.and_then(|key| history.keys.get(key.index())) {
        Some(key) => format!("key `{key}` could not be judged: {reason}"),
        None => format!("operations without a key could not be judged: {reason}"),
    };
    let others = undecided.count();
    let others = (others > 0).then(|| format!("{others} more of {} keys could not be judged", results.len()));
    Some(RuleFinding::new(RULE, Verdict::Unknown, message).with_evidence(others))
}

/// Said only if it is so of every key; what holds beside a violation or a doubt is no news.
fn holds(results: &[KeyResult]) -> Option<RuleFinding> {
    if results.is_empty() || results.iter().any(|result| result.verdict != Verdict::Valid) {
        return None;
    }
    let message = match results.len() {
        1 => "the only key is linearizable".to_owned(),
        keys => format!("all {keys} keys are linearizable"),
    };
    Some(RuleFinding::new(RULE, Verdict::Valid, message))
}
