//! The stages of a fault, as the history has them.

use serde::Serialize;
use serde_json::Value;
use squall_checker::history::mark::{FaultStage, Stage};
use squall_nemeses::{Fault, Receipt};

/// As the history has it.
pub(super) fn value(data: impl Serialize) -> Value {
    serde_json::to_value(data).expect("receipts and proofs have string keys")
}

/// The stage of a fault that was not injected.
pub(super) fn skipped(id: u64, why: String) -> FaultStage {
    FaultStage {
        reason: Some(why),
        ..stage(id, Stage::Skipped)
    }
}

/// A stage with nothing but its number.
pub(super) fn stage(id: u64, stage: Stage) -> FaultStage {
    FaultStage {
        id,
        stage,
        asked: None,
        resolved: None,
        probe: None,
        reason: None,
    }
}

/// Fills one field of a stage.
pub(super) trait Fill {
    fn asked(self, fault: &Fault) -> FaultStage;
    fn resolved(self, receipt: &Receipt) -> FaultStage;
    fn probe(self, probe: &Value) -> FaultStage;
}

impl Fill for FaultStage {
    fn asked(self, fault: &Fault) -> FaultStage {
        FaultStage {
            asked: Some(value(fault)),
            ..self
        }
    }

    fn resolved(self, receipt: &Receipt) -> FaultStage {
        FaultStage {
            resolved: Some(value(receipt)),
            ..self
        }
    }

    fn probe(self, probe: &Value) -> FaultStage {
        FaultStage {
            probe: Some(probe.clone()),
            ..self
        }
    }
}
