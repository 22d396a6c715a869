//! Values as numbers that are equal exactly if the values are.
//!
//! Small integers, which is what our workloads write, are stored in the number itself, and so are lists of two of them, which is what a
//! `cas` is asked with. Everything else is interned as canonical JSON text:
//! white space and escapes of the file do not make two values of one, and numbers are compared by their digits, never as floats: two
//! large unique values rounded to one would be a false alarm, and so would `1` and `1.0` taken for two.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde_json::value::RawValue;

/// A value: equal ids of one history are equal values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(i64);

impl ValueId {
    /// JSON's `null`: the value of a register that was never written.
    pub const NULL: ValueId = ValueId(-1);
    /// No value at all; never handed out.
    pub(super) const NONE: ValueId = ValueId(-3);

    /// The id of an integer, if it fits 63 bits; larger ones are interned by their digits.
    pub fn of_integer(integer: i64) -> Option<ValueId> {
        integer.checked_mul(2).map(ValueId)
    }

    /// The integer, unless the value is something else.
    pub fn integer(self) -> Option<i64> {
        (self.0 & 1 == 0).then_some(self.0 >> 1)
    }

    fn of_place(place: usize) -> ValueId {
        // A place is far below 2^62: each costs at least two bytes of memory.
        ValueId((place as i64) << 1 | 1)
    }

    /// The list of two integers of at most 30 bits each, sign included; longer ones are interned.
    fn of_small_pair(first: ValueId, second: ValueId) -> Option<ValueId> {
        let half = |value: ValueId| value.integer().filter(|integer| SMALL.contains(integer));
        let (first, second) = (half(first)?, half(second)?);
        let packed = (first - SMALL.start) << HALF_BITS | (second - SMALL.start);
        Some(ValueId(SMALL_PAIRS - 2 * packed))
    }

    /// The integers of such a list.
    fn small_pair(self) -> Option<(ValueId, ValueId)> {
        let packed = (self.0 & 1 == 1 && self.0 <= SMALL_PAIRS).then(|| (SMALL_PAIRS - self.0) >> 1)?;
        let half = |bits: i64| ValueId((SMALL.start + bits) << 1);
        (packed >> (2 * HALF_BITS) == 0).then(|| (half(packed >> HALF_BITS), half(packed & ((1 << HALF_BITS) - 1))))
    }

    /// Whether it is a list that stands in its own number.
    pub(super) fn is_small_pair(self) -> bool {
        self.small_pair().is_some()
    }

    /// Whether the number says by itself what the value is.
    pub(super) fn is_by_itself(self) -> bool {
        self.integer().is_some() || self == ValueId::NULL || self.is_small_pair()
    }

    /// The number behind the id, which only a [`ValueTable`] can tell.
    pub(super) fn raw(self) -> i64 {
        self.0
    }

    /// The id of such a number, which may name nothing.
    pub(super) fn of_raw(raw: i64) -> ValueId {
        ValueId(raw)
    }

    /// The place in its table, unless it is its own number.
    pub(super) fn place(self) -> Option<usize> {
        (self.0 & 1 == 1 && self.0 > 0).then_some((self.0 >> 1) as usize)
    }
}

/// Bits of an integer in a small pair.
const HALF_BITS: u32 = 30;

/// The integers of small pairs.
const SMALL: std::ops::Range<i64> = -(1 << (HALF_BITS - 1))..1 << (HALF_BITS - 1);

/// The id of the first small pair. They go down from here, on odd numbers, over 60 bits.
const SMALL_PAIRS: i64 = -5;

/// The values of one history that are not numbers by themselves ([`ValueId`]).
#[derive(Debug, Clone, Default)]
pub struct ValueTable {
    entries: Vec<Entry>,
    /// Never iterated: its order is nobody's.
    texts: FxHashMap<Arc<str>, usize>,
    /// Never iterated either.
    pairs: FxHashMap<(ValueId, ValueId), usize>,
}

/// A value that is stored.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    /// Canonical JSON.
    Text(Arc<str>),
    /// A list of two that is no small pair. Every `cas` has one as its argument, so it must cost no more than two numbers, and come
    /// apart again.
    Pair(ValueId, ValueId),
}

/// A value nested deeper than [`DEPTH_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooDeep;

/// Deepest nesting of lists and maps: serde_json's own limit, so that whatever it reads we can compare without deep recursion.
pub(super) const DEPTH_MAX: usize = 128;

impl ValueTable {
    /// The canonical JSON text of a value.
    pub fn text(&self, value: ValueId) -> Cow<'_, str> {
        if let Some(integer) = value.integer() {
            return integer.to_string().into();
        }
        if let Some((first, second)) = value.small_pair() {
            return format!("[{},{}]", self.text(first), self.text(second)).into();
        }
        match value.place().and_then(|place| self.entries.get(place)) {
            Some(Entry::Text(text)) => Cow::Borrowed(text),
            // As deep as the value is nested, at most `DEPTH_MAX`.
            Some(Entry::Pair(first, second)) => format!("[{},{}]", self.text(*first), self.text(*second)).into(),
            None => Cow::Borrowed("null"),
        }
    }

    /// The two values of a list of two: what a `cas` expected, and what it put in its place.
    pub fn pair(&self, value: ValueId) -> Option<(ValueId, ValueId)> {
        value
            .small_pair()
            .or_else(|| match value.place().and_then(|place| self.entries.get(place))? {
                Entry::Pair(first, second) => Some((*first, *second)),
                Entry::Text(_) => None,
            })
    }

    /// The id of the list `[first, second]`.
    pub fn pair_of(&mut self, first: ValueId, second: ValueId) -> ValueId {
        if let Some(small) = ValueId::of_small_pair(first, second) {
            return small;
        }
        let place = *self.pairs.entry((first, second)).or_insert(self.entries.len());
        if place == self.entries.len() {
            self.entries.push(Entry::Pair(first, second));
        }
        ValueId::of_place(place)
    }

    /// The stored values, in the order of their places.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many values are stored here.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether every value is a small integer, null, or a list of two small integers.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The id of the value with this JSON text, as it stands in the file.
    pub(super) fn intern(&mut self, json: &str) -> Result<ValueId, TooDeep> {
        self.intern_at(json, 0)
    }

    fn intern_at(&mut self, json: &str, depth: usize) -> Result<ValueId, TooDeep> {
        if let Some(integer) = small_integer(json) {
            return Ok(integer);
        }
        if json == "null" {
            return Ok(ValueId::NULL);
        }
        if let Some((first, second)) = two_items(json) {
            if depth >= DEPTH_MAX {
                return Err(TooDeep);
            }
            let (first, second) = (self.intern_at(first, depth + 1)?, self.intern_at(second, depth + 1)?);
            return Ok(self.pair_of(first, second));
        }
        let canonical = canonical(json, depth)?;
        if let Some(integer) = small_integer(&canonical) {
            return Ok(integer);
        }
        if let Some(&place) = self.texts.get(canonical.as_ref()) {
            return Ok(ValueId::of_place(place));
        }
        let place = self.entries.len();
        let shared: Arc<str> = canonical.into();
        self.entries.push(Entry::Text(shared.clone()));
        self.texts.insert(shared, place);
        Ok(ValueId::of_place(place))
    }
}

/// The items of a list of two.
fn two_items(json: &str) -> Option<(&str, &str)> {
    let inside = json.strip_prefix('[')?.strip_suffix(']')?;
    // Two plain numbers, the common case, need no parser.
    if inside
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b',' | b' '))
    {
        let (first, second) = inside.split_once(',')?;
        return (!second.contains(',')).then_some((first.trim(), second.trim()));
    }
    let items: [&RawValue; 2] = serde_json::from_str(json).ok()?;
    Some((items[0].get(), items[1].get()))
}

fn small_integer(json: &str) -> Option<ValueId> {
    if !matches!(json.as_bytes().first(), Some(b'-' | b'0'..=b'9')) {
        return None;
    }
    json.parse::<i64>().ok().and_then(ValueId::of_integer)
}

/// One text per value: no white space, shortest escapes, the fields of maps in order, numbers by their digits.
fn canonical(json: &str, depth: usize) -> Result<Cow<'_, str>, TooDeep> {
    if depth > DEPTH_MAX {
        return Err(TooDeep);
    }
    match json.as_bytes().first() {
        Some(b'"') if json.contains('\\') => {
            // Lone surrogates have no text of their own; such a string stays as it came.
            Ok(serde_json::from_str::<String>(json).map_or(Cow::Borrowed(json), |text| quoted(&text).into()))
        }
        Some(b'[') => {
            let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(json) else {
                return Ok(Cow::Borrowed(json));
            };
            let items = items
                .into_iter()
                .map(|item| canonical(item.get(), depth + 1))
                .collect::<Result<Vec<_>, _>>()?;
            Ok(format!("[{}]", items.join(",")).into())
        }
        Some(b'{') => {
            let Ok(fields) = serde_json::from_str::<BTreeMap<String, &RawValue>>(json) else {
                return Ok(Cow::Borrowed(json));
            };
            let mut text = String::from("{");
            for (name, value) in fields {
                let separator = if text.len() == 1 { "" } else { "," };
                text += &format!("{separator}{}:{}", quoted(&name), canonical(value.get(), depth + 1)?);
            }
            Ok((text + "}").into())
        }
        Some(b'-' | b'0'..=b'9') => Ok(canonical_number(json).map_or(Cow::Borrowed(json), Cow::Owned)),
        _ => Ok(Cow::Borrowed(json)),
    }
}

/// Longest integer, in digits, that is spelled out where the file has an exponent; longer ones keep it.
const DIGITS_MAX: i64 = 40;

/// One text for numerically equal numbers: all significant digits, with an exponent of ten only where the number is no short integer or
/// short decimal. `None` for an exponent past 64 bits: such a number stays as it came.
fn canonical_number(json: &str) -> Option<String> {
    let (sign, magnitude) = json.strip_prefix('-').map_or(("", json), |magnitude| ("-", magnitude));
    let (mantissa, exponent) = magnitude.split_once(['e', 'E']).unwrap_or((magnitude, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = format!("{whole}{fraction}");
    let digits = all_digits.trim_start_matches('0').trim_end_matches('0');
    if digits.is_empty() {
        return Some("0".into());
    }
    let zeros = all_digits.len() - all_digits.trim_end_matches('0').len();
    let shift = i64::try_from(zeros).ok()? - i64::try_from(fraction.len()).ok()?;
    let exponent = exponent.parse::<i64>().ok()?.checked_add(shift)?;
    let length = i64::try_from(digits.len()).ok()?;
    Some(match exponent {
        0 => format!("{sign}{digits}"),
        1.. if exponent <= DIGITS_MAX => format!("{sign}{digits}{}", "0".repeat(exponent.unsigned_abs() as usize)),
        ..0 if exponent > -length => {
            let (whole, fraction) = digits.split_at((length + exponent) as usize);
            format!("{sign}{whole}.{fraction}")
        }
        ..0 if exponent >= -DIGITS_MAX => {
            let zeros = "0".repeat((-exponent - length) as usize);
            format!("{sign}0.{zeros}{digits}")
        }
        _ => format!("{sign}{digits}e{exponent}"),
    })
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_equal(left: &str, right: &str) {
        let mut table = ValueTable::default();
        assert_eq!(table.intern(left), table.intern(right), "{left} and {right}");
    }

    #[track_caller]
    fn check_different(left: &str, right: &str) {
        let mut table = ValueTable::default();
        assert_ne!(table.intern(left), table.intern(right), "{left} and {right}");
    }

    #[test]
    fn values_are_equal_whatever_their_spelling() {
        check_equal("17", "17");
        check_equal("-0", "0");
        check_equal(r#""a""#, r#""\u0061""#);
        check_equal("[1, 2]", "[1,2]");
        check_equal(r#"{"a":1,"b":[ ]}"#, r#"{ "b" : [], "a" : 1 }"#);
        check_equal("9223372036854775807", "9223372036854775807");
    }

    #[test]
    fn numbers_are_equal_by_what_they_are_worth() {
        check_equal("1.0", "1");
        check_equal("1e2", "1E2");
        check_equal("1e+2", "100.00");
        check_equal("-0.0", "0");
        check_equal("0e9", "0");
        check_equal("0.50", "5e-1");
        check_equal("12.5", "125e-1");
        check_equal("[1.0]", "[1]");
        check_equal("9007199254740993.0", "9007199254740993");
        check_equal("1e100", "10e99");
        check_equal("1e-100", "0.1e-99");
        check_equal("1e99999999999999999999", "1e99999999999999999999");
        check_different("1.5", "15");
        check_different("0.05", "0.5");
        check_different("-1.0", "1");
        check_different("1e50", "1e51");
        check_different("9007199254740993.0", "9007199254740992.0");
    }

    #[test]
    fn different_values_stay_different_even_where_floats_would_round() {
        check_different("1", r#""1""#);
        check_different("1", "true");
        check_different("null", "0");
        check_different("9223372036854775807", "9223372036854775806");
        check_different("100000000000000000000001", "100000000000000000000002");
        check_different("[100000000000000000000001]", "[100000000000000000000002]");
        check_different("4611686018427387904", "-4611686018427387904");
    }

    #[test]
    fn a_value_gives_back_its_text() {
        let mut table = ValueTable::default();
        for (json, text) in [
            ("-5", "-5"),
            ("null", "null"),
            (r#""\u001b[31m""#, r#""\u001b[31m""#),
            ("9223372036854775807", "9223372036854775807"),
        ] {
            let value = table.intern(json).unwrap();
            assert_eq!(table.text(value), text);
        }
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn a_list_of_two_comes_apart() {
        let mut table = ValueTable::default();
        let one = table.intern("[1, 2]").unwrap();
        let parts = (ValueId::of_integer(1).unwrap(), ValueId::of_integer(2).unwrap());
        assert_eq!(table.pair(one), Some(parts));
        assert_eq!(table.pair_of(parts.0, parts.1), one);
        let nested = table.intern(r#"[null, ["a", {"b": [1, 2]}]]"#).unwrap();
        assert_eq!(table.text(nested), r#"[null,["a",{"b":[1,2]}]]"#);
        assert_eq!(table.pair(nested).map(|(first, _)| first), Some(ValueId::NULL));
        for other in ["[1]", "[1,2,3]", "[]", "12", r#"{"a":1,"b":2}"#] {
            let other = table.intern(other).unwrap();
            assert_eq!(table.pair(other), None);
        }
    }

    #[test]
    fn a_list_of_two_small_integers_needs_no_table() {
        let mut table = ValueTable::default();
        let mut seen = std::collections::BTreeSet::new();
        let small = [SMALL.start, SMALL.start + 1, -1, 0, 1, 17, SMALL.end - 1];
        for first in small {
            for second in small {
                let text = format!("[{first},{second}]");
                let value = table.intern(&text).unwrap();
                assert_eq!(
                    table.pair(value).map(|(first, second)| (first.integer(), second.integer())),
                    Some((Some(first), Some(second)))
                );
                assert_eq!(table.text(value), text);
                assert_eq!((value.integer(), value.place(), value.is_by_itself()), (None, None, true));
                assert!(seen.insert(value) && value != ValueId::NULL && value != ValueId::NONE);
            }
        }
        assert!(table.is_empty());
        for json in ["[0,536870912]", "[-536870913,0]", "[null,1]", "[[1,2],3]"] {
            let value = table.intern(json).unwrap();
            assert_eq!(
                (value.small_pair(), value.place().is_some(), value.is_by_itself()),
                (None, true, false)
            );
            assert_eq!(table.text(value), json);
        }
        for raw in [i64::MIN + 1, SMALL_PAIRS - (2 << (2 * HALF_BITS)), ValueId::NULL.0, ValueId::NONE.0] {
            assert_eq!(ValueId(raw).small_pair(), None);
        }
    }

    #[test]
    fn refuses_a_value_that_is_nested_too_deep() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let mut table = ValueTable::default();
        assert!(table.intern(&nested(100)).is_ok());
        assert_eq!(table.intern(&nested(100_000)), Err(TooDeep));
    }
}
