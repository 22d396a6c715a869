//! The log lines of Jepsen's etcd tests that Porcupine keeps in its test data:
//! `INFO  jepsen.util - 3⇥:invoke⇥:cas⇥[3 0]`. Whatever stands before `jepsen.util - ` and every line without it is the log's own.
//!
//! A compare-and-set that failed with its own pair was compared and refused, which is what Porcupine's model of these files says; one that
//! failed with a keyword (`:timed-out`) did not happen.

use std::io::{BufRead, Read};

use super::edn::Form;
use super::edn::operations::kind;
use super::edn::reader::{Item, Reader};
use super::entry::Entry;
use crate::escape::visible;
use crate::history::error::{ReadError, ReadErrorKind};
use crate::history::event::{EventType, Process};
use crate::history::read::LINE_BYTES_MAX;

/// What stands before an operation.
pub(super) const LOGGER: &[u8] = b"jepsen.util - ";

/// The entries of a log, in the log's order, and the number of its lines.
///
/// # Errors
/// With the line, if the source cannot be read or a line that begins like an operation is none.
pub(super) fn entries(mut source: impl BufRead) -> Result<(Vec<Entry>, u64), ReadError> {
    let mut entries = Vec::new();
    let (mut line, mut number) = (Vec::new(), 0);
    loop {
        line.clear();
        let at_line = |kind| ReadError {
            line: number + 1,
            column: None,
            operation: Some(entries.len() as u64),
            kind,
        };
        let bound = LINE_BYTES_MAX as u64 + 1;
        source
            .by_ref()
            .take(bound)
            .read_until(b'\n', &mut line)
            .map_err(|error| at_line(error.into()))?;
        if line.is_empty() {
            return Ok((entries, number));
        }
        if line.len() as u64 == bound {
            return Err(at_line(ReadErrorKind::LineTooLong { limit: LINE_BYTES_MAX }));
        }
        number += 1;
        let Some(begin) = line.windows(LOGGER.len()).position(|window| window == LOGGER) else {
            continue;
        };
        let begin = begin + LOGGER.len();
        if let Some(entry) = entry(line[begin..].trim_ascii_end(), number, begin + 1, entries.len() as u64)? {
            entries.push(entry);
        }
    }
}

/// The operation after the logger's name; `None` if what stands there does not begin like one.
fn entry(text: &[u8], line: u64, column: usize, place: u64) -> Result<Option<Entry>, ReadError> {
    let mut reader = Reader::new(text, line);
    reader.column = column;
    reader.operation = Some(place);
    let process = match reader.item(None, 0) {
        Ok(Item::Form(Form::Integer(number))) if number >= 0 => Process::Client(number.unsigned_abs()),
        Ok(Item::Form(Form::Keyword(name))) => Process::Named(name),
        _ => return Ok(None),
    };
    let mut next = |what: &str| match reader.item(None, 0)? {
        Item::Form(form) => Ok(form),
        Item::Close | Item::End => Err(reader.error(ReadErrorKind::Operation(format!("the line ends before its {what}")))),
    };
    let (type_form, f, value) = (next("type")?, next("function")?, next("value")?);
    let error = |message: String| ReadError {
        line,
        column: Some(column),
        operation: Some(place),
        kind: ReadErrorKind::Operation(message),
    };
    let kind = kind(&type_form).map_err(error)?;
    let f = f
        .as_name()
        .ok_or_else(|| error(format!("`{}` is no name of a function", visible(&f.to_string(), 60))))?
        .into();
    // Whatever follows the value is for people.
    let is_error = matches!(kind, EventType::Fail | EventType::Info) && matches!(value, Form::Keyword(_));
    Ok(Some(Entry {
        line,
        column,
        place,
        index: None,
        time_ns: None,
        kind,
        process,
        f,
        key: None,
        node: None,
        error: is_error.then(|| value.clone()),
        value,
        extra: Vec::new(),
    }))
}
