//! Which network a run has on this machine: the one that is asked for, else the first that can do what the plan wants.
//!
//! The kernel's comes first, with netem or what else the kernel itself can do; then the switch; then the kernel's with packets queued to us. What
//! was chosen is written into the run's plan, so that a replay is on the same network or says why not.

use std::collections::BTreeMap;

use anyhow::Result;
use squall_nemeses::NetworkKind;
use squall_nemeses::links::{Abilities, Shaping};

use crate::doctor;
use crate::exit::usage;
use crate::plan::Plan;
use crate::report::stdout;

/// What this machine can do. Asked only if the answer matters.
struct Machine<A, S> {
    /// What the kernel's network can do to links.
    abilities: A,
    /// Whether there can be a switch.
    switch: S,
}

/// What was decided.
#[derive(Debug, PartialEq, Eq)]
struct Chosen {
    kind: NetworkKind,
    /// What makes links bad, if that is the kernel's network.
    abilities: Option<Abilities>,
    /// Kinds of faults that it cannot do, and why; only where it was asked for.
    left_out: BTreeMap<String, String>,
}

impl Chosen {
    fn switch() -> Chosen {
        Chosen {
            kind: NetworkKind::Switch,
            abilities: None,
            left_out: BTreeMap::new(),
        }
    }

    fn kernel(abilities: Abilities, left_out: BTreeMap<String, String>) -> Chosen {
        Chosen {
            kind: NetworkKind::Kernel,
            abilities: Some(abilities),
            left_out,
        }
    }
}

/// Settles the network of a plan, and returns the kinds of faults that the one that was asked for cannot do here.
///
/// # Errors
/// If this machine, or its user, can have no such network.
pub(super) fn settle(plan: &mut Plan) -> Result<BTreeMap<String, String>> {
    let machine = Machine {
        abilities: || doctor::link_abilities(&doctor::Options::default()),
        switch: || squall_nemeses::switch::may_open().map_err(|error| error.to_string()),
    };
    let chosen = choose(plan, machine).map_err(|why| usage(why, "`squall doctor` says what to type"))?;
    let Some(Chosen { kind, abilities, left_out }) = chosen else {
        return Ok(BTreeMap::new());
    };
    plan.network = Some(kind);
    abilities.iter().for_each(|abilities| stdout::note(&say(abilities)));
    Ok(left_out)
}

/// Decides; `None` if there is nothing to be decided: the plan has no fault of links.
fn choose<A, S>(plan: &Plan, machine: Machine<A, S>) -> Result<Option<Chosen>, String>
where
    A: FnOnce() -> Result<Abilities, String>,
    S: FnOnce() -> Result<(), String>,
{
    if plan.network_kind() == NetworkKind::Kernel && !plan.has_bad_links() {
        return Ok(None);
    }
    let Machine { abilities, switch } = machine;
    let by_switch = || switch().map_err(|why| format!("the network `switch`: {why}"));
    // Leaves only cut.
    if plan.pcap || plan.topology.is_some() || plan.network == Some(NetworkKind::Switch) {
        return by_switch().map(|()| Some(Chosen::switch()));
    }
    let abilities = abilities();
    if plan.network == Some(NetworkKind::Kernel) {
        let abilities = abilities?;
        let left_out = plan.refused_by(&abilities);
        return Ok(Some(Chosen::kernel(abilities, left_out)));
    }
    if let Ok(abilities) = &abilities
        && plan.refused_by(&abilities.without_us()).is_empty()
    {
        return Ok(Some(Chosen::kernel(abilities.clone(), BTreeMap::new())));
    }
    let Err(no_switch) = by_switch() else {
        return Ok(Some(Chosen::switch()));
    };
    let abilities = abilities.map_err(|no_kernel| format!("{no_switch}; {no_kernel}"))?;
    match plan.refused_by(&abilities).pop_first() {
        None => Ok(Some(Chosen::kernel(abilities, BTreeMap::new()))),
        Some((kind, why)) => Err(format!("{no_switch}; fault {kind}: {why}")),
    }
}

fn say(abilities: &Abilities) -> String {
    let by = match abilities.shaping {
        Shaping::Netem => "by netem",
        Shaping::Emulated => abilities.shaping.describe(),
    };
    let by = format!("network kernel, links {by}");
    match &abilities.no_netem {
        Some(why) => format!("{by}; no netem: {why}"),
        None => by,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plan whose only faults are of one kind.
    fn plan(kind: &str, network: Option<NetworkKind>) -> Plan {
        let mut plan = crate::plan::tests::plan_of(&[kind]);
        plan.network = network;
        plan
    }

    fn netem() -> Abilities {
        Abilities::of(Shaping::Netem)
    }

    fn emulated() -> Abilities {
        Abilities {
            no_netem: Some("none".into()),
            ..Abilities::of(Shaping::Emulated)
        }
    }

    /// On a machine with these abilities and this switch.
    fn check(plan: &Plan, abilities: Result<Abilities, &str>, switch: Result<(), &str>, expected: Result<Option<NetworkKind>, &str>) {
        let chosen = choose(
            plan,
            Machine {
                abilities: || abilities.map_err(str::to_owned),
                switch: || switch.map_err(str::to_owned),
            },
        );
        let kind = chosen.map(|chosen| chosen.map(|chosen| chosen.kind));
        assert_eq!(kind, expected.map_err(str::to_owned));
    }

    #[test]
    fn a_plan_without_bad_links_asks_nothing_of_the_machine() {
        check(&plan("partition", None), Err("not asked"), Err("not asked"), Ok(None));
        check(
            &plan("kill", Some(NetworkKind::Kernel)),
            Err("not asked"),
            Err("not asked"),
            Ok(None),
        );
    }

    #[test]
    fn the_kernels_network_is_first_where_the_kernel_itself_can_do_it() {
        check(&plan("delay", None), Ok(netem()), Ok(()), Ok(Some(NetworkKind::Kernel)));
        check(&plan("rate", None), Ok(emulated()), Ok(()), Ok(Some(NetworkKind::Kernel)));
    }

    #[test]
    fn then_comes_the_switch_and_last_what_is_queued_to_us() {
        check(&plan("delay", None), Ok(emulated()), Ok(()), Ok(Some(NetworkKind::Switch)));
        check(&plan("flapping", None), Ok(netem()), Ok(()), Ok(Some(NetworkKind::Switch)));
        check(&plan("delay", None), Ok(emulated()), Err("no TUN"), Ok(Some(NetworkKind::Kernel)));
    }

    #[test]
    fn where_nothing_can_do_it_each_says_why() {
        let neither = plan("flapping", None);
        let expected = "the network `switch`: no TUN; fault flapping: it cannot be done on the network `kernel` here: gates and duplicates: netem has \
                        no such thing";
        check(&neither, Ok(netem()), Err("no TUN"), Err(expected));
        check(
            &neither,
            Err("no router"),
            Err("no TUN"),
            Err("the network `switch`: no TUN; no router"),
        );
    }

    #[test]
    fn a_network_that_was_asked_for_is_had_or_refused() {
        let kernel = Some(NetworkKind::Kernel);
        check(&plan("delay", kernel), Ok(emulated()), Ok(()), Ok(kernel));
        check(&plan("delay", kernel), Err("no router"), Ok(()), Err("no router"));
        let switch = Some(NetworkKind::Switch);
        check(&plan("kill", switch), Err("not asked"), Ok(()), Ok(switch));
        check(
            &plan("rate", switch),
            Ok(netem()),
            Err("no TUN"),
            Err("the network `switch`: no TUN"),
        );
    }

    #[test]
    fn what_a_network_that_was_asked_for_cannot_do_is_left_out_with_its_reason() {
        let plan = plan("flapping", Some(NetworkKind::Kernel));
        let machine = Machine {
            abilities: || Ok(netem()),
            switch: || Ok(()),
        };
        let chosen = choose(&plan, machine).expect("it was asked for").expect("it has faults of links");
        let why = "it cannot be done on the network `kernel` here: gates and duplicates: netem has no such thing";
        let left_out = BTreeMap::from([("flapping".to_owned(), why.to_owned())]);
        assert_eq!(chosen, Chosen::kernel(netem(), left_out));
    }

    #[test]
    fn the_note_names_what_makes_links_bad_and_why_it_is_not_netem() {
        assert_eq!(say(&netem()), "network kernel, links by netem");
        assert_eq!(
            say(&emulated()),
            "network kernel, links emulated: htb+statistic+nfqueue; no netem: none"
        );
    }
}
