//! One node's file, line by line.
//!
//! A last line without an end is normal: SIGKILL met the write in the middle, and nothing that depends on that event has left the node.
//! In the middle of a file there is no such line, because a node cuts it off before its next life appends. The numbers of the events
//! are checked, so that a file with lines missing is never taken for a node that did nothing.

use std::io::{self, BufRead, Read};

use super::error::{TraceError, TraceErrorKind};
use super::event::{Event, Life, Name, What};
use super::line::{self, Envelope, Names};
use crate::escape::visible;
use crate::history::read::LINE_BYTES_MAX;

/// Longest node name that an error quotes, in characters.
const NAME_CHARS_MAX: usize = 100;

/// What one node wrote, up to the first line that cannot be read.
#[derive(Debug)]
pub(super) struct NodeTrace {
    pub(super) node: Name,
    pub(super) lives: Vec<Life>,
    pub(super) events: Vec<Event>,
    /// What ended the reading early.
    pub(super) error: Option<TraceError>,
    /// The number of the last event of the present life.
    last_seq: u64,
    /// The shift of the monotonic clock in the present life, in ns.
    mono_offset_ns: i64,
}

impl NodeTrace {
    /// Reads a node's trace.
    pub(super) fn read(node: Name, source: io::Result<impl BufRead>, names: &mut Names) -> NodeTrace {
        let mut trace = NodeTrace {
            node,
            lives: Vec::new(),
            events: Vec::new(),
            error: None,
            last_seq: 0,
            mono_offset_ns: 0,
        };
        let mut number = 1;
        let read = source
            .map_err(TraceErrorKind::from)
            .and_then(|source| trace.take_all(source, &mut number, names));
        trace.error = read.err().map(|kind| TraceError { line: number, kind });
        trace
    }

    /// The life an event belongs to.
    pub(super) fn life(&self, event: &Event) -> &Life {
        &self.lives[event.life]
    }

    /// Takes all lines that have an end; `number` stays at the line that was read last.
    fn take_all(&mut self, mut source: impl BufRead, number: &mut u64, names: &mut Names) -> Result<(), TraceErrorKind> {
        let mut line = Vec::new();
        // One byte more than the bound, for the line's end.
        let bound = LINE_BYTES_MAX as u64 + 1;
        loop {
            line.clear();
            source.by_ref().take(bound).read_until(b'\n', &mut line)?;
            if line.last() != Some(&b'\n') {
                return if line.len() as u64 == bound {
                    Err(TraceErrorKind::LineTooLong { limit: LINE_BYTES_MAX })
                } else {
                    Ok(())
                };
            }
            self.take(&line, *number, names)?;
            *number += 1;
        }
    }

    fn take(&mut self, line: &[u8], number: u64, names: &mut Names) -> Result<(), TraceErrorKind> {
        let envelope = line::envelope(line)?;
        if *envelope.node != *self.node {
            let found = visible(&envelope.node, NAME_CHARS_MAX);
            return Err(TraceErrorKind::OtherNode { found });
        }
        let what = if self.is_of_present_life(&envelope)? {
            line::what(line, &envelope, names)?
        } else {
            self.begin_life(line, &envelope, names)?;
            Some(What::Start)
        };
        self.last_seq = envelope.seq;
        if let Some(what) = what {
            self.events.push(Event {
                line: number,
                life: self.lives.len() - 1,
                mono_ns: envelope.mono_ns.saturating_add_signed(self.mono_offset_ns.saturating_neg()),
                lamport: envelope.lamport,
                what,
            });
        }
        Ok(())
    }

    /// Whether the line continues the present life; if not, it begins the next one.
    fn is_of_present_life(&self, envelope: &Envelope<'_>) -> Result<bool, TraceErrorKind> {
        let (found, seq) = (envelope.incarnation, envelope.seq);
        match self.lives.last().map(|life| life.incarnation) {
            Some(before) if found == before => {
                if self.last_seq.checked_add(1) == Some(seq) {
                    Ok(true)
                } else {
                    let before = self.last_seq;
                    Err(TraceErrorKind::Gap { found: seq, before })
                }
            }
            Some(before) if found < before => Err(TraceErrorKind::OldIncarnation { found, before }),
            _ if seq == 0 && envelope.kind == "start" => Ok(false),
            _ => Err(TraceErrorKind::NoStart { incarnation: found }),
        }
    }

    fn begin_life(&mut self, line: &[u8], envelope: &Envelope<'_>, names: &mut Names) -> Result<(), TraceErrorKind> {
        let (settings, mono_offset_ns) = line::start(line, names)?;
        self.mono_offset_ns = mono_offset_ns;
        self.lives.push(Life {
            incarnation: envelope.incarnation,
            settings,
        });
        Ok(())
    }
}
