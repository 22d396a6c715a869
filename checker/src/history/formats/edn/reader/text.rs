//! Strings, regular expressions and characters.

use std::io::BufRead;

use super::{Reader, is_delimiter, shown};
use crate::history::error::ReadError;

impl<R: BufRead> Reader<R> {
    /// The rest of a string whose quote was read at `place`.
    pub(super) fn text(&mut self, place: (u64, usize)) -> Result<String, ReadError> {
        let mut bytes = Vec::new();
        loop {
            let Some(byte) = self.peek()? else {
                return Err(self.unclosed(place));
            };
            match byte {
                b'"' => {
                    self.bump(byte)?;
                    return String::from_utf8(bytes).map_err(|_| self.edn_at(place, "this string is not UTF-8"));
                }
                b'\\' => {
                    self.bump(byte)?;
                    let character = self.escape(place)?;
                    bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => {
                    self.bump(byte)?;
                    bytes.push(byte);
                }
            }
        }
    }

    /// The rest of a regular expression: only its end has a meaning to us.
    pub(super) fn pattern(&mut self, place: (u64, usize)) -> Result<String, ReadError> {
        let mut bytes = Vec::new();
        let mut escaped = false;
        loop {
            let Some(byte) = self.peek()? else {
                return Err(self.unclosed(place));
            };
            self.bump(byte)?;
            if byte == b'"' && !escaped {
                return String::from_utf8(bytes).map_err(|_| self.edn_at(place, "this regular expression is not UTF-8"));
            }
            escaped = byte == b'\\' && !escaped;
            bytes.push(byte);
        }
    }

    fn unclosed(&self, (line, column): (u64, usize)) -> ReadError {
        self.edn(format!("the file ends within the string of line {line}, column {column}"))
    }

    /// What stands after a backslash in a string.
    fn escape(&mut self, place: (u64, usize)) -> Result<char, ReadError> {
        let Some(byte) = self.peek()? else {
            return Err(self.unclosed(place));
        };
        if byte.is_ascii_digit() {
            return self.octal();
        }
        self.bump(byte)?;
        Ok(match byte {
            b't' => '\t',
            b'r' => '\r',
            b'n' => '\n',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'"' | b'\\' | b'\'' | b'/' => byte as char,
            b'u' => return self.utf16(),
            _ => return Err(self.edn(format!("`\\{}` is no escape of a string", shown(&(byte as char).to_string())))),
        })
    }

    /// Up to three octal digits.
    fn octal(&mut self) -> Result<char, ReadError> {
        let mut code = 0;
        for _ in 0..3 {
            match self.peek()? {
                Some(byte @ b'0'..=b'7') => {
                    self.bump(byte)?;
                    code = code * 8 + u32::from(byte - b'0');
                }
                _ => break,
            }
        }
        char::from_u32(code)
            .filter(|_| code <= 0o377)
            .ok_or_else(|| self.edn("an octal escape past 377"))
    }

    /// `XXXX` after `\u`, and the `\uXXXX` after it if it takes two for one character.
    fn utf16(&mut self) -> Result<char, ReadError> {
        let first = self.hexadecimal()?;
        if let Some(character) = char::from_u32(first) {
            return Ok(character);
        }
        for expected in [b'\\', b'u'] {
            match self.peek()? {
                Some(byte) if byte == expected => self.bump(byte)?,
                _ => return Err(self.edn("half a character: `\\u` of a surrogate without its other half")),
            }
        }
        let second = self.hexadecimal()?;
        let halves = [first as u16, second as u16];
        match char::decode_utf16(halves).next() {
            Some(Ok(character)) => Ok(character),
            _ => Err(self.edn("half a character: `\\u` of a surrogate without its other half")),
        }
    }

    fn hexadecimal(&mut self) -> Result<u32, ReadError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek()?.and_then(|byte| Some((byte, (byte as char).to_digit(16)?)));
            let Some((byte, digit)) = digit else {
                return Err(self.edn("`\\u` takes four hexadecimal digits"));
            };
            self.bump(byte)?;
            code = code * 16 + digit;
        }
        Ok(code)
    }

    /// The rest of a character whose backslash was read at `place`. Its first character belongs to it whatever it is: `\(`.
    pub(super) fn character(&mut self, place: (u64, usize)) -> Result<char, ReadError> {
        let mut bytes = Vec::new();
        while let Some(byte) = self.peek()? {
            if !bytes.is_empty() && is_delimiter(byte) {
                break;
            }
            self.bump(byte)?;
            bytes.push(byte);
        }
        let name = String::from_utf8(bytes).map_err(|_| self.edn_at(place, "this character is not UTF-8"))?;
        let mut characters = name.chars();
        if let (Some(character), None) = (characters.next(), characters.next()) {
            return Ok(character);
        }
        let code = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
        let character = match name.as_str() {
            "newline" => Some('\n'),
            "space" => Some(' '),
            "tab" => Some('\t'),
            "return" => Some('\r'),
            "backspace" => Some('\u{8}'),
            "formfeed" => Some('\u{c}'),
            _ => match name.split_at_checked(1) {
                Some(("u", digits)) if digits.len() == 4 => code(digits, 16),
                Some(("o", digits)) if digits.len() <= 3 => code(digits, 8),
                _ => None,
            },
        };
        character.ok_or_else(|| self.edn_at(place, format!("`\\{}` is no character", shown(&name))))
    }
}
