//! Anti-entropy: home replicas compare what they hold and send each other what is missing (Demers et al., PODC 1987).
//!
//! A node turns to its peers one after another. It tells the peer its versions of the next keys that both keep; the peer sends what it has
//! beyond that, and asks for what it lacks. What is sent is a `Write` as any put's: it spreads what is durable somewhere already, which a
//! put's own messages might have done late, so nothing can be read that could not be read anyway, and nothing counts towards anybody's W.
//!
//! A range of keys is compared at a time, not a tree of hashes: keys number in the thousands here, and a version is about as long as a hash.

use std::collections::BTreeMap;

use super::cell::Cell;
use super::message::QuorumMessage;
use super::replica::Replica;
use crate::members::{NodeIndex, Text};
use crate::version::Version;

/// Keys looked at for one message at most.
const KEYS_MAX: usize = 1024;

/// Bytes of keys and versions in one message, about: far below the bound of a frame even with one more key of the longest kind.
const BYTES_MAX: usize = 128 << 10;

/// Bytes of a version on the wire, about.
const VERSION_BYTES: usize = 100;

/// Where a node is in its rounds.
#[derive(Debug)]
pub(super) struct AntiEntropy {
    /// Time between two comparisons, in ns; 0 for none.
    interval_ns: u64,
    /// When the next is due.
    next_ns: u64,
    peers: Vec<NodeIndex>,
    turn: usize,
    /// For each peer, behind which key the next comparison begins.
    cursors: BTreeMap<NodeIndex, Text>,
}

/// What a comparison showed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// Keys of which we hold something that the peer did not name.
    pub(super) send: Vec<Text>,
    /// Keys of which the peer named something that we do not hold.
    pub(super) want: Vec<Text>,
}

impl AntiEntropy {
    pub(super) fn new(interval_ns: u64, peers: Vec<NodeIndex>) -> AntiEntropy {
        AntiEntropy {
            interval_ns,
            next_ns: 0,
            peers,
            turn: 0,
            cursors: BTreeMap::new(),
        }
    }

    /// The life begins: the first comparison is one interval away.
    pub(super) fn start(&mut self, mono_ns: u64) {
        self.next_ns = mono_ns.saturating_add(self.interval_ns);
    }

    pub(super) fn wake_at_ns(&self) -> Option<u64> {
        (self.interval_ns > 0 && !self.peers.is_empty()).then_some(self.next_ns)
    }

    /// The next comparison, if it is due. `shares` says whether a key is kept by that peer, too.
    pub(super) fn next(
        &mut self,
        mono_ns: u64,
        replica: &Replica,
        shares: impl Fn(&Text, NodeIndex) -> bool,
    ) -> Option<(NodeIndex, QuorumMessage)> {
        if self.wake_at_ns().is_none_or(|at_ns| at_ns > mono_ns) {
            return None;
        }
        self.next_ns = mono_ns.saturating_add(self.interval_ns);
        let peer = self.peers[self.turn % self.peers.len()];
        self.turn += 1;
        let after = self.cursors.remove(&peer);
        let (mut held, mut bytes, mut last) = (Vec::new(), 0, None);
        for (count, (key, cell)) in replica.behind(after.as_ref()).enumerate() {
            if count >= KEYS_MAX || bytes > BYTES_MAX {
                break;
            }
            last = Some(key.clone());
            if shares(key, peer) {
                let versions = cell.versions();
                bytes += key.len() + versions.len() * VERSION_BYTES;
                held.push((key.clone(), versions));
            }
        }
        // Where nothing follows, the range is open, so that the peer tells of keys behind our last one.
        let until = last.filter(|last| replica.behind(Some(last)).next().is_some());
        if let Some(until) = &until {
            self.cursors.insert(peer, until.clone());
        }
        Some((peer, QuorumMessage::Compare { after, until, held }))
    }
}

/// Compares what a peer told with what is held here.
pub(super) fn compare(
    replica: &Replica,
    (after, until): (Option<&Text>, Option<&Text>),
    told: &[(Text, Vec<Version>)],
    shares: impl Fn(&Text) -> bool,
) -> Difference {
    let told: BTreeMap<&Text, &Vec<Version>> = told.iter().map(|(key, versions)| (key, versions)).collect();
    let mut difference = Difference::default();
    let in_range = replica.behind(after).take_while(|(key, _)| until.is_none_or(|until| *key <= until));
    for (key, cell) in in_range.filter(|(key, _)| shares(key)).take(KEYS_MAX) {
        let theirs = told.get(key).map_or(&[][..], |versions| versions.as_slice());
        if has_more(cell, theirs) {
            difference.send.push(key.clone());
        }
    }
    for (key, theirs) in told {
        if shares(key) && lacks(replica.read(key), theirs) {
            difference.want.push(key.clone());
        }
    }
    difference
}

/// Whether a cell has what these versions are not. With vectors it may be replaced by one of them; then the peer answers that it is covered.
fn has_more(cell: &Cell, theirs: &[Version]) -> bool {
    let is_ordered = cell.iter().all(|stored| stored.vector.is_empty());
    match (cell.newest(), theirs.iter().max()) {
        (Some(newest), Some(largest)) if is_ordered => newest.version > *largest,
        _ => cell.iter().any(|stored| !theirs.contains(&stored.version)),
    }
}

/// Whether these versions are something that a cell is not.
fn lacks(cell: Option<&Cell>, theirs: &[Version]) -> bool {
    let Some(cell) = cell.filter(|cell| !cell.is_empty()) else {
        return !theirs.is_empty();
    };
    let is_ordered = cell.iter().all(|stored| stored.vector.is_empty());
    if is_ordered {
        return cell.newest().map(|newest| &newest.version) < theirs.iter().max();
    }
    theirs.iter().any(|version| !cell.iter().any(|stored| stored.version == *version))
}
