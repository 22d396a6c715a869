//! Which format a file has, by how it begins.

use super::Format;
use super::jepsen_log::LOGGER;
use crate::history::binary::MAGIC;

/// The format of a file that begins so. What looks like nothing else is taken for our own, whose reader says what is wrong.
pub fn detect(head: &[u8]) -> Format {
    if head.starts_with(&MAGIC) {
        return Format::Binary;
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let text = skip_blank(text);
    match text.first() {
        Some(b'{') if text[1..].trim_ascii_start().first() == Some(&b'"') => json(text),
        Some(b'{' | b'(' | b'#' | b'^') => edn(text),
        // A log's lines may begin with a time in brackets.
        _ if contains(head, LOGGER) => Format::JepsenLog,
        Some(b'[') => edn(text),
        _ => Format::Squall,
    }
}

/// White space, commas and EDN's comments.
fn skip_blank(mut text: &[u8]) -> &[u8] {
    loop {
        match text.first() {
            Some(b';') => {
                let end = text.iter().position(|&byte| byte == b'\n').unwrap_or(text.len());
                text = &text[end..];
            }
            Some(byte) if byte.is_ascii_whitespace() || *byte == b',' => text = &text[1..],
            _ => return text,
        }
    }
}

fn json(text: &[u8]) -> Format {
    let line = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
    if contains(line, b"\"proc\"") && contains(line, b"\"inv\"") {
        Format::OperationLines
    } else {
        Format::Squall
    }
}

/// Porcupine's key-value files have a key in each of their operations, beside the value.
fn edn(text: &[u8]) -> Format {
    let end = text.iter().position(|&byte| byte == b'}').unwrap_or(text.len());
    let first = &text[..end];
    let keyed = contains(first, b":key ") && [&b":f :get"[..], b":f :put", b":f :append"].iter().any(|f| contains(first, f));
    if keyed { Format::PorcupineKv } else { Format::Edn }
}

fn contains(text: &[u8], piece: &[u8]) -> bool {
    text.windows(piece.len()).any(|window| window == piece)
}
