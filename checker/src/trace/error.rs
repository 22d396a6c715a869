//! What can be wrong with a node's trace, and where.

use std::fmt;
use std::io;

/// A trace that cannot be read past one line: the place and the reason. What stands before it is still judged.
#[derive(Debug, thiserror::Error)]
pub struct TraceError {
    /// The line, counted from 1.
    pub line: u64,
    /// What is wrong.
    #[source]
    pub kind: TraceErrorKind,
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.kind)
    }
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceErrorKind {
    /// The source could not be opened or read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A line past [`LINE_BYTES_MAX`](crate::history::read::LINE_BYTES_MAX), which is refused before it is stored.
    #[error("the line is longer than {limit} bytes")]
    LineTooLong {
        /// The bound.
        limit: usize,
    },
    /// Not the JSON of an event.
    #[error("this is no event of a trace: {0}")]
    Json(String),
    /// A line of another node.
    #[error("the event is of node `{found}`")]
    OtherNode {
        /// Whose it is.
        found: String,
    },
    /// An operation that is not named `<node>/<incarnation>/<number>` after its coordinator.
    #[error("`{op}` is no operation of this life of the node")]
    OtherOperation {
        /// The operation.
        op: String,
    },
    /// A life that does not begin with its first event, `start` or `raft_start`.
    #[error("incarnation {incarnation} does not begin with its `start`")]
    NoStart {
        /// The life.
        incarnation: u64,
    },
    /// A life that is not newer than the one before.
    #[error("incarnation {found} follows incarnation {before}")]
    OldIncarnation {
        /// What the line says.
        found: u64,
        /// What came before.
        before: u64,
    },
    /// Events are missing or doubled.
    #[error("event {found} follows event {before}; lines are missing or doubled")]
    Gap {
        /// The line's number.
        found: u64,
        /// The number before.
        before: u64,
    },
}
