//! What makes no sense in one injection of a plan that a person wrote: said before anything runs, as it could only ever be skipped.

use squall_nemeses::{Asks, Capability, Ground};

use super::kinds::impossible;
use super::{Injection, Plan};
use crate::schedule::when::When;

impl Injection {
    /// What must be known before it can be injected.
    pub fn asks(&self) -> Asks {
        match self.struck {
            None => self.fault.asks(),
            Some(_) => self.fault.asks_again(),
        }
    }

    /// Checks what the types cannot.
    pub(super) fn validate(&self, plan: &Plan, ground: Ground<'_>) -> Result<(), String> {
        let kind = self.fault.kind();
        if let Some(why) = impossible(self.fault.info(), &plan.system, plan.site()) {
            return Err(format!("{kind}: {why}"));
        }
        self.check_roles(plan).map_err(|error| format!("{kind}: {error}"))?;
        self.fault.validate(ground)?;
        if let Some(struck) = &self.struck {
            let all = plan.node_names();
            let stranger = struck.nodes.iter().chain(&struck.spares).find(|node| !all.contains(node));
            if let Some(stranger) = stranger {
                return Err(format!("`struck`: there is no node `{stranger}`; there are {}", all.join(", ")));
            }
            for (place, node) in struck.nodes.iter().enumerate() {
                if struck.nodes[..place].contains(node) {
                    return Err(format!("`struck`: `{node}` stands there twice"));
                }
            }
        }
        if let Some(when) = &self.when {
            when.validate(&plan.system, ground.nodes)?;
        }
        let (from_ms, to_ms) = (plan.timing.warm_up_ms, plan.timing.warm_up_ms + plan.timing.storm_ms);
        let storm = from_ms..=to_ms;
        if self.for_ms == 0 && !self.fault.is_momentary() {
            return Err(format!(
                "`for_ms` is 0, and a `{kind}` that lasts no time cannot be seen to bite; give it at least 1"
            ));
        }
        if !storm.contains(&self.at_ms) || !storm.contains(&self.at_ms.saturating_add(self.for_ms)) {
            return Err(format!("it must begin and end within the storm, {from_ms} to {to_ms} ms"));
        }
        Ok(())
    }

    /// Checks that there can be whoever is to be hit.
    fn check_roles(&self, plan: &Plan) -> Result<(), String> {
        let asks = self.asks();
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
