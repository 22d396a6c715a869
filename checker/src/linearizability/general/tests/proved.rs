//! Every answer by a model that any test of this crate gets is proved on its way there: no test can leave that out.

use crate::history::History;
use crate::linearizability::general::{Answer, Confirmed, ModelResult, verify};
use crate::model::Model;

/// Configurations that trying all orders of a window may take.
const CONFIGURATIONS_MAX: usize = 1_000_000;

/// Largest window that must be confirmed by trying all its orders. Counters cannot leave additions out: theirs may be larger.
const WINDOW_TRIED_MAX: usize = 20;

/// Replays what proves a result.
#[track_caller]
pub(in crate::linearizability::general) fn prove<M: Model>(history: &History, model: &M, result: &ModelResult) {
    match &result.answer {
        Answer::Valid(order) => assert_eq!(verify::valid(history, model, &result.places, order), Ok(()), "{result:?}"),
        Answer::Invalid(refusal) => {
            let by_search = refusal.confirmed != Confirmed::ByForce && refusal.window.len() > WINDOW_TRIED_MAX;
            let verified = verify::invalid(history, model, &result.places, refusal, CONFIGURATIONS_MAX);
            assert!(by_search || verified == Ok(()), "{verified:?}: {result:?}");
        }
        Answer::Unknown(undecided) => assert!(!undecided.reason.is_empty(), "{result:?}"),
    }
}
