//! Damage to durable bytes: bits that flip at rest, writes that land in another place. Nobody is told, and nothing takes it back.
//!
//! It is done in the store alone, past what a power cut undoes: it is the disk's. Only bytes are hit that are the same now and after a power cut,
//! since those that are not stand in no place of a disk yet. Where there is data damage is drawn among sectors that hold any: a log that is long
//! by zeros would hide most of it.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::Core;
use super::contents::fill;
use crate::disk::inode::Kind;
use crate::disk::names::{Ino, ROOT};
use crate::disk::trouble::Rot;
use crate::disk::unsynced::{SECTOR, Unsynced};

/// Draws of a place before one without data, or none, is taken for what there is.
const DRAWS_MAX: u32 = 1_000;

/// One bit that was flipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flip {
    /// The file, by its path below the mount.
    pub file: PathBuf,
    /// Which byte of it.
    pub offset: u64,
    /// Which bit of the byte, from 0, the lowest.
    pub bit: u8,
}

/// Bytes of a file that are not any more what the kernel may believe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::disk) struct Stale {
    pub(in crate::disk) ino: Ino,
    pub(in crate::disk) offset: u64,
    pub(in crate::disk) count: u64,
}

/// A write that is on its way to the disk.
pub(in crate::disk) struct Astray<'a> {
    pub(in crate::disk) ino: Ino,
    pub(in crate::disk) offset: u64,
    pub(in crate::disk) bytes: &'a [u8],
}

impl Core {
    /// Flips bits of durable bytes: as many as are wanted, unless there is nothing durable. `spared` is a file that is hit only if it is named.
    pub(in crate::disk) fn rot(&mut self, rot: &Rot, spared: &Path) -> io::Result<(Vec<Flip>, Vec<Stale>)> {
        let mut rng = ChaCha8Rng::seed_from_u64(rot.seed);
        let files: Vec<(PathBuf, Ino)> = match &rot.file {
            Some(wanted) => self.files().into_iter().filter(|(path, _)| path == Path::new(wanted)).collect(),
            None => self.files().into_iter().filter(|(path, _)| path != spared).collect(),
        };
        let (mut flips, mut stale) = (Vec::new(), Vec::new());
        for _ in 0..rot.flips {
            let Some((place, sector)) = self.draw_sector(&files, 1, &mut rng)? else {
                break;
            };
            let (path, ino) = &files[place];
            let count = SECTOR.min(self.durable_length(*ino) - sector);
            let (offset, bit) = (sector + rng.random_range(0..count), rng.random_range(0..8u8));
            let file = self.store.open(*ino)?;
            let mut byte = [0];
            file.read_exact_at(&mut byte, offset)?;
            file.write_all_at(&[byte[0] ^ (1 << bit)], offset)?;
            flips.push(Flip {
                file: path.clone(),
                offset,
                bit,
            });
            stale.push(Stale {
                ino: *ino,
                offset,
                count: 1,
            });
        }
        Ok((flips, stale))
    }

    /// Does a write in another place: one of the same file, or of any file but the `spared` one, to which a write of its own alone goes astray. Where it
    /// should have been its file is as long as it should be. `None` if there is no other place; then nothing was done.
    pub(in crate::disk) fn misdirect(&mut self, write: &Astray<'_>, spared: &Path, seed: u64) -> io::Result<Option<[Stale; 2]>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut files = self.files();
        let is_spared = files.iter().any(|(path, ino)| path == spared && *ino == write.ino);
        files.retain(|(path, _)| (path == spared) == is_spared);
        let count = write.bytes.len() as u64;
        let overlaps = |ino: Ino, at: u64| ino == write.ino && at < write.offset + count && write.offset < at + count;
        for _ in 0..DRAWS_MAX {
            let Some((place, sector)) = self.draw_sector(&files, count, &mut rng)? else {
                return Ok(None);
            };
            let ino = files[place].1;
            if overlaps(ino, sector) {
                continue;
            }
            self.store.open(ino)?.write_all_at(write.bytes, sector)?;
            if write.offset + count > self.inode(write.ino)?.length {
                self.resize(write.ino, write.offset + count)?;
            }
            let stale = |ino, offset| Stale { ino, offset, count };
            return Ok(Some([stale(ino, sector), stale(write.ino, write.offset)]));
        }
        Ok(None)
    }

    /// All files that have bytes and a name, in order of their paths.
    fn files(&self) -> Vec<(PathBuf, Ino)> {
        let mut files = Vec::new();
        let mut folders = vec![(PathBuf::new(), ROOT)];
        while let Some((at, dir)) = folders.pop() {
            for (name, ino) in self.names.entries(dir).into_iter().flatten() {
                let path = at.join(name);
                match self.inodes.get(ino).map(|inode| (&inode.kind, inode.length)) {
                    Some((Kind::Directory, _)) => folders.push((path, *ino)),
                    Some((Kind::File, 1..)) => files.push((path, *ino)),
                    _ => {}
                }
            }
        }
        files.sort();
        files
    }

    /// A sector of one of these files from which on `count` bytes are durable, by the place of the file and its offset. Of the first that are drawn one
    /// with data in it, if any has.
    fn draw_sector(&self, files: &[(PathBuf, Ino)], count: u64, rng: &mut ChaCha8Rng) -> io::Result<Option<(usize, u64)>> {
        let lengths: Vec<u64> = files.iter().map(|(_, ino)| self.durable_length(*ino)).collect();
        let sectors = |length: &u64| (length + SECTOR).saturating_sub(count) / SECTOR;
        let n_sectors: Vec<u64> = lengths.iter().map(sectors).collect();
        let total: u64 = n_sectors.iter().sum();
        let mut without_data = None;
        for _ in 0..if total == 0 { 0 } else { DRAWS_MAX } {
            let mut at = rng.random_range(0..total);
            let place = n_sectors
                .iter()
                .position(|n| at.checked_sub(*n).map(|rest| at = rest).is_none())
                .expect("it is one of them");
            let (ino, offset) = (files[place].1, at * SECTOR);
            let is_durable = |unsynced: &Unsynced| unsynced.is_clean(offset, count);
            if !self.inode(ino)?.unsynced.as_ref().is_none_or(is_durable) {
                continue;
            }
            let mut bytes = vec![0; usize::try_from(SECTOR).expect("512")];
            fill(&self.store.open(ino)?, offset, &mut bytes)?;
            if bytes.iter().any(|byte| *byte != 0) {
                return Ok(Some((place, offset)));
            }
            without_data = without_data.or(Some((place, offset)));
        }
        Ok(without_data)
    }

    fn durable_length(&self, ino: Ino) -> u64 {
        let Some(inode) = self.inodes.get(&ino) else { return 0 };
        let durable = inode.unsynced.as_ref().map(Unsynced::durable_length);
        durable.unwrap_or(inode.length).min(inode.length)
    }
}
