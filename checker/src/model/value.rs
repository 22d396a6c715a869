//! A value of the history as models compare it.

use std::fmt;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::history::History;
use crate::history::values::ValueId;

/// A JSON value: equal values are equal, whatever their spelling in the file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// Absent.
    Null,
    /// An integer that fits 64 bits.
    Integer(i64),
    /// Anything else, as canonical JSON text.
    Json(Arc<str>),
}

impl Value {
    /// The value with this id.
    pub fn of(history: &History, value: ValueId) -> Value {
        match value.integer() {
            Some(integer) => Value::Integer(integer),
            None => Value::of_canonical(&history.value(value)),
        }
    }

    /// The value with this canonical JSON text, as [`History::value`] gives it.
    pub fn of_json(json: &str) -> Value {
        Value::of_canonical(json)
    }

    fn of_canonical(json: &str) -> Value {
        if json == "null" {
            return Value::Null;
        }
        json.parse().map_or_else(|_| Value::Json(json.into()), Value::Integer)
    }

    /// The integer, unless it is something else.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Value::Integer(integer) => Some(*integer),
            _ => None,
        }
    }

    /// The text, unless it is something else.
    pub fn text(&self) -> Option<String> {
        match self {
            Value::Json(json) => serde_json::from_str(json).ok(),
            _ => None,
        }
    }

    /// A text as a value.
    pub fn of_text(text: &str) -> Value {
        Value::Json(serde_json::Value::from(text).to_string().into())
    }

    /// The boolean, unless it is something else.
    pub fn boolean(&self) -> Option<bool> {
        match self {
            Value::Json(json) => json.parse().ok(),
            _ => None,
        }
    }

    /// The items of a list, unless it is something else.
    pub fn items(&self) -> Option<Vec<Value>> {
        let Value::Json(json) = self else { return None };
        // The items of a canonical list are canonical.
        let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
        Some(items.into_iter().map(|item| Value::of_canonical(item.get())).collect())
    }

    /// The items of a list, or of a set as EDN's importer writes one: `{"set":[1,2]}`.
    pub fn members(&self) -> Option<Vec<Value>> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct OfEdn<'a> {
            #[serde(borrow)]
            set: Vec<&'a RawValue>,
        }
        let Value::Json(json) = self else { return None };
        self.items().or_else(|| {
            let OfEdn { set } = serde_json::from_str(json).ok()?;
            Some(set.into_iter().map(|item| Value::of_canonical(item.get())).collect())
        })
    }

    /// The two items of a list of two.
    pub fn pair(&self) -> Option<(Value, Value)> {
        let [first, second] = <[Value; 2]>::try_from(self.items()?).ok()?;
        Some((first, second))
    }

    /// The name it is as a key: a string's text, a number's digits.
    pub fn name(&self) -> String {
        match self {
            Value::Json(json) => serde_json::from_str(json).unwrap_or_else(|_| json.to_string()),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Integer(integer) => integer.fmt(f),
            Value::Json(json) => f.write_str(json),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_comes_apart_into_values() {
        let list = Value::of_canonical(r#"[1,null,"a",[2,3]]"#);
        let items = list.items().unwrap();
        assert_eq!(items[..2], [Value::Integer(1), Value::Null]);
        assert_eq!(items[2].name(), "a");
        assert_eq!(items[3].pair(), Some((Value::Integer(2), Value::Integer(3))));
        assert_eq!(Value::Integer(1).items(), None);
        assert_eq!(Value::of_canonical("true").boolean(), Some(true));
        assert_eq!(list.members(), list.items());
        let set = Value::of_canonical(r#"{"set":[1,"a"]}"#);
        assert_eq!((set.items(), set.members().map(|items| items.len())), (None, Some(2)));
        assert_eq!(Value::of_canonical(r#"{"set":[1],"b":2}"#).members(), None);
    }
}
