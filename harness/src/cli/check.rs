//! `squall check`: judges a saved history; also the last step of every run, so that both say the same.

use std::path::{Path, PathBuf};

use anyhow::Result;
use squall_checker::judge::Traces;

use super::history_file::{self, HistoryArgs};
use crate::exit::usage;
use crate::report::hints::{self, Done};
use crate::report::{Report, WitnessAt, stdout};
use crate::results::{self, Input, ResultsError};

/// What `squall check` takes.
#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// A run folder, a history file, or `latest`
    #[arg(value_name = "RUN|FILE")]
    input: PathBuf,

    /// Where `latest` and names of runs are looked for
    #[arg(long, value_name = "DIR", default_value = "results")]
    out: PathBuf,

    /// Prints latencies, faults and the nodes' figures too, as a run does
    #[arg(long)]
    numbers: bool,

    #[command(flatten)]
    history: HistoryArgs,
}

/// Judges what the user named.
pub(super) fn check(args: &CheckArgs) -> Result<u8> {
    let input = results::open(&args.input, &args.out).map_err(results_error)?;
    judge_and_print(&input, &args.input, &args.history, Done::Check { numbers: args.numbers })
}

/// Judges a run or a file, prints what it is worth, stores it in a run's folder, and returns the exit code. `typed` is how the user
/// may name it.
pub(super) fn judge_and_print(input: &Input, typed: &Path, reading: &HistoryArgs, done: Done) -> Result<u8> {
    let history = history_file::read(&input.history(), reading)?;
    let traces = if input.folder().is_some() {
        Traces::AtHand
    } else {
        Traces::Missing
    };
    let report = Report::of(&history, traces);
    let witness_at = store(input, &report)?;
    stdout::print(&report.verdict_text(&witness_at));
    if done != (Done::Check { numbers: false }) {
        stdout::print(&report.numbers_text());
    }
    stdout::print(&hints::text(&report, done, typed, input.folder()));
    Ok(report.exit_code())
}

/// Writes the judgement into the run's folder; a folder that may only be read is judged all the same.
fn store(input: &Input, report: &Report) -> Result<WitnessAt> {
    let Some(folder) = input.folder() else {
        return Ok(WitnessAt::Inline);
    };
    match folder.write_judgement(&report.files()) {
        Ok(()) => Ok(WitnessAt::File(folder.as_typed(&folder.witness_text()).display().to_string())),
        Err(error) => {
            stdout::note(&format!("the judgement is not stored: {error}"));
            Ok(WitnessAt::Inline)
        }
    }
}

/// A results error as the program's error: what the user can mend by typing is a usage error.
pub(super) fn results_error(error: ResultsError) -> anyhow::Error {
    if error.is_usage() {
        usage(error.to_string(), error.hint())
    } else {
        anyhow::Error::new(error).context("use the results folder")
    }
}
