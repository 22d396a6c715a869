//! Numbers, keywords and symbols: whatever ends where white space or a bracket begins.

use std::io::BufRead;

use super::{Reader, is_delimiter, shown};
use crate::history::error::ReadError;
use crate::history::formats::edn::Form;

impl<R: BufRead> Reader<R> {
    /// Everything up to a delimiter.
    pub(super) fn token(&mut self) -> Result<String, ReadError> {
        let place = (self.line, self.column);
        let mut bytes = Vec::new();
        while let Some(byte) = self.peek()? {
            if is_delimiter(byte) {
                break;
            }
            self.bump(byte)?;
            bytes.push(byte);
        }
        String::from_utf8(bytes).map_err(|_| self.edn_at(place, "this is not UTF-8"))
    }

    /// A number, keyword or symbol.
    pub(super) fn atom(&mut self, place: (u64, usize)) -> Result<Form, ReadError> {
        let token = self.token()?;
        let digits = token.trim_start_matches(['+', '-']);
        if token.len() - digits.len() <= 1 && digits.starts_with(|first: char| first.is_ascii_digit()) {
            return number(&token).ok_or_else(|| self.edn_at(place, format!("`{}` is no number", shown(&token))));
        }
        Ok(match token.as_str() {
            "nil" => Form::Nil,
            "true" => Form::Bool(true),
            "false" => Form::Bool(false),
            "" | ":" => {
                let byte = self.peek()?.map_or(':', |byte| byte as char);
                return Err(self.edn_at(place, format!("`{}` begins nothing", shown(&byte.to_string()))));
            }
            _ => match token.strip_prefix(':') {
                Some(name) => Form::Keyword(name.to_owned()),
                None => Form::Symbol(token),
            },
        })
    }
}

fn number(token: &str) -> Option<Form> {
    let token = token.strip_prefix('+').unwrap_or(token);
    let whole = token.strip_suffix('N').unwrap_or(token);
    if is_integer(whole) {
        return Some(match whole.parse() {
            Ok(integer) => Form::Integer(integer),
            Err(_) => Form::Big(whole.to_owned()),
        });
    }
    // The address of `#object[java.lang.Object 0x1f "…"]`.
    if let Some(digits) = token.strip_prefix("0x") {
        return digits
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit())
            .then(|| i64::from_str_radix(digits, 16).ok().map(Form::Integer))?;
    }
    if let Some((above, below)) = token.split_once('/') {
        let below_is_number = is_integer(below) && !below.starts_with(['-', '0']);
        return (is_integer(above) && below_is_number).then(|| Form::Ratio(token.to_owned()));
    }
    if let Some(decimal) = token.strip_suffix('M') {
        return decimal.parse::<f64>().is_ok().then(|| Form::Decimal(decimal.to_owned()));
    }
    let is_float = token.contains(['.', 'e', 'E']);
    is_float.then(|| token.parse().ok().map(Form::Float)).flatten()
}

/// Digits without a leading zero, which Clojure would take for octal.
fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits.len() == 1 || !digits.starts_with('0'))
}
