//! What is wrong with a disk: plain data, composed of all faults in force.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::Cut;
use crate::world::Compose;

/// What a disk is asked to do, as far as faults tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Reads of bytes.
    Read,
    /// Writes, truncations and allocations.
    Write,
    /// `fsync`, `fdatasync`, of files and directories.
    Sync,
    /// Creations, removals, renames, links.
    Names,
}

/// What syncs do instead of their work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SyncTrouble {
    /// They succeed and make nothing durable.
    Lies,
    /// The first after a write fails with `EIO` and marks the written pages clean, so that a second one succeeds without them
    /// (Rebello et al., USENIX ATC 2020; "fsyncgate", PostgreSQL 2018).
    Fails,
}

/// What is wrong with one disk; by default nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Trouble {
    /// It lost power this way, and has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<Cut>,
    /// Syncs do not do their work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncTrouble>,
    /// Operations that fail with `EIO`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub broken: BTreeSet<Operation>,
    /// No room is left: what needs more fails with `ENOSPC`.
    #[serde(skip_serializing_if = "is_false")]
    pub full: bool,
    /// Added to every operation, in microseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub delay_us: u64,
}

fn is_false(value: &bool) -> bool {
    !*value
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// The worse of each, and the sum of the delays.
impl Compose for Trouble {
    fn and(&mut self, other: &Trouble) {
        // Both lose what is not durable: the first cut did, and there is nothing left for a second.
        self.power = self.power.or(other.power);
        self.sync = self.sync.max(other.sync);
        self.broken.extend(&other.broken);
        self.full |= other.full;
        self.delay_us = self.delay_us.saturating_add(other.delay_us);
    }
}

impl Trouble {
    /// Whether a node that keeps its promises may end because of it.
    #[must_use]
    pub fn may_end_a_node(&self) -> bool {
        self.sync == Some(SyncTrouble::Fails) || !self.broken.is_empty() || self.full
    }

    /// Whether it is slow at most.
    pub(super) fn is_only_slow(&self) -> bool {
        let slow = Trouble {
            delay_us: self.delay_us,
            ..Trouble::default()
        };
        *self == slow
    }

    /// The same but for the power, which is no matter of single operations.
    #[must_use]
    pub fn with_power(&self) -> Trouble {
        Trouble {
            power: None,
            ..self.clone()
        }
    }

    /// The error an operation fails with at once, if it does; `grows` says whether it needs more room.
    pub(super) fn error(&self, operation: Operation, grows: bool) -> Option<i32> {
        if self.broken.contains(&operation) {
            Some(libc::EIO)
        } else {
            (self.full && grows).then_some(libc::ENOSPC)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slow(delay_us: u64) -> Trouble {
        Trouble {
            delay_us,
            ..Trouble::default()
        }
    }

    #[test]
    fn two_faults_make_the_worse_of_each_and_the_sum_of_the_delays() {
        let lies = Trouble {
            sync: Some(SyncTrouble::Lies),
            broken: BTreeSet::from([Operation::Read]),
            ..slow(5)
        };
        let fails = Trouble {
            sync: Some(SyncTrouble::Fails),
            full: true,
            ..slow(7)
        };
        let and = |mut one: Trouble, other: &Trouble| {
            one.and(other);
            one
        };
        let both = and(lies.clone(), &fails);
        assert_eq!(both, and(fails, &lies));
        assert_eq!((both.sync, both.full, both.delay_us), (Some(SyncTrouble::Fails), true, 12));
        assert_eq!(and(both.clone(), &Trouble::default()), both);
    }

    #[test]
    fn a_full_disk_refuses_only_what_needs_room() {
        let full = Trouble {
            full: true,
            ..Trouble::default()
        };
        assert_eq!(full.error(Operation::Write, false), None);
        assert_eq!(full.error(Operation::Write, true), Some(libc::ENOSPC));
        assert_eq!(full.error(Operation::Sync, false), None);
    }

    #[test]
    fn is_stored_without_what_is_well() {
        assert_eq!(serde_json::to_string(&Trouble::default()).unwrap(), "{}");
        let torn = Trouble {
            power: Some(Cut::Torn(7)),
            ..slow(3)
        };
        let text = serde_json::to_string(&torn).unwrap();
        assert_eq!(text, r#"{"power":{"torn":7},"delay_us":3}"#);
        assert_eq!(serde_json::from_str::<Trouble>(&text).unwrap(), torn);
        assert!(serde_json::from_str::<Trouble>(r#"{"lies":true}"#).is_err());
    }
}
