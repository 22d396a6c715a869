//! The writer thread: takes lines from the queue, in their order, and hands them to the disk in large pieces.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use super::pen::Entry;
use super::tap::Tap;
use super::{Recorded, line};

/// Pause between two looks into the queue; also what a killed harness loses at most. At 200,000 operations per second 8,000 lines gather in
/// it, an eighth of the queue.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A piece is handed to the disk when it is this large, even if the queue holds more: past this size a larger write is no faster.
const PIECE_BYTES: usize = 256 * 1024;

/// Lines after which their room is given back while more are being taken.
const GIVE_BACK_LINES: usize = 1024;

/// Where the history is written to.
pub(super) trait Disk: Write + Send {
    /// Makes everything that was written durable.
    fn sync(&mut self) -> io::Result<()>;
}

impl Disk for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// The writer's state.
pub(super) struct Writer {
    disk: Box<dyn Disk>,
    queue: Receiver<Entry>,
    room: Arc<Semaphore>,
    failing: watch::Sender<Option<String>>,
    tap: Option<Tap>,
    piece: Vec<u8>,
    recorded: Recorded,
}

/// What a look into the queue found at its end.
#[derive(PartialEq, Eq)]
enum Look {
    /// Nothing more for now.
    Emptied,
    /// Nothing more for ever.
    Closed,
}

impl Writer {
    pub(super) fn new(
        disk: Box<dyn Disk>,
        header_bytes: u64,
        queue: Receiver<Entry>,
        room: Arc<Semaphore>,
        failing: watch::Sender<Option<String>>,
        tap: Option<Tap>,
    ) -> Writer {
        let recorded = Recorded {
            events: 0,
            bytes: header_bytes,
        };
        Writer {
            disk,
            queue,
            room,
            failing,
            tap,
            piece: Vec::with_capacity(2 * PIECE_BYTES),
            recorded,
        }
    }

    /// Writes until the recorder is closed or the disk fails. Either way no operation begins afterwards.
    pub(super) fn run(mut self) -> io::Result<Recorded> {
        let result = self.write_all();
        // The reason first: whoever finds the room closed may ask for it at once.
        if let Err(error) = &result {
            tracing::error!(%error, "the history cannot be written any more");
            // Nobody listens if the run is over.
            let _ = self.failing.send(Some(error.to_string()));
        }
        self.room.close();
        result.map(|()| self.recorded)
    }

    fn write_all(&mut self) -> io::Result<()> {
        loop {
            let look = self.take_lines()?;
            self.hand_over()?;
            if look == Look::Closed {
                return self.disk.sync();
            }
            // Woken early when the recorder closes and when a client waits for room.
            std::thread::park_timeout(LOOK_EVERY);
        }
    }

    fn take_lines(&mut self) -> io::Result<Look> {
        let mut lines = 0;
        let end = loop {
            match self.queue.try_recv() {
                Ok(Entry::Close) | Err(TryRecvError::Disconnected) => break Look::Closed,
                Err(TryRecvError::Empty) => break Look::Emptied,
                Ok(entry) => {
                    line::append(&mut self.piece, self.recorded.events, &entry);
                    if let Some(tap) = &mut self.tap {
                        tap.offer(self.recorded.events, &entry);
                    }
                    self.recorded.events += 1;
                    lines += usize::from(entry.took_room());
                }
            }
            if lines == GIVE_BACK_LINES {
                self.room.add_permits(std::mem::take(&mut lines));
            }
            if self.piece.len() >= PIECE_BYTES {
                self.hand_over()?;
            }
        };
        self.room.add_permits(lines);
        Ok(end)
    }

    fn hand_over(&mut self) -> io::Result<()> {
        self.disk.write_all(&self.piece)?;
        self.recorded.bytes += self.piece.len() as u64;
        self.piece.clear();
        Ok(())
    }
}
