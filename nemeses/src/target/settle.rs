//! A choice, settled: from what the harness observed, without any chance.

use std::collections::BTreeSet;

use super::{KeyRoles, Roles, Several, Skipped, TargetChoice};
use crate::fault::{Asks, Scene};
use crate::world::State;

impl TargetChoice {
    /// Settles the choice: one node, or, of those that hit several at once, all of them. `unfit` says of a node why it cannot be hit now.
    pub(crate) fn settle(&self, scene: &Scene<'_>, unfit: impl Fn(&str) -> Option<&'static str>) -> Result<Vec<String>, Skipped> {
        let members = || scene.nodes.iter().filter(|node| !scene.now.removed.contains(*node)).count();
        match (&scene.roles.struck, self) {
            (Some(struck), _) => again(&struck.nodes, unfit),
            (None, TargetChoice::Minority(some)) => some.settle(minority_of(members()), scene, unfit),
            (None, TargetChoice::Majority(most)) => most.settle(majority_of(members()), scene, unfit),
            (None, one) => one.settle_one(scene.roles, unfit).map(|node| vec![node]),
        }
    }

    fn settle_one(&self, roles: &Roles, unfit: impl Fn(&str) -> Option<&'static str>) -> Result<String, Skipped> {
        let fit = |node: &String, called: &str| match unfit(node) {
            None => Ok(node.clone()),
            Some(why) => Err(Skipped(format!("{called} {node} is {why}"))),
        };
        match self {
            TargetChoice::Node(node) => fit(node, "node"),
            // Several are settled together.
            TargetChoice::Any { order } | TargetChoice::Minority(Several { order, .. }) | TargetChoice::Majority(Several { order, .. }) => {
                first_fit(order, unfit)
            }
            TargetChoice::Leader => fit(leader(roles)?, "leader"),
            TargetChoice::Follower { order } => {
                let leader = leader(roles)?;
                let is_leader = |node: &str| (leader == node).then_some("the leader");
                first_fit(order, |node| unfit(node).or_else(|| is_leader(node)))
            }
            TargetChoice::Candidate => match &roles.candidate {
                Some(candidate) => fit(candidate, "candidate"),
                None => Err(Skipped("no node asks to be the leader".into())),
            },
            TargetChoice::Newest { order } => match roles.logs.values().max() {
                Some(newest) => {
                    let is_older = |node: &str| (roles.logs.get(node) != Some(newest)).then_some("not the newest");
                    first_fit(order, |node| is_older(node).or_else(|| unfit(node)))
                }
                None => Err(Skipped("no node says how far its log goes".into())),
            },
            TargetChoice::Source => match &roles.source {
                Some(source) => fit(source, "source"),
                None => Err(Skipped("it waited for no event of a node".into())),
            },
            TargetChoice::Coordinator { order, .. } => match roles.key.as_ref().ok_or_else(no_key)?.coordinator.as_ref() {
                Some(coordinator) => fit(coordinator, "coordinator"),
                None => first_fit(order, unfit),
            },
        }
    }

    /// What must be known before the choice can be settled.
    pub(crate) fn asks(&self) -> Asks {
        match self {
            TargetChoice::Leader | TargetChoice::Follower { .. } => Asks::LEADER,
            TargetChoice::Minority(several) | TargetChoice::Majority(several) => several.asks(),
            TargetChoice::Candidate => Asks {
                candidate: true,
                ..Asks::default()
            },
            TargetChoice::Newest { .. } => Asks {
                logs: true,
                ..Asks::default()
            },
            TargetChoice::Coordinator { key_pick, .. } => Asks::servers_of(*key_pick),
            TargetChoice::Source => Asks {
                source: true,
                ..Asks::default()
            },
            TargetChoice::Node(_) | TargetChoice::Any { .. } => Asks::default(),
        }
    }

    /// The key whose servers are hit, if that is how the node is chosen.
    pub(crate) fn key(&self, roles: &Roles) -> Option<KeyRoles> {
        self.asks().key_pick.and_then(|_| roles.key.clone())
    }

    /// Of so many members, how many are hit at once.
    #[must_use]
    pub fn n_hit(&self, n_members: usize) -> usize {
        match self {
            TargetChoice::Minority(_) => minority_of(n_members),
            TargetChoice::Majority(_) => majority_of(n_members),
            _ => 1,
        }
    }

    /// Its word, if it hits several nodes at once.
    pub(crate) fn several(&self) -> Option<&'static str> {
        match self {
            TargetChoice::Minority(_) => Some("minority"),
            TargetChoice::Majority(_) => Some("majority"),
            _ => None,
        }
    }

    /// The order of the nodes among which it chooses, if it has one.
    pub(crate) fn order(&self) -> Option<&[String]> {
        match self {
            TargetChoice::Any { order }
            | TargetChoice::Follower { order }
            | TargetChoice::Newest { order }
            | TargetChoice::Minority(Several { order, .. })
            | TargetChoice::Majority(Several { order, .. })
            | TargetChoice::Coordinator { order, .. } => Some(order),
            TargetChoice::Node(_) | TargetChoice::Leader | TargetChoice::Candidate | TargetChoice::Source => None,
        }
    }

    /// The same, to be drawn where it was left out.
    pub(crate) fn order_mut(&mut self) -> Option<&mut Vec<String>> {
        match self {
            TargetChoice::Any { order }
            | TargetChoice::Follower { order }
            | TargetChoice::Newest { order }
            | TargetChoice::Minority(Several { order, .. })
            | TargetChoice::Majority(Several { order, .. })
            | TargetChoice::Coordinator { order, .. } => Some(order),
            TargetChoice::Node(_) | TargetChoice::Leader | TargetChoice::Candidate | TargetChoice::Source => None,
        }
    }

    /// Every node the choice names.
    pub(crate) fn names(&self) -> &[String] {
        match self {
            TargetChoice::Node(node) => std::slice::from_ref(node),
            _ => self.order().unwrap_or(&[]),
        }
    }
}

/// As many as leave a majority.
fn minority_of(n_members: usize) -> usize {
    n_members.saturating_sub(majority_of(n_members))
}

fn majority_of(n_members: usize) -> usize {
    n_members / 2 + 1
}

impl Several {
    fn asks(&self) -> Asks {
        match self.leader {
            Some(_) => Asks::LEADER,
            None => Asks::default(),
        }
    }

    /// The first `n` of the order that are members and can be hit.
    fn settle(&self, n: usize, scene: &Scene<'_>, unfit: impl Fn(&str) -> Option<&'static str>) -> Result<Vec<String>, Skipped> {
        if n == 0 {
            return Err(Skipped("a minority of so few members is nobody".into()));
        }
        let (mut nodes, without) = match self.leader {
            None => (Vec::new(), None),
            Some(true) => (again(std::slice::from_ref(leader(scene.roles)?), &unfit)?, None),
            Some(false) => (Vec::new(), Some(leader(scene.roles)?)),
        };
        let mut passed_over = None;
        for node in with_newcomers(&self.order, scene.nodes) {
            let is_out = scene.now.removed.contains(&node).then_some("no member now");
            let is_leader = || (without == Some(&node)).then_some("the leader");
            match is_out.or_else(|| unfit(&node)).or_else(is_leader) {
                _ if nodes.contains(&node) || nodes.len() == n => {}
                None => nodes.push(node),
                Some(why) => passed_over = passed_over.or_else(|| Some(format!(": {node} is {why}"))),
            }
        }
        if nodes.len() < n {
            let (n_fit, why) = (nodes.len(), passed_over.unwrap_or_default());
            return Err(Skipped(format!("{n} nodes are to be hit at once, and {n_fit} can be{why}")));
        }
        Ok(nodes)
    }
}

/// The order that was drawn, and who joined since behind it.
pub(crate) fn with_newcomers(order: &[String], nodes: &[String]) -> Vec<String> {
    let newcomers = nodes.iter().filter(|node| !order.contains(node));
    order.iter().chain(newcomers).cloned().collect()
}

/// All of these, who were struck before.
fn again(nodes: &[String], unfit: impl Fn(&str) -> Option<&'static str>) -> Result<Vec<String>, Skipped> {
    match nodes.iter().find_map(|node| Some((node, unfit(node)?))) {
        Some((node, why)) => Err(Skipped(format!("node {node} is {why}"))),
        None => Ok(nodes.to_vec()),
    }
}

fn leader(roles: &Roles) -> Result<&String, Skipped> {
    let nobody = || Skipped("no node takes itself for the leader".into());
    roles.leader.as_ref().ok_or_else(nobody)
}

pub(crate) fn first_fit(order: &[String], unfit: impl Fn(&str) -> Option<&'static str>) -> Result<String, Skipped> {
    let fit = order.iter().find(|node| unfit(node).is_none());
    fit.cloned().ok_or_else(|| {
        let why = order.first().and_then(|node| unfit(node)).unwrap_or("unknown");
        Skipped(format!(
            "no node can be hit: the first, {}, is {why}",
            order.first().map_or("nobody", String::as_str)
        ))
    })
}

pub(crate) fn no_key() -> Skipped {
    Skipped("no key is in use yet".into())
}

/// Why a node cannot be killed or cut off: it does not run anyway.
pub(crate) fn unless_down(now: &State) -> impl Fn(&str) -> Option<&'static str> {
    |node| now.down.contains(node).then_some("down already")
}

/// Why a node is not taken out of the members: who joined by a fault leaves with it.
pub(crate) fn unless_spare(now: &State) -> impl Fn(&str) -> Option<&'static str> {
    |node| now.joined.contains(node).then_some("a spare node, which leaves by itself")
}

/// Why a node cannot be paused.
pub(crate) fn unless_down_or_paused(now: &State) -> impl Fn(&str) -> Option<&'static str> {
    |node| unless_down(now)(node).or_else(|| now.paused.contains(node).then_some("paused already"))
}

/// Refuses a choice among no nodes, or among nodes that do not exist or stand there twice.
pub(crate) fn check_choice(target: &TargetChoice, nodes: &[String]) -> Result<(), String> {
    if target.order().is_some_and(<[String]>::is_empty) {
        return Err("`order` names no node, so nobody can be hit".into());
    }
    check_names(target.names(), nodes)?;
    let Some(word) = target.several() else { return Ok(()) };
    if target.n_hit(nodes.len()) == 0 {
        return Err(format!("a `{word}` of {} nodes is nobody; it takes at least 3", nodes.len()));
    }
    check_all(target.names(), nodes)
}

/// Refuses names of nodes that do not exist or stand there twice.
pub(crate) fn check_names(names: &[String], nodes: &[String]) -> Result<(), String> {
    if let Some(stranger) = names.iter().find(|name| !nodes.contains(name)) {
        return Err(format!("there is no node `{stranger}`; there are {}", nodes.join(", ")));
    }
    let different: BTreeSet<&String> = names.iter().collect();
    if different.len() != names.len() {
        return Err(format!("a node is named twice in {}", names.join(", ")));
    }
    Ok(())
}

/// Refuses an order, of nodes that there are, which leaves some out.
pub(crate) fn check_all(order: &[String], nodes: &[String]) -> Result<(), String> {
    match order.len() == nodes.len() {
        true => Ok(()),
        false => Err(format!("`order` names {} of {} nodes", order.len(), nodes.len())),
    }
}
