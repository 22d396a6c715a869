//! Operations on bytes, lengths, modes and times: done at once in the store, with what is needed to take them back.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::SystemTime;

use super::{Core, errno, mode_bits};
use crate::disk::inode::{Kind, now};
use crate::disk::names::{Ino, Step};
use crate::disk::rules::Rules;
use crate::disk::unsynced::Unsynced;

/// Bytes of old content of one file from which on it is made durable, as a kernel writes back what has been dirty for long.
const KEPT_BYTES_MAX: usize = 64 << 20;

impl Core {
    /// Opens a file or a directory; to be closed by [`Core::close`].
    pub(in crate::disk) fn open_inode(&mut self, ino: Ino) -> io::Result<()> {
        self.inode_mut(ino)?.open += 1;
        let opened = self.bytes(ino).map(drop);
        if opened.is_err() {
            self.close(ino);
        }
        opened
    }

    /// Closes one handle.
    pub(in crate::disk) fn close(&mut self, ino: Ino) {
        let Some(inode) = self.inodes.get_mut(&ino) else { return };
        inode.open = inode.open.saturating_sub(1);
        if inode.open > 0 {
            return;
        }
        inode.file = None;
        if std::mem::take(&mut inode.truncated) && self.rules == Rules::Ext4Ordered {
            let sequence = self.next_sequence();
            self.names.apply(Step {
                bytes_first: Some(ino),
                ..Step::edits(sequence, Vec::new())
            });
        }
        self.forget_unused(ino);
    }

    /// A file's bytes; `None` for what has none.
    pub(in crate::disk) fn bytes(&mut self, ino: Ino) -> io::Result<Option<Arc<File>>> {
        let inode = self.inodes.get_mut(&ino).ok_or_else(|| errno(libc::ENOENT))?;
        if inode.kind != Kind::File {
            return Ok(None);
        }
        if let Some(file) = &inode.file {
            return Ok(Some(Arc::clone(file)));
        }
        let file = Arc::new(self.store.open(ino)?);
        if inode.open > 0 {
            inode.file = Some(Arc::clone(&file));
        }
        Ok(Some(file))
    }

    pub(in crate::disk) fn read(&mut self, ino: Ino, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let file = self.bytes(ino)?.ok_or_else(|| errno(libc::EINVAL))?;
        let inode = self.inode_mut(ino)?;
        if let Some(unsynced) = &mut inode.unsynced {
            for (at, bytes) in unsynced.evict_dropped(offset, into.len() as u64, inode.length) {
                file.write_all_at(&bytes, at)?;
            }
        }
        fill(&file, offset, into)
    }

    pub(in crate::disk) fn write(&mut self, ino: Ino, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.prepare_write(ino, offset, bytes.len() as u64)?;
        file.write_all_at(bytes, offset)?;
        self.wrote(ino, offset + bytes.len() as u64)
    }

    fn prepare_write(&mut self, ino: Ino, offset: u64, count: u64) -> io::Result<Arc<File>> {
        let file = self.bytes(ino)?.ok_or_else(|| errno(libc::EINVAL))?;
        let sequence = self.next_sequence();
        let inode = self.inode_mut(ino)?;
        let unsynced = inode.unsynced.get_or_insert_with(|| Unsynced::new(inode.length));
        if count > 0 && unsynced.before_write(&file, offset, count, sequence)? > 0 && unsynced.kept_bytes() > KEPT_BYTES_MAX {
            self.write_back(ino)?;
            return self.prepare_write(ino, offset, count);
        }
        Ok(file)
    }

    /// What a kernel does by itself when too much is dirty: it writes, without being asked.
    fn write_back(&mut self, ino: Ino) -> io::Result<()> {
        if self.rules == Rules::Ext4Ordered {
            self.commit_journal()?;
        }
        self.commit_bytes(ino)
    }

    fn wrote(&mut self, ino: Ino, end: u64) -> io::Result<()> {
        let inode = self.inode_mut(ino)?;
        inode.length = inode.length.max(end);
        inode.modified = now();
        inode.changed = inode.modified;
        Ok(())
    }

    /// Gives a file another length.
    pub(in crate::disk) fn resize(&mut self, ino: Ino, to: u64) -> io::Result<()> {
        let file = self.bytes(ino)?.ok_or_else(|| errno(libc::EINVAL))?;
        let from = self.inode(ino)?.length;
        if to == from {
            return Ok(());
        }
        let sequence = self.next_sequence();
        let inode = self.inode_mut(ino)?;
        let unsynced = inode.unsynced.get_or_insert_with(|| Unsynced::new(from));
        unsynced.before_resize(&file, from, to, sequence)?;
        file.set_len(to)?;
        inode.length = to;
        inode.truncated |= to == 0;
        inode.modified = now();
        inode.changed = inode.modified;
        self.note_in_journal(sequence);
        Ok(())
    }

    /// `fallocate(2)`: room, zeros or holes.
    pub(in crate::disk) fn allocate(&mut self, ino: Ino, offset: u64, count: u64, mode: i32) -> io::Result<()> {
        let end = offset.checked_add(count).ok_or_else(|| errno(libc::EFBIG))?;
        let length = self.inode(ino)?.length;
        let keeps_size = mode & libc::FALLOC_FL_KEEP_SIZE != 0;
        match mode & !libc::FALLOC_FL_KEEP_SIZE {
            0 => {}
            libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_PUNCH_HOLE => self.write_zeros(ino, offset, end.min(length))?,
            _ => return Err(errno(libc::EOPNOTSUPP)),
        }
        if end > length && !keeps_size {
            self.resize(ino, end)?;
        }
        Ok(())
    }

    fn write_zeros(&mut self, ino: Ino, from: u64, to: u64) -> io::Result<()> {
        let zeros = vec![0; 1 << 16];
        let mut offset = from;
        while offset < to {
            let count = usize::try_from(to - offset).unwrap_or(usize::MAX).min(zeros.len());
            self.write(ino, offset, &zeros[..count])?;
            offset += count as u64;
        }
        Ok(())
    }

    pub(in crate::disk) fn set_mode(&mut self, ino: Ino, mode: u32) -> io::Result<()> {
        let sequence = self.next_sequence();
        let inode = self.inode_mut(ino)?;
        inode.durable_mode.get_or_insert((inode.mode, sequence));
        inode.mode = mode_bits(mode);
        inode.changed = now();
        if inode.kind == Kind::File {
            let mode = inode.mode;
            self.store.set_mode(ino, mode)?;
        }
        self.note_in_journal(sequence);
        Ok(())
    }

    /// Sets the times that are given; they are no part of what a power cut decides.
    pub(in crate::disk) fn set_times(&mut self, ino: Ino, accessed: Option<SystemTime>, modified: Option<SystemTime>) -> io::Result<()> {
        let inode = self.inode_mut(ino)?;
        inode.accessed = accessed.unwrap_or(inode.accessed);
        inode.modified = modified.unwrap_or(inode.modified);
        Ok(())
    }
}

/// Reads until `into` is full or the file ends; returns how many bytes were read.
pub(in crate::disk) fn fill(file: &File, offset: u64, into: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match file.read_at(&mut into[filled..], offset + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}
