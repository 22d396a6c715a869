//! What can keep a results folder from being used, and whose fault it is.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// What kept a run folder from being made, found or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ResultsError {
    /// The place exists but may not be written.
    #[error("cannot write `{path}`: {cause}", path = path.display())]
    NotWritable {
        /// What was to be written.
        path: PathBuf,
        /// The system's answer.
        cause: io::Error,
    },
    /// Neither a run folder nor a history file.
    #[error("no run at `{path}`", path = path.display())]
    NotFound {
        /// What the user named.
        path: PathBuf,
        /// Where else it was looked for.
        out_dir: PathBuf,
    },
    /// A folder that holds no history.
    #[error("`{path}` is not a run folder: it has no history.jsonl", path = path.display())]
    NotARun {
        /// The folder.
        path: PathBuf,
    },
    /// Anything else the file system may answer: disk full, an I/O error.
    #[error("cannot write `{path}`: {cause}", path = path.display())]
    Io {
        /// What was to be written or read.
        path: PathBuf,
        /// The system's answer.
        cause: io::Error,
    },
}

impl ResultsError {
    pub(super) fn new(path: &Path, cause: io::Error) -> ResultsError {
        let path = path.to_path_buf();
        match cause.kind() {
            // Missing, although its parents are made: /proc and its like. Already there: a file in the place of the folder.
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::NotFound
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidFilename => ResultsError::NotWritable { path, cause },
            _ => ResultsError::Io { path, cause },
        }
    }

    /// Whether the user named a place that cannot serve (exit 254) rather than the machine failing underneath (exit 255).
    pub fn is_usage(&self) -> bool {
        !matches!(self, ResultsError::Io { .. })
    }

    /// What the user can do about it, one line.
    pub fn hint(&self) -> String {
        match self {
            ResultsError::NotWritable { .. } => "choose a folder you may write with `--out DIR`".into(),
            ResultsError::NotFound { out_dir, .. } => {
                format!("name a run folder or a history file; runs are kept in `{}`", out_dir.display())
            }
            ResultsError::NotARun { .. } => "name the folder of one run, or its history file".into(),
            ResultsError::Io { .. } => "see whether the disk is full or failing".into(),
        }
    }
}
