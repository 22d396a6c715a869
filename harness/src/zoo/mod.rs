//! The zoo: does the harness find the bugs that were planted, and does it stay silent where there are none?
//!
//! Nobody believes a fault injector that found nothing. Here every detector is shown to detect: bugs that other stores had, planted one at a
//! time, against runs of real processes; and controls, in which a report is a false alarm. A run is a process of its own, several
//! at once; `rounds` spends the budget, `score` counts, `statistics` says what the counts are worth.

mod one_run;
mod rounds;
mod score;
pub mod simulated;
mod statistics;
mod subject;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use squall_node::bugs::{self, Bug};

use self::one_run::{Outcome, Running};
use self::rounds::Standing;
use self::score::{Card, Score};
use self::subject::Subject;
use crate::report::stdout;
use crate::report::zoo::Line;
use crate::supervise::Signals;

/// What a visit to the zoo is to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// These bugs only; none: all. Controls are always run.
    pub bugs: Vec<Bug>,
    /// How long to start new runs.
    pub budget: Duration,
    /// At most so many runs.
    pub runs_max: Option<u32>,
    /// Stops when every bug was found and every control was run.
    pub until_found: bool,
    /// The first run's seed; the others follow.
    pub seed: u64,
    /// Simulated runs of each, before all others; they stand in a column of their own and do not count.
    pub simulated: u32,
    /// Runs at once.
    pub jobs: usize,
    /// Where its folder is made.
    pub folder: PathBuf,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Visit {
    /// The table for people.
    pub text: String,
    /// The score for programs.
    pub json: String,
    /// Bugs that were reported.
    pub found: usize,
    /// Controls that were reported.
    pub false_alarms: u32,
    /// Whether a person ended it early.
    pub interrupted: bool,
}

/// Runs the zoo.
///
/// # Errors
/// If this build has no bugs, or if runs cannot be started.
pub fn visit(options: &Options) -> Result<Visit> {
    if !bugs::COMPILED {
        return Err(crate::exit::usage(
            "this build holds no planted bugs",
            "make one that does by `cargo build --release --features bugs`, then `target/release/squall zoo`",
        ));
    }
    let subjects: Vec<Subject> = Subject::all()
        .into_iter()
        .filter(|subject| match subject {
            Subject::Bug(bug) => options.bugs.is_empty() || options.bugs.contains(bug),
            _ => true,
        })
        .collect();
    let mut cards: Vec<Card> = subjects.iter().map(|subject| Card::new(*subject)).collect();
    for (card, subject) in cards.iter_mut().zip(&subjects).filter(|_| options.simulated > 0) {
        card.simulated = Some(simulated::tally(*subject, options.seed, options.simulated)?);
    }
    let mut zoo = Zoo {
        options,
        cards,
        subjects,
        begun: 0,
        started: Instant::now(),
    };
    let interrupted = zoo.play()?;
    let score = Score::of(options.seed, &zoo.cards);
    let mut json = serde_json::to_string_pretty(&score).expect("a score has string keys and finite numbers");
    json.push('\n');
    let text = crate::report::zoo::text(&score_lines(&score), &summary(&score));
    fs::write(options.folder.join("zoo.json"), &json).context("write zoo.json")?;
    fs::write(options.folder.join("zoo.txt"), &text).context("write zoo.txt")?;
    Ok(Visit {
        text,
        found: score.found,
        false_alarms: score.false_alarms,
        interrupted,
        json,
    })
}

struct Zoo<'a> {
    options: &'a Options,
    subjects: Vec<Subject>,
    cards: Vec<Card>,
    begun: u32,
    started: Instant,
}

impl Zoo<'_> {
    /// Starts runs until the budget ends and waits for the last; whether a person ended it.
    fn play(&mut self) -> Result<bool> {
        let signals = Signals::take()?;
        let mut running: Vec<Running> = Vec::new();
        loop {
            while running.len() < self.options.jobs && self.goes_on() {
                let Some(run) = self.begin()? else { break };
                running.push(run);
            }
            if running.is_empty() {
                return Ok(false);
            }
            if signals.wait()? > 0 {
                running.iter_mut().for_each(Running::end);
                return Ok(true);
            }
            let mut number = 0;
            while number < running.len() {
                match running[number].ended()? {
                    Some(outcome) => {
                        let run = running.swap_remove(number);
                        self.enter(&run, &outcome);
                    }
                    None => number += 1,
                }
            }
        }
    }

    fn goes_on(&self) -> bool {
        let is_done = |card: &Card| if card.control { card.standing().begun > 0 } else { card.hits > 0 };
        let all_found = self.cards.iter().all(is_done);
        self.started.elapsed() < self.options.budget
            && self.options.runs_max.is_none_or(|most| self.begun < most)
            && !(self.options.until_found && all_found)
    }

    fn begin(&mut self) -> Result<Option<Running>> {
        let standings: Vec<Standing> = self.cards.iter().map(Card::standing).collect();
        let Some((number, faults)) = rounds::next(&standings) else {
            return Ok(None);
        };
        let seed = self.options.seed + u64::from(self.begun);
        self.begun += 1;
        self.cards[number].begin();
        let subject = self.subjects[number];
        let out = self.options.folder.join(format!("{}-{seed}", subject.id().replace(' ', "-")));
        Running::start(number, subject, faults, seed, out).map(Some)
    }

    fn enter(&mut self, run: &Running, outcome: &Outcome) {
        let card = &mut self.cards[run.subject];
        let first = card.enter(run.faults, outcome, run.began.elapsed().as_secs_f64());
        let reported = !outcome.rules.is_empty();
        let after_s = self.started.elapsed().as_secs();
        if first || (card.control && reported) || outcome.verdict.is_none() {
            let rules: Vec<&str> = outcome.rules.iter().map(String::as_str).collect();
            let what = match (outcome.verdict.is_none(), card.control) {
                (true, _) => format!("left no verdict: {}", outcome.last_words),
                (false, true) => format!("FALSE ALARM by {}", rules.join(", ")),
                (false, false) => format!("found by {} in run {}", rules.join(", "), card.runs),
            };
            stdout::note(&format!("{after_s:>5} s  {:<9}  {what}, seed {}", card.id, run.seed));
        }
        // What shows something stays to be looked at; a run that found nothing again would only fill the disk.
        if !(first || card.control && reported) {
            remove(&run.out);
        }
    }
}

fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder) {
        tracing::warn!(folder = %folder.display(), %error, "a run's folder stays");
    }
}

fn score_lines(score: &Score<'_>) -> Vec<Line> {
    let lines = score.cards.iter().map(|card| Line {
        id: card.id.to_owned(),
        what: card.what.to_owned(),
        runs: card.runs,
        hits: card.hits,
        rate_percent: (card.rate_from * 100.0, card.rate_to * 100.0),
        seconds: (card.hits > 0).then_some(card.seconds),
        simulated: card.simulated.as_ref().map(|tally| (tally.hits, tally.runs)),
        rules: most_frequent(&card.by_rule),
    });
    lines.collect()
}

/// Rules with their hits, most hits first.
fn most_frequent(by_rule: &BTreeMap<String, u32>) -> Vec<String> {
    let mut rules: Vec<(&String, &u32)> = by_rule.iter().collect();
    rules.sort_by_key(|(_, hits)| Reverse(**hits));
    rules.into_iter().map(|(rule, hits)| format!("{rule} {hits}")).collect()
}

fn summary(score: &Score<'_>) -> Vec<String> {
    let seconds = |value: Option<f64>| value.map_or_else(|| "not reached".to_owned(), |value| format!("{value:.0} s"));
    let ((raft, of_raft), (quorum, of_quorum)) = (score.share('R'), score.share('Q'));
    let by: Vec<String> = score.found_by.iter().map(|(oracle, bugs)| format!("{oracle} {bugs}")).collect();
    let time = score.time_to_detection;
    let mut lines = vec![
        format!(
            "found {} of {} bugs ({raft} of {of_raft} in raft, {quorum} of {of_quorum} in quorum)",
            score.found, score.bugs
        ),
        format!("noticed by: {}", by.join(", ")),
        format!(
            "median time to detection {} of runs (95 %: {} to {})",
            seconds(time.seconds),
            seconds(time.from),
            seconds(time.to)
        ),
        format!("controls: {} false alarms in {} runs", score.false_alarms, score.control_runs),
    ];
    let undecided: u32 = score.cards.iter().flat_map(|card| card.undecided.values()).sum();
    if undecided > 0 {
        lines.push(format!(
            "{undecided} more runs proved nothing (zoo.json says which), and count nowhere above"
        ));
    }
    let missed: Vec<&str> = score.missed().into_iter().collect();
    if !missed.is_empty() {
        lines.push(format!("not found: {}", missed.join(", ")));
    }
    lines
}
