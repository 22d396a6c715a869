//! The disk itself: operations on names and bytes, what makes them durable, and what a power cut leaves. Knows nothing of FUSE.
//!
//! Every operation is done at once in the backing store and written down as not durable; a sync makes parts of what is written down durable; a
//! power cut undoes the rest. Our own kernel never loses power, so nothing is ever synced for real.
//!
//! - this file: what there is, looked up and kept in order
//! - [`naming`], [`contents`]: what programs do
//! - [`durable`], [`power`]: what stays, and what goes
//! - [`damage`]: what becomes something else

mod contents;
mod damage;
mod durable;
mod naming;
mod power;

pub use self::damage::Flip;
pub(in crate::disk) use self::damage::{Astray, Stale};

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::{DirEntryExt, MetadataExt, PermissionsExt};
use std::path::Path;

use crate::disk::inode::{Inode, Kind, now};
use crate::disk::names::{Edit, Ino, Names, ROOT, Slot, Step};
use crate::disk::rules::Rules;
use crate::disk::store::Store;

/// Bytes of a block, in which room is counted.
pub(in crate::disk) const BLOCK: u64 = 4_096;
/// Steps of names from which on they are made durable, as a kernel writes back what has been dirty for long.
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
pub(in crate::disk) struct Core {
    store: Store,
    rules: Rules,
    names: Names,
    inodes: BTreeMap<Ino, Inode>,
    /// Where each directory stands.
    parents: BTreeMap<Ino, Slot>,
    next_ino: Ino,
    sequence: u64,
    /// Successful syncs make nothing durable.
    pub(in crate::disk) lies: bool,
}

/// An error number as an error.
pub(in crate::disk) fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

impl Core {
    /// Opens a disk on a store; what stands in its mirror is its first, durable content.
    pub(in crate::disk) fn open(store: Store, rules: Rules) -> io::Result<Core> {
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

    pub(in crate::disk) fn inode(&self, ino: Ino) -> io::Result<&Inode> {
        self.inodes.get(&ino).ok_or_else(|| errno(libc::ENOENT))
    }

    /// What the file system below has left.
    pub(in crate::disk) fn room(&self) -> io::Result<rustix::fs::StatVfs> {
        Ok(rustix::fs::statvfs(self.store.mirror())?)
    }

    /// Bytes that files and names take up, in whole blocks.
    pub(in crate::disk) fn used_bytes(&self) -> u64 {
        let blocks = self.inodes.values().map(|inode| 1 + inode.length.div_ceil(BLOCK));
        blocks.sum::<u64>() * BLOCK
    }

    fn inode_mut(&mut self, ino: Ino) -> io::Result<&mut Inode> {
        self.inodes.get_mut(&ino).ok_or_else(|| errno(libc::ENOENT))
    }

    pub(in crate::disk) fn lookup(&self, dir: Ino, name: &OsStr) -> io::Result<Ino> {
        self.names.get(dir, name).ok_or_else(|| errno(libc::ENOENT))
    }

    /// The entries of a directory: its own, its parent's, then all names in order.
    pub(in crate::disk) fn entries(&self, dir: Ino) -> io::Result<Vec<(Ino, OsString)>> {
        let entries = self.names.entries(dir).ok_or_else(|| errno(libc::ENOTDIR))?;
        let parent = self.parents.get(&dir).map_or(ROOT, |slot| slot.dir);
        let own = [(dir, OsString::from(".")), (parent, OsString::from(".."))];
        Ok(own
            .into_iter()
            .chain(entries.iter().map(|(name, ino)| (*ino, name.clone())))
            .collect())
    }

    /// How many names a directory's inode has: its own, its `.`, and the `..` of each directory in it.
    pub(in crate::disk) fn links(&self, ino: Ino) -> u32 {
        match self.names.entries(ino) {
            None => self.inodes.get(&ino).map_or(0, |inode| inode.links),
            Some(entries) => {
                let below = entries.values().filter(|child| self.names.entries(**child).is_some()).count();
                2 + u32::try_from(below).unwrap_or(u32::MAX - 2)
            }
        }
    }

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

fn mode_bits(mode: u32) -> u16 {
    u16::try_from(mode & 0o7777).expect("twelve bits")
}

/// For each file that a step of the journal waited for, the last such step: writes before it are on the disk.
fn bytes_first<'a>(steps: impl IntoIterator<Item = &'a Step>) -> BTreeMap<Ino, u64> {
    let waiting = steps.into_iter().filter_map(|step| Some((step.bytes_first?, step.sequence)));
    waiting.collect()
}
