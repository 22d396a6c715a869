//! What only the system itself can do: hand its leadership over, change its members.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::family::{Asks, Family, Scene, hits_no_target, hits_target};
use super::{Fault, FaultInfo, Mechanism, Resolved};
use crate::capability::Capability;
use crate::target::{Skipped, TargetChoice, check_all, check_names, unless_down_or_paused, unless_spare};
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
    #[serde(default)]
    pub order: Vec<String>,
    /// How many stay; at least 1, and fewer than there are.
    pub to: u32,
}

impl Family for Shrink {
    fn info(&self) -> &'static FaultInfo {
        &SHRINK
    }

    hits_no_target!();

    fn order_mut(&mut self) -> Option<&mut Vec<String>> {
        Some(&mut self.order)
    }

    fn validate(&self, nodes: &[String]) -> Result<(), String> {
        check_names(&self.order, nodes)?;
        check_all(&self.order, nodes)?;
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
        let before = scene.roles.struck.as_ref().map(|struck| struck.nodes.clone());
        let stays = |node: &&&String| before.as_ref().is_none_or(|gone| !gone.contains(node));
        let n_here = here.iter().filter(stays).count();
        if n_here < to {
            return Err(Skipped(format!("{to} are to stay, and {n_here} of them run")));
        }
        let nodes = before.unwrap_or_else(|| here.into_iter().skip(to).chain(away).cloned().collect());
        let state = State {
            removed: nodes.iter().cloned().collect(),
            ..State::default()
        };
        Ok(Resolved { nodes, key: None, state })
    }
}

impl Family for Transfer {
    fn info(&self) -> &'static FaultInfo {
        &TRANSFER
    }

    hits_target!();

    fn takes_several(&self) -> bool {
        false
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
        let nodes = self.target.settle(scene, unfit)?;
        let state = State {
            led_by: nodes.first().cloned(),
            ..State::default()
        };
        Ok(Resolved { nodes, key: None, state })
    }
}

impl Family for Membership {
    fn info(&self) -> &'static FaultInfo {
        &MEMBERSHIP
    }

    hits_target!();

    fn takes_several(&self) -> bool {
        false
    }

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        // One at a time: with two out of three gone the third would be a cluster of its own.
        if let Some(out) = scene.now.removed.first() {
            return Err(Skipped(format!("{out} is no member now, and one at a time is taken out")));
        }
        let nodes = self.target.settle(scene, unless_spare(scene.now))?;
        let state = State {
            removed: nodes.iter().cloned().collect(),
            ..State::default()
        };
        Ok(Resolved {
            nodes,
            key: self.target.key(scene.roles),
            state,
        })
    }
}
