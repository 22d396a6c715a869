//! What makes something durable.

use std::io;

use super::{Core, bytes_first};
use crate::disk::names::{Ino, Step};
use crate::disk::rules::Rules;
use crate::disk::unsynced::Unsynced;

impl Core {
    /// `fsync` or `fdatasync` of a file, or of a directory.
    pub(in crate::disk) fn sync(&mut self, ino: Ino, only_data: bool) -> io::Result<()> {
        if self.lies {
            return Ok(());
        }
        if self.inode(ino)?.is_directory() {
            match self.rules {
                Rules::PosixStrict => {
                    let done = self.names.commit_directory(ino);
                    self.inode_mut(ino)?.durable_mode = None;
                    self.forget_steps(&done);
                }
                Rules::Ext4Ordered => self.commit_journal()?,
            }
            return Ok(());
        }
        let needs_journal = !only_data || self.needs_journal(ino)?;
        if self.rules == Rules::Ext4Ordered && needs_journal {
            self.commit_journal()?;
        }
        if !only_data {
            self.inode_mut(ino)?.durable_mode = None;
        }
        self.commit_bytes(ino)
    }

    /// An fsync that fails: what was written is dropped from what later syncs make durable.
    /// `false` if nothing was written since the last one, successful or not: then it does not fail.
    pub(in crate::disk) fn fail_sync(&mut self, ino: Ino) -> bool {
        let unsynced = self.inodes.get_mut(&ino).and_then(|inode| inode.unsynced.as_mut());
        unsynced.is_some_and(Unsynced::drop_pages)
    }

    fn needs_journal(&self, ino: Ino) -> io::Result<bool> {
        let inode = self.inode(ino)?;
        let longer = inode
            .unsynced
            .as_ref()
            .is_some_and(|unsynced| unsynced.length_differs(inode.length));
        Ok(longer || self.names.is_mentioned(ino))
    }

    pub(super) fn commit_bytes(&mut self, ino: Ino) -> io::Result<()> {
        let inode = self.inode_mut(ino)?;
        inode.unsynced = inode.unsynced.take().and_then(|unsynced| unsynced.commit(inode.length));
        Ok(())
    }

    pub(super) fn commit_journal(&mut self) -> io::Result<()> {
        let done = self.names.commit_all();
        let bytes_first = bytes_first(&done);
        for (ino, inode) in &mut self.inodes {
            inode.durable_mode = None;
            let before = bytes_first.get(ino).copied().unwrap_or(0);
            let concerned = before > 0 || inode.unsynced.as_ref().is_some_and(|unsynced| unsynced.resized().is_some());
            if concerned {
                inode.unsynced = inode
                    .unsynced
                    .take()
                    .and_then(|unsynced| unsynced.commit_journal(inode.length, before));
            }
        }
        self.forget_steps(&done);
        Ok(())
    }

    /// In an ordered journal even a change without a name has its place.
    pub(super) fn note_in_journal(&mut self, sequence: u64) {
        if self.rules == Rules::Ext4Ordered {
            self.names.apply(Step::edits(sequence, Vec::new()));
        }
    }
}
