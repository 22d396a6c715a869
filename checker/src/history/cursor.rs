//! Lines of the usual spelling, read by hand.
//!
//! Whatever is spelled otherwise is answered with `None` and left to serde, whose word is law: a test holds that both say the same of every
//! line that is read here.

use serde_json::value::RawValue;

use super::values::ValueId;

/// Where a text stands among the bytes that it was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    begin: u32,
    length: u32,
}

impl Span {
    /// The span from `begin` to `end`; `None` past 4 GiB, of which no piece of a file ever is.
    fn new(begin: usize, end: usize) -> Option<Span> {
        Some(Span {
            begin: u32::try_from(begin).ok()?,
            length: u32::try_from(end - begin).ok()?,
        })
    }

    /// Its bytes.
    pub(super) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.begin as usize..][..self.length as usize]
    }

    /// Its text.
    pub(super) fn text(self, bytes: &[u8]) -> &str {
        std::str::from_utf8(self.of(bytes)).expect("the cursor looked at it")
    }
}

/// What is left of some bytes. Every method answers `None` for whatever it does not expect.
pub(super) struct Cursor<'a> {
    all: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(all: &'a [u8], begin: usize) -> Cursor<'a> {
        Cursor { all, rest: &all[begin..] }
    }

    /// Where it stands.
    pub(super) fn place(&self) -> usize {
        self.all.len() - self.rest.len()
    }

    pub(super) fn go_back_to(&mut self, place: usize) {
        self.rest = &self.all[place..];
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    #[inline]
    pub(super) fn literal<const N: usize>(&mut self, expected: &[u8; N]) -> Option<()> {
        let (head, tail) = self.rest.split_first_chunk::<N>()?;
        if head != expected {
            return None;
        }
        self.rest = tail;
        Some(())
    }

    /// Up to 18 digits, which fit 63 bits with room to spare, without a leading zero. Eight at a time: numbers are half of a line.
    #[inline]
    pub(super) fn number(&mut self) -> Option<u64> {
        let (mut number, mut length) = (0, 0);
        while let Some(eight) = self.rest[length..].first_chunk::<8>() {
            let (digits, count) = leading_digits(*eight);
            if length + count > DIGITS_MAX {
                return None;
            }
            number = number * TEN_TO_THE[count] + digits;
            length += count;
            if count < 8 {
                return self.number_ends(number, length);
            }
        }
        // Less than eight bytes are left of the file's piece.
        for &byte in &self.rest[length..] {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            length += 1;
            if length > DIGITS_MAX {
                return None;
            }
            number = number * 10 + u64::from(digit);
        }
        self.number_ends(number, length)
    }

    #[inline]
    fn number_ends(&mut self, number: u64, length: usize) -> Option<u64> {
        if length == 0 || (length > 1 && self.rest[0] == b'0') {
            return None;
        }
        self.rest = &self.rest[length..];
        Some(number)
    }

    /// An integer that is a value by itself.
    #[inline]
    pub(super) fn integer(&mut self) -> Option<ValueId> {
        let negative = self.peek()? == b'-';
        if negative {
            self.rest = &self.rest[1..];
        }
        let number = i64::try_from(self.number()?).ok()?;
        ValueId::of_integer(if negative { -number } else { number })
    }

    /// A text without escapes, behind its first quotation mark; the last one is passed.
    #[inline]
    pub(super) fn text(&mut self) -> Option<Span> {
        let length = self.rest.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20)?;
        let (text, tail) = self.rest.split_at(length);
        if !text.is_ascii() {
            std::str::from_utf8(text).ok()?;
        }
        let begin = self.place();
        self.rest = tail.strip_prefix(b"\"")?;
        Span::new(begin, begin + length)
    }

    /// Any JSON value, looked at by serde.
    pub(super) fn any_value(&mut self) -> Option<Span> {
        // serde would pass over white space before it.
        if self.peek()?.is_ascii_whitespace() {
            return None;
        }
        let mut values = serde_json::Deserializer::from_slice(self.rest).into_iter::<&RawValue>();
        let length = values.next()?.ok()?.get().len();
        let begin = self.place();
        self.rest = &self.rest[length..];
        Span::new(begin, begin + length)
    }
}

/// Most digits of a number that is read by hand.
const DIGITS_MAX: usize = 18;

const TEN_TO_THE: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// The number that the digits at the begin of eight bytes are, and how many they are.
///
/// All eight bytes are one number of the machine: adding 0x76 to each carries into its highest bit exactly if it is past 9, and three
/// multiplications add digits to pairs, pairs to fours and fours to eight (Lemire, "Quickly parsing eight digits", 2018).
#[inline]
fn leading_digits(eight: [u8; 8]) -> (u64, usize) {
    let values = u64::from_le_bytes(eight) ^ 0x3030_3030_3030_3030;
    let others = (values.wrapping_add(0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080;
    let count = others.trailing_zeros() as usize / 8;
    if count == 0 {
        return (0, 0);
    }
    // What is no digit is moved out, and zeros stand before the first digit.
    let digits = values << (64 - 8 * count);
    let pairs = digits.wrapping_mul(10 * 0x100 + 1) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100 * 0x1_0000 + 1) >> 16 & 0x0000_ffff_0000_ffff;
    let number = fours.wrapping_mul(10_000 * 0x1_0000_0000 + 1) >> 32;
    (number, count)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// The number at the begin of the text, and how much of it is left.
    fn number(text: &str) -> Option<(u64, usize)> {
        let mut cursor = Cursor::new(text.as_bytes(), 0);
        cursor.number().map(|number| (number, cursor.rest.len()))
    }

    #[test]
    fn reads_numbers_of_every_length_with_anything_behind_them() {
        let mut chance = ChaCha8Rng::seed_from_u64(7);
        for length in 1..=18 {
            for _ in 0..50 {
                let (low, high) = (10_u64.pow(length - 1), 10_u64.pow(length));
                let expected = if length == 1 {
                    chance.random_range(0..10)
                } else {
                    chance.random_range(low..high)
                };
                for behind in ["", ",", "}", "}\n", ":/;\u{e9}", ".5", "e1", ",12345678901234567890"] {
                    assert_eq!(
                        number(&format!("{expected}{behind}")),
                        Some((expected, behind.len())),
                        "{expected}{behind}"
                    );
                }
            }
        }
    }

    #[test]
    fn refuses_what_is_no_plain_number() {
        for text in [
            "",
            "a",
            "-1",
            "01",
            "00",
            "0123456789",
            "1234567890123456789",
            "1234567890123456789,........",
            " 1",
            ":",
            "/",
        ] {
            assert_eq!(number(text), None, "{text}");
        }
        assert_eq!(number("0"), Some((0, 0)));
    }

    #[test]
    fn any_value_is_what_serde_takes_for_one() {
        for (text, value) in [
            ("1.5e3,", Some("1.5e3")),
            ("\"a\\\"b\"}", Some("\"a\\\"b\"")),
            ("[1,{\"a\":[]}],1", Some("[1,{\"a\":[]}]")),
            ("null", Some("null")),
            (" 1", None),
            ("nul,", None),
            ("[1", None),
            ("\"\u{1}\"", None),
            ("01", None),
        ] {
            let mut cursor = Cursor::new(text.as_bytes(), 0);
            assert_eq!(cursor.any_value().map(|span| span.text(text.as_bytes())), value, "{text}");
        }
    }
}
