//! The desired state of the world: what all faults in force together ask for.
//!
//! A fault never undoes itself. It adds what it asks for under its number; healing it takes that number away; and what is then still asked for is
//! applied as a whole. So faults compose, a lost heal cannot leak, and healing everything is applying the default state.
//!
//! A state has one field per mechanism. How two faults that ask something of the same mechanism compose is the business of [`Compose`], which its
//! type implements; what is to be done when a map of nodes or links goes from one state to another is [`differing`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::balancer::BalancerTrouble;
use crate::clock::Skew;
use crate::disk::{Cut, Trouble};
use crate::effect::Turn;
use crate::limits::{Limits, Relimited};
use crate::link::{CLIENTS, Pair, Quality};
use crate::partition::Cuts;

/// What should be wrong with the cluster; by default nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct State {
    /// Directed pairs of nodes that should not reach each other.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub cuts: Cuts,
    /// Links that should be bad in other ways; who is not named is healthy.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<Pair, Quality>,
    /// Nodes whose processes should be stopped.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub paused: BTreeSet<String>,
    /// Nodes that should not run.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub down: BTreeSet<String>,
    /// Nodes whose wall clocks should be wrong, and how.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub clocks: BTreeMap<String, Skew>,
    /// What nodes may use; who is not named, all there is.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, Limits>,
    /// What is wrong with the disks of nodes; who is not named, nothing.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub disks: BTreeMap<String, Trouble>,
    /// What is wrong with the balancer in front of the nodes.
    #[serde(skip_serializing_if = "is_well")]
    pub balancer: BalancerTrouble,
    /// Nodes that should be no members of the cluster.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub removed: BTreeSet<String>,
    /// Spare nodes, which were no members at first, that should run and be members.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub joined: BTreeSet<String>,
    /// The node that was to lead from the injection on. Nothing holds it there, and nothing is to be healed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub led_by: Option<String>,
}

fn is_well(balancer: &BalancerTrouble) -> bool {
    *balancer == BalancerTrouble::default()
}

/// What is asked of one mechanism. By default nothing: that is healthy.
pub trait Compose: Default {
    /// Asks for `other` as well. Whatever the order, nothing that was asked for becomes milder.
    fn and(&mut self, other: &Self);
}

/// Whoever is named by one of them.
impl<T: Ord + Clone> Compose for BTreeSet<T> {
    fn and(&mut self, other: &Self) {
        self.extend(other.iter().cloned());
    }
}

/// Whoever is named by one of them, with what both ask for.
impl<K: Ord + Clone, V: Compose> Compose for BTreeMap<K, V> {
    fn and(&mut self, other: &Self) {
        for (name, value) in other {
            self.entry(name.clone()).or_default().and(value);
        }
    }
}

impl Compose for State {
    fn and(&mut self, other: &State) {
        self.cuts.and(&other.cuts);
        self.links.and(&other.links);
        self.paused.and(&other.paused);
        self.down.and(&other.down);
        self.clocks.and(&other.clocks);
        self.limits.and(&other.limits);
        self.disks.and(&other.disks);
        self.balancer.and(&other.balancer);
        self.removed.and(&other.removed);
        self.joined.and(&other.joined);
        // The last one asked has it.
        self.led_by = other.led_by.clone().or(self.led_by.take());
    }
}

/// Who is to be treated otherwise than `before`, and how; what is healthy again has the default.
pub fn differing<K: Ord + Clone, V: Clone + Default + PartialEq>(now: &BTreeMap<K, V>, before: &BTreeMap<K, V>) -> BTreeMap<K, V> {
    let healthy = V::default();
    let names: BTreeSet<&K> = now.keys().chain(before.keys()).collect();
    let of = |state: &BTreeMap<K, V>, name: &K| state.get(name).unwrap_or(&healthy).clone();
    names
        .into_iter()
        .filter(|name| of(now, name) != of(before, name))
        .map(|name| (name.clone(), of(now, name)))
        .collect()
}

/// What to do to get from one state to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The whole new set of cuts, if it differs.
    pub cuts: Option<Cuts>,
    /// The whole new network, cuts and all, if anything of it differs.
    pub network: Option<BTreeMap<Pair, Quality>>,
    /// Links that are bad in another way than before, cuts aside.
    pub turned: BTreeMap<Pair, Turn>,
    /// Nodes whose wall clocks are to be set otherwise, whether they run or not; first of all, so that who is restarted has its clock.
    pub clocks: BTreeMap<String, Skew>,
    /// Nodes to kill.
    pub kill: BTreeSet<String>,
    /// Nodes to start again.
    pub restart: BTreeSet<String>,
    /// Nodes to pause; after the restarts.
    pub pause: BTreeSet<String>,
    /// Nodes to continue.
    pub resume: BTreeSet<String>,
    /// Nodes whose limits change, with those before and those to be; before kills and restarts.
    pub limits: BTreeMap<String, Relimited>,
    /// Nodes whose power is cut, and how; after their kills.
    pub cuts_of_power: BTreeMap<String, Cut>,
    /// Nodes whose disks change, with what is wrong with them from now on but for the power; before kills and restarts.
    pub disks: BTreeMap<String, Trouble>,
    /// What was wrong with the balancer and what is to be, if that differs.
    pub balancer: Option<(BalancerTrouble, BalancerTrouble)>,
    /// Nodes to take out of the cluster's members.
    pub remove: BTreeSet<String>,
    /// Nodes to make members again; after the restarts, and after whatever continues or reaches others again.
    pub add: BTreeSet<String>,
    /// Spare nodes to start and to make members.
    pub join: BTreeSet<String>,
    /// Spare nodes to take out of the members, and to stop once they are out.
    pub leave: BTreeSet<String>,
    /// The node to hand the leadership to.
    pub transfer: Option<String>,
}

impl State {
    /// The change that makes `self` out of `before`. A node that should be down is never paused, and one that leaves both states at
    /// once is restarted, not continued.
    #[must_use]
    pub fn change_from(&self, before: &State) -> Change {
        let paused = |state: &State| -> BTreeSet<String> { state.paused.difference(&state.down).cloned().collect() };
        let (paused_before, paused_now) = (paused(before), paused(self));
        Change {
            cuts: (self.cuts != before.cuts).then(|| self.cuts.clone()),
            network: (self.cuts != before.cuts || self.links != before.links).then(|| self.network()),
            turned: self.turned_from(before),
            clocks: differing(&self.clocks, &before.clocks),
            kill: self.down.difference(&before.down).cloned().collect(),
            restart: before.down.difference(&self.down).cloned().collect(),
            pause: paused_now.difference(&paused_before).cloned().collect(),
            resume: paused_before
                .difference(&paused_now)
                .filter(|node| !self.down.contains(*node))
                .cloned()
                .collect(),
            limits: self.limits_from(before),
            cuts_of_power: self.cuts_of_power_from(before),
            disks: differing(&with_power(&self.disks), &with_power(&before.disks)),
            balancer: (self.balancer != before.balancer).then_some((before.balancer, self.balancer)),
            remove: self.removed.difference(&before.removed).cloned().collect(),
            add: before.removed.difference(&self.removed).cloned().collect(),
            join: self.joined.difference(&before.joined).cloned().collect(),
            leave: before.joined.difference(&self.joined).cloned().collect(),
            transfer: self.led_by.clone().filter(|_| self.led_by != before.led_by),
        }
    }
}

/// What is wrong with disks beside the power.
fn with_power(disks: &BTreeMap<String, Trouble>) -> BTreeMap<String, Trouble> {
    disks.iter().map(|(node, trouble)| (node.clone(), trouble.with_power())).collect()
}

impl State {
    fn cuts_of_power_from(&self, before: &State) -> BTreeMap<String, Cut> {
        let had_power = |node: &str| before.disks.get(node).is_none_or(|trouble| trouble.power.is_none());
        let cut = self.disks.iter().filter_map(|(node, trouble)| Some((node.clone(), trouble.power?)));
        cut.filter(|(node, _)| had_power(node)).collect()
    }

    /// What each link should be like, cuts and all.
    #[must_use]
    pub fn network(&self) -> BTreeMap<Pair, Quality> {
        let mut links = self.links.clone();
        for (from, to) in &self.cuts {
            links.entry(Pair::new(from, to)).or_default().cut = true;
        }
        links
    }

    /// Whether clients and at least one of these nodes reach each other.
    #[must_use]
    pub fn is_reached_by_clients(&self, nodes: &[String]) -> bool {
        let is_cut = |pair: Pair| self.links.get(&pair).is_some_and(|quality| quality.cut);
        let is_cut_off = |node: &String| is_cut(Pair::new(CLIENTS, node)) || is_cut(Pair::new(node, CLIENTS));
        !nodes.iter().all(is_cut_off)
    }

    fn turned_from(&self, before: &State) -> BTreeMap<Pair, Turn> {
        // What a cut hides now cannot be seen: it is part of both.
        let cut = |pair: &Pair| self.cuts.contains(&(pair.from.clone(), pair.to.clone()));
        let turn = |(pair, mut now): (Pair, Quality)| {
            let mut was = before.links.get(&pair).cloned().unwrap_or_default();
            if cut(&pair) {
                (was.cut, now.cut) = (true, true);
            }
            (pair, Turn { before: was, now })
        };
        differing(&self.links, &before.links).into_iter().map(turn).collect()
    }

    fn limits_from(&self, before: &State) -> BTreeMap<String, Relimited> {
        let of = |(node, now): (String, Limits)| {
            let before = before.limits.get(&node).cloned().unwrap_or_default();
            (node, Relimited { before, now })
        };
        differing(&self.limits, &before.limits).into_iter().map(of).collect()
    }
}

/// The faults in force, by number, each with the state it asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {
    active: BTreeMap<u64, State>,
}

impl World {
    /// Adds a fault, or replaces what it asks for.
    pub fn inject(&mut self, id: u64, state: State) {
        self.active.insert(id, state);
    }

    /// Takes a fault away; `None` if it is not in force.
    pub fn heal(&mut self, id: u64) -> Option<State> {
        self.active.remove(&id)
    }

    /// Takes every fault away.
    pub fn heal_all(&mut self) {
        self.active.clear();
    }

    /// Numbers of the faults in force.
    pub fn active(&self) -> impl Iterator<Item = u64> + '_ {
        self.active.keys().copied()
    }

    /// What all of them together ask for.
    #[must_use]
    pub fn desired(&self) -> State {
        let mut desired = State::default();
        for state in self.active.values() {
            desired.and(state);
        }
        desired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(from: &str, to: &str) -> State {
        State {
            cuts: Cuts::from([(from.into(), to.into())]),
            ..State::default()
        }
    }

    fn down(node: &str) -> State {
        State {
            down: BTreeSet::from([node.into()]),
            ..State::default()
        }
    }

    fn paused(node: &str) -> State {
        State {
            paused: BTreeSet::from([node.into()]),
            ..State::default()
        }
    }

    #[test]
    fn a_cut_that_two_faults_ask_for_outlives_the_heal_of_one() {
        let mut world = World::default();
        world.inject(1, cut("n1", "n2"));
        world.inject(2, cut("n1", "n2"));
        world.inject(3, cut("n3", "n1"));
        assert_eq!(world.desired().cuts.len(), 2);
        assert!(world.heal(1).is_some());
        assert_eq!(world.desired().cuts.len(), 2);
        assert!(world.heal(2).is_some());
        assert_eq!(world.desired(), cut("n3", "n1"));
        assert!(world.heal(2).is_none());
    }

    #[test]
    fn healing_everything_is_the_default_state() {
        let mut world = World::default();
        world.inject(1, cut("n1", "n2"));
        world.inject(2, down("n3"));
        world.heal_all();
        assert_eq!((world.desired(), world.active().count()), (State::default(), 0));
    }

    #[test]
    fn a_node_that_comes_back_under_a_pause_is_paused_again() {
        let mut world = World::default();
        world.inject(1, paused("n1"));
        let before = world.desired();
        world.inject(2, down("n1"));
        let killed = world.desired();
        assert_eq!(
            killed.change_from(&before),
            Change {
                kill: BTreeSet::from(["n1".into()]),
                ..Change::default()
            }
        );
        world.heal(2);
        let back = world.desired();
        let expected = Change {
            restart: BTreeSet::from(["n1".into()]),
            pause: BTreeSet::from(["n1".into()]),
            ..Change::default()
        };
        assert_eq!(back.change_from(&killed), expected);
        world.heal(1);
        assert_eq!(
            world.desired().change_from(&back),
            Change {
                resume: BTreeSet::from(["n1".into()]),
                ..Change::default()
            }
        );
    }

    #[test]
    fn who_was_removed_is_added_again_and_who_led_is_left_alone() {
        let removed = State {
            removed: BTreeSet::from(["n2".into()]),
            ..State::default()
        };
        let led = State {
            led_by: Some("n3".into()),
            ..State::default()
        };
        let mut world = World::default();
        world.inject(1, removed);
        let before = world.desired();
        assert_eq!(before.change_from(&State::default()).remove, BTreeSet::from(["n2".into()]));
        world.inject(2, led);
        let change = world.desired().change_from(&before);
        assert_eq!((change.transfer.as_deref(), change.remove.len()), (Some("n3"), 0));
        let before = world.desired();
        world.heal(2);
        assert_eq!(world.desired().change_from(&before), Change::default());
        world.heal(1);
        let change = world.desired().change_from(&before);
        assert_eq!((change.add, change.transfer), (BTreeSet::from(["n2".into()]), None));
    }

    #[test]
    fn a_spare_node_that_joined_leaves_when_nobody_asks_for_it_any_more() {
        let joined = |spare: &str| State {
            joined: BTreeSet::from([spare.into()]),
            ..State::default()
        };
        let mut world = World::default();
        world.inject(1, joined("n4"));
        let before = world.desired();
        assert_eq!(before.change_from(&State::default()).join, BTreeSet::from(["n4".into()]));
        world.inject(2, joined("n5"));
        world.heal(1);
        let change = world.desired().change_from(&before);
        let expected = Change {
            join: BTreeSet::from(["n5".into()]),
            leave: BTreeSet::from(["n4".into()]),
            ..Change::default()
        };
        assert_eq!(change, expected);
    }

    #[test]
    fn a_link_that_is_cut_and_slow_is_both_and_its_heal_leaves_the_cut() {
        let (pair, slow) = (
            Pair::new("n1", "n2"),
            Quality {
                delay_us: 5,
                ..Quality::default()
            },
        );
        let delayed = State {
            links: BTreeMap::from([(pair.clone(), slow.clone())]),
            ..State::default()
        };
        let mut world = World::default();
        world.inject(1, delayed.clone());
        let alone = world.desired();
        let change = alone.change_from(&State::default());
        assert_eq!(change.network, Some(delayed.links.clone()));
        assert_eq!((change.turned[&pair].now.clone(), change.cuts), (slow.clone(), None));
        world.inject(2, cut("n1", "n2"));
        let both = world.desired();
        let change = both.change_from(&alone);
        assert_eq!(change.network, Some(BTreeMap::from([(pair.clone(), slow.with(&Quality::cut()))])));
        assert!(change.turned.is_empty(), "the cut is proved by itself");
        world.heal(1);
        let change = world.desired().change_from(&both);
        assert_eq!(change.network, Some(BTreeMap::from([(pair.clone(), Quality::cut())])));
        assert!(
            change.turned[&pair].now.cut && change.turned[&pair].before.cut,
            "what a cut hides is not looked for"
        );
    }

    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    struct Slow(u32);

    impl Compose for Slow {
        fn and(&mut self, other: &Slow) {
            self.0 = self.0.max(other.0);
        }
    }

    #[test]
    fn a_map_asks_of_each_node_what_any_fault_asks_of_it() {
        let mut all = BTreeMap::from([("n1", Slow(3)), ("n2", Slow(1))]);
        all.and(&BTreeMap::from([("n2", Slow(5)), ("n3", Slow(2))]));
        assert_eq!(all, BTreeMap::from([("n1", Slow(3)), ("n2", Slow(5)), ("n3", Slow(2))]));
    }

    #[test]
    fn only_who_is_treated_otherwise_changes_and_who_is_named_no_more_is_healthy() {
        let before = BTreeMap::from([("n1", Slow(3)), ("n2", Slow(1)), ("n4", Slow(0))]);
        let now = BTreeMap::from([("n1", Slow(3)), ("n3", Slow(2)), ("n5", Slow(0))]);
        assert_eq!(differing(&now, &before), BTreeMap::from([("n2", Slow(0)), ("n3", Slow(2))]));
        assert_eq!(differing(&now, &now), BTreeMap::new());
    }

    fn off_by(node: &str, offset_ms: i64) -> State {
        let skew = Skew {
            offset_ms,
            ..Skew::default()
        };
        State {
            clocks: BTreeMap::from([(node.into(), skew)]),
            ..State::default()
        }
    }

    #[test]
    fn clocks_are_off_by_the_sum_and_right_when_all_is_healed() {
        let mut world = World::default();
        let set = |now: &World, before: &State| now.desired().change_from(before).clocks;
        world.inject(1, off_by("n1", 300));
        let before = world.desired();
        world.inject(2, off_by("n1", 40));
        world.inject(3, off_by("n2", 5));
        let expected = [off_by("n1", 340).clocks, off_by("n2", 5).clocks].into_iter().flatten().collect();
        assert_eq!(set(&world, &before), expected);
        let before = world.desired();
        world.heal(1);
        assert_eq!(set(&world, &before), off_by("n1", 40).clocks);
        let before = world.desired();
        world.heal_all();
        assert_eq!(
            set(&world, &before),
            BTreeMap::from([("n1".into(), Skew::default()), ("n2".into(), Skew::default())])
        );
    }

    #[test]
    fn a_balancer_is_flushed_as_often_as_asked_and_gets_its_ports_back_with_the_last_heal() {
        let asks = |flushes, no_ports| State {
            balancer: BalancerTrouble { flushes, no_ports },
            ..State::default()
        };
        let mut world = World::default();
        world.inject(1, asks(1, false));
        world.inject(2, asks(0, true));
        let before = world.desired();
        world.inject(3, asks(1, true));
        let now = world.desired();
        assert_eq!(
            now.change_from(&before).balancer,
            Some((asks(1, true).balancer, asks(2, true).balancer))
        );
        world.heal(2);
        assert_eq!(world.desired().change_from(&now).balancer, None, "another fault uses them up still");
        world.heal_all();
        assert_eq!(
            world.desired().change_from(&now).balancer,
            Some((asks(2, true).balancer, asks(0, false).balancer))
        );
    }

    #[test]
    fn is_stored_without_what_is_empty() {
        let text = serde_json::to_string(&cut("n1", "n2")).unwrap();
        assert_eq!(text, r#"{"cuts":[["n1","n2"]]}"#);
        assert_eq!(serde_json::from_str::<State>(&text).unwrap(), cut("n1", "n2"));
        assert!(serde_json::from_str::<State>(r#"{"cut":[]}"#).is_err());
    }
}
