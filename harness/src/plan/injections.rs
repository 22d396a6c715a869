//! What makes no sense in one injection of a plan that a person wrote: said before anything runs, as it could only ever be skipped.

use squall_nemeses::{Capability, Ground};

use super::kinds::impossible;
use super::{Injection, Plan};
use crate::schedule::when::When;

impl Injection {
    /// Checks what the types cannot.
    pub(super) fn validate(&self, plan: &Plan, ground: Ground<'_>) -> Result<(), String> {
        let kind = self.fault.kind();
        if let Some(why) = impossible(self.fault.info(), &plan.system, plan.site()) {
            return Err(format!("{kind}: {why}"));
        }
        self.check_roles(plan).map_err(|error| format!("{kind}: {error}"))?;
        self.fault.validate(ground)?;
        if let Some(when) = &self.when {
            when.validate(&plan.system, ground.nodes)?;
        }
        let (from_ms, to_ms) = (plan.timing.warm_up_ms, plan.timing.warm_up_ms + plan.timing.storm_ms);
        let storm = from_ms..=to_ms;
        if !storm.contains(&self.at_ms) || !storm.contains(&self.at_ms.saturating_add(self.for_ms)) {
            return Err(format!("it must begin and end within the storm, {from_ms} to {to_ms} ms"));
        }
        Ok(())
    }

    /// Checks that there can be whoever is to be hit.
    fn check_roles(&self, plan: &Plan) -> Result<(), String> {
        let asks = self.fault.asks();
        let (capabilities, system) = (plan.system.capabilities(), plan.system.name());
        match asks.needs().into_iter().find(|need| !capabilities.contains(need)) {
            Some(Capability::Replicas) => return Err(format!("{system} has no coordinator of a key, and its target is one")),
            Some(need) => return Err(format!("{system} cannot {need}, and its target depends on it")),
            None => {}
        }
        match &self.when {
            None if asks.source => {
                Err("its target is the `source` of an event, and it waits for none; give it a `when`, or another target".into())
            }
            Some(When::Operations { .. }) if asks.source => {
                Err("its target is the `source` of an event, and `operations` happens on no node; give it another target".into())
            }
            _ => Ok(()),
        }
    }
}
