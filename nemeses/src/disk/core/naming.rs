//! Operations on names: done at once in the tree and its mirror, and written down as steps that are not durable.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::{Core, errno, mode_bits};
use crate::disk::inode::{Inode, Kind};
use crate::disk::names::{Edit, Ino, ROOT, Slot};

impl Core {
    /// Creates an inode under a name.
    pub(in crate::disk) fn create(&mut self, dir: Ino, name: &OsStr, kind: Kind, mode: u32) -> io::Result<Ino> {
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
    pub(in crate::disk) fn link(&mut self, ino: Ino, dir: Ino, name: &OsStr) -> io::Result<()> {
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
    pub(in crate::disk) fn remove(&mut self, dir: Ino, name: &OsStr, is_directory: bool) -> io::Result<()> {
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
    pub(in crate::disk) fn rename(&mut self, from: (Ino, &OsStr), to: (Ino, &OsStr), may_replace: bool) -> io::Result<()> {
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
    pub(in crate::disk) fn exchange(&mut self, one: (Ino, &OsStr), other: (Ino, &OsStr)) -> io::Result<()> {
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
}
