//! `squall export`: a saved history in the words of other checkers, or as bytes that are read at once.

use std::io::{BufWriter, ErrorKind, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use squall_checker::history::History;
use squall_checker::history::binary::write_binary;
use squall_checker::history::formats::EdnValue;
use squall_checker::history::formats::export::{ExportOptions, write_edn};
use squall_checker::history::operation::Operation;

use super::check::results_error;
use super::history_file::{self, HistoryArgs, MeaningArgs, edn_value};
use crate::exit::{self, usage};
use crate::results;

/// What `squall export` takes.
#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    /// A run folder, a history file, or `latest`
    #[arg(value_name = "RUN|FILE")]
    input: PathBuf,

    /// Where `latest` and names of runs are looked for
    #[arg(long, value_name = "DIR", default_value = "results")]
    out: PathBuf,

    /// The format to write
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "edn")]
    format: Target,

    /// What stands for a register that was never written, as EDN: Knossos checks no read of nil
    #[arg(long, value_name = "VALUE", value_parser = edn_value)]
    absent: Option<EdnValue>,

    #[command(flatten)]
    meaning: MeaningArgs,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Target {
    /// Jepsen's EDN, for Knossos and Elle
    Edn,
    /// Our binary history, which loads faster than any text
    Sqh,
}

/// Writes the history to stdout.
pub(super) fn export(args: &ExportArgs) -> Result<u8> {
    let input = results::open(&args.input, &args.out).map_err(results_error)?;
    let reading = HistoryArgs {
        meaning: args.meaning.clone(),
        ..HistoryArgs::default()
    };
    let history = history_file::read(&input.history(), &reading)?;
    let options = ExportOptions {
        absent: args.absent.clone(),
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let written = match args.format {
        Target::Edn if mixes_transactions(&history) => {
            return Err(usage(
                "this history has transactions beside operations on single keys, which one EDN history cannot tell apart",
                "`--format sqh` keeps both",
            ));
        }
        Target::Edn => write_edn(&history, &options, &mut out),
        Target::Sqh => write_binary(&history, &mut out),
    };
    match written.and_then(|()| out.flush()) {
        // A reader that has seen enough is content.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(exit::VALID),
        written => written.context("cannot write the history to stdout").map(|()| exit::VALID),
    }
}

/// In EDN an operation on a key has a tuple as its value, and a transaction a list; which of them a reader takes them for, it decides for the
/// whole history.
fn mixes_transactions(history: &History) -> bool {
    let is_transaction = |operation: &Operation| history.function(operation) == "txn";
    let of_a_key = |operation: &Operation| operation.key.is_some() && !is_transaction(operation);
    history.functions.find("txn").is_some() && history.operations.iter().any(of_a_key) && history.operations.iter().any(is_transaction)
}
