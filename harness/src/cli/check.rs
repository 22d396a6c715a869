//! `squall check`: judges a saved history; also the last step of every run, so that both say the same.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::Result;
use squall_checker::history::History;
use squall_checker::judge::Traces;
use squall_checker::trace::NodeTraces;

use super::history_file::{self, HistoryArgs};
use crate::exit::usage;
use crate::report::hints::{self, Done};
use crate::report::{Report, WitnessAt, stdout};
use crate::results::{self, Input, ResultsError, RunFolder};

/// Bytes of a trace read at once: traces are read front to back.
const READ_BYTES: usize = 1 << 20;

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

    /// Writes the violation as a page with a picture there (a name ending in `.svg`: the picture alone)
    #[arg(long, value_name = "OUT.html")]
    picture: Option<PathBuf>,

    #[command(flatten)]
    history: HistoryArgs,
}

/// Judges what the user named.
pub(super) fn check(args: &CheckArgs) -> Result<u8> {
    let input = results::open(&args.input, &args.out).map_err(results_error)?;
    let done = Done::Check { numbers: args.numbers };
    judge_and_print(&input, &args.input, &args.history, done, args.picture.as_deref())
}

/// Judges a run or a file, prints what it is worth, stores it in a run's folder, and returns the exit code. `typed` is how the user
/// may name it; the picture of a violation goes to `picture` too.
pub(super) fn judge_and_print(input: &Input, typed: &Path, reading: &HistoryArgs, done: Done, picture: Option<&Path>) -> Result<u8> {
    let history = history_file::read(&input.history(), reading)?;
    let traces = input.folder().map(|folder| read_traces(folder, &history));
    let report = Report::of(&history, traces.as_ref().map_or(Traces::Missing, Traces::AtHand));
    let witness_at = store(input, &report)?;
    if let Some(path) = picture {
        store_picture(path, &report)?;
    }
    stdout::print(&report.verdict_text(&witness_at));
    if done != (Done::Check { numbers: false }) {
        stdout::print(&report.numbers_text());
    }
    stdout::print(&hints::text(&report, done, typed, input.folder()));
    if let (Done::Run, Some(folder)) = (done, input.folder()) {
        store_binary(folder, &history);
    }
    Ok(report.exit_code())
}

/// The traces of the run's nodes. What is wrong with one, the judge says. Read after the
/// history: if that has an end, the nodes had ended by then, and the traces are whole.
fn read_traces(folder: &RunFolder, history: &History) -> NodeTraces {
    let header = history.header.as_ref().filter(|header| header.traces);
    NodeTraces::read(header.iter().flat_map(|header| &header.nodes).map(|node| {
        let opened = File::open(folder.node(node).trace());
        (node.clone(), opened.map(|file| BufReader::with_capacity(READ_BYTES, file)))
    }))
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

/// Writes the history of a run as bytes too. It is a convenience, and no reason to lose a run.
fn store_binary(folder: &RunFolder, history: &History) {
    if let Err(error) = folder.write_binary_history(history) {
        tracing::warn!(%error, "there is no binary history beside history.jsonl");
    }
}

/// Writes the picture where the user wants it, or says why there is none.
fn store_picture(path: &Path, report: &Report) -> Result<()> {
    let Some(picture) = &report.picture else {
        stdout::note("there is no picture: no safety rule is broken");
        return Ok(());
    };
    let is_svg = path.extension().is_some_and(|extension| extension == "svg");
    std::fs::write(path, if is_svg { &picture.svg } else { &picture.html })
        .map_err(|error| usage(format!("cannot write `{}`: {error}", path.display()), "name a file you may write"))
}

/// A results error as the program's error: what the user can mend by typing is a usage error.
pub(super) fn results_error(error: ResultsError) -> anyhow::Error {
    if error.is_usage() {
        usage(error.to_string(), error.hint())
    } else {
        anyhow::Error::new(error).context("use the results folder")
    }
}
