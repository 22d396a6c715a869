//! Opening the trace for one more life of the node.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Opens the trace for appending. A last line without an end is cut off: a SIGKILL met the write in the middle, so nothing that depends on
/// that line has left the node, and the next line must not be glued to it. What is no regular file (a pipe) is taken as it is.
///
/// # Errors
/// What the system said.
pub(super) fn open(path: &Path) -> io::Result<File> {
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
    use std::io::Write;

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
