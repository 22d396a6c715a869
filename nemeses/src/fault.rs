//! The faults there are: what a plan says, and what it comes to at run time.
//!
//! A [`Fault`] is drawn when the plan is, with everything left to chance decided then: who comes first in an order, which shape. What is left open is
//! only who plays a role, and [`Fault::resolve`] settles that without chance.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::capability::Capability;
use crate::partition::{self, Cuts};
use crate::target::{KeyRoles, Roles, Skipped, TargetChoice, first_fit, no_key, unless_down, unless_down_or_paused};
use crate::world::State;

/// What is known of a kind of fault.
#[derive(Clone, Copy, Debug)]
pub struct FaultInfo {
    /// The name that flags and plans use.
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    /// What the system must be able to do.
    pub needs: &'static [Capability],
    /// Fewest nodes of a cluster that it can be done to.
    pub nodes_min: u32,
}

/// Every kind of fault.
pub const FAULTS: &[FaultInfo] = &[
    FaultInfo {
        name: "partition",
        about: "cut links between nodes: halves, majorities ring, bridge, one way, one node, a coordinator from its replicas",
        needs: &[],
        nodes_min: 2,
    },
    FaultInfo {
        name: "kill",
        about: "kill -9 every process of a node at once; the heal starts it again",
        needs: &[Capability::Kill, Capability::Restart],
        nodes_min: 1,
    },
    FaultInfo {
        name: "pause",
        about: "stop every process of a node; the heal continues it",
        needs: &[Capability::Pause],
        nodes_min: 1,
    },
    FaultInfo {
        name: "transfer",
        about: "hand the leadership to another node; nothing is to be healed",
        needs: &[Capability::Transfer, Capability::Leader],
        nodes_min: 2,
    },
    FaultInfo {
        name: "membership",
        about: "take a node out of the cluster's members; the heal makes it a member again",
        needs: &[Capability::Membership],
        nodes_min: 3,
    },
];

/// One fault, as a plan has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// Cut links between nodes, silently.
    Partition {
        /// Which.
        shape: Shape,
    },
    /// Kill a node's processes.
    Kill {
        /// Whose.
        target: TargetChoice,
    },
    /// Stop a node's processes.
    Pause {
        /// Whose.
        target: TargetChoice,
    },
    /// Hand the leadership over.
    Transfer {
        /// To whom.
        target: TargetChoice,
    },
    /// Take a node out of the members.
    Membership {
        /// Whom.
        target: TargetChoice,
    },
}

/// Which links a partition cuts; the functions in [`partition`] draw them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Shape {
    /// The first half of the nodes and the rest.
    Halves {
        /// All nodes.
        order: Vec<String>,
    },
    /// Every node sees a majority, no two the same.
    MajoritiesRing {
        /// All nodes.
        order: Vec<String>,
    },
    /// Two halves joined by the first node alone.
    Bridge {
        /// All nodes.
        order: Vec<String>,
    },
    /// Some nodes are not heard by the others, but hear them.
    OneWay {
        /// The nodes that are not heard.
        muted: Vec<String>,
    },
    /// One node alone.
    IsolateOne {
        /// Which.
        target: TargetChoice,
    },
    /// The coordinator of a key in use, cut from a majority of the key's replicas.
    CutCoordinator {
        /// As in [`TargetChoice::Coordinator`].
        key_pick: u32,
        /// Who coordinates where every node may, and which replicas are lost first.
        order: Vec<String>,
    },
}

/// What the harness must find out before a fault can be resolved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asks {
    /// Who leads.
    pub leader: bool,
    /// Who serves the key at this place, modulo their number, of those in use.
    pub key_pick: Option<u32>,
}

/// What a fault came to: enough to inject exactly this again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolved {
    /// The one node that was chosen, if the fault chooses one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The key whose servers are hit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyRoles>,
    /// What the fault asks of the world.
    pub state: State,
}

impl Fault {
    /// Its kind's name, one of [`FAULTS`].
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Fault::Partition { .. } => "partition",
            Fault::Kill { .. } => "kill",
            Fault::Pause { .. } => "pause",
            Fault::Transfer { .. } => "transfer",
            Fault::Membership { .. } => "membership",
        }
    }

    /// Checks a fault that a person wrote.
    ///
    /// # Errors
    /// Names the word at fault.
    pub fn validate(&self, nodes: &[String]) -> Result<(), String> {
        let (names, must_be_all) = match self {
            Fault::Kill { target }
            | Fault::Pause { target }
            | Fault::Transfer { target }
            | Fault::Membership { target }
            | Fault::Partition {
                shape: Shape::IsolateOne { target },
            } => (target.names(), false),
            Fault::Partition {
                shape: Shape::OneWay { muted },
            } if muted.is_empty() => return Err("`muted` names no node".into()),
            Fault::Partition {
                shape: Shape::OneWay { muted },
            } => (muted.as_slice(), false),
            Fault::Partition {
                shape:
                    Shape::Halves { order } | Shape::MajoritiesRing { order } | Shape::Bridge { order } | Shape::CutCoordinator { order, .. },
            } => (order.as_slice(), true),
        };
        if let Some(stranger) = names.iter().find(|name| !nodes.contains(name)) {
            return Err(format!("there is no node `{stranger}`; there are {}", nodes.join(", ")));
        }
        let different: BTreeSet<&String> = names.iter().collect();
        if different.len() != names.len() {
            return Err(format!("a node is named twice in {}", names.join(", ")));
        }
        if must_be_all && names.len() != nodes.len() {
            return Err(format!("`order` names {} of {} nodes", names.len(), nodes.len()));
        }
        Ok(())
    }

    /// What must be known before it can be resolved.
    #[must_use]
    pub fn asks(&self) -> Asks {
        match self {
            // Whoever leads is not handed what it has.
            Fault::Transfer { .. } => Asks {
                leader: true,
                key_pick: None,
            },
            Fault::Kill { target }
            | Fault::Pause { target }
            | Fault::Membership { target }
            | Fault::Partition {
                shape: Shape::IsolateOne { target },
            } => match target {
                TargetChoice::Leader => Asks {
                    leader: true,
                    key_pick: None,
                },
                TargetChoice::Coordinator { key_pick, .. } => Asks {
                    leader: false,
                    key_pick: Some(*key_pick),
                },
                TargetChoice::Node(_) | TargetChoice::Any { .. } => Asks::default(),
            },
            Fault::Partition {
                shape: Shape::CutCoordinator { key_pick, .. },
            } => Asks {
                leader: false,
                key_pick: Some(*key_pick),
            },
            Fault::Partition { .. } => Asks::default(),
        }
    }

    /// Settles who is hit. `now` is the state of the world, with nodes that are down for other reasons added; `roles` answers [`Fault::asks`].
    ///
    /// # Errors
    /// If nobody can be hit now.
    pub fn resolve(&self, nodes: &[String], now: &State, roles: &Roles) -> Result<Resolved, Skipped> {
        match self {
            Fault::Partition { shape } => shape.resolve(nodes, now, roles),
            Fault::Kill { target } => {
                let node = target.settle(roles, unless_down(now))?;
                let state = State {
                    down: BTreeSet::from([node.clone()]),
                    ..State::default()
                };
                Ok(Resolved {
                    node: Some(node),
                    key: key_of(self, roles),
                    state,
                })
            }
            Fault::Pause { target } => {
                let node = target.settle(roles, unless_down_or_paused(now))?;
                let state = State {
                    paused: BTreeSet::from([node.clone()]),
                    ..State::default()
                };
                Ok(Resolved {
                    node: Some(node),
                    key: key_of(self, roles),
                    state,
                })
            }
            Fault::Transfer { target } => {
                let unfit = |node: &str| match node {
                    _ if now.removed.contains(node) => Some("no member now"),
                    _ if roles.leader.as_deref() == Some(node) => Some("the leader already"),
                    _ => unless_down_or_paused(now)(node),
                };
                let node = target.settle(roles, unfit)?;
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
            Fault::Membership { target } => {
                // One at a time: with two out of three gone the third would be a cluster of its own.
                if let Some(out) = now.removed.first() {
                    return Err(Skipped(format!("{out} is no member now, and one at a time is taken out")));
                }
                let node = target.settle(roles, |_| None)?;
                let state = State {
                    removed: BTreeSet::from([node.clone()]),
                    ..State::default()
                };
                Ok(Resolved {
                    node: Some(node),
                    key: key_of(self, roles),
                    state,
                })
            }
        }
    }
}

impl Shape {
    fn resolve(&self, nodes: &[String], now: &State, roles: &Roles) -> Result<Resolved, Skipped> {
        let mut node = None;
        let mut key = None;
        let cuts = match self {
            Shape::Halves { order } => partition::halves(order),
            Shape::MajoritiesRing { order } => partition::majorities_ring(order),
            Shape::Bridge { order } => partition::bridge(order),
            Shape::OneWay { muted } => partition::one_way(muted, nodes),
            Shape::IsolateOne { target } => {
                let alone = target.settle(roles, unless_down(now))?;
                let cuts = partition::isolate(&alone, nodes);
                node = Some(alone);
                cuts
            }
            Shape::CutCoordinator { order, .. } => {
                let served = roles.key.as_ref().ok_or_else(no_key)?;
                let coordinator = served.coordinator.clone().map_or_else(|| first_fit(order, unless_down(now)), Ok)?;
                let mut replicas = served.replicas.clone();
                replicas.sort_by_key(|replica| order.iter().position(|ordered| ordered == replica));
                let cuts = partition::cut_coordinator(&coordinator, &replicas);
                node = Some(coordinator);
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
            node,
            key,
            state: State { cuts, ..State::default() },
        })
    }
}

fn key_of(fault: &Fault, roles: &Roles) -> Option<KeyRoles> {
    fault.asks().key_pick.and_then(|_| roles.key.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(n: usize) -> Vec<String> {
        (1..=n).map(|number| format!("n{number}")).collect()
    }

    fn served(coordinator: Option<&str>) -> Roles {
        let key = KeyRoles {
            key: "k3".into(),
            coordinator: coordinator.map(Into::into),
            replicas: nodes(3),
        };
        Roles {
            leader: Some("n2".into()),
            key: Some(key),
        }
    }

    fn pause_any() -> Fault {
        Fault::Pause {
            target: TargetChoice::Any { order: nodes(3) },
        }
    }

    #[test]
    fn is_written_with_the_kind_outside() {
        let fault = Fault::Partition {
            shape: Shape::OneWay { muted: vec!["n3".into()] },
        };
        let text = serde_json::to_string(&fault).unwrap();
        assert_eq!(text, r#"{"partition":{"shape":{"one-way":{"muted":["n3"]}}}}"#);
        assert_eq!(serde_json::from_str::<Fault>(&text).unwrap(), fault);
        assert_eq!(
            serde_json::to_string(&Fault::Kill {
                target: TargetChoice::Leader
            })
            .unwrap(),
            r#"{"kill":{"target":"leader"}}"#
        );
        let typo = r#"{"kill":{"target":{"any":{"ordre":["n1"]}}}}"#;
        assert!(serde_json::from_str::<Fault>(typo).unwrap_err().to_string().contains("ordre"));
    }

    #[test]
    fn takes_the_first_node_that_is_up() {
        let now = State {
            down: BTreeSet::from(["n1".into()]),
            paused: BTreeSet::from(["n2".into()]),
            ..State::default()
        };
        let resolved = pause_any().resolve(&nodes(3), &now, &Roles::default()).unwrap();
        assert_eq!(
            serde_json::to_string(&resolved).unwrap(),
            r#"{"node":"n3","state":{"paused":["n3"]}}"#
        );
        let kill = Fault::Kill {
            target: TargetChoice::Any { order: nodes(3) },
        };
        assert_eq!(
            kill.resolve(&nodes(3), &now, &Roles::default()).unwrap().node.as_deref(),
            Some("n2"),
            "a paused node can be killed"
        );
    }

    #[test]
    fn says_why_nobody_was_hit() {
        let all_down = State {
            down: nodes(3).into_iter().collect(),
            ..State::default()
        };
        let skipped = |fault: Fault, roles: &Roles| fault.resolve(&nodes(3), &all_down, roles).unwrap_err().to_string();
        assert_eq!(
            skipped(pause_any(), &Roles::default()),
            "no node can be hit: the first, n1, is down already"
        );
        assert_eq!(
            skipped(
                Fault::Kill {
                    target: TargetChoice::Node("n2".into())
                },
                &Roles::default()
            ),
            "node n2 is down already"
        );
        assert_eq!(
            skipped(
                Fault::Kill {
                    target: TargetChoice::Leader
                },
                &Roles::default()
            ),
            "no node takes itself for the leader"
        );
        let coordinator = TargetChoice::Coordinator {
            key_pick: 1,
            order: nodes(3),
        };
        assert_eq!(
            skipped(Fault::Kill { target: coordinator }, &Roles::default()),
            "no key is in use yet"
        );
        assert_eq!(
            skipped(
                Fault::Kill {
                    target: TargetChoice::Leader
                },
                &served(None)
            ),
            "leader n2 is down already"
        );
    }

    #[test]
    fn the_order_decides_who_coordinates_and_which_replicas_are_lost() {
        let order = ["n5", "n3", "n1", "n2", "n4"].map(String::from).to_vec();
        let fault = Fault::Partition {
            shape: Shape::CutCoordinator { key_pick: 9, order },
        };
        assert_eq!(
            fault.asks(),
            Asks {
                leader: false,
                key_pick: Some(9)
            }
        );
        let free = fault.resolve(&nodes(5), &State::default(), &served(None)).unwrap();
        assert_eq!(
            (free.node.as_deref(), &free.state.cuts),
            (Some("n5"), &partition::cut_coordinator("n5", &["n3", "n1", "n2"].map(String::from)))
        );
        let fixed = fault.resolve(&nodes(5), &State::default(), &served(Some("n1"))).unwrap();
        assert_eq!(
            fixed.state.cuts,
            partition::cut_coordinator("n1", &["n3", "n1", "n2"].map(String::from))
        );
        assert_eq!(fixed.key.unwrap().key, "k3");
    }

    #[test]
    fn names_the_word_that_is_wrong() {
        let check = |fault: &str, expected: &str| {
            let fault: Fault = serde_json::from_str(fault).unwrap();
            assert_eq!(fault.validate(&nodes(3)).unwrap_err(), expected);
        };
        check(
            r#"{"kill":{"target":{"node":"n9"}}}"#,
            "there is no node `n9`; there are n1, n2, n3",
        );
        check(
            r#"{"pause":{"target":{"any":{"order":["n1","n1"]}}}}"#,
            "a node is named twice in n1, n1",
        );
        check(
            r#"{"partition":{"shape":{"halves":{"order":["n1","n2"]}}}}"#,
            "`order` names 2 of 3 nodes",
        );
        check(r#"{"partition":{"shape":{"one-way":{"muted":[]}}}}"#, "`muted` names no node");
    }
}
