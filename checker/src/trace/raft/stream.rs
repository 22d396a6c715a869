//! One node's bytes, made into events in their order.
//!
//! A last line without an end is normal: SIGKILL met the write in the middle, and nothing that depends on that event has left the node. In
//! the middle of a file there is no such line, because a node cuts it off before its next life appends. The numbers of the events are
//! checked, so that a file with lines missing is never taken for a node that did nothing.

use std::collections::VecDeque;
use std::io;

use super::event::{Event, Told, What};
use super::line::{self, Line};
use super::names::Names;
use super::scan::Refusal;
use crate::escape::visible;
use crate::history::read::LINE_BYTES_MAX;
use crate::trace::error::{TraceError, TraceErrorKind};

/// Longest node name that an error quotes, in characters.
const NAME_CHARS_MAX: usize = 100;

/// The events of one node that no rule has seen yet, and how far its bytes were read.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Read and not yet judged.
    pub(super) events: VecDeque<Event>,
    /// What ended the reading early.
    pub(super) error: Option<TraceError>,
    /// The largest stamp read so far; in one life later events have no smaller one.
    pub(super) stamp: u64,
    /// The life and the stamp of the last event read: in their order, events of a node have ever larger ones.
    read: Position,
    /// The begin of a line whose end has not come.
    partial: Vec<u8>,
    n_lines: u64,
    life: Option<Life>,
}

/// A place in a node's trace: the life, and the stamp in it.
pub(super) type Position = (u64, u64);

/// The present life.
#[derive(Debug)]
struct Life {
    incarnation: u64,
    last_seq: u64,
    mono_offset_ns: i64,
}

impl Stream {
    /// Takes more bytes, cut anywhere. After an error nothing is taken any more.
    pub(super) fn take(&mut self, node: &str, mut bytes: &[u8], names: &mut Names) {
        while self.error.is_none() {
            let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                self.keep(bytes);
                return;
            };
            let (line, rest) = bytes.split_at(end + 1);
            bytes = rest;
            let taken = if self.partial.is_empty() {
                self.take_line(node, line, names)
            } else {
                self.partial.extend_from_slice(line);
                let line = std::mem::take(&mut self.partial);
                self.take_line(node, &line, names)
            };
            if let Err(kind) = taken {
                self.fail(kind);
            }
        }
    }

    /// Takes an event that was told as a value, in place of its line. After an error nothing is taken any more.
    pub(super) fn tell(&mut self, told: &Told, what: What) {
        if self.error.is_some() {
            return;
        }
        self.n_lines += 1;
        let kind = if matches!(what, What::Start(_)) { line::START } else { "" };
        if let Err(kind) = self.enter_life((told.incarnation, told.seq), Ok(kind), 0) {
            return self.fail(kind);
        }
        self.stamp = self.stamp.max(told.lamport);
        self.read = (told.incarnation, told.lamport);
        self.events.push_back(Event {
            line: u32::try_from(self.n_lines).unwrap_or(u32::MAX),
            mono_ns: told.mono_ns,
            lamport: told.lamport,
            what,
        });
    }

    /// Whether what stands at this position may be among the events that are not judged yet: of those read, whose first one is of `life` if it begins
    /// none, or of those to come, if the trace `goes_on`.
    pub(super) fn may_hold(&self, position: Position, life: u64, goes_on: bool) -> bool {
        match self.events.front() {
            Some(front) => {
                let life = match &front.what {
                    What::Start(start) => start.incarnation,
                    _ => life,
                };
                (life, front.lamport) <= position && (position <= self.read || goes_on)
            }
            None => goes_on && self.error.is_none() && self.read < position,
        }
    }

    /// Ends the reading.
    pub(super) fn fail(&mut self, kind: TraceErrorKind) {
        let line = self.n_lines.max(1);
        self.error.get_or_insert(TraceError { line, kind });
        self.partial = Vec::new();
    }

    /// The source could not be opened or read on.
    pub(super) fn fail_io(&mut self, error: io::Error) {
        self.n_lines += 1;
        self.fail(error.into());
    }

    /// Whether a line was read or refused.
    pub(super) fn has_begun(&self) -> bool {
        self.n_lines > 0
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
        if self.partial.len() > LINE_BYTES_MAX {
            self.n_lines += 1;
            self.fail(TraceErrorKind::LineTooLong { limit: LINE_BYTES_MAX });
        }
    }

    fn take_line(&mut self, node: &str, line: &[u8], names: &mut Names) -> Result<(), TraceErrorKind> {
        self.n_lines += 1;
        if line.len() > LINE_BYTES_MAX {
            return Err(TraceErrorKind::LineTooLong { limit: LINE_BYTES_MAX });
        }
        let read = Line::read(line).map_err(refused)?;
        let found = read.node().map_err(refused)?;
        if found != node {
            let found = visible(found, NAME_CHARS_MAX);
            return Err(TraceErrorKind::OtherNode { found });
        }
        let (incarnation, seq) = (read.incarnation().map_err(refused)?, read.seq().map_err(refused)?);
        let mono_offset_ns = self.enter_life((incarnation, seq), read.kind(), read.mono_offset_ns())?;
        let what = read.what(names, mono_offset_ns).map_err(refused)?;
        let lamport = read.lamport().map_err(refused)?;
        let mono_ns = read.mono_ns().map_err(refused)?;
        self.stamp = self.stamp.max(lamport);
        self.read = (incarnation, lamport);
        self.events.extend(what.map(|what| Event {
            line: u32::try_from(self.n_lines).unwrap_or(u32::MAX),
            mono_ns: line::shifted(mono_ns, mono_offset_ns),
            lamport,
            what,
        }));
        Ok(())
    }

    /// Checks an event's place in its life, and begins a new life if it says so. Returns the shift of the life's clock.
    fn enter_life(&mut self, (found, seq): (u64, u64), kind: Result<&str, Refusal>, mono_offset_ns: i64) -> Result<i64, TraceErrorKind> {
        if let Some(life) = &mut self.life {
            if found == life.incarnation {
                if life.last_seq.checked_add(1) != Some(seq) {
                    let before = life.last_seq;
                    return Err(TraceErrorKind::Gap { found: seq, before });
                }
                life.last_seq = seq;
                return Ok(life.mono_offset_ns);
            }
            if found < life.incarnation {
                let before = life.incarnation;
                return Err(TraceErrorKind::OldIncarnation { found, before });
            }
        }
        if seq != 0 || kind.map_err(refused)? != line::START {
            return Err(TraceErrorKind::NoStart { incarnation: found });
        }
        self.life = Some(Life {
            incarnation: found,
            last_seq: 0,
            mono_offset_ns,
        });
        Ok(mono_offset_ns)
    }
}

fn refused(reason: &'static str) -> TraceErrorKind {
    TraceErrorKind::Json(reason.into())
}
