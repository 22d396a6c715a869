//! The state machine: what the committed commands add up to. The same on every node that applied the same entries.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::entry::{Command, Entry, Operation};
use super::hash::{extend, fnv1a, spread};
use super::session::{Seen, Sessions};
use crate::members::Text;
use crate::message::{FORMAT_VERSION, Outcome, is_readable};
use crate::trace::{Hash64, Place};
use crate::version::Version;

/// The longest value an append may make, in bytes: even if every byte must be escaped, the reply to a get fits into a frame.
const APPENDED_BYTES_MAX: usize = 128 << 10;

/// What a key holds, and the entry that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The value.
    pub value: Text,
    /// (index, term) of the entry.
    pub at: Place,
}

/// The answer to a command: part of the state, for a retry gets it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Done.
    Stored {
        /// The entry that did it.
        at: Place,
    },
    /// Compared, and swapped or not.
    Cas {
        /// Whether it was swapped.
        swapped: bool,
        /// What the key held before.
        seen: Option<Text>,
        /// The entry that wrote what it holds now.
        at: Option<Place>,
    },
    /// A session is open.
    Opened {
        /// Its number.
        id: u64,
    },
    /// The value would be too long; nothing changed.
    TooLarge {},
    /// The session is closed or the sequence too old: nothing changed now, and nobody knows about before.
    Expired {},
    /// Not from a client.
    Nothing {},
}

impl Answer {
    /// What the client is told.
    pub fn outcome(&self) -> Outcome {
        match self {
            Answer::Stored { at } => Outcome::Stored { version: version(*at) },
            Answer::Cas { swapped, seen, at } => Outcome::Cas {
                swapped: *swapped,
                seen: seen.clone(),
                version: at.map(version),
            },
            Answer::Opened { id } => Outcome::Session { id: *id },
            Answer::TooLarge {} => Outcome::failed("too-large", format!("the value would have more than {APPENDED_BYTES_MAX} bytes")),
            Answer::Expired {} => Outcome::unknown(
                "session-expired",
                "the session is closed or the sequence too old: refused now, but an earlier try may have happened",
            ),
            Answer::Nothing {} => Outcome::unknown("internal", "the entry answers no request"),
        }
    }
}

/// The version that clients see: the place in the log.
pub(super) fn version((index, term): Place) -> Version {
    Version {
        counter: index,
        node: "log".into(),
        incarnation: term,
        sequence: 0,
    }
}

/// What applying an entry did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// For the client.
    pub answer: Answer,
    /// For commands of a session: whether it took effect now.
    pub effect: Option<bool>,
}

/// Keys and sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    held: BTreeMap<Text, Held>,
    sessions: Sessions,
    /// Sum over the keys.
    hash: u64,
}

impl Machine {
    /// What a key holds.
    pub fn get(&self, key: &str) -> Option<&Held> {
        self.held.get(key)
    }

    /// All keys, ascending.
    pub fn all(&self) -> impl Iterator<Item = (&Text, &Held)> {
        self.held.iter()
    }

    /// How many keys there are.
    pub fn key_count(&self) -> usize {
        self.held.len()
    }

    /// Equal states have equal hashes, and with all likelihood only they.
    pub fn hash(&self) -> Hash64 {
        Hash64(self.hash.wrapping_add(self.sessions.hash()))
    }

    /// Applies an entry.
    pub fn apply(&mut self, entry: &Entry) -> Applied {
        match entry.command() {
            Command::Noop { .. } | Command::Config(_) => Applied {
                answer: Answer::Nothing {},
                effect: None,
            },
            Command::Open { sessions_max, .. } => {
                self.sessions.open(entry.index(), *sessions_max);
                Applied {
                    answer: Answer::Opened { id: entry.index() },
                    effect: None,
                }
            }
            Command::Write {
                session: Some(session),
                sequence,
                operation,
                ..
            } => self.apply_once(entry, *session, sequence.unwrap_or(0), operation),
            Command::Write { operation, .. } => Applied {
                answer: self.execute(entry.place(), operation),
                effect: None,
            },
        }
    }

    /// Applies an entry as if every command were a new one: what sessions are there to prevent.
    pub(super) fn apply_again(&mut self, entry: &Entry) -> Applied {
        match entry.command() {
            Command::Write {
                session: Some(_),
                operation,
                ..
            } => Applied {
                answer: self.execute(entry.place(), operation),
                effect: Some(true),
            },
            _ => self.apply(entry),
        }
    }

    /// A command of a session takes effect at most once.
    fn apply_once(&mut self, entry: &Entry, session: u64, sequence: u64, operation: &Operation) -> Applied {
        match self.sessions.look_up(entry.index(), session, sequence) {
            Seen::New => {
                let answer = self.execute(entry.place(), operation);
                self.sessions.keep(session, sequence, answer.clone());
                Applied {
                    answer,
                    effect: Some(true),
                }
            }
            Seen::Before(answer) => Applied {
                answer,
                effect: Some(false),
            },
            Seen::Forgotten => Applied {
                answer: Answer::Expired {},
                effect: Some(false),
            },
        }
    }

    fn execute(&mut self, at: Place, operation: &Operation) -> Answer {
        match operation {
            Operation::Put { key, value } => self.write(key, Some(value.clone()), at),
            Operation::Delete { key } => self.write(key, None, at),
            Operation::Append { key, value } => {
                let before = self.held.get(key).map_or("", |held| held.value.as_ref());
                if before.len() + value.len() > APPENDED_BYTES_MAX {
                    return Answer::TooLarge {};
                }
                let value = Text::from([before, value.as_ref()].concat());
                self.write(key, Some(value), at)
            }
            Operation::Cas { key, expect, value } => {
                let held = self.held.get(key).cloned();
                let seen = held.as_ref().map(|held| held.value.clone());
                let swapped = seen == *expect;
                if swapped {
                    self.write(key, Some(value.clone()), at);
                }
                Answer::Cas {
                    swapped,
                    seen,
                    at: if swapped { Some(at) } else { held.map(|held| held.at) },
                }
            }
        }
    }

    fn write(&mut self, key: &Text, value: Option<Text>, at: Place) -> Answer {
        if let Some(before) = self.held.remove(key) {
            self.hash = self.hash.wrapping_sub(hash_of(key, &before.value));
        }
        if let Some(value) = value {
            self.hash = self.hash.wrapping_add(hash_of(key, &value));
            self.held.insert(key.clone(), Held { value, at });
        }
        Answer::Stored { at }
    }

    /// The whole state as text.
    pub fn encode(&self) -> String {
        let values = self.held.iter().map(|(key, Held { value, at })| (key, value, at.0, at.1)).collect();
        let sessions = to_raw_value(&self.sessions.encode()).expect("sessions are plain data");
        serde_json::to_string(&Encoded {
            v: FORMAT_VERSION,
            values,
            sessions,
        })
        .expect("a state is plain data")
    }

    /// The state that a text says.
    ///
    /// # Errors
    /// A sentence if it is none of a version this build reads.
    pub fn decode(text: &str) -> Result<Machine, String> {
        let unreadable = |error| format!("a snapshot cannot be read: {error}");
        let decoded: Encoded<Text> = serde_json::from_str(text).map_err(unreadable)?;
        if !is_readable(decoded.v) {
            return Err(format!(
                "a snapshot has format version {}, which this build does not read",
                decoded.v
            ));
        }
        let mut machine = Machine {
            sessions: Sessions::decode(decoded.sessions.get()).map_err(unreadable)?,
            ..Machine::default()
        };
        for (key, value, index, term) in decoded.values {
            machine.write(&key, Some(value), (index, term));
        }
        Ok(machine)
    }
}

#[derive(Serialize, Deserialize)]
struct Encoded<T> {
    v: u32,
    values: Vec<(T, T, u64, u64)>,
    sessions: Box<RawValue>,
}

/// A key's part in the hash of the state.
fn hash_of(key: &str, value: &str) -> u64 {
    // 0xff is in no text: ("ab", "c") and ("a", "bc") differ.
    spread(extend(extend(fnv1a(key.as_bytes()), &[0xff]), value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies operations as entries 1, 2, … outside of any session.
    fn applied(operations: &[Operation]) -> (Machine, Vec<Answer>) {
        let mut machine = Machine::default();
        let answers = operations.iter().zip(1..).map(|(operation, index)| {
            let command = Command::Write {
                client: None,
                sequence: None,
                session: None,
                operation: operation.clone(),
            };
            machine.apply(&Entry::new(index, 1, command)).answer
        });
        let answers = answers.collect();
        (machine, answers)
    }

    fn put(key: &str, value: &str) -> Operation {
        Operation::Put {
            key: key.into(),
            value: value.into(),
        }
    }

    fn cas(expect: Option<&str>, value: &str) -> Operation {
        Operation::Cas {
            key: "k".into(),
            expect: expect.map(Text::from),
            value: value.into(),
        }
    }

    fn append(value: &str) -> Operation {
        Operation::Append {
            key: "k".into(),
            value: value.into(),
        }
    }

    #[test]
    fn commands_do_what_they_say() {
        let delete = Operation::Delete { key: "k".into() };
        let (machine, answers) = applied(&[
            cas(None, "1"),
            cas(Some("2"), "3"),
            append("x"),
            cas(Some("1x"), "4"),
            delete,
            append("y"),
        ]);
        let decided = |swapped, seen: Option<&str>, index| Answer::Cas {
            swapped,
            seen: seen.map(Text::from),
            at: Some((index, 1)),
        };
        assert_eq!(answers[0], decided_without(1));
        assert_eq!(answers[1], decided(false, Some("1"), 1));
        assert_eq!(answers[3], decided(true, Some("1x"), 4));
        assert_eq!(machine.get("k").map(|held| held.value.as_ref()), Some("y"));
    }

    fn decided_without(index: u64) -> Answer {
        Answer::Cas {
            swapped: true,
            seen: None,
            at: Some((index, 1)),
        }
    }

    #[test]
    fn an_append_past_the_bound_changes_nothing() {
        let (machine, answers) = applied(&[put("k", "a"), append(&"x".repeat(APPENDED_BYTES_MAX))]);
        assert_eq!(answers[1], Answer::TooLarge {});
        assert_eq!(machine.get("k").unwrap().value.as_ref(), "a");
    }

    #[test]
    fn equal_states_have_equal_hashes_whatever_led_there() {
        let hash = |operations: &[Operation]| applied(operations).0.hash();
        assert_eq!(
            hash(&[put("a", "1"), put("b", "2")]),
            hash(&[put("b", "0"), put("b", "2"), put("a", "1")])
        );
        assert_ne!(hash(&[put("a", "1")]), hash(&[put("a", "2")]));
        assert_ne!(hash(&[put("a", "bc")]), hash(&[put("ab", "c")]));
        assert_eq!(hash(&[put("a", "1"), Operation::Delete { key: "a".into() }]), Hash64(0));
    }

    #[test]
    fn a_retried_command_of_a_session_takes_effect_once_also_behind_a_snapshot() {
        let mut machine = Machine::default();
        let open = Command::Open {
            client: None,
            sequence: None,
            sessions_max: 4,
        };
        machine.apply(&Entry::new(1, 1, open));
        let command = || Command::Write {
            client: Some("c1".into()),
            sequence: Some(1),
            session: Some(1),
            operation: append("x"),
        };
        let first = machine.apply(&Entry::new(2, 1, command()));
        assert_eq!(first.effect, Some(true));
        let mut machine = Machine::decode(&machine.encode()).unwrap();
        let again = machine.apply(&Entry::new(3, 2, command()));
        assert_eq!((again.answer, again.effect), (first.answer, Some(false)));
        assert_eq!(machine.get("k").unwrap().value.as_ref(), "x");
    }

    #[test]
    fn a_snapshot_is_the_same_state() {
        let (machine, _) = applied(&[put("k\"1", "schlüssel\u{1}"), put("b", "")]);
        let decoded = Machine::decode(&machine.encode()).unwrap();
        assert_eq!((&decoded, decoded.hash()), (&machine, machine.hash()));
        assert!(Machine::decode("{}").is_err());
        assert!(
            Machine::decode(r#"{"v":3,"values":[],"sessions":{}}"#)
                .unwrap_err()
                .contains("format version 3")
        );
    }
}
