//! Reading a log after a crash: what is whole is loaded, a torn end is cut, damage is refused.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::batch::{self, HEADER_BYTES, Header, MAGIC};
use super::storage::Storage;

/// Why a log cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WalError {
    /// The disk refused.
    #[error("the log {path} cannot be read or cut", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Data that somebody may rely on is broken.
    #[error("the log {path} is damaged at byte {offset}: {what}; refusing to start", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damaged batch begins.
        offset: u64,
        /// What is wrong with it.
        what: String,
    },
}

/// What was found in a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Whole batches; also the sequence of the last.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of a torn last batch that were cut off.
    pub bytes_cut: u64,
}

/// See [`super::Wal::recover`].
pub(super) fn recover(
    storage: &mut dyn Storage,
    path: &Path,
    load: &mut dyn FnMut(&[u8]) -> Result<(), String>,
) -> Result<Recovered, WalError> {
    let io_error = |source| WalError::Io {
        path: path.to_owned(),
        source,
    };
    let damaged = |offset, what: String| WalError::Damaged {
        path: path.to_owned(),
        offset,
        what,
    };
    let length = storage.length().map_err(io_error)?;
    if length > 0 {
        // A process that was killed between its write and its fsync leaves whole batches that are only cached. They are loaded, and what
        // is loaded is shown; so they must be durable first. After a failed fsync the cache may even hold what the disk never will.
        storage.settle().map_err(io_error)?;
    }
    let mut recovered = Recovered::default();
    let mut payload = Vec::new();
    let mut offset = 0;
    while offset < length {
        let Some(header) = read_batch(storage, offset, length, &mut payload).map_err(io_error)? else {
            if let Some((place, sequence)) = find_later_batch(storage, offset + 1, length, recovered.batches).map_err(io_error)? {
                let expected = recovered.batches + 1;
                let what = format!("batch {expected} is broken, but batch {sequence} at byte {place} is whole");
                return Err(damaged(offset, what));
            }
            recovered.bytes_cut = length - offset;
            storage.cut(offset).map_err(io_error)?;
            break;
        };
        if header.sequence != recovered.batches + 1 {
            return Err(damaged(
                offset,
                format!("batch {} stands where batch {} belongs", header.sequence, recovered.batches + 1),
            ));
        }
        let Some(records) = batch::records(&payload, header.records) else {
            return Err(damaged(offset, "the records do not fill the batch".to_owned()));
        };
        for record in records {
            load(record).map_err(|what| damaged(offset, what))?;
            recovered.records += 1;
        }
        recovered.batches += 1;
        offset += (HEADER_BYTES + payload.len()) as u64;
    }
    Ok(recovered)
}

/// Reads the batch at `offset` into `payload`; `None` if there is no whole one. Allocates at most what the file still holds.
fn read_batch(storage: &dyn Storage, offset: u64, length: u64, payload: &mut Vec<u8>) -> io::Result<Option<Header>> {
    let mut bytes = [0; HEADER_BYTES];
    if storage.read_at(offset, &mut bytes)? < HEADER_BYTES {
        return Ok(None);
    }
    let Some(header) = Header::parse(&bytes) else {
        return Ok(None);
    };
    let start = offset + HEADER_BYTES as u64;
    if header.payload_length as u64 > length - start {
        return Ok(None);
    }
    payload.resize(header.payload_length, 0);
    let is_whole = storage.read_at(start, payload)? == payload.len() && header.matches(&bytes, payload);
    Ok(is_whole.then_some(header))
}

/// Searches behind a broken batch for a whole one that was written later: (place, sequence).
fn find_later_batch(storage: &dyn Storage, from: u64, length: u64, last_good: u64) -> io::Result<Option<(u64, u64)>> {
    const WINDOW: usize = 1 << 20;
    let mut window = vec![0; WINDOW];
    let mut payload = Vec::new();
    let mut start = from;
    while start < length {
        let count = storage.read_at(start, &mut window)?;
        for (place, _) in window[..count]
            .windows(MAGIC.len())
            .enumerate()
            .filter(|(_, bytes)| *bytes == MAGIC)
        {
            let offset = start + place as u64;
            if let Some(header) = read_batch(storage, offset, length, &mut payload)?
                && header.sequence > last_good
            {
                return Ok(Some((offset, header.sequence)));
            }
        }
        if count < WINDOW {
            break;
        }
        // The next window overlaps by one byte less than a magic, so that one on the border is found, once.
        start += (WINDOW - (MAGIC.len() - 1)) as u64;
    }
    Ok(None)
}
