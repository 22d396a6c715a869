//! The wire format against frames that no code of this crate made: a Python program wrote the golden file from PROTOCOL.md. The harness
//! reads the same file in its own tests, so both ends cannot drift together.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;
use squall_node::frame::{Decoder, PAYLOAD_BYTES_MAX, encode};
use squall_node::message::{PeerFrame, Reply, Request};
use squall_node::quorum::QuorumMessage;
use squall_node::raft::RaftMessage;

#[derive(Deserialize)]
struct Golden {
    name: String,
    kind: String,
    payload: String,
    hex: String,
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2)
        .map(|place| u8::from_str_radix(&hex[2 * place..2 * place + 2], 16).unwrap())
        .collect()
}

/// Reads a payload as a `T` and prints it again.
fn reprinted<T: DeserializeOwned + Serialize>(payload: &[u8]) -> Vec<u8> {
    let message: T = serde_json::from_slice(payload).unwrap();
    let mut frame = Vec::new();
    encode(&mut frame, |buffer| serde_json::to_writer(buffer, &message)).unwrap();
    frame
}

#[test]
fn every_golden_frame_is_read_and_printed_byte_for_byte() {
    let (quorum, raft) = (include_str!("golden/frames.jsonl"), include_str!("golden/frames_raft.jsonl"));
    assert!(quorum.lines().count() >= 20 && raft.lines().count() >= 30);
    for line in quorum.lines().chain(raft.lines()) {
        let golden: Golden = serde_json::from_str(line).unwrap();
        let frame = bytes(&golden.hex);
        let mut decoder = Decoder::new(PAYLOAD_BYTES_MAX);
        decoder.space().extend_from_slice(&frame);
        let payload = decoder.next_payload().unwrap().unwrap();
        assert_eq!(std::str::from_utf8(payload).unwrap(), golden.payload, "{}", golden.name);
        let printed = match golden.kind.as_str() {
            "request" => reprinted::<Request>(payload),
            "reply" => reprinted::<Reply>(payload),
            "peer" => reprinted::<PeerFrame<QuorumMessage>>(payload),
            "raft" => reprinted::<PeerFrame<RaftMessage>>(payload),
            other => panic!("unknown kind {other}"),
        };
        assert_eq!(printed, frame, "{}", golden.name);
    }
}
