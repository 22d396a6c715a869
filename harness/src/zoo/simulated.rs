//! What the simulator makes of the bugs. It is no proof that the harness finds them, which only real processes give; it is cheap, so it says at once
//! whether the rules can see a bug at all, and it plays more controls than any machine can run.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde::Serialize;
use squall_checker::verdict::Verdict;

use super::rounds::Faults;
use super::subject::Subject;
use crate::cli::plan::of_words;
use crate::sim::{Options, simulate};

/// What simulated runs of one subject came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Runs, half of them under the least faults and half under all.
    pub runs: u32,
    /// Those that reported something.
    pub hits: u32,
    /// Hits by rule; one run may count for several.
    pub by_rule: BTreeMap<String, u32>,
    /// Runs that proved nothing, by verdict.
    pub undecided: BTreeMap<String, u32>,
}

/// Every bug and every control with what `runs` simulated runs of each came to. The first has this seed, the others follow.
///
/// # Errors
/// If this build holds no bugs.
pub fn tally_all(seed: u64, runs: u32) -> Result<Vec<(&'static str, Tally)>> {
    let all = Subject::all().into_iter();
    all.map(|subject| Ok((subject.id(), tally(subject, seed, runs)?))).collect()
}

/// Plays, simulated, the runs that `squall run` would play.
pub(super) fn tally(subject: Subject, seed: u64, runs: u32) -> Result<Tally> {
    let mut tally = Tally::default();
    for number in 0..runs {
        let faults = if number % 2 == 0 { Faults::Expected } else { Faults::Storm };
        let plan = of_words(&subject.arguments(faults, seed + u64::from(number)))?;
        let report = simulate(&plan, &Options::default()).map_err(anyhow::Error::msg)?;
        let judgement = report.judgement.context("a simulated run was not judged")?;
        tally.runs += 1;
        match judgement.verdict {
            Verdict::Valid => {}
            Verdict::Invalid => {
                tally.hits += 1;
                let broken = judgement.findings.iter().filter(|finding| finding.verdict == Verdict::Invalid);
                let rules: BTreeSet<&String> = broken.map(|finding| &finding.rule).collect();
                for rule in rules {
                    *tally.by_rule.entry(rule.clone()).or_default() += 1;
                }
            }
            other => *tally.undecided.entry(other.to_string()).or_default() += 1,
        }
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use squall_node::bugs::{Bug, Store};

    use super::*;

    #[test]
    fn the_simulator_finds_bugs_that_show_at_once() {
        for bug in [Bug::R09, Bug::R22, Bug::R36] {
            let tally = tally(Subject::Bug(bug), 1, 4).unwrap();
            assert!(tally.hits > 0, "{}: {tally:?}", bug.id());
        }
    }

    #[test]
    fn the_simulator_reports_no_control() {
        for subject in [
            Subject::Unmodified(Store::Raft),
            Subject::Unmodified(Store::Quorum),
            Subject::Harmless,
        ] {
            let tally = tally(subject, 1, 6).unwrap();
            assert_eq!((tally.hits, tally.undecided.len()), (0, 0), "{}: {tally:?}", subject.id());
        }
    }
}
