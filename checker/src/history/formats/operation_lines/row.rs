//! One line, read by hand if it is spelled as `histgen` spells it, and by serde if not.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::history::line::Text;
use crate::history::operation::Function;
use crate::history::values::ValueId;

/// A line of the usual spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row<'a> {
    pub(super) process: u64,
    pub(super) f: Function,
    pub(super) key: &'a str,
    pub(super) arg: Scalar,
    pub(super) res: Scalar,
    pub(super) invoked_ns: u64,
    pub(super) returned_ns: Option<u64>,
}

/// A value of the usual spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    Null,
    True,
    False,
    Integer(ValueId),
    Pair(ValueId, ValueId),
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

impl<'a> Row<'a> {
    /// The line at the begin of `bytes` and what comes after its end; `None` unless it is spelled as usual and ends within them.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<(Row<'a>, &'a [u8])> {
        let mut cursor = Cursor(bytes);
        cursor.literal(b"{\"proc\":")?;
        let process = cursor.number()?;
        cursor.literal(b",\"f\":\"")?;
        let f = match cursor.0.first()? {
            b'r' => cursor.literal(b"read\"").map(|()| Function::Read)?,
            b'w' => cursor.literal(b"write\"").map(|()| Function::Write)?,
            _ => cursor.literal(b"cas\"").map(|()| Function::Cas)?,
        };
        cursor.literal(b",\"key\":\"")?;
        let key = cursor.text()?;
        cursor.literal(b",\"arg\":")?;
        let arg = cursor.scalar()?;
        cursor.literal(b",\"res\":")?;
        let res = cursor.scalar()?;
        cursor.literal(b",\"inv\":")?;
        let invoked_ns = cursor.number()?;
        cursor.literal(b",\"ret\":")?;
        let returned_ns = if cursor.0.first()? == &b'n' {
            cursor.literal(b"null").map(|()| None)?
        } else {
            Some(cursor.number()?)
        };
        cursor.literal(b"}\n")?;
        // A read that saw `true` saw a value; only serde's way interns it.
        if f != Function::Cas && [arg, res].iter().any(|scalar| matches!(scalar, Scalar::True | Scalar::False)) {
            return None;
        }
        let row = Row {
            process,
            f,
            key,
            arg,
            res,
            invoked_ns,
            returned_ns,
        };
        Some((row, cursor.0))
    }
}

/// What is left of the line. Every method answers `None` for whatever it does not expect.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    #[inline]
    fn literal<const N: usize>(&mut self, expected: &[u8; N]) -> Option<()> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        if head != expected {
            return None;
        }
        self.0 = tail;
        Some(())
    }

    /// Up to 18 digits, which fit 63 bits with room to spare, without a leading zero.
    #[inline]
    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        let mut length = 0;
        for &byte in self.0.iter().take(19) {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            number = number * 10 + u64::from(digit);
            length += 1;
        }
        if length == 0 || length == 19 || (length > 1 && self.0[0] == b'0') {
            return None;
        }
        self.0 = &self.0[length..];
        Some(number)
    }

    #[inline]
    fn integer(&mut self) -> Option<ValueId> {
        let negative = self.0.first()? == &b'-';
        if negative {
            self.0 = &self.0[1..];
        }
        let number = i64::try_from(self.number()?).ok()?;
        ValueId::of_integer(if negative { -number } else { number })
    }

    #[inline]
    fn text(&mut self) -> Option<&'a str> {
        let end = self.0.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20)?;
        let (text, tail) = self.0.split_at(end);
        self.0 = tail.strip_prefix(b"\"")?;
        std::str::from_utf8(text).ok()
    }

    #[inline]
    fn scalar(&mut self) -> Option<Scalar> {
        Some(match self.0.first()? {
            b'n' => self.literal(b"null").map(|()| Scalar::Null)?,
            b't' => self.literal(b"true").map(|()| Scalar::True)?,
            b'f' => self.literal(b"false").map(|()| Scalar::False)?,
            b'[' => {
                self.literal(b"[")?;
                let first = self.integer()?;
                self.literal(b",")?;
                let second = self.integer()?;
                self.literal(b"]")?;
                Scalar::Pair(first, second)
            }
            _ => Scalar::Integer(self.integer()?),
        })
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
        let line = b"{\"proc\":3,\"f\":\"cas\",\"key\":\"17\",\"arg\":[-1,2],\"res\":true,\"inv\":1000,\"ret\":2500}\nrest";
        let (row, rest) = Row::parse(line).unwrap();
        assert_eq!(rest, b"rest");
        assert_eq!(row.arg, Scalar::Pair(integer(-1), integer(2)));
        assert_eq!((row.process, row.f, row.key, row.res), (3, Function::Cas, "17", Scalar::True));
        assert_eq!((row.invoked_ns, row.returned_ns), (1000, Some(2500)));
    }

    #[test]
    fn leaves_every_other_spelling_to_serde() {
        for line in [
            "{\"proc\": 3,\"f\":\"read\",\"key\":\"17\",\"arg\":null,\"res\":1,\"inv\":1,\"ret\":2}\n",
            "{\"proc\":3,\"f\":\"read\",\"key\":\"1\\u0037\",\"arg\":null,\"res\":1,\"inv\":1,\"ret\":2}\n",
            "{\"proc\":03,\"f\":\"read\",\"key\":\"17\",\"arg\":null,\"res\":1,\"inv\":1,\"ret\":2}\n",
            "{\"proc\":3,\"f\":\"read\",\"key\":\"17\",\"arg\":null,\"res\":true,\"inv\":1,\"ret\":2}\n",
            "{\"proc\":3,\"f\":\"read\",\"key\":\"17\",\"arg\":null,\"res\":1.5,\"inv\":1,\"ret\":2}\n",
            "{\"proc\":3,\"f\":\"read\",\"key\":\"17\",\"arg\":null,\"res\":9999999999999999999,\"inv\":1,\"ret\":2}\n",
            "{\"proc\":3,\"f\":\"read\",\"key\":\"17\",\"arg\":null,\"res\":1,\"inv\":1,\"ret\":2}",
            "",
        ] {
            assert_eq!(Row::parse(line.as_bytes()), None, "{line}");
        }
    }
}
