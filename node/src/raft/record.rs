//! Records of a Raft node in the log of its disk. JSON with a format version, like the frames; members that a later version adds are
//! skipped.

use serde::{Deserialize, Serialize};

use super::entry::Entry;
use super::membership::Membership;
use crate::members::Text;
use crate::message::{FORMAT_VERSION, is_readable};
use crate::trace::Place;

/// The most of a snapshot in one record, in bytes: a batch of the disk's log must stay well below what its reader believes.
const PART_BYTES_MAX: usize = 1 << 20;

/// What a record says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Record {
    /// Who this is; the first record.
    Identity(Identity),
    /// Nobody knows older data of this member: it may vote and acknowledge.
    Confirmed {},
    /// The data of another member were born so.
    Met { member: Text, birth: u64 },
    /// Term and vote.
    Hard { term: u64, vote: Option<Text> },
    /// One more entry.
    Entry(Entry),
    /// The entries from here on are gone.
    Truncate { from: u64 },
    /// A snapshot begins; its parts follow.
    Snapshot { last: Place, membership: Membership, length: u64 },
    /// The next part of it.
    Part(Text),
    /// The log goes on behind this entry.
    Base(Place),
}

/// Who a node is, once and for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) member: Text,
    pub(super) birth: u64,
    /// The first configuration; without voters for a node that is added later.
    pub(super) membership: Membership,
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    v: u32,
    is: T,
}

#[derive(Deserialize)]
struct VersionOnly {
    v: u32,
}

/// The record as bytes.
pub(super) fn encode(record: &Record) -> Vec<u8> {
    let versioned = Versioned {
        v: FORMAT_VERSION,
        is: record,
    };
    serde_json::to_vec(&versioned).expect("plain data and a Vec takes every write")
}

/// Reads a record back.
///
/// # Errors
/// A sentence if it is no record of a version this node reads.
pub(super) fn decode(bytes: &[u8]) -> Result<Record, String> {
    let unreadable = |error| format!("a record cannot be read: {error}");
    match serde_json::from_slice::<Versioned<Record>>(bytes) {
        Ok(versioned) if is_readable(versioned.v) => Ok(versioned.is),
        Ok(versioned) => Err(too_new(versioned.v)),
        Err(error) => match serde_json::from_slice::<VersionOnly>(bytes) {
            Ok(VersionOnly { v }) if !is_readable(v) => Err(too_new(v)),
            _ => Err(unreadable(error)),
        },
    }
}

fn too_new(v: u32) -> String {
    format!("a record has format version {v}, which this build does not read")
}

/// A snapshot's text in pieces that fit into records.
pub(super) fn parts(text: &str) -> impl Iterator<Item = Text> + '_ {
    let mut rest = text;
    std::iter::from_fn(move || {
        let part = first_part(rest, PART_BYTES_MAX);
        rest = &rest[part.len()..];
        (!part.is_empty()).then(|| part.into())
    })
}

/// The beginning of a text, at most `bytes_max` (at least 4) long and cut between characters.
pub(super) fn first_part(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_fixed_for_ever_and_read_back() {
        let membership = Membership::of_voters(["n1", "n2"].map(Text::from).into());
        for (record, text) in [
            (
                Record::Identity(Identity {
                    member: "n1".into(),
                    birth: 7,
                    membership: membership.clone(),
                }),
                r#"{"v":1,"is":{"identity":{"member":"n1","birth":7,"membership":{"voters":["n1","n2"]}}}}"#,
            ),
            (Record::Confirmed {}, r#"{"v":1,"is":{"confirmed":{}}}"#),
            (
                Record::Hard {
                    term: 3,
                    vote: Some("n2".into()),
                },
                r#"{"v":1,"is":{"hard":{"term":3,"vote":"n2"}}}"#,
            ),
            (Record::Truncate { from: 9 }, r#"{"v":1,"is":{"truncate":{"from":9}}}"#),
            (Record::Base((4, 2)), r#"{"v":1,"is":{"base":[4,2]}}"#),
            (
                Record::Snapshot {
                    last: (4, 2),
                    membership,
                    length: 8,
                },
                r#"{"v":1,"is":{"snapshot":{"last":[4,2],"membership":{"voters":["n1","n2"]},"length":8}}}"#,
            ),
        ] {
            assert_eq!(String::from_utf8(encode(&record)).unwrap(), text);
            assert_eq!(decode(text.as_bytes()).unwrap(), record);
        }
    }

    #[test]
    fn refuses_a_version_it_does_not_read_and_what_is_no_record() {
        assert!(decode(br#"{"v":3,"is":{"lease":{}}}"#).unwrap_err().contains("format version 3"));
        assert!(decode(br#"{"v":1,"is":{"lease":{}}}"#).is_err());
        assert!(decode(b"\xff").is_err());
    }

    #[test]
    fn parts_are_cut_between_characters_and_make_the_whole() {
        let text = "é".repeat(PART_BYTES_MAX);
        let cut: Vec<Text> = parts(&text).collect();
        assert_eq!(cut.len(), 2);
        assert!(cut.concat() == text);
        let odd = format!("x{text}");
        assert_eq!(parts(&odd).map(|part| part.len()).sum::<usize>(), odd.len());
        assert_eq!(parts("").count(), 0);
    }
}
