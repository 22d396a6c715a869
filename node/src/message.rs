//! The messages inside the frames: what clients ask, what nodes answer, and how nodes greet each other.
//!
//! Every payload is one JSON object with three parts: `v`, the format version; `header`, which carries what every message may carry (a
//! Lamport stamp, the client's name, its sequence number, a deadline) and may grow; and `body`, an object with one known member that names
//! the message. Unknown members are skipped everywhere, so a node of the next version can add some, and a peer of the version before is
//! understood. `PROTOCOL.md` tells the same to a reader who writes a client in another language.

mod client;
mod peer;

pub use client::{Outcome, Reply, ReplyHeader, Request, RequestBody, RequestHeader, SiblingSeen};
pub use peer::{Greeting, PeerBody, PeerFrame, PeerHeader, PeerMessage};

use serde::{Deserialize, Serialize};

/// The format version this node writes.
pub const FORMAT_VERSION: u32 = 1;

/// The highest format version this node reads: the next one may only add members, which are skipped.
pub const FORMAT_VERSION_READ_MAX: u32 = 2;

/// A message without content: `{}`. Members that a later version adds are skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// Whether this node understands messages of format version `v`.
pub fn is_readable(v: u32) -> bool {
    (1..=FORMAT_VERSION_READ_MAX).contains(&v)
}
