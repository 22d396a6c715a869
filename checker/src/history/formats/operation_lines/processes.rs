//! A process does one thing at a time, in files where a line is a whole operation.

use rustc_hash::FxHashMap;

use crate::history::History;
use crate::history::error::ReadErrorKind;
use crate::history::operation::{NEVER_NS, Operation};

/// Processes below this have a place of their own in an array, the others are looked up.
const DENSE: u64 = 1 << 20;

/// Until when each process is busy, as far as the lines have been read.
#[derive(Default)]
pub(super) struct Processes {
    dense: Vec<Busy>,
    /// Never iterated: its order is nobody's.
    sparse: FxHashMap<u64, Busy>,
    last_invoked_ns: u64,
    /// Whether some line begins before the line above it, so that only the end can tell.
    unordered: bool,
}

#[derive(Clone, Copy, Default)]
struct Busy {
    until_ns: u64,
    /// The line of its last operation; 0 if there is none.
    line: u32,
}

impl Processes {
    /// Takes the operation of the next line.
    pub(super) fn take(&mut self, history: &History, operation: &Operation) -> Result<(), ReadErrorKind> {
        self.unordered |= operation.invoked_ns < self.last_invoked_ns;
        if self.unordered {
            return Ok(());
        }
        self.last_invoked_ns = operation.invoked_ns;
        let process = operation.process;
        let busy = if process < DENSE {
            let place = process as usize;
            if place >= self.dense.len() {
                self.dense.resize(place + 1, Busy::default());
            }
            &mut self.dense[place]
        } else {
            self.sparse.entry(process).or_default()
        };
        let before = *busy;
        *busy = Busy {
            until_ns: operation.returned_ns,
            line: operation.invoke_line,
        };
        refuse_overlap(history, before, operation)
    }

    /// Judges what the order of the lines could not.
    ///
    /// # Errors
    /// With the line.
    pub(super) fn finish(&self, history: &History) -> Result<(), (u64, ReadErrorKind)> {
        if !self.unordered {
            return Ok(());
        }
        let mut operations: Vec<&Operation> = history.operations.iter().collect();
        operations.sort_by_key(|operation| (operation.process, operation.invoked_ns, operation.returned_ns));
        for two in operations.windows(2) {
            let [before, after] = two else { continue };
            if before.process == after.process {
                let busy = Busy {
                    until_ns: before.returned_ns,
                    line: before.invoke_line,
                };
                refuse_overlap(history, busy, after).map_err(|kind| (after.invoke_line(), kind))?;
            }
        }
        Ok(())
    }
}

fn refuse_overlap(history: &History, busy: Busy, operation: &Operation) -> Result<(), ReadErrorKind> {
    if busy.line == 0 || operation.invoked_ns >= busy.until_ns {
        return Ok(());
    }
    let (process, f) = (operation.process, history.function(operation).to_owned());
    Err(if busy.until_ns == NEVER_NS {
        ReadErrorKind::RetiredProcess {
            process,
            f,
            retired_line: u64::from(busy.line),
        }
    } else {
        ReadErrorKind::TwoOpenOperations {
            process,
            f,
            open_line: u64::from(busy.line),
        }
    })
}
