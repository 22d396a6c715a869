//! A node's processes: killed, stopped, once or again and again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::family::{Family, Scene, hits_target};
use super::{Fault, FaultInfo, Mechanism, Pulse, Resolved};
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

pub(super) const RESTART_STORM: FaultInfo = FaultInfo {
    name: "restart-storm",
    about: "kill -9 a node again and again, each time a while after it was started",
    needs: &[Capability::Kill, Capability::Restart],
    nodes_min: 1,
    mechanism: Mechanism::Life,
    // A start and its recovery take some 50 ms, an election 150 to 300 ms: from just up to just serving again.
    draw: |dice| {
        Fault::RestartStorm(RestartStorm {
            target: dice.target(),
            up_ms: dice.between(500, 50).into(),
            down_ms: dice.between(100, 1).into(),
        })
    },
};

pub(super) const STUTTER: FaultInfo = FaultInfo {
    name: "stutter",
    about: "stop every process of a node for a moment, again and again",
    needs: &[Capability::Pause],
    nodes_min: 1,
    mechanism: Mechanism::Motion,
    // Stops from below a heartbeat to beyond an election timeout, with hardly time to catch up.
    draw: |dice| {
        Fault::Stutter(Stutter {
            target: dice.target(),
            stop_ms: dice.between(20, 400).into(),
            run_ms: dice.between(200, 20).into(),
        })
    },
};

/// Kills a node's processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kill {
    /// Whose.
    pub target: TargetChoice,
}

/// Stops a node's processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// Whose.
    pub target: TargetChoice,
}

/// Kills a node's processes again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RestartStorm {
    /// Whose.
    pub target: TargetChoice,
    /// How long it runs between a start and the next kill, in milliseconds; at least 1.
    pub up_ms: u64,
    /// How long it stays down, in milliseconds; at least 1.
    pub down_ms: u64,
}

/// Stops a node's processes again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stutter {
    /// Whose.
    pub target: TargetChoice,
    /// How long it is stopped at a time, in milliseconds; at least 1.
    pub stop_ms: u64,
    /// How long it runs in between, in milliseconds; at least 1.
    pub run_ms: u64,
}

fn killed(target: &TargetChoice, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
    let nodes = target.settle(scene, unless_down(scene.now))?;
    let state = State {
        down: nodes.iter().cloned().collect(),
        ..State::default()
    };
    Ok(Resolved {
        nodes,
        key: target.key(scene.roles),
        state,
    })
}

fn paused(target: &TargetChoice, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
    let nodes = target.settle(scene, unless_down_or_paused(scene.now))?;
    let state = State {
        paused: nodes.iter().cloned().collect(),
        ..State::default()
    };
    Ok(Resolved {
        nodes,
        key: target.key(scene.roles),
        state,
    })
}

fn check_beat(beat: [(&str, u64); 2]) -> Result<(), String> {
    match beat.iter().find(|(_, ms)| *ms == 0) {
        Some((name, _)) => Err(format!("`{name}` is 0; a beat takes at least a millisecond")),
        None => Ok(()),
    }
}

impl Family for Kill {
    fn info(&self) -> &'static FaultInfo {
        &KILL
    }

    hits_target!();

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        killed(&self.target, scene)
    }
}

impl Family for Pause {
    fn info(&self) -> &'static FaultInfo {
        &PAUSE
    }

    hits_target!();

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        paused(&self.target, scene)
    }
}

impl Family for RestartStorm {
    fn info(&self) -> &'static FaultInfo {
        &RESTART_STORM
    }

    hits_target!();

    fn pulse(&self) -> Option<Pulse> {
        Some(Pulse {
            on_ms: self.down_ms,
            off_ms: self.up_ms,
        })
    }

    fn check(&self) -> Result<(), String> {
        check_beat([("down_ms", self.down_ms), ("up_ms", self.up_ms)])
    }

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        killed(&self.target, scene)
    }
}

impl Family for Stutter {
    fn info(&self) -> &'static FaultInfo {
        &STUTTER
    }

    hits_target!();

    fn pulse(&self) -> Option<Pulse> {
        Some(Pulse {
            on_ms: self.stop_ms,
            off_ms: self.run_ms,
        })
    }

    fn check(&self) -> Result<(), String> {
        check_beat([("stop_ms", self.stop_ms), ("run_ms", self.run_ms)])
    }

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        paused(&self.target, scene)
    }
}
