//! The verifier of a proof file: replays orders, checks claims, and sees to it that nothing was left out. It searches nothing.
//!
//! Of the checker it uses only what an operation means to a model ([`Model`]), when it was, and the verifiers of single certificates. Orders
//! of registers too are replayed here by the model, which the algorithms that found them do not know. One pass over the history and
//! one over the proof.

use std::borrow::Cow;

use rustc_hash::{FxHashMap, FxHashSet};

use super::general::{claims_and_windows, interval, meaning};
use super::object_proof::ObjectProof;
use super::verify as registers;
use crate::history::History;
use crate::history::operation::{KeyId, Operation};
use crate::model::{Call, CasRegister, Counter, Kv, Model, ModelChoice, Mutex, Queue, Register, Set, Touches, Value};
use crate::verdict::Verdict;

/// What a proof proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proved {
    /// Every operation that says something stands in an order that its object allows.
    Valid,
    /// An object is not linearizable: how many are proved so.
    Invalid(usize),
    /// Not everything is covered: what is not.
    Open(String),
}

/// Why a proof is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Wrong {
    /// Which of the proofs, counted from 0; `None` if all of them together lack something.
    pub proof: Option<usize>,
    /// What does not hold, lower case, without a full stop.
    pub why: String,
}

/// Replays the proofs of all objects of a history.
///
/// # Errors
/// If one of them is wrong, or an operation is missing in the order of its object.
pub fn replay(history: &History, choice: ModelChoice, proofs: &[ObjectProof]) -> Result<Proved, Wrong> {
    match choice {
        ModelChoice::Register => Replay::of(history, &Register, choice).all(proofs),
        ModelChoice::CasRegister => Replay::of(history, &CasRegister, choice).all(proofs),
        ModelChoice::Kv => Replay::of(history, &Kv, choice).all(proofs),
        ModelChoice::Counter => Replay::of(history, &Counter, choice).all(proofs),
        ModelChoice::Set => Replay::of(history, &Set, choice).all(proofs),
        ModelChoice::Queue => Replay::of(history, &Queue, choice).all(proofs),
        ModelChoice::Mutex => Replay::of(history, &Mutex, choice).all(proofs),
    }
}

/// Something that only one order may be about: an object, by its key's name, or a part of it.
#[derive(PartialEq, Eq, Hash)]
struct Touched<'a>(Option<Cow<'a, str>>, Option<Value>);

struct Replay<'a, M: Model> {
    history: &'a History,
    model: &'a M,
    choice: ModelChoice,
    /// By place: whether some order has it.
    used: Vec<bool>,
    /// Which proof's order is about what.
    owners: FxHashMap<Touched<'a>, usize>,
}

impl<'a, M: Model> Replay<'a, M> {
    fn of(history: &'a History, model: &'a M, choice: ModelChoice) -> Self {
        Replay {
            history,
            model,
            choice,
            used: vec![false; history.operations.len()],
            owners: FxHashMap::default(),
        }
    }

    fn all(mut self, proofs: &[ObjectProof]) -> Result<Proved, Wrong> {
        let (mut invalid, mut open) = (0, None);
        for (number, proof) in proofs.iter().enumerate() {
            let wrong = |why: String| Wrong { proof: Some(number), why };
            match proof.verdict() {
                Verdict::Valid => {
                    let order = proof.order().ok_or_else(|| wrong("it says valid and has no order".into()))?;
                    self.order(number, order).map_err(wrong)?;
                }
                Verdict::Invalid => match self.refuted(proof).map_err(wrong)? {
                    None => invalid += 1,
                    Some(reason) => open = open.or(Some(reason)),
                },
                Verdict::Unknown => {
                    open = open.or_else(|| Some(format!("{}: {}", proof.name(), proof.reason().unwrap_or("no reason given"))));
                }
                other => return Err(wrong(format!("`{other}` is no verdict of an object"))),
            }
        }
        let uncovered = self.covered()?;
        Ok(match (invalid, open.or(uncovered)) {
            (0, None) => Proved::Valid,
            (0, Some(open)) => Proved::Open(open),
            (invalid, _) => Proved::Invalid(invalid),
        })
    }

    /// Replays one order: each operation once, none after one that began after its return, each step allowed.
    fn order(&mut self, number: usize, order: &[usize]) -> Result<(), String> {
        let mut state = self.model.initial();
        let mut latest_ns = i64::MIN;
        for &place in order {
            let no = |what: &str| Err(format!("operation {place} {what}"));
            let Some(operation) = self.history.operations.get(place) else {
                return no("does not exist");
            };
            let call = Call::of(self.history, operation);
            let Ok(Some(op)) = meaning(self.model, &call) else {
                return no("says nothing, or the model does not know it");
            };
            if std::mem::replace(&mut self.used[place], true) {
                return no("stands in an order twice");
            }
            for touched in touched(self.model, &call) {
                if *self.owners.entry(touched).or_insert(number) != number {
                    return no("is about an object that has another order");
                }
            }
            let (invoked_ns, returned_ns) = interval(self.history, operation);
            latest_ns = latest_ns.max(invoked_ns);
            if returned_ns < latest_ns {
                return no("stands after one that began after its return");
            }
            if !self.model.advance(&mut state, &op) {
                return no("is not allowed where it stands");
            }
        }
        Ok(())
    }

    /// Checks what is said to refute an object; a reason if that cannot be replayed.
    fn refuted(&self, proof: &ObjectProof) -> Result<Option<String>, String> {
        let places = match proof {
            ObjectProof::Register(proof) => proof.certificate.as_ref().map(|certificate| certificate.operations()),
            ObjectProof::Other(proof) => proof.operations(),
        };
        let places = places.ok_or("it says invalid and has nothing that shows it")?;
        let first = places.first().and_then(|&place| self.history.operations.get(place));
        let key = first.ok_or("it names no operation of this history")?.key;
        // What nobody knows may explain anything in its object, and without a key in any.
        let stranger = |operation: &&Operation| {
            let call = Call::of(self.history, operation);
            meaning(self.model, &call).is_err() && (operation.key.is_none() || operation.key == key || self.choice == ModelChoice::Kv)
        };
        if let Some(stranger) = self.history.operations.iter().find(stranger) {
            return Err(format!(
                "line {} has an operation that the model does not know",
                stranger.invoke_line()
            ));
        }
        match proof {
            ObjectProof::Register(proof) => {
                let named = proof.key.as_deref().map(|name| self.history.keys.find(name).and_then(KeyId::new));
                let key = named.map(|key| key.ok_or("the history has no such key")).transpose()?;
                if self.spans(key) {
                    return Err("transactions span its key".into());
                }
                let certificate = proof.certificate.as_ref().ok_or("it has no certificate")?;
                registers::invalid(self.history, key, certificate).map_err(|error| error.to_string())?;
                Ok(None)
            }
            ObjectProof::Other(proof) => claims_and_windows(self.history, self.model, self.choice, proof),
        }
    }

    /// Whether a transaction touches this key, which then is no register of its own.
    fn spans(&self, key: Option<KeyId>) -> bool {
        let name = key.and_then(|key| self.history.keys.get(key.index()));
        self.choice == ModelChoice::Kv
            && self.history.operations.iter().any(|operation| {
                let call = Call::of(self.history, operation);
                let says_something = || matches!(meaning(self.model, &call), Ok(Some(_)));
                let has_key = |names: &[String]| names.iter().any(|of| Some(of.as_str()) == name);
                matches!(self.model.touches(&call), Touches::Keys(names) if has_key(&names)) && says_something()
            })
    }

    /// What says something, happened and stands in no order: an error if its object has one, else what is not covered.
    fn covered(&self) -> Result<Option<String>, Wrong> {
        for touched in self.owners.keys() {
            let Touched(key, part) = touched;
            let whole = Touched(key.clone(), None);
            if part.is_some() && self.owners.get(&whole).is_some_and(|owner| *owner != self.owners[touched]) {
                let why = "an object and a part of it have different orders".to_owned();
                return Err(Wrong { proof: None, why });
            }
        }
        let keys: FxHashSet<&Option<Cow<'_, str>>> = self.owners.keys().map(|Touched(key, _)| key).collect();
        let has_order = |touched: &Touched<'_>| match touched {
            Touched(key, None) => keys.contains(key),
            part => self.owners.contains_key(part) || self.owners.contains_key(&Touched(part.0.clone(), None)),
        };
        let mut uncovered = None;
        for (place, operation) in self.history.operations.iter().enumerate().filter(|(place, _)| !self.used[*place]) {
            let call = Call::of(self.history, operation);
            let required = match meaning(self.model, &call) {
                Ok(None) => continue,
                Ok(Some(_)) => interval(self.history, operation).1 != i64::MAX,
                Err(_) => true,
            };
            if !required {
                continue;
            }
            let line = operation.invoke_line();
            if touched(self.model, &call).iter().any(has_order) {
                let why = format!("operation {place}, on line {line}, happened and is missing in the order of its object");
                return Err(Wrong { proof: None, why });
            }
            uncovered = uncovered.or_else(|| Some(format!("the operation on line {line} is in no order")));
        }
        Ok(uncovered)
    }
}

fn touched<'a, M: Model>(model: &M, call: &Call<'a>) -> Vec<Touched<'a>> {
    let key = || call.key.map(Cow::Borrowed);
    match model.touches(call) {
        Touches::Key | Touches::Any => vec![Touched(key(), None)],
        Touches::Member(value) => vec![Touched(key(), Some(value))],
        Touches::Keys(names) => names.into_iter().map(|name| Touched(Some(name.into()), None)).collect(),
    }
}

/// The places of everything that touches what the operations at `places` touch.
pub(super) fn related<'a, M: Model>(history: &'a History, model: &M, places: &[usize]) -> Vec<u32> {
    let of = |operation: &'a Operation| touched(model, &Call::of(history, operation));
    let named = places.iter().filter_map(|&place| history.operations.get(place));
    let own: FxHashSet<Touched<'_>> = named.flat_map(of).collect();
    let related = (0..)
        .zip(&history.operations)
        .filter(|(_, operation)| of(operation).iter().any(|touched| own.contains(touched)));
    related.map(|(place, _)| place).collect()
}
