//! `squall list`: the registries, printed.

use squall_node::bugs::{BUGS, BugInfo, HARMLESS};

use crate::exit;
use crate::report::stdout;
use crate::schedule::profiles::{PROFILES, Profile};
use crate::systems::SYSTEMS;

/// What to list.
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Which registry
    #[arg(value_enum)]
    what: What,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum What {
    /// Databases that can be tested, with the verdict each setting is expected to get
    Systems,
    /// What clients can do
    Workloads,
    /// What can be injected
    Faults,
    /// Planted bugs that `squall zoo` looks for, with their sources
    Bugs,
}

/// Prints the registry.
pub(super) fn list(args: &ListArgs) -> anyhow::Result<u8> {
    let text = match args.what {
        What::Systems => systems(),
        What::Workloads => workloads(),
        What::Faults => faults(),
        What::Bugs => bugs(),
    };
    stdout::print(&text);
    Ok(exit::VALID)
}

fn systems() -> String {
    let mut text = String::new();
    for system in SYSTEMS {
        text.push_str(&format!("{:<12}{}\n", system.name, system.about));
        for (setting, verdict) in system.expected {
            text.push_str(&format!("{:<14}{setting}: {verdict}\n", ""));
        }
        text.push_str(&format!("{:<14}claims to survive: {}\n", "", system.fault_model));
        if let Err(missing) = (system.available)() {
            text.push_str(&format!("{:<14}not on this machine: {missing}\n", ""));
        }
    }
    text
}

fn workloads() -> String {
    squall_workloads::WORKLOADS
        .iter()
        .map(|info| format!("{:<12}{}\n{:<14}judged as: {}\n", info.name, info.about, "", info.model))
        .collect()
}

fn bugs() -> String {
    let line = |info: &BugInfo| {
        let waits = info
            .waits_for
            .map_or_else(String::new, |fault| format!("{:<6}waits for {fault}\n", ""));
        let settings = if info.settings.is_empty() {
            String::new()
        } else {
            format!(", {}", info.settings.join(" "))
        };
        let (id, what, breaks, source) = (info.bug.id(), info.what, info.breaks, info.source);
        let faults = info.faults.join(",");
        format!(
            "{id:<6}{what}\n{:<6}breaks: {breaks}; shows under: {faults}{settings}\n{:<6}source: {source}\n{waits}",
            "", ""
        )
    };
    BUGS.iter().chain([&HARMLESS]).map(line).collect()
}

fn faults() -> String {
    let width = squall_nemeses::FAULTS.iter().map(|info| info.name.len() + 2).max().unwrap_or(0);
    let line = |info: &squall_nemeses::FaultInfo| {
        let group = info
            .controller()
            .map(|controller| format!("a control group of this machine for {}", controller.name()));
        let domains = info.is_by_domain().then(|| "failure domains (`--topology`)".into());
        let balancer = info.is_of_balancer().then(|| "a balancer (`--lb`)".into());
        let spares = info.needs_spares().then(|| "spare nodes (`--spares`)".into());
        let domains = domains.into_iter().chain(balancer).chain(spares);
        let needs: Vec<String> = info.needs.iter().map(|need| need.to_string()).chain(group).chain(domains).collect();
        let needs = if needs.is_empty() {
            "nothing of the system".into()
        } else {
            needs.join(", ")
        };
        format!("{:<width$}{}\n{:<width$}  needs: {needs}\n", info.name, info.about, "")
    };
    let profile = |profile: &Profile| {
        let (name, about, kinds) = (profile.name, profile.about, profile.kinds.join(", "));
        format!("{name:<12}{about}\n{:<14}{kinds}\n", "")
    };
    let kinds: String = squall_nemeses::FAULTS.iter().map(line).collect();
    let profiles: String = PROFILES.iter().map(profile).collect();
    format!("{kinds}\nprofiles, which stand for kinds and more:\n{profiles}")
}
