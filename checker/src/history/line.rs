//! One line of a client's operation, borrowed from the file's bytes.
//!
//! [`Event`](super::event::Event) is the same line with everything owned and kept; it costs ten allocations, this costs none.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use serde_json::value::RawValue;

use super::event::EventType;
use super::values::ValueId;

/// The fields that the judge needs of an operation's line. Unknown fields are passed over.
#[derive(Debug, Deserialize)]
pub(super) struct Line<'a> {
    pub(super) time: u64,
    #[serde(rename = "type")]
    pub(super) kind: EventType,
    #[serde(borrow)]
    pub(super) process: Actor<'a>,
    #[serde(borrow)]
    pub(super) f: Text<'a>,
    #[serde(borrow, default)]
    pub(super) key: Option<Text<'a>>,
    /// `None` only if the field is missing; an explicit `null` is a value.
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) value: Option<Json<'a>>,
    #[serde(borrow, default)]
    pub(super) node: Option<Text<'a>>,
    /// JSON. Null is no error.
    #[serde(borrow, default, deserialize_with = "error_text")]
    pub(super) error: Option<&'a str>,
}

/// A value of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Json<'a> {
    /// As it stands in the file: valid JSON.
    Text(&'a str),
    /// One that is its own number: an integer or null.
    Known(ValueId),
}

/// `"seen": null` is something seen (an absent value), a missing `seen` is not.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json<'de>>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(|json| Some(Json::Text(json.get())))
}

fn error_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de str>, D::Error> {
    Ok(Option::<&RawValue>::deserialize(deserializer)?.map(RawValue::get))
}

/// A name that may stand as an integer, for the owned form of a line.
pub(super) fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Text::deserialize(deserializer).map(|text| text.0.into_owned())
}

/// The same where it may be missing or null.
pub(super) fn optional_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<Text<'_>>::deserialize(deserializer)?.map(|text| text.0.into_owned()))
}

/// Who acts: a client's process or somebody with a name, whose line is a mark.
#[derive(Debug)]
pub(super) enum Actor<'a> {
    Client(u64),
    Named(#[expect(dead_code, reason = "a mark is read again with all its fields")] Cow<'a, str>),
}

/// A string, or a number taken as its digits: foreign histories number their keys.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Actor<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ActorVisitor;
        impl<'de> Visitor<'de> for ActorVisitor {
            type Value = Actor<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a process number or a name")
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
                Ok(Actor::Client(number))
            }
            fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Actor::Named(name.into()))
            }
            fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Actor::Named(name.to_owned().into()))
            }
        }
        deserializer.deserialize_any(ActorVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an integer")
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
                Ok(Text(number.to_string().into()))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
                Ok(Text(number.to_string().into()))
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(text.into()))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(text.to_owned().into()))
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

/// What of an `error` field decides something: `{"kind": "mismatch", "seen": 5}`. Other shapes are for people.
#[derive(Debug, Default)]
pub(super) struct ErrorNote<'a> {
    pub(super) kind: Option<Cow<'a, str>>,
    pub(super) seen: Option<Json<'a>>,
}

impl<'a> ErrorNote<'a> {
    /// Reads an error as it stands in the file. A bare string is its own kind.
    pub(super) fn of(error: &'a str) -> ErrorNote<'a> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            #[serde(borrow, default)]
            kind: Option<Text<'a>>,
            #[serde(borrow, default, deserialize_with = "present")]
            seen: Option<Json<'a>>,
        }
        if let Ok(Fields { kind, seen }) = serde_json::from_str(error) {
            return ErrorNote {
                kind: kind.map(|kind| kind.0),
                seen,
            };
        }
        ErrorNote {
            kind: serde_json::from_str::<Text<'_>>(error).ok().map(|text| text.0),
            seen: None,
        }
    }
}
