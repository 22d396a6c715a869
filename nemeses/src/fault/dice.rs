//! The chance in faults, all of it spent when the plan is drawn.

use std::ops::RangeInclusive;

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt};

use crate::capability::Capability;
use crate::target::TargetChoice;
use crate::topology::Topology;

/// What faults are drawn from: the nodes, what the system can do, and a generator.
pub struct Dice<'a> {
    /// All nodes.
    pub nodes: &'a [String],
    /// Their failure domains, without which no fault by domain is drawn.
    pub topology: Option<&'a Topology>,
    /// What the system can do: a role that it cannot name is not drawn.
    pub capabilities: &'a [Capability],
    /// How hard faults are, in percent of the way from the mildest to the hardest that a kind draws.
    pub intensity: RangeInclusive<u32>,
    /// Whom every fault hits that hits one node; none: whoever it draws.
    pub aim: Option<TargetChoice>,
    /// Where the chance comes from.
    pub rng: &'a mut dyn Rng,
}

impl<'a> Dice<'a> {
    /// Dice of any intensity.
    pub fn new(nodes: &'a [String], capabilities: &'a [Capability], rng: &'a mut dyn Rng) -> Dice<'a> {
        Dice {
            nodes,
            topology: None,
            capabilities,
            intensity: 0..=100,
            aim: None,
            rng,
        }
    }

    /// A figure between the mildest and the hardest of a kind, whichever is larger, by the intensity that is wanted.
    pub fn between(&mut self, mildest: u32, hardest: u32) -> u32 {
        let percent = i64::from(self.rng.random_range(self.intensity.clone()).min(100));
        let (mildest, hardest) = (i64::from(mildest), i64::from(hardest));
        let figure = mildest + (hardest - mildest) * percent / 100;
        u32::try_from(figure).expect("it lies between two figures of 32 bits")
    }

    /// Whether the system can do, or tell, something.
    pub(super) fn can(&self, capability: Capability) -> bool {
        self.capabilities.contains(&capability)
    }

    /// All nodes in a drawn order.
    pub(super) fn order(&mut self) -> Vec<String> {
        let mut order = self.nodes.to_vec();
        order.shuffle(&mut self.rng);
        order
    }

    /// Anything in a drawn order.
    pub(super) fn shuffled<T>(&mut self, items: impl IntoIterator<Item = T>) -> Vec<T> {
        let mut items: Vec<T> = items.into_iter().collect();
        items.shuffle(&mut self.rng);
        items
    }

    /// Any key in use.
    pub(super) fn key_pick(&mut self) -> u32 {
        self.rng.random_range(0..1 << 16)
    }

    /// One of so many cards.
    pub(super) fn card(&mut self, of: u32) -> u32 {
        self.rng.random_range(0..of)
    }

    /// One of these.
    pub(super) fn one_of<T: Copy>(&mut self, choices: &[T]) -> Option<T> {
        choices.choose(&mut self.rng).copied()
    }

    /// Half of the draws go to a role if the system has any: that is where the promises are kept.
    pub(super) fn target(&mut self) -> TargetChoice {
        let order = self.order();
        let key_pick = self.key_pick();
        let to_a_role = self.rng.random_bool(0.5);
        if let Some(aim) = &self.aim {
            aim.clone()
        } else if to_a_role && self.can(Capability::Leader) {
            TargetChoice::Leader
        } else if to_a_role && self.can(Capability::Replicas) {
            TargetChoice::Coordinator { key_pick, order }
        } else {
            TargetChoice::Any { order }
        }
    }
}
