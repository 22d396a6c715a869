//! The trace of one more life of the node: its file, and the gate behind it if there is one.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::gate::Gate;

/// Where the trace goes.
#[derive(Debug)]
pub(super) struct Sink {
    file: File,
    gate: Option<Gate>,
}

impl Sink {
    /// Opens the trace at `path`, and the gate if there is to be one.
    ///
    /// # Errors
    /// What the system said.
    pub(super) fn open(path: &Path, gate: Option<&Path>) -> io::Result<Sink> {
        Ok(Sink {
            file: open(path)?,
            gate: gate.map(Gate::connect).transpose()?,
        })
    }
}

impl Write for Sink {
    /// All of it, and only then the gate: what is told there can be read in the file.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.file.write_all(lines)?;
        if self.gate.as_mut().is_some_and(|gate| !gate.pass(lines)) {
            self.gate = None;
        }
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Opens the trace for appending. A last line without an end is cut off: a SIGKILL met the write in the middle, so nothing that depends on
/// that line has left the node, and the next line must not be glued to it. What is no regular file (a pipe) is taken as it is.
///
/// # Errors
/// What the system said.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)
        .or_else(|error| match error.kind() {
            // A descriptor that is only open for writing, reached by /dev/fd/N, refuses to be read.
            io::ErrorKind::PermissionDenied => OpenOptions::new().append(true).open(path),
            _ => Err(error),
        })?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        let whole = end_of_last_line(&file, metadata.len())?;
        if whole < metadata.len() {
            file.set_len(whole)?;
        }
    }
    Ok(file)
}

/// How many bytes of the file are whole lines.
fn end_of_last_line(file: &File, length: u64) -> io::Result<u64> {
    let mut block = [0; 4096];
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let part = &mut block[..usize::try_from(end - start).expect("a block is small")];
        file.read_exact_at(part, start)?;
        if let Some(place) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + place as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: &[u8], expected: &[u8]) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace");
        std::fs::write(&path, before).unwrap();
        open(&path).unwrap().write_all(b"next\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [expected, b"next\n"].concat());
    }

    #[test]
    fn cuts_a_line_that_a_kill_left_unfinished() {
        check(b"", b"");
        check(b"one\ntwo\n", b"one\ntwo\n");
        check(b"one\ntw", b"one\n");
        check(b"tw", b"");
        check(&[b"one\n".as_slice(), &[b'x'; 10_000]].concat(), b"one\n");
    }
}
