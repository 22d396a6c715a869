//! The disk itself: operations on names and bytes, what makes them durable, and what a power cut leaves. Knows nothing of FUSE.
//!
//! Every operation is done at once in the backing store and written down as not durable; a sync makes parts of what is written down durable; a
//! power cut undoes the rest. Our own kernel never loses power, so nothing is ever synced for real.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::fs::{DirEntryExt, FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::dice::Dice;
use super::inode::{Inode, Kind, now};
use super::names::{Edit, Ino, Names, ROOT, Slot, Step};
use super::rules::{Cut, Rules};
use super::store::Store;
use super::unsynced::{Unsynced, Verdict};

/// Bytes of old content of one file from which on it is made durable, as a kernel writes back what has been dirty for long.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// Steps of names from which on they are made durable, for the same reason.
const JOURNAL_STEPS_MAX: usize = 8_192;

/// What a power cut took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lost {
    /// Sectors of 512 bytes that were written and not durable.
    pub sectors: u64,
    /// Changes of names (creations, removals, renames).
    pub names: u64,
    /// Sectors and names that were not durable and survived: torn and reordered writes.
    pub survived: u64,
}

/// A disk whose power can fail.
#[derive(Debug)]
pub(super) struct Core {
    store: Store,
    rules: Rules,
    names: Names,
    inodes: BTreeMap<Ino, Inode>,
    /// Where each directory stands.
    parents: BTreeMap<Ino, Slot>,
    next_ino: Ino,
    sequence: u64,
    /// Successful syncs make nothing durable.
    pub(super) lies: bool,
}

/// An error number as an error.
pub(super) fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

impl Core {
    /// Opens a disk on a store; what stands in its mirror is its first, durable content.
    pub(super) fn open(store: Store, rules: Rules) -> io::Result<Core> {
        let mut root = Inode::new(Kind::Directory, 0o755);
        root.mode = mode_bits(store.mirror().metadata()?.permissions().mode());
        let mut core = Core {
            store,
            rules,
            names: Names::new(),
            inodes: BTreeMap::from([(ROOT, root)]),
            parents: BTreeMap::new(),
            next_ino: ROOT + 1,
            sequence: 0,
            lies: false,
        };
        core.import(ROOT, Path::new(""), &mut BTreeMap::new())?;
        Ok(core)
    }

    fn import(&mut self, dir: Ino, at: &Path, seen: &mut BTreeMap<u64, Ino>) -> io::Result<()> {
        let mut entries = std::fs::read_dir(self.store.mirror().join(at))?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let (path, slot) = (at.join(entry.file_name()), Slot::new(dir, &entry.file_name()));
            if let Some(&known) = seen.get(&entry.ino()) {
                self.names.import(&slot, known);
                self.inode_mut(known)?.links += 1;
                continue;
            }
            let data = entry.metadata()?;
            let kind = match data.file_type() {
                kind if kind.is_dir() => Kind::Directory,
                kind if kind.is_symlink() => Kind::Link(std::fs::read_link(entry.path())?.into()),
                kind if kind.is_file() => Kind::File,
                _ => continue,
            };
            let ino = self.enter(Inode::new(kind.clone(), mode_bits(data.mode())));
            seen.insert(entry.ino(), ino);
            self.names.import(&slot, ino);
            match kind {
                Kind::Directory => {
                    self.names.add_directory(ino);
                    self.parents.insert(ino, slot);
                    self.import(ino, &path, seen)?;
                }
                Kind::File => {
                    self.inode_mut(ino)?.length = data.len();
                    self.store.adopt(ino, &path)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    // ---- looking -------------------------------------------------------------------------------------------------------------

    pub(super) fn inode(&self, ino: Ino) -> io::Result<&Inode> {
        self.inodes.get(&ino).ok_or_else(|| errno(libc::ENOENT))
    }

    /// What the file system below has left.
    pub(super) fn room(&self) -> io::Result<rustix::fs::StatVfs> {
        Ok(rustix::fs::statvfs(self.store.mirror())?)
    }

    fn inode_mut(&mut self, ino: Ino) -> io::Result<&mut Inode> {
        self.inodes.get_mut(&ino).ok_or_else(|| errno(libc::ENOENT))
    }

    pub(super) fn lookup(&self, dir: Ino, name: &OsStr) -> io::Result<Ino> {
        self.names.get(dir, name).ok_or_else(|| errno(libc::ENOENT))
    }

    /// The entries of a directory: its own, its parent's, then all names in order.
    pub(super) fn entries(&self, dir: Ino) -> io::Result<Vec<(Ino, OsString)>> {
        let entries = self.names.entries(dir).ok_or_else(|| errno(libc::ENOTDIR))?;
        let parent = self.parents.get(&dir).map_or(ROOT, |slot| slot.dir);
        let own = [(dir, OsString::from(".")), (parent, OsString::from(".."))];
        Ok(own
            .into_iter()
            .chain(entries.iter().map(|(name, ino)| (*ino, name.clone())))
            .collect())
    }

    /// How many names a directory's inode has: its own, its `.`, and the `..` of each directory in it.
    pub(super) fn links(&self, ino: Ino) -> u32 {
        match self.names.entries(ino) {
            None => self.inodes.get(&ino).map_or(0, |inode| inode.links),
            Some(entries) => {
                let below = entries.values().filter(|child| self.names.entries(**child).is_some()).count();
                2 + u32::try_from(below).unwrap_or(u32::MAX - 2)
            }
        }
    }

    // ---- names ---------------------------------------------------------------------------------------------------------------

    /// Creates an inode under a name.
    pub(super) fn create(&mut self, dir: Ino, name: &OsStr, kind: Kind, mode: u32) -> io::Result<Ino> {
        let slot = self.free_slot(dir, name)?;
        let ino = self.enter(Inode::new(kind.clone(), mode_bits(mode)));
        let at = self.path(&slot)?;
        let made = match &kind {
            Kind::File => self
                .store
                .create(ino)
                .and_then(|_| self.store.set_mode(ino, mode_bits(mode)))
                .and_then(|()| self.store.show_file(ino, &at)),
            Kind::Directory => self.store.show_directory(&at),
            Kind::Link(target) => self.store.show_link(Path::new(target), &at),
            Kind::Special(_) => Ok(()),
        };
        if let Err(error) = made {
            self.inodes.remove(&ino);
            return Err(error);
        }
        if kind == Kind::Directory {
            self.names.add_directory(ino);
            self.parents.insert(ino, slot.clone());
        }
        self.step(
            vec![Edit {
                slot,
                before: None,
                after: Some(ino),
            }],
            false,
            None,
        )?;
        self.touch(dir);
        Ok(ino)
    }

    /// Gives a file another name.
    pub(super) fn link(&mut self, ino: Ino, dir: Ino, name: &OsStr) -> io::Result<()> {
        let slot = self.free_slot(dir, name)?;
        if self.inode(ino)?.kind != Kind::File {
            return Err(errno(libc::EPERM));
        }
        self.store.show_file(ino, &self.path(&slot)?)?;
        self.step(
            vec![Edit {
                slot,
                before: None,
                after: Some(ino),
            }],
            false,
            None,
        )?;
        self.inode_mut(ino)?.links += 1;
        self.touch(dir);
        Ok(())
    }

    /// Takes a name away: of a directory (which must be empty) or of anything else.
    pub(super) fn remove(&mut self, dir: Ino, name: &OsStr, is_directory: bool) -> io::Result<()> {
        let ino = self.lookup(dir, name)?;
        self.may_go(ino, is_directory)?;
        let slot = Slot::new(dir, name);
        if self.is_shown(ino)? {
            self.store.hide(&self.path(&slot)?, is_directory)?;
        }
        self.step(
            vec![Edit {
                slot,
                before: Some(ino),
                after: None,
            }],
            false,
            None,
        )?;
        self.inode_mut(ino)?.links -= 1;
        self.touch(dir);
        self.forget_unused(ino);
        Ok(())
    }

    /// Renames, over whatever stands there.
    pub(super) fn rename(&mut self, from: (Ino, &OsStr), to: (Ino, &OsStr), may_replace: bool) -> io::Result<()> {
        let ino = self.lookup(from.0, from.1)?;
        let replaced = self.names.get(to.0, to.1);
        if replaced.is_some() && !may_replace {
            return Err(errno(libc::EEXIST));
        }
        if replaced == Some(ino) {
            return Ok(()); // two names of one file: rename(2) does nothing
        }
        let (from, to) = (Slot::new(from.0, from.1), Slot::new(to.0, to.1));
        let is_directory = self.inode(ino)?.is_directory();
        if let Some(old) = replaced {
            self.may_go(old, is_directory)?;
        }
        if is_directory && self.is_below(to.dir, ino) {
            return Err(errno(libc::EINVAL));
        }
        match (self.is_shown(ino)?, replaced) {
            (true, _) => self.store.move_shown(&self.path(&from)?, &self.path(&to)?)?,
            (false, Some(old)) if self.is_shown(old)? => self.store.hide(&self.path(&to)?, false)?,
            (false, _) => {}
        }
        if is_directory {
            self.parents.insert(ino, to.clone());
        }
        let edits = vec![
            Edit {
                slot: from.clone(),
                before: Some(ino),
                after: None,
            },
            Edit {
                slot: to.clone(),
                before: replaced,
                after: Some(ino),
            },
        ];
        self.step(edits, is_directory, replaced.map(|_| ino))?;
        if let Some(old) = replaced {
            self.inode_mut(old)?.links -= 1;
            self.forget_unused(old);
        }
        self.touch(from.dir);
        self.touch(to.dir);
        Ok(())
    }

    /// Swaps two names (`RENAME_EXCHANGE`).
    pub(super) fn exchange(&mut self, one: (Ino, &OsStr), other: (Ino, &OsStr)) -> io::Result<()> {
        let (a, b) = (self.lookup(one.0, one.1)?, self.lookup(other.0, other.1)?);
        let (one, other) = (Slot::new(one.0, one.1), Slot::new(other.0, other.1));
        let into_itself = |ino: Ino, dir: Ino| self.parents.contains_key(&ino) && self.is_below(dir, ino);
        if into_itself(a, other.dir) || into_itself(b, one.dir) || !self.is_shown(a)? || !self.is_shown(b)? {
            return Err(errno(libc::EINVAL));
        }
        let (at, with) = (
            self.store.mirror().join(self.path(&one)?),
            self.store.mirror().join(self.path(&other)?),
        );
        rustix::fs::renameat_with(rustix::fs::CWD, &at, rustix::fs::CWD, &with, rustix::fs::RenameFlags::EXCHANGE)?;
        for (ino, slot) in [(a, &other), (b, &one)] {
            if self.parents.contains_key(&ino) {
                self.parents.insert(ino, slot.clone());
            }
        }
        let moves_directory = self.inode(a)?.is_directory() || self.inode(b)?.is_directory();
        let edits = vec![
            Edit {
                slot: one,
                before: Some(a),
                after: Some(b),
            },
            Edit {
                slot: other,
                before: Some(b),
                after: Some(a),
            },
        ];
        self.step(edits, moves_directory, None)
    }

    /// Whether `dir` is `ancestor` or stands below it.
    fn is_below(&self, dir: Ino, ancestor: Ino) -> bool {
        let above = |dir: &Ino| self.parents.get(dir).map(|slot| slot.dir);
        std::iter::successors(Some(dir), above).any(|dir| dir == ancestor)
    }

    /// Whether the mirror has it: pipes and sockets have no bytes to show.
    fn is_shown(&self, ino: Ino) -> io::Result<bool> {
        Ok(!matches!(self.inode(ino)?.kind, Kind::Special(_)))
    }

    fn free_slot(&self, dir: Ino, name: &OsStr) -> io::Result<Slot> {
        let entries = self.names.entries(dir).ok_or_else(|| errno(libc::ENOTDIR))?;
        match entries.contains_key(name) {
            true => Err(errno(libc::EEXIST)),
            false if name.len() > 255 => Err(errno(libc::ENAMETOOLONG)),
            // A directory that was removed while somebody stood in it takes nothing in.
            false if dir != ROOT && self.inode(dir)?.links == 0 => Err(errno(libc::ENOENT)),
            false => Ok(Slot::new(dir, name)),
        }
    }

    fn may_go(&self, ino: Ino, as_directory: bool) -> io::Result<()> {
        match (self.names.entries(ino), as_directory) {
            (Some(_), false) => Err(errno(libc::EISDIR)),
            (None, true) => Err(errno(libc::ENOTDIR)),
            (Some(entries), true) if !entries.is_empty() => Err(errno(libc::ENOTEMPTY)),
            _ => Ok(()),
        }
    }

    /// A slot's path in the mirror.
    fn path(&self, slot: &Slot) -> io::Result<PathBuf> {
        let mut names = vec![slot.name.as_os_str()];
        let mut dir = slot.dir;
        while dir != ROOT {
            let above = self.parents.get(&dir).ok_or_else(|| errno(libc::ENOENT))?;
            names.push(&above.name);
            dir = above.dir;
        }
        Ok(names.into_iter().rev().collect())
    }

    // ---- bytes ---------------------------------------------------------------------------------------------------------------

    /// Opens a file or a directory; to be closed by [`Core::close`].
    pub(super) fn open_inode(&mut self, ino: Ino) -> io::Result<()> {
        self.inode_mut(ino)?.open += 1;
        let opened = self.bytes(ino).map(drop);
        if opened.is_err() {
            self.close(ino);
        }
        opened
    }

    /// Closes one handle.
    pub(super) fn close(&mut self, ino: Ino) {
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
    pub(super) fn bytes(&mut self, ino: Ino) -> io::Result<Option<Arc<File>>> {
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

    pub(super) fn read(&mut self, ino: Ino, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let file = self.bytes(ino)?.ok_or_else(|| errno(libc::EINVAL))?;
        let inode = self.inode_mut(ino)?;
        if let Some(unsynced) = &mut inode.unsynced {
            for (at, bytes) in unsynced.evict_dropped(offset, into.len() as u64, inode.length) {
                file.write_all_at(&bytes, at)?;
            }
        }
        fill(&file, offset, into)
    }

    pub(super) fn write(&mut self, ino: Ino, offset: u64, bytes: &[u8]) -> io::Result<()> {
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
    pub(super) fn resize(&mut self, ino: Ino, to: u64) -> io::Result<()> {
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
    pub(super) fn allocate(&mut self, ino: Ino, offset: u64, count: u64, mode: i32) -> io::Result<()> {
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

    pub(super) fn set_mode(&mut self, ino: Ino, mode: u32) -> io::Result<()> {
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
    pub(super) fn set_times(
        &mut self,
        ino: Ino,
        accessed: Option<std::time::SystemTime>,
        modified: Option<std::time::SystemTime>,
    ) -> io::Result<()> {
        let inode = self.inode_mut(ino)?;
        inode.accessed = accessed.unwrap_or(inode.accessed);
        inode.modified = modified.unwrap_or(inode.modified);
        Ok(())
    }

    // ---- becoming durable ----------------------------------------------------------------------------------------------------

    /// `fsync` or `fdatasync` of a file, or of a directory.
    pub(super) fn sync(&mut self, ino: Ino, only_data: bool) -> io::Result<()> {
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
    pub(super) fn fail_sync(&mut self, ino: Ino) -> bool {
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

    fn commit_bytes(&mut self, ino: Ino) -> io::Result<()> {
        let inode = self.inode_mut(ino)?;
        inode.unsynced = inode.unsynced.take().and_then(|unsynced| unsynced.commit(inode.length));
        Ok(())
    }

    fn commit_journal(&mut self) -> io::Result<()> {
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
    fn note_in_journal(&mut self, sequence: u64) {
        if self.rules == Rules::Ext4Ordered {
            self.names.apply(Step::edits(sequence, Vec::new()));
        }
    }

    // ---- losing power --------------------------------------------------------------------------------------------------------

    /// Cuts the power: what is not durable goes, as far as `cut` says, and all handles with it.
    pub(super) fn lose_power(&mut self, cut: Cut) -> io::Result<Lost> {
        let mut dice = Dice::new(cut);
        let mut kept = self.names.draw(self.rules, &mut dice);
        self.end_between_no_versions(&mut kept);
        let journal_ends = journal_end(self.names.journal(), &kept);
        let surviving: Vec<Step> = self
            .names
            .journal()
            .iter()
            .zip(&kept)
            .filter(|(_, kept)| **kept)
            .map(|(step, _)| step.clone())
            .collect();
        let bytes_first = if self.rules == Rules::Ext4Ordered {
            bytes_first(&surviving)
        } else {
            BTreeMap::new()
        };
        let mut lost = Lost {
            sectors: 0,
            names: self
                .names
                .journal()
                .iter()
                .zip(&kept)
                .filter(|(step, kept)| !**kept && !step.edits.is_empty())
                .count() as u64,
            survived: surviving.iter().filter(|step| !step.edits.is_empty()).count() as u64,
        };
        let reached = self.names.lose(&kept);
        let gone: Vec<Ino> = self.inodes.keys().filter(|ino| !reached.contains_key(ino)).copied().collect();
        for ino in gone {
            self.delete(ino);
        }
        for (&ino, inode) in &mut self.inodes {
            inode.links = reached.get(&ino).copied().unwrap_or(0);
            (inode.open, inode.file, inode.truncated) = (0, None, false);
            if let Some((mode, first)) = inode.durable_mode.take() {
                let keeps = if self.rules == Rules::Ext4Ordered {
                    first < journal_ends
                } else {
                    dice.keeps()
                };
                inode.mode = if keeps { inode.mode } else { mode };
            }
            let Some(unsynced) = inode.unsynced.take() else { continue };
            let verdict = Verdict {
                resizes: (self.rules == Rules::Ext4Ordered).then(|| unsynced.resized().is_some_and(|(_, last)| last < journal_ends)),
                bytes_before: bytes_first.get(&ino).copied().unwrap_or(0),
                journal_ends,
                rules: self.rules,
            };
            let image = unsynced.lose(inode.length, &verdict, &mut dice);
            lost.sectors += image.sectors_lost;
            lost.survived += unsynced.written_sectors() - image.sectors_lost.min(unsynced.written_sectors());
            let file = self.store.open(ino)?;
            for (offset, bytes) in &image.writes {
                file.write_all_at(bytes, *offset)?;
            }
            file.set_len(image.length)?;
            inode.length = image.length;
        }
        self.show_all()?;
        Ok(lost)
    }

    /// Of two versions of a length or a page we have only the newest: where the end of an ordered journal falls between them, it ends later, which is
    /// as legal.
    fn end_between_no_versions(&self, kept: &mut [bool]) {
        if self.rules != Rules::Ext4Ordered {
            return;
        }
        let journal = self.names.journal();
        let mut moved = true;
        while moved {
            let end = journal_end(journal, kept);
            let bytes_first = bytes_first(journal.iter().filter(|step| step.sequence < end));
            let unsynced = self.inodes.iter().filter_map(|(ino, inode)| Some((ino, inode.unsynced.as_ref()?)));
            let versions = unsynced.flat_map(|(ino, unsynced)| {
                let resize = unsynced.resized().filter(|(first, _)| *first < end).map(|(_, last)| last);
                let page = bytes_first.get(ino).and_then(|before| unsynced.last_write_of_pages_before(*before));
                [resize, page].into_iter().flatten()
            });
            let last = versions.max().unwrap_or(0);
            moved = end <= last;
            for (step, kept) in journal.iter().zip(kept.iter_mut()) {
                *kept |= step.sequence <= last;
            }
        }
    }

    /// Builds the mirror anew.
    fn show_all(&mut self) -> io::Result<()> {
        self.store.hide_all()?;
        self.parents.clear();
        let mut queue = vec![(ROOT, PathBuf::new())];
        while let Some((dir, at)) = queue.pop() {
            let entries: Vec<(OsString, Ino)> = self
                .names
                .entries(dir)
                .into_iter()
                .flatten()
                .map(|(name, ino)| (name.clone(), *ino))
                .collect();
            for (name, ino) in entries {
                let path = at.join(&name);
                match &self.inode(ino)?.kind {
                    Kind::File => self.store.show_file(ino, &path)?,
                    Kind::Link(target) => self.store.show_link(Path::new(target), &path)?,
                    Kind::Special(_) => {}
                    Kind::Directory => {
                        self.store.show_directory(&path)?;
                        self.parents.insert(ino, Slot { dir, name });
                        queue.push((ino, path));
                    }
                }
            }
        }
        Ok(())
    }

    /// The bytes a clean power cut would leave under a path of names; `None` if it would leave no such file.
    pub(super) fn durable_bytes(&mut self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let mut at = ROOT;
        for name in path.iter() {
            let Some(next) = self.names.durable(&Slot::new(at, name)) else {
                return Ok(None);
            };
            at = next;
        }
        let mut bytes = vec![0; usize::try_from(self.inode(at)?.length).map_err(|_| errno(libc::EFBIG))?];
        // Past the reads of programs, which find dropped pages evicted.
        let file = self.bytes(at)?.ok_or_else(|| errno(libc::EISDIR))?;
        fill(&file, 0, &mut bytes)?;
        Ok(Some(match &self.inode(at)?.unsynced {
            Some(unsynced) => unsynced.durable_bytes(&bytes),
            None => bytes,
        }))
    }

    // ---- housekeeping --------------------------------------------------------------------------------------------------------

    fn enter(&mut self, inode: Inode) -> Ino {
        let ino = self.next_ino;
        self.next_ino += 1;
        self.inodes.insert(ino, inode);
        ino
    }

    fn step(&mut self, edits: Vec<Edit>, moves_directory: bool, bytes_first: Option<Ino>) -> io::Result<()> {
        let sequence = self.next_sequence();
        self.names.apply(Step {
            sequence,
            edits,
            moves_directory,
            bytes_first,
        });
        if self.names.journal().len() <= JOURNAL_STEPS_MAX {
            return Ok(());
        }
        match self.rules {
            Rules::Ext4Ordered => self.commit_journal(),
            Rules::PosixStrict => {
                let done = self.names.commit_all();
                self.forget_steps(&done);
                Ok(())
            }
        }
    }

    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    fn touch(&mut self, dir: Ino) {
        if let Some(inode) = self.inodes.get_mut(&dir) {
            inode.modified = now();
            inode.changed = inode.modified;
        }
    }

    fn forget_steps(&mut self, done: &[Step]) {
        let mentioned = done.iter().flat_map(|step| &step.edits).filter_map(|edit| edit.before);
        for ino in mentioned {
            self.forget_unused(ino);
        }
    }

    /// Deletes what no name, no handle and no step of the journal leads to.
    fn forget_unused(&mut self, ino: Ino) {
        let unused = self.inodes.get(&ino).is_some_and(|inode| inode.links == 0 && inode.open == 0);
        if unused && !self.names.is_mentioned(ino) {
            self.names.forget_directory(ino);
            self.delete(ino);
        }
    }

    fn delete(&mut self, ino: Ino) {
        self.parents.remove(&ino);
        if self.inodes.remove(&ino).is_some_and(|inode| inode.kind == Kind::File) {
            // It would only be litter in the run folder, which goes at the end.
            let _ = self.store.delete(ino);
        }
    }
}

/// Reads until `into` is full or the file ends; returns how many bytes were read.
fn fill(file: &File, offset: u64, into: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match file.read_at(&mut into[filled..], offset + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

fn mode_bits(mode: u32) -> u16 {
    u16::try_from(mode & 0o7777).expect("twelve bits")
}

/// For each file that a step of the journal waited for, the last such step: writes before it are on the disk.
fn bytes_first<'a>(steps: impl IntoIterator<Item = &'a Step>) -> BTreeMap<Ino, u64> {
    let waiting = steps.into_iter().filter_map(|step| Some((step.bytes_first?, step.sequence)));
    waiting.collect()
}

/// Sequence of the first step that is lost; behind everything if none is.
fn journal_end(journal: &[Step], kept: &[bool]) -> u64 {
    let first_lost = journal.iter().zip(kept).find(|(_, kept)| !**kept);
    first_lost.map_or(u64::MAX, |(step, _)| step.sequence)
}
