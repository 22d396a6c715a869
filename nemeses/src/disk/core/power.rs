//! What a power cut leaves.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::contents::fill;
use super::{Core, Lost, bytes_first, errno};
use crate::disk::dice::Dice;
use crate::disk::inode::Kind;
use crate::disk::names::{Ino, ROOT, Slot, Step};
use crate::disk::rules::{Cut, Rules};
use crate::disk::unsynced::Verdict;

impl Core {
    /// Cuts the power: what is not durable goes, as far as `cut` says, and all handles with it.
    pub(in crate::disk) fn lose_power(&mut self, cut: Cut) -> io::Result<Lost> {
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
    pub(in crate::disk) fn durable_bytes(&mut self, path: &Path) -> io::Result<Option<Vec<u8>>> {
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
}

/// Sequence of the first step that is lost; behind everything if none is.
fn journal_end(journal: &[Step], kept: &[bool]) -> u64 {
    let first_lost = journal.iter().zip(kept).find(|(_, kept)| !**kept);
    first_lost.map_or(u64::MAX, |(step, _)| step.sequence)
}
