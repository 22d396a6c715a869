//! What proves an object's verdict, as one value that can be saved and replayed, whatever the model.

use serde::{Deserialize, Serialize};

use super::general::{Answer, ModelProof};
use super::meaning::Facts;
use super::{ByKey, KeyResult, ObjectResult, Options, Proof, key, prepared};
use crate::history::History;
use crate::model::ModelChoice;
use crate::verdict::Verdict;

/// One object's verdict and what proves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ObjectProof {
    /// Of a register of one key.
    Register(Proof),
    /// Of anything else.
    Other(ModelProof),
}

impl ObjectProof {
    /// The proofs of what was found out about a history's objects. Orders of registers are looked for here, which costs as much as the
    /// check did; all else is at hand.
    pub fn of_all(history: &History, choice: ModelChoice, objects: &[ObjectResult], options: &Options<'_>) -> Vec<ObjectProof> {
        let (facts, by_key) = prepared(history, options.threads);
        let of = |object: &ObjectResult| match object {
            ObjectResult::Register(result) => ObjectProof::Register(of_register(&facts, &by_key, result, options)),
            ObjectResult::Other(result) => {
                let mut proof = ModelProof::of(history, choice, result);
                if matches!(result.answer, Answer::Unknown(_)) {
                    proof.reason = object.reason(history);
                }
                ObjectProof::Other(proof)
            }
        };
        objects.iter().map(of).collect()
    }

    /// The verdict it stands for.
    pub fn verdict(&self) -> Verdict {
        match self {
            ObjectProof::Register(proof) => proof.verdict,
            ObjectProof::Other(proof) => proof.verdict,
        }
    }

    /// The order of a valid object.
    pub(super) fn order(&self) -> Option<&[usize]> {
        match self {
            ObjectProof::Register(proof) => proof.order.as_deref(),
            ObjectProof::Other(proof) => proof.order.as_deref(),
        }
    }

    /// Why an object is unknown.
    pub(super) fn reason(&self) -> Option<&str> {
        match self {
            ObjectProof::Register(proof) => proof.reason.as_deref(),
            ObjectProof::Other(proof) => proof.reason.as_deref(),
        }
    }

    /// What a sentence calls the object, as it came.
    pub(super) fn name(&self) -> String {
        match self {
            ObjectProof::Register(Proof { key: Some(name), .. }) => format!("key `{name}`"),
            ObjectProof::Other(proof) if !proof.object.is_empty() => format!("`{}`", proof.object),
            _ => "the object without a key".to_owned(),
        }
    }
}

fn of_register(facts: &Facts<'_>, by_key: &ByKey, result: &KeyResult, options: &Options<'_>) -> Proof {
    let history = facts.history();
    let is_valid = result.verdict == Verdict::Valid;
    let order = if is_valid {
        key::order(facts, by_key.places(result.key), options)
    } else {
        None
    };
    let lost = is_valid && order.is_none();
    Proof {
        key: result.key.and_then(|key| history.keys.get(key.index())).map(str::to_owned),
        verdict: if lost { Verdict::Unknown } else { result.verdict },
        order,
        certificate: result.certificate.clone(),
        reason: if lost {
            Some("it was found linearizable, but the check was stopped before its order was found".to_owned())
        } else {
            result.reason.clone()
        },
    }
}
