//! What is to be done next so that some nodes are members and others are none, where nodes are announced before they run.
//!
//! Main decision: no course that is followed to its end, but a look at the cluster before every step. Whoever is asked may refuse, end or lose the
//! leadership at any moment, and other faults come and go meanwhile; what was done is then in the list of the members, and nowhere else.

use std::collections::BTreeSet;

use squall_nemeses::Change;

use crate::run::members::Roll;

/// Who is to be a member, and who is to be none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Goal {
    /// Who is to vote.
    pub(super) enter: BTreeSet<String>,
    /// Who is to be no member.
    pub(super) leave: BTreeSet<String>,
}

/// What is known of a node beside the list of the members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Look {
    /// Its process runs.
    pub(super) runs: bool,
    /// What the list knows of it never ran.
    pub(super) never_ran: bool,
    /// It was started as a member, and never served since.
    pub(super) never_served: bool,
    /// Another fault keeps it down.
    pub(super) is_kept_down: bool,
}

impl Look {
    /// Whether it ended before it was seen to serve, so that no fault is in charge of its return.
    pub(super) fn is_yet_to_run(self) -> bool {
        self.never_served && !self.runs
    }
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Make it known as a member that learns. It must not run meanwhile.
    Announce(String),
    /// Start it with nothing.
    Start(String),
    /// Start it again with what it has.
    Resume(String),
    /// Let it vote.
    Promote(String),
    /// Let it lead, so that who leads can go.
    Lead(String),
    /// Take it out.
    Remove(String),
}

impl Goal {
    /// What a change asks for.
    pub(super) fn of(change: &Change) -> Goal {
        Goal {
            enter: change.add.union(&change.join).cloned().collect(),
            leave: change.remove.union(&change.leave).cloned().collect(),
        }
    }

    /// Whether a leader shows it.
    pub(super) fn is_reached<T: AsRef<str>>(&self, roll: &Roll<'_, T>) -> bool {
        self.enter.iter().all(|node| roll.votes(node)) && !self.leave.iter().any(|node| roll.has(node))
    }

    /// Whether somebody is half in: who is started must know all others, so that nobody else may come or go.
    pub(super) fn is_under_way<T: AsRef<str>>(&self, roll: &Roll<'_, T>) -> bool {
        self.enter.iter().any(|node| roll.has(node) && !roll.votes(node))
    }

    /// What can be done next, in the order in which it is to be tried: who comes before who goes, so that the members are never fewer than they must. But
    /// a cluster with a dead member may refuse newcomers until that is out, and then the next in order is tried. While somebody learns nobody else moves.
    pub(super) fn steps<T: AsRef<str>>(&self, leader: &str, roll: &Roll<'_, T>, look: impl Fn(&str) -> Look) -> Vec<Step> {
        let learns = |node: &&String| roll.has(node) && !roll.votes(node);
        if self.is_under_way(roll) {
            return self
                .enter
                .iter()
                .filter(learns)
                .filter_map(|node| entry_of(node, roll, look(node)))
                .collect();
        }
        let entering = self.enter.iter().filter_map(|node| entry_of(node, roll, look(node)));
        let mut leaving: Vec<&String> = self.leave.iter().filter(|node| roll.has(node)).collect();
        // The dead first, who leads last: each removal is then decided by those that stay.
        leaving.sort_by_key(|node| (node.as_str() == leader, look(node).runs));
        entering
            .chain(leaving.into_iter().map(|node| removal_of(node, leader, roll)))
            .collect()
    }
}

fn entry_of<T: AsRef<str>>(node: &str, roll: &Roll<'_, T>, look: Look) -> Option<Step> {
    let node_is = |step: fn(String) -> Step| Some(step(node.to_owned()));
    match (roll.votes(node), roll.has(node)) {
        (true, _) if look.is_yet_to_run() && !look.is_kept_down => node_is(Step::Resume),
        // Whether it runs is up to other faults.
        (true, _) => None,
        (false, _) if look.is_kept_down => None,
        (false, false) => node_is(Step::Announce),
        (false, true) if look.never_ran => node_is(Step::Start),
        (false, true) if look.runs => node_is(Step::Promote),
        // It ended while it learned. Its folder may be anything, so another one comes in its place.
        (false, true) => node_is(Step::Remove),
    }
}

/// Of two members the one that leads is not taken out: the other would have to be told that it is alone by one that is about to go, and without that
/// waits for its vote forever (Ongaro 2014, section 4.2.2).
fn removal_of<T: AsRef<str>>(node: &str, leader: &str, roll: &Roll<'_, T>) -> Step {
    let other = roll.voters.iter().map(AsRef::as_ref).find(|voter| *voter != node);
    match other {
        Some(other) if roll.voters.len() == 2 && node == leader => Step::Lead(other.to_owned()),
        _ => Step::Remove(node.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNS: Look = Look {
        runs: true,
        never_ran: false,
        never_served: false,
        is_kept_down: false,
    };
    const DEAD: Look = Look { runs: false, ..RUNS };

    fn goal(enter: &[&str], leave: &[&str]) -> Goal {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Goal {
            enter: names(enter),
            leave: names(leave),
        }
    }

    fn roll<'a>(voters: &'a [&'a str], learners: &'a [&'a str]) -> Roll<'a, &'a str> {
        Roll {
            voters,
            learners,
            changing: false,
        }
    }

    const THREE: &[&str] = &["n1", "n2", "n3"];

    #[test]
    fn a_newcomer_is_announced_started_and_let_vote_in_this_order() {
        let joins = goal(&["n4"], &[]);
        let next = |roll: &Roll<'_, &str>, look: Look| joins.steps("n1", roll, |_| look);
        assert_eq!(next(&roll(THREE, &[]), DEAD), [Step::Announce("n4".into())]);
        let announced = Look { never_ran: true, ..DEAD };
        assert_eq!(next(&roll(THREE, &["n4"]), announced), [Step::Start("n4".into())]);
        assert_eq!(next(&roll(THREE, &["n4"]), RUNS), [Step::Promote("n4".into())]);
        let four = roll(&["n1", "n2", "n3", "n4"], &[]);
        assert_eq!(next(&four, RUNS), []);
        assert!(joins.is_reached(&four) && !joins.is_reached(&roll(THREE, &["n4"])));
        assert!(joins.is_under_way(&roll(THREE, &["n4"])) && !joins.is_under_way(&four));
    }

    #[test]
    fn one_that_ended_while_it_learned_is_taken_out_and_comes_anew() {
        assert_eq!(
            goal(&["n4"], &[]).steps("n1", &roll(THREE, &["n4"]), |_| DEAD),
            [Step::Remove("n4".into())]
        );
    }

    #[test]
    fn nobody_goes_while_somebody_is_told_who_is_there() {
        let replaced = goal(&["n2"], &["n4"]);
        let members = ["n1", "n3", "n4"];
        assert_eq!(
            replaced.steps("n1", &roll(&members, &["n2"]), |_| RUNS),
            [Step::Promote("n2".into())]
        );
        let voters = ["n1", "n2", "n3", "n4"];
        assert_eq!(replaced.steps("n1", &roll(&voters, &[]), |_| RUNS), [Step::Remove("n4".into())]);
    }

    #[test]
    fn one_that_was_killed_before_it_served_runs_again_with_what_it_has() {
        let next = |look: Look| goal(&["n2"], &[]).steps("n1", &roll(THREE, &[]), |_| look);
        let killed = Look {
            never_served: true,
            ..DEAD
        };
        assert_eq!(next(killed), [Step::Resume("n2".into())]);
        assert_eq!(
            next(Look {
                is_kept_down: true,
                ..killed
            }),
            [],
            "its fault is still in force"
        );
        assert_eq!(next(DEAD), [], "it served, so its fault starts it again");
    }

    #[test]
    fn who_is_kept_down_by_another_fault_is_waited_for() {
        let down = Look {
            is_kept_down: true,
            ..DEAD
        };
        assert_eq!(goal(&["n2"], &[]).steps("n1", &roll(&["n1", "n3"], &[]), |_| down), []);
    }

    #[test]
    fn a_dead_member_is_replaced_by_what_is_granted_first() {
        let look = |node: &str| if node == "n2" { DEAD } else { Look { runs: false, ..RUNS } };
        assert_eq!(
            goal(&["n4"], &["n2"]).steps("n1", &roll(THREE, &[]), look),
            [Step::Announce("n4".into()), Step::Remove("n2".into())]
        );
    }

    #[test]
    fn the_dead_go_first_and_who_leads_goes_last() {
        let look = |node: &str| if node == "n3" { DEAD } else { RUNS };
        let removed: Vec<Step> = ["n3", "n2", "n1"].map(|node| Step::Remove(node.into())).into();
        let five = ["n1", "n2", "n3", "n4", "n5"];
        assert_eq!(goal(&[], THREE).steps("n1", &roll(&five, &[]), look), removed);
    }

    #[test]
    fn of_two_members_the_leader_hands_over_before_it_goes() {
        let two = roll(&["n1", "n3"], &[]);
        let next = |leave: &str, leader: &str| goal(&[], &[leave]).steps(leader, &two, |_| RUNS);
        assert_eq!(next("n1", "n1"), [Step::Lead("n3".into())]);
        assert_eq!(next("n1", "n3"), [Step::Remove("n1".into())]);
        let last = goal(&[], &["n1"]).steps("n1", &roll(THREE, &[]), |_| RUNS);
        assert_eq!(last, [Step::Remove("n1".into())], "two are left to elect one of them");
    }

    #[test]
    fn a_change_asks_for_members_of_the_plan_and_for_spare_nodes_alike() {
        let change = Change {
            add: BTreeSet::from(["n2".into()]),
            leave: BTreeSet::from(["n4".into()]),
            ..Change::default()
        };
        assert_eq!(Goal::of(&change), goal(&["n2"], &["n4"]));
    }
}
