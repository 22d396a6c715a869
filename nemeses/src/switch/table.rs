//! What the switch should do, for every directed pair of ends, and what it did.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::line::Cause;
use crate::link::Quality;

/// The qualities of all links. A value that is swapped as a whole.
#[derive(Debug, Default)]
pub(super) struct Table {
    n_ends: usize,
    /// By sender and receiver; healthy links have none.
    links: Vec<Option<Box<Quality>>>,
}

impl Table {
    pub(super) fn new(n_ends: usize) -> Table {
        Table {
            n_ends,
            links: (0..n_ends * n_ends).map(|_| None).collect(),
        }
    }

    pub(super) fn set(&mut self, from: usize, to: usize, quality: &Quality) {
        self.links[from * self.n_ends + to] = (!quality.is_healthy()).then(|| Box::new(quality.clone()));
    }

    /// The quality of a link; `None`: healthy.
    pub(super) fn get(&self, from: usize, to: usize) -> Option<&Quality> {
        self.links.get(from * self.n_ends + to)?.as_deref()
    }
}

/// What a link did since the switch began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinkCounts {
    /// Packets delivered; a large send counts as the packets that it stands for.
    pub delivered: u64,
    /// Their bytes, with IP headers.
    pub bytes: u64,
    /// Packets not delivered, by cause.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub lost: BTreeMap<Cause, u64>,
    /// Packets delivered twice.
    pub duplicated: u64,
    /// Packets delivered late enough to be overtaken.
    pub kept_back: u64,
    /// Packets damaged, noticeably or not.
    pub damaged: u64,
}

impl LinkCounts {
    pub(super) fn lose(&mut self, cause: Cause, n_packets: u64) {
        *self.lost.entry(cause).or_default() += n_packets;
    }
}
