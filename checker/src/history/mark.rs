//! The lines of a history that are not operations: what the nemesis did and what the harness found.
//!
//! Every finding that decides a verdict is one of these, so that a file and its run folder are judged alike. They are type `info`, with
//! process `nemesis` ([`FaultStage`]) or `harness` ([`Finding`]). A line of a named process that fits neither is kept and ignored:
//! foreign histories have their own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The header: first line of our files; foreign files have none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Format version, 1.
    pub squall_history: u32,
    /// Name of the run.
    #[serde(default)]
    pub run: String,
    /// The seed that decided the plan.
    #[serde(default)]
    pub seed: u64,
    /// Which clock `time` was read from.
    #[serde(default)]
    pub clock: Clock,
    /// Fault kinds that were asked for; each must bite at least once.
    #[serde(default)]
    pub requested: Vec<String>,
    /// The system under test in one phrase, for the report: `quorum N=3 R=2 W=2, 5 nodes`.
    #[serde(default)]
    pub system: String,
    /// Names of the nodes.
    #[serde(default)]
    pub nodes: Vec<String>,
    /// Names of nodes that were no members at first, and that faults let join and leave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spares: Vec<String>,
    /// What clients did: `register`.
    #[serde(default)]
    pub workload: String,
    /// Number of clients.
    #[serde(default)]
    pub clients: u32,
    /// Whether the nodes wrote traces, which stand beside the history in the run folder.
    #[serde(default)]
    pub traces: bool,
    /// Every other field, kept as it came.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, Value>,
}

impl Header {
    /// Whether it belongs to a run of ours. One that names neither nodes nor faults only says which clock a foreign history was read from.
    pub fn is_of_run(&self) -> bool {
        !self.nodes.is_empty() || !self.requested.is_empty()
    }
}

/// The field of a header that lists kinds of faults which the system, with its settings, does not claim to survive.
pub const OUTSIDE_THE_FAULT_MODEL: &str = "outside_the_fault_model";

/// The field of a header that has the kinds of faults which were asked for and which the machine refused, each with the reason.
pub const LEFT_OUT: &str = "left_out";

/// The clock of a history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// `monotonic`.
    pub kind: String,
    /// What the clock showed at time 0, in nanoseconds.
    pub origin_ns: u64,
    /// Largest possible difference between two readings taken at the same instant, in nanoseconds. 0 on one machine.
    pub error_ns: u64,
}

impl Default for Clock {
    fn default() -> Self {
        Clock {
            kind: "monotonic".into(),
            origin_ns: 0,
            error_ns: 0,
        }
    }
}

/// One stage in the life of one injection: the `value` of a line of process `nemesis`, whose `f` is the fault's kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaultStage {
    /// Number of the injection within the run's schedule.
    pub id: u64,
    /// Where in its life.
    pub stage: Stage,
    /// What was asked: the fault as the plan has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Value>,
    /// What it came to: nodes for roles, pairs for shapes, the back end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<Value>,
    /// What the probe saw; `{"ok": true, …}` or `{"ok": false, …}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Value>,
    /// Why it was skipped or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Stages of an injection. It is in force, at most, from `Asked` to `Healed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The nemesis begins to inject.
    Asked,
    /// The mechanism says it is in force.
    Applied,
    /// The probe looked whether it bites.
    Probed,
    /// The nemesis begins to heal.
    HealAsked,
    /// The probe looked whether it is gone.
    Healed,
    /// Not injected (target already down, role absent); `reason` says why.
    Skipped,
}

/// A finding of the harness: the `f` and `value` of a line of process `harness`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "f", content = "value", rename_all = "kebab-case")]
pub enum Finding {
    /// The run enters a phase: `warm-up`, `storm`, `recovery`, `final`.
    Phase {
        /// The phase's name.
        name: String,
    },
    /// A node was asked until it was ready, or until the bound ended.
    Ready {
        /// The node.
        node: String,
        /// `start`, `restart` or `recovery`.
        at: String,
        /// Whether it became ready.
        ok: bool,
        /// How long it took, or the bound, in milliseconds.
        after_ms: u64,
        /// The last answer or error when it did not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The end of the node's log when it did not.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        log_tail: Vec<String>,
    },
    /// A node process ended.
    Exit {
        /// The node.
        node: String,
        /// Whether a fault in force explains it.
        expected: bool,
        /// `exit status 3`, `signal 6 (SIGABRT)`.
        status: String,
        /// The end of its log.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        log_tail: Vec<String>,
    },
    /// The harness itself was not scheduled: the worst lateness of its 10 ms ticker since the last such line.
    Stall {
        /// Milliseconds late, at worst.
        worst_ms: u64,
    },
    /// Counters of one node at the end: `retransmits`, `drops`, `queue_depth_max`, `slowest_fsync_us`, … ; of the clients under node `clients`.
    Counters {
        /// The node, or `clients`.
        node: String,
        /// Name to number.
        counters: BTreeMap<String, u64>,
    },
    /// The online check saw a violation while the run went on. The judge decides by the whole history, whatever this says.
    Violation {
        /// The key; absent for operations without one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// The operations that prove it: the `index` of each one's invocation. None if a rule on the nodes' traces is broken.
        operations: Vec<u64>,
        /// The stamp of the completion, or of the node's event, that made it certain, in nanoseconds. The line's own time is when it was
        /// reported.
        completed_ns: u64,
        /// The rule on the nodes' traces that is broken, as the judge calls it: `trace T4`. Absent if it is what clients saw.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
    },
    /// The online check judges less than everything from here on. The judge of the whole history is not concerned.
    NotCheckedOnline {
        /// The key; absent if it is all of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// Why.
        reason: String,
    },
    /// A node's processes were stopped for good, so that a person finds them as they were.
    Frozen {
        /// The node.
        node: String,
        /// Whether all of them were seen to be stopped.
        ok: bool,
        /// Its pid 1, by the number that the inside of the sandbox sees.
        init_pid: u32,
        /// From the signal to the proof, in microseconds.
        duration_us: u64,
    },
    /// How a node reads its wall clock, watched before the load: whether clock faults reach it.
    ClockWatch {
        /// The node.
        node: String,
        /// By how much its CLOCK_MONOTONIC is ahead of the one that stamps this history, in seconds, by a time namespace.
        monotonic_offset_s: u64,
        /// Readings of the time of day by system call, past the vDSO: those are not moved.
        n_past: u64,
        /// System calls that were seen in all.
        n_calls: u64,
        /// Processes of the node whose clocks cannot be moved at all.
        #[serde(default)]
        n_unreached: u64,
        /// The last program that was seen so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        program: Option<String>,
        /// Why nothing could be watched.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The recording ended on purpose; a file without it was cut.
    End {
        /// How it ended.
        reason: EndReason,
        /// What a person should know about it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
}

impl Finding {
    /// Every `f` of a finding.
    pub const NAMES: [&'static str; 6] = ["phase", "ready", "exit", "stall", "counters", "end"];
}

/// How a recording ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// All phases ran.
    Complete,
    /// ctrl-C or SIGTERM.
    Interrupted,
    /// The online check saw a violation, and the run was to stop at the first.
    Violation,
    /// The harness could not go on.
    HarnessError,
}
