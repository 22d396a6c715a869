//! Every object of a history by the model asked for: registers by the algorithms of their own, all else by [`general`](super::general).

use std::borrow::Cow;

use super::general::{self, Answer, ModelResult};
use super::shared::judged;
use super::{Ended, KeyResult, Options, Witness, check_key, prepared};
use crate::escape::visible;
use crate::history::History;
use crate::history::operation::{Function, KeyId, Operation, Outcome};
use crate::model::ModelChoice;
use crate::seconds::{digits_of, with_digits};
use crate::verdict::Verdict;

/// What was found out about one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectResult {
    /// A register of one key.
    Register(KeyResult),
    /// Anything else.
    Other(ModelResult),
}

/// Judges every object of a history by a model, in the order of their first operations. However many are judged at once, together they keep
/// within the budget's memory.
pub fn check_objects(history: &History, choice: ModelChoice, options: &Options<'_>) -> Vec<ObjectResult> {
    let other = |results: Vec<ModelResult>| results.into_iter().map(ObjectResult::Other).collect();
    match choice {
        ModelChoice::Register => without_cas(history, registers(history, options)),
        ModelChoice::CasRegister => registers(history, options),
        ModelChoice::Kv if ["txn", "append"].iter().all(|f| history.functions.find(f).is_none()) => registers(history, options),
        ModelChoice::Kv => general::check_kv(history, options),
        ModelChoice::Counter | ModelChoice::Set | ModelChoice::Queue | ModelChoice::Mutex => {
            other(general::check_model(history, choice, options))
        }
    }
}

/// Every key as a register of its own. What nobody knows and names no key may have changed any of them: then no key is known.
fn registers(history: &History, options: &Options<'_>) -> Vec<ObjectResult> {
    let is_stranger =
        |operation: &&Operation| operation.key.is_none() && matches!(operation.f, Function::Other(_)) && operation.outcome != Outcome::Fail;
    // Without a name that is no register's there is none.
    let stranger = (!history.functions.is_empty())
        .then(|| history.operations.iter().find(is_stranger))
        .flatten();
    let doubt = |operation: &Operation| {
        let f = visible(history.function(operation), FUNCTION_CHARS_MAX);
        format!(
            "`{f}` on line {} is no operation of a register and names no key, so it may have changed any",
            operation.invoke_line()
        )
    };
    let (facts, by_key) = prepared(history, options.threads);
    let keys: Vec<Option<KeyId>> = by_key.keys().collect();
    let judge = |key: &Option<KeyId>, options: &Options<'_>| check_key(&facts, *key, by_key.places(*key), options);
    let weight = |key: &Option<KeyId>| by_key.places(*key).len() as u64;
    let results = judged(&keys, options, weight, judge, is_short).into_iter();
    let results = results.map(|result| match stranger {
        Some(operation) if result.key.is_some() => unknown(result, doubt(operation)),
        _ => result,
    });
    results.map(ObjectResult::Register).collect()
}

/// Longest name of a function in a reason, in characters.
const FUNCTION_CHARS_MAX: usize = 40;

/// Whether a key is unknown for want of these bytes.
pub(super) fn is_short(result: &KeyResult, bytes: u64) -> bool {
    let ended = Ended::Bytes(bytes).to_string();
    result.reason.as_ref().is_some_and(|reason| reason.starts_with(&ended))
}

fn unknown(result: KeyResult, reason: String) -> KeyResult {
    KeyResult {
        verdict: Verdict::Unknown,
        reason: Some(reason),
        certificate: None,
        certain_ns: None,
        ..result
    }
}

/// A plain register has no compare-and-set: a key with one is not judged by what it lacks.
fn without_cas(history: &History, results: Vec<ObjectResult>) -> Vec<ObjectResult> {
    let mut first_cas: Vec<Option<u64>> = vec![None; history.keys.len() + 1];
    for operation in history.operations.iter().filter(|operation| operation.f == Function::Cas) {
        first_cas[operation.key.map_or(0, |key| key.index() + 1)].get_or_insert(operation.invoke_line());
    }
    let results = results.into_iter().map(|result| match result {
        ObjectResult::Register(result) => ObjectResult::Register(match first_cas[result.key.map_or(0, |key| key.index() + 1)] {
            None => result,
            Some(line) => unknown(
                result,
                format!("`cas` on line {line} is no operation of a register, but one of a cas-register"),
            ),
        }),
        other => other,
    });
    results.collect()
}

/// The violation that was certain first.
pub fn first_violation_of(results: &[ObjectResult]) -> Option<&ObjectResult> {
    let invalid = results.iter().filter(|result| result.verdict() == Verdict::Invalid);
    invalid.min_by_key(|result| result.certain_ns())
}

impl ObjectResult {
    /// [`Valid`](Verdict::Valid), [`Unknown`](Verdict::Unknown) or [`Invalid`](Verdict::Invalid).
    pub fn verdict(&self) -> Verdict {
        match self {
            ObjectResult::Register(result) => result.verdict,
            ObjectResult::Other(result) => result.answer.verdict(),
        }
    }

    /// Its key, the first if operations join several; `None` for operations without one.
    pub fn key(&self) -> Option<KeyId> {
        match self {
            ObjectResult::Register(result) => result.key,
            ObjectResult::Other(result) => result.key,
        }
    }

    /// How many operations it has, whatever their outcome.
    pub fn operations(&self) -> usize {
        match self {
            ObjectResult::Register(result) => result.operations,
            ObjectResult::Other(result) => result.places.len(),
        }
    }

    /// How it was decided.
    pub fn algorithm(&self) -> &'static str {
        match self {
            ObjectResult::Register(result) => result.algorithm,
            ObjectResult::Other(result) => result.algorithm,
        }
    }

    /// When a violation was certain, in nanoseconds.
    pub fn certain_ns(&self) -> Option<u64> {
        match self {
            ObjectResult::Register(result) => result.certain_ns,
            ObjectResult::Other(ModelResult {
                answer: Answer::Invalid(refusal),
                ..
            }) => Some(refusal.certain_ns),
            ObjectResult::Other(_) => None,
        }
    }

    /// Its name as it came: a key, `a, b` for keys that are judged together, `a/5` for an element of a set; `None` for operations without a
    /// key.
    pub fn name<'a>(&'a self, history: &'a History) -> Option<Cow<'a, str>> {
        let key = || self.key().and_then(|key| history.keys.get(key.index())).map(Cow::Borrowed);
        match self {
            ObjectResult::Other(result) if !result.name.is_empty() => Some(Cow::Borrowed(&result.name)),
            _ => key(),
        }
    }

    /// Why it is unknown, lower case, without a full stop: what ended the search, where, and how far the object is proved.
    pub fn reason(&self, history: &History) -> Option<String> {
        match self {
            ObjectResult::Register(result) => result.reason.clone(),
            ObjectResult::Other(ModelResult {
                answer: Answer::Unknown(undecided),
                ..
            }) => Some(of_search(history, undecided)),
            ObjectResult::Other(_) => None,
        }
    }

    /// What proves it invalid, for a person.
    pub fn witness(&self, history: &History, choice: ModelChoice) -> Option<Witness> {
        match self {
            ObjectResult::Register(result) => Witness::of(history, result),
            ObjectResult::Other(result) => Witness::of_model(history, choice, result),
        }
    }
}

fn of_search(history: &History, undecided: &general::Undecided) -> String {
    let (Some(_), Some((place, since_ns))) = (undecided.end, undecided.window) else {
        return visible(&undecided.reason, usize::MAX);
    };
    let operation = &history.operations[place];
    let line = operation.complete_line().unwrap_or(operation.invoke_line());
    let until_ns = operation.returned_ns().unwrap_or(undecided.proved_ns);
    let digits = digits_of(&[since_ns, until_ns]);
    let until = with_digits(until_ns, digits);
    format!(
        "{} between {} and {until} (line {line}), with up to {} operations at once and {} of unknown outcome; \
         everything that returned before {until} is linearizable",
        undecided.reason,
        with_digits(since_ns, digits),
        undecided.concurrency,
        undecided.unknown
    )
}
