//! What a node may use: too little processor time, no more memory, no more descriptors.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::family::{Family, Scene, hits_target};
use super::{Fault, FaultInfo, Mechanism, Resolved};
use crate::capability::Capability;
use crate::limits::{Controller, Limits};
use crate::target::{Skipped, TargetChoice, unless_down};
use crate::world::State;

pub(super) const CPU: FaultInfo = FaultInfo {
    name: "cpu",
    about: "a small share of one processor for all of a node, and a neighbour that wants it too",
    needs: &[],
    nodes_min: 1,
    mechanism: Mechanism::Limits,
    // At 20 % our stores are slower; at 1 % they miss every deadline.
    draw: |dice| {
        Fault::Cpu(Cpu {
            target: dice.target(),
            percent: dice.between(20, 1),
        })
    },
};

pub(super) const MEMORY: FaultInfo = FaultInfo {
    name: "memory",
    about: "no more memory, and a neighbour that takes the rest: the kernel kills the node; the heal starts it again",
    needs: &[Capability::Kill, Capability::Restart],
    nodes_min: 1,
    mechanism: Mechanism::Limits,
    draw: |dice| {
        Fault::Memory(Memory {
            target: dice.target(),
            spare_kib: dice.between(8 << 10, 1 << 10),
        })
    },
};

pub(super) const FD: FaultInfo = FaultInfo {
    name: "fd",
    about: "no more file descriptors than a few: what is open stays open",
    needs: &[],
    nodes_min: 1,
    mechanism: Mechanism::Limits,
    draw: |dice| {
        Fault::Fd(Fd {
            target: dice.target(),
            spare: dice.between(4, 0),
        })
    },
};

impl FaultInfo {
    /// The controller of control groups that it needs, if it needs one.
    #[must_use]
    pub fn controller(&self) -> Option<Controller> {
        match self.name {
            name if name == CPU.name => Some(Controller::Cpu),
            name if name == MEMORY.name => Some(Controller::Memory),
            _ => None,
        }
    }
}

/// Limits a node's processor time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cpu {
    /// Whose.
    pub target: TargetChoice,
    /// To how much, in percent of one processor; 1 to 100.
    pub percent: u32,
}

/// Takes a node's memory away until the kernel kills it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Whose.
    pub target: TargetChoice,
    /// What it may use beyond what it uses, in KiB.
    pub spare_kib: u32,
}

/// Limits a node's file descriptors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fd {
    /// Whose.
    pub target: TargetChoice,
    /// How many each of its processes may still open.
    pub spare: u32,
}

/// Descriptors more than a process has, at most: any kernel lets a process have a million (fs.nr_open), and who has so many to spare is not limited.
const SPARE_MAX: u32 = 100_000;

fn limited(nodes: Vec<String>, target: &TargetChoice, scene: &Scene<'_>, limits: &Limits) -> Resolved {
    let state = State {
        limits: nodes.iter().map(|node| (node.clone(), limits.clone())).collect(),
        ..State::default()
    };
    Resolved {
        nodes,
        key: target.key(scene.roles),
        state,
    }
}

impl Family for Cpu {
    fn info(&self) -> &'static FaultInfo {
        &CPU
    }

    hits_target!();

    fn check(&self) -> Result<(), String> {
        match self.percent {
            1..=100 => Ok(()),
            percent => Err(format!("`percent` is {percent}; it goes from 1 to 100")),
        }
    }

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        let limits = Limits {
            cpu_percent: Some(self.percent),
            ..Limits::default()
        };
        let is_limited = |node: &str| scene.now.limits.get(node).is_some_and(|limits| limits.cpu_percent.is_some());
        let unfit = |node: &str| unless_down(scene.now)(node).or_else(|| is_limited(node).then_some("limited already"));
        let nodes = self.target.settle(scene, unfit)?;
        Ok(limited(nodes, &self.target, scene, &limits))
    }
}

impl Family for Memory {
    fn info(&self) -> &'static FaultInfo {
        &MEMORY
    }

    hits_target!();

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        let limits = Limits {
            spare_memory_kib: Some(self.spare_kib),
            ..Limits::default()
        };
        let nodes = self.target.settle(scene, unless_down(scene.now))?;
        let mut resolved = limited(nodes, &self.target, scene, &limits);
        // They stay down until the heal: nobody else is to start one while there is no memory to start in.
        resolved.state.down = resolved.nodes.iter().cloned().collect();
        Ok(resolved)
    }
}

impl Family for Fd {
    fn info(&self) -> &'static FaultInfo {
        &FD
    }

    hits_target!();

    fn check(&self) -> Result<(), String> {
        match self.spare {
            0..=SPARE_MAX => Ok(()),
            spare => Err(format!(
                "`spare` is {spare}; a process may have {SPARE_MAX} descriptors more at most"
            )),
        }
    }

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        let limits = Limits {
            spare_descriptors: Some(self.spare),
            ..Limits::default()
        };
        let is_limited = |node: &str| scene.now.limits.get(node).is_some_and(|limits| limits.spare_descriptors.is_some());
        let unfit = |node: &str| unless_down(scene.now)(node).or_else(|| is_limited(node).then_some("limited already"));
        let nodes = self.target.settle(scene, unfit)?;
        Ok(limited(nodes, &self.target, scene, &limits))
    }
}
