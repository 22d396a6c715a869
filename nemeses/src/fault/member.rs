//! What only the system itself can do: hand its leadership over, change its members.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::family::{Asks, Family, Scene, check_names};
use super::{Fault, FaultInfo, Mechanism, Resolved};
use crate::capability::Capability;
use crate::target::{Skipped, TargetChoice, unless_down_or_paused, unless_spare};
use crate::world::State;

pub(super) const TRANSFER: FaultInfo = FaultInfo {
    name: "transfer",
    about: "hand the leadership to another node; nothing is to be healed",
    needs: &[Capability::Transfer, Capability::Leader],
    nodes_min: 2,
    mechanism: Mechanism::System,
    draw: |dice| {
        Fault::Transfer(Transfer {
            target: TargetChoice::Any { order: dice.order() },
        })
    },
};

pub(super) const MEMBERSHIP: FaultInfo = FaultInfo {
    name: "membership",
    about: "take a node out of the cluster's members; the heal makes it a member again",
    needs: &[Capability::Membership],
    nodes_min: 3,
    mechanism: Mechanism::System,
    draw: |dice| Fault::Membership(Membership { target: dice.target() }),
};

pub(super) const SHRINK: FaultInfo = FaultInfo {
    name: "shrink",
    about: "shrink the cluster to fewer members, all of them taken out by one fault; the heal lets it grow back",
    needs: &[Capability::Membership],
    nodes_min: 3,
    mechanism: Mechanism::System,
    draw: |dice| {
        let most = u32::try_from(dice.nodes.len()).unwrap_or(u32::MAX).saturating_sub(1);
        // At the hardest a majority of the cluster goes, and what is left tolerates nothing.
        let to = dice.between(most, 1).clamp(1, most.max(1));
        Fault::Shrink(Shrink { order: dice.order(), to })
    },
};

/// Hands the leadership over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// To whom.
    pub target: TargetChoice,
}

/// Takes a node out of the members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    /// Whom.
    pub target: TargetChoice,
}

/// Takes several nodes out of the members at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shrink {
    /// All nodes: those that stay come first.
    pub order: Vec<String>,
    /// How many stay; at least 1, and fewer than there are.
    pub to: u32,
}

impl Family for Shrink {
    fn info(&self) -> &'static FaultInfo {
        &SHRINK
    }

    fn target(&self) -> Option<&TargetChoice> {
        None
    }

    fn validate(&self, nodes: &[String]) -> Result<(), String> {
        check_names(&self.order, nodes)?;
        if self.order.len() != nodes.len() {
            return Err(format!("`order` names {} of {} nodes", self.order.len(), nodes.len()));
        }
        match self.to as usize {
            to if (1..nodes.len()).contains(&to) => Ok(()),
            to => Err(format!("`to` is {to}; it goes from 1 to {}", nodes.len().saturating_sub(1))),
        }
    }

    /// Those that stay run, so that they are a cluster: who is down or stopped changes places with one that is not.
    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        if let Some(out) = scene.now.removed.first() {
            return Err(Skipped(format!(
                "{out} is no member now, and members are taken out by one fault at a time"
            )));
        }
        let is_away = |node: &&String| unless_down_or_paused(scene.now)(node).is_some();
        let (away, here): (Vec<&String>, Vec<&String>) = self.order.iter().partition(is_away);
        let to = self.to as usize;
        if here.len() < to {
            return Err(Skipped(format!("{to} are to stay, and {} run", here.len())));
        }
        let gone = here.into_iter().skip(to).chain(away).cloned();
        Ok(Resolved {
            node: None,
            key: None,
            state: State {
                removed: gone.collect(),
                ..State::default()
            },
        })
    }
}

impl Family for Transfer {
    fn info(&self) -> &'static FaultInfo {
        &TRANSFER
    }

    fn target(&self) -> Option<&TargetChoice> {
        Some(&self.target)
    }

    /// Whoever leads is not handed what it has.
    fn asks(&self) -> Asks {
        Asks::LEADER
    }

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        let Scene { now, roles, .. } = *scene;
        let unfit = |node: &str| match node {
            _ if now.removed.contains(node) => Some("no member now"),
            _ if roles.leader.as_deref() == Some(node) => Some("the leader already"),
            _ => unless_down_or_paused(now)(node),
        };
        let node = self.target.settle(roles, unfit)?;
        let state = State {
            led_by: Some(node.clone()),
            ..State::default()
        };
        Ok(Resolved {
            node: Some(node),
            key: None,
            state,
        })
    }
}

impl Family for Membership {
    fn info(&self) -> &'static FaultInfo {
        &MEMBERSHIP
    }

    fn target(&self) -> Option<&TargetChoice> {
        Some(&self.target)
    }

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        // One at a time: with two out of three gone the third would be a cluster of its own.
        if let Some(out) = scene.now.removed.first() {
            return Err(Skipped(format!("{out} is no member now, and one at a time is taken out")));
        }
        let node = self.target.settle(scene.roles, unless_spare(scene.now))?;
        let state = State {
            removed: BTreeSet::from([node.clone()]),
            ..State::default()
        };
        Ok(Resolved {
            node: Some(node),
            key: self.target.key(scene.roles),
            state,
        })
    }
}
