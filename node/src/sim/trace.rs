//! What a node told, kept as values: printing a line costs more than the step that it tells of.

use std::io;

use crate::members::Text;
use crate::trace::{TraceEvent, Tracer};

/// One event with what stands on every line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceEntry {
    /// Which life of the node.
    pub incarnation: u64,
    /// Its number within that life, from 0.
    pub seq: u64,
    /// Virtual time, in ns.
    pub mono_ns: u64,
    /// The node's Lamport stamp.
    pub lamport: u64,
    /// What happened.
    pub event: TraceEvent,
}

/// The trace of one node over all its lives.
#[derive(Clone, Debug)]
pub struct TraceLog {
    node: Text,
    entries: Vec<TraceEntry>,
}

impl TraceLog {
    pub(super) fn new(node: Text) -> TraceLog {
        TraceLog { node, entries: Vec::new() }
    }

    pub(super) fn push(&mut self, entry: TraceEntry) {
        self.entries.push(entry);
    }

    /// Whose trace it is.
    pub fn node(&self) -> &Text {
        &self.node
    }

    /// All events, in order.
    pub fn entries(&self) -> &[TraceEntry] {
        &self.entries
    }

    /// Writes the lines that a real node would have written: by the same printer.
    ///
    /// # Errors
    /// If `out` cannot be written.
    pub fn write_lines(&self, out: &mut impl io::Write) -> io::Result<()> {
        for life in self.entries.chunk_by(|one, next| one.incarnation == next.incarnation) {
            let mut tracer = Tracer::new(self.node.clone(), life[0].incarnation, &mut *out);
            for entry in life {
                tracer.record(entry.mono_ns, entry.lamport, &entry.event);
            }
            tracer.flush()?;
        }
        Ok(())
    }
}
