//! Files with one whole operation per line, as `histgen` and benchmarks write them.
//!
//! `{"proc":3,"f":"read","key":"17","arg":null,"res":42,"inv":1000,"ret":2500}`: `arg` is what a write writes and the pair
//! `[expected, new]` of a `cas`; `res` is what a read saw and whether a `cas` did it; `"ret":null` is an unknown outcome. Times are
//! nanoseconds. Lines should be ordered by `inv`; those that are not are read all the same.
//!
//! A line costs about as much as its bytes: [`row`] reads the spelling above by hand, and only a line spelled otherwise (white space,
//! another order of fields, values that are no small integers) is given to serde.

mod processes;
mod row;

use std::io::Read;

use self::processes::Processes;
use self::row::{Row, SlowRow};
use super::super::chunks::{self, Chunking, LineReader};
use super::super::error::{ReadError, ReadErrorKind};
use super::super::operation::{Function, KeyId, MISMATCH, NEVER_NS, Operation, Outcome, SmallId};
use super::super::pairing::{self, TIME_NS_MAX};
use super::super::read::LINE_BYTES_MAX;
use super::super::values::{DEPTH_MAX, TooDeep, ValueId};
use super::super::{CutLine, History};
use crate::escape::visible;

/// Longest message about a line in characters: it may quote the line.
const ERROR_CHARS_MAX: usize = 200;

/// Reads a whole file.
///
/// # Errors
/// With the line, if the source cannot be read, if a line is no operation, or if a process does two things at a time.
pub(super) fn read(source: impl Read + Send, chunking: Chunking) -> Result<History, ReadError> {
    let mut rows = Rows::default();
    chunks::read(source, &mut rows, chunking)?;
    rows.finish()
}

#[derive(Default)]
pub(in crate::history) struct Rows {
    history: History,
    processes: Processes,
    mismatch: Option<SmallId>,
    last_key: Option<KeyId>,
}

impl LineReader for Rows {
    type Row = Row;

    const LINE_BYTES_USUAL: usize = 90;

    fn parse(piece: &[u8], begin: usize) -> Option<(Row, usize)> {
        Row::parse(piece, begin)
    }

    fn take_rows(&mut self, piece: &[u8], rows: &[Row]) -> Result<(), ReadError> {
        for row in rows {
            self.history.lines += 1;
            self.take_row(piece, row)?;
        }
        Ok(())
    }

    fn take_line(&mut self, line: &[u8]) -> Result<(), ReadError> {
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

    fn error_at_next(&self, kind: ReadErrorKind) -> ReadError {
        ReadError {
            line: self.history.lines + 1,
            ..self.error(kind)
        }
    }
}

impl Rows {
    fn take_row(&mut self, piece: &[u8], row: &Row) -> Result<(), ReadError> {
        let key = row.key.of(piece);
        let last = self.last_key.and_then(|last| self.history.keys.get(last.index()));
        if last.map(str::as_bytes) != Some(key) {
            self.last_key = self.key(row.key.text(piece))?;
        }
        let line = u32::try_from(self.history.lines).map_err(|_| self.error(TOO_MANY_LINES))?;
        let mut operation = row.operation;
        operation.key = self.last_key;
        operation.invoke_line = line;
        operation.complete_line = if operation.returned_ns == NEVER_NS { 0 } else { line };
        if operation.f == Function::Cas {
            operation.argument = self.history.values.pair_of(operation.argument, operation.observed);
            operation.observed = if operation.outcome == Outcome::Ok {
                operation.argument
            } else {
                ValueId::NONE
            };
            if operation.outcome == Outcome::Fail {
                operation.error_kind = Some(self.mismatch());
            }
        }
        self.add(operation)
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
        // Whether a `cas` was done is no value of the register.
        let res = row.res.filter(|_| f != Function::Cas);
        let values = value(row.arg).and_then(|argument| Ok((argument, value(res)?)));
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
        self.add(operation)
    }

    fn add(&mut self, operation: Operation) -> Result<(), ReadError> {
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
                operation.error_kind = Some(self.mismatch());
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

    fn mismatch(&mut self) -> SmallId {
        let kinds = &mut self.history.error_kinds;
        *self
            .mismatch
            .get_or_insert_with(|| SmallId::new(kinds.intern(MISMATCH)).expect("it is the only kind of error these files have"))
    }

    pub(in crate::history) fn finish(mut self) -> Result<History, ReadError> {
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
}

const TOO_MANY_LINES: ReadErrorKind = ReadErrorKind::TooMany {
    what: "lines",
    limit: u32::MAX as u64,
};
