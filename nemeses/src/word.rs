//! Choices of a plan that can be written as a word alone, where all that they have may be left out: `"majority"` is `{ majority = {} }`.
//!
//! Main decision: the enums stay externally tagged, so that a plan that says everything reads as ever, and a word is tried in both its meanings. Not
//! taken: an untagged enum, whose errors name neither the word at fault nor the words there are.

use std::collections::BTreeMap;
use std::fmt;
use std::iter::once;
use std::marker::PhantomData;

use schemars::Schema;
use serde::Deserializer;
use serde::de::value::{MapAccessDeserializer, MapDeserializer};
use serde::de::{self, Error, IgnoredAny, IntoDeserializer, MapAccess, Visitor};
use serde_json::{Value, json};

/// An externally tagged enum, read as one.
pub(crate) trait Tagged: Sized {
    /// Reads a word that stands for itself, or a table of one word and what it has.
    fn tagged<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// Reads an enum whose words may stand alone.
pub(crate) fn word_or_table<'de, T: Tagged, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(WordOrTable(PhantomData))
}

struct WordOrTable<T>(PhantomData<T>);

impl<'de, T: Tagged> Visitor<'de> for WordOrTable<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a word, or a table of one word and what it has")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<T, E> {
        let alone: de::value::StrDeserializer<'_, E> = word.into_deserializer();
        T::tagged(alone).or_else(|error: E| {
            let nothing_said: BTreeMap<&str, &str> = BTreeMap::new();
            let table = MapDeserializer::<_, E>::new(once((word, nothing_said)));
            // A word that is no word, or lacks what it must have, is told so as such.
            T::tagged(MapAccessDeserializer::new(table)).map_err(|_| error)
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<T, A::Error> {
        let read = T::tagged(MapAccessDeserializer::new(&mut table))?;
        match table.next_key::<IgnoredAny>()? {
            None => Ok(read),
            // As the reader of TOML says it.
            Some(_) => Err(A::Error::custom("wanted exactly 1 element, more than 1 element")),
        }
    }
}

/// Says in a schema which words may stand alone: those whose table has nothing that must be said.
pub(crate) fn also_words(schema: &mut Schema) {
    let Some(Value::Array(ways)) = schema.get_mut("oneOf") else {
        return;
    };
    let alone = |way: &Value| {
        let word = way["required"].get(0)?.as_str()?;
        let inner = &way["properties"][word];
        (inner["type"] == "object" && inner.get("required").is_none()).then(|| word.to_owned())
    };
    let words: Vec<String> = ways.iter().filter_map(alone).collect();
    ways.push(json!({"description": "Each alone, with all else as it usually is.", "type": "string", "enum": words}));
}
