//! What is wrong with a disk: plain data, composed of all faults in force.

use std::collections::BTreeSet;
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

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
    /// It may hold no more than it holds when this begins. A write needs room for its bytes even where it replaces others, as on a file system that
    /// copies on write; without it fails with `ENOSPC`. What is removed or cut off gives room.
    #[serde(skip_serializing_if = "is_false")]
    pub packed: bool,
    /// What would change anything fails with `EROFS`.
    #[serde(skip_serializing_if = "is_false")]
    pub read_only: bool,
    /// Added to every operation, in microseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub delay_us: u64,
    /// It reads and writes no more than this, one operation after the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_s: Option<NonZeroU64>,
    /// Bits of durable bytes were flipped when this began. They stay flipped when it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rot: Option<Rot>,
    /// Writes land in other places than they should. They stay there when this ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub misdirects: Option<Misdirects>,
}

/// Which bits are flipped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rot {
    /// Decides which.
    pub seed: u64,
    /// How many.
    pub flips: u32,
    /// Of which file alone, by its path below the node's data folder; none: of any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// Which writes land elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Misdirects {
    /// Decides where they land.
    pub seed: u64,
    /// The first write, and after it every so manyth.
    pub every: NonZeroU32,
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
        self.packed |= other.packed;
        self.read_only |= other.read_only;
        self.bytes_per_s = [self.bytes_per_s, other.bytes_per_s].into_iter().flatten().min();
        // Damage of two faults is done when each begins; what is kept here only tells one from another.
        self.rot = self.rot.clone().max(other.rot.clone());
        self.misdirects = self.misdirects.max(other.misdirects);
        self.delay_us = self.delay_us.saturating_add(other.delay_us);
    }
}

/// How long so many bytes take at a rate.
pub(super) fn time_of(bytes: u64, rate: NonZeroU64) -> Duration {
    Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / rate)
}

impl Trouble {
    /// Whether it may refuse to write or to make a file.
    #[must_use]
    pub fn refuses_writes(&self) -> bool {
        self.full || self.packed || self.read_only || !self.broken.is_empty()
    }

    /// Whether nothing can be seen of a power cut: the bytes that it has to take and to keep cannot be left on such a disk, or not where they belong.
    #[must_use]
    pub fn hides_a_power_cut(&self) -> bool {
        self.refuses_writes() || self.sync == Some(SyncTrouble::Fails) || self.misdirects.is_some()
    }

    /// Whether syncs succeed and do nothing.
    #[must_use]
    pub fn lies(&self) -> bool {
        self.sync == Some(SyncTrouble::Lies)
    }

    /// Whether a node that keeps its promises may end because of it.
    #[must_use]
    pub fn may_end_a_node(&self) -> bool {
        self.sync == Some(SyncTrouble::Fails) || !self.broken.is_empty() || self.full || self.packed || self.read_only || self.damages()
    }

    /// Whether it does damage that stays.
    #[must_use]
    pub fn damages(&self) -> bool {
        self.rot.is_some() || self.misdirects.is_some()
    }

    /// Whether a write of few bytes succeeds, somewhere.
    pub(super) fn lets_write(&self) -> bool {
        self.error(Operation::Write, false).is_none() && !self.packed
    }

    /// How long an operation on so many bytes takes at least.
    pub(super) fn least_time(&self, bytes: u64) -> Duration {
        let of_rate = self.bytes_per_s.map_or(Duration::ZERO, |rate| time_of(bytes, rate));
        of_rate + Duration::from_micros(self.delay_us)
    }

    /// Whether operations take as long as on another disk.
    pub(super) fn is_as_slow_as(&self, other: &Trouble) -> bool {
        (self.delay_us, self.bytes_per_s) == (other.delay_us, other.bytes_per_s)
    }

    /// Whether its operations take longer.
    pub(super) fn is_slow(&self) -> bool {
        self.delay_us > 0 || self.bytes_per_s.is_some()
    }

    /// Whether it is slow at most.
    pub(super) fn is_only_slow(&self) -> bool {
        let slow = Trouble {
            delay_us: self.delay_us,
            bytes_per_s: self.bytes_per_s,
            ..Trouble::default()
        };
        *self == slow && *self != Trouble::default()
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
        } else if self.read_only && matches!(operation, Operation::Write | Operation::Names) {
            Some(libc::EROFS)
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
    fn of_two_rates_the_slower_counts_and_a_delay_is_added() {
        let rate = |bytes_per_s| Trouble {
            bytes_per_s: NonZeroU64::new(bytes_per_s),
            ..slow(5_000)
        };
        let mut both = rate(1_000);
        both.and(&rate(4_000));
        assert_eq!(both.bytes_per_s, NonZeroU64::new(1_000));
        assert_eq!(both.least_time(500), Duration::from_millis(510));
        assert!(both.is_only_slow() && !both.may_end_a_node() && !Trouble::default().is_only_slow());
        both.and(&slow(0));
        assert_eq!(both.bytes_per_s, NonZeroU64::new(1_000), "no limit is no milder one");
    }

    #[test]
    fn a_read_only_disk_refuses_what_changes_anything_and_nothing_else() {
        let read_only = Trouble {
            read_only: true,
            ..Trouble::default()
        };
        let refused = |operation| read_only.error(operation, false);
        assert_eq!(
            [Operation::Read, Operation::Write, Operation::Sync, Operation::Names].map(refused),
            [None, Some(libc::EROFS), None, Some(libc::EROFS)]
        );
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
