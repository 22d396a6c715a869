//! What only the system itself can do: hand its leadership over, change its members.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::family::{Asks, Family, Scene};
use super::{Fault, FaultInfo, Mechanism, Resolved};
use crate::capability::Capability;
use crate::target::{Skipped, TargetChoice, unless_down_or_paused};
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
        let node = self.target.settle(scene.roles, |_| None)?;
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
