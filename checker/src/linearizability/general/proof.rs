//! What proves an object's verdict under any model: an order, a claim, or a window small enough to try every order of it.

use serde::{Deserialize, Serialize};

use super::verify::{self, TOO_LARGE, WINDOW_MAX};
use super::{Answer, Claim, Confirmed, ModelResult, Refusal};
use crate::history::History;
use crate::linearizability::replay::related;
use crate::model::{Model, ModelChoice, Value};
use crate::verdict::Verdict;

/// One object's verdict, and by the verdict one of the members that follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelProof {
    /// Its keys, or the element of a set; empty for operations without a key.
    pub object: String,
    /// Valid, invalid or unknown.
    pub verdict: Verdict,
    /// Of a valid object: the places in [`History::operations`] of what happened, in an order that the model allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Vec<usize>>,
    /// Of an invalid one: what is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// Of an invalid one without a claim: operations that have no order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowProof>,
    /// Of an unknown one: why nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Operations that have no order; what [`Refusal`] says of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowProof {
    /// Their places in [`History::operations`].
    pub operations: Vec<usize>,
    /// The values that count, as JSON text; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<String>>,
    /// What returned later need not have happened by then, in nanoseconds.
    pub certain_ns: u64,
}

impl ModelProof {
    /// The proof of what was found out.
    pub fn of(history: &History, choice: ModelChoice, result: &ModelResult) -> ModelProof {
        let mut proof = ModelProof {
            object: result.name.clone(),
            verdict: result.answer.verdict(),
            order: None,
            claim: None,
            window: None,
            reason: None,
        };
        match &result.answer {
            Answer::Valid(order) => proof.order = Some(order.clone()),
            Answer::Invalid(refusal) => {
                proof.claim = Claim::of(history, choice, &result.places, refusal);
                proof.window = proof.claim.is_none().then(|| WindowProof {
                    operations: refusal.window.clone(),
                    values: refusal.values.as_ref().map(|values| values.iter().map(Value::to_string).collect()),
                    certain_ns: refusal.certain_ns,
                });
            }
            Answer::Unknown(undecided) => proof.reason = Some(undecided.reason.clone()),
        }
        proof
    }

    /// The operations that show an object to be invalid.
    pub(in crate::linearizability) fn operations(&self) -> Option<Vec<usize>> {
        match (&self.claim, &self.window) {
            (Some(claim), None) => Some(claim.operations()),
            (None, Some(window)) => Some(window.operations.clone()),
            _ => None,
        }
    }
}

/// Checks what is said to refute an object.
///
/// # Errors
/// If it does not hold. `Ok` with a reason if trying every order of a window would take too long.
pub(in crate::linearizability) fn claims_and_windows<M: Model>(
    history: &History,
    model: &M,
    choice: ModelChoice,
    proof: &ModelProof,
) -> Result<Option<String>, String> {
    let named = proof.operations().ok_or("it has not one of a claim and a window")?;
    let first = named.first().and_then(|&place| history.operations.get(place));
    let key = first.ok_or("it names no operation of this history")?.key;
    let places: Vec<u32> = if choice == ModelChoice::Kv {
        related(history, model, &named)
    } else {
        let own = (0..).zip(&history.operations).filter(|(_, operation)| operation.key == key);
        own.map(|(place, _)| place).collect()
    };
    if let Some(claim) = &proof.claim {
        return verify::claim(history, choice, &places, claim)
            .map(|()| None)
            .map_err(|error| error.to_string());
    }
    let window = proof.window.as_ref().ok_or("it has neither a claim nor a window")?;
    let mut values: Option<Vec<Value>> = window
        .values
        .as_ref()
        .map(|values| values.iter().map(|value| Value::of_json(value)).collect());
    values.iter_mut().for_each(|values| values.sort());
    let refusal = Refusal {
        prefix: Vec::new(),
        stuck: *window.operations.last().ok_or("its window is empty")?,
        certain_ns: window.certain_ns,
        window: window.operations.clone(),
        values,
        confirmed: Confirmed::Not,
    };
    match verify::invalid(history, model, &places, &refusal, WINDOW_MAX) {
        Ok(()) => Ok(None),
        Err(error) if error == TOO_LARGE => Ok(Some(format!(
            "the window of `{}` is too large to try every order of it",
            proof.object
        ))),
        Err(error) => Err(error.to_string()),
    }
}
