//! `squall check`: judges a saved history; also the last step of every run, so that both say the same.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::Result;
use squall_checker::history::History;
use squall_checker::judge::{Chosen, Traces};
use squall_checker::trace::NodeTraces;

use super::history_file::{self, HistoryArgs};
use super::judging::JudgeArgs;
use super::proof;
use crate::exit::usage;
use crate::plan::Plan;
use crate::report::hints::{self, Done};
use crate::report::{Extent, Report, WitnessAt, stdout};
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

    #[command(flatten)]
    wishes: Wishes,

    /// Judges nothing but replays this proof of the history: 0 if it proves every key valid, 1 if one invalid, 2 if it leaves some open
    #[arg(long, value_name = "PROOF", conflicts_with_all = ["numbers", "picture", "proof", "model", "budget"])]
    verify: Option<PathBuf>,

    #[command(flatten)]
    judging: JudgeArgs,

    #[command(flatten)]
    history: HistoryArgs,
}

/// Files that the user wants beside the answer.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Wishes {
    /// Writes the violation as a page with a picture there (a name ending in `.svg`: the picture alone)
    #[arg(long, value_name = "OUT.html")]
    picture: Option<PathBuf>,

    /// Writes what proves the verdict of every key there, as JSON lines that `--verify` replays
    #[arg(long, value_name = "OUT.jsonl")]
    proof: Option<PathBuf>,
}

/// Judges what the user named.
pub(super) fn check(args: &CheckArgs) -> Result<u8> {
    let input = results::open(&args.input, &args.out).map_err(results_error)?;
    if let Some(proof) = &args.verify {
        return proof::verify(proof, &input.history(), &args.history);
    }
    let wanted = [&args.wishes.picture, &args.wishes.proof];
    for path in wanted.into_iter().flatten() {
        refuse_to_overwrite(path, &input.history())?;
    }
    let done = Done::Check { numbers: args.numbers };
    judge_and_print(&input, &args.input, &args.history, &args.judging, &args.wishes, done)
}

/// Judges a run or a file, prints what it is worth, stores it in a run's folder, and returns the exit code. `typed` is how the user
/// may name it.
pub(super) fn judge_and_print(
    input: &Input,
    typed: &Path,
    reading: &HistoryArgs,
    judging: &JudgeArgs,
    wishes: &Wishes,
    done: Done,
) -> Result<u8> {
    let history = history_file::read(&input.history(), reading)?;
    let traces = input.folder().map(|folder| read_traces(folder, &history));
    let traces = traces.as_ref().map_or(Traces::Missing, Traces::AtHand);
    let deadline = judging.deadline();
    let stop = || deadline.passed();
    let judging = judging.judging(&stop);
    let is_stored = input.folder().is_some();
    let extent = Extent {
        latencies: is_stored || done != (Done::Check { numbers: false }),
        pictures: is_stored || wishes.picture.is_some(),
    };
    let mut report = Report::with(&history, traces, &judging, extent);
    report.judgement.notes.extend(deadline.note());
    say_what_was_guessed(&history, &report);
    let witness_at = store(input, &report)?;
    if let Some(path) = &wishes.picture {
        store_picture(path, &report)?;
    }
    if let Some(path) = &wishes.proof {
        proof::store(path, &input.history(), &history, &report.judgement.examination, &judging.options)?;
    }
    stdout::print(&report.verdict_text(&witness_at));
    if done != (Done::Check { numbers: false }) {
        stdout::print(&report.numbers_text());
        // Not on stdout, which is the same on every machine.
        stdout::note(&format!("judged in {:.2} s", deadline.elapsed().as_secs_f64()));
    }
    if let (Done::Run, Some(folder)) = (done, input.folder()) {
        store_replay(folder, &history);
    }
    stdout::print(&hints::text(&report, done, typed, input.folder()));
    if let (Done::Run, Some(folder)) = (done, input.folder()) {
        store_binary(folder, &history);
    }
    Ok(report.exit_code())
}

/// A history is not replaced by what was found out about it.
fn refuse_to_overwrite(path: &Path, history: &Path) -> Result<()> {
    match (path.canonicalize(), history.canonicalize()) {
        (Ok(path), Ok(history)) if path == history => Err(usage(
            format!("`{}` is the history that is judged", path.display()),
            "name another file to write",
        )),
        _ => Ok(()),
    }
}

/// The model, if nobody named it.
fn say_what_was_guessed(history: &History, report: &Report) {
    let examination = &report.judgement.examination;
    if examination.chosen == Chosen::Guessed && !history.operations.is_empty() {
        let name = examination.model.name();
        stdout::note(&format!(
            "guessed by what the operations are called: judged as {name} (`--model {name}`)"
        ));
    }
}

/// The traces of the run's nodes. What is wrong with one, the judge says. Read after the
/// history: if that has an end, the nodes had ended by then, and the traces are whole.
fn read_traces(folder: &RunFolder, history: &History) -> NodeTraces {
    let header = history.header.as_ref().filter(|header| header.traces);
    // A spare node that no fault took has written nothing.
    let nodes = header.iter().flat_map(|header| header.nodes.iter().chain(&header.spares));
    NodeTraces::read(nodes.map(|node| {
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
        Ok(()) => Ok(WitnessAt::folder(folder)),
        Err(error) => {
            stdout::note(&format!("the judgement is not stored: {error}"));
            Ok(WitnessAt::Inline)
        }
    }
}

/// Writes the plan that strikes the same nodes again, if any fault struck. It is a convenience, and no reason to lose a run.
fn store_replay(folder: &RunFolder, history: &History) {
    let Some(plan) = std::fs::read_to_string(folder.plan())
        .ok()
        .and_then(|text| Plan::from_json(&text).ok())
    else {
        return;
    };
    let replay = plan.replay(history);
    if !replay.schedule.is_empty()
        && let Err(error) = std::fs::write(folder.replay(), replay.to_json())
    {
        tracing::warn!(%error, "there is no replay.json beside plan.json");
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
