//! Our own files: lines become operations, operations find their completions.
//!
//! Nothing of the file is trusted: a line is bounded before it is stored, nesting before it is followed, and every way in which a history
//! can contradict itself is an error with its line. A last line that was cut is no error: the recorder writes an event to the file before it
//! acts on it, so every prefix of a file is a history.

use std::io::Read;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::chunks::{self, Chunking, LineReader};
use super::error::{ReadError, ReadErrorKind};
use super::event::Event;
use super::fast_line::FastLine;
use super::line::{Actor, Line};
use super::mark::Header;
use super::pairing::Pairing;
use super::{CutLine, History, Mark};
use crate::escape::visible;

/// Longest line: a value of 16 MiB is far past what a store under test holds in one key.
pub const LINE_BYTES_MAX: usize = 16 << 20;

/// Longest message about a line in characters: it may quote the line.
const ERROR_CHARS_MAX: usize = 200;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The format version we read and write.
pub const FORMAT_VERSION: u32 = 1;

impl History {
    /// Reads a history, line by line.
    ///
    /// # Errors
    /// With the line, if the source cannot be read, if a line is no event or if the events contradict each other; see [`ReadErrorKind`].
    pub fn read(source: impl Read + Send) -> Result<History, ReadError> {
        History::read_chunked(source, Chunking::default())
    }

    /// The same in other chunks, on several threads.
    ///
    /// # Errors
    /// The same too.
    pub fn read_chunked(source: impl Read + Send, chunking: Chunking) -> Result<History, ReadError> {
        let mut reader = Reader::default();
        chunks::read(source, &mut reader, chunking)?;
        Ok(reader.finish())
    }
}

#[derive(Default)]
pub(super) struct Reader {
    history: History,
    pairing: Pairing,
    /// Whether the first line, which may be the header, has been seen.
    begun: bool,
}

impl LineReader for Reader {
    type Row = FastLine;

    const LINE_BYTES_USUAL: usize = 90;

    fn parse(piece: &[u8], begin: usize) -> Option<(FastLine, usize)> {
        FastLine::parse(piece, begin)
    }

    fn take_rows(&mut self, piece: &[u8], rows: &[FastLine]) -> Result<(), ReadError> {
        for row in rows {
            self.begun = true;
            self.history.lines += 1;
            let number = self.history.lines;
            self.pairing
                .take(&mut self.history, row.process, &row.line(piece), number)
                .map_err(|kind| at_line(number, kind))?;
        }
        Ok(())
    }

    fn take_line(&mut self, line: &[u8]) -> Result<(), ReadError> {
        // A line's end may be two bytes long.
        let bound = LINE_BYTES_MAX + 2;
        if line.len() > bound || (line.len() == bound && line.last() != Some(&b'\n')) {
            return Err(self.error_at_next(ReadErrorKind::LineTooLong { limit: LINE_BYTES_MAX }));
        }
        self.history.lines += 1;
        self.take(line)
    }

    fn error_at_next(&self, kind: ReadErrorKind) -> ReadError {
        at_line(self.history.lines + 1, kind)
    }
}

fn at_line(line: u64, kind: ReadErrorKind) -> ReadError {
    ReadError {
        line,
        column: None,
        operation: None,
        kind,
    }
}

impl Reader {
    pub(super) fn finish(self) -> History {
        self.pairing.finish(self.history)
    }

    fn take(&mut self, line: &[u8]) -> Result<(), ReadError> {
        // Editors of some systems put the mark of UTF-8 before the first line.
        let line = if self.begun {
            line
        } else {
            line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line)
        };
        let text = line.trim_ascii();
        if text.is_empty() {
            return Ok(());
        }
        let first = !std::mem::replace(&mut self.begun, true);
        let result = if first && is_header(text) {
            self.take_header(text)
        } else {
            self.take_event(text)
        };
        let number = self.history.lines;
        match result {
            // Only the last line has no end. What is wrong with it before its bytes run out is still an error.
            Err(Fault { cut: true, .. }) if line.last() != Some(&b'\n') => {
                self.history.cut_line = Some(CutLine {
                    line: number,
                    bytes: line.len(),
                });
                Ok(())
            }
            Err(Fault { column, kind, .. }) => {
                let indent = line.len() - line.trim_ascii_start().len();
                Err(ReadError {
                    line: number,
                    column: column.map(|column| column + indent),
                    operation: None,
                    kind,
                })
            }
            Ok(()) => Ok(()),
        }
    }

    fn take_header(&mut self, text: &[u8]) -> Result<(), Fault> {
        let header: Header = serde_json::from_slice(text).map_err(|error| Fault::of_json(&error, text))?;
        if header.squall_history != FORMAT_VERSION {
            return Err(ReadErrorKind::FormatVersion {
                found: header.squall_history,
                supported: FORMAT_VERSION,
            }
            .into());
        }
        self.history.header = Some(header);
        Ok(())
    }

    fn take_event(&mut self, text: &[u8]) -> Result<(), Fault> {
        if !text.starts_with(b"{") {
            // serde would also take a list for the fields in order.
            return Err(Fault {
                column: Some(1),
                cut: false,
                kind: ReadErrorKind::Json("expected a JSON object".into()),
            });
        }
        let line: Line<'_> = serde_json::from_slice(text).map_err(|error| Fault::of_json(&error, text))?;
        let number = self.history.lines;
        match line.process {
            Actor::Client(process) => Ok(self.pairing.take(&mut self.history, process, &line, number)?),
            Actor::Named(_) => {
                let event: Event = serde_json::from_slice(text).map_err(|error| Fault::of_json(&error, text))?;
                self.history.marks.push(Mark { line: number, event });
                Ok(())
            }
        }
    }
}

/// Whether the file's first line is a header: no event has this field, which may stand anywhere in it (`jq -S` sorts the fields).
fn is_header(text: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Marker {
        #[serde(rename = "squall_history")]
        _version: IgnoredAny,
    }
    // Ours begins with the field, by which a cut header is known too.
    let begins = text
        .strip_prefix(b"{")
        .is_some_and(|rest| rest.trim_ascii_start().starts_with(b"\"squall_history\""));
    begins || (text.starts_with(b"{") && serde_json::from_slice::<Marker>(text).is_ok())
}

/// What is wrong with one line.
struct Fault {
    column: Option<usize>,
    /// Whether the bytes ran out.
    cut: bool,
    kind: ReadErrorKind,
}

impl From<ReadErrorKind> for Fault {
    fn from(kind: ReadErrorKind) -> Fault {
        Fault {
            column: None,
            cut: false,
            kind,
        }
    }
}

impl Fault {
    fn of_json(error: &serde_json::Error, text: &[u8]) -> Fault {
        // serde_json counts lines within the slice it was given: always line 1 here, and the message ends with the place.
        let column = (error.column() > 0).then(|| error.column());
        let message = error.to_string();
        let reason = message.rsplit_once(" at line ").map_or(message.as_str(), |(reason, _)| reason);
        Fault {
            column,
            // A number cut behind its point is no end of input to serde_json but a bad number, at the last byte.
            cut: error.is_eof() || (error.is_syntax() && error.column() >= text.len()),
            kind: ReadErrorKind::Json(visible(reason, ERROR_CHARS_MAX)),
        }
    }
}
