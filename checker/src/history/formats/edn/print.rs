//! Forms as text that Clojure, and our own reader, read as the same forms.

use std::fmt::{self, Display, Formatter, Write};

use super::Form;

impl Display for Form {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Form::Nil => f.write_str("nil"),
            Form::Bool(truth) => write!(f, "{truth}"),
            Form::Integer(integer) => write!(f, "{integer}"),
            // Java's long ends at 63 bits; past it only the N makes it a number that every reader takes.
            Form::Big(digits) => write!(f, "{digits}N"),
            Form::Float(float) if float.is_nan() => f.write_str("##NaN"),
            Form::Float(float) if float.is_infinite() => f.write_str(if *float > 0.0 { "##Inf" } else { "##-Inf" }),
            Form::Float(float) => write!(f, "{float:?}"),
            Form::Decimal(digits) => write!(f, "{digits}M"),
            Form::Ratio(ratio) => f.write_str(ratio),
            Form::Char(character) => character_name(*character, f),
            Form::Text(text) => quoted(text, f),
            Form::Keyword(name) => write!(f, ":{name}"),
            Form::Symbol(name) => f.write_str(name),
            Form::Regex(pattern) => write!(f, "#\"{pattern}\""),
            Form::List(items) => sequence(f, "(", items, ")"),
            Form::Vector(items) => sequence(f, "[", items, "]"),
            Form::Set(items) => sequence(f, "#{", items, "}"),
            Form::Map(pairs) => {
                f.write_char('{')?;
                for (place, (key, value)) in pairs.iter().enumerate() {
                    write!(f, "{}{key} {value}", if place == 0 { "" } else { ", " })?;
                }
                f.write_char('}')
            }
            Form::Tagged(tag, form) => write!(f, "#{tag} {form}"),
        }
    }
}

fn sequence(f: &mut Formatter<'_>, open: &str, items: &[Form], close: &str) -> fmt::Result {
    f.write_str(open)?;
    for (place, item) in items.iter().enumerate() {
        write!(f, "{}{item}", if place == 0 { "" } else { " " })?;
    }
    f.write_str(close)
}

/// A string. Line ends are escaped: an operation is one line.
fn quoted(text: &str, f: &mut Formatter<'_>) -> fmt::Result {
    f.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            _ if character.is_control() => write!(f, "\\u{:04x}", u32::from(character))?,
            _ => f.write_char(character)?,
        }
    }
    f.write_char('"')
}

fn character_name(character: char, f: &mut Formatter<'_>) -> fmt::Result {
    match character {
        '\n' => f.write_str("\\newline"),
        ' ' => f.write_str("\\space"),
        '\t' => f.write_str("\\tab"),
        '\r' => f.write_str("\\return"),
        '\u{8}' => f.write_str("\\backspace"),
        '\u{c}' => f.write_str("\\formfeed"),
        _ if character.is_control() => write!(f, "\\u{:04x}", u32::from(character)),
        _ => write!(f, "\\{character}"),
    }
}
