//! Records of the quorum store in the log: one per version a replica took. JSON with a format version, like the frames; members that a
//! later version adds are skipped.

use serde::{Deserialize, Serialize};

use super::replica::Stored;
use crate::members::Text;
use crate::message::{FORMAT_VERSION, is_readable};
use crate::version::Version;

#[derive(Serialize, Deserialize)]
struct Record {
    v: u32,
    put: PutRecord,
}

#[derive(Serialize, Deserialize)]
struct PutRecord {
    key: Text,
    version: Version,
    value: Text,
}

/// The record of a version that a replica takes.
pub(super) fn encode(key: &Text, stored: &Stored) -> Vec<u8> {
    let put = PutRecord {
        key: key.clone(),
        version: stored.version.clone(),
        value: stored.value.clone(),
    };
    serde_json::to_vec(&Record { v: FORMAT_VERSION, put }).expect("plain data and a Vec takes every write")
}

/// Reads a record back.
///
/// # Errors
/// A sentence if it is no record of a version this node reads.
pub(super) fn decode(bytes: &[u8]) -> Result<(Text, Stored), String> {
    let record: Record = serde_json::from_slice(bytes).map_err(|error| format!("a record cannot be read: {error}"))?;
    if !is_readable(record.v) {
        return Err(format!("a record has format version {}, which this build does not read", record.v));
    }
    Ok((
        record.put.key,
        Stored {
            version: record.put.version,
            value: record.put.value,
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_fixed_for_ever_and_read_back() {
        let stored = Stored {
            version: Version {
                counter: 5,
                node: "n1".into(),
                incarnation: 2,
                sequence: 9,
            },
            value: "17".into(),
        };
        let bytes = encode(&"k1".into(), &stored);
        assert_eq!(
            std::str::from_utf8(&bytes).unwrap(),
            r#"{"v":1,"put":{"key":"k1","version":[5,"n1",2,9],"value":"17"}}"#
        );
        assert_eq!(decode(&bytes).unwrap(), ("k1".into(), stored));
    }

    #[test]
    fn skips_members_of_the_next_version_and_refuses_one_after_it() {
        let text = |v: u32| format!(r#"{{"v":{v},"ttl":1,"put":{{"key":"k","version":[1,"n",1,1],"value":"x","z":0}}}}"#);
        assert!(decode(text(2).as_bytes()).is_ok());
        assert!(decode(text(3).as_bytes()).unwrap_err().contains("format version 3"));
        assert!(decode(b"\xff").is_err());
    }
}
