//! What was done to the cluster and what the harness found, gathered from the marks of a history.
//!
//! Both the rules and the report ask here, so that they can never disagree on when a fault was in force.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::history::History;
use crate::history::mark::{EndReason, FaultStage, Finding, Stage};

/// Everything the marks of one history say, in the order of the history.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Timeline {
    /// Each injection of a fault, by the number the schedule gave it.
    pub injections: Vec<Injection>,
    /// Each time a node was asked until it was ready.
    pub readiness: Vec<Readiness>,
    /// Each end of a node process.
    pub exits: Vec<NodeExit>,
    /// Each phase with the moment it began, in nanoseconds.
    pub phases: Vec<(u64, String)>,
    /// The worst lateness of the harness's own ticker, in milliseconds; 0 if none was recorded.
    pub worst_stall_ms: u64,
    /// Counters by node, and of the clients under `clients`. A later line of a node replaces the numbers of an earlier one.
    pub counters: BTreeMap<String, BTreeMap<String, u64>>,
    /// The first violation that the online check saw, if it looked and saw one.
    pub seen_online: Option<SeenOnline>,
    /// How nodes were seen to read their wall clocks.
    pub clock_watches: Vec<ClockWatch>,
    /// How the recording ended; `None` if it was cut.
    pub end: Option<End>,
}

/// One injection, from asked to healed. All times in nanoseconds on the history's clock.
#[derive(Debug, Clone, PartialEq)]
pub struct Injection {
    /// Its number in the schedule.
    pub id: u64,
    /// The fault's kind: `partition`.
    pub kind: String,
    /// When the nemesis began to inject.
    pub asked_ns: Option<u64>,
    /// When the mechanism said it was in force.
    pub applied_ns: Option<u64>,
    /// When the nemesis began to heal.
    pub heal_asked_ns: Option<u64>,
    /// When the heal was probed.
    pub healed_ns: Option<u64>,
    /// What the probes of the injection said, all of them; `None` if none ever looked.
    pub bit: Option<bool>,
    /// Whether it was seen to bite, and then, by a later probe before its heal, not to.
    pub ceased: bool,
    /// What the probe of the heal said; `None` if it never looked.
    pub healed: Option<bool>,
    /// Why it was not injected, if it was skipped.
    pub skipped: Option<String>,
    /// What was asked: the fault as the plan has it.
    pub asked: Option<Value>,
    /// What it came to: nodes for roles, pairs for shapes.
    pub resolved: Option<Value>,
    /// The whole answer of the injection's probe.
    pub bite_probe: Option<Value>,
    /// The last probe's whole answer, for evidence.
    pub probe: Option<Value>,
}

impl Injection {
    fn new(id: u64, kind: &str) -> Injection {
        Injection {
            id,
            kind: kind.to_owned(),
            asked_ns: None,
            applied_ns: None,
            heal_asked_ns: None,
            healed_ns: None,
            bit: None,
            ceased: false,
            healed: None,
            skipped: None,
            asked: None,
            resolved: None,
            bite_probe: None,
            probe: None,
        }
    }

    /// `fault 4 (partition)`: how sentences name it.
    pub fn name(&self) -> String {
        format!("fault {} ({})", self.id, self.kind)
    }

    /// The first moment at which it may have been in force; `None` if it was skipped.
    pub fn began_ns(&self) -> Option<u64> {
        if self.skipped.is_some() {
            None
        } else {
            self.asked_ns.or(self.applied_ns)
        }
    }

    /// Whether any stage says that it came into force.
    pub fn went_past_asked(&self) -> bool {
        self.applied_ns.is_some() || self.bit.is_some() || self.heal_asked_ns.is_some() || self.healed_ns.is_some()
    }

    fn take(&mut self, time_ns: u64, stage: FaultStage) {
        match stage.stage {
            Stage::Asked => self.asked_ns = Some(time_ns),
            Stage::Applied => self.applied_ns = Some(time_ns),
            Stage::Probed => {
                let bites = probe_ok(stage.probe.as_ref());
                self.ceased |= self.bit == Some(true) && !bites;
                // The first one and, if any denies what it said, that one.
                if self.bit.is_none_or(|bit| bit && !bites) {
                    self.bite_probe = stage.probe.clone();
                }
                self.bit = Some(bites && self.bit != Some(false));
            }
            Stage::HealAsked => self.heal_asked_ns = Some(time_ns),
            Stage::Healed => {
                self.healed_ns = Some(time_ns);
                self.healed = stage.probe.as_ref().map(|probe| probe_ok(Some(probe)));
            }
            Stage::Skipped => self.skipped = Some(stage.reason.unwrap_or_else(|| "no reason given".into())),
        }
        if stage.asked.is_some() {
            self.asked = stage.asked;
        }
        if stage.resolved.is_some() {
            self.resolved = stage.resolved;
        }
        if stage.probe.is_some() {
            self.probe = stage.probe;
        }
    }
}

/// A probe that does not say `"ok": true` proves nothing.
fn probe_ok(probe: Option<&Value>) -> bool {
    probe.and_then(|probe| probe.get("ok")).and_then(Value::as_bool).unwrap_or(false)
}

/// One wait for a node's readiness: [`Finding::Ready`] with its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// When the wait ended, in nanoseconds.
    pub time_ns: u64,
    /// The node.
    pub node: String,
    /// What it was waited for after.
    pub after: WaitedAfter,
    /// Whether it became ready.
    pub ok: bool,
    /// How long the wait was, in milliseconds.
    pub waited_ms: u64,
    /// The last answer when it did not.
    pub reason: Option<String>,
    /// The end of its log when it did not.
    pub log_tail: Vec<String>,
}

/// What a node's readiness was waited for after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitedAfter {
    /// The start of the cluster.
    Start,
    /// The restart of this node, while other faults may be in force.
    Restart,
    /// The heal of everything, before the final reads.
    Recovery,
}

/// One end of a node process: [`Finding::Exit`] with its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeExit {
    /// When it was seen, in nanoseconds.
    pub time_ns: u64,
    /// The node.
    pub node: String,
    /// Whether a fault in force explains it.
    pub expected: bool,
    /// `signal 6 (SIGABRT)`.
    pub status: String,
    /// The end of its log.
    pub log_tail: Vec<String>,
}

/// What the online check saw: [`Finding::Violation`] with its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenOnline {
    /// When it was reported, in nanoseconds.
    pub time_ns: u64,
    /// The key; `None` for operations without one.
    pub key: Option<String>,
    /// The stamp of the completion, or of the node's event, that made it certain, in nanoseconds.
    pub completed_ns: u64,
    /// The rule on the nodes' traces that is broken; `None` if it is what clients saw.
    pub rule: Option<String>,
}

/// How a node was seen to read its wall clock: [`Finding::ClockWatch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockWatch {
    /// The node.
    pub node: String,
    /// Readings of the time of day where no clock fault reaches.
    pub n_past: u64,
    /// System calls seen in all.
    pub n_calls: u64,
    /// Processes whose clocks no fault moves.
    pub n_unreached: u64,
    /// The program that made such a reading.
    pub program: Option<String>,
    /// Why nothing could be watched.
    pub reason: Option<String>,
}

/// How the recording ended: [`Finding::End`] with its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// When, in nanoseconds.
    pub time_ns: u64,
    /// How.
    pub reason: EndReason,
    /// What a person should know about it.
    pub detail: Option<String>,
}

/// The `f` under which the nemesis takes every fault away at once.
const HEAL_ALL: &str = "heal-all";

impl Timeline {
    /// Reads the marks of a history. Lines that are no marks of ours are passed over.
    pub fn of(history: &History) -> Timeline {
        let mut timeline = Timeline::default();
        let mut place_of_id = BTreeMap::new();
        for mark in &history.marks {
            let time_ns = mark.event.time;
            if let Some(stage) = mark.fault_stage() {
                let place = *place_of_id.entry(stage.id).or_insert(timeline.injections.len());
                if place == timeline.injections.len() {
                    timeline.injections.push(Injection::new(stage.id, &mark.event.f));
                }
                let injection = &mut timeline.injections[place];
                injection.take(time_ns, stage);
                if mark.event.f == HEAL_ALL {
                    // Healed with all others at once, which nobody asks for one by one.
                    injection.heal_asked_ns = injection.heal_asked_ns.or(Some(time_ns));
                }
            } else if let Some(finding) = mark.finding() {
                timeline.take(time_ns, finding);
            }
        }
        timeline
    }

    fn take(&mut self, time_ns: u64, finding: Finding) {
        match finding {
            Finding::Phase { name } => self.phases.push((time_ns, name)),
            Finding::Ready {
                node,
                at,
                ok,
                after_ms: waited_ms,
                reason,
                log_tail,
            } => {
                let after = match at.as_str() {
                    "start" => WaitedAfter::Start,
                    "restart" => WaitedAfter::Restart,
                    _ => WaitedAfter::Recovery,
                };
                self.readiness.push(Readiness {
                    time_ns,
                    node,
                    after,
                    ok,
                    waited_ms,
                    reason,
                    log_tail,
                });
            }
            Finding::Exit {
                node,
                expected,
                status,
                log_tail,
            } => {
                self.exits.push(NodeExit {
                    time_ns,
                    node,
                    expected,
                    status,
                    log_tail,
                });
            }
            Finding::Stall { worst_ms } => self.worst_stall_ms = self.worst_stall_ms.max(worst_ms),
            Finding::Counters { node, counters } => self.counters.entry(node).or_default().extend(counters),
            Finding::Violation {
                key, completed_ns, rule, ..
            } => {
                self.seen_online.get_or_insert(SeenOnline {
                    time_ns,
                    key,
                    completed_ns,
                    rule,
                });
            }
            Finding::ClockWatch {
                node,
                n_past,
                n_calls,
                n_unreached,
                program,
                reason,
                ..
            } => self.clock_watches.push(ClockWatch {
                node,
                n_past,
                n_calls,
                n_unreached,
                program,
                reason,
            }),
            // For people: no rule asks.
            Finding::NotCheckedOnline { .. } | Finding::Frozen { .. } => {}
            Finding::End { reason, detail } => self.end = Some(End { time_ns, reason, detail }),
        }
    }

    /// The moment the phase of this name began, in nanoseconds.
    pub fn phase_began_ns(&self, name: &str) -> Option<u64> {
        self.phases.iter().find(|(_, phase)| phase == name).map(|(time_ns, _)| *time_ns)
    }

    /// Injections that were not skipped.
    pub fn injected(&self) -> impl Iterator<Item = &Injection> {
        self.injections.iter().filter(|injection| injection.skipped.is_none())
    }
}
