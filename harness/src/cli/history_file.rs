//! Reading a history that the user names: ours or anybody's, and what only the user can say about it.

use std::fs::File;
use std::path::Path;

use anyhow::Result;
use squall_checker::history::History;
use squall_checker::history::formats::{self, Chunking, EdnValue, Format, Independent, ReadOptions};

use crate::exit::usage;
use crate::report::stdout;

/// How to read a history file.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct HistoryArgs {
    /// The format of the file; guessed by its content if it is left out
    #[arg(long, value_name = "FORMAT", value_parser = clap::builder::PossibleValuesParser::new(Format::ALL.map(Format::name)))]
    pub(super) format: Option<String>,

    #[command(flatten)]
    pub(super) meaning: MeaningArgs,
}

/// What a foreign history cannot say about itself.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct MeaningArgs {
    /// Whether the values of an EDN history are tuples `[key value]`
    #[arg(long, value_name = "yes|no|auto", value_enum, default_value = "auto")]
    independent: Tuples,

    /// What a register of an EDN history holds before any write, as EDN
    #[arg(long, value_name = "VALUE", value_parser = edn_value)]
    init: Option<EdnValue>,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Tuples {
    /// They are, so keys are judged one by one
    Yes,
    /// They are not, so all operations act on one object
    No,
    /// Guess, and say so
    #[default]
    Auto,
}

/// One form of EDN that the user typed.
pub(super) fn edn_value(text: &str) -> Result<EdnValue, String> {
    EdnValue::parse(text).ok_or_else(|| "not one value of EDN: nil, 0, \"a\", :empty, …".to_owned())
}

/// Reads the history at `path`, and says on stderr what it took it for if it is not our own.
pub(super) fn read(path: &Path, args: &HistoryArgs) -> Result<History> {
    let options = ReadOptions {
        format: Format::ALL.into_iter().find(|format| Some(format.name()) == args.format.as_deref()),
        independent: match args.meaning.independent {
            Tuples::Yes => Independent::Yes,
            Tuples::No => Independent::No,
            Tuples::Auto => Independent::Auto,
        },
        initial: args.meaning.init.clone(),
        chunking: Chunking::on_threads(std::thread::available_parallelism().map_or(1, usize::from)),
    };
    let file = File::open(path).map_err(|error| usage(format!("cannot read `{}`: {error}", path.display()), ""))?;
    let import = formats::read(file, &options).map_err(|error| {
        let hint = "see checker/src/history/formats for what can be read; `--format` says which it is";
        usage(format!("{}: {error}", path.display()), hint)
    })?;
    if !matches!(import.format, Format::Squall | Format::Binary) && options.format.is_none() {
        stdout::note(&format!(
            "read as {} (`--format {}`)",
            import.format.describe(),
            import.format.name()
        ));
    }
    for note in &import.notes {
        stdout::note(note);
    }
    Ok(import.history)
}
