//! The rule of linearizability, as one finding for all objects: which is broken first, how many more are, which could not be judged.

use std::collections::BTreeMap;

use super::finding::{Class, RuleFinding};
use crate::history::History;
use crate::linearizability::{ObjectResult, Options, Witness, check_objects, first_violation_of};
use crate::model::ModelChoice;
use crate::verdict::Verdict;

const RULE: &str = "linearizability";

/// Undecided objects that are named with their reasons.
const UNDECIDED_SHOWN_MAX: usize = 5;

/// How the operations of clients are judged.
#[derive(Clone, Copy, Default)]
pub struct Judging<'a> {
    /// What the objects promise; `None` for what the header names or, without one, what the operations look like.
    pub model: Option<ModelChoice>,
    /// What it may cost, and on how many threads.
    pub options: Options<'a>,
}

/// Why a history was judged by its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chosen {
    /// The user said so.
    Asked,
    /// The history's header names it.
    Declared,
    /// Its operations look like it.
    Guessed,
}

/// What was judged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examination {
    /// The model.
    pub model: ModelChoice,
    /// Why this one.
    pub chosen: Chosen,
    /// Every object: its name, if it has one, and what was found out.
    pub objects: Vec<ObjectResult>,
    /// How many objects each algorithm decided, or was the last to try.
    pub algorithms: BTreeMap<&'static str, usize>,
}

impl Examination {
    /// Judges the objects of a history.
    pub fn of(history: &History, judging: &Judging<'_>) -> Examination {
        let (model, chosen) = chosen(history, judging.model);
        let objects = check_objects(history, model, &judging.options);
        let mut algorithms = BTreeMap::new();
        for object in &objects {
            *algorithms.entry(object.algorithm()).or_insert(0) += 1;
        }
        Examination {
            model,
            chosen,
            objects,
            algorithms,
        }
    }

    /// An object as a sentence names it: "key `k3`", "queue `q`", "the register".
    pub fn name(&self, history: &History, object: &ObjectResult) -> String {
        let of_key = matches!(object, ObjectResult::Register(_)) || self.model == ModelChoice::Kv;
        let noun = if of_key { "key" } else { self.model.noun() };
        match object.name(history) {
            Some(name) if of_key && name.contains(", ") => format!("group of keys `{name}`"),
            Some(name) => format!("{noun} `{name}`"),
            None if of_key => "operations without a key".to_owned(),
            None => format!("the {noun}"),
        }
    }

    fn of_verdict(&self, verdict: Verdict) -> impl Iterator<Item = &ObjectResult> {
        self.objects.iter().filter(move |object| object.verdict() == verdict)
    }

    /// `79 keys`, `3 objects`.
    fn counted(&self) -> String {
        let noun = if self.model.is_register() { "keys" } else { "objects" };
        format!("{} {noun}", self.objects.len())
    }
}

/// The model by which a history is judged, and why.
pub(super) fn chosen(history: &History, asked: Option<ModelChoice>) -> (ModelChoice, Chosen) {
    match (asked, ModelChoice::declared(history)) {
        (Some(model), _) => (model, Chosen::Asked),
        (None, Some(model)) => (model, Chosen::Declared),
        (None, None) => (ModelChoice::guessed(history), Chosen::Guessed),
    }
}

/// The findings, at most one per verdict, and the proof of the violation that was certain first.
pub(super) fn findings(history: &History, examination: &Examination) -> (Vec<RuleFinding>, Option<Witness>) {
    let violation = first_violation_of(&examination.objects);
    let witness = violation.and_then(|object| object.witness(history, examination.model));
    let broken = witness.as_ref().map(|witness| broken(witness, examination));
    let findings = broken
        .into_iter()
        .chain(undecided(history, examination))
        .chain(holds(examination))
        .collect();
    (findings, witness)
}

fn broken(witness: &Witness, examination: &Examination) -> RuleFinding {
    let others = examination.of_verdict(Verdict::Invalid).count().saturating_sub(1);
    let others = (others > 0).then(|| format!("{others} more of {} are not linearizable either", examination.counted()));
    RuleFinding::broken(RULE, Class::Safety, format!("{} is not linearizable", witness.key_name())).with_evidence(
        [witness.sentence.clone()]
            .into_iter()
            .chain(witness.because.iter().cloned())
            .chain(others),
    )
}

fn undecided(history: &History, examination: &Examination) -> Option<RuleFinding> {
    let message = |object: &ObjectResult| {
        let reason = object.reason(history).unwrap_or_else(|| "no reason given".to_owned());
        format!("{} could not be judged: {reason}", examination.name(history, object))
    };
    let mut undecided = examination.of_verdict(Verdict::Unknown);
    let first = message(undecided.next()?);
    let mut evidence: Vec<String> = undecided.by_ref().take(UNDECIDED_SHOWN_MAX - 1).map(message).collect();
    let others = undecided.count();
    evidence.extend((others > 0).then(|| format!("{others} more of {} could not be judged", examination.counted())));
    Some(RuleFinding::new(RULE, Verdict::Unknown, first).with_evidence(evidence))
}

/// Said only if it is so of every object; what holds beside a violation or a doubt is no news.
fn holds(examination: &Examination) -> Option<RuleFinding> {
    let all_valid = examination.objects.iter().all(|object| object.verdict() == Verdict::Valid);
    let message = match &examination.objects[..] {
        [] => return None,
        _ if !all_valid => return None,
        [only] if examination.model.is_register() => format!("the only key is linearizable (decided by {})", only.algorithm()),
        [only] => format!("the {} is linearizable (decided by {})", examination.model.noun(), only.algorithm()),
        _ => format!("all {} are linearizable", examination.counted()),
    };
    Some(RuleFinding::new(RULE, Verdict::Valid, message))
}
