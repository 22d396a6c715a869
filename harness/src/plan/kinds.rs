//! Kinds of faults and systems: which there are, what a system can take, and what it does not claim to survive.

use squall_nemeses::{FaultInfo, Mechanism, Site};

use crate::systems::SystemPlan;

/// Looks a fault kind up.
///
/// # Errors
/// Names the kinds there are.
pub fn fault_info(name: &str) -> Result<&'static FaultInfo, String> {
    squall_nemeses::FAULTS.iter().find(|info| info.name == name).ok_or_else(|| {
        let known: Vec<&str> = squall_nemeses::FAULTS.iter().map(|info| info.name).collect();
        format!("there is no fault `{name}`; there are {}", known.join(", "))
    })
}

/// Why a fault is not injected unless it is named: the system cannot take it, or does not claim to survive it.
pub fn left_out(info: &FaultInfo, system: &SystemPlan, site: Site<'_>) -> Option<String> {
    let disclaimed = || {
        let why = system.disclaims(info.mechanism)?;
        let name = system.name();
        Some(format!(
            "{name} does not claim to survive it with these settings: {why}; name it to have it all the same"
        ))
    };
    let lie = || {
        let why = "no system claims to survive it; name it to have it all the same";
        info.is_beyond_promises().then(|| why.to_owned())
    };
    impossible(info, system, site).or_else(disclaimed).or_else(lie)
}

/// Why a fault cannot be done to a system, if so.
pub fn impossible(info: &FaultInfo, system: &SystemPlan, site: Site<'_>) -> Option<String> {
    let capabilities = system.capabilities();
    let missing: Vec<String> = info
        .needs
        .iter()
        .filter(|need| !capabilities.contains(need))
        .map(ToString::to_string)
        .collect();
    if !missing.is_empty() {
        return Some(format!("{} cannot {}", system.name(), missing.join(", ")));
    }
    if let Some(why) = info.impossible_on(site) {
        return Some(why);
    }
    if info.mechanism == Mechanism::Clocks
        && let Err(why) = squall_nemeses::clock::supported()
    {
        return Some(why.to_string());
    }
    let nodes = system.nodes();
    (nodes < info.nodes_min).then(|| format!("it takes at least {} nodes, and the cluster has {nodes}", info.nodes_min))
}
