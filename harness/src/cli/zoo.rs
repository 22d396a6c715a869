//! `squall zoo`: the planted bugs, run one after another and several at once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use chrono::Utc;
use squall_node::bugs::Bug;

use super::plan::{draw_seed, parse_time_ms};
use crate::exit::{self, usage};
use crate::report::stdout;
use crate::zoo::{self, Options};

/// What `squall zoo` takes.
#[derive(Debug, clap::Args)]
pub(super) struct ZooArgs {
    /// Only these bugs, separated by commas; see `squall list bugs`
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    bugs: Vec<Bug>,

    /// How long runs are started
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = parse_time_ms)]
    budget: u64,

    /// At most so many runs
    #[arg(long, value_name = "NUM")]
    runs: Option<u32>,

    /// Ends as soon as every bug was found once and every control was run once
    #[arg(long)]
    until_found: bool,

    /// Fewest bugs that must be found; with fewer the exit code is 2
    #[arg(long, value_name = "NUM")]
    expect: Option<usize>,

    /// Decides everything that is left to chance; drawn and printed first if not given
    #[arg(long, value_name = "NUM")]
    seed: Option<u64>,

    /// Simulated runs of each first; they stand in a column of their own and do not count
    #[arg(long, value_name = "NUM", default_value_t = 0)]
    simulated: u32,

    /// Runs at once; one more than there are processors if not given
    #[arg(long, value_name = "NUM", value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: Option<u8>,

    /// Prints the score as JSON
    #[arg(long)]
    json: bool,

    /// Where its folder goes
    #[arg(long, value_name = "DIR", default_value = "results")]
    out: PathBuf,
}

/// Runs the zoo: 1 if a control was reported, 2 if fewer bugs were found than expected, else 0.
pub(super) fn visit(args: &ZooArgs) -> Result<u8> {
    let seed = args.seed.map_or_else(draw_seed, Ok)?;
    stdout::note(&format!("seed {seed}"));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let folder = create_folder(&args.out, seed)?;
    let visit = zoo::visit(&Options {
        bugs: args.bugs.clone(),
        budget: Duration::from_millis(args.budget),
        runs_max: args.runs,
        until_found: args.until_found,
        seed,
        simulated: args.simulated,
        jobs: args.jobs.map_or(cores + 1, usize::from),
        folder: folder.clone(),
    })?;
    stdout::print(if args.json { &visit.json } else { &visit.text });
    stdout::note(&format!("kept in {}", folder.display()));
    Ok(match args.expect {
        _ if visit.false_alarms > 0 => exit::INVALID,
        _ if visit.interrupted => exit::INTERRUPTED,
        Some(least) if visit.found < least => exit::UNKNOWN,
        _ => exit::VALID,
    })
}

/// A folder of its own, named by time and seed.
fn create_folder(out: &Path, seed: u64) -> Result<PathBuf> {
    let folder = out.join(format!("zoo-{}-seed{seed}", Utc::now().format("%Y%m%dT%H%M%SZ")));
    std::fs::create_dir_all(out)
        .and_then(|()| std::fs::create_dir(&folder))
        .map_err(|error| {
            usage(
                format!("cannot make `{}`: {error}", folder.display()),
                "choose a folder you may write with `--out DIR`",
            )
        })?;
    Ok(folder)
}
