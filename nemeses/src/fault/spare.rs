//! Nodes that were not there at first: they join a cluster that serves, by its own mechanism, and leave it again.
//!
//! Spare nodes are part of the ground that faults happen on; which of them a fault takes is settled when it is due, who never ran before who
//! did. Main decision: a member is replaced in one request, where the system has such a one, after it was killed. Elsewhere the newcomer is asked in
//! first, and the dead member out first where that is refused, as operators who follow a manual do.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::family::{Family, Ground, Scene, hits_no_target, hits_target};
use super::{Fault, FaultInfo, Mechanism, Resolved};
use crate::capability::Capability;
use crate::target::{Skipped, TargetChoice, unless_down, unless_spare};
use crate::world::State;

pub(super) const GROW: FaultInfo = FaultInfo {
    name: "grow",
    about: "let spare nodes, which were never there, join the cluster; the heal takes them out and stops them",
    needs: &[Capability::Grow],
    nodes_min: 1,
    mechanism: Mechanism::System,
    // From one node to two: a cluster of three gets an even number of members by turns.
    draw: |dice| {
        Fault::Grow(Grow {
            by: dice.between(1, 3).min(2),
        })
    },
};

pub(super) const REPLACE: FaultInfo = FaultInfo {
    name: "replace",
    about: "kill a member and let a spare node take its place; the heal brings it back and takes the spare node out",
    needs: &[Capability::Grow, Capability::Membership, Capability::Kill, Capability::Restart],
    nodes_min: 3,
    mechanism: Mechanism::System,
    draw: |dice| Fault::Replace(Replace { target: dice.target() }),
};

/// Lets spare nodes join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grow {
    /// How many; at least 1. Where fewer are free, those.
    pub by: u32,
}

/// Puts a spare node in a member's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replace {
    /// Whose.
    pub target: TargetChoice,
}

fn no_spare() -> Skipped {
    Skipped("no spare node is free".into())
}

impl Family for Grow {
    fn info(&self) -> &'static FaultInfo {
        &GROW
    }

    hits_no_target!();

    fn validate_on(&self, ground: Ground<'_>) -> Result<(), String> {
        match (self.by, ground.spares.len()) {
            (by, spares) if by >= 1 && by as usize <= spares => Ok(()),
            (by, spares) => Err(format!("`by` is {by}; it goes from 1 to {spares}, the number of spare nodes")),
        }
    }

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        let joined: BTreeSet<String> = scene.spares.iter().take(self.by as usize).cloned().collect();
        if joined.is_empty() {
            return Err(no_spare());
        }
        Ok(Resolved {
            nodes: Vec::new(),
            key: None,
            state: State {
                joined,
                ..State::default()
            },
        })
    }
}

impl Family for Replace {
    fn info(&self) -> &'static FaultInfo {
        &REPLACE
    }

    hits_target!();

    fn takes_several(&self) -> bool {
        false
    }

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        // As of `membership`: one member at a time.
        if let Some(out) = scene.now.removed.first() {
            return Err(Skipped(format!("{out} is no member now, and one at a time is replaced")));
        }
        let spare = scene.spares.first().ok_or_else(no_spare)?;
        let unfit = |node: &str| unless_spare(scene.now)(node).or_else(|| unless_down(scene.now)(node));
        let nodes = self.target.settle(scene, unfit)?;
        let state = State {
            removed: nodes.iter().cloned().collect(),
            down: nodes.iter().cloned().collect(),
            joined: BTreeSet::from([spare.clone()]),
            ..State::default()
        };
        Ok(Resolved {
            nodes,
            key: self.target.key(scene.roles),
            state,
        })
    }
}
