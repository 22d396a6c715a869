//! Incarnations: which life of a node this is. Versions and operation numbers are unique only within one life, so the number of the life
//! is made durable, file and directory, before the node does anything that others can see.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::disk;

const FILE: &str = "incarnation";

/// Why no new incarnation could be begun.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IncarnationError {
    /// The disk refused.
    #[error("the incarnation in {path} cannot be read or replaced", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else than a number and a line end. It is only ever replaced as a whole, so this is damage, not a crash.
    #[error("the incarnation in {path} is damaged: it holds `{content}`", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it holds, escaped, at most 40 characters.
        content: String,
    },
    /// Data without an incarnation: starting at 1 would give old versions to new values.
    #[error("{path} is missing although the log holds data: the number of lives is lost", path = .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
}

/// Begins the next life of the node whose data lie in `directory`: returns its number, from 1, once that is durable.
/// `has_data` says whether an earlier life left anything in the log.
///
/// # Errors
/// [`IncarnationError`]; the node must not serve then.
pub fn begin(directory: &Path, has_data: bool) -> Result<u64, IncarnationError> {
    let path = directory.join(FILE);
    let io_error = |source| IncarnationError::Io {
        path: path.clone(),
        source,
    };
    let previous = match fs::read(&path) {
        Ok(content) => parse(&content).ok_or_else(|| IncarnationError::Damaged {
            path: path.clone(),
            content: shown(&content),
        })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound && has_data => return Err(IncarnationError::Missing { path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(io_error(error)),
    };
    let next = previous + 1;
    disk::replace_file(directory, FILE, format!("{next}\n").as_bytes()).map_err(io_error)?;
    Ok(next)
}

/// The number in the file; the line end proves that it is whole. The bound keeps `previous + 1` and the Lamport clock exact.
fn parse(content: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(content).ok()?.strip_suffix('\n')?;
    digits.parse().ok().filter(|number| (1..u64::from(u32::MAX)).contains(number))
}

fn shown(content: &[u8]) -> String {
    content.escape_ascii().map(char::from).take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_life_has_the_next_number() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(begin(folder.path(), false).unwrap(), 1);
        assert_eq!(begin(folder.path(), true).unwrap(), 2);
        assert_eq!(begin(folder.path(), true).unwrap(), 3);
    }

    #[test]
    fn a_crash_before_the_rename_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        begin(folder.path(), false).unwrap();
        fs::write(folder.path().join("incarnation.new"), b"9").unwrap();
        assert_eq!(begin(folder.path(), true).unwrap(), 2);
    }

    #[test]
    fn refuses_a_damaged_file() {
        for content in [&b""[..], b"3", b"-1\n", b"0\n", b"\xff\n", b"99999999999999999999\n"] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(FILE), content).unwrap();
            assert!(
                matches!(begin(folder.path(), true), Err(IncarnationError::Damaged { .. })),
                "{content:?} was accepted"
            );
        }
    }

    #[test]
    fn refuses_to_start_again_at_one_when_data_exist() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(begin(folder.path(), true), Err(IncarnationError::Missing { .. })));
    }
}
