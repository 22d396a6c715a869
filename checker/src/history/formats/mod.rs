//! Other people's histories: which format a file has, and how each becomes a [`History`].
//!
//! ```text
//! format            file                 looks like
//! Squall            history::read        {"time":10,"type":"invoke","process":3,"f":"write","key":"k","value":17}
//! Binary            history::binary      the bytes 89 53 51 48
//! OperationLines    operation_lines      {"proc":3,"f":"read","key":"17","arg":null,"res":42,"inv":1000,"ret":2500}
//! Edn               edn, assemble        {:process 0, :type :invoke, :f :read, :value nil}
//! PorcupineKv       edn, assemble        {:process 9, :type :invoke, :f :append, :key "0", :value "x 9 0 y"}
//! JepsenLog         jepsen_log, assemble INFO  jepsen.util - 3   :invoke   :cas   [3 0]
//! ```
//!
//! [`detect`] looks at the begin of a file, [`read`] reads it, [`export`] writes EDN that Knossos and Elle accept. Compare-and-sets arrive
//! as [`Function::Cas`](super::operation::Function::Cas) with their two values as a [pair](super::values::ValueTable::pair).

mod assemble;
mod detect;
mod edn;
mod entry;
pub mod export;
mod independent;
mod jepsen_log;
mod keys;
pub(in crate::history) mod operation_lines;
#[cfg(test)]
mod tests;

use std::io::{BufReader, Cursor, Read};

pub use self::detect::detect;
pub use self::independent::Independent;
use super::History;
use super::binary;
pub use super::chunks::Chunking;
use super::error::{ReadError, ReadErrorKind};

/// How much of a file is looked at before its format is known.
const HEAD_BYTES: u64 = 64 << 10;

/// How much of a file that is not read in chunks is read at once.
const READ_BYTES: usize = 1 << 20;

/// The formats that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Our own JSON lines: two lines per operation.
    Squall,
    /// Our own history as bytes.
    Binary,
    /// One JSON line per operation, as `histgen` writes them.
    OperationLines,
    /// Jepsen's EDN.
    Edn,
    /// Porcupine's key-value histories: EDN with `:key` and the functions get, put and append.
    PorcupineKv,
    /// Log lines of Jepsen's etcd tests, as Porcupine keeps them.
    JepsenLog,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 6] = [
        Format::Squall,
        Format::Binary,
        Format::OperationLines,
        Format::Edn,
        Format::PorcupineKv,
        Format::JepsenLog,
    ];

    /// What a user types.
    pub fn name(self) -> &'static str {
        match self {
            Format::Squall => "squall",
            Format::Binary => "sqh",
            Format::OperationLines => "operations",
            Format::Edn => "edn",
            Format::PorcupineKv => "porcupine-kv",
            Format::JepsenLog => "jepsen-log",
        }
    }

    /// What a person calls it.
    pub fn describe(self) -> &'static str {
        match self {
            Format::Squall => "Squall's JSON lines",
            Format::Binary => "Squall's binary history",
            Format::OperationLines => "one operation per JSON line",
            Format::Edn => "Jepsen's EDN",
            Format::PorcupineKv => "Porcupine's key-value operations",
            Format::JepsenLog => "a Jepsen log",
        }
    }
}

/// A value as EDN, given by a user.
#[derive(Debug, Clone, PartialEq)]
pub struct EdnValue(edn::Form);

impl EdnValue {
    /// Reads one form: `nil`, `0`, `"a"`, `:empty`.
    pub fn parse(text: &str) -> Option<EdnValue> {
        edn::json::reread(text).map(EdnValue)
    }
}

/// What a file cannot say about itself.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// The format; guessed by the file's begin if it is `None`.
    pub format: Option<Format>,
    /// Whether EDN's values are tuples `[key value]`.
    pub independent: Independent,
    /// What a register holds before any write, in EDN and in logs; nil if it is `None`. It is read as `null`, which is what the checkers
    /// start from; where it is not nil, a read of nil says nothing (Knossos' rule).
    pub initial: Option<EdnValue>,
    /// How lines of JSON are read. It cannot be seen in what is read.
    pub chunking: Chunking,
}

/// A history, and what its reader should tell the user.
#[derive(Debug, Clone)]
pub struct Import {
    /// The history.
    pub history: History,
    /// The format it was read as.
    pub format: Format,
    /// What was guessed, one line each.
    pub notes: Vec<String>,
}

/// Reads a file of any format.
///
/// # Errors
/// With line, and column and operation where the format has them: if the source cannot be read, if something is not of the format, or if
/// the operations contradict each other.
pub fn read(mut source: impl Read + Send, options: &ReadOptions) -> Result<Import, ReadError> {
    let mut head = Vec::new();
    source.by_ref().take(HEAD_BYTES).read_to_end(&mut head).map_err(|error| ReadError {
        line: 1,
        column: None,
        operation: None,
        kind: ReadErrorKind::Io(error),
    })?;
    let format = options.format.unwrap_or_else(|| detect(&head));
    let source = Cursor::new(head).chain(source);
    let ordered = |(entries, lines)| assemble::history(entries, lines, format, options);
    let (history, notes) = match format {
        Format::Squall => (History::read_chunked(source, options.chunking)?, Vec::new()),
        Format::Binary => (binary::read(source, options.chunking.threads)?, Vec::new()),
        Format::OperationLines => (operation_lines::read(source, options.chunking)?, Vec::new()),
        Format::Edn | Format::PorcupineKv => edn::operations::entries(BufReader::with_capacity(READ_BYTES, source)).and_then(ordered)?,
        Format::JepsenLog => jepsen_log::entries(BufReader::with_capacity(READ_BYTES, source)).and_then(ordered)?,
    };
    Ok(Import { history, format, notes })
}
