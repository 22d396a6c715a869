//! The gate before the links: packets that a trigger holds there, and what follows on their connections.
//!
//! A held packet has not entered its link yet. When it is let go it meets the link as it is by then: whose sender was killed meanwhile, it arrives
//! (it was on the wire), and if the link was cut, it is lost (a cable that is cut loses what is in it).
//!
//! **Held is one direction of one connection**, so TCP's order stays, and nothing else waits: not the other connections of the two ends, and
//! not the questions and probes by which a fault that strikes meanwhile is aimed and proved. Between two connections nobody promises an order.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::line::Cause;
use super::packet::{Layout, PROTOCOL_TCP};

/// All that may be held at the gate, in bytes: the largest send windows of some connections. More is dropped, and sent again by its kernel.
pub(super) const BYTES_MAX: usize = 64 << 20;

/// One direction of a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stream {
    pub(super) from: usize,
    pub(super) to: usize,
    ports: (u16, u16),
}

impl Stream {
    /// That of a packet between two places; `None` for what is not TCP.
    pub(super) fn of(from: usize, to: usize, layout: &Layout) -> Option<Stream> {
        let ports = layout.ports.filter(|_| layout.protocol == PROTOCOL_TCP)?;
        Some(Stream { from, to, ports })
    }
}

/// A packet with a payload that is about to enter its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Comer {
    pub(super) stream: Stream,
    /// Bytes of its payload; of all that it stands for, if it is a large send.
    pub(super) bytes: u64,
    /// Its number if it is held.
    pub(super) number: u64,
}

/// Says of a packet whether it is to be held. Asked on the switch's thread.
pub(super) type Asker = Arc<dyn Fn(&Comer) -> bool + Send + Sync>;

/// What became of a held packet when it was let go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Released {
    /// How long it was held, in microseconds.
    pub held_us: u64,
    /// Packets of its connection that came meanwhile and went on behind it.
    pub n_behind: u64,
    /// Why it, or a part of it if it was a large send, did not pass; `None`: it passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Cause>,
}

/// A stream that stands still.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) stream: Stream,
    pub(super) since_ns: u64,
    until_ns: u64,
    /// The held packet and those behind it.
    pub(super) frames: VecDeque<Vec<u8>>,
}

/// Whom to ask, and what is held.
#[derive(Default)]
pub(super) struct Gate {
    asker: Option<(Asker, u64)>,
    last_number: u64,
    /// By number.
    holds: BTreeMap<u64, Hold>,
    bytes: usize,
}

impl Gate {
    /// Has every packet with a payload asked about from now on; none is held longer than `bound_ns`.
    pub(super) fn ask(&mut self, asker: Asker, bound_ns: u64) {
        self.asker = Some((asker, bound_ns));
    }

    /// Whether there is nothing to do for it.
    pub(super) fn is_idle(&self) -> bool {
        self.asker.is_none() && self.holds.is_empty()
    }

    /// Puts a packet behind those of its stream that are held; `None` if none is, `Some(false)` if there is no room.
    pub(super) fn put_behind(&mut self, stream: Stream, frame: &[u8]) -> Option<bool> {
        let hold = self.holds.values_mut().find(|hold| hold.stream == stream)?;
        let has_room = self.bytes + frame.len() <= BYTES_MAX;
        if has_room {
            self.bytes += frame.len();
            hold.frames.push_back(frame.to_vec());
        }
        Some(has_room)
    }

    /// Holds a packet if it is to be held. Its stream does not stand still yet.
    pub(super) fn stops(&mut self, stream: Stream, bytes: u64, frame: &[u8], now_ns: u64) -> bool {
        let Some((asker, bound_ns)) = &self.asker else { return false };
        let number = self.last_number + 1;
        if self.bytes + frame.len() > BYTES_MAX || !asker(&Comer { stream, bytes, number }) {
            return false;
        }
        self.last_number = number;
        self.bytes += frame.len();
        let hold = Hold {
            stream,
            since_ns: now_ns,
            until_ns: now_ns.saturating_add(*bound_ns),
            frames: VecDeque::from([frame.to_vec()]),
        };
        self.holds.insert(number, hold);
        true
    }

    /// The end of the first hold, if it is not ended before.
    pub(super) fn next_end_ns(&self) -> Option<u64> {
        self.holds.values().map(|hold| hold.until_ns).min()
    }

    /// The number of a hold that has lasted as long as it may.
    pub(super) fn overdue(&self, now_ns: u64) -> Option<u64> {
        let is_over = |(_, hold): &(&u64, &Hold)| hold.until_ns <= now_ns;
        self.holds.iter().find(is_over).map(|(number, _)| *number)
    }

    /// Ends a hold; what it held is the caller's to send on.
    pub(super) fn end(&mut self, number: u64) -> Option<Hold> {
        let hold = self.holds.remove(&number)?;
        self.bytes -= hold.frames.iter().map(Vec::len).sum::<usize>();
        Some(hold)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Gate").field("holds", &self.holds).finish_non_exhaustive()
    }
}
