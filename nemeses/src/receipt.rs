//! What was done about a fault, and what proves it: plain data for the history.
//!
//! Receipts carry lengths of time only; moments are stamped by whoever owns the run's clock. Together with the fault's number and kind,
//! which stand beside it in the history, a receipt is enough to inject exactly this again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::balancer::BalancerReport;
use crate::clock::{Seen, Set};
use crate::disk::probe::DiskReport;
use crate::effect::EffectReport;
use crate::fault::{Pulse, Resolved};
use crate::limits::descriptors::DescriptorLimits;
use crate::limits::load::{Burnt, Exhausted};
use crate::links::Applied;
use crate::probe::ProbeReport;
use crate::process::{Killed, Paused};

/// What a fault came to and what was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// What did it: the back end of the links, `sigkill`, `sigstop`, `vdso`, `cgroup-v1`, `cgroup-v2`, `prlimit`, `fuse`, `conntrack`, `system` for what the system
    /// itself is asked for, `simulator`; empty if the fault changed nothing, since others had brought the same about.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub back_end: String,
    /// Who was hit, and what the fault asked of the world.
    pub resolved: Resolved,
    /// The change of the links, if there was one: the back end and how long it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links: Option<Applied>,
    /// The nodes whose clocks were set, and how long that took.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub clocks: BTreeMap<String, Set>,
    /// Its beat, if it comes and goes while it is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beat: Option<Pulse>,
    /// How long it waited, when it was asked for, until it was known whom it hits, in milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waited_ms: u64,
    /// The event that it waited for, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Triggered>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// An event that let a fault loose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Triggered {
    /// What was waited for.
    pub event: String,
    /// Where it happened, if on a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The packet, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packet: Option<HeldPacket>,
    /// Whether that node, or the packet, was kept at the event until the fault was applied. Else it went on, and the fault is as late as `latency_us` says.
    pub held: bool,
    /// From when the event was seen until the fault was applied, in microseconds.
    pub latency_us: u64,
}

/// A packet that let a fault loose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldPacket {
    /// Who sent it.
    pub from: String,
    /// To whom.
    pub to: String,
    /// Bytes of its payload.
    pub bytes: u64,
}

/// What a fault's probes saw; `ok` only if all of them saw what they should, and at least one looked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// Whether everything is as it should be.
    pub ok: bool,
    /// The node on which it was seen, if on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Datagrams over every pair of nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links: Option<ProbeReport>,
    /// What links did to datagrams and connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<EffectReport>,
    /// The end of a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub killed: Option<Killed>,
    /// The states of a node's processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<Paused>,
    /// What a node's wall clock shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Seen>,
    /// What a burner in the node's group got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Burnt>,
    /// What a hog in the node's group brought about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Exhausted>,
    /// The limits of the node's processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub descriptors: Option<DescriptorLimits>,
    /// What became of a probe file on the node's disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskReport>,
    /// What became of connections through the balancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balancer: Option<BalancerReport>,
    /// What the system said to a request, and what it then showed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<Answered>,
}

/// What the system under test did about a request of ours: a transfer, a change of members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answered {
    /// Whether a node that leads shows it.
    pub ok: bool,
    /// What was seen, in a line.
    pub said: String,
    /// From the request to then, in microseconds.
    pub duration_us: u64,
}

impl Proof {
    /// As it was seen on this node.
    #[must_use]
    pub fn on(self, node: &str) -> Proof {
        Proof {
            node: Some(node.to_owned()),
            ..self
        }
    }
}

impl From<ProbeReport> for Proof {
    fn from(report: ProbeReport) -> Proof {
        Proof {
            ok: report.ok,
            links: Some(report),
            ..Proof::default()
        }
    }
}

impl From<EffectReport> for Proof {
    fn from(report: EffectReport) -> Proof {
        Proof {
            ok: report.ok,
            effect: Some(report),
            ..Proof::default()
        }
    }
}

impl From<Killed> for Proof {
    fn from(killed: Killed) -> Proof {
        Proof {
            ok: killed.ok,
            killed: Some(killed),
            ..Proof::default()
        }
    }
}

impl From<DiskReport> for Proof {
    fn from(report: DiskReport) -> Proof {
        Proof {
            ok: report.ok,
            node: Some(report.node.clone()),
            disk: Some(report),
            ..Proof::default()
        }
    }
}

impl From<BalancerReport> for Proof {
    fn from(report: BalancerReport) -> Proof {
        Proof {
            ok: report.ok,
            balancer: Some(report),
            ..Proof::default()
        }
    }
}

impl From<Paused> for Proof {
    fn from(paused: Paused) -> Proof {
        Proof {
            ok: paused.ok,
            processes: Some(paused),
            ..Proof::default()
        }
    }
}

impl From<Seen> for Proof {
    fn from(seen: Seen) -> Proof {
        Proof {
            ok: seen.ok,
            node: Some(seen.node.clone()),
            clock: Some(seen),
            ..Proof::default()
        }
    }
}

impl From<Burnt> for Proof {
    fn from(burnt: Burnt) -> Proof {
        Proof {
            ok: burnt.ok,
            cpu: Some(burnt),
            ..Proof::default()
        }
    }
}

impl From<Exhausted> for Proof {
    fn from(exhausted: Exhausted) -> Proof {
        Proof {
            ok: exhausted.ok,
            memory: Some(exhausted),
            ..Proof::default()
        }
    }
}

impl From<DescriptorLimits> for Proof {
    fn from(limits: DescriptorLimits) -> Proof {
        Proof {
            ok: limits.ok,
            descriptors: Some(limits),
            ..Proof::default()
        }
    }
}

impl From<Answered> for Proof {
    fn from(answered: Answered) -> Proof {
        Proof {
            ok: answered.ok,
            answered: Some(answered),
            ..Proof::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::links::BackEnd;
    use crate::partition::isolate;
    use crate::world::State;

    #[test]
    fn a_receipt_is_enough_to_inject_the_same_again() {
        let cuts = isolate("n1", &["n1", "n2"].map(String::from));
        let resolved = Resolved {
            nodes: vec!["n1".into()],
            key: None,
            state: State { cuts, ..State::default() },
        };
        let receipt = Receipt {
            back_end: "nftables".into(),
            resolved,
            links: Some(Applied {
                back_end: BackEnd::Nftables,
                shaping: None,
                n_cuts: 2,
                n_bad: 0,
                n_reset: 0,
                seed: None,
                duration_us: 310,
            }),
            clocks: BTreeMap::new(),
            beat: None,
            waited_ms: 0,
            trigger: None,
        };
        let text = serde_json::to_string(&receipt).unwrap();
        insta::assert_snapshot!(text, @r#"{"back_end":"nftables","resolved":{"nodes":["n1"],"state":{"cuts":[["n1","n2"],["n2","n1"]]}},"links":{"back_end":"nftables","n_cuts":2,"duration_us":310}}"#);
        assert_eq!(serde_json::from_str::<Receipt>(&text).unwrap(), receipt);
    }

    #[test]
    fn a_proof_says_first_whether_it_is_one() {
        let leaked = vec![("n1".to_string(), "n2".to_string())];
        let proof = Proof::from(ProbeReport {
            ok: false,
            leaked,
            dead: vec![],
            rounds: 9,
            took_us: 5_000,
        });
        let text = serde_json::to_string(&proof).unwrap();
        insta::assert_snapshot!(text, @r#"{"ok":false,"links":{"ok":false,"leaked":[["n1","n2"]],"dead":[],"rounds":9,"took_us":5000}}"#);
    }
}
