//! The fields of a flat JSON object, without building one.
//!
//! A trace is read at a million lines per second, which no general parser reaches: a line's texts are borrowed, numbers are read in place,
//! and only what is rare (escapes, nested values) goes through `serde_json`. What is no JSON object is refused.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// One value. Lists and objects stay text until somebody asks.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Text(Cow<'a, str>),
    Number(u64),
    /// A number that is no whole one from 0 to 2^64 - 1.
    OtherNumber(&'a str),
    Bool(bool),
    Null,
    Nested(&'a str),
}

/// Walks through the fields of one line.
pub(super) struct Fields<'a> {
    line: &'a str,
    place: usize,
    is_first: bool,
}

/// What is wrong, in words.
pub(super) type Refusal = &'static str;

impl<'a> Fields<'a> {
    /// The fields of a line, which is one object and nothing else.
    pub(super) fn of(line: &'a [u8]) -> Result<Fields<'a>, Refusal> {
        let line = std::str::from_utf8(line).map_err(|_| "the line is not UTF-8")?;
        let mut fields = Fields {
            line,
            place: 0,
            is_first: true,
        };
        fields.skip_space();
        if fields.take(b'{') {
            Ok(fields)
        } else {
            Err("expected a JSON object")
        }
    }

    /// The next field, or `None` after the last one.
    pub(super) fn next(&mut self) -> Result<Option<(Cow<'a, str>, Value<'a>)>, Refusal> {
        self.skip_space();
        if self.take(b'}') {
            self.skip_space();
            return if self.place == self.line.len() {
                Ok(None)
            } else {
                Err("something follows the object")
            };
        }
        if !self.is_first {
            if !self.take(b',') {
                return Err("expected `,` or `}`");
            }
            self.skip_space();
        }
        self.is_first = false;
        if self.peek() != Some(b'"') {
            return Err("expected the name of a field");
        }
        let name = self.text()?;
        self.skip_space();
        if !self.take(b':') {
            return Err("expected `:`");
        }
        self.skip_space();
        Ok(Some((name, self.value()?)))
    }

    fn value(&mut self) -> Result<Value<'a>, Refusal> {
        match self.peek() {
            Some(b'"') => Ok(Value::Text(self.text()?)),
            Some(b'0'..=b'9' | b'-') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(b'[' | b'{') => self.nested(),
            _ => Err("expected a value"),
        }
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, Refusal> {
        if self.line[self.place..].starts_with(word) {
            self.place += word.len();
            Ok(value)
        } else {
            Err("expected a value")
        }
    }

    /// A text between quotes, at which the place stands.
    fn text(&mut self) -> Result<Cow<'a, str>, Refusal> {
        let bytes = self.line.as_bytes();
        let begin = self.place + 1;
        let mut end = begin;
        let mut is_plain = true;
        loop {
            match bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => {
                    is_plain = false;
                    end += 2;
                }
                Some(0..=0x1f) => return Err("a control character in a text"),
                Some(_) => end += 1,
                None => return Err("a text without an end"),
            }
        }
        self.place = end + 1;
        if is_plain {
            return Ok(Cow::Borrowed(&self.line[begin..end]));
        }
        let quoted = &self.line[begin - 1..=end];
        serde_json::from_str::<String>(quoted)
            .map(Cow::Owned)
            .map_err(|_| "a text with a wrong escape")
    }

    fn number(&mut self) -> Result<Value<'a>, Refusal> {
        let bytes = self.line.as_bytes();
        let begin = self.place;
        let mut whole = Some(0u64);
        while let Some(digit @ b'0'..=b'9') = bytes.get(self.place) {
            whole = whole.and_then(|whole| whole.checked_mul(10)?.checked_add(u64::from(digit - b'0')));
            self.place += 1;
        }
        let is_whole = !matches!(bytes.get(self.place), Some(b'-' | b'+' | b'.' | b'e' | b'E'));
        let n_digits = self.place - begin;
        match whole {
            Some(whole) if is_whole && n_digits > 0 && (n_digits == 1 || bytes[begin] != b'0') => Ok(Value::Number(whole)),
            _ => self.other_number(begin),
        }
    }

    fn other_number(&mut self, begin: usize) -> Result<Value<'a>, Refusal> {
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        self.place = begin + self.line.as_bytes()[begin..].iter().take_while(|byte| is_part(byte)).count();
        let text = &self.line[begin..self.place];
        match serde_json::from_str::<serde_json::Number>(text) {
            Ok(_) => Ok(Value::OtherNumber(text)),
            Err(_) => Err("a number that is none"),
        }
    }

    /// A list or an object with all that is in it.
    fn nested(&mut self) -> Result<Value<'a>, Refusal> {
        let bytes = self.line.as_bytes();
        let begin = self.place;
        let mut depth = 0usize;
        let mut is_simple = true;
        loop {
            match bytes.get(self.place) {
                Some(b'"') => {
                    self.text()?;
                    is_simple = false;
                    continue;
                }
                Some(b'[') => depth += 1,
                Some(b'{') => {
                    is_simple = false;
                    depth += 1;
                }
                Some(b']' | b'}') => depth -= 1,
                Some(_) => {}
                None => return Err("a list or an object without an end"),
            }
            self.place += 1;
            if depth == 0 {
                break;
            }
        }
        let text = &self.line[begin..self.place];
        // A pair of numbers is what most lists are, and whoever asks for it reads it strictly.
        if is_simple && pair(text).is_some() || serde_json::from_str::<IgnoredAny>(text).is_ok() {
            Ok(Value::Nested(text))
        } else {
            Err("a list or an object that is none")
        }
    }

    fn peek(&self) -> Option<u8> {
        self.line.as_bytes().get(self.place).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.place += usize::from(is_there);
        is_there
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.place += 1;
        }
    }
}

/// `[7,3]`: two whole numbers without anything else.
pub(super) fn pair(text: &str) -> Option<(u64, u64)> {
    let (first, second) = text.strip_prefix('[')?.strip_suffix(']')?.split_once(',')?;
    Some((whole(first)?, whole(second)?))
}

fn whole(text: &str) -> Option<u64> {
    let text = text.trim_matches(' ');
    let is_whole = text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    if is_whole { text.parse().ok() } else { None }
}

/// 16 lower hex digits.
pub(super) fn hash(text: &str) -> Option<u64> {
    if text.len() != 16 {
        return None;
    }
    text.bytes().try_fold(0u64, |hash, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(hash << 4 | u64::from(digit))
    })
}
