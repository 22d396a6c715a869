//! The write-ahead log: what a node must still know after a crash.
//!
//! One file of batches. A batch is one group commit under one checksum, and the next one is written only after the fsync of the one before
//! returned. So at most the last batch can be torn by a crash, and nothing in a torn batch was ever acknowledged: it is cut off. Anything
//! else that is broken is damage to data that somebody relies on, and the node refuses to start.
//!
//! A failed write or fsync is final: the kernel may have dropped the pages, and a second fsync would report success without them
//! (Rebello et al., USENIX ATC 2020). A log is compacted by being replaced as a whole, under another name first: whatever happens, the old
//! file stands there or the new one, never a mixture. The quorum store never asks for it.

mod batch;
mod recovery;
mod storage;

pub use batch::{Batch, HEADER_BYTES, PAYLOAD_BYTES_MAX};
pub use recovery::{Recovered, WalError};
pub use storage::{FileStorage, Storage};

use std::io;
use std::path::Path;

/// Name of the log in a node's data folder.
pub const FILE: &str = "wal";

/// From this many bytes on a replaced log begins its next batch: far below what a reader believes.
const REPLACED_BATCH_BYTES: usize = 8 << 20;

/// A recovered log, ready for more.
#[derive(Debug)]
pub struct Wal<S> {
    storage: S,
    /// Sequence of the next batch, from 1.
    next_sequence: u64,
    failed: bool,
}

impl<S: Storage> Wal<S> {
    /// Reads the whole log, gives every record to `load` in order, cuts a torn last batch, and returns the log ready for appending.
    /// `path` is only for messages.
    ///
    /// # Errors
    /// [`WalError`]: the disk failed, or the log is damaged before its last batch (with the offset), or `load` refused a record.
    pub fn recover(storage: S, path: &Path, load: &mut dyn FnMut(&[u8]) -> Result<(), String>) -> Result<(Wal<S>, Recovered), WalError> {
        let mut storage = storage;
        let recovered = recovery::recover(&mut storage, path, load)?;
        Ok((
            Wal {
                storage,
                next_sequence: recovered.batches + 1,
                failed: false,
            },
            recovered,
        ))
    }

    /// Writes a batch and waits until it is durable. Does nothing for an empty one.
    ///
    /// # Errors
    /// What the write or the fsync failed with. The log takes nothing more after that: the process has to end.
    pub fn commit(&mut self, batch: &mut Batch) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("the log failed before and takes nothing more"));
        }
        if batch.is_empty() {
            return Ok(());
        }
        let sealed = batch.seal(self.next_sequence);
        let outcome = self.storage.append(sealed).and_then(|()| self.storage.sync());
        self.failed = outcome.is_err();
        self.next_sequence += 1;
        outcome
    }

    /// Replaces the whole log by these records, atomically and durably. Its batches count from 1 again.
    ///
    /// # Errors
    /// What any step failed with. The log takes nothing more after that: the process has to end.
    pub fn replace(&mut self, records: &[Vec<u8>]) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("the log failed before and takes nothing more"));
        }
        let (mut content, mut batch, mut sequence) = (Vec::new(), Batch::default(), 0);
        for (place, record) in records.iter().enumerate() {
            batch.push(record);
            if batch.byte_count() >= REPLACED_BATCH_BYTES || place + 1 == records.len() {
                sequence += 1;
                content.extend_from_slice(batch.seal(sequence));
                batch.clear();
            }
        }
        let outcome = self.storage.replace(&content);
        self.failed = outcome.is_err();
        self.next_sequence = sequence + 1;
        outcome
    }
}

#[cfg(test)]
mod tests;
