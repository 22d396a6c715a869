//! The answer of the doctor: one finding per mechanism, and whether the main job can run.
//!
//! Main decision: plain data with a fixed field order and findings in the catalogue's order, so that two reports can be compared by
//! `diff`. Names are strings, so that a report of a newer version still reads.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::host::Host;
use super::mechanism::{Mechanism, Need};
use super::mend::{self, Explanation};
use super::probe::ProbeOutcome;
use super::supervise::Answer;

/// What the machine can do, as printed by `squall doctor --json` and stored in every run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Version of this format.
    pub squall_doctor: u32,
    /// True if a run with partitions, kills and pauses is possible here.
    pub can_run: bool,
    /// What stands in the way, as names of mechanisms; alternatives are joined by ` or `. Empty if `can_run`.
    pub missing: Vec<String>,
    /// The settings of the machine that explain refusals.
    pub host: Host,
    /// One per mechanism, in the catalogue's order.
    pub findings: Vec<Finding>,
    /// How long the examination took, in ms.
    pub took_ms: u64,
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The mechanism's name.
    pub mechanism: String,
    /// True if doing it worked.
    pub works: bool,
    /// How much the main job depends on it.
    pub need: Need,
    /// What it is for.
    pub purpose: String,
    /// What was found: the variant, controllers, version; or, if it does not work, the reason.
    pub detail: String,
    /// The mechanism whose failure kept this one from being tried.
    pub blocked_by: Option<String>,
    /// What to do about it; empty if it works or nothing helps.
    pub mends: Vec<Mend>,
    /// How long the probe took, in ms.
    pub took_ms: u64,
}

/// One way to make a mechanism work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mend {
    /// Why this helps, in one line.
    pub why: String,
    /// What to type, ready to paste.
    pub command: String,
}

impl Report {
    /// True if the mechanism was probed and works.
    pub fn works(&self, mechanism: Mechanism) -> bool {
        self.finding(mechanism).is_some_and(|finding| finding.works)
    }

    /// The finding of one mechanism; none if the report comes from a version that did not know it.
    pub fn finding(&self, mechanism: Mechanism) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.mechanism == mechanism.name())
    }

    /// The exit code of `squall doctor`: 0, or 255 if the main job cannot run (architecture.md section 4).
    pub fn exit_code(&self) -> u8 {
        if self.can_run { 0 } else { 255 }
    }
}

pub(super) fn finding(mechanism: Mechanism, answer: Answer, host: &Host) -> Finding {
    let (works, explanation) = match answer.outcome {
        ProbeOutcome::Works { detail } => (
            true,
            Explanation {
                reason: detail,
                blocked_by: None,
                mends: Vec::new(),
            },
        ),
        ProbeOutcome::Fails(failure) => (false, mend::explain(mechanism, &failure, host)),
    };
    Finding {
        mechanism: mechanism.name().to_owned(),
        works,
        need: mechanism.need(),
        purpose: mechanism.purpose().to_owned(),
        detail: explanation.reason,
        blocked_by: explanation.blocked_by.map(|blocker| blocker.name().to_owned()),
        mends: explanation.mends,
        took_ms: whole_ms(answer.took),
    }
}

pub(super) fn conclude(host: Host, findings: Vec<Finding>, took: Duration) -> Report {
    let all = missing(&findings, |_| false);
    // What was not tried because of another one that does not work is left to that other one.
    let fails = |name: &str| findings.iter().any(|finding| finding.mechanism == name && !finding.works);
    let causes = missing(&findings, |finding| finding.blocked_by.as_deref().is_some_and(fails));
    Report {
        squall_doctor: 1,
        can_run: all.is_empty(),
        missing: if causes.is_empty() { all } else { causes },
        host,
        findings,
        took_ms: whole_ms(took),
    }
}

/// Every required mechanism must work, and one of each group of alternatives, but for those that are `excused`.
fn missing(findings: &[Finding], excused: impl Fn(&Finding) -> bool) -> Vec<String> {
    let mut missing = Vec::new();
    for group in [Need::OneForIsolation, Need::OneForPartitions] {
        let members: Vec<_> = findings.iter().filter(|finding| finding.need == group).collect();
        if !members.iter().any(|finding| finding.works || excused(finding)) {
            missing.push(
                members
                    .iter()
                    .map(|finding| finding.mechanism.as_str())
                    .collect::<Vec<_>>()
                    .join(" or "),
            );
        }
    }
    let required = findings
        .iter()
        .filter(|finding| finding.need == Need::Required && !finding.works && !excused(finding));
    missing.extend(required.map(|finding| finding.mechanism.clone()));
    missing
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report_with_broken(broken: &[(Mechanism, Option<Mechanism>)]) -> Report {
        let findings = Mechanism::ALL.iter().map(|mechanism| {
            let failure = broken.iter().find(|(name, _)| name == mechanism);
            Finding {
                mechanism: mechanism.name().to_owned(),
                works: failure.is_none(),
                need: mechanism.need(),
                purpose: String::new(),
                detail: String::new(),
                blocked_by: failure.and_then(|(_, blocker)| *blocker).map(|blocker| blocker.name().to_owned()),
                mends: Vec::new(),
                took_ms: 0,
            }
        });
        conclude(Host::default(), findings.collect(), Duration::ZERO)
    }

    fn check(broken: &[Mechanism], expected: &[&str]) {
        let broken: Vec<_> = broken.iter().map(|mechanism| (*mechanism, None)).collect();
        let report = report_with_broken(&broken);
        assert_eq!(report.missing, expected);
        assert_eq!(report.can_run, expected.is_empty());
        assert_eq!(report.exit_code(), if expected.is_empty() { 0 } else { 255 });
    }

    #[test]
    fn an_optional_mechanism_never_stops_the_main_job() {
        let optional: Vec<_> = Mechanism::ALL
            .iter()
            .copied()
            .filter(|mechanism| mechanism.need() == Need::Optional)
            .collect();
        check(&optional, &[]);
    }

    #[test]
    fn one_partition_back_end_and_one_isolation_are_enough() {
        use Mechanism::*;
        check(&[UserNamespace, IptablesLegacy, IptablesNft, Nftables], &[]);
        check(
            &[IptablesLegacy, IptablesNft, Nftables, PolicyRules],
            &["iptables-legacy or iptables-nft or nftables or policy-rules"],
        );
    }

    #[test]
    fn a_missing_required_mechanism_is_named() {
        check(&[Mechanism::Pidfd, Mechanism::Netem], &["pidfd"]);
    }

    #[test]
    fn what_was_not_tried_is_left_to_its_cause() {
        let report = report_with_broken(&[
            (Mechanism::PidNamespace, None),
            (Mechanism::Forwarding, Some(Mechanism::PidNamespace)),
        ]);
        assert_eq!((report.can_run, report.missing), (false, vec!["pid-namespace".to_owned()]));
    }

    #[test]
    fn what_was_not_tried_still_stops_the_main_job_if_its_cause_is_gone() {
        let report = report_with_broken(&[(Mechanism::Veth, Some(Mechanism::UserNamespace))]);
        assert_eq!((report.can_run, report.missing), (false, vec!["veth".to_owned()]));
    }

    #[test]
    fn a_stored_report_reads_back_the_same() {
        let report = report_with_broken(&[(Mechanism::Veth, Some(Mechanism::UserNamespace))]);
        let text = serde_json::to_string(&report).unwrap();
        assert!(
            text.starts_with(r#"{"squall_doctor":1,"can_run":false,"missing":["veth"],"host":{"kernel":"#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    }
}
