//! A node's disk: its power, and what its operations come to.

pub mod damage;
pub mod resources;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::family::{Family, Scene, check_choice, check_names};
use super::{Asks, Dice, Fault, FaultInfo, Mechanism, Resolved};
use crate::capability::Capability;
use crate::disk::{Cut, Operation, SyncTrouble, Trouble};
use crate::target::{Skipped, TargetChoice, unless_down};
use crate::world::{Compose, State};

const LIFE: &[Capability] = &[Capability::Kill, Capability::Restart];

pub(super) const POWER: FaultInfo = FaultInfo {
    name: "power",
    about: "power failure of one node, a majority or all: what was not fsynced is gone; the heal starts them again",
    needs: LIFE,
    nodes_min: 1,
    mechanism: Mechanism::Disks,
    draw: |dice| Fault::Power(Power { hits: Hits::draw(dice) }),
};

pub(super) const TORN: FaultInfo = FaultInfo {
    name: "torn",
    about: "power failure in the midst of an fsync: some sectors and names that were not durable survive, in any order",
    needs: LIFE,
    nodes_min: 1,
    mechanism: Mechanism::Disks,
    draw: |dice| {
        Fault::Torn(Torn {
            hits: Hits::draw(dice),
            seed: u64::from(dice.card(u32::MAX)),
        })
    },
};

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

/// Whose power is cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Hits {
    /// One node's.
    One(TargetChoice),
    /// A majority's: the first of an order.
    Majority {
        /// All nodes.
        order: Vec<String>,
    },
    /// Everyone's at once.
    All,
}

/// Cuts the power: nothing survives that is not durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Power {
    /// Whose.
    pub hits: Hits,
}

/// Cuts the power in the midst of an fsync, if one comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Torn {
    /// Whose.
    pub hits: Hits,
    /// Decides what survives; nodes are told apart by their names.
    pub seed: u64,
}

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
    pub order: Vec<String>,
}

impl Hits {
    /// Half of the cuts hit one node; a quarter each a majority and all.
    fn draw(dice: &mut Dice<'_>) -> Hits {
        match dice.card(4) {
            0 => Hits::Majority { order: dice.order() },
            1 => Hits::All,
            _ => Hits::One(dice.target()),
        }
    }

    fn target(&self) -> Option<&TargetChoice> {
        match self {
            Hits::One(target) => Some(target),
            Hits::Majority { .. } | Hits::All => None,
        }
    }

    fn validate(&self, nodes: &[String]) -> Result<(), String> {
        match self {
            Hits::One(target) => check_choice(target, nodes),
            Hits::All => Ok(()),
            Hits::Majority { order } => {
                check_names(order, nodes)?;
                match order.len() == nodes.len() {
                    true => Ok(()),
                    false => Err(format!("`order` names {} of {} nodes", order.len(), nodes.len())),
                }
            }
        }
    }

    /// Cuts the power of whoever is hit; at least one of them has to run.
    fn resolve(&self, scene: &Scene<'_>, cut: impl Fn(&str) -> Cut) -> Result<Resolved, Skipped> {
        let (nodes, one) = match self {
            Hits::One(target) => {
                let node = target.settle(scene.roles, unless_down(scene.now))?;
                (vec![node.clone()], Some(node))
            }
            Hits::Majority { order } => (order[..order.len() / 2 + 1].to_vec(), None),
            Hits::All => (scene.nodes.to_vec(), None),
        };
        if nodes.iter().all(|node| scene.now.down.contains(node)) {
            return Err(Skipped("all of them are down already".into()));
        }
        // The bytes that prove a cut are written right before it.
        if let Some(node) = scene.disk_of(&nodes, Trouble::hides_a_power_cut) {
            return Err(Skipped(format!(
                "the disk of {node} keeps no bytes now, by another fault, that could prove it"
            )));
        }
        let without_power = |node: &String| {
            let trouble = Trouble {
                power: Some(cut(node)),
                ..Trouble::default()
            };
            (node.clone(), trouble)
        };
        Ok(Resolved {
            node: one,
            key: self.target().and_then(|target| target.key(scene.roles)),
            state: State {
                disks: nodes.iter().map(without_power).collect(),
                down: nodes.into_iter().collect(),
                ..State::default()
            },
        })
    }
}

/// One chosen node that is up, with this wrong with its disk.
fn troubled(target: &TargetChoice, scene: &Scene<'_>, trouble: Trouble) -> Result<Resolved, Skipped> {
    let has_trouble = |node: &str| scene.now.disks.get(node).and_then(|now| why_not_also(now, &trouble));
    let node = target.settle(scene.roles, |node| unless_down(scene.now)(node).or_else(|| has_trouble(node)))?;
    Ok(Resolved {
        node: Some(node.clone()),
        key: target.key(scene.roles),
        state: State {
            disks: BTreeMap::from([(node, trouble)]),
            ..State::default()
        },
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

impl Family for Power {
    fn info(&self) -> &'static FaultInfo {
        &POWER
    }

    fn target(&self) -> Option<&TargetChoice> {
        self.hits.target()
    }

    fn validate(&self, nodes: &[String]) -> Result<(), String> {
        self.hits.validate(nodes)
    }

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        self.hits.resolve(scene, |_| Cut::Clean)
    }
}

impl Family for Torn {
    fn info(&self) -> &'static FaultInfo {
        &TORN
    }

    fn target(&self) -> Option<&TargetChoice> {
        self.hits.target()
    }

    fn validate(&self, nodes: &[String]) -> Result<(), String> {
        self.hits.validate(nodes)
    }

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        let place = |node: &str| scene.nodes.iter().position(|name| name == node).unwrap_or(0) as u64;
        self.hits.resolve(scene, |node| Cut::Torn(self.seed.wrapping_add(place(node))))
    }
}

impl Family for Fsync {
    fn info(&self) -> &'static FaultInfo {
        &FSYNC
    }

    fn target(&self) -> Option<&TargetChoice> {
        Some(&self.target)
    }

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

    fn target(&self) -> Option<&TargetChoice> {
        Some(&self.target)
    }

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

    fn target(&self) -> Option<&TargetChoice> {
        Some(&self.target)
    }

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

    fn target(&self) -> Option<&TargetChoice> {
        Some(&self.target)
    }

    fn check(&self) -> Result<(), String> {
        match self.delay_ms {
            1..=60_000 => Ok(()),
            delay => Err(format!("`delay_ms` is {delay}; it goes from 1 to 60000")),
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

    fn target(&self) -> Option<&TargetChoice> {
        None
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
        Ok(Resolved {
            node: None,
            key: None,
            state: State {
                disks: self.order.iter().map(|node| (node.clone(), lies.clone())).collect(),
                ..State::default()
            },
        })
    }
}
