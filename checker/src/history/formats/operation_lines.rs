//! Files with one whole operation per line, as `histgen` and benchmarks write them.
//!
//! `{"proc":3,"f":"read","key":"17","arg":null,"res":42,"inv":1000,"ret":2500}`: `arg` is what a write writes and the pair
//! `[expected, new]` of a `cas`; `res` is what a read saw and whether a `cas` did it; `"ret":null` is an unknown outcome. Times are
//! nanoseconds. Lines should be ordered by `inv`; those that are not are read all the same.
//!
//! A line costs about as much as its bytes: [`row`] reads the spelling above by hand, and only a line spelled otherwise (white space,
//! another order of fields, values that are no small integers) is given to serde. The file is read in chunks of a mebibyte.

mod processes;
mod row;

use std::io::Read;

use self::processes::Processes;
use self::row::{Row, Scalar, SlowRow};
use super::super::error::{ReadError, ReadErrorKind};
use super::super::operation::{Function, KeyId, MISMATCH, NEVER_NS, Operation, Outcome, SmallId};
use super::super::pairing::{self, TIME_NS_MAX};
use super::super::read::LINE_BYTES_MAX;
use super::super::values::{DEPTH_MAX, TooDeep, ValueId};
use super::super::{CutLine, History};
use crate::escape::visible;

/// Bytes read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Longest message about a line in characters: it may quote the line.
const ERROR_CHARS_MAX: usize = 200;

/// Reads a whole file.
///
/// # Errors
/// With the line, if the source cannot be read, if a line is no operation, or if a process does two things at a time.
pub(super) fn read(mut source: impl Read) -> Result<History, ReadError> {
    let mut rows = Rows::default();
    let mut buffer = vec![0; CHUNK_BYTES];
    // What of the buffer is filled, and from where it is unread.
    let (mut filled, mut begin) = (0, 0);
    loop {
        begin += rows.take_whole_lines(&buffer[begin..filled])?;
        buffer.copy_within(begin..filled, 0);
        (filled, begin) = (filled - begin, 0);
        if filled == buffer.len() {
            if filled > LINE_BYTES_MAX {
                return Err(rows.error_at_next(ReadErrorKind::LineTooLong { limit: LINE_BYTES_MAX }));
            }
            buffer.resize(2 * filled, 0);
        }
        let count = match source.read(&mut buffer[filled..]) {
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(rows.error_at_next(error.into())),
        };
        if count == 0 {
            rows.take_last_line(&buffer[..filled])?;
            return rows.finish();
        }
        filled += count;
    }
}

#[derive(Default)]
struct Rows {
    history: History,
    processes: Processes,
    mismatch: Option<SmallId>,
    last_key: Option<KeyId>,
}

impl Rows {
    /// Takes every line that ends within `bytes` and returns how many bytes they are.
    fn take_whole_lines(&mut self, bytes: &[u8]) -> Result<usize, ReadError> {
        let mut rest = bytes;
        loop {
            if let Some((row, after)) = Row::parse(rest) {
                self.history.lines += 1;
                self.take_row(&row)?;
                rest = after;
                continue;
            }
            let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
                return Ok(bytes.len() - rest.len());
            };
            let (line, after) = rest.split_at(end + 1);
            self.take_any_line(line)?;
            rest = after;
        }
    }

    /// A last line without an end may have been cut.
    fn take_last_line(&mut self, line: &[u8]) -> Result<(), ReadError> {
        if line.is_empty() {
            return Ok(());
        }
        self.take_any_line(line)
    }

    /// Takes a line of any spelling.
    fn take_any_line(&mut self, line: &[u8]) -> Result<(), ReadError> {
        self.history.lines += 1;
        if line.len() > LINE_BYTES_MAX {
            return Err(self.error(ReadErrorKind::LineTooLong { limit: LINE_BYTES_MAX }));
        }
        let text = line.trim_ascii();
        if text.is_empty() {
            return Ok(());
        }
        if !text.starts_with(b"{") {
            // serde would also take a list for the fields in order.
            return Err(self.error(ReadErrorKind::Row("expected a JSON object".into())));
        }
        match serde_json::from_slice::<SlowRow<'_>>(text) {
            Ok(row) => self.take_slow_row(&row),
            Err(error) if error.is_eof() && line.last() != Some(&b'\n') => {
                self.history.cut_line = Some(CutLine {
                    line: self.history.lines,
                    bytes: line.len(),
                });
                Ok(())
            }
            Err(error) => {
                let indent = line.len() - line.trim_ascii_start().len();
                let message = error.to_string();
                let reason = message.rsplit_once(" at line ").map_or(message.as_str(), |(reason, _)| reason);
                Err(ReadError {
                    column: (error.column() > 0).then(|| error.column() + indent),
                    ..self.error(ReadErrorKind::Row(visible(reason, ERROR_CHARS_MAX)))
                })
            }
        }
    }

    fn take_row(&mut self, row: &Row<'_>) -> Result<(), ReadError> {
        let key = match self.last_key {
            Some(key) if self.history.keys.get(key.index()) == Some(row.key) => Some(key),
            _ => self.key(row.key)?,
        };
        self.last_key = key;
        let argument = self.scalar(row.arg);
        let result = self.scalar(row.res);
        let cas_done = match row.res {
            Scalar::True => Some(true),
            Scalar::False => Some(false),
            _ => None,
        };
        self.push(
            row.process,
            row.f,
            key,
            argument,
            (result, cas_done),
            (row.invoked_ns, row.returned_ns),
        )
    }

    fn take_slow_row(&mut self, row: &SlowRow<'_>) -> Result<(), ReadError> {
        let f = pairing::function(&mut self.history, row.f.as_str()).map_err(|kind| self.error(kind))?;
        let key = match &row.key {
            Some(key) => self.key(key.as_str())?,
            None => None,
        };
        let mut value = |json: Option<&serde_json::value::RawValue>| match json {
            None => Ok(ValueId::NULL),
            Some(json) => self.history.values.intern(json.get()),
        };
        let values = value(row.arg).and_then(|argument| Ok((argument, value(row.res)?)));
        let (argument, result) = values.map_err(|TooDeep| self.error(ReadErrorKind::ValueTooDeep { limit: DEPTH_MAX }))?;
        let cas_done = match row.res.map(|res| res.get()) {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => None,
        };
        self.push(row.process, f, key, argument, (result, cas_done), (row.invoked_ns, row.returned_ns))
    }

    fn push(
        &mut self,
        process: u64,
        f: Function,
        key: Option<KeyId>,
        argument: ValueId,
        (result, cas_done): (ValueId, Option<bool>),
        (invoked_ns, returned_ns): (u64, Option<u64>),
    ) -> Result<(), ReadError> {
        let line = u32::try_from(self.history.lines).map_err(|_| self.error(TOO_MANY_LINES))?;
        let mut operation = Operation {
            process,
            invoked_ns,
            returned_ns: returned_ns.unwrap_or(NEVER_NS),
            argument: if f == Function::Read { ValueId::NULL } else { argument },
            observed: ValueId::NONE,
            key,
            invoke_line: line,
            complete_line: if returned_ns.is_some() { line } else { 0 },
            f,
            node: None,
            error_kind: None,
            outcome: if returned_ns.is_some() { Outcome::Ok } else { Outcome::Unknown },
        };
        let latest_ns = returned_ns.unwrap_or(invoked_ns);
        if latest_ns.max(invoked_ns) > TIME_NS_MAX {
            return Err(self.error(ReadErrorKind::TimeTooLarge {
                time_ns: latest_ns.max(invoked_ns),
            }));
        }
        if latest_ns < invoked_ns {
            return Err(self.error(ReadErrorKind::CompletedBeforeInvoked {
                process,
                completed_ns: latest_ns,
                invoked_ns,
                invoke_line: self.history.lines,
            }));
        }
        if f == Function::Cas {
            self.complete_cas(&mut operation, cas_done)?;
        } else if returned_ns.is_some() {
            operation.observed = if f == Function::Write { argument } else { result };
        }
        self.processes.take(&self.history, &operation).map_err(|kind| self.error(kind))?;
        self.history.operations.push(operation);
        Ok(())
    }

    /// A compare-and-set needs its two values, and if it returned it says whether it was done.
    fn complete_cas(&mut self, operation: &mut Operation, done: Option<bool>) -> Result<(), ReadError> {
        if self.history.values.pair(operation.argument).is_none() {
            return Err(self.error(ReadErrorKind::Row(
                "the `arg` of a `cas` is a list of two, `[expected, new]`".into(),
            )));
        }
        match (operation.outcome, done) {
            (Outcome::Unknown, _) => {}
            (_, Some(true)) => operation.observed = operation.argument,
            (_, Some(false)) => {
                operation.outcome = Outcome::Fail;
                let history = &mut self.history;
                let mismatch = self.mismatch.get_or_insert_with(|| {
                    SmallId::new(history.error_kinds.intern(MISMATCH)).expect("it is the only kind of error these files have")
                });
                operation.error_kind = Some(*mismatch);
            }
            (_, None) => {
                return Err(self.error(ReadErrorKind::Row("a `cas` that returned says `true` or `false` in `res`".into())));
            }
        }
        Ok(())
    }

    fn key(&mut self, name: &str) -> Result<Option<KeyId>, ReadError> {
        KeyId::new(self.history.keys.intern(name)).map(Some).ok_or_else(|| {
            self.error(ReadErrorKind::TooMany {
                what: "keys",
                limit: u64::from(u32::MAX),
            })
        })
    }

    fn scalar(&mut self, scalar: Scalar) -> ValueId {
        match scalar {
            // What is true or false is what became of a `cas`, which is no value of the register.
            Scalar::Null | Scalar::True | Scalar::False => ValueId::NULL,
            Scalar::Integer(value) => value,
            Scalar::Pair(first, second) => self.history.values.pair_of(first, second),
        }
    }

    fn finish(mut self) -> Result<History, ReadError> {
        self.processes
            .finish(&self.history)
            .map_err(|(line, kind)| ReadError { line, ..self.error(kind) })?;
        self.history.operations.shrink_to_fit();
        Ok(self.history)
    }

    /// An error of the line that was just taken.
    fn error(&self, kind: ReadErrorKind) -> ReadError {
        ReadError {
            line: self.history.lines,
            column: None,
            operation: None,
            kind,
        }
    }

    fn error_at_next(&self, kind: ReadErrorKind) -> ReadError {
        ReadError {
            line: self.history.lines + 1,
            ..self.error(kind)
        }
    }
}

const TOO_MANY_LINES: ReadErrorKind = ReadErrorKind::TooMany {
    what: "lines",
    limit: u32::MAX as u64,
};
