//! Power failure: of one node, a minority, a majority or all at once; clean, or in the midst of an fsync.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::LIFE;
use crate::disk::{Cut, Trouble};
use crate::fault::family::{Family, Scene};
use crate::fault::{Asks, Dice, Fault, FaultInfo, Mechanism, Resolved};
use crate::target::{Several, Skipped, TargetChoice, check_choice, unless_down};
use crate::word::{Tagged, also_words, word_or_table};
use crate::world::State;

pub(in crate::fault) const POWER: FaultInfo = FaultInfo {
    name: "power",
    about: "power failure of one node, a minority, a majority or all: what was not fsynced is gone; the heal starts them again",
    needs: LIFE,
    nodes_min: 1,
    mechanism: Mechanism::Disks,
    draw: |dice| Fault::Power(Power { hits: Hits::draw(dice) }),
};

pub(in crate::fault) const TORN: FaultInfo = FaultInfo {
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

/// Whose power is cut. All but `one` can be written as a word alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, remote = "Self")]
#[schemars(transform = also_words)]
pub enum Hits {
    /// One node's.
    One(TargetChoice),
    /// That of as many as leave a majority of the members.
    Minority(Several),
    /// A majority's.
    Majority(Several),
    /// Everyone's at once.
    All,
}

impl Serialize for Hits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Hits::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Hits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Hits, D::Error> {
        word_or_table(deserializer)
    }
}

impl Tagged for Hits {
    fn tagged<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hits, D::Error> {
        Hits::deserialize(deserializer)
    }
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

impl Hits {
    /// Half of the cuts hit one node; a quarter each a majority and all.
    fn draw(dice: &mut Dice<'_>) -> Hits {
        match dice.card(4) {
            0 => Hits::Majority(Several {
                order: dice.order(),
                leader: None,
            }),
            1 => Hits::All,
            _ => Hits::One(dice.target()),
        }
    }

    /// How those that are hit are chosen; `None`: all of them are.
    fn choice(&self) -> Option<TargetChoice> {
        match self {
            Hits::One(target) => Some(target.clone()),
            Hits::Minority(some) => Some(TargetChoice::Minority(some.clone())),
            Hits::Majority(most) => Some(TargetChoice::Majority(most.clone())),
            Hits::All => None,
        }
    }

    fn target(&self) -> Option<&TargetChoice> {
        match self {
            Hits::One(target) => Some(target),
            Hits::Minority(_) | Hits::Majority(_) | Hits::All => None,
        }
    }

    fn target_mut(&mut self) -> Option<&mut TargetChoice> {
        match self {
            Hits::One(target) => Some(target),
            Hits::Minority(_) | Hits::Majority(_) | Hits::All => None,
        }
    }

    fn order_mut(&mut self) -> Option<&mut Vec<String>> {
        match self {
            Hits::One(target) => target.order_mut(),
            Hits::Minority(several) | Hits::Majority(several) => Some(&mut several.order),
            Hits::All => None,
        }
    }

    /// Of so many members, how many lose their power.
    pub(in crate::fault) fn n_hit(&self, n_members: usize) -> usize {
        self.choice().map_or(n_members, |choice| choice.n_hit(n_members))
    }

    fn validate(&self, nodes: &[String]) -> Result<(), String> {
        match (self, self.choice()) {
            (Hits::One(target), _) if let Some(word) = target.several() => {
                Err(format!("a `{word}` is several nodes, and `one` is one; write `hits = \"{word}\"`"))
            }
            (_, Some(choice)) => check_choice(&choice, nodes),
            (_, None) => Ok(()),
        }
    }

    fn asks(&self) -> Asks {
        self.choice().map_or_else(Asks::default, |choice| choice.asks())
    }

    /// Cuts the power of whoever is hit; at least one of them has to run.
    fn resolve(&self, scene: &Scene<'_>, cut: impl Fn(&str) -> Cut) -> Result<Resolved, Skipped> {
        let choice = self.choice();
        let (nodes, down) = match &choice {
            Some(choice) => {
                let nodes = choice.settle(scene, unless_down(scene.now))?;
                (nodes.clone(), nodes)
            }
            // Who is down already loses what it had not synced, and stays down; nothing of it is seen to end.
            None => (
                scene
                    .nodes
                    .iter()
                    .filter(|node| unless_down(scene.now)(node).is_none())
                    .cloned()
                    .collect(),
                scene.nodes.to_vec(),
            ),
        };
        if nodes.is_empty() {
            return Err(Skipped("all of them are down already".into()));
        }
        // The bytes that prove a cut are written right before it.
        if let Some(node) = scene.disk_of(&down, Trouble::hides_a_power_cut) {
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
            nodes,
            key: choice.and_then(|choice| choice.key(scene.roles)),
            state: State {
                disks: down.iter().map(without_power).collect(),
                down: down.into_iter().collect(),
                ..State::default()
            },
        })
    }
}

/// What a family of power cuts says of its aim, by its field `hits`.
macro_rules! aimed_by_hits {
    () => {
        fn target(&self) -> Option<&TargetChoice> {
            self.hits.target()
        }

        fn target_mut(&mut self) -> Option<&mut TargetChoice> {
            self.hits.target_mut()
        }

        fn order_mut(&mut self) -> Option<&mut Vec<String>> {
            self.hits.order_mut()
        }

        fn asks(&self) -> Asks {
            self.hits.asks()
        }

        fn validate(&self, nodes: &[String]) -> Result<(), String> {
            self.hits.validate(nodes)
        }
    };
}

impl Family for Power {
    fn info(&self) -> &'static FaultInfo {
        &POWER
    }

    aimed_by_hits!();

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        self.hits.resolve(scene, |_| Cut::Clean)
    }
}

impl Family for Torn {
    fn info(&self) -> &'static FaultInfo {
        &TORN
    }

    aimed_by_hits!();

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        let place = |node: &str| scene.nodes.iter().position(|name| name == node).unwrap_or(0) as u64;
        self.hits.resolve(scene, |node| Cut::Torn(self.seed.wrapping_add(place(node))))
    }
}
