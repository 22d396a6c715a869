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
use crate::plan::{Plan, only_cuts};
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
    /// Kinds of faults that it cannot do, and why.
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

    fn kernel(abilities: Option<Abilities>, left_out: BTreeMap<String, String>) -> Chosen {
        Chosen {
            kind: NetworkKind::Kernel,
            abilities,
            left_out,
        }
    }
}

/// Settles the network of a plan, and returns the kinds of faults that it cannot do here.
///
/// # Errors
/// If this machine, or its user, can have no such network, or none that can do any of the plan's faults.
pub(super) fn settle(plan: &mut Plan) -> Result<BTreeMap<String, String>> {
    let machine = Machine {
        abilities: || doctor::link_abilities(&doctor::Options::default()),
        switch: || squall_nemeses::switch::may_open().map_err(|error| error.to_string()),
    };
    let chosen = choose(plan, machine).map_err(|why| usage(why, "`squall doctor` says what to type"))?;
    let Some(Chosen { kind, abilities, left_out }) = chosen else {
        return Ok(BTreeMap::new());
    };
    // With domains the kernel's network takes no plan that has faults of links, left out or not: it is found again by what is left.
    if plan.topology.is_none() || kind == NetworkKind::Switch {
        plan.network = Some(kind);
    }
    abilities.iter().for_each(|abilities| stdout::note(&say(abilities)));
    Ok(left_out)
}

/// Decides; `None` if there is nothing to be decided: nothing of the plan needs more than cuts.
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
    if plan.pcap || plan.holds_packets() || plan.has_latency() || plan.network == Some(NetworkKind::Switch) {
        return by_switch().map(|()| Some(Chosen::switch()));
    }
    let abilities = match only_cuts(Some(NetworkKind::Kernel), plan.site(), plan.overlay) {
        Some(why) => Err(why),
        None => abilities(),
    };
    if plan.network == Some(NetworkKind::Kernel) {
        return by_kernel(plan, abilities, None).map(Some);
    }
    if let Ok(abilities) = &abilities
        && plan.refused_by(&abilities.without_us()).is_empty()
    {
        return Ok(Some(Chosen::kernel(Some(abilities.clone()), BTreeMap::new())));
    }
    match by_switch() {
        Ok(()) => Ok(Some(Chosen::switch())),
        Err(no_switch) => by_kernel(plan, abilities, Some(&no_switch)).map(Some),
    }
}

/// The kernel's network, with what it can do of the plan's faults; not, if that is nothing of all that is asked for.
fn by_kernel(plan: &Plan, abilities: Result<Abilities, String>, no_switch: Option<&str>) -> Result<Chosen, String> {
    let mut left_out = match &abilities {
        Ok(abilities) => plan.refused_by(abilities),
        Err(why) => plan
            .bad_link_kinds()
            .into_iter()
            .map(|kind| (kind.to_owned(), why.clone()))
            .collect(),
    };
    if let Some(no_switch) = no_switch {
        left_out.values_mut().for_each(|why| *why = format!("{no_switch}; {why}"));
    }
    let is_nothing_left = plan.kinds().iter().all(|kind| left_out.contains_key(*kind));
    match left_out.first_key_value() {
        Some((kind, why)) if is_nothing_left => Err(format!("fault {kind}: {why}")),
        _ => Ok(Chosen::kernel(abilities.ok(), left_out)),
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
        let expected = "fault flapping: the network `switch`: no TUN; it cannot be done on the network `kernel` here: gates and duplicates: netem has \
                        no such thing";
        check(&neither, Ok(netem()), Err("no TUN"), Err(expected));
        check(
            &neither,
            Err("no router"),
            Err("no TUN"),
            Err("fault flapping: the network `switch`: no TUN; no router"),
        );
    }

    #[test]
    fn what_no_network_can_do_here_is_left_out_of_a_plan_that_has_other_faults() {
        let plan = crate::plan::tests::plan_of(&["delay", "flapping", "kill"]);
        let left_out = |abilities: Result<Abilities, &str>| {
            let machine = Machine {
                abilities: || abilities.map_err(str::to_owned),
                switch: || Err("no TUN".to_owned()),
            };
            let chosen = choose(&plan, machine).expect("it can be had").expect("it has faults of links");
            assert_eq!(chosen.kind, NetworkKind::Kernel);
            chosen.left_out
        };
        assert_eq!(left_out(Ok(netem())).into_keys().collect::<Vec<_>>(), ["flapping"]);
        let why = "the network `switch`: no TUN; no router".to_owned();
        let both = ["delay", "flapping"].map(|kind| (kind.to_owned(), why.clone()));
        assert_eq!(left_out(Err("no router")), BTreeMap::from(both));
    }

    #[test]
    fn racks_have_the_switch_if_links_are_to_be_bad_and_else_cuts_alone() {
        let mut plan = crate::plan::tests::plan_of(&["delay", "kill"]);
        let shape: squall_nemeses::topology::Shape = "5x1".parse().expect("a shape");
        plan.topology = Some(shape.into());
        check(&plan, Err("not asked"), Ok(()), Ok(Some(NetworkKind::Switch)));
        let machine = Machine {
            abilities: || Err("not asked".to_owned()),
            switch: || Err("no TUN".to_owned()),
        };
        let chosen = choose(&plan, machine).expect("it can be had").expect("it has faults of links");
        let why =
            "the network `switch`: no TUN; `topology`: with it the network `kernel` cuts links and cannot make them bad; `switch` can";
        let left_out = BTreeMap::from([("delay".to_owned(), why.to_owned())]);
        assert_eq!(chosen, Chosen::kernel(None, left_out.clone()));
        plan.leave_out(&left_out);
        assert_eq!(plan.network_kind(), NetworkKind::Kernel, "what is left is the kernel's");
    }

    #[test]
    fn a_packet_that_is_waited_for_takes_the_switch() {
        let mut plan = plan("kill", None);
        let when = serde_json::json!({"before-packet": {"from": {"node": "n1"}}});
        plan.schedule[0].when = Some(serde_json::from_value(when).expect("an event"));
        check(&plan, Err("not asked"), Ok(()), Ok(Some(NetworkKind::Switch)));
        check(&plan, Err("not asked"), Err("no TUN"), Err("the network `switch`: no TUN"));
    }

    #[test]
    fn a_network_that_was_asked_for_is_had_or_refused() {
        let kernel = Some(NetworkKind::Kernel);
        check(&plan("delay", kernel), Ok(emulated()), Ok(()), Ok(kernel));
        check(&plan("delay", kernel), Err("no router"), Ok(()), Err("fault delay: no router"));
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
        let mut plan = crate::plan::tests::plan_of(&["flapping", "kill"]);
        plan.network = Some(NetworkKind::Kernel);
        let machine = Machine {
            abilities: || Ok(netem()),
            switch: || Ok(()),
        };
        let chosen = choose(&plan, machine).expect("it was asked for").expect("it has faults of links");
        let why = "it cannot be done on the network `kernel` here: gates and duplicates: netem has no such thing";
        let left_out = BTreeMap::from([("flapping".to_owned(), why.to_owned())]);
        assert_eq!(chosen, Chosen::kernel(Some(netem()), left_out));
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
