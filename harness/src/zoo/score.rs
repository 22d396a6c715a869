//! The score: what was found, by whom, how soon, and what was reported where nothing is.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use squall_checker::verdict::Verdict;

use super::one_run::{Oracle, Outcome};
use super::rounds::{Faults, Standing};
use super::simulated::Tally;
use super::statistics::{Median, Watched, median, wilson};
use super::subject::Subject;

/// How one subject did.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Card {
    pub(super) id: &'static str,
    pub(super) what: &'static str,
    pub(super) control: bool,
    /// Runs that ended with a verdict, and those of them that reported something.
    pub(super) runs: u32,
    pub(super) hits: u32,
    /// The same under the least faults alone.
    pub(super) runs_expected: u32,
    pub(super) hits_expected: u32,
    /// The rate of hits, at 95 %.
    pub(super) rate_from: f64,
    pub(super) rate_to: f64,
    /// Hits by who noticed; one run may count for several.
    pub(super) by_oracle: BTreeMap<Oracle, u32>,
    /// Hits by rule.
    pub(super) by_rule: BTreeMap<String, u32>,
    /// Seconds of runs until the first hit, or in all if there was none.
    pub(super) seconds: f64,
    /// Runs that proved nothing: unknown, vacuous or a harness error, by verdict.
    pub(super) undecided: BTreeMap<String, u32>,
    /// What the simulator made of it, if it was asked. It decides nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) simulated: Option<Tally>,
    #[serde(skip)]
    begun: u32,
}

impl Card {
    pub(super) fn new(subject: Subject) -> Card {
        Card {
            id: subject.id(),
            what: subject.what(),
            control: subject.is_control(),
            runs: 0,
            hits: 0,
            runs_expected: 0,
            hits_expected: 0,
            rate_from: 0.0,
            rate_to: 1.0,
            by_oracle: BTreeMap::new(),
            by_rule: BTreeMap::new(),
            seconds: 0.0,
            undecided: BTreeMap::new(),
            simulated: None,
            begun: 0,
        }
    }

    pub(super) fn begin(&mut self) {
        self.begun += 1;
    }

    pub(super) fn standing(&self) -> Standing {
        Standing {
            begun: self.begun,
            found: self.hits > 0,
            control: self.control,
        }
    }

    /// Enters a run that took `seconds`. Whether it is the first to report something.
    pub(super) fn enter(&mut self, faults: Faults, outcome: &Outcome, seconds: f64) -> bool {
        if self.hits == 0 {
            self.seconds += seconds;
        }
        match outcome.verdict {
            Some(Verdict::Valid | Verdict::Invalid) => {}
            other => {
                let name = other.map_or_else(|| "no verdict".to_owned(), |verdict| verdict.to_string());
                *self.undecided.entry(name).or_default() += 1;
                return false;
            }
        }
        let hit = outcome.verdict == Some(Verdict::Invalid);
        self.runs += 1;
        self.hits += u32::from(hit);
        if faults == Faults::Expected {
            self.runs_expected += 1;
            self.hits_expected += u32::from(hit);
        }
        for oracle in &outcome.oracles {
            *self.by_oracle.entry(*oracle).or_default() += 1;
        }
        for rule in &outcome.rules {
            *self.by_rule.entry(rule.clone()).or_default() += 1;
        }
        (self.rate_from, self.rate_to) = wilson(self.hits, self.runs);
        hit && self.hits == 1
    }
}

/// The whole score, as it is stored.
#[derive(Debug, Serialize)]
pub(super) struct Score<'a> {
    pub(super) squall_zoo: u32,
    pub(super) seed: u64,
    pub(super) bugs: usize,
    pub(super) found: usize,
    /// Bugs by who noticed them at all.
    pub(super) found_by: BTreeMap<&'static str, usize>,
    /// Seconds of runs to the first report of a bug.
    pub(super) time_to_detection: Median,
    pub(super) control_runs: u32,
    pub(super) false_alarms: u32,
    pub(super) cards: &'a [Card],
}

impl<'a> Score<'a> {
    pub(super) fn of(seed: u64, cards: &'a [Card]) -> Score<'a> {
        let bugs: Vec<&Card> = cards.iter().filter(|card| !card.control).collect();
        let controls = || cards.iter().filter(|card| card.control);
        let times: Vec<Watched> = bugs
            .iter()
            .map(|card| Watched {
                seconds: card.seconds,
                found: card.hits > 0,
            })
            .collect();
        let found_by = |oracle: Oracle| bugs.iter().filter(|card| card.by_oracle.contains_key(&oracle)).count();
        Score {
            squall_zoo: 1,
            seed,
            bugs: bugs.len(),
            found: bugs.iter().filter(|card| card.hits > 0).count(),
            found_by: Oracle::ALL.map(|oracle| (oracle.name(), found_by(oracle))).into(),
            time_to_detection: median(&times),
            control_runs: controls().map(|card| card.runs).sum(),
            false_alarms: controls().map(|card| card.hits).sum(),
            cards,
        }
    }

    /// The store's share: `(found, bugs)` of ids with this first letter.
    pub(super) fn share(&self, letter: char) -> (usize, usize) {
        let of = |card: &&Card| !card.control && card.id.starts_with(letter);
        let bugs: Vec<&Card> = self.cards.iter().filter(of).collect();
        (bugs.iter().filter(|card| card.hits > 0).count(), bugs.len())
    }

    /// Ids of bugs that no run reported.
    pub(super) fn missed(&self) -> BTreeSet<&'static str> {
        let missed = self.cards.iter().filter(|card| !card.control && card.hits == 0);
        missed.map(|card| card.id).collect()
    }
}

#[cfg(test)]
mod tests {
    use squall_node::bugs::{Bug, Store};

    use super::*;

    fn outcome(verdict: Verdict, oracles: &[Oracle]) -> Outcome {
        Outcome {
            verdict: Some(verdict),
            oracles: oracles.iter().copied().collect(),
            rules: BTreeSet::from(["linearizability".to_owned()]),
            last_words: String::new(),
        }
    }

    #[test]
    fn counts_time_to_the_first_hit_and_runs_that_were_judged() {
        let mut card = Card::new(Subject::Bug(Bug::R04));
        assert!(!card.enter(Faults::Expected, &outcome(Verdict::Valid, &[]), 9.0));
        assert!(!card.enter(Faults::Storm, &outcome(Verdict::Vacuous, &[]), 9.0));
        assert!(card.enter(Faults::Storm, &outcome(Verdict::Invalid, &[Oracle::Trace]), 9.0));
        assert!(!card.enter(Faults::Expected, &outcome(Verdict::Invalid, &[Oracle::Trace, Oracle::History]), 9.0));
        assert_eq!((card.runs, card.hits, card.runs_expected, card.hits_expected), (3, 2, 2, 1));
        assert_eq!((card.seconds, card.undecided["vacuous"]), (27.0, 1));
        assert_eq!((card.by_oracle[&Oracle::Trace], card.by_oracle[&Oracle::History]), (2, 1));
    }

    #[test]
    fn a_control_that_is_reported_is_a_false_alarm_and_no_find() {
        let mut control = Card::new(Subject::Unmodified(Store::Raft));
        control.enter(Faults::Storm, &outcome(Verdict::Invalid, &[Oracle::History]), 9.0);
        let mut found = Card::new(Subject::Bug(Bug::R04));
        found.enter(Faults::Storm, &outcome(Verdict::Invalid, &[Oracle::Trace]), 9.0);
        let cards = [found, Card::new(Subject::Bug(Bug::R05)), control];
        let score = Score::of(7, &cards);
        assert_eq!((score.found, score.bugs, score.false_alarms, score.control_runs), (1, 2, 1, 1));
        assert_eq!((score.found_by["trace"], score.found_by["history"]), (1, 0));
        assert_eq!((score.share('R'), score.missed()), ((1, 2), BTreeSet::from(["R05"])));
    }
}
