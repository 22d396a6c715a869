//! Every answer on registers that any test of this crate gets is proved on its way there: no test can leave that out.

use crate::history::History;
use crate::linearizability::{KeyResult, Options, linearization_with, verify};
use crate::verdict::Verdict;

/// Replays what proves a result.
#[track_caller]
pub(in crate::linearizability) fn prove(history: &History, result: &KeyResult, options: &Options<'_>) {
    match (result.verdict, &result.certificate, &result.reason) {
        (Verdict::Valid, None, None) => {
            let order = linearization_with(history, result.key, options).expect("a valid key has an order");
            assert_eq!(
                verify::valid(history, result.key, &order),
                Ok(()),
                "{order:?} of {:#?}",
                history.operations
            );
        }
        (Verdict::Invalid, Some(certificate), None) => {
            assert_eq!(
                verify::invalid(history, result.key, certificate),
                Ok(()),
                "{certificate:?} of {:#?}",
                history.operations
            );
        }
        (Verdict::Unknown, None, Some(_)) => {}
        _ => panic!("neither proved nor refuted nor left open: {result:?}"),
    }
}
