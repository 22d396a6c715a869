//! Bytes into forms, one form at a time, with line and column for whatever is no EDN.
//!
//! Nothing is trusted: nesting and the size of a form are bounded before they are stored, and every byte is read once.

use std::io::BufRead;

use super::Form;
use crate::escape::visible;
use crate::history::error::{ReadError, ReadErrorKind};
use crate::history::read::LINE_BYTES_MAX;

mod text;
mod token;

/// Deepest nesting, of tags and discards too: far past what histories have, and far below what a thread's stack holds.
pub(crate) const DEPTH_MAX: usize = 50;

/// Longest piece of the file in a message, in characters.
const SHOWN_CHARS_MAX: usize = 60;

/// Reads forms from a source of bytes.
pub(crate) struct Reader<R> {
    source: R,
    /// The line of the next byte, counted from 1.
    pub(crate) line: u64,
    /// The column of the next byte, counted from 1.
    pub(crate) column: usize,
    /// How many operations were read before this one, for messages; `None` while there are none to count.
    pub(crate) operation: Option<u64>,
    /// How many bytes the current form may still have.
    left: usize,
}

/// What stands next.
pub(crate) enum Item {
    Form(Form),
    /// The closing bracket that was asked for.
    Close,
    End,
}

impl<R: BufRead> Reader<R> {
    /// A reader at the begin of a source whose first line has this number.
    pub(crate) fn new(source: R, line: u64) -> Reader<R> {
        Reader {
            source,
            line,
            column: 1,
            operation: None,
            left: LINE_BYTES_MAX,
        }
    }

    /// Begins to count the size of a new form.
    pub(crate) fn renew_bound(&mut self) {
        self.left = LINE_BYTES_MAX;
    }

    /// An error at the next byte.
    pub(crate) fn error(&self, kind: ReadErrorKind) -> ReadError {
        self.error_at((self.line, self.column), kind)
    }

    fn error_at(&self, (line, column): (u64, usize), kind: ReadErrorKind) -> ReadError {
        ReadError {
            line,
            column: Some(column),
            operation: self.operation,
            kind,
        }
    }

    fn edn(&self, message: impl Into<String>) -> ReadError {
        self.error(ReadErrorKind::Edn(message.into()))
    }

    fn edn_at(&self, place: (u64, usize), message: impl Into<String>) -> ReadError {
        self.error_at(place, ReadErrorKind::Edn(message.into()))
    }

    /// The next byte, which stays where it is.
    pub(crate) fn peek(&mut self) -> Result<Option<u8>, ReadError> {
        loop {
            match self.source.fill_buf() {
                Ok(bytes) => return Ok(bytes.first().copied()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(ReadError {
                        line: self.line,
                        column: Some(self.column),
                        operation: self.operation,
                        kind: error.into(),
                    });
                }
            }
        }
    }

    /// Steps over the byte that was peeked at.
    pub(crate) fn bump(&mut self, byte: u8) -> Result<(), ReadError> {
        self.left = match self.left.checked_sub(1) {
            Some(left) => left,
            None => return Err(self.error(ReadErrorKind::OperationTooLong { limit: LINE_BYTES_MAX })),
        };
        self.source.consume(1);
        if byte == b'\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Ok(())
    }

    /// Steps over white space, commas and comments. They have no bound: nothing of them is kept.
    pub(crate) fn skip_blank(&mut self) -> Result<Option<u8>, ReadError> {
        let left = self.left;
        let mut comment = false;
        while let Some(byte) = self.peek()? {
            comment = byte != b'\n' && (comment || byte == b';');
            if !comment && !is_blank(byte) {
                self.left = left;
                return Ok(Some(byte));
            }
            self.left = left.max(1);
            self.bump(byte)?;
        }
        self.left = left;
        Ok(None)
    }

    /// The next form, the bracket that closes what it stands in, or the end.
    pub(crate) fn item(&mut self, closer: Option<u8>, depth: usize) -> Result<Item, ReadError> {
        loop {
            let Some(byte) = self.skip_blank()? else { return Ok(Item::End) };
            if closer == Some(byte) {
                self.bump(byte)?;
                return Ok(Item::Close);
            }
            if depth > DEPTH_MAX {
                return Err(self.edn(format!("nested deeper than {DEPTH_MAX} levels")));
            }
            if let Some(form) = self.form(byte, depth)? {
                return Ok(Item::Form(form));
            }
        }
    }

    /// The form that must stand next.
    fn required(&mut self, after: &str, depth: usize) -> Result<Form, ReadError> {
        match self.item(None, depth)? {
            Item::Form(form) => Ok(form),
            Item::Close | Item::End => Err(self.edn(format!("the file ends after {after}"))),
        }
    }

    /// The form that begins with `byte`; `None` if it was discarded.
    fn form(&mut self, byte: u8, depth: usize) -> Result<Option<Form>, ReadError> {
        let place = (self.line, self.column);
        Ok(Some(match byte {
            b'[' => Form::Vector(self.items(byte, b']', depth)?),
            b'(' => Form::List(self.items(byte, b')', depth)?),
            b'{' => Form::Map(self.pairs(depth)?),
            b']' | b')' | b'}' => return Err(self.edn(format!("`{}` closes nothing", byte as char))),
            b'"' => {
                self.bump(byte)?;
                Form::Text(self.text(place)?)
            }
            b'\\' => {
                self.bump(byte)?;
                Form::Char(self.character(place)?)
            }
            b'^' => {
                self.bump(byte)?;
                self.required("metadata", depth + 1)?;
                self.required("metadata", depth + 1)?
            }
            b'#' => {
                self.bump(byte)?;
                return self.dispatch(place, depth);
            }
            _ => self.atom(place)?,
        }))
    }

    fn items(&mut self, opener: u8, closer: u8, depth: usize) -> Result<Vec<Form>, ReadError> {
        let place = (self.line, self.column);
        self.bump(opener)?;
        let mut items = Vec::new();
        loop {
            match self.item(Some(closer), depth + 1)? {
                Item::Form(form) => items.push(form),
                Item::Close => return Ok(items),
                Item::End => {
                    let (line, column) = place;
                    let opener = opener as char;
                    return Err(self.edn(format!("the file ends within the `{opener}` of line {line}, column {column}")));
                }
            }
        }
    }

    fn pairs(&mut self, depth: usize) -> Result<Vec<(Form, Form)>, ReadError> {
        let place = (self.line, self.column);
        let mut items = self.items(b'{', b'}', depth)?.into_iter();
        let mut pairs = Vec::with_capacity(items.len() / 2);
        while let Some(key) = items.next() {
            match items.next() {
                Some(value) => pairs.push((key, value)),
                None => return Err(self.edn_at(place, "this map has a key without a value")),
            }
        }
        Ok(pairs)
    }

    /// What follows a `#`.
    fn dispatch(&mut self, place: (u64, usize), depth: usize) -> Result<Option<Form>, ReadError> {
        let Some(byte) = self.peek()? else {
            return Err(self.edn("the file ends after `#`"));
        };
        Ok(Some(match byte {
            b'{' => Form::Set(self.items(byte, b'}', depth)?),
            b'_' => {
                self.bump(byte)?;
                self.required("`#_`", depth + 1)?;
                return Ok(None);
            }
            b'^' => {
                self.bump(byte)?;
                self.required("metadata", depth + 1)?;
                self.required("metadata", depth + 1)?
            }
            b'"' => {
                self.bump(byte)?;
                Form::Regex(self.pattern(place)?)
            }
            b'#' => {
                self.bump(byte)?;
                let name = self.token()?;
                Form::Float(match name.as_str() {
                    "Inf" => f64::INFINITY,
                    "-Inf" => f64::NEG_INFINITY,
                    "NaN" => f64::NAN,
                    other => return Err(self.edn_at(place, format!("`##{}` is no number", shown(other)))),
                })
            }
            b'\'' => {
                self.bump(byte)?;
                Form::Symbol(self.token()?)
            }
            b':' => self.namespaced_map(place, depth)?,
            _ => {
                let tag = self.token()?;
                if !tag.starts_with(|first: char| first.is_alphabetic()) {
                    return Err(self.edn_at(place, format!("`#{}` is no tag", shown(&tag))));
                }
                Form::Tagged(tag, Box::new(self.required("a tag", depth + 1)?))
            }
        }))
    }

    /// `#:ns{:a 1}`, which is `{:ns/a 1}`; `:_/a` stays `:a`.
    fn namespaced_map(&mut self, place: (u64, usize), depth: usize) -> Result<Form, ReadError> {
        let namespace = self.token()?;
        let namespace = namespace.trim_start_matches(':');
        if self.skip_blank()? != Some(b'{') {
            return Err(self.edn_at(place, "a namespace stands before no map"));
        }
        let mut pairs = self.pairs(depth)?;
        for (key, _) in &mut pairs {
            if let Form::Keyword(name) | Form::Symbol(name) = key {
                if let Some(plain) = name.strip_prefix("_/") {
                    *name = plain.to_owned();
                } else if !name.contains('/') {
                    *name = format!("{namespace}/{name}");
                }
            }
        }
        Ok(Form::Map(pairs))
    }
}

fn shown(text: &str) -> String {
    visible(text, SHOWN_CHARS_MAX)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b',' | b'\t'..=b'\r' | 0x1c..=0x1f)
}

/// Whether a token ends before this byte.
fn is_delimiter(byte: u8) -> bool {
    is_blank(byte)
        || matches!(
            byte,
            b'"' | b';' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'\\' | b'^' | b'@' | b'`' | b'~'
        )
}
