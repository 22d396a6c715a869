//! Pens: how clients and the harness put lines into the recorder's queue.
//!
//! The types hold the order: a [`Slot`] is room for both lines of one operation, using it up stamps and enqueues the invocation, and only
//! the [`Open`] operation that comes of it can be completed, once.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::Thread;

use squall_checker::history::mark::{FaultStage, Finding};
use squall_workloads::{Operation, Outcome};
use tokio::sync::Semaphore;

use super::RunClock;

/// Lines of operations that may wait for the writer: some ten megabytes; at a thousand operations per second half a minute of a disk
/// that does not answer.
pub(super) const QUEUE_LINES: usize = 1 << 16;

/// Lines of one operation: its invocation and its completion.
const LINES_PER_OPERATION: u32 = 2;

/// One line on its way to the file.
#[derive(Debug)]
pub(super) enum Entry {
    /// An operation begins.
    Invoke {
        time_ns: u64,
        process: u64,
        operation: Operation,
        node: Arc<str>,
    },
    /// An operation ended.
    Complete {
        time_ns: u64,
        process: u64,
        operation: Operation,
        node: Arc<str>,
        outcome: Outcome,
    },
    /// The harness found something.
    Finding { time_ns: u64, finding: Box<Finding> },
    /// A fault entered a stage.
    Fault {
        time_ns: u64,
        kind: String,
        stage: Box<FaultStage>,
    },
    /// Nothing comes after this.
    Close,
}

impl Entry {
    /// Whether room in the queue was reserved for it.
    pub(super) fn took_room(&self) -> bool {
        matches!(self, Entry::Invoke { .. } | Entry::Complete { .. })
    }
}

/// The recorder takes no more operations: it was closed, or its disk failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the recorder takes no more operations")]
pub struct RecorderGone;

/// Records operations and marks. Cheap to clone; each client has one.
#[derive(Debug, Clone)]
pub struct Pen {
    queue: Sender<Entry>,
    room: Arc<Semaphore>,
    writer: Thread,
    clock: RunClock,
}

impl Pen {
    pub(super) fn new(queue: Sender<Entry>, room: Arc<Semaphore>, writer: Thread, clock: RunClock) -> Pen {
        Pen {
            queue,
            room,
            writer,
            clock,
        }
    }

    /// The clock of the run.
    pub fn clock(&self) -> &RunClock {
        &self.clock
    }

    /// Waits for room for both lines of an operation.
    ///
    /// # Errors
    /// If nothing is recorded any more.
    pub async fn reserve(&self) -> Result<Slot<'_>, RecorderGone> {
        if self.room.available_permits() < LINES_PER_OPERATION as usize {
            // The queue filled up before the writer's next look.
            self.writer.unpark();
        }
        self.room
            .acquire_many(LINES_PER_OPERATION)
            .await
            .map_err(|_| RecorderGone)?
            .forget();
        Ok(Slot(Room {
            pen: self,
            lines: LINES_PER_OPERATION,
        }))
    }

    /// Records what the harness found, stamped now; returns the stamp. Never blocks: there are few findings, and they take no room from
    /// operations.
    pub fn finding(&self, finding: Finding) -> u64 {
        let time_ns = self.clock.now_ns();
        self.push(Entry::Finding {
            time_ns,
            finding: Box::new(finding),
        });
        time_ns
    }

    /// Records that a fault of `kind` entered a stage, stamped now; returns the stamp. Never blocks.
    pub fn fault(&self, kind: &str, stage: FaultStage) -> u64 {
        let time_ns = self.clock.now_ns();
        self.push(Entry::Fault {
            time_ns,
            kind: kind.to_owned(),
            stage: Box::new(stage),
        });
        time_ns
    }

    pub(super) fn push(&self, entry: Entry) {
        // After the end of recording nobody listens, and `failed` has told why.
        let _ = self.queue.send(entry);
    }
}

/// Room in the queue, given back when it is not used.
struct Room<'a> {
    pen: &'a Pen,
    lines: u32,
}

impl Room<'_> {
    /// Puts a line where room was reserved for it. The writer gives the room back when it has taken the line.
    fn push(&mut self, entry: Entry) {
        self.lines -= 1;
        self.pen.push(entry);
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if self.lines > 0 {
            self.pen.room.add_permits(self.lines as usize);
        }
    }
}

/// Room for one operation.
#[must_use]
pub struct Slot<'a>(Room<'a>);

impl<'a> Slot<'a> {
    /// Stamps the invocation and enqueues it. The request may be handed to the socket afterwards, and must not before.
    pub fn invoke(self, process: u64, operation: &Operation, node: &Arc<str>) -> Open<'a> {
        let mut room = self.0;
        // Copied first: nothing but the queue may stand between the stamp and the send.
        let open = (operation.clone(), Arc::clone(node));
        let (operation, node) = (operation.clone(), Arc::clone(node));
        let invoked_ns = room.pen.clock.now_ns();
        room.push(Entry::Invoke {
            time_ns: invoked_ns,
            process,
            operation,
            node,
        });
        let (operation, node) = open;
        Open {
            process,
            operation,
            node,
            invoked_ns,
            room,
        }
    }
}

/// An operation that was invoked. Dropped without completion it stays open in the history: it may have happened, then or later.
#[must_use]
pub struct Open<'a> {
    process: u64,
    operation: Operation,
    node: Arc<str>,
    invoked_ns: u64,
    room: Room<'a>,
}

impl Open<'_> {
    /// When it was invoked.
    pub fn invoked_ns(&self) -> u64 {
        self.invoked_ns
    }

    /// Enqueues the completion, stamped `returned_ns` by the caller right after the reply was read. Never waits.
    pub fn complete(self, returned_ns: u64, outcome: Outcome) {
        let Open {
            process,
            operation,
            node,
            invoked_ns,
            mut room,
        } = self;
        assert!(invoked_ns <= returned_ns, "an operation cannot return before it is invoked");
        room.push(Entry::Complete {
            time_ns: returned_ns,
            process,
            operation,
            node,
            outcome,
        });
    }
}
