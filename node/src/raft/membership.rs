//! Who votes: the configurations of a cluster, and the quorums of each.
//!
//! A change goes through a joint configuration, in which a majority of the old voters and one of the new must agree, to elections and to
//! entries alike (Ongaro and Ousterhout 2014, §6). Configurations are entries of the log and are effective as soon as they are in it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::members::Text;

/// One configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Who votes.
    pub voters: BTreeSet<Text>,
    /// In a joint configuration: who voted before, and still must agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voters_old: Option<BTreeSet<Text>>,
    /// Who receives entries and counts for nothing.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub learners: BTreeSet<Text>,
}

impl Membership {
    /// The first configuration of a cluster.
    pub fn of_voters(voters: BTreeSet<Text>) -> Membership {
        Membership {
            voters,
            ..Membership::default()
        }
    }

    /// True between the two halves of a change.
    pub fn is_joint(&self) -> bool {
        self.voters_old.is_some()
    }

    /// Whether a member counts in a quorum.
    pub fn is_voter(&self, member: &str) -> bool {
        self.voters.contains(member) || self.voters_old.as_ref().is_some_and(|old| old.contains(member))
    }

    /// Everybody who receives entries.
    pub fn everybody(&self) -> BTreeSet<Text> {
        let old = self.voters_old.iter().flatten();
        self.voters.iter().chain(old).chain(&self.learners).cloned().collect()
    }

    /// Whether those who agree are a majority of the voters; in a joint configuration, of both.
    pub fn is_quorum(&self, agrees: impl Fn(&Text) -> bool) -> bool {
        self.halves()
            .all(|voters| voters.iter().filter(|voter| agrees(voter)).count() >= majority(voters))
    }

    /// Whether those who agree are half of the voters, rounded down: what a quorum is not.
    pub fn is_half(&self, agrees: impl Fn(&Text) -> bool) -> bool {
        self.halves()
            .all(|voters| voters.iter().filter(|voter| agrees(voter)).count() >= majority(voters) - 1)
    }

    /// The highest index that a quorum has reached.
    pub fn quorum_index(&self, reached: impl Fn(&Text) -> u64) -> u64 {
        self.index_reached_by(majority, reached)
    }

    /// The highest index that so many of the voters have reached; in a joint configuration, of both.
    pub(super) fn index_reached_by(&self, count: impl Fn(&BTreeSet<Text>) -> usize, reached: impl Fn(&Text) -> u64) -> u64 {
        let of_half = |voters: &BTreeSet<Text>| {
            let mut indexes: Vec<u64> = voters.iter().map(&reached).collect();
            indexes.sort_unstable_by(|left, right| right.cmp(left));
            let place = count(voters).checked_sub(1);
            place.and_then(|place| indexes.get(place)).copied().unwrap_or(0)
        };
        self.halves().map(of_half).min().unwrap_or(0)
    }

    /// The joint configuration on the way to other voters.
    pub fn enter(&self, add: &BTreeSet<Text>, remove: &BTreeSet<Text>) -> Membership {
        let stays = |member: &&Text| !remove.contains(*member);
        Membership {
            voters: self.voters.union(add).filter(stays).cloned().collect(),
            voters_old: Some(self.voters.clone()),
            learners: self.learners.difference(add).filter(stays).cloned().collect(),
        }
    }

    /// The configuration after a joint one.
    pub fn leave(&self) -> Membership {
        Membership {
            voters_old: None,
            ..self.clone()
        }
    }

    fn halves(&self) -> impl Iterator<Item = &BTreeSet<Text>> {
        std::iter::once(&self.voters).chain(&self.voters_old)
    }
}

/// More than half. Of nobody: one, so that an unknown configuration has no quorum.
pub(super) fn majority(voters: &BTreeSet<Text>) -> usize {
    voters.len() / 2 + 1
}

/// The configurations that the log holds, and the one before them.
#[derive(Clone, Debug, Default)]
pub(super) struct Configs {
    /// (index of its entry, configuration), ascending; never empty after `new`.
    stack: Vec<(u64, Membership)>,
}

impl Configs {
    pub(super) fn new(index: u64, membership: Membership) -> Configs {
        Configs {
            stack: vec![(index, membership)],
        }
    }

    /// The effective one: the latest in the log, committed or not.
    pub(super) fn latest(&self) -> (u64, &Membership) {
        let (index, membership) = self.stack.last().expect("one is always there");
        (*index, membership)
    }

    /// The one that was effective at an index.
    pub(super) fn at(&self, index: u64) -> &Membership {
        let found = self.stack.iter().rev().find(|(at, _)| *at <= index);
        &found.unwrap_or(&self.stack[0]).1
    }

    pub(super) fn push(&mut self, index: u64, membership: Membership) {
        self.stack.push((index, membership));
    }

    /// Entries from `from` on are gone; true if that changed the effective configuration.
    pub(super) fn truncate(&mut self, from: u64) -> bool {
        let before = self.stack.len();
        while self.stack.len() > 1 && self.latest().0 >= from {
            self.stack.pop();
        }
        self.stack.len() < before
    }

    /// Entries up to `index` are committed: only the last configuration among them is still needed.
    pub(super) fn forget_before(&mut self, index: u64) {
        let keep_from = self.stack.iter().rposition(|(at, _)| *at <= index).unwrap_or(0);
        self.stack.drain(..keep_from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<Text> {
        names.iter().map(|name| Text::from(*name)).collect()
    }

    fn agrees<'a>(names: &'a [&'a str]) -> impl Fn(&Text) -> bool + 'a {
        |member| names.contains(&member.as_ref())
    }

    #[test]
    fn a_joint_configuration_needs_both_majorities() {
        let joint = Membership::of_voters(set(&["a", "b", "c"])).enter(&set(&["d", "e"]), &set(&["a", "b"]));
        assert_eq!(joint.voters, set(&["c", "d", "e"]));
        assert!(!joint.is_quorum(agrees(&["a", "b"])), "only the old majority");
        assert!(!joint.is_quorum(agrees(&["d", "e"])), "only the new majority");
        assert!(joint.is_quorum(agrees(&["a", "c", "d"])));
        assert_eq!(
            joint.quorum_index(|member| u64::from(["a", "b", "c", "d"].contains(&member.as_ref()))),
            1
        );
        assert_eq!(
            joint.quorum_index(|member| u64::from(["a", "b", "c"].contains(&member.as_ref()))),
            0
        );
        assert_eq!(joint.leave(), Membership::of_voters(set(&["c", "d", "e"])));
    }

    #[test]
    fn nobody_has_no_quorum() {
        assert!(!Membership::default().is_quorum(|_| true));
        assert_eq!(Membership::default().quorum_index(|_| 9), 0);
    }

    #[test]
    fn a_quorum_index_is_what_a_majority_reached() {
        for (indexes, expected) in [
            (&[7_u64][..], 7),
            (&[7, 3], 3),
            (&[7, 3, 5], 5),
            (&[9, 1, 4, 2], 2),
            (&[9, 1, 4, 2, 8], 4),
        ] {
            let names: Vec<String> = (0..indexes.len()).map(|number| number.to_string()).collect();
            let members = Membership::of_voters(names.iter().map(|name| Text::from(name.as_str())).collect());
            let reached = |member: &Text| indexes[member.parse::<usize>().unwrap()];
            assert_eq!(members.quorum_index(reached), expected, "{indexes:?}");
        }
    }

    #[test]
    fn truncation_brings_the_former_configuration_back() {
        let (first, second) = (Membership::of_voters(set(&["a"])), Membership::of_voters(set(&["b"])));
        let mut configs = Configs::new(0, first.clone());
        configs.push(5, second.clone());
        assert!(!configs.truncate(6));
        assert_eq!(configs.latest(), (5, &second));
        assert_eq!(configs.at(4), &first);
        assert!(configs.truncate(5));
        assert_eq!(configs.latest(), (0, &first));
    }

    #[test]
    fn compaction_keeps_the_configuration_at_the_base() {
        let mut configs = Configs::new(0, Membership::default());
        configs.push(3, Membership::of_voters(set(&["a"])));
        configs.push(8, Membership::of_voters(set(&["b"])));
        configs.forget_before(5);
        assert_eq!(configs.at(5), &Membership::of_voters(set(&["a"])));
        assert_eq!(configs.latest().0, 8);
    }
}
