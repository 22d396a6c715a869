//! The files of a run that follow from its history, each replaced whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use squall_checker::history::History;
use squall_checker::history::binary::write_binary;

use super::{ResultsError, RunFolder};
use crate::report::witness::Picture;

/// Bytes of a binary history written at once.
const WRITE_BYTES: usize = 1 << 20;

/// The texts that follow from a history, as [`crate::report`] renders them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgementFiles {
    /// `verdict.json`.
    pub verdict: String,
    /// `report.txt`.
    pub report: String,
    /// `witness.txt` and `witness.jsonl`.
    pub witness: Option<(String, String)>,
    /// `witness.svg` and `witness.html`.
    pub picture: Option<Picture>,
    /// `spacetime.svg` and `spacetime.html`.
    pub spacetime: Option<Picture>,
}

impl RunFolder {
    /// Writes what the judge found and removes what an earlier judgement left. Each file is replaced whole, never seen half.
    ///
    /// # Errors
    /// [`ResultsError::NotWritable`] for a folder that may only be read: `squall check` then prints and goes on.
    pub fn write_judgement(&self, files: &JudgementFiles) -> Result<(), ResultsError> {
        match &files.witness {
            Some((text, history)) => {
                replace(&self.witness_text(), text)?;
                replace(&self.witness_history(), history)?;
            }
            None => {
                remove(&self.witness_text())?;
                remove(&self.witness_history())?;
            }
        }
        keep_picture(&self.witness_picture(), &self.witness_page(), files.picture.as_ref())?;
        keep_picture(&self.spacetime_picture(), &self.spacetime_page(), files.spacetime.as_ref())?;
        replace(&self.report(), &files.report)?;
        // Last: who sees a verdict finds the proof beside it.
        replace(&self.verdict(), &files.verdict)
    }

    /// Writes the history as bytes, whole or not at all.
    ///
    /// # Errors
    /// As [`RunFolder::write_judgement`].
    pub fn write_binary_history(&self, history: &History) -> Result<(), ResultsError> {
        replace_by(&self.binary_history(), |file| {
            let mut out = BufWriter::with_capacity(WRITE_BYTES, file);
            write_binary(history, &mut out)?;
            out.flush()
        })
    }
}

/// Writes a picture and its page, or removes those of an earlier judgement.
fn keep_picture(svg: &Path, html: &Path, picture: Option<&Picture>) -> Result<(), ResultsError> {
    match picture {
        Some(picture) => {
            replace(svg, &picture.svg)?;
            replace(html, &picture.html)
        }
        None => {
            remove(svg)?;
            remove(html)
        }
    }
}

fn replace(path: &Path, text: &str) -> Result<(), ResultsError> {
    replace_by(path, |mut file| file.write_all(text.as_bytes()))
}

/// A reader sees the old file or the new one, never half of one.
fn replace_by(path: &Path, write: impl FnOnce(File) -> io::Result<()>) -> Result<(), ResultsError> {
    let beside = path.with_extension("new");
    let written = File::create(&beside).and_then(write).and_then(|()| fs::rename(&beside, path));
    written.map_err(|cause| {
        // Best effort: the error that matters is the one above.
        let _ = fs::remove_file(&beside);
        ResultsError::new(path, cause)
    })
}

fn remove(path: &Path) -> Result<(), ResultsError> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(ResultsError::new(path, cause)),
        _ => Ok(()),
    }
}
