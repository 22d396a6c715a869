//! The log's thread: commits one batch at a time, off the runtime, while the next one is collected.
//!
//! Group commit falls out of it: what arrives during an fsync shares the next one.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Instant;

use tokio::sync::mpsc;

use crate::error::NodeError;
use crate::wal::{Batch, FileStorage, Wal};

/// From this many collected bytes on the node takes no more work until the disk caught up. One turn may still add 64 records of a frame
/// each, which stays far below what a reader of the log believes ([`crate::wal::PAYLOAD_BYTES_MAX`]).
const COLLECTED_BYTES_MAX: usize = 8 << 20;

/// What goes to the disk as a whole: a new content for the log, if it is replaced, and then a batch.
#[derive(Debug, Default)]
struct Work {
    content: Option<Vec<Vec<u8>>>,
    batch: Batch,
    /// Records that are durable when it is done and stand in neither: the new content holds what they said, and itself counts as one.
    covered: u64,
}

impl Work {
    fn is_empty(&self) -> bool {
        self.content.is_none() && self.batch.is_empty()
    }
}

/// What the disk thread reports.
#[derive(Debug)]
struct Done {
    work: Work,
    outcome: std::io::Result<()>,
    took_us: u64,
}

/// How the disk does.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FsyncTimes {
    pub(super) count: u64,
    pub(super) last_us: u64,
    pub(super) slowest_us: u64,
}

/// The runtime's side of the log.
#[derive(Debug)]
pub(super) struct Journal {
    collecting: Work,
    /// The other one, when it is not at the disk.
    idle: Option<Work>,
    to_disk: SyncSender<Work>,
    from_disk: mpsc::Receiver<Done>,
    durable: u64,
    times: FsyncTimes,
}

impl Journal {
    /// Starts the thread. It ends when the journal is dropped; nobody waits for it, because an fsync may hang and a node that is told to
    /// stop stops at once.
    pub(super) fn start(wal: Wal<FileStorage>) -> Result<Journal, NodeError> {
        let (to_disk, works) = sync_channel(1);
        let (reports, from_disk) = mpsc::channel(1);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || commit_all(wal, &works, &reports))
            .map_err(|source| NodeError::System {
                action: "start the log's thread",
                source,
            })?;
        let (collecting, idle) = (Work::default(), Some(Work::default()));
        Ok(Journal {
            collecting,
            idle,
            to_disk,
            from_disk,
            durable: 0,
            times: FsyncTimes::default(),
        })
    }

    /// Adds a record to the next batch.
    pub(super) fn append(&mut self, record: &[u8]) {
        self.collecting.batch.push(record);
    }

    /// Replaces the log by these records: what was collected before is in them.
    pub(super) fn replace(&mut self, records: Vec<Vec<u8>>) {
        self.collecting.covered += u64::from(self.collecting.batch.records()) + 1;
        self.collecting.batch.clear();
        self.collecting.content = Some(records);
    }

    /// Hands the collected batch to the disk, unless it is still busy with the one before.
    pub(super) fn submit(&mut self) -> Result<(), NodeError> {
        if self.collecting.is_empty() {
            return Ok(());
        }
        let Some(empty) = self.idle.take() else { return Ok(()) };
        let work = std::mem::replace(&mut self.collecting, empty);
        self.to_disk.send(work).map_err(|_| ended())
    }

    /// True if the node must not take more work.
    pub(super) fn is_full(&self) -> bool {
        self.collecting.batch.byte_count() > COLLECTED_BYTES_MAX
    }

    /// Waits for the batch at the disk; returns how many records of this life are durable. May be dropped and called again.
    ///
    /// # Errors
    /// [`NodeError::LogFailed`]: the node must end.
    pub(super) async fn committed(&mut self) -> Result<u64, NodeError> {
        let Done {
            mut work,
            outcome,
            took_us,
        } = self.from_disk.recv().await.ok_or_else(ended)?;
        outcome.map_err(NodeError::LogFailed)?;
        self.durable += u64::from(work.batch.records()) + work.covered;
        self.times.count += 1;
        self.times.last_us = took_us;
        self.times.slowest_us = self.times.slowest_us.max(took_us);
        work.batch.clear();
        work.content = None;
        work.covered = 0;
        self.idle = Some(work);
        Ok(self.durable)
    }

    /// How the disk does.
    pub(super) fn times(&self) -> FsyncTimes {
        self.times
    }
}

/// The thread. A failure is reported once and ends it.
fn commit_all(mut wal: Wal<FileStorage>, works: &Receiver<Work>, reports: &mpsc::Sender<Done>) {
    while let Ok(mut work) = works.recv() {
        let started = Instant::now();
        let replaced = work.content.as_deref().map_or(Ok(()), |records| wal.replace(records));
        let outcome = replaced.and_then(|()| wal.commit(&mut work.batch));
        let took_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let has_failed = outcome.is_err();
        if reports.blocking_send(Done { work, outcome, took_us }).is_err() || has_failed {
            return;
        }
    }
}

fn ended() -> NodeError {
    NodeError::LogFailed(std::io::Error::other("the log's thread ended"))
}
