//! What the user named: a run, by whichever of its names, or a history file.

use std::fs;
use std::path::{Path, PathBuf};

use super::{LATEST, ResultsError, RunFolder};

/// What a user may hand to `squall check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A whole run, with its traces.
    Folder(RunFolder),
    /// A history alone: nothing is written beside it, and no trace rule can be applied.
    File(PathBuf),
}

impl Input {
    /// The history to judge.
    pub fn history(&self) -> PathBuf {
        match self {
            Input::Folder(folder) => folder.history(),
            Input::File(path) => path.clone(),
        }
    }

    /// The run folder, if it is one.
    pub fn folder(&self) -> Option<&RunFolder> {
        match self {
            Input::Folder(folder) => Some(folder),
            Input::File(_) => None,
        }
    }
}

/// Finds what the user named: a path to a run folder or to a history file, the name of a run in `out_dir`, or `latest`.
///
/// # Errors
/// [`ResultsError::NotFound`] and [`ResultsError::NotARun`].
pub fn open(named: &Path, out_dir: &Path) -> Result<Input, ResultsError> {
    let in_out_dir = out_dir.join(named);
    // `latest` first in the results folder: a file of that name in the working folder is not what anybody means.
    let candidates = if named == Path::new(LATEST) {
        [in_out_dir.as_path(), named]
    } else {
        [named, in_out_dir.as_path()]
    };
    let Some(found) = candidates.into_iter().find(|path| path.exists()) else {
        return Err(ResultsError::NotFound {
            path: named.to_path_buf(),
            out_dir: out_dir.to_path_buf(),
        });
    };
    if !found.is_dir() {
        return Ok(Input::File(found.to_path_buf()));
    }
    let folder = RunFolder {
        root: resolve_latest(found),
    };
    if !folder.history().is_file() {
        return Err(ResultsError::NotARun { path: found.to_path_buf() });
    }
    Ok(Input::Folder(folder))
}

/// The run behind a link `latest`, so that a run that starts meanwhile cannot move the ground; any other path as it is.
fn resolve_latest(path: &Path) -> PathBuf {
    match (path.file_name(), fs::read_link(path)) {
        (Some(name), Ok(target)) if name == LATEST => path.with_file_name(target),
        _ => path.to_path_buf(),
    }
}
