//! What a person or a program reads about a run, and the only code beside the command line that prints.
//!
//! [`Report`] holds a judgement with the numbers of its history; [`text`] says it to a person, [`json`] to a program. Everything
//! follows from the history and the nodes' traces, so that `squall check` says what `squall run` said.

pub mod hints;
mod json;
mod markup;
pub mod numbers;
mod numbers_text;
mod objects;
mod page;
pub mod progress;
mod shapes;
mod spacetime;
pub mod stdout;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod timeline;
mod tokens;
pub mod witness;
pub mod words;
pub(crate) mod zoo;

use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

use squall_checker::history::History;
use squall_checker::history::mark::Header;
use squall_checker::judge::{Judgement, Judging, Traces, judge_with};

use self::numbers::Numbers;
use self::objects::Objects;
use self::witness::Picture;
use crate::exit;
use crate::results::{JudgementFiles, RunFolder};

/// A judged history.
#[derive(Debug)]
pub struct Report {
    /// What was run; none for a foreign history.
    pub header: Option<Header>,
    /// What it is worth.
    pub judgement: Judgement,
    /// What was judged, object by object.
    pub objects: Objects,
    /// What it cost.
    pub numbers: Numbers,
    /// The proof as a picture, if a safety rule is broken and pictures are wanted.
    pub picture: Option<Picture>,
    /// The messages around a broken trace rule, if its events are known.
    pub spacetime: Option<Picture>,
}

/// Where the reader finds the witness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WitnessAt {
    /// In these files, as the reader would type them.
    Files {
        /// `witness.txt`.
        witness: String,
        /// `spacetime.html`.
        spacetime: String,
    },
    /// Nowhere: it has to be printed.
    Inline,
}

impl WitnessAt {
    /// In the files of this run.
    pub fn folder(folder: &RunFolder) -> WitnessAt {
        let typed = |file: &Path| folder.as_typed(file).display().to_string();
        WitnessAt::Files {
            witness: typed(&folder.witness_text()),
            spacetime: typed(&folder.spacetime_page()),
        }
    }
}

/// How much is said, so that a terminal shows the decisive lines together and `report.txt` all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Findings beside the decisive one.
    findings: usize,
    /// Evidence lines of the decisive finding; the others have theirs only in the full report.
    evidence: usize,
    /// Rows in the table of faults.
    faults: usize,
    /// Characters about the target of a fault.
    fault_chars: usize,
    /// Characters of one line: names and log lines are as long as somebody else made them.
    line_chars: usize,
}

impl Limits {
    /// For a terminal or a CI log. A dozen faults are what a person compares by eye.
    pub const COMPACT: Limits = Limits {
        findings: 4,
        evidence: 10,
        faults: 12,
        fault_chars: 30,
        line_chars: 240,
    };
    /// For `report.txt`.
    pub const FULL: Limits = Limits {
        findings: usize::MAX,
        evidence: usize::MAX,
        faults: usize::MAX,
        fault_chars: 2_000,
        line_chars: 100_000,
    };
}

/// What a report holds beside the verdict and its reasons: each costs as much as judging a history by a fast rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Latencies per kind and phase.
    pub latencies: bool,
    /// Pictures of what is broken.
    pub pictures: bool,
}

impl Extent {
    /// What a run folder holds.
    pub const ALL: Extent = Extent {
        latencies: true,
        pictures: true,
    };
}

impl Report {
    /// Judges a history with its traces as usual, and counts it.
    pub fn of(history: &History, traces: Traces<'_>) -> Report {
        Report::with(history, traces, &Judging::default(), Extent::ALL)
    }

    /// [`Report::of`] by a model and within a budget, with what is wanted of it.
    pub fn with(history: &History, traces: Traces<'_>, judging: &Judging<'_>, extent: Extent) -> Report {
        // Neither knows of the other, and both look at every operation.
        let (judgement, numbers) = thread::scope(|scope| {
            let numbers = scope.spawn(|| Numbers::of(history, extent.latencies));
            let judgement = judge_with(history, traces, judging);
            (judgement, numbers.join().unwrap_or_else(|panic| resume_unwind(panic)))
        });
        Report {
            header: history.header.clone(),
            objects: Objects::of(history, &judgement.examination),
            numbers,
            picture: judgement
                .witness
                .as_ref()
                .filter(|_| extent.pictures)
                .and_then(|witness| Picture::of(history, witness)),
            spacetime: spacetime::picture(history.header.as_ref(), &judgement.findings),
            judgement,
        }
    }

    /// The exit code of the run that was judged.
    pub fn exit_code(&self) -> u8 {
        exit::of_verdict(self.judgement.verdict, self.judgement.interrupted)
    }

    /// The verdict and what proves it, styled for [`stdout::print`]; ends with a line end.
    pub fn verdict_text(&self, witness: &WitnessAt) -> String {
        text::verdict(self, witness, &Limits::COMPACT)
    }

    /// The operator's numbers as a compact block, set off by an empty line; empty if there is nothing to count.
    pub fn numbers_text(&self) -> String {
        self.numbers_within(&Limits::COMPACT)
    }

    fn numbers_within(&self, limits: &Limits) -> String {
        let mut lines = numbers_text::lines(&self.numbers, limits);
        lines.extend(self.objects.line());
        text::set_off(&lines)
    }

    /// The files that go into the run folder. They depend on the history and the traces alone.
    pub fn files(&self) -> JudgementFiles {
        let witness = self.judgement.witness.as_ref();
        let at = WitnessAt::Files {
            witness: "witness.txt".into(),
            spacetime: "spacetime.html".into(),
        };
        let verdict = text::verdict(self, &at, &Limits::FULL);
        let numbers = self.numbers_within(&Limits::FULL);
        JudgementFiles {
            verdict: json::verdict(self),
            report: anstream::adapter::strip_str(&(verdict + &numbers)).to_string(),
            // Lines of a history are JSON and so UTF-8; what is not could not have been read.
            witness: witness.map(|witness| (witness.text(), String::from_utf8_lossy(&witness.history_lines()).into_owned())),
            picture: self.picture.clone(),
            spacetime: self.spacetime.clone(),
        }
    }
}
