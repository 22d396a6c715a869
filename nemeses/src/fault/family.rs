//! What every kind of fault can do, and the checks that all of them share.

use super::{FaultInfo, Pulse, Resolved};
use crate::capability::Capability;
use crate::disk::Trouble;
use crate::link::Quality;
use crate::target::{Roles, Skipped, TargetChoice, check_choice};
use crate::topology::Topology;
use crate::world::State;

/// What the harness must find out before a fault can be resolved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asks {
    /// Who leads.
    pub leader: bool,
    /// Who asks to be it.
    pub candidate: bool,
    /// How far each node's log goes.
    pub logs: bool,
    /// Who serves the key at this place, modulo their number, of those in use.
    pub key_pick: Option<u32>,
    /// On which node the event happened that the fault waited for.
    pub source: bool,
}

impl Asks {
    /// Who leads, and nothing else.
    pub const LEADER: Asks = Asks {
        leader: true,
        candidate: false,
        logs: false,
        key_pick: None,
        source: false,
    };

    /// Who serves a key, and nothing else.
    #[must_use]
    pub fn servers_of(key_pick: u32) -> Asks {
        Asks {
            key_pick: Some(key_pick),
            ..Asks::default()
        }
    }

    /// What a system must be able to say to answer. Where every node may coordinate, no system has to say who does, but who holds the key.
    #[must_use]
    pub fn needs(&self) -> Vec<Capability> {
        let asked = [
            (self.leader, Capability::Leader),
            (self.candidate, Capability::Candidates),
            (self.logs, Capability::Logs),
            (self.key_pick.is_some(), Capability::Replicas),
        ];
        asked.into_iter().filter_map(|(asked, needed)| asked.then_some(needed)).collect()
    }
}

/// Where faults happen: the nodes, and how they are spread over failure domains.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// All nodes.
    pub nodes: &'a [String],
    /// Spare nodes. Where a fault is resolved: those that can be taken now, who never ran first; they are none of `nodes`.
    pub spares: &'a [String],
    /// Their racks, zones and regions, if they are in any.
    pub topology: Option<&'a Topology>,
}

/// What nodes are in and behind, as far as it decides which faults there can be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Site<'a> {
    /// Racks, zones and regions, if the nodes are in any.
    pub topology: Option<&'a Topology>,
    /// Whether a balancer is in front of the nodes.
    pub balancer: bool,
    /// Whether there are spare nodes beside the members.
    pub spares: bool,
}

impl<'a> From<&'a [String]> for Ground<'a> {
    fn from(nodes: &'a [String]) -> Ground<'a> {
        Ground {
            nodes,
            spares: &[],
            topology: None,
        }
    }
}

impl<'a> From<&'a Vec<String>> for Ground<'a> {
    fn from(nodes: &'a Vec<String>) -> Ground<'a> {
        Ground::from(nodes.as_slice())
    }
}

/// What a fault is resolved against.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// All nodes that are there: those of the beginning, and spare nodes that joined.
    pub nodes: &'a [String],
    /// Spare nodes that can be taken now, who never ran first.
    pub spares: &'a [String],
    /// Their failure domains, if they are in any.
    pub topology: Option<&'a Topology>,
    /// The state of the world, with nodes that are down for other reasons added.
    pub now: &'a State,
    /// What was found out because the fault asked for it.
    pub roles: &'a Roles,
}

impl Scene<'_> {
    /// The first of these nodes with such a trouble of its disk.
    pub(super) fn disk_of<'n>(&self, nodes: &'n [String], has: impl Fn(&Trouble) -> bool) -> Option<&'n String> {
        nodes.iter().find(|node| self.now.disks.get(*node).is_some_and(&has))
    }
}

/// One kind of fault. What is the same for all that hit chosen nodes is given.
pub(super) trait Family {
    /// What is known of the kind.
    fn info(&self) -> &'static FaultInfo;

    /// The choice of the nodes it hits, if it leaves one.
    fn target(&self) -> Option<&TargetChoice>;

    /// The same, for what a plan leaves out.
    fn target_mut(&mut self) -> Option<&mut TargetChoice>;

    /// The order of all nodes in which it looks for those it hits, if it has one: where a plan leaves it out, it is drawn.
    fn order_mut(&mut self) -> Option<&mut Vec<String>> {
        self.target_mut().and_then(TargetChoice::order_mut)
    }

    /// Whether it can hit several nodes at once.
    fn takes_several(&self) -> bool {
        true
    }

    /// Settles who is hit, and what is asked of the world.
    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped>;

    /// Its beat, if it comes and goes while it is in force.
    fn pulse(&self) -> Option<Pulse> {
        None
    }

    /// What it asks of the links that it hits, if it hits any.
    fn quality(&self) -> Option<Quality> {
        None
    }

    /// Checks its figures; names the one at fault.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// Checks what a person wrote; names the word at fault.
    fn validate(&self, nodes: &[String]) -> Result<(), String> {
        self.check()?;
        let Some(target) = self.target() else { return Ok(()) };
        match target.several().filter(|_| !self.takes_several()) {
            Some(word) => Err(format!("a `{word}` is several nodes, and a `{}` hits one", self.info().name)),
            None => check_choice(target, nodes),
        }
    }

    /// Like [`Family::validate`], for kinds that know of failure domains.
    fn validate_on(&self, ground: Ground<'_>) -> Result<(), String> {
        self.validate(ground.nodes)
    }

    /// What must be known before it can be resolved.
    fn asks(&self) -> Asks {
        self.target().map_or_else(Asks::default, TargetChoice::asks)
    }
}

/// What a kind says of its choice whose field `target` is all that decides it.
macro_rules! hits_target {
    () => {
        fn target(&self) -> Option<&TargetChoice> {
            Some(&self.target)
        }

        fn target_mut(&mut self) -> Option<&mut TargetChoice> {
            Some(&mut self.target)
        }
    };
}

/// The same of one that leaves no choice.
macro_rules! hits_no_target {
    () => {
        fn target(&self) -> Option<&TargetChoice> {
            None
        }

        fn target_mut(&mut self) -> Option<&mut TargetChoice> {
            None
        }
    };
}

pub(super) use {hits_no_target, hits_target};
