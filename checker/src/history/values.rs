//! Values as numbers that are equal exactly if the values are.
//!
//! Small integers, which is what our workloads write, are stored in the number itself. Lists of two, which is what a compare-and-set
//! takes, are stored as the pair of their items ([`ValueTable::pair`]). Everything else is interned as canonical JSON text:
//! white space and escapes of the file do not make two values of one, and numbers past 63 bits are compared by their digits, never as
//! floats (two large unique values rounded to one would be a false alarm).

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

    fn place(self) -> Option<usize> {
        (self.0 & 1 == 1 && self.0 > 0).then_some((self.0 >> 1) as usize)
    }

    fn of_pair_place(place: usize) -> ValueId {
        ValueId(-(2 * place as i64 + 5))
    }

    fn pair_place(self) -> Option<usize> {
        (self.0 & 1 == 1 && self.0 <= -5).then(|| ((-5 - self.0) >> 1) as usize)
    }
}

/// The values of one history that are not small integers.
#[derive(Debug, Clone, Default)]
pub struct ValueTable {
    texts: Vec<Arc<str>>,
    /// Never iterated: its order is nobody's.
    places: FxHashMap<Arc<str>, usize>,
    pairs: Vec<(ValueId, ValueId)>,
    /// Never iterated, as above.
    pair_places: FxHashMap<(ValueId, ValueId), usize>,
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
        if let Some((first, second)) = self.pair(value) {
            return format!("[{},{}]", self.text(first), self.text(second)).into();
        }
        match value.place().and_then(|place| self.texts.get(place)) {
            Some(text) => Cow::Borrowed(text),
            None => Cow::Borrowed("null"),
        }
    }

    /// The two items of a value that is a list of two: what a compare-and-set expects and what it writes.
    pub fn pair(&self, value: ValueId) -> Option<(ValueId, ValueId)> {
        value.pair_place().and_then(|place| self.pairs.get(place)).copied()
    }

    /// How many values are stored here.
    pub fn len(&self) -> usize {
        self.texts.len() + self.pairs.len()
    }

    /// Whether every value is a small integer or null.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The id of the value with this JSON text, as it stands in the file.
    pub(super) fn intern(&mut self, json: &str) -> Result<ValueId, TooDeep> {
        self.intern_at(json, 0)
    }

    /// The id of the list of these two.
    pub(super) fn intern_pair(&mut self, first: ValueId, second: ValueId) -> ValueId {
        let pairs = &mut self.pairs;
        let place = *self.pair_places.entry((first, second)).or_insert_with(|| {
            pairs.push((first, second));
            pairs.len() - 1
        });
        ValueId::of_pair_place(place)
    }

    fn intern_at(&mut self, json: &str, depth: usize) -> Result<ValueId, TooDeep> {
        if depth > DEPTH_MAX {
            return Err(TooDeep);
        }
        if let Some(integer) = small_integer(json) {
            return Ok(integer);
        }
        if json == "null" {
            return Ok(ValueId::NULL);
        }
        if json.starts_with('[')
            && let Ok([first, second]) = serde_json::from_str::<[&RawValue; 2]>(json)
        {
            let first = self.intern_at(first.get(), depth + 1)?;
            let second = self.intern_at(second.get(), depth + 1)?;
            return Ok(self.intern_pair(first, second));
        }
        let canonical = canonical(json, depth)?;
        if let Some(&place) = self.places.get(canonical.as_ref()) {
            return Ok(ValueId::of_place(place));
        }
        let place = self.texts.len();
        let shared: Arc<str> = canonical.into();
        self.texts.push(shared.clone());
        self.places.insert(shared, place);
        Ok(ValueId::of_place(place))
    }
}

fn small_integer(json: &str) -> Option<ValueId> {
    if !matches!(json.as_bytes().first(), Some(b'-' | b'0'..=b'9')) {
        return None;
    }
    json.parse::<i64>().ok().and_then(ValueId::of_integer)
}

/// One text per value: no white space, shortest escapes, the fields of maps in order. Numbers keep their digits.
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
        _ => Ok(Cow::Borrowed(json)),
    }
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
    fn a_list_of_two_gives_back_its_items() {
        let mut table = ValueTable::default();
        for (json, first, second) in [
            ("[1, 2]", "1", "2"),
            (r#"[null,"a"]"#, "null", r#""a""#),
            ("[[1,2],[]]", "[1,2]", "[]"),
        ] {
            let value = table.intern(json).unwrap();
            let (left, right) = table.pair(value).unwrap();
            assert_eq!((table.text(left).as_ref(), table.text(right).as_ref()), (first, second));
            assert_eq!(table.text(value), format!("[{first},{second}]"));
            assert_eq!(table.intern_pair(left, right), value);
        }
        let three = table.intern("[1,2,3]").unwrap();
        assert_eq!(table.pair(three), None);
        assert_eq!(table.pair(ValueId::NULL), None);
    }

    #[test]
    fn refuses_a_value_that_is_nested_too_deep() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let mut table = ValueTable::default();
        assert!(table.intern(&nested(100)).is_ok());
        assert_eq!(table.intern(&nested(100_000)), Err(TooDeep));
    }
}
