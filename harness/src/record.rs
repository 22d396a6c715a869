//! The recorder: every client's pen, one bounded queue, one writer thread, one `history.jsonl`.
//!
//! Main decision: an invocation is stamped, then enqueued, then sent, and the file keeps the order of the queue. Whatever an operation caused
//! was therefore enqueued after it, and every prefix of the file is causally closed: a harness that is killed leaves a history that
//! can be judged. Room in the queue is reserved for both lines of an operation before its invocation is stamped, so a full queue
//! delays operations but never widens the interval of one. The decision not taken was one thread that stamps what it takes from the
//! queue (Jepsen's interpreter): load in the harness then looks like concurrency in the store, and hides violations.
//!
//! Nobody wakes the writer: a wake-up is a system call between a stamp and the send it belongs to. It looks by itself every 20 ms.

mod clock;
pub(crate) mod line;
mod pen;
mod seal;
mod tap;
mod writer;

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use squall_checker::history::mark::{Clock, Header};
use squall_checker::history::write::write_header;
use tokio::sync::{Semaphore, watch};

pub use self::clock::RunClock;
use self::pen::{Entry, QUEUE_LINES};
pub use self::pen::{Open, Pen, RecorderGone, Slot};
pub use self::seal::seal;
pub use self::tap::{Tap, Tapped, TappedLine, tap};
use self::writer::{Disk, Writer};

/// What was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// Lines without the header.
    pub events: u64,
    /// Size of the file.
    pub bytes: u64,
}

/// Owns the writer thread and with it the file.
///
/// Dropping it without [`Recorder::close`] still writes what was recorded, but tells nobody whether that worked.
pub struct Recorder {
    pen: Pen,
    failed: watch::Receiver<Option<String>>,
    writer: Option<JoinHandle<io::Result<Recorded>>>,
}

impl Recorder {
    /// Creates the file, writes the header and starts the writer. The header's clock is set to `clock`.
    ///
    /// # Errors
    /// If the file exists already or cannot be written, or the thread cannot be started.
    pub fn create(path: &Path, header: &Header, clock: RunClock) -> io::Result<Recorder> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        Recorder::onto(Box::new(file), header, clock, None)
    }

    /// The same with a tap, through which everything that is recorded flows on.
    ///
    /// # Errors
    /// As [`Recorder::create`].
    pub fn create_tapped(path: &Path, header: &Header, clock: RunClock, tap: Tap) -> io::Result<Recorder> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        Recorder::onto(Box::new(file), header, clock, Some(tap))
    }

    fn onto(mut disk: Box<dyn Disk>, header: &Header, clock: RunClock, tap: Option<Tap>) -> io::Result<Recorder> {
        let mut header = header.clone();
        header.clock = Clock {
            origin_ns: clock.origin_ns(),
            ..Default::default()
        };
        let mut first_line = Vec::new();
        write_header(&mut first_line, &header);
        disk.write_all(&first_line)?;

        let (sender, queue) = mpsc::channel();
        let room = Arc::new(Semaphore::new(QUEUE_LINES));
        let (failing, failed) = watch::channel(None);
        let writer = Writer::new(disk, first_line.len() as u64, queue, Arc::clone(&room), failing, tap);
        let thread = std::thread::Builder::new().name("recorder".into()).spawn(move || writer.run())?;
        let pen = Pen::new(sender, room, thread.thread().clone(), clock);
        Ok(Recorder {
            pen,
            failed,
            writer: Some(thread),
        })
    }

    /// A pen for one client, nemesis or watcher.
    pub fn pen(&self) -> Pen {
        self.pen.clone()
    }

    /// Turns to the reason when the first write fails (disk full). From then on nothing is written, so that the file ends with at most one
    /// cut line, and no operation begins any more: the run must end, and its prefix can be judged.
    pub fn failed(&self) -> watch::Receiver<Option<String>> {
        self.failed.clone()
    }

    /// Writes everything that was recorded before this call and makes it durable. Blocks; pens that outlive it record nothing.
    ///
    /// # Errors
    /// The first write that failed, or the sync.
    pub fn close(mut self) -> io::Result<Recorded> {
        self.finish()
            .expect("only closing and dropping take the writer, and each happens once")
    }

    fn finish(&mut self) -> Option<io::Result<Recorded>> {
        let writer = self.writer.take()?;
        self.pen.push(Entry::Close);
        writer.thread().unpark();
        Some(
            writer
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("the recorder's writer panicked"))),
        )
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // Somebody who did not close it is already on the way out with an error of his own.
        let _ = self.finish();
    }
}

#[cfg(test)]
pub(crate) mod test_support;
#[cfg(test)]
mod tests;
