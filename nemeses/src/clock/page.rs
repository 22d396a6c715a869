//! The parameters that all processes of a node share: a small file that they have mapped.
//!
//! Two slots, and a number that says which one counts. The writer fills the other slot and then stores the number: one store brings a skew
//! into force, and a reader that saw the number change reads again. So no reader ever waits for the writer, not even for one that died half
//! way (the kernel's `seqcount_latch`).
//!
//! The harness writes with `pwrite`, which reaches the same page of memory as a mapping and needs no unsafe code. On x86-64 stores are seen in
//! their order.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::course::Course;
use super::skew::Skew;
use super::slot::{SLOT_BYTES, Slot};
use crate::{Error, Result};

/// Size of a page of memory on x86-64.
pub(super) const PAGE_BYTES: u64 = 4096;
const MAGIC: &[u8; 8] = b"sqclock1";
const INDEX_AT: u64 = 8;
const SLOTS_AT: u64 = 64;

/// The clock of a node, as its processes see it; exists as long as its file.
#[derive(Debug)]
pub struct Page {
    file: File,
    path: PathBuf,
    index: u32,
    course: Course,
}

/// A change of a node's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// What the clock is like since then.
    pub skew: Skew,
    /// How long it took, in ns.
    pub duration_ns: u64,
}

impl Page {
    /// Makes the file, with a clock that is right. Best on a file system in memory: a page of a real disk is written back now and then.
    ///
    /// # Errors
    /// If it exists, or cannot be made.
    pub fn create(path: &Path) -> Result<Page> {
        let fail = || format!("make the clock page {}", path.display());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            // Nodes read it, whoever they run as.
            .mode(0o644)
            .open(path)
            .map_err(Error::system(fail()))?;
        file.set_len(PAGE_BYTES).map_err(Error::system(fail()))?;
        file.write_all_at(MAGIC, 0).map_err(Error::system(fail()))?;
        Ok(Page {
            file,
            path: path.to_owned(),
            index: 0,
            course: Course::default(),
        })
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is in force.
    #[must_use]
    pub fn skew(&self) -> &Skew {
        self.course.skew()
    }

    /// Makes the clock be as `skew` says, from now on, for all processes of the node at once; as [`Course::set`] goes on from one to another.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn set(&mut self, skew: &Skew) -> Result<Set> {
        let start = Instant::now();
        let course = self.course.set(skew, true_ns());
        let index = self.index.wrapping_add(1);
        self.write(&course.slot().bytes(), slot_at(index))?;
        self.write(&index.to_le_bytes(), INDEX_AT)?;
        let duration_ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        (self.index, self.course) = (index, course);
        Ok(Set {
            skew: skew.clone(),
            duration_ns,
        })
    }

    /// The course of the node's clock.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.course.slot()
    }

    /// What the node's clock shows when the true one shows `true_ns`, in ns since 1970.
    #[must_use]
    pub fn shows(&self, true_ns: i64) -> i64 {
        self.course.slot().shows(true_ns)
    }

    fn write(&self, bytes: &[u8], at: u64) -> Result<()> {
        let fail = || format!("write the clock page {}", self.path.display());
        self.file.write_all_at(bytes, at).map_err(Error::system(fail()))
    }
}

fn slot_at(index: u32) -> u64 {
    SLOTS_AT + u64::from(index % 2) * SLOT_BYTES as u64
}

/// The true wall clock, in ns since 1970. Only for a process that is not redirected itself.
#[must_use]
pub fn true_ns() -> i64 {
    let now = clock_gettime(ClockId::Realtime);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jump(offset_ms: i64) -> Skew {
        Skew {
            offset_ms,
            ..Skew::default()
        }
    }

    fn in_force(path: &Path) -> Slot {
        let bytes = std::fs::read(path).unwrap();
        assert_eq!(&bytes[..8], MAGIC);
        let index = u32::from_le_bytes(bytes[8..12].try_into().unwrap());
        let at = usize::try_from(slot_at(index)).unwrap();
        Slot::parse(bytes[at..at + SLOT_BYTES].try_into().unwrap())
    }

    #[test]
    fn a_set_fills_the_other_slot_before_it_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n1");
        let mut page = Page::create(&path).unwrap();
        assert_eq!(in_force(&path), Slot::default());
        for offset_ms in [5, -7, 9] {
            let before = in_force(&path);
            let set = page.set(&jump(offset_ms)).unwrap();
            assert_eq!((set.skew, page.skew()), (jump(offset_ms), &jump(offset_ms)));
            assert_eq!(in_force(&path).offset_ns, offset_ms * 1_000_000);
            let bytes = std::fs::read(&path).unwrap();
            let other = usize::try_from(slot_at(page.index + 1)).unwrap();
            assert_eq!(
                Slot::parse(bytes[other..other + SLOT_BYTES].try_into().unwrap()),
                before,
                "who reads the old slot still finds it whole"
            );
        }
        page.set(&Skew::default()).unwrap();
        assert_eq!(page.shows(1_234), 1_234);
        assert_eq!(
            in_force(&path),
            Slot {
                base_ns: in_force(&path).base_ns,
                ..Slot::default()
            }
        );
    }

    #[test]
    fn an_existing_page_is_not_taken_for_ones_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n1");
        let _page = Page::create(&path).unwrap();
        let error = Page::create(&path).unwrap_err().to_string();
        assert!(error.contains("make the clock page") && error.contains("n1"), "{error}");
    }
}
