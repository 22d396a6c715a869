//! The witness of any model: the operations of its claim, or of its window where no claim says it shorter.

use super::{Witness, WitnessOperation, claims};
use crate::history::History;
use crate::history::operation::{Operation, Outcome};
use crate::linearizability::general::{Answer, Claim, ModelResult, Refusal};
use crate::model::{Call, Counter, CounterOp, Model, ModelChoice, Value};

impl Witness {
    /// The witness of an object that was judged by `choice`; `None` unless it is invalid.
    pub fn of_model(history: &History, choice: ModelChoice, result: &ModelResult) -> Option<Witness> {
        let Answer::Invalid(refusal) = &result.answer else { return None };
        let claim = Claim::of(history, choice, &result.places, refusal);
        let words = claims::Words::of(history, &result.places, refusal, claim.as_ref());
        let mut operations = match &claim {
            Some(Claim::OutOfBounds { read }) => additions(history, &result.places, *read),
            Some(claim) => {
                let kept = kept_values(claim);
                let places = words.operations(claim).into_iter();
                places.map(|place| of_general(history, place, kept.as_deref())).collect()
            }
            None => of_window(history, choice, refusal),
        };
        // What stands for many belongs to none of their processes.
        let free = operations.iter().map(|operation| operation.process).max().unwrap_or_default();
        for (process, folded) in (free.saturating_add(1)..).zip(operations.iter_mut().filter(|operation| operation.folded > 0)) {
            folded.process = process;
        }
        operations.sort_by_key(|operation: &WitnessOperation| (operation.invoked_ns, operation.invoke_line));
        let key = result.key.and_then(|key| history.keys.get(key.index()));
        Some(Witness {
            key: key.map(str::to_owned),
            subject: Some(subject(choice, key, &result.name)),
            heart: Some(words.heart()),
            operations,
            sentence: words.sentence(),
            because: words.because(),
            digits: words.digits,
            clock_error_ns: history.clock_error_ns(),
        })
    }
}

/// "queue `q`", "the lock", "group of keys `a, b`": hostile names are escaped by who prints them.
fn subject(choice: ModelChoice, key: Option<&str>, names: &str) -> (&'static str, Option<String>) {
    match choice {
        ModelChoice::Kv if names.contains(", ") => ("group of keys", Some(names.to_owned())),
        ModelChoice::Kv if !names.is_empty() => ("key", Some(names.to_owned())),
        _ => (choice.noun(), key.map(str::to_owned)),
    }
}

/// The values that a claim about a set is about: a read keeps only these.
fn kept_values(claim: &Claim) -> Option<Vec<Value>> {
    let values: Vec<&String> = match claim {
        Claim::NeverAdded { value, .. } | Claim::Missing { value, .. } | Claim::ListedTwice { value, .. } => vec![value],
        Claim::Overtaken { lacks, saw, .. } => vec![lacks, saw],
        Claim::Forked { only_one, only_other, .. } => vec![only_one, only_other],
        _ => return None,
    };
    Some(values.into_iter().map(|value| Value::of_json(value)).collect())
}

fn of_window(history: &History, choice: ModelChoice, refusal: &Refusal) -> Vec<WitnessOperation> {
    let kept = refusal.values.as_deref().filter(|_| choice == ModelChoice::Set);
    refusal.window.iter().map(|&place| of_general(history, place, kept)).collect()
}

/// One operation with both its values; of a list that a read saw only what is kept.
pub(super) fn of_general(history: &History, place: usize, kept: Option<&[Value]>) -> WitnessOperation {
    let operation = &history.operations[place];
    let observed = operation.observed().map(|seen| Value::of(history, seen));
    let seen = observed.map_or_else(|| "null".to_owned(), |seen| projected(operation, history, seen, kept));
    let failed = operation.outcome == Outcome::Fail;
    WitnessOperation {
        key: history.key(operation).map(str::to_owned),
        f: history.function(operation).to_owned(),
        asked: Some(history.value(operation.argument).into_owned()),
        seen: (failed && operation.observed().is_some()).then(|| seen.clone()),
        value: seen,
        ..WitnessOperation::of(history, operation)
    }
}

fn projected(operation: &Operation, history: &History, seen: Value, kept: Option<&[Value]>) -> String {
    match (kept, seen.members()) {
        (Some(kept), Some(items)) if history.function(operation) == "read" => {
            let items: Vec<String> = items.iter().filter(|item| kept.contains(item)).map(Value::to_string).collect();
            format!("[{}]", items.join(","))
        }
        _ => seen.to_string(),
    }
}

/// The read with what had certainly been added before it as one addition, and as another one what may have been added by then in the
/// direction in which the read is wrong: as many operations as a person can add up.
fn additions(history: &History, places: &[u32], read: usize) -> Vec<WitnessOperation> {
    let finite = |operation: &Operation| operation.returned_ns().map(|ns| ns.saturating_add(history.clock_error_ns()));
    let of_read = &history.operations[read];
    let (mut certain, mut possible) = (Folded::default(), [Folded::default(), Folded::default()]);
    for &place in places {
        let operation = &history.operations[place as usize];
        let op = Counter.read(&Call::of(history, operation)).ok().flatten();
        let begun = operation.outcome != Outcome::Fail && Some(operation.invoked_ns) <= finite(of_read);
        let Some(CounterOp::Add(amount)) = op.filter(|_| begun) else {
            continue;
        };
        let before = operation.outcome == Outcome::Ok && finite(operation) < Some(of_read.invoked_ns);
        let folded = if before {
            &mut certain
        } else {
            &mut possible[usize::from(amount > 0)]
        };
        folded.take(place as usize, operation, amount);
    }
    let seen = of_read
        .observed()
        .and_then(|seen| Value::of(history, seen).integer())
        .unwrap_or_default();
    let [fewer, more] = possible;
    // Below all bounds only what may have been taken away matters, above them only what may have been added.
    let possible = if i128::from(seen) < certain.sum + fewer.sum { fewer } else { more };
    let mut operations = vec![of_general(history, read, None)];
    operations.extend(certain.operation(history, true));
    operations.extend(possible.operation(history, false));
    operations
}

/// Additions taken together.
#[derive(Default)]
struct Folded {
    places: Vec<usize>,
    sum: i128,
    invoked_ns: Option<u64>,
    returned_ns: Option<u64>,
}

impl Folded {
    fn take(&mut self, place: usize, operation: &Operation, amount: i64) {
        self.places.push(place);
        self.sum += i128::from(amount);
        self.invoked_ns = Some(self.invoked_ns.map_or(operation.invoked_ns, |ns| ns.min(operation.invoked_ns)));
        self.returned_ns = self.returned_ns.max(operation.returned_ns());
    }

    /// Their sum as one operation: none, itself if it is one.
    fn operation(&self, history: &History, certain: bool) -> Option<WitnessOperation> {
        let first = of_general(history, *self.places.first()?, None);
        if self.places.len() == 1 {
            return Some(first);
        }
        let lines = self.places.iter().map(|&place| &history.operations[place]);
        let complete_line = lines.filter_map(Operation::complete_line).max();
        Some(WitnessOperation {
            f: "add".to_owned(),
            asked: Some(self.sum.to_string()),
            value: self.sum.to_string(),
            folded: self.places.len(),
            node: None,
            invoked_ns: self.invoked_ns.unwrap_or_default(),
            returned_ns: self.returned_ns.filter(|_| certain),
            outcome: if certain { Outcome::Ok } else { Outcome::Unknown },
            complete_line: complete_line.filter(|_| certain),
            ..first
        })
    }
}
