//! Records of the quorum store in the log. JSON with a format version, like the frames; members that a later version adds are skipped.
//!
//! A record says one thing that a crash must not undo: a version that a replica took, a hint and its end, a tombstone that went, and how far
//! a hybrid clock may have come.

use serde::{Deserialize, Serialize};

use super::cell::Stored;
use super::message::OpId;
use crate::members::Text;
use crate::message::{FORMAT_VERSION, is_readable};
use crate::vector::Vector;
use crate::version::Version;

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// The replica here takes a version.
    Put { key: Text, stored: Stored },
    /// A version is kept for another node, which has not acknowledged it.
    Hint { to: Text, key: Text, stored: Stored },
    /// All hints for this node and key are delivered.
    HintEnd { to: Text, key: Text },
    /// The tombstone goes, and what was sent under these operations or earlier ones is refused.
    Reap {
        key: Text,
        version: Version,
        fences: Vec<(Text, OpId)>,
    },
    /// The hybrid clock makes no stamp above this one, in ns.
    Clock { ceiling: u64 },
}

#[derive(Serialize)]
struct Record {
    v: u32,
    #[serde(flatten)]
    body: Body,
}

/// On disk an object with one of these members beside the version.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Body {
    Put(PutRecord),
    Delete(DeleteRecord),
    Hint(HintRecord),
    HintEnd(HintEndRecord),
    Reap(ReapRecord),
    Clock(ClockRecord),
}

#[derive(Serialize, Deserialize)]
struct PutRecord {
    key: Text,
    version: Version,
    value: Text,
    #[serde(default, skip_serializing_if = "Vector::is_empty")]
    vector: Vector,
}

#[derive(Serialize, Deserialize)]
struct DeleteRecord {
    key: Text,
    version: Version,
    #[serde(default, skip_serializing_if = "Vector::is_empty")]
    vector: Vector,
}

#[derive(Serialize, Deserialize)]
struct HintRecord {
    to: Text,
    key: Text,
    version: Version,
    value: Option<Text>,
    #[serde(default, skip_serializing_if = "Vector::is_empty")]
    vector: Vector,
}

#[derive(Serialize, Deserialize)]
struct HintEndRecord {
    to: Text,
    key: Text,
}

#[derive(Serialize, Deserialize)]
struct ReapRecord {
    key: Text,
    version: Version,
    fences: Vec<(Text, OpId)>,
}

#[derive(Serialize, Deserialize)]
struct ClockRecord {
    ceiling: u64,
}

/// The bytes of a record.
pub(super) fn encode(entry: &Entry) -> Vec<u8> {
    let body = body_of(entry.clone());
    serde_json::to_vec(&Record { v: FORMAT_VERSION, body }).expect("plain data and a Vec takes every write")
}

fn body_of(entry: Entry) -> Body {
    match entry {
        Entry::Put { key, stored } => {
            let Stored { version, value, vector } = stored;
            match value {
                Some(value) => Body::Put(PutRecord {
                    key,
                    version,
                    value,
                    vector,
                }),
                None => Body::Delete(DeleteRecord { key, version, vector }),
            }
        }
        Entry::Hint { to, key, stored } => {
            let Stored { version, value, vector } = stored;
            Body::Hint(HintRecord {
                to,
                key,
                version,
                value,
                vector,
            })
        }
        Entry::HintEnd { to, key } => Body::HintEnd(HintEndRecord { to, key }),
        Entry::Reap { key, version, fences } => Body::Reap(ReapRecord { key, version, fences }),
        Entry::Clock { ceiling } => Body::Clock(ClockRecord { ceiling }),
    }
}

/// Reads a record back.
///
/// # Errors
/// A sentence if it is no record of a version this node reads.
pub(super) fn decode(bytes: &[u8]) -> Result<Entry, String> {
    #[derive(Deserialize)]
    struct Members {
        v: u32,
        put: Option<PutRecord>,
        delete: Option<DeleteRecord>,
        hint: Option<HintRecord>,
        hint_end: Option<HintEndRecord>,
        reap: Option<ReapRecord>,
        clock: Option<ClockRecord>,
    }
    let members: Members = serde_json::from_slice(bytes).map_err(|error| format!("a record cannot be read: {error}"))?;
    if !is_readable(members.v) {
        return Err(format!("a record has format version {}, which this build does not read", members.v));
    }
    (members.put.map(Body::Put))
        .or(members.delete.map(Body::Delete))
        .or(members.hint.map(Body::Hint))
        .or(members.hint_end.map(Body::HintEnd))
        .or(members.reap.map(Body::Reap))
        .or(members.clock.map(Body::Clock))
        .map(entry_of)
        .ok_or_else(|| "a record says nothing that this build knows".to_owned())
}

fn entry_of(body: Body) -> Entry {
    let stored = |version, value, vector| Stored { version, value, vector };
    match body {
        Body::Put(put) => Entry::Put {
            key: put.key,
            stored: stored(put.version, Some(put.value), put.vector),
        },
        Body::Delete(delete) => Entry::Put {
            key: delete.key,
            stored: stored(delete.version, None, delete.vector),
        },
        Body::Hint(hint) => Entry::Hint {
            to: hint.to,
            key: hint.key,
            stored: stored(hint.version, hint.value, hint.vector),
        },
        Body::HintEnd(end) => Entry::HintEnd { to: end.to, key: end.key },
        Body::Reap(reap) => Entry::Reap {
            key: reap.key,
            version: reap.version,
            fences: reap.fences,
        },
        Body::Clock(clock) => Entry::Clock { ceiling: clock.ceiling },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version() -> Version {
        Version {
            counter: 5,
            node: "n1".into(),
            incarnation: 2,
            sequence: 9,
        }
    }

    fn stored(value: Option<&str>) -> Stored {
        Stored {
            version: version(),
            value: value.map(Text::from),
            vector: Vector::default(),
        }
    }

    #[track_caller]
    fn check(entry: Entry, expected: &str) {
        let bytes = encode(&entry);
        assert_eq!(std::str::from_utf8(&bytes).unwrap(), expected);
        assert_eq!(decode(&bytes).unwrap(), entry);
    }

    #[test]
    fn a_record_is_fixed_for_ever_and_read_back() {
        let key: Text = "k1".into();
        let put = |value| Entry::Put {
            key: key.clone(),
            stored: stored(value),
        };
        check(put(Some("17")), r#"{"v":1,"put":{"key":"k1","version":[5,"n1",2,9],"value":"17"}}"#);
        check(put(None), r#"{"v":1,"delete":{"key":"k1","version":[5,"n1",2,9]}}"#);
        let mut vectored = stored(Some("17"));
        vectored.vector.include(&version());
        check(
            Entry::Put {
                key: key.clone(),
                stored: vectored,
            },
            r#"{"v":1,"put":{"key":"k1","version":[5,"n1",2,9],"value":"17","vector":[["n1",2,9]]}}"#,
        );
        check(
            Entry::Hint {
                to: "n2".into(),
                key: key.clone(),
                stored: stored(None),
            },
            r#"{"v":1,"hint":{"to":"n2","key":"k1","version":[5,"n1",2,9],"value":null}}"#,
        );
        check(
            Entry::HintEnd {
                to: "n2".into(),
                key: key.clone(),
            },
            r#"{"v":1,"hint_end":{"to":"n2","key":"k1"}}"#,
        );
        check(
            Entry::Reap {
                key,
                version: version(),
                fences: vec![("n2".into(), OpId { incarnation: 1, number: 7 })],
            },
            r#"{"v":1,"reap":{"key":"k1","version":[5,"n1",2,9],"fences":[["n2",{"incarnation":1,"number":7}]]}}"#,
        );
        check(Entry::Clock { ceiling: 12 }, r#"{"v":1,"clock":{"ceiling":12}}"#);
    }

    #[test]
    fn skips_members_of_the_next_version_and_refuses_one_after_it() {
        let text = |v: u32| format!(r#"{{"v":{v},"ttl":1,"put":{{"key":"k","version":[1,"n",1,1],"value":"x","z":0}}}}"#);
        assert!(decode(text(2).as_bytes()).is_ok());
        assert!(decode(text(3).as_bytes()).unwrap_err().contains("format version 3"));
        assert!(decode(b"\xff").is_err());
        assert!(
            decode(br#"{"v":1,"later":{}}"#)
                .unwrap_err()
                .contains("nothing that this build knows")
        );
    }
}
