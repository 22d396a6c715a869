//! What can be wrong with a history file, and where.

use std::fmt;
use std::io;

use super::event::EventType;

/// A history that cannot be read: the place and the reason.
#[derive(Debug, thiserror::Error)]
pub struct ReadError {
    /// The line, counted from 1.
    pub line: u64,
    /// The column in bytes, counted from 1, where the text itself is wrong.
    pub column: Option<usize>,
    /// The operation, counted from 0 in the file's order, where the format counts operations rather than lines.
    pub operation: Option<u64>,
    /// What is wrong.
    #[source]
    pub kind: ReadErrorKind,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nothing of it is a line.
        if let ReadErrorKind::Binary(_) = self.kind {
            return self.kind.fmt(f);
        }
        write!(f, "line {}", self.line)?;
        if let Some(column) = self.column {
            write!(f, ", column {column}")?;
        }
        if let Some(operation) = self.operation {
            write!(f, ", operation {operation}")?;
        }
        write!(f, ": {}", self.kind)
    }
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadErrorKind {
    /// The source could not be read.
    #[error("the history cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Not the JSON of an event.
    #[error("this is no event of a history: {0}")]
    Json(String),
    /// Not the JSON of a whole operation, in a file with one operation per line.
    #[error("this is no operation: {0}")]
    Row(String),
    /// No binary history, or a damaged one.
    #[error("this binary history cannot be read: {0}; take the JSON lines that it was made of")]
    Binary(String),
    /// Not EDN.
    #[error("this is no EDN: {0}")]
    Edn(String),
    /// EDN, or a line of a log, that is no operation of a history.
    #[error("this is no operation of a history: {0}")]
    Operation(String),
    /// An operation whose text is past [`LINE_BYTES_MAX`](super::read::LINE_BYTES_MAX).
    #[error("the operation is longer than {limit} bytes")]
    OperationTooLong {
        /// The bound.
        limit: usize,
    },
    /// Some operations have an `:index`, this one does not, or the other way round.
    #[error("some operations have an `:index` and some have none; give all of them one, or none")]
    PartialIndices,
    /// Two operations of one index.
    #[error("the `:index` {index} stands twice")]
    DuplicateIndex {
        /// The index.
        index: u64,
    },
    /// A line past [`LINE_BYTES_MAX`](super::read::LINE_BYTES_MAX), which is refused before it is stored.
    #[error("the line is longer than {limit} bytes")]
    LineTooLong {
        /// The bound.
        limit: usize,
    },
    /// A header of another format.
    #[error("the history has format version {found}, this program reads version {supported}; use the program that wrote it")]
    FormatVersion {
        /// What the header says.
        found: u32,
        /// What we read.
        supported: u32,
    },
    /// Two open operations of one process.
    #[error("process {process} invokes `{f}` while its operation of line {open_line} is open; a process does one thing at a time")]
    TwoOpenOperations {
        /// The process.
        process: u64,
        /// The second operation.
        f: String,
        /// The line of the first invocation.
        open_line: u64,
    },
    /// An invocation by a process that ended.
    #[error(
        "process {process} invokes `{f}` although its operation ended in `info` on line {retired_line}; \
         its client must go on under a new process number"
    )]
    RetiredProcess {
        /// The process.
        process: u64,
        /// The operation.
        f: String,
        /// The line of the `info`.
        retired_line: u64,
    },
    /// A completion of nothing.
    #[error("`{kind}` of process {process}, which has no open operation", kind = kind_name(*.kind))]
    NothingOpen {
        /// The process.
        process: u64,
        /// What the line says.
        kind: EventType,
    },
    /// A completion of something else.
    #[error("process {process} completes {field} `{found}`, but its invocation on line {invoke_line} says `{expected}`")]
    OtherOperation {
        /// The process.
        process: u64,
        /// `function` or `key`.
        field: &'static str,
        /// What the completion says.
        found: String,
        /// What the invocation says.
        expected: String,
        /// The invocation's line.
        invoke_line: u64,
    },
    /// A read that says that it saw something, but not what.
    #[error(
        "process {process} completes its `read` of line {invoke_line} with `ok` and without a `value`; a read that saw nothing says `null`"
    )]
    ReadWithoutValue {
        /// The process.
        process: u64,
        /// The invocation's line.
        invoke_line: u64,
    },
    /// A write of one value that is acknowledged as a write of another.
    #[error("process {process} completes its `write` with value {found}, but its invocation on line {invoke_line} says {expected}")]
    OtherValue {
        /// The process.
        process: u64,
        /// What the completion says.
        found: String,
        /// What the invocation says.
        expected: String,
        /// The invocation's line.
        invoke_line: u64,
    },
    /// A process whose time runs backwards.
    #[error(
        "process {process} invokes `{f}` at {invoked_ns} ns, before its completion on line {completed_line} at {completed_ns} ns; \
         a process does one thing at a time"
    )]
    InvokedBeforeCompleted {
        /// The process.
        process: u64,
        /// The operation.
        f: String,
        /// The invocation's time.
        invoked_ns: u64,
        /// The line of the completion before it.
        completed_line: u64,
        /// That completion's time.
        completed_ns: u64,
    },
    /// A completion before its invocation.
    #[error("process {process} completes at {completed_ns} ns, before its invocation on line {invoke_line} at {invoked_ns} ns")]
    CompletedBeforeInvoked {
        /// The process.
        process: u64,
        /// The completion's time.
        completed_ns: u64,
        /// The invocation's time.
        invoked_ns: u64,
        /// The invocation's line.
        invoke_line: u64,
    },
    /// A time past 146 years.
    #[error("time {time_ns} ns is past 2^62 ns; times are nanoseconds since the start of the run")]
    TimeTooLarge {
        /// The time.
        time_ns: u64,
    },
    /// A value that is nested too deep to be compared.
    #[error("the value is nested deeper than {limit} levels")]
    ValueTooDeep {
        /// The bound.
        limit: usize,
    },
    /// More names than the compact form can number.
    #[error("more than {limit} different {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        limit: u64,
    },
}

fn kind_name(kind: EventType) -> &'static str {
    match kind {
        EventType::Invoke => "invoke",
        EventType::Ok => "ok",
        EventType::Fail => "fail",
        EventType::Info => "info",
    }
}
