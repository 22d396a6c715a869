//! Entries of the log and the commands in them.
//!
//! A command is encoded once, where it enters the log; the same text then travels to the peers, stands on every disk and is what the
//! digest is made of. On the wire and on disk an entry is `[index, term, command]`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::hash::fnv1a;
use super::membership::Membership;
use crate::members::Text;
use crate::trace::{Hash64, Origin, Place};

/// What an entry is for. A kind that this build does not know is refused when it is read, never skipped: nodes must not apply different
/// things.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Begins a term, and tells which life of whose data the leader knows.
    Noop {
        /// See [`super::RaftConfig::birth`].
        births: BTreeMap<Text, u64>,
    },
    /// Another configuration.
    Config(Membership),
    /// Opens a session.
    Open {
        /// The client's name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client: Option<Text>,
        /// The client's number of the request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sequence: Option<u64>,
        /// Sessions at most. It stands in the entry so that every node closes the same ones.
        sessions_max: u64,
    },
    /// Changes the data.
    Write {
        /// The client's name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client: Option<Text>,
        /// The client's number of the request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sequence: Option<u64>,
        /// The session it belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<u64>,
        /// What changes. Transactions over many keys will be one more kind.
        operation: Operation,
    },
}

/// A change of the data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Write a key.
    Put {
        /// The key.
        key: Text,
        /// The value.
        value: Text,
    },
    /// Write a key if it holds what is expected.
    Cas {
        /// The key.
        key: Text,
        /// What it must hold; `None`: it must not exist.
        expect: Option<Text>,
        /// The value.
        value: Text,
    },
    /// Remove a key.
    Delete {
        /// The key.
        key: Text,
    },
    /// Write the key's value with this text at its end.
    Append {
        /// The key.
        key: Text,
        /// The text.
        value: Text,
    },
}

impl Operation {
    /// The request's name.
    pub fn name(&self) -> &'static str {
        match self {
            Operation::Put { .. } => "put",
            Operation::Cas { .. } => "cas",
            Operation::Delete { .. } => "delete",
            Operation::Append { .. } => "append",
        }
    }
}

impl Command {
    /// The kind as the trace names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Command::Noop { .. } => "noop",
            Command::Config(_) => "config",
            Command::Open { .. } => "session",
            Command::Write { .. } => "command",
        }
    }

    /// Who asked for it.
    pub fn origin(&self) -> Origin {
        match self {
            Command::Noop { .. } | Command::Config(_) => Origin::default(),
            Command::Open { client, sequence, .. } => Origin {
                client: client.clone(),
                sequence: *sequence,
                session: None,
            },
            Command::Write {
                client, sequence, session, ..
            } => Origin {
                client: client.clone(),
                sequence: *sequence,
                session: *session,
            },
        }
    }

    /// The name of the request that it came from.
    pub fn request(&self) -> &'static str {
        match self {
            Command::Noop { .. } => "noop",
            Command::Config(_) => "change",
            Command::Open { .. } => "session",
            Command::Write { operation, .. } => operation.name(),
        }
    }
}

/// An entry of the log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Entry(Arc<Content>);

#[derive(Debug)]
struct Content {
    index: u64,
    term: u64,
    command: Command,
    text: Box<RawValue>,
    digest: u64,
}

impl Entry {
    /// A new entry.
    pub fn new(index: u64, term: u64, command: Command) -> Entry {
        let text = to_raw_value(&command).expect("a command is plain data");
        Entry::of(index, term, command, text)
    }

    fn of(index: u64, term: u64, command: Command, text: Box<RawValue>) -> Entry {
        let digest = fnv1a(text.get().as_bytes());
        Entry(Arc::new(Content {
            index,
            term,
            command,
            text,
            digest,
        }))
    }

    /// Its place in the log, from 1.
    pub fn index(&self) -> u64 {
        self.0.index
    }

    /// The term of the leader that made it.
    pub fn term(&self) -> u64 {
        self.0.term
    }

    /// Both.
    pub fn place(&self) -> Place {
        (self.0.index, self.0.term)
    }

    /// What it is for.
    pub fn command(&self) -> &Command {
        &self.0.command
    }

    /// FNV-1a of the encoded command.
    pub fn digest(&self) -> Hash64 {
        Hash64(self.0.digest)
    }

    /// Bytes of the encoded command.
    pub fn byte_count(&self) -> usize {
        self.0.text.get().len()
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.place() == other.place() && self.0.text.get() == other.0.text.get()
    }
}

impl Eq for Entry {}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.0.index, self.0.term, &self.0.text).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Entry, D::Error> {
        let (index, term, text): (u64, u64, Box<RawValue>) = Deserialize::deserialize(deserializer)?;
        let command = serde_json::from_str(text.get()).map_err(D::Error::custom)?;
        Ok(Entry::of(index, term, command, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_fixed_for_ever_and_keeps_its_bytes() {
        let entry = Entry::new(
            7,
            3,
            Command::Write {
                client: Some("c7".into()),
                sequence: Some(3),
                session: Some(6),
                operation: Operation::Cas {
                    key: "k".into(),
                    expect: None,
                    value: "v".into(),
                },
            },
        );
        let text = r#"[7,3,{"write":{"client":"c7","sequence":3,"session":6,"operation":{"cas":{"key":"k","expect":null,"value":"v"}}}}]"#;
        assert_eq!(serde_json::to_string(&entry).unwrap(), text);
        let read: Entry = serde_json::from_str(text).unwrap();
        assert_eq!((&read, read.digest()), (&entry, entry.digest()));
        let spaced = r#"[7, 3, {"noop": {"births":{}, "later": 1}}]"#;
        let read: Entry = serde_json::from_str(spaced).unwrap();
        assert_eq!(
            read.digest().0,
            fnv1a(br#"{"noop": {"births":{}, "later": 1}}"#),
            "the bytes count, not their meaning"
        );
    }

    #[test]
    fn refuses_a_command_that_it_does_not_know() {
        assert!(serde_json::from_str::<Entry>(r#"[7,3,{"transaction":{}}]"#).is_err());
        assert!(serde_json::from_str::<Entry>(r#"[7,3]"#).is_err());
    }
}
