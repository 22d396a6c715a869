//! Cut links: who does not hear whom. The shapes themselves are drawn by [`crate::partition`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::family::{Asks, Family, Scene};
use super::{Dice, Fault, FaultInfo, Mechanism, Resolved};
use crate::capability::Capability;
use crate::partition::{self, Cuts};
use crate::target::{Skipped, TargetChoice, check_all, check_choice, check_names, first_fit, no_key, unless_down, with_newcomers};
use crate::world::State;

pub(super) const PARTITION: FaultInfo = FaultInfo {
    name: "partition",
    about: "cut links between nodes: halves, majorities ring, bridge, one way, one node, a coordinator from its replicas",
    needs: &[],
    nodes_min: 2,
    mechanism: Mechanism::Cuts,
    draw: |dice| Fault::Partition(Partition { shape: Shape::draw(dice) }),
};

/// Cuts links between nodes, silently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// Which.
    pub shape: Shape,
}

/// Which links a partition cuts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Shape {
    /// The first half of the nodes and the rest.
    Halves {
        /// All nodes.
        #[serde(default)]
        order: Vec<String>,
    },
    /// Every node sees a majority, no two the same.
    MajoritiesRing {
        /// All nodes.
        #[serde(default)]
        order: Vec<String>,
    },
    /// Two halves joined by the first node alone.
    Bridge {
        /// All nodes.
        #[serde(default)]
        order: Vec<String>,
    },
    /// Some nodes are not heard by the others, but hear them.
    OneWay {
        /// The nodes that are not heard.
        muted: Vec<String>,
    },
    /// One node alone; several, each of them alone.
    IsolateOne {
        /// Which.
        target: TargetChoice,
    },
    /// The coordinator of a key in use, cut from a majority of the key's replicas.
    CutCoordinator {
        /// As in [`TargetChoice::Coordinator`].
        #[serde(default)]
        key_pick: u32,
        /// Who coordinates where every node may, and which replicas are lost first.
        #[serde(default)]
        order: Vec<String>,
    },
}

impl Shape {
    /// One node alone is what happens most in practice, so it gets two cards of seven.
    fn draw(dice: &mut Dice<'_>) -> Shape {
        let order = dice.order();
        // Two nodes have no ring and no bridge.
        let many = dice.nodes.len() > 2;
        match dice.card(7) {
            // Whoever is aimed at is cut off.
            _ if dice.aim.is_some() => Shape::IsolateOne { target: dice.target() },
            0 => Shape::Halves { order },
            1 if many => Shape::MajoritiesRing { order },
            2 if many => Shape::Bridge { order },
            3 => Shape::OneWay {
                muted: draw_muted(order, dice),
            },
            4 if dice.can(Capability::Replicas) => Shape::CutCoordinator {
                key_pick: dice.key_pick(),
                order,
            },
            _ => Shape::IsolateOne { target: dice.target() },
        }
    }
}

/// A node that is not heard, one that hears nobody, or a half: the asymmetries that cost most.
fn draw_muted(order: Vec<String>, dice: &mut Dice<'_>) -> Vec<String> {
    let n = order.len();
    let n_muted = dice.one_of(&[1, n.saturating_sub(1), n / 2]).unwrap_or(1).max(1);
    order.into_iter().take(n_muted).collect()
}

impl Family for Partition {
    fn info(&self) -> &'static FaultInfo {
        &PARTITION
    }

    fn target(&self) -> Option<&TargetChoice> {
        match &self.shape {
            Shape::IsolateOne { target } => Some(target),
            _ => None,
        }
    }

    fn target_mut(&mut self) -> Option<&mut TargetChoice> {
        match &mut self.shape {
            Shape::IsolateOne { target } => Some(target),
            _ => None,
        }
    }

    fn order_mut(&mut self) -> Option<&mut Vec<String>> {
        match &mut self.shape {
            Shape::IsolateOne { target } => target.order_mut(),
            Shape::OneWay { .. } => None,
            Shape::Halves { order } | Shape::MajoritiesRing { order } | Shape::Bridge { order } | Shape::CutCoordinator { order, .. } => {
                Some(order)
            }
        }
    }

    fn validate(&self, nodes: &[String]) -> Result<(), String> {
        match &self.shape {
            Shape::IsolateOne { target } => check_choice(target, nodes),
            Shape::OneWay { muted } if muted.is_empty() => Err("`muted` names no node".into()),
            Shape::OneWay { muted } => check_names(muted, nodes),
            Shape::Halves { order } | Shape::MajoritiesRing { order } | Shape::Bridge { order } | Shape::CutCoordinator { order, .. } => {
                check_names(order, nodes)?;
                check_all(order, nodes)
            }
        }
    }

    fn asks(&self) -> Asks {
        match &self.shape {
            Shape::IsolateOne { target } => target.asks(),
            Shape::CutCoordinator { key_pick, .. } => Asks::servers_of(*key_pick),
            _ => Asks::default(),
        }
    }

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        let Scene { nodes, now, roles, .. } = *scene;
        let mut hit = Vec::new();
        let mut key = None;
        // Nodes on no side would join the sides.
        let cuts = match &self.shape {
            Shape::Halves { order } => partition::halves(&with_newcomers(order, nodes)),
            Shape::MajoritiesRing { order } => partition::majorities_ring(&with_newcomers(order, nodes)),
            Shape::Bridge { order } => partition::bridge(&with_newcomers(order, nodes)),
            Shape::OneWay { muted } => partition::one_way(muted, nodes),
            Shape::IsolateOne { target } => {
                hit = target.settle(scene, unless_down(now))?;
                hit.iter().flat_map(|alone| partition::isolate(alone, nodes)).collect()
            }
            Shape::CutCoordinator { order, .. } => {
                let served = roles.key.as_ref().ok_or_else(no_key)?;
                let before = roles.struck.as_ref().and_then(|struck| struck.nodes.first());
                let coordinator = before.or(served.coordinator.as_ref()).cloned();
                let coordinator = coordinator.map_or_else(|| first_fit(order, unless_down(now)), Ok)?;
                let mut replicas = served.replicas.clone();
                replicas.sort_by_key(|replica| order.iter().position(|ordered| ordered == replica));
                let cuts = partition::cut_coordinator(&coordinator, &replicas);
                hit = vec![coordinator];
                key = Some(served.clone());
                cuts
            }
        };
        // What the harness observed may name strangers; a cut must not.
        let cuts: Cuts = cuts
            .into_iter()
            .filter(|(from, to)| nodes.contains(from) && nodes.contains(to))
            .collect();
        if cuts.is_empty() {
            return Err(Skipped(format!("this shape cuts nothing between {} nodes", nodes.len())));
        }
        Ok(Resolved {
            nodes: hit,
            key,
            state: State { cuts, ..State::default() },
        })
    }
}
