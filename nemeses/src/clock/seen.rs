//! What a node's wall clock was seen to show, and what that proves.
//!
//! A reading is worth something only together with two readings of the true clock around it: a late answer must not be taken for a clock that is
//! behind, nor one in whole seconds for one that is right.

use serde::{Deserialize, Serialize};

/// One reading of a node's clock. All times in ns since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What it showed.
    pub shown_ns: i64,
    /// The true time before it was read.
    pub not_before_ns: i64,
    /// The true time after it was read.
    pub not_after_ns: i64,
    /// What is shown is cut down to a multiple of this.
    pub grain_ns: i64,
}

impl Reading {
    /// By how much the clock was off, in us; it is certain to half of what the reading took and its grain.
    #[must_use]
    pub fn off_us(&self) -> i64 {
        let true_ns = self.not_before_ns + (self.not_after_ns - self.not_before_ns) / 2;
        (self.shown_ns + self.grain_ns / 2 - true_ns) / 1_000
    }
}

/// What a reading proves of a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It is not as it should be.
    Unlike,
    /// It is as it should be, and may as well be right: the skew is smaller than the reading is wide, or there is none.
    PerhapsRight,
    /// It is as it should be, and certainly wrong.
    Wrong,
}

/// Whose clock was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The node's own, as it answered.
    Node,
    /// That of a program of ours, redirected by the same page: what the node itself reads is not seen.
    Proxy,
}

/// The proof of a clock fault, or of its heal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// Whether the clock was seen to be as it should be; after an injection, also that it was certainly wrong.
    pub ok: bool,
    /// The node.
    pub node: String,
    /// Whose clock was read.
    pub by: By,
    /// By how much it was off, the last time it was read, in us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off_us: Option<i64>,
    /// How often it was read.
    pub looks: u32,
    /// From the first reading to the proof, in microseconds.
    pub duration_us: u64,
    /// Why it is no proof, or why the node's own answer was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
