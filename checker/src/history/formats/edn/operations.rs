//! An EDN history as entries: one vector or list of maps, or maps one after the other.

use std::io::BufRead;

use super::Form;
use super::json::json_of;
use super::reader::{Item, Reader};
use crate::escape::visible;
use crate::history::error::{ReadError, ReadErrorKind};
use crate::history::event::{EventType, Process};
use crate::history::formats::entry::Entry;

/// Longest piece of the file in a message, in characters.
const SHOWN_CHARS_MAX: usize = 60;

/// The entries of a file, in the file's order, and the number of its lines.
///
/// # Errors
/// With line, column and operation, if the source cannot be read, is no EDN or no history.
pub(crate) fn entries(source: impl BufRead) -> Result<(Vec<Entry>, u64), ReadError> {
    let mut reader = Reader::new(source, 1);
    let mut entries = Vec::new();
    // A mark of the byte order is no part of the text.
    if reader.peek()? == Some(0xef) {
        for byte in [0xef, 0xbb, 0xbf] {
            if reader.peek()? == Some(byte) {
                reader.bump(byte)?;
            }
        }
    }
    while let Some(byte) = reader.skip_blank()? {
        let closer = match byte {
            b'[' => b']',
            b'(' => b')',
            _ => {
                take(&mut reader, &mut entries, None)?;
                continue;
            }
        };
        let place = (reader.line, reader.column);
        reader.bump(byte)?;
        loop {
            match take(&mut reader, &mut entries, Some(closer))? {
                Taken::Entry => {}
                Taken::Close => break,
                Taken::End => {
                    let (line, column) = place;
                    let message = format!("the file ends within the `{}` of line {line}, column {column}", byte as char);
                    return Err(reader.error(ReadErrorKind::Edn(message)));
                }
            }
        }
    }
    Ok((entries, reader.line - u64::from(reader.column == 1 && reader.line > 1)))
}

enum Taken {
    Entry,
    Close,
    End,
}

fn take(reader: &mut Reader<impl BufRead>, entries: &mut Vec<Entry>, closer: Option<u8>) -> Result<Taken, ReadError> {
    reader.renew_bound();
    reader.operation = Some(entries.len() as u64);
    reader.skip_blank()?;
    let (line, column) = (reader.line, reader.column);
    let form = match reader.item(closer, 0)? {
        Item::Form(form) => form,
        Item::Close => return Ok(Taken::Close),
        Item::End => return Ok(Taken::End),
    };
    let place = entries.len() as u64;
    let entry = entry(form, line, column, place).map_err(|message| ReadError {
        line,
        column: Some(column),
        operation: Some(place),
        kind: ReadErrorKind::Operation(message),
    })?;
    entries.push(entry);
    Ok(Taken::Entry)
}

fn entry(form: Form, line: u64, column: usize, place: u64) -> Result<Entry, String> {
    let Form::Map(pairs) = form.untagged() else {
        return Err("expected a map, `{:process 0, :type :invoke, …}`".into());
    };
    let mut entry = Entry {
        line,
        column,
        place,
        index: None,
        time_ns: None,
        kind: EventType::Info,
        process: Process::Client(0),
        f: "nil".into(),
        key: None,
        value: Form::Nil,
        node: None,
        error: None,
        extra: Vec::new(),
    };
    let mut seen: Vec<String> = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        // Keys of another kind than keywords are kept under their text.
        let name = match key {
            Form::Keyword(name) => name,
            other => other.to_string(),
        };
        if seen.contains(&name) {
            return Err(format!("`:{}` stands twice", shown(&name)));
        }
        match name.as_str() {
            "index" => entry.index = index(&value)?,
            "time" => entry.time_ns = time_ns(&value)?,
            "type" => entry.kind = kind(&value)?,
            "process" => entry.process = process(&value)?,
            "f" => entry.f = function(&value).into(),
            "value" => entry.value = value.untagged(),
            "error" => entry.error = Some(value).filter(|error| *error != Form::Nil),
            "node" => entry.node = value.as_name().map(Into::into),
            "key" => {
                entry.key = (value != Form::Nil).then(|| super::super::keys::name_of(&value).into());
                entry.extra.push((name.clone(), value));
            }
            _ => entry.extra.push((name.clone(), value)),
        }
        seen.push(name);
    }
    for required in ["type", "process"] {
        if !seen.iter().any(|name| name == required) {
            return Err(format!("it has no `:{required}`"));
        }
    }
    if entry.is_of_client() {
        // An operation has no place for them; a mark keeps all it has.
        entry.extra = Vec::new();
    }
    Ok(entry)
}

fn index(value: &Form) -> Result<Option<u64>, String> {
    match value {
        Form::Nil => Ok(None),
        Form::Integer(index) => u64::try_from(*index).map(Some).map_err(|_| format!("`:index` is {index}, below 0")),
        other => Err(format!("`:index` is `{}`, no integer", shown(&other.to_string()))),
    }
}

/// A time below 0 is Jepsen's way of having none.
fn time_ns(value: &Form) -> Result<Option<u64>, String> {
    match value {
        Form::Nil => Ok(None),
        Form::Integer(time_ns) => Ok(u64::try_from(*time_ns).ok()),
        other => Err(format!("`:time` is `{}`, no integer of nanoseconds", shown(&other.to_string()))),
    }
}

/// What an operation's `:type` says.
pub(crate) fn kind(value: &Form) -> Result<EventType, String> {
    match value.as_name() {
        Some("invoke") => Ok(EventType::Invoke),
        Some("ok") => Ok(EventType::Ok),
        Some("fail") => Ok(EventType::Fail),
        Some("info") => Ok(EventType::Info),
        _ => Err(format!(
            "`:type` is `{}`, none of :invoke, :ok, :fail and :info",
            shown(&value.to_string())
        )),
    }
}

fn process(value: &Form) -> Result<Process, String> {
    match value {
        Form::Integer(number) => match u64::try_from(*number) {
            Ok(number) => Ok(Process::Client(number)),
            Err(_) => Err(format!("`:process` is {number}, below 0")),
        },
        Form::Keyword(name) | Form::Text(name) | Form::Symbol(name) => Ok(Process::Named(name.clone())),
        other => Err(format!(
            "`:process` is `{}`, neither a number nor a keyword",
            shown(&other.to_string())
        )),
    }
}

/// The name of what an operation does; one that is no keyword (`[:foo :start]`) is told as JSON.
fn function(value: &Form) -> String {
    match value.as_name() {
        Some(name) => name.to_owned(),
        None => json_of(value),
    }
}

fn shown(text: &str) -> String {
    visible(text, SHOWN_CHARS_MAX)
}
