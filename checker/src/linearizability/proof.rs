//! What proves a key's verdict, as one line of a file that anybody can replay: an order of the operations, or a certificate.
//!
//! Operations are named by their places in [`History::operations`], which is the order of their invocations' lines, so a proof belongs to
//! one file and stands beside it.

use serde::{Deserialize, Serialize};

use super::verify::{self, Rejection};
use super::{Certificate, KeyResult, Options, linearization_with};
use crate::history::History;
use crate::history::operation::KeyId;
use crate::verdict::Verdict;

/// One key's verdict and what proves it: exactly one of the three optional members, by the verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The key; null for operations without one.
    pub key: Option<String>,
    /// Valid, invalid or unknown.
    pub verdict: Verdict,
    /// Of a valid key: the places in [`History::operations`] of everything that happened, in an order that a register allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Vec<usize>>,
    /// Of an invalid key: the operations that contradict each other, and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// Of an unknown key: why nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Proof {
    pub(super) fn new(history: &History, result: &KeyResult, order: Option<Vec<usize>>) -> Proof {
        Proof {
            key: result.key.and_then(|key| history.keys.get(key.index())).map(str::to_owned),
            verdict: result.verdict,
            order,
            certificate: result.certificate.clone(),
            reason: result.reason.clone(),
        }
    }

    /// The proof of what a check found out about one key. [`proofs`](super::proofs) makes those of all keys at once.
    pub fn of(history: &History, result: &KeyResult, options: &Options<'_>) -> Proof {
        let is_valid = result.verdict == Verdict::Valid;
        let order = is_valid.then(|| linearization_with(history, result.key, options));
        Proof::new(history, result, order.flatten())
    }

    /// Replays the proof on the history. An unknown key proves nothing, and there is nothing to replay.
    ///
    /// # Errors
    /// If the history has no such key, the proof lacks what its verdict needs, or what it says does not hold.
    pub fn verify(&self, history: &History) -> Result<(), Rejection> {
        let key = self.key_in(history)?;
        match (self.verdict, &self.order, &self.certificate) {
            (Verdict::Valid, Some(order), None) => verify::valid(history, key, order),
            (Verdict::Invalid, None, Some(certificate)) => verify::invalid(history, key, certificate),
            (Verdict::Unknown, None, None) => Ok(()),
            _ => Err(Rejection::of("the proof does not have what its verdict needs, or more")),
        }
    }

    fn key_in(&self, history: &History) -> Result<Option<KeyId>, Rejection> {
        let Some(name) = &self.key else { return Ok(None) };
        let key = history.keys.find(name).and_then(KeyId::new);
        key.map(Some).ok_or(Rejection::of("the history has no such key"))
    }
}
