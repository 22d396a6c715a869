//! What a disk has to give: room, speed, and that it can be written at all.
//!
//! They are the file system's own answers, so that they are the same for whoever may make no group and mount nothing. A control group's limit of I/O
//! would not reach a node: what it writes goes to its disk of ours, which is served outside of its group.

use std::num::NonZeroU64;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LIFE, troubled};
use crate::disk::Trouble;
use crate::fault::family::{Family, Scene, hits_target};
use crate::fault::{Fault, FaultInfo, Mechanism, Resolved};
use crate::target::{Skipped, TargetChoice};

pub(in crate::fault) const DISK_FULL: FaultInfo = FaultInfo {
    name: "disk-full",
    about: "a node's disk may hold no more than it holds: every write fails until something is removed; a node that ends of it is started again",
    needs: LIFE,
    nodes_min: 1,
    mechanism: Mechanism::Disks,
    draw: |dice| Fault::DiskFull(DiskFull { target: dice.target() }),
};

pub(in crate::fault) const READ_ONLY: FaultInfo = FaultInfo {
    name: "read-only",
    about: "a node's disk can only be read, as after an error (EROFS); a node that ends of it is started again by the heal",
    needs: LIFE,
    nodes_min: 1,
    mechanism: Mechanism::Disks,
    draw: |dice| Fault::ReadOnly(ReadOnly { target: dice.target() }),
};

pub(in crate::fault) const DISK_RATE: FaultInfo = FaultInfo {
    name: "disk-rate",
    about: "a node's disk reads and writes few bytes a second, one operation after the other",
    needs: &[],
    nodes_min: 1,
    mechanism: Mechanism::Disks,
    // From a busy shared volume to one that cannot keep up with a log.
    draw: |dice| {
        Fault::DiskRate(DiskRate {
            target: dice.target(),
            kib_per_s: dice.between(2_048, 32).into(),
        })
    },
};

/// The fastest that is called a limit, in KiB/s: 16 GiB/s.
const KIB_PER_S_MAX: u64 = 16 << 20;

/// Leaves no room for any write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiskFull {
    /// Whose.
    pub target: TargetChoice,
}

/// Lets a disk only be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadOnly {
    /// Whose.
    pub target: TargetChoice,
}

/// Lets a disk move few bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiskRate {
    /// Whose.
    pub target: TargetChoice,
    /// How many, read and written together, in KiB a second; at least 1.
    pub kib_per_s: u64,
}

impl Family for DiskFull {
    fn info(&self) -> &'static FaultInfo {
        &DISK_FULL
    }

    hits_target!();

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        let trouble = Trouble {
            packed: true,
            ..Trouble::default()
        };
        troubled(&self.target, scene, trouble)
    }
}

impl Family for ReadOnly {
    fn info(&self) -> &'static FaultInfo {
        &READ_ONLY
    }

    hits_target!();

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        let trouble = Trouble {
            read_only: true,
            ..Trouble::default()
        };
        troubled(&self.target, scene, trouble)
    }
}

impl Family for DiskRate {
    fn info(&self) -> &'static FaultInfo {
        &DISK_RATE
    }

    hits_target!();

    fn check(&self) -> Result<(), String> {
        match self.kib_per_s {
            1..=KIB_PER_S_MAX => Ok(()),
            rate => Err(format!("`kib_per_s` is {rate}; it goes from 1 to {KIB_PER_S_MAX}")),
        }
    }

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        let trouble = Trouble {
            bytes_per_s: NonZeroU64::new(self.kib_per_s * 1_024),
            ..Trouble::default()
        };
        troubled(&self.target, scene, trouble)
    }
}
