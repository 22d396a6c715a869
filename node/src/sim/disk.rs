//! A disk in memory that holds a log's real bytes and forgets, at a crash, what it likes of those that were not synced.
//!
//! An fsync takes time, so it is in two parts: [`Storage::sync`] only begins it, and the owner of the world ends it with
//! [`SimDisk::sync_ends`]. Between the two a crash may leave anything of the unsynced end: nothing, all of it, or a part, sector by sector
//! (Pillai et al., OSDI 2014, §3: appends are neither atomic nor ordered within a file).

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::chance::Chance;
use crate::wal::Storage;

/// What a disk writes as a whole, in bytes.
const SECTOR_BYTES: usize = 512;

#[derive(Debug, Default)]
struct Platter {
    bytes: Vec<u8>,
    /// So many of them survive every crash, unless the whole file does not.
    durable: usize,
    /// What the file held before it was replaced, while the directory may still name that.
    before: Option<Vec<u8>>,
}

/// A handle of the disk of one node. Clones are handles of the same disk; it outlives the node's processes.
#[derive(Clone, Debug, Default)]
pub struct SimDisk {
    // Only because a storage must be able to move to a thread; nobody else ever holds it.
    platter: Arc<Mutex<Platter>>,
}

impl SimDisk {
    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.platter.lock().expect("no holder of this lock panics")
    }

    /// The fsync that was begun last returns: all that was written is durable.
    pub fn sync_ends(&self) {
        let mut platter = self.platter();
        platter.durable = platter.bytes.len();
        platter.before = None;
    }

    /// Bytes that were written and are not durable.
    pub fn unsynced(&self) -> usize {
        let platter = self.platter();
        platter.bytes.len() - platter.durable
    }

    /// A crash: draws which file the directory names, the replaced one or the new, and what is left of the end that was not synced. One time in three nothing, one in three everything, else a cut
    /// anywhere, with any sector before it lost, which then reads as zeros.
    pub fn crash(&self, chance: &mut Chance) {
        let mut platter = self.platter();
        if let Some(before) = platter.before.take()
            && chance.happens(500)
        {
            platter.durable = before.len();
            platter.bytes = before;
        }
        let (durable, written) = (platter.durable, platter.bytes.len());
        if durable == written {
            return;
        }
        match chance.below(3) {
            0 => platter.bytes.truncate(durable),
            1 => {}
            _ => {
                let kept = durable + usize::try_from(chance.below((written - durable) as u64 + 1)).expect("no more than is in memory");
                platter.bytes.truncate(kept);
                let mut begin = durable;
                while begin < kept {
                    let end = ((begin / SECTOR_BYTES + 1) * SECTOR_BYTES).min(kept);
                    if chance.happens(300) {
                        platter.bytes[begin..end].fill(0);
                    }
                    begin = end;
                }
            }
        }
    }
}

impl Storage for SimDisk {
    fn length(&self) -> io::Result<u64> {
        Ok(self.platter().bytes.len() as u64)
    }

    fn settle(&mut self) -> io::Result<()> {
        self.sync_ends();
        Ok(())
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let platter = self.platter();
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| platter.bytes.get(offset..))
            .unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.platter().bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        let mut platter = self.platter();
        let length = usize::try_from(length).map_err(io::Error::other)?;
        platter.bytes.truncate(length);
        platter.durable = platter.bytes.len();
        Ok(())
    }

    /// As [`Storage::sync`], this only begins: until [`SimDisk::sync_ends`] a crash may leave the old content. The log is never replaced
    /// while an fsync of it is under way, so all of the old content is durable.
    fn replace(&mut self, content: &[u8]) -> io::Result<()> {
        let mut platter = self.platter();
        let before = std::mem::replace(&mut platter.bytes, content.to_vec());
        platter.durable = platter.bytes.len();
        platter.before = Some(before);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::wal::{Batch, Wal};

    /// Commits one batch of these records; the fsync has only begun.
    fn commit(wal: &mut Wal<SimDisk>, records: &[&str]) {
        let mut batch = Batch::default();
        records.iter().for_each(|record| batch.push(record.as_bytes()));
        wal.commit(&mut batch).unwrap();
    }

    fn records(disk: &SimDisk) -> Vec<String> {
        let mut found = Vec::new();
        let mut load = |record: &[u8]| {
            found.push(String::from_utf8(record.to_vec()).unwrap());
            Ok(())
        };
        Wal::recover(disk.clone(), Path::new("sim"), &mut load).unwrap();
        found
    }

    #[test]
    fn a_crash_loses_only_what_was_not_synced_and_never_a_part_of_a_batch() {
        let mut lost = 0;
        for seed in 0..300 {
            let disk = SimDisk::default();
            let (mut wal, _) = Wal::recover(disk.clone(), Path::new("sim"), &mut |_| Ok(())).unwrap();
            commit(&mut wal, &["a", "b"]);
            disk.sync_ends();
            let long = "x".repeat(2000);
            commit(&mut wal, &["c", &long]);
            disk.crash(&mut Chance::new(seed, "sim.disk"));
            match records(&disk).len() {
                2 => lost += 1,
                4 => {}
                other => panic!("seed {seed}: {other} records"),
            }
        }
        assert!((100..280).contains(&lost), "{lost} of 300 lost the batch");
    }

    #[test]
    fn a_crash_under_a_replacement_leaves_the_old_log_or_the_new_one() {
        let mut n_new = 0;
        for seed in 0..100 {
            let disk = SimDisk::default();
            let (mut wal, _) = Wal::recover(disk.clone(), Path::new("sim"), &mut |_| Ok(())).unwrap();
            commit(&mut wal, &["a", "b"]);
            disk.sync_ends();
            wal.replace(&[b"snapshot".to_vec()]).unwrap();
            commit(&mut wal, &["c"]);
            disk.crash(&mut Chance::new(seed, "sim.disk"));
            let found = records(&disk);
            assert!(
                found == ["a", "b"] || found == ["snapshot"] || found == ["snapshot", "c"],
                "{found:?}"
            );
            n_new += usize::from(found[0] == "snapshot");
            wal.replace(&[b"later".to_vec()]).unwrap();
            disk.sync_ends();
            disk.crash(&mut Chance::new(seed, "sim.disk"));
            assert_eq!(records(&disk), ["later"]);
        }
        assert!((20..80).contains(&n_new), "{n_new} of 100 kept the new one");
    }

    #[test]
    fn what_a_restarted_node_has_read_is_durable() {
        let disk = SimDisk::default();
        let (mut wal, _) = Wal::recover(disk.clone(), Path::new("sim"), &mut |_| Ok(())).unwrap();
        commit(&mut wal, &["a"]);
        assert!(disk.unsynced() > 0);
        assert_eq!(records(&disk), ["a"]);
        for seed in 0..50 {
            disk.crash(&mut Chance::new(seed, "sim.disk"));
            assert_eq!(records(&disk), ["a"]);
        }
    }
}
