//! A file of lines, read in chunks, parsed on several threads, put together in the file's order.
//!
//! Each step does three things side by side: the next chunk is read, the one before is parsed in pieces that end at line ends, and what
//! was parsed of the one before that is taken up, line by line. Parsing knows nothing but its bytes; whatever depends on what came before
//! (numbers of names, processes, errors) happens in taking up, which goes through the file once from front to back. So neither the number of
//! threads nor the places where chunks end can be seen in a history or an error; a test holds that for chunks of a few bytes. At any time
//! three chunks are in memory, however long the file is.

use std::io::{self, ErrorKind, Read};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::error::{ReadError, ReadErrorKind};
use super::read::LINE_BYTES_MAX;
use crate::parallel;

/// How a file is read. Nothing of it can be seen in what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunking {
    /// Threads that read, parse and take up; 0 counts as 1.
    pub threads: usize,
    /// Bytes read at once. A longer line makes its chunk longer.
    pub bytes: usize,
}

impl Chunking {
    /// The usual chunks, on so many threads.
    pub fn on_threads(threads: usize) -> Chunking {
        Chunking {
            threads,
            ..Chunking::default()
        }
    }
}

impl Default for Chunking {
    /// One thread. 2 MiB: with what is parsed of them, chunks stay in a core's cache until they are taken up; starting threads for each costs
    /// less than a tenth of parsing it.
    fn default() -> Chunking {
        Chunking {
            threads: 1,
            bytes: 2 << 20,
        }
    }
}

/// Most pieces of a chunk per thread, so that a slow piece at the end keeps nobody waiting long.
const PIECES_PER_THREAD: usize = 4;

/// A smaller piece is not worth a thread, unless chunks are small too.
const PIECE_BYTES_MIN: usize = 64 << 10;

/// Room for the begin of a file.
const FIRST_BYTES: usize = 16 << 10;

/// A longer line is too long in every format (some count its line end, which may be two bytes).
const UNFINISHED_BYTES_MAX: usize = LINE_BYTES_MAX + 2;

/// What reads one format of lines.
pub(super) trait LineReader: Send {
    /// What is known of a line of the usual spelling from its bytes alone.
    type Row: Send + Sync;

    /// About the length of a line, with which room for rows is made.
    const LINE_BYTES_USUAL: usize;

    /// The line that begins at `begin` of `piece`, and where the line after it begins; `None` if it is not of the usual spelling, or does
    /// not end within the piece.
    fn parse(piece: &[u8], begin: usize) -> Option<(Self::Row, usize)>;

    /// Takes up the next lines of the file, which were parsed. `piece` are the bytes that they were parsed among.
    fn take_rows(&mut self, piece: &[u8], rows: &[Self::Row]) -> Result<(), ReadError>;

    /// Takes up the next line of the file, whatever its spelling. Only the file's last line may have no end.
    fn take_line(&mut self, line: &[u8]) -> Result<(), ReadError>;

    /// An error at the line after the last one taken up.
    fn error_at_next(&self, kind: ReadErrorKind) -> ReadError;
}

/// Reads all lines of `source`.
///
/// # Errors
/// The first of the file, in the order of its lines.
pub(super) fn read<L: LineReader>(source: impl Read + Send, lines: &mut L, chunking: Chunking) -> Result<(), ReadError> {
    let mut feed = Feed {
        source,
        bytes: chunking.bytes.max(1),
    };
    let mut fresh = Some(feed.next(Vec::new(), &[]));
    let mut parsed: Option<(Chunk, Vec<Piece<L::Row>>)> = None;
    let mut spare = Vec::new();
    while fresh.is_some() || parsed.is_some() {
        let tasks = tasks(&mut feed, lines, fresh.as_ref(), parsed.as_ref(), &mut spare, chunking);
        let mut next = None;
        let mut pieces = Vec::new();
        for done in parallel::map(&tasks, chunking.threads, Task::weight, Task::work) {
            match done {
                Done::TakenUp(result) => result?,
                Done::Read(chunk) => next = Some(chunk),
                Done::Parsed(piece) => pieces.push(piece),
            }
        }
        drop(tasks);
        if let Some((chunk, _)) = parsed {
            spare = finish(chunk, lines)?;
        }
        parsed = fresh.map(|chunk| (chunk, pieces));
        fresh = next;
    }
    Ok(())
}

/// Takes up what stands behind the whole lines of the last chunk, and gives the chunk's memory back.
fn finish<L: LineReader>(chunk: Chunk, lines: &mut L) -> Result<Vec<u8>, ReadError> {
    match chunk.end {
        Some(End::OfFile) if !chunk.rest().is_empty() => lines.take_line(chunk.rest())?,
        Some(End::LineTooLong) => return Err(lines.error_at_next(ReadErrorKind::LineTooLong { limit: LINE_BYTES_MAX })),
        Some(End::Failed(error)) => return Err(lines.error_at_next(ReadErrorKind::Io(error))),
        None | Some(End::OfFile) => {}
    }
    Ok(chunk.bytes)
}

/// Bytes of the file that begin with a line.
struct Chunk {
    bytes: Vec<u8>,
    /// How many of them were read.
    filled: usize,
    /// How many of those are whole lines.
    whole: usize,
    /// Why there is no chunk after it.
    end: Option<End>,
}

enum End {
    OfFile,
    LineTooLong,
    Failed(io::Error),
}

impl Chunk {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.whole..self.filled]
    }

    /// Its whole lines, cut into pieces of whole lines.
    fn pieces(&self, chunking: Chunking) -> Vec<Range<usize>> {
        let share = self.whole / (PIECES_PER_THREAD * chunking.threads.max(1));
        let size = share.max(PIECE_BYTES_MIN.min(chunking.bytes / 4)).max(1);
        let mut pieces = Vec::new();
        let mut begin = 0;
        while begin < self.whole {
            let wanted = (begin + size).min(self.whole);
            let line_end = self.bytes[wanted - 1..self.whole].iter().position(|&byte| byte == b'\n');
            let end = line_end.map_or(self.whole, |place| wanted + place);
            pieces.push(begin..end);
            begin = end;
        }
        pieces
    }
}

struct Feed<S> {
    source: S,
    bytes: usize,
}

impl<S: Read> Feed<S> {
    /// The next chunk, in `buffer`, which is used again. It begins with what the chunk before did not end.
    fn next(&mut self, mut buffer: Vec<u8>, unfinished: &[u8]) -> Chunk {
        // Most files are small, and memory that is never used costs time too.
        buffer.resize(buffer.len().max(self.bytes.min(FIRST_BYTES)).max(unfinished.len() + 1), 0);
        buffer[..unfinished.len()].copy_from_slice(unfinished);
        let mut filled = unfinished.len();
        // Behind the last line end among the first `searched` bytes.
        let (mut whole, mut searched) = (0, filled);
        let end = loop {
            if filled == buffer.len() && filled < self.bytes {
                buffer.resize(self.bytes.min(2 * filled), 0);
            }
            if filled == buffer.len() {
                whole = line_end(&buffer, searched, filled).unwrap_or(whole);
                searched = filled;
                if whole > 0 {
                    break None;
                }
                if filled > UNFINISHED_BYTES_MAX {
                    break Some(End::LineTooLong);
                }
                buffer.resize(2 * filled, 0);
            }
            match self.source.read(&mut buffer[filled..]) {
                Ok(0) => break Some(End::OfFile),
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Some(End::Failed(error)),
            }
        };
        whole = line_end(&buffer, searched, filled).unwrap_or(whole);
        Chunk {
            bytes: buffer,
            filled,
            whole,
            end,
        }
    }
}

/// The place behind the last line end from `begin` to `end`.
fn line_end(bytes: &[u8], begin: usize, end: usize) -> Option<usize> {
    let place = bytes[begin..end].iter().rposition(|&byte| byte == b'\n')?;
    Some(begin + place + 1)
}

/// What was parsed of a piece: rows, and between them lines of other spellings.
struct Piece<R> {
    place: Range<usize>,
    rows: Vec<R>,
    others: Vec<Other>,
}

struct Other {
    /// How many rows of the piece stand before it.
    rows_before: usize,
    /// Where it stands in the piece.
    line: Range<usize>,
}

impl<R> Piece<R> {
    fn parse<L: LineReader<Row = R>>(chunk: &Chunk, place: Range<usize>) -> Piece<R> {
        let bytes = &chunk.bytes[place.clone()];
        let mut rows = Vec::with_capacity(bytes.len() / L::LINE_BYTES_USUAL);
        let mut others = Vec::new();
        let mut begin = 0;
        while begin < bytes.len() {
            if let Some((row, end)) = L::parse(bytes, begin)
                && end - begin <= LINE_BYTES_MAX
            {
                rows.push(row);
                begin = end;
                continue;
            }
            let line_end = bytes[begin..].iter().position(|&byte| byte == b'\n');
            let end = line_end.map_or(bytes.len(), |place| begin + place + 1);
            others.push(Other {
                rows_before: rows.len(),
                line: begin..end,
            });
            begin = end;
        }
        Piece { place, rows, others }
    }

    fn take_up<L: LineReader<Row = R>>(&self, chunk: &Chunk, lines: &mut L) -> Result<(), ReadError> {
        let bytes = &chunk.bytes[self.place.clone()];
        let mut taken = 0;
        for other in &self.others {
            lines.take_rows(bytes, &self.rows[taken..other.rows_before])?;
            taken = other.rows_before;
            lines.take_line(&bytes[other.line.clone()])?;
        }
        lines.take_rows(bytes, &self.rows[taken..])
    }
}

/// One of the things that a step does side by side.
enum Task<'a, S, L: LineReader> {
    TakeUp(Mutex<&'a mut L>, &'a Chunk, &'a [Piece<L::Row>]),
    /// With memory to use again, and the chunk before.
    Read(Mutex<(&'a mut Feed<S>, Vec<u8>)>, &'a Chunk),
    Parse(&'a Chunk, Range<usize>),
}

enum Done<R> {
    TakenUp(Result<(), ReadError>),
    Read(Chunk),
    Parsed(Piece<R>),
}

/// What is to be done of these two chunks, and of the one after them.
fn tasks<'a, S, L: LineReader>(
    feed: &'a mut Feed<S>,
    lines: &'a mut L,
    fresh: Option<&'a Chunk>,
    parsed: Option<&'a (Chunk, Vec<Piece<L::Row>>)>,
    spare: &mut Vec<u8>,
    chunking: Chunking,
) -> Vec<Task<'a, S, L>> {
    let mut tasks = Vec::new();
    if let Some((chunk, pieces)) = parsed {
        tasks.push(Task::TakeUp(Mutex::new(lines), chunk, pieces));
    }
    if let Some(chunk) = fresh {
        if chunk.end.is_none() {
            tasks.push(Task::Read(Mutex::new((feed, std::mem::take(spare))), chunk));
        }
        tasks.extend(chunk.pieces(chunking).into_iter().map(|place| Task::Parse(chunk, place)));
    }
    tasks
}

impl<S: Read + Send, L: LineReader> Task<'_, S, L> {
    /// Taking up cannot be shared, and reading may have to wait: these begin first.
    fn weight(&self) -> u64 {
        match self {
            Task::TakeUp(..) => 2,
            Task::Read(..) => 1,
            Task::Parse(..) => 0,
        }
    }

    // Each task is done once, by one thread, so that no lock is ever waited for, and none is poisoned.
    fn work(&self) -> Done<L::Row> {
        match self {
            Task::TakeUp(lines, chunk, pieces) => {
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                Done::TakenUp(pieces.iter().try_for_each(|piece| piece.take_up(chunk, &mut **lines)))
            }
            Task::Read(feed, before) => {
                let (feed, buffer) = &mut *feed.lock().unwrap_or_else(PoisonError::into_inner);
                Done::Read(feed.next(std::mem::take(buffer), before.rest()))
            }
            Task::Parse(chunk, place) => Done::Parsed(Piece::parse::<L>(chunk, place.clone())),
        }
    }
}
