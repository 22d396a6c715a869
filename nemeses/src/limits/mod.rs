//! What a node may use: processor time, memory, file descriptors.
//!
//! Time and memory are limited by control groups, both versions (cgroups(7)): one group per run, made on the host by whoever starts it
//! ([`Groups::create`]), one below it per node ([`NodeGroup`]). Descriptors are limited by prlimit(2) on the node's processes, which needs nothing.
//!
//! **No limit is believed.** A limit on time is proved by a process of ours that burns in the node's group and is throttled, and after the heal is
//! not; one on memory by the kernel's own count of what it killed; one on descriptors by what `/proc` shows of each process.
//!
//! - [`groups`]: the folders of a run's groups, made and removed
//! - [`mod@place`]: where on this machine groups of ours can stand
//! - [`node`]: the limits of one node's group
//! - [`load`]: what runs in a group to show that a limit bites
//! - [`descriptors`]: file descriptors

pub mod descriptors;
pub mod groups;
pub mod load;
pub mod node;
pub mod place;

pub use groups::{Controller, Folder, Groups, Version};
pub use node::NodeGroup;

use serde::{Deserialize, Serialize};

use crate::world::Compose;

/// What a node may use; by default all there is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Processor time, in percent of one processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<u32>,
    /// Memory beyond what it uses at the injection, in KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spare_memory_kib: Option<u32>,
    /// Descriptors that each of its processes may still open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spare_descriptors: Option<u32>,
}

/// The limits of a node, before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relimited {
    /// Those in force.
    pub before: Limits,
    /// Those to be.
    pub now: Limits,
}

impl Compose for Limits {
    fn and(&mut self, other: &Limits) {
        self.cpu_percent = tighter(self.cpu_percent, other.cpu_percent);
        self.spare_memory_kib = tighter(self.spare_memory_kib, other.spare_memory_kib);
        self.spare_descriptors = tighter(self.spare_descriptors, other.spare_descriptors);
    }
}

fn tighter(one: Option<u32>, other: Option<u32>) -> Option<u32> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_limits_the_tighter_holds_and_none_is_no_limit() {
        let cpu = |cpu_percent| Limits {
            cpu_percent,
            ..Limits::default()
        };
        for (one, other, both) in [
            (Some(5), Some(3), Some(3)),
            (Some(5), None, Some(5)),
            (None, Some(7), Some(7)),
            (None, None, None),
        ] {
            let mut limits = cpu(one);
            limits.and(&cpu(other));
            assert_eq!(limits, cpu(both));
        }
    }
}
