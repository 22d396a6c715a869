//! A node's processes: killed, stopped.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::family::{Family, Scene};
use super::{Fault, FaultInfo, Mechanism, Resolved};
use crate::capability::Capability;
use crate::target::{Skipped, TargetChoice, unless_down, unless_down_or_paused};
use crate::world::State;

pub(super) const KILL: FaultInfo = FaultInfo {
    name: "kill",
    about: "kill -9 every process of a node at once; the heal starts it again",
    needs: &[Capability::Kill, Capability::Restart],
    nodes_min: 1,
    mechanism: Mechanism::Life,
    draw: |dice| Fault::Kill(Kill { target: dice.target() }),
};

pub(super) const PAUSE: FaultInfo = FaultInfo {
    name: "pause",
    about: "stop every process of a node; the heal continues it",
    needs: &[Capability::Pause],
    nodes_min: 1,
    mechanism: Mechanism::Motion,
    draw: |dice| Fault::Pause(Pause { target: dice.target() }),
};

/// Kills a node's processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kill {
    /// Whose.
    pub target: TargetChoice,
}

/// Stops a node's processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// Whose.
    pub target: TargetChoice,
}

impl Family for Kill {
    fn info(&self) -> &'static FaultInfo {
        &KILL
    }

    fn target(&self) -> Option<&TargetChoice> {
        Some(&self.target)
    }

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        let node = self.target.settle(scene.roles, unless_down(scene.now))?;
        let state = State {
            down: BTreeSet::from([node.clone()]),
            ..State::default()
        };
        Ok(Resolved {
            node: Some(node),
            key: self.target.key(scene.roles),
            state,
        })
    }
}

impl Family for Pause {
    fn info(&self) -> &'static FaultInfo {
        &PAUSE
    }

    fn target(&self) -> Option<&TargetChoice> {
        Some(&self.target)
    }

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        let node = self.target.settle(scene.roles, unless_down_or_paused(scene.now))?;
        let state = State {
            paused: BTreeSet::from([node.clone()]),
            ..State::default()
        };
        Ok(Resolved {
            node: Some(node),
            key: self.target.key(scene.roles),
            state,
        })
    }
}
