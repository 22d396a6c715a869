//! Which faults the options ask for: kinds by name, profiles, all or some of them.

use anyhow::Result;
use squall_nemeses::{Capability, FaultInfo, Mechanism, Site};

use super::PlanArgs;
use super::values::{Percents, Times};
use crate::exit::usage;
use crate::plan::{Plan, fault_info, impossible, left_out, only_cuts};
use crate::report::stdout;
use crate::schedule::profiles::{self, Profile};
use crate::schedule::{Aim, Lasts, Recipe};
use crate::systems::SystemPlan;

impl PlanArgs {
    /// Says which faults of a profile, or of all, a plan leaves out.
    pub(in crate::cli) fn say_left_out(&self, plan: &Plan) {
        for info in self.unnamed_kinds() {
            // Who did not ask for domains or a balancer does not miss their faults; the spare nodes are those that the plan could use.
            let site = Site {
                spares: self.spares != Some(0),
                ..plan.site()
            };
            if info.impossible_on(site).is_some() {
                continue;
            }
            if let Some(why) = left_out(info, &plan.system, site) {
                stdout::note(&format!("left out fault {}: {why}", info.name));
            }
        }
        let kinds = self.unnamed_kinds().into_iter().filter(|info| {
            let is_off = self.off_network(info, plan.site()).is_some();
            is_off && left_out(info, &plan.system, plan.site()).is_none()
        });
        let kinds: Vec<&FaultInfo> = kinds.collect();
        if let Some(why) = kinds.first().and_then(|info| self.off_network(info, plan.site())) {
            let names: Vec<&str> = kinds.iter().map(|info| info.name).collect();
            stdout::note(&format!("left out faults {}: {why}", names.join(", ")));
        }
        self.say_without_room(plan);
    }

    /// Says which of all kinds have no place in a plan whose storm is too short for all of them.
    fn say_without_room(&self, plan: &Plan) {
        if self.faults != "all" {
            return;
        }
        let kinds = self
            .unnamed_kinds()
            .into_iter()
            .filter(|info| self.is_possible(info, &plan.system, plan.site()));
        let absent: Vec<&str> = kinds
            .map(|info| info.name)
            .filter(|name| !plan.requested.iter().any(|kind| kind == name))
            .collect();
        if !absent.is_empty() {
            stdout::note(&format!(
                "no room in a storm of {} ms for faults {}; another seed draws others, and a longer --time has all",
                plan.timing.storm_ms,
                absent.join(", ")
            ));
        }
    }

    /// Whether a kind that is not asked for by its name is injected.
    fn is_possible(&self, info: &FaultInfo, system: &SystemPlan, site: Site<'_>) -> bool {
        self.off_network(info, site).is_none() && left_out(info, system, site).is_none()
    }

    /// The kinds that are asked for, but not by their names.
    fn unnamed_kinds(&self) -> Vec<&'static FaultInfo> {
        let of_profile = |profile: &Profile| profile.kinds.iter().filter_map(|kind| fault_info(kind).ok()).collect();
        match self.faults.as_str() {
            "all" | "swarm" => squall_nemeses::FAULTS.iter().collect(),
            name => Profile::named(name).map(of_profile).unwrap_or_default(),
        }
    }

    /// Why a kind cannot be done on any network that goes with the other options. What a machine cannot do is found out there.
    fn off_network(&self, info: &FaultInfo, site: Site<'_>) -> Option<String> {
        match info.mechanism {
            Mechanism::Links => only_cuts(self.network, site, self.topology.overlay),
            _ => None,
        }
    }

    /// Which faults, when and how.
    pub(super) fn recipe(&self, system: &SystemPlan, site: Site<'_>, seed: u64) -> Result<Recipe> {
        let possible = self.unnamed_kinds().into_iter().filter(|info| self.is_possible(info, system, site));
        let possible: Vec<String> = possible.map(|info| info.name.to_owned()).collect();
        let unnamed = |kinds| Recipe {
            all: false,
            ..Recipe::from(kinds)
        };
        let mut recipe = match (self.faults.as_str(), Profile::named(&self.faults)) {
            ("none", _) => Recipe::from(Vec::new()),
            ("all", _) => unnamed(possible),
            ("swarm", _) => unnamed(profiles::swarm(seed, &possible)),
            (name, Some(profile)) => {
                let leads = system.capabilities().contains(&Capability::Leader);
                if profile.aim == Aim::Leader && !leads {
                    return Err(usage(format!("--faults {name}: {} cannot name its leader", system.name()), ""));
                }
                if possible.is_empty() {
                    let why = profile.kinds.iter().find_map(|kind| {
                        let info = fault_info(kind).ok()?;
                        left_out(info, system, site).or_else(|| self.off_network(info, site))
                    });
                    let why = why.map_or_else(String::new, |why| format!(": {why}"));
                    return Err(usage(
                        format!("--faults {name}: {} can take none of its faults{why}", system.name()),
                        "",
                    ));
                }
                profile.recipe(possible)
            }
            (list, None) => Recipe::from(named_kinds(list, system, site)?),
        };
        if let Some(Times(every_ms)) = &self.fault_every {
            recipe.every_ms = Some(every_ms.clone());
        }
        if let Some(Times(for_ms)) = &self.fault_for {
            recipe.lasts = Lasts::Between(for_ms.clone());
        }
        if let Some(Percents(intensity)) = &self.fault_intensity {
            recipe.intensity = intensity.clone();
        }
        Ok(recipe)
    }
}

/// The kinds of a list that a person typed.
fn named_kinds(list: &str, system: &SystemPlan, site: Site<'_>) -> Result<Vec<String>> {
    let mut kinds: Vec<String> = Vec::new();
    for name in list.split(',').map(str::trim) {
        if let Some(what) = stands_alone(name) {
            return Err(usage(
                format!("--faults {list}: `{name}` is {what}, and stands alone"),
                "take it by itself, or name the kinds one by one; see `squall list faults`",
            ));
        }
        let info =
            fault_info(name).map_err(|error| usage(format!("--faults: {error}"), "profiles, `all`, `none` and `swarm` stand alone"))?;
        if let Some(why) = impossible(info, system, site) {
            return Err(usage(format!("--faults {name}: {why}"), ""));
        }
        if !kinds.iter().any(|kind| kind == name) {
            kinds.push(name.to_owned());
        }
    }
    Ok(kinds)
}

/// What a word is that means several kinds of faults, or none, if it is one.
fn stands_alone(word: &str) -> Option<String> {
    match (word, Profile::named(word)) {
        ("all", _) => Some("every kind".into()),
        ("swarm", _) => Some("some of all kinds".into()),
        ("none", _) => Some("no kind".into()),
        (_, Some(profile)) => Some(format!("a profile ({})", profile.kinds.join(", "))),
        _ => None,
    }
}
