//! What a watch of a node's system calls saw of its readings of the clock.

use serde::{Deserialize, Serialize};

/// Readings of the time of day that a redirect does not reach, and processes that it did not reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Past {
    /// Readings by system call.
    pub n_reads: u64,
    /// System calls that were seen in all; with few of them the absence of readings says little.
    pub n_calls: u64,
    /// Processes that were started without the redirect: a launcher that nobody knows started them, or they are of 32 bits.
    #[serde(default)]
    pub n_unreached: u64,
    /// The last program that made such a reading, or runs so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
}

impl Past {
    /// Whether all that was seen is reached by the redirect.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.n_reads == 0 && self.n_unreached == 0
    }
}
