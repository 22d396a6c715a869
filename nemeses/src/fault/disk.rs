//! A node's disk: its power, and what its operations come to.

pub mod damage;
pub mod power;
pub mod resources;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::family::{Family, Scene, hits_no_target, hits_target};
use super::{Asks, Fault, FaultInfo, Mechanism, Resolved};
use crate::capability::Capability;
use crate::disk::{Operation, SyncTrouble, Trouble};
use crate::target::{Skipped, TargetChoice, check_names, unless_down};
use crate::world::{Compose, State};

const LIFE: &[Capability] = &[Capability::Kill, Capability::Restart];

pub(super) const FSYNC: FaultInfo = FaultInfo {
    name: "fsync",
    about: "fsyncs fail once and drop what was written; a node that ends of it is started again by the heal",
    needs: LIFE,
    nodes_min: 1,
    mechanism: Mechanism::Disks,
    draw: |dice| Fault::Fsync(Fsync { target: dice.target() }),
};

pub(super) const EIO: FaultInfo = FaultInfo {
    name: "eio",
    about: "reads, writes, fsyncs or changes of names fail with EIO; a node that ends of it is started again by the heal",
    needs: LIFE,
    nodes_min: 1,
    mechanism: Mechanism::Disks,
    draw: |dice| {
        const MOST: &[&[Operation]] = &[
            &[Operation::Write],
            &[Operation::Sync],
            &[Operation::Write, Operation::Sync, Operation::Names],
            &[Operation::Read, Operation::Write, Operation::Sync, Operation::Names],
        ];
        let operations = dice.one_of(MOST).unwrap_or(&[Operation::Write]);
        Fault::Eio(Eio {
            target: dice.target(),
            operations: operations.iter().copied().collect(),
        })
    },
};

pub(super) const ENOSPC: FaultInfo = FaultInfo {
    name: "enospc",
    about: "no room on a node's disk; a node that ends of it is started again by the heal",
    needs: LIFE,
    nodes_min: 1,
    mechanism: Mechanism::Disks,
    draw: |dice| Fault::Enospc(Enospc { target: dice.target() }),
};

pub(super) const SLOW_DISK: FaultInfo = FaultInfo {
    name: "slow-disk",
    about: "every operation of a node's disk takes longer",
    needs: &[],
    nodes_min: 1,
    mechanism: Mechanism::Disks,
    // From a busy disk to one that misses election timeouts.
    draw: |dice| {
        Fault::SlowDisk(SlowDisk {
            target: dice.target(),
            delay_ms: dice.between(5, 200).into(),
        })
    },
};

pub(super) const LYING_FSYNC: FaultInfo = FaultInfo {
    name: "lying-fsync",
    about: "fsyncs of all nodes succeed and make nothing durable; it ends with a power failure of all of them",
    needs: LIFE,
    nodes_min: 1,
    mechanism: Mechanism::Disks,
    draw: |dice| Fault::LyingFsync(LyingFsync { order: dice.order() }),
};

/// Lets fsyncs fail once for what was written before them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fsync {
    /// Whose.
    pub target: TargetChoice,
}

/// Lets operations fail with `EIO`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Eio {
    /// Whose.
    pub target: TargetChoice,
    /// Which; at least one.
    pub operations: BTreeSet<Operation>,
}

/// Leaves no room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Enospc {
    /// Whose.
    pub target: TargetChoice,
}

/// Slows a disk down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlowDisk {
    /// Whose.
    pub target: TargetChoice,
    /// What every operation takes longer, in milliseconds; at least 1.
    pub delay_ms: u64,
}

/// Lets fsyncs succeed without doing anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LyingFsync {
    /// Whose: what a majority has is not lost with one disk, so usually all.
    #[serde(default)]
    pub order: Vec<String>,
}

/// Chosen nodes that are up, with this wrong with their disks.
fn troubled(target: &TargetChoice, scene: &Scene<'_>, trouble: Trouble) -> Result<Resolved, Skipped> {
    let has_trouble = |node: &str| scene.now.disks.get(node).and_then(|now| why_not_also(now, &trouble));
    let nodes = target.settle(scene, |node| unless_down(scene.now)(node).or_else(|| has_trouble(node)))?;
    let state = State {
        disks: nodes.iter().map(|node| (node.clone(), trouble.clone())).collect(),
        ..State::default()
    };
    Ok(Resolved {
        nodes,
        key: target.key(scene.roles),
        state,
    })
}

/// Why this cannot go wrong with a disk on top of what is.
fn why_not_also(now: &Trouble, trouble: &Trouble) -> Option<&'static str> {
    let mut both = now.clone();
    both.and(trouble);
    if trouble.may_end_a_node() && now.may_end_a_node() {
        // Two errors at once would hide which one a node met, and a node that ended of one cannot meet the other.
        Some("failed by its disk already")
    } else if trouble.may_end_a_node() && now.lies() {
        // The end of a lie is a power cut, and its proof needs bytes; and damage is done to durable bytes, of which such a disk has no new ones.
        Some("lied to by its disk, on which nothing else could be proved")
    } else {
        (both == *now).then_some("treated no better by another fault of its disk")
    }
}

impl Family for Fsync {
    fn info(&self) -> &'static FaultInfo {
        &FSYNC
    }

    hits_target!();

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        let trouble = Trouble {
            sync: Some(SyncTrouble::Fails),
            ..Trouble::default()
        };
        troubled(&self.target, scene, trouble)
    }
}

impl Family for Eio {
    fn info(&self) -> &'static FaultInfo {
        &EIO
    }

    hits_target!();

    fn check(&self) -> Result<(), String> {
        match self.operations.is_empty() {
            true => Err("`operations` names none".into()),
            false => Ok(()),
        }
    }

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        let trouble = Trouble {
            broken: self.operations.clone(),
            ..Trouble::default()
        };
        troubled(&self.target, scene, trouble)
    }
}

impl Family for Enospc {
    fn info(&self) -> &'static FaultInfo {
        &ENOSPC
    }

    hits_target!();

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        let trouble = Trouble {
            full: true,
            ..Trouble::default()
        };
        troubled(&self.target, scene, trouble)
    }
}

impl Family for SlowDisk {
    fn info(&self) -> &'static FaultInfo {
        &SLOW_DISK
    }

    hits_target!();

    fn check(&self) -> Result<(), String> {
        match self.delay_ms {
            1..=2_000 => Ok(()),
            delay => Err(format!(
                "`delay_ms` is {delay}; it goes from 1 to 2000, as other faults wait for its probe"
            )),
        }
    }

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        let trouble = Trouble {
            delay_us: self.delay_ms * 1_000,
            ..Trouble::default()
        };
        troubled(&self.target, scene, trouble)
    }
}

impl Family for LyingFsync {
    fn info(&self) -> &'static FaultInfo {
        &LYING_FSYNC
    }

    hits_no_target!();

    fn order_mut(&mut self) -> Option<&mut Vec<String>> {
        Some(&mut self.order)
    }

    fn validate(&self, nodes: &[String]) -> Result<(), String> {
        check_names(&self.order, nodes)?;
        match self.order.is_empty() {
            true => Err("`order` names no node".into()),
            false => Ok(()),
        }
    }

    fn asks(&self) -> Asks {
        Asks::default()
    }

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        let lies = Trouble {
            sync: Some(SyncTrouble::Lies),
            ..Trouble::default()
        };
        if self.order.iter().all(|node| scene.now.down.contains(node)) {
            return Err(Skipped("all of them are down".into()));
        }
        let lies_already = |node: &String| scene.now.disks.get(node).is_some_and(Trouble::lies);
        if self.order.iter().all(lies_already) {
            return Err(Skipped("all of them lie already".into()));
        }
        // A lie is proved by bytes, and its end by what a power cut takes of them.
        if let Some(node) = scene.disk_of(&self.order, Trouble::may_end_a_node) {
            return Err(Skipped(format!(
                "the disk of {node} fails it now, by another fault, so that no lie could be proved"
            )));
        }
        let runs = |node: &&String| !scene.now.down.contains(*node);
        Ok(Resolved {
            nodes: self.order.iter().filter(runs).cloned().collect(),
            key: None,
            state: State {
                disks: self.order.iter().map(|node| (node.clone(), lies.clone())).collect(),
                ..State::default()
            },
        })
    }
}
