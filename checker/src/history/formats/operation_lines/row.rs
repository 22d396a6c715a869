//! One line, read by hand if it is spelled as `histgen` spells it, and by serde if not.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::history::cursor::{Cursor, Span};
use crate::history::line::Text;
use crate::history::operation::{Function, NEVER_NS, Operation, Outcome};
use crate::history::pairing::TIME_NS_MAX;
use crate::history::values::ValueId;

/// A line of the usual spelling with which nothing is wrong in itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::history) struct Row {
    /// The operation but for its key and lines. The two values of a `cas` stand as its argument and what it observed: they are made a pair
    /// when the line is taken up, since pairs are numbered in the order of the file.
    pub(super) operation: Operation,
    pub(super) key: Span,
}

/// A line of any spelling.
#[derive(Debug, Deserialize)]
pub(super) struct SlowRow<'a> {
    #[serde(rename = "proc")]
    pub(super) process: u64,
    #[serde(borrow)]
    pub(super) f: Text<'a>,
    #[serde(borrow, default)]
    pub(super) key: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) arg: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) res: Option<&'a RawValue>,
    #[serde(rename = "inv")]
    pub(super) invoked_ns: u64,
    /// `null` is an unknown outcome; a line without it says nothing and is an error.
    #[serde(rename = "ret", deserialize_with = "Option::deserialize")]
    pub(super) returned_ns: Option<u64>,
}

impl Row {
    /// The line that begins at `begin` of `piece` and where the one after it begins; `None` unless it is spelled as usual and ends there.
    #[inline]
    pub(super) fn parse(piece: &[u8], begin: usize) -> Option<(Row, usize)> {
        let mut cursor = Cursor::new(piece, begin);
        cursor.literal(b"{\"proc\":")?;
        let process = cursor.number()?;
        cursor.literal(b",\"f\":\"")?;
        let f = match cursor.peek()? {
            b'r' => cursor.literal(b"read\"").map(|()| Function::Read)?,
            b'w' => cursor.literal(b"write\"").map(|()| Function::Write)?,
            _ => cursor.literal(b"cas\"").map(|()| Function::Cas)?,
        };
        cursor.literal(b",\"key\":\"")?;
        let key = cursor.text()?;
        cursor.literal(b",\"arg\":")?;
        let (argument, expected) = arg(&mut cursor, f)?;
        cursor.literal(b",\"res\":")?;
        let (result, done) = res(&mut cursor, f)?;
        cursor.literal(b",\"inv\":")?;
        let invoked_ns = cursor.number()?;
        cursor.literal(b",\"ret\":")?;
        let returned_ns = if cursor.peek()? == b'n' {
            cursor.literal(b"null").map(|()| None)?
        } else {
            Some(cursor.number()?)
        };
        cursor.literal(b"}\n")?;
        let latest_ns = returned_ns.unwrap_or(invoked_ns);
        if latest_ns < invoked_ns || latest_ns > TIME_NS_MAX {
            return None;
        }
        let outcome = match (returned_ns, f, done) {
            (None, ..) => Outcome::Unknown,
            (Some(_), Function::Cas, None) => return None,
            (Some(_), _, Some(false)) => Outcome::Fail,
            (Some(_), ..) => Outcome::Ok,
        };
        let (argument, observed) = match (f, outcome) {
            (Function::Cas, _) => (expected, argument),
            (Function::Read, Outcome::Unknown) => (ValueId::NULL, ValueId::NONE),
            (Function::Read, _) => (ValueId::NULL, result),
            (_, Outcome::Unknown) => (argument, ValueId::NONE),
            _ => (argument, argument),
        };
        let operation = Operation {
            process,
            invoked_ns,
            returned_ns: returned_ns.unwrap_or(NEVER_NS),
            argument,
            observed,
            key: None,
            invoke_line: 0,
            complete_line: 0,
            f,
            node: None,
            error_kind: None,
            outcome,
        };
        Some((Row { operation, key }, cursor.place()))
    }
}

/// What a write writes; what a `cas` writes and what it expects.
#[inline]
fn arg(cursor: &mut Cursor<'_>, f: Function) -> Option<(ValueId, ValueId)> {
    match cursor.peek()? {
        b'[' if f == Function::Cas => {
            cursor.literal(b"[")?;
            let expected = cursor.integer()?;
            cursor.literal(b",")?;
            let new = cursor.integer()?;
            cursor.literal(b"]")?;
            Some((new, expected))
        }
        _ if f == Function::Cas => None,
        b'n' => cursor.literal(b"null").map(|()| (ValueId::NULL, ValueId::NONE)),
        _ => Some((cursor.integer()?, ValueId::NONE)),
    }
}

/// What a read saw, or whether a `cas` was done.
#[inline]
fn res(cursor: &mut Cursor<'_>, f: Function) -> Option<(ValueId, Option<bool>)> {
    match cursor.peek()? {
        b'n' => cursor.literal(b"null").map(|()| (ValueId::NULL, None)),
        // A read that saw `true` saw a value; only serde's way interns it.
        b't' if f == Function::Cas => cursor.literal(b"true").map(|()| (ValueId::NULL, Some(true))),
        b'f' if f == Function::Cas => cursor.literal(b"false").map(|()| (ValueId::NULL, Some(false))),
        _ => Some((cursor.integer()?, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integer(value: i64) -> ValueId {
        ValueId::of_integer(value).unwrap()
    }

    #[test]
    fn reads_the_usual_spelling_by_hand() {
        let line = b"...{\"proc\":3,\"f\":\"cas\",\"key\":\"17\",\"arg\":[-1,2],\"res\":true,\"inv\":1000,\"ret\":2500}\nrest";
        let (row, end) = Row::parse(line, 3).unwrap();
        assert_eq!(&line[end..], b"rest");
        assert_eq!(row.key.text(line), "17");
        let operation = row.operation;
        assert_eq!((operation.argument, operation.observed), (integer(-1), integer(2)));
        assert_eq!((operation.process, operation.f, operation.outcome), (3, Function::Cas, Outcome::Ok));
        assert_eq!((operation.invoked_ns, operation.returned_ns()), (1000, Some(2500)));
    }

    #[test]
    fn leaves_every_other_spelling_and_everything_wrong_to_serde() {
        for line in [
            "{\"proc\": 3,\"f\":\"read\",\"key\":\"17\",\"arg\":null,\"res\":1,\"inv\":1,\"ret\":2}\n",
            "{\"proc\":3,\"f\":\"read\",\"key\":\"1\\u0037\",\"arg\":null,\"res\":1,\"inv\":1,\"ret\":2}\n",
            "{\"proc\":03,\"f\":\"read\",\"key\":\"17\",\"arg\":null,\"res\":1,\"inv\":1,\"ret\":2}\n",
            "{\"proc\":3,\"f\":\"read\",\"key\":\"17\",\"arg\":null,\"res\":true,\"inv\":1,\"ret\":2}\n",
            "{\"proc\":3,\"f\":\"read\",\"key\":\"17\",\"arg\":null,\"res\":1.5,\"inv\":1,\"ret\":2}\n",
            "{\"proc\":3,\"f\":\"read\",\"key\":\"17\",\"arg\":null,\"res\":9999999999999999999,\"inv\":1,\"ret\":2}\n",
            "{\"proc\":3,\"f\":\"read\",\"key\":\"17\",\"arg\":null,\"res\":1,\"inv\":3,\"ret\":2}\n",
            "{\"proc\":3,\"f\":\"write\",\"key\":\"17\",\"arg\":[1,2],\"res\":null,\"inv\":1,\"ret\":2}\n",
            "{\"proc\":3,\"f\":\"cas\",\"key\":\"17\",\"arg\":[1,2],\"res\":null,\"inv\":1,\"ret\":2}\n",
            "{\"proc\":3,\"f\":\"cas\",\"key\":\"17\",\"arg\":1,\"res\":true,\"inv\":1,\"ret\":2}\n",
            "{\"proc\":3,\"f\":\"read\",\"key\":\"17\",\"arg\":null,\"res\":1,\"inv\":1,\"ret\":2}",
            "",
        ] {
            assert_eq!(Row::parse(line.as_bytes(), 0), None, "{line}");
        }
    }
}
