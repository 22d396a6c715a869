//! Damage that nobody is told of: bits that flip at rest, writes that land elsewhere. No system of ours claims to survive it; those with checksums find it.
//!
//! What is damaged stays damaged: the heal ends what does damage, and starts the node again, so that it reads what it has. It may refuse that.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LIFE, troubled};
use crate::disk::{Misdirects, Rot, Trouble};
use crate::fault::family::{Family, Scene, hits_target};
use crate::fault::{Fault, FaultInfo, Mechanism, Resolved};
use crate::target::{Skipped, TargetChoice};

pub(in crate::fault) const BIT_ROT: FaultInfo = FaultInfo {
    name: "bit-rot",
    about: "bits of what a node has on its disk flip, and stay so; the heal starts the node again, which may refuse what it then reads",
    needs: LIFE,
    nodes_min: 1,
    mechanism: Mechanism::Disks,
    draw: |dice| {
        Fault::BitRot(BitRot {
            target: dice.target(),
            flips: dice.between(1, 16),
            seed: u64::from(dice.card(u32::MAX)),
            file: None,
        })
    },
};

pub(in crate::fault) const MISDIRECTED_WRITE: FaultInfo = FaultInfo {
    name: "misdirected-write",
    about: "writes of a node land in other places of its disk, and stay there; the heal starts the node again, which may refuse what it then reads",
    needs: LIFE,
    nodes_min: 1,
    mechanism: Mechanism::Disks,
    draw: |dice| {
        Fault::MisdirectedWrite(MisdirectedWrite {
            target: dice.target(),
            every: dice.between(200, 5),
            seed: u64::from(dice.card(u32::MAX)),
        })
    },
};

/// The most bits that one fault flips: each stands in the history.
const FLIPS_MAX: u32 = 10_000;

/// Flips bits of durable bytes, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BitRot {
    /// Whose.
    pub target: TargetChoice,
    /// How many bits; at least 1.
    pub flips: u32,
    /// Decides which.
    pub seed: u64,
    /// Of which file alone, by its path below the node's data folder; none: of any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// Lets writes land elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MisdirectedWrite {
    /// Whose.
    pub target: TargetChoice,
    /// The next write, and after it every so manyth; at least 1.
    pub every: u32,
    /// Decides where they land.
    pub seed: u64,
}

impl Family for BitRot {
    fn info(&self) -> &'static FaultInfo {
        &BIT_ROT
    }

    hits_target!();

    fn check(&self) -> Result<(), String> {
        if !(1..=FLIPS_MAX).contains(&self.flips) {
            return Err(format!("`flips` is {}; it goes from 1 to {FLIPS_MAX}", self.flips));
        }
        let is_below = |file: &String| {
            let parts = std::path::Path::new(file).components();
            !file.is_empty() && parts.into_iter().all(|part| matches!(part, std::path::Component::Normal(_)))
        };
        match &self.file {
            Some(file) if !is_below(file) => Err(format!("`file` is `{file}`; it is a path below the node's data folder")),
            _ => Ok(()),
        }
    }

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        let trouble = Trouble {
            rot: Some(Rot {
                seed: self.seed,
                flips: self.flips,
                file: self.file.clone(),
            }),
            ..Trouble::default()
        };
        troubled(&self.target, scene, trouble)
    }
}

impl Family for MisdirectedWrite {
    fn info(&self) -> &'static FaultInfo {
        &MISDIRECTED_WRITE
    }

    hits_target!();

    fn check(&self) -> Result<(), String> {
        match self.every {
            0 => Err("`every` is 0; 1 is every write".into()),
            _ => Ok(()),
        }
    }

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        let trouble = Trouble {
            misdirects: NonZeroU32::new(self.every).map(|every| Misdirects { seed: self.seed, every }),
            ..Trouble::default()
        };
        troubled(&self.target, scene, trouble)
    }
}
