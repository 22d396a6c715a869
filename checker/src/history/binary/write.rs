//! The bytes of a history.

use std::io::{self, Write};

use super::checksum::checksum;
use super::{CAS, MAGIC, OTHERS, PAIR, READ, ROW_BYTES, SECTION_ROWS, TEXT, VERSION, WRITE};
use crate::history::History;
use crate::history::names::Names;
use crate::history::operation::{Function, KeyId, Operation, Outcome, SmallId};
use crate::history::values::Entry;

/// Writes a history as bytes.
///
/// # Errors
/// Those of `out`, and of a text past 4 GiB.
pub fn write_binary(history: &History, out: &mut impl Write) -> io::Result<()> {
    out.write_all(&MAGIC)?;
    out.write_all(&VERSION.to_le_bytes())?;
    section(out, &tables(history)?)?;
    let mut rows = Vec::with_capacity(SECTION_ROWS * ROW_BYTES);
    for operations in history.operations.chunks(SECTION_ROWS) {
        rows.clear();
        for operation in operations {
            row(&mut rows, operation);
        }
        section(out, &rows)?;
    }
    section(out, &[])
}

fn section(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    out.write_all(&(bytes.len() as u64).to_le_bytes())?;
    out.write_all(&checksum(bytes).to_le_bytes())?;
    out.write_all(bytes)
}

fn tables(history: &History) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    out.extend(history.lines.to_le_bytes());
    let (cut_line, cut_bytes) = history.cut_line.map_or((0, 0), |cut| (cut.line, cut.bytes as u64));
    out.extend(cut_line.to_le_bytes());
    out.extend(cut_bytes.to_le_bytes());
    // An empty text is no header.
    let header = history.header.as_ref().map(serde_json::to_string).transpose()?;
    text(&mut out, &header.unwrap_or_default())?;
    out.extend((history.marks.len() as u64).to_le_bytes());
    for mark in &history.marks {
        out.extend(mark.line.to_le_bytes());
        text(&mut out, &serde_json::to_string(&mark.event)?)?;
    }
    for table in [&history.keys, &history.functions, &history.nodes, &history.error_kinds] {
        names(&mut out, table)?;
    }
    out.extend((history.values.len() as u64).to_le_bytes());
    for entry in history.values.entries() {
        match entry {
            Entry::Text(json) => {
                out.push(TEXT);
                text(&mut out, json)?;
            }
            Entry::Pair(first, second) => {
                out.push(PAIR);
                out.extend(first.raw().to_le_bytes());
                out.extend(second.raw().to_le_bytes());
            }
        }
    }
    Ok(out)
}

fn names(out: &mut Vec<u8>, names: &Names) -> io::Result<()> {
    out.extend((names.len() as u64).to_le_bytes());
    names.iter().try_for_each(|name| text(out, name))
}

fn text(out: &mut Vec<u8>, text: &str) -> io::Result<()> {
    let length = u32::try_from(text.len()).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a text is past 4 GiB"))?;
    out.extend(length.to_le_bytes());
    out.extend(text.as_bytes());
    Ok(())
}

fn row(out: &mut Vec<u8>, operation: &Operation) {
    let Operation {
        process,
        invoked_ns,
        returned_ns,
        argument,
        observed,
        key,
        invoke_line,
        complete_line,
        f,
        node,
        error_kind,
        outcome,
    } = *operation;
    // Zero is no name.
    let small = |id: Option<SmallId>| id.map_or(0, |id| id.index() as u16 + 1);
    let outcome = match outcome {
        Outcome::Ok => 0_u8,
        Outcome::Fail => 1,
        Outcome::Unknown => 2,
    };
    let function = match f {
        Function::Read => READ,
        Function::Write => WRITE,
        Function::Cas => CAS,
        Function::Other(id) => OTHERS + id.index() as u32,
    };
    let begin = out.len();
    for number in [process, invoked_ns, returned_ns] {
        out.extend(number.to_le_bytes());
    }
    for value in [argument, observed] {
        out.extend(value.raw().to_le_bytes());
    }
    for number in [key.map_or(0, KeyId::number), invoke_line, complete_line] {
        out.extend(number.to_le_bytes());
    }
    // The outcome stands above the function's number, which needs no more than 17 bits.
    out.extend((function | u32::from(outcome) << 24).to_le_bytes());
    for id in [small(node), small(error_kind)] {
        out.extend(id.to_le_bytes());
    }
    debug_assert_eq!(out.len() - begin, ROW_BYTES);
}
