//! One node's trace while the node writes it: the whole lines that were added since the last look.
//!
//! **A line without an end is left in the file**, not taken and remembered: SIGKILL may have met the write in its middle, and then the
//! node's next life cuts it off before it appends. What was taken would be glued to a line that it never belonged to.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use squall_checker::history::read::LINE_BYTES_MAX;

/// Bytes read at once: what a busy node writes within a few beats.
const PIECE_BYTES: usize = 1 << 18;

/// The place up to which a trace was taken.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    file: Option<File>,
    /// Up to the end of the last line that was taken.
    taken_bytes: u64,
}

impl Tail {
    /// Of the trace at `path`, which may not be there yet.
    pub(super) fn of(path: PathBuf) -> Tail {
        Tail {
            path,
            file: None,
            taken_bytes: 0,
        }
    }

    /// Hands over, in pieces of whole lines, what the file holds at this moment and did not at the last look; perhaps some lines more. `piece` is
    /// room that several tails share.
    ///
    /// # Errors
    /// If the file cannot be opened or read, or has become shorter than what was taken. One that is not there yet is no error.
    pub(super) fn read_on(&mut self, piece: &mut Vec<u8>, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        let file = match &self.file {
            Some(file) => file,
            None => match File::open(&self.path) {
                Ok(file) => self.file.insert(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            },
        };
        // Not to the end, wherever that is by then: a node that writes fast must not keep the others from their turn.
        let length = file.metadata()?.len();
        if length < self.taken_bytes {
            let what = format!("the file has {length} bytes, after {} were read", self.taken_bytes);
            return Err(io::Error::other(what));
        }
        piece.resize(PIECE_BYTES, 0);
        while self.taken_bytes < length {
            let n_read = read_at(file, piece, self.taken_bytes)?;
            let whole = match piece[..n_read].iter().rposition(|byte| *byte == b'\n') {
                Some(end) => end + 1,
                None if n_read < piece.len() => break,
                None if piece.len() <= LINE_BYTES_MAX => {
                    piece.resize(piece.len() * 2, 0);
                    continue;
                }
                // No line is so long: whoever takes it says so.
                None => n_read,
            };
            take(&piece[..whole]);
            self.taken_bytes += whole as u64;
        }
        piece.truncate(PIECE_BYTES);
        piece.shrink_to(PIECE_BYTES);
        Ok(())
    }
}

/// Fills the piece as far as the file goes.
fn read_at(file: &File, piece: &mut [u8], begin: u64) -> io::Result<usize> {
    let mut n_read = 0;
    while n_read < piece.len() {
        match file.read_at(&mut piece[n_read..], begin + n_read as u64) {
            Ok(0) => break,
            Ok(more) => n_read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(n_read)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;

    use squall_checker::history::read::LINE_BYTES_MAX;
    use tempfile::TempDir;

    use super::{PIECE_BYTES, Tail};

    struct Trace {
        folder: TempDir,
        tail: Tail,
    }

    impl Trace {
        fn new() -> Trace {
            let folder = TempDir::new().expect("tests may write to the temporary folder");
            let tail = Tail::of(folder.path().join("trace.jsonl"));
            Trace { folder, tail }
        }

        fn write(&self, bytes: &[u8]) {
            let path = self.folder.path().join("trace.jsonl");
            let mut file = OpenOptions::new().append(true).create(true).open(path).expect("the folder is ours");
            file.write_all(bytes).expect("there is room");
        }

        fn cut(&self, length: u64) {
            let path = self.folder.path().join("trace.jsonl");
            let file = OpenOptions::new().write(true).open(path).expect("it is there");
            file.set_len(length).expect("it can be cut");
        }

        fn taken(&mut self) -> std::io::Result<Vec<u8>> {
            let mut all = Vec::new();
            self.tail.read_on(&mut Vec::new(), |piece| all.extend_from_slice(piece))?;
            Ok(all)
        }

        #[track_caller]
        fn check(&mut self, expected: &[u8]) {
            let taken = self.taken().expect("it can be read");
            assert!(taken == expected, "{} bytes, not {}", taken.len(), expected.len());
        }
    }

    #[test]
    fn a_file_that_appears_later_is_taken_from_its_begin() {
        let mut trace = Trace::new();
        trace.check(b"");
        trace.write(b"1\n2\n");
        trace.check(b"1\n2\n");
        trace.check(b"");
    }

    #[test]
    fn lines_that_are_written_in_any_two_parts_are_taken_whole_and_once() {
        let text = b"first\nsecond\n\nfourth\n";
        for cut in 0..=text.len() {
            let mut trace = Trace::new();
            trace.write(&text[..cut]);
            let mut taken = trace.taken().expect("it can be read");
            assert!(taken.is_empty() || taken.ends_with(b"\n"), "cut at {cut}");
            trace.write(&text[cut..]);
            taken.extend(trace.taken().expect("it can be read"));
            assert_eq!(taken, text, "cut at {cut}");
        }
    }

    /// What a SIGKILL left half written, the next life cuts off (`node/src/driver/trace_file.rs`).
    #[test]
    fn a_restarted_nodes_lines_are_not_glued_to_the_half_line_of_its_former_life() {
        let mut trace = Trace::new();
        trace.write(b"whole\nhalf a li");
        trace.check(b"whole\n");
        trace.check(b"");
        trace.cut(6);
        trace.check(b"");
        trace.write(b"a new life, longer than the half line\n");
        trace.check(b"a new life, longer than the half line\n");
    }

    #[test]
    fn pieces_are_joined_and_a_line_longer_than_one_is_whole() {
        let mut trace = Trace::new();
        let long = [vec![b'x'; 5 * PIECE_BYTES], b"\n".to_vec()].concat();
        let many = b"0123456789\n".repeat(PIECE_BYTES / 4);
        let text = [&many[..], &long, b"end\n"].concat();
        trace.write(&text);
        trace.check(&text);
    }

    #[test]
    fn bytes_without_any_end_are_handed_over_once_they_can_be_no_line() {
        let mut trace = Trace::new();
        let endless = vec![b'x'; 2 * LINE_BYTES_MAX];
        trace.write(&endless[..PIECE_BYTES]);
        trace.check(b"");
        trace.write(&endless);
        assert!(trace.taken().expect("it can be read").len() > LINE_BYTES_MAX);
    }

    #[test]
    fn a_file_that_lost_what_was_taken_is_an_error() {
        let mut trace = Trace::new();
        trace.write(b"one\ntwo\n");
        trace.check(b"one\ntwo\n");
        trace.cut(4);
        let error = trace.taken().expect_err("lines are gone");
        assert_eq!(error.to_string(), "the file has 4 bytes, after 8 were read");
    }

    #[test]
    fn what_cannot_be_opened_is_an_error() {
        let folder = TempDir::new().expect("tests may write to the temporary folder");
        fs::write(folder.path().join("file"), b"").expect("the folder is ours");
        let mut tail = Tail::of(folder.path().join("file/trace.jsonl"));
        assert!(tail.read_on(&mut Vec::new(), |_| ()).is_err());
    }
}
