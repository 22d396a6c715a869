//! The history of some bytes, none of which is trusted.

use std::io::{self, Read};

use serde::de::IgnoredAny;

use super::checksum::checksum;
use super::{CAS, MAGIC, OTHERS, PAIR, READ, ROW_BYTES, SECTION_ROWS, TEXT, VERSION, WRITE};
use crate::history::error::{ReadError, ReadErrorKind};
use crate::history::mark::Header;
use crate::history::names::Names;
use crate::history::operation::{Function, KeyId, NEVER_NS, Operation, Outcome, SmallId};
use crate::history::pairing::TIME_NS_MAX;
use crate::history::read::FORMAT_VERSION;
use crate::history::values::{DEPTH_MAX, ValueId, ValueTable};
use crate::history::{CutLine, History, Mark};
use crate::parallel;

/// Reads a history, on two threads if there may be so many.
///
/// # Errors
/// If the source cannot be read, is cut or damaged, or is nothing that [`write_binary`](super::write_binary) writes.
pub(in crate::history) fn read(mut source: impl Read + Send, threads: usize) -> Result<History, ReadError> {
    history(&mut source, threads).map_err(|kind| ReadError {
        line: 1,
        column: None,
        operation: None,
        kind,
    })
}

type Result<T, E = ReadErrorKind> = std::result::Result<T, E>;

fn wrong(what: impl Into<String>) -> ReadErrorKind {
    ReadErrorKind::Binary(what.into())
}

fn history(source: &mut (impl Read + Send), threads: usize) -> Result<History> {
    let mut begin = [0; 12];
    exactly(source, &mut begin)?;
    let (magic, version) = begin.split_at(8);
    if magic != MAGIC {
        return Err(wrong("it does not begin as one"));
    }
    let version = u32::from_le_bytes(version.try_into().expect("four bytes of twelve are left"));
    if version != VERSION {
        return Err(ReadErrorKind::FormatVersion {
            found: version,
            supported: VERSION,
        });
    }
    let mut bytes = Vec::new();
    section(source, u64::MAX, &mut bytes)?;
    let mut history = Fields(&bytes).tables()?;
    let mut sections = Sections {
        limits: Limits::of(&history),
        source,
        bytes: Vec::new(),
    };
    // What is taken apart lies in memory that is used again and again, what is put into the history in new memory; to be given that by the
    // kernel costs as much as all the rest, so the two are two threads' work.
    if threads < 2 {
        while sections.next(&mut history.operations)? {}
    } else {
        let fill = |operations: &mut Vec<Operation>| {
            operations.clear();
            sections.next(operations)
        };
        parallel::relay(threads, fill, |operations| history.operations.append(operations))?;
    }
    if source.read(&mut [0])? > 0 {
        return Err(wrong("something follows its end"));
    }
    history.operations.shrink_to_fit();
    Ok(history)
}

fn exactly(source: &mut impl Read, into: &mut [u8]) -> Result<()> {
    source.read_exact(into).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => wrong("it is cut"),
        _ => error.into(),
    })
}

/// The sections of rows.
struct Sections<'a, S> {
    limits: Limits,
    source: &'a mut S,
    /// Those of the last one.
    bytes: Vec<u8>,
}

impl<S: Read> Sections<'_, S> {
    /// Adds the operations of the next one; false if it is the empty one, which is the last.
    fn next(&mut self, operations: &mut Vec<Operation>) -> Result<bool> {
        section(self.source, (SECTION_ROWS * ROW_BYTES) as u64, &mut self.bytes)?;
        self.limits.operations(&self.bytes, operations)?;
        Ok(!self.bytes.is_empty())
    }
}

/// Reads a section of at most `bytes_max` bytes.
fn section(source: &mut impl Read, bytes_max: u64, bytes: &mut Vec<u8>) -> Result<()> {
    let mut head = [0; 16];
    exactly(source, &mut head)?;
    let mut fields = Fields(&head);
    let (length, expected) = (fields.number()?, fields.number()?);
    if length > bytes_max {
        return Err(wrong("a section is longer than it may be"));
    }
    bytes.clear();
    // Grows with what comes, whatever the length says.
    let count = source.take(length).read_to_end(bytes)?;
    if (count as u64) < length {
        return Err(wrong("it is cut"));
    }
    if checksum(bytes) != expected {
        return Err(wrong("its checksum does not fit, so it is damaged"));
    }
    Ok(())
}

/// What is left of the tables.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>().ok_or_else(|| wrong("a table is cut"))?;
        self.0 = rest;
        Ok(*array)
    }

    fn number(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Result<&'a str> {
        let length = self.array().map(u32::from_le_bytes)? as usize;
        let (text, rest) = self.0.split_at_checked(length).ok_or_else(|| wrong("a table is cut"))?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| wrong("a text is no UTF-8"))
    }

    fn tables(mut self) -> Result<History> {
        let mut history = History {
            lines: self.number()?,
            ..History::default()
        };
        let (line, bytes) = (self.number()?, self.number()?);
        if line != 0 {
            let bytes = usize::try_from(bytes).map_err(|_| wrong("its cut line is longer than memory"))?;
            history.cut_line = Some(CutLine { line, bytes });
        }
        history.header = self.header()?;
        for _ in 0..self.number()? {
            let line = self.number()?;
            let event = serde_json::from_str(self.text()?).map_err(|_| wrong("a mark is no event of a history"))?;
            history.marks.push(Mark { line, event });
        }
        for table in [
            &mut history.keys,
            &mut history.functions,
            &mut history.nodes,
            &mut history.error_kinds,
        ] {
            *table = self.names()?;
        }
        history.values = self.values()?;
        if self.0.is_empty() {
            Ok(history)
        } else {
            Err(wrong("something follows its tables"))
        }
    }

    fn header(&mut self) -> Result<Option<Header>> {
        let text = self.text()?;
        if text.is_empty() {
            return Ok(None);
        }
        let header: Header = serde_json::from_str(text).map_err(|_| wrong("its header is no header of a history"))?;
        if header.squall_history != FORMAT_VERSION {
            return Err(ReadErrorKind::FormatVersion {
                found: header.squall_history,
                supported: FORMAT_VERSION,
            });
        }
        Ok(Some(header))
    }

    fn names(&mut self) -> Result<Names> {
        let mut names = Names::default();
        for place in 0..self.number()? {
            if names.intern(self.text()?) as u64 != place {
                return Err(wrong("a name stands twice"));
            }
        }
        Ok(names)
    }

    fn values(&mut self) -> Result<ValueTable> {
        let mut values = ValueTable::default();
        // How deep each value is nested: pairs are followed by recursion.
        let mut depths: Vec<usize> = Vec::new();
        for _ in 0..self.number()? {
            let (value, depth) = match self.array()? {
                [TEXT] => {
                    let json = self.text()?;
                    serde_json::from_str::<IgnoredAny>(json).map_err(|_| wrong("a value is no JSON"))?;
                    (values.intern(json).map_err(|_| wrong("a value is nested too deep"))?, 0)
                }
                [PAIR] => {
                    let [(first, one), (second, other)] = [self.earlier_value(&depths)?, self.earlier_value(&depths)?];
                    (values.pair_of(first, second), one.max(other) + 1)
                }
                _ => return Err(wrong("a value is of no known kind")),
            };
            if depth > DEPTH_MAX {
                return Err(wrong("a value is nested too deep"));
            }
            if value.place() != Some(depths.len()) {
                return Err(wrong("a value stands twice, or is not spelled as such files spell it"));
            }
            depths.push(depth);
        }
        Ok(values)
    }

    /// A value that stands by itself or earlier in its table, and how deep it is nested.
    fn earlier_value(&mut self, depths: &[usize]) -> Result<(ValueId, usize)> {
        let value = known(ValueId::of_raw(self.number()? as i64), depths.len()).filter(|value| *value != ValueId::NONE);
        let value = value.ok_or_else(|| wrong("a pair of values names one that is not there"))?;
        let depth = value
            .place()
            .map_or_else(|| usize::from(value.is_small_pair()), |place| depths[place]);
        Ok((value, depth))
    }
}

/// The value, if it is one of a table of so many. So nothing in a table names itself.
fn known(value: ValueId, count: usize) -> Option<ValueId> {
    let known = value.is_by_itself() || value == ValueId::NONE || value.place().is_some_and(|place| place < count);
    known.then_some(value)
}

/// How much there is of everything that an operation may name.
struct Limits {
    keys: usize,
    functions: usize,
    nodes: usize,
    error_kinds: usize,
    values: usize,
}

impl Limits {
    fn of(history: &History) -> Limits {
        Limits {
            keys: history.keys.len(),
            functions: history.functions.len(),
            nodes: history.nodes.len(),
            error_kinds: history.error_kinds.len(),
            values: history.values.len(),
        }
    }

    fn operations(&self, section: &[u8], operations: &mut Vec<Operation>) -> Result<()> {
        let (rows, rest) = section.as_chunks::<ROW_BYTES>();
        if !rest.is_empty() {
            return Err(wrong("a section ends within an operation"));
        }
        operations.reserve(rows.len());
        for row in rows {
            operations.push(self.operation(row)?);
        }
        Ok(())
    }

    fn operation(&self, row: &[u8; ROW_BYTES]) -> Result<Operation> {
        let mut fields = Fields(row);
        let (process, invoked_ns, returned_ns) = (fields.number()?, fields.number()?, fields.number()?);
        let (argument, observed) = (ValueId::of_raw(fields.number()? as i64), ValueId::of_raw(fields.number()? as i64));
        let mut four = || fields.array().map(u32::from_le_bytes);
        let (key, invoke_line, complete_line, what) = (four()?, four()?, four()?, four()?);
        let mut two = || fields.array().map(u16::from_le_bytes);
        let (node, error_kind) = (two()?, two()?);
        let outcome = match what >> 24 {
            0 => Outcome::Ok,
            1 => Outcome::Fail,
            2 => Outcome::Unknown,
            _ => return Err(wrong("an operation ended in no known way")),
        };
        let never = returned_ns == NEVER_NS;
        if never != (outcome == Outcome::Unknown)
            || invoked_ns > TIME_NS_MAX
            || (!never && !(invoked_ns..=TIME_NS_MAX).contains(&returned_ns))
        {
            return Err(wrong("the times of an operation contradict each other or its outcome"));
        }
        if invoke_line == 0 || (complete_line == 0 && !never) {
            return Err(wrong("an operation stands on no line"));
        }
        let names = || wrong("an operation names something that is not there");
        let value = |value| known(value, self.values).ok_or_else(names);
        let small = |number: u16, count: usize| match number.checked_sub(1).map(usize::from) {
            None => Ok(None),
            Some(place) if place < count => Ok(SmallId::new(place)),
            Some(_) => Err(names()),
        };
        let f = match what & 0x00ff_ffff {
            READ => Function::Read,
            WRITE => Function::Write,
            CAS => Function::Cas,
            other => {
                let place = (other - OTHERS) as usize;
                let id = SmallId::new(place).filter(|_| place < self.functions);
                Function::Other(id.ok_or_else(names)?)
            }
        };
        let key = KeyId::of_number(key);
        if key.is_some_and(|key| key.index() >= self.keys) || argument == ValueId::NONE {
            return Err(names());
        }
        Ok(Operation {
            process,
            invoked_ns,
            returned_ns,
            argument: value(argument)?,
            observed: value(observed)?,
            key,
            invoke_line,
            complete_line,
            f,
            node: small(node, self.nodes)?,
            error_kind: small(error_kind, self.error_kinds)?,
            outcome,
        })
    }
}
