//! What proves that a disk is in trouble, or well: a file of ours on it, and what becomes of its bytes and operations.
//!
//! The probe goes through the node's own mount, as the node does. It holds the mount's folder open, so that it can finish although the node dies of the
//! trouble in the meantime.

mod checks;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::num::NonZeroU64;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use self::checks::{Tried, checks, number, outcome, syncs_can_be_judged};
use super::{Disk, Flip, Lost, Rot, Trouble};
use crate::error::{Error, Result};

/// Name of the probe file at the top of a node's data folder.
pub const FILE: &str = ".squall-probe";
/// Bytes of a record of the probe: one sector, which is never torn.
const RECORD: usize = 512;
/// Where bytes go that are never synced: another block than the record's.
const VOLATILE_AT: u64 = 4_096;
/// Where bytes go of which a sync is asked whether it is honest.
const SYNCED_AT: u64 = 512;
/// The longest that a file of probes is looked at, in bytes: each probe appends a record.
const PROBE_BYTES_MAX: usize = 1 << 20;
/// The most that is written or read to see how fast a disk is: one request of the kernel's, which has at most 128 KiB (fuse(4)), so that a delay counts once.
const TIMED_BYTES_MAX: u64 = 64 << 10;
/// Attempts to see a disk that is not slow: another process may hold this one up.
const ATTEMPTS: u32 = 20;
/// Attempts to see that one is: a single one may have been held up, and few, as each takes its time.
const SLOW_ATTEMPTS: u32 = 2;

/// What was seen of a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskReport {
    /// Whether it is as it should be.
    pub ok: bool,
    /// The node.
    pub node: String,
    /// What was seen, in a line.
    pub said: String,
    /// What a power cut took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Lost>,
    /// The bits that were flipped, of the node's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flips: Vec<Flip>,
    /// How long the cut or the operations took, in microseconds.
    pub took_us: u64,
}

/// A probe of one node's disk.
pub struct Probe {
    node: String,
    disk: Disk,
    /// The mount's folder.
    folder: File,
    /// Tells this probe's bytes from those of earlier ones.
    stamp: u64,
}

/// The bytes a probe left before a power cut.
pub struct Left {
    node: String,
    disk: Disk,
    stamp: u64,
}

impl DiskReport {
    /// Whether a disk that misdirects writes met any of the node's: those of a probe, by which it is known to do so, always go astray.
    #[must_use]
    pub fn of_strays(node: &str, disk: &Disk) -> DiskReport {
        let n_misplaced = disk.n_misplaced();
        DiskReport {
            ok: n_misplaced > 0,
            node: node.to_owned(),
            said: match n_misplaced {
                0 => "no write of the node landed elsewhere".into(),
                1 => "1 write of the node landed elsewhere".into(),
                _ => format!("{n_misplaced} writes of the node landed elsewhere"),
            },
            lost: None,
            flips: Vec::new(),
            took_us: 0,
        }
    }
}

impl Probe {
    /// Opens the mounted folder of a node: its data folder as the process `init_pid` sees it.
    ///
    /// # Errors
    /// If the node is gone.
    pub fn open(node: &str, init_pid: u32, data: &Path, disk: &Disk, stamp: u64) -> Result<Probe> {
        let seen = Path::new("/proc")
            .join(init_pid.to_string())
            .join("root")
            .join(data.strip_prefix("/").unwrap_or(data));
        let folder = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECTORY | libc::O_CLOEXEC)
            .open(&seen);
        Ok(Probe {
            node: node.to_owned(),
            disk: disk.clone(),
            folder: folder.map_err(Error::system(format!("open the disk of {node}")))?,
            stamp,
        })
    }

    /// Proves that exactly this is wrong with the disk, and no longer what was before. The probe file must have been made while it was well, see
    /// [`Probe::prepare`].
    ///
    /// # Errors
    /// If the probe cannot be done at all.
    pub fn prove(&self, trouble: &Trouble, before: &Trouble) -> Result<DiskReport> {
        let began = Instant::now();
        let mut said = Vec::new();
        let mut ok = true;
        // A disk that is slow and nothing else is timed and nothing else: every further operation would hold up the next fault.
        let is_only_slow = trouble.is_only_slow();
        for check in checks(trouble).into_iter().filter(|_| !is_only_slow) {
            let seen = number(self.operate(check.operation));
            // A node that removes something gives a packed disk room again.
            let has_room = || check.expected == Some(libc::ENOSPC) && self.disk.room() > Some(0);
            ok &= seen == check.expected || (seen.is_none() && has_room());
            said.push(format!("{} {}", check.operation.name(), outcome(seen)));
        }
        if !is_only_slow && syncs_can_be_judged(trouble) {
            let is_durable = self.sync_is_honest()?;
            ok &= is_durable == trouble.sync.is_none();
            said.push(
                if is_durable {
                    "synced bytes are durable"
                } else {
                    "synced bytes are not durable"
                }
                .into(),
            );
        }
        ok &= self.prove_speed(trouble, before, &mut said)?;
        if trouble.misdirects != before.misdirects && trouble.lets_write() {
            let landed = self.where_a_write_lands()?;
            ok &= landed
                == if trouble.misdirects.is_some() {
                    Landed::Elsewhere
                } else {
                    Landed::There
                };
            said.push(format!("a write lands {}", landed.name()));
        }
        Ok(self.report(ok, &said.join(", "), began))
    }

    /// What is slow is as slow as it should be, and what is slower no more is faster than it was: also where a part of it stays. Where writes may be
    /// refused a read is timed, which takes as long even if it fails.
    fn prove_speed(&self, trouble: &Trouble, before: &Trouble, said: &mut Vec<String>) -> Result<bool> {
        if !trouble.is_slow() && !before.is_slow() {
            return Ok(true);
        }
        let rates = [trouble.bytes_per_s, before.bytes_per_s];
        let bytes = rates.into_iter().flatten().min().map_or(RECORD, timed_bytes);
        let (least, was) = (trouble.least_time(bytes as u64), before.least_time(bytes as u64));
        let is_faster = was > least;
        let reads = trouble.refuses_writes();
        let mut fastest = Duration::MAX;
        for _ in 0..if is_faster { ATTEMPTS } else { SLOW_ATTEMPTS } {
            let took = if reads {
                self.time_of_a_read(bytes)
            } else {
                self.time_of_a_write(bytes)
            };
            fastest = fastest.min(took?);
            if fastest < if is_faster { was } else { least } {
                break;
            }
        }
        said.push(format!(
            "{} {}{} took {} us",
            if is_faster { "the fastest" } else { "a" },
            if reads { "read" } else { "write" },
            of_bytes(bytes),
            fastest.as_micros()
        ));
        Ok(fastest >= least && (!is_faster || fastest < was))
    }

    /// Lets the disk rot as it should, and a bit of the probe's own file with it, which a reader then has to see. The file must have been made, see
    /// [`Probe::prepare`].
    ///
    /// # Errors
    /// If the probe cannot be done at all.
    pub fn rot(&self, rot: &Rot) -> Result<DiskReport> {
        let began = Instant::now();
        let own = Rot {
            seed: rot.seed,
            flips: 1,
            file: Some(FILE.into()),
        };
        let read = || -> Result<Vec<u8>> {
            // Through the kernel's cache, as nodes read.
            let bytes = self.file_to_read().and_then(|mut file| {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).map(|_| bytes)
            });
            bytes.map_err(Error::system(format!("read a probe on the disk of {}", self.node)))
        };
        let before = read()?;
        self.disk.rot(&own)?;
        let flipped: u32 = read()?.iter().zip(&before).map(|(now, before)| (now ^ before).count_ones()).sum();
        let flips = self.disk.rot(rot)?;
        let ok = flipped == 1 && !flips.is_empty();
        let said = match flips.is_empty() {
            true => "there is nothing durable whose bits could be flipped".to_owned(),
            false => format!(
                "a read saw {flipped} flipped bit of the probe's; {} bits of the node's flipped",
                flips.len()
            ),
        };
        Ok(DiskReport {
            flips,
            ..self.report(ok, &said, began)
        })
    }

    /// Where a write lands that should replace the first of all records.
    fn where_a_write_lands(&self) -> Result<Landed> {
        let new = record(!self.stamp);
        let write = || -> io::Result<(Vec<u8>, Vec<u8>)> {
            let before = self.records()?;
            self.file()?.write_all_at(&new, 0)?;
            Ok((before, self.records()?))
        };
        let written = write().map_err(Error::system(format!("write a probe on the disk of {}", self.node)));
        let (before, after) = written?;
        let is_elsewhere = || after.chunks(RECORD).skip(1).any(|record| record == new);
        Ok(match () {
            () if stands(&after, 0, &new) => Landed::There,
            () if before.get(..RECORD) == after.get(..RECORD) && is_elsewhere() => Landed::Elsewhere,
            () => Landed::Nowhere,
        })
    }

    /// All of the probe's file, past the kernel's cache, which holds what was to be written until it forgets.
    fn records(&self) -> io::Result<Vec<u8>> {
        let direct = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(self.path(FILE))?;
        let length = usize::try_from(direct.metadata()?.len()).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length.min(PROBE_BYTES_MAX)];
        let count = direct.read_at(&mut bytes, 0)?;
        bytes.truncate(count);
        Ok(bytes)
    }

    /// Makes the probe file, durably, while the disk is well.
    ///
    /// # Errors
    /// What the disk said.
    pub fn prepare(&self) -> Result<()> {
        let make = || -> io::Result<()> {
            let file = self.file()?;
            // All that is overwritten later exists then: a full disk lets nobody grow.
            file.write_all_at(&self.record(), 0)?;
            file.write_all_at(&self.record(), SYNCED_AT)?;
            // And all that is timed can be read: a disk that takes no writes may be slow, too.
            if file.metadata()?.len() < TIMED_BYTES_MAX {
                file.set_len(TIMED_BYTES_MAX)?;
            }
            file.sync_all()?;
            self.folder.sync_all()
        };
        make().map_err(Error::system(format!("write a probe on the disk of {}", self.node)))
    }

    /// Writes what a power cut has to take, and gives what it has to keep. Ends the use of the mount.
    ///
    /// # Errors
    /// What the disk said.
    pub fn leave(self) -> Result<Left> {
        self.prepare()?;
        let write = self.file().and_then(|file| {
            file.set_len(VOLATILE_AT)?;
            file.sync_all()?;
            file.write_all_at(&record(!self.stamp), VOLATILE_AT)
        });
        write.map_err(Error::system(format!("write a probe on the disk of {}", self.node)))?;
        Ok(Left {
            stamp: self.stamp,
            node: self.node,
            disk: self.disk,
        })
    }

    fn operate(&self, operation: Tried) -> io::Result<()> {
        match operation {
            Tried::Read => {
                // Past the kernel's cache.
                let direct = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(self.path(FILE))?;
                direct.read_at(&mut [0; RECORD], 0).map(drop)
            }
            Tried::Overwrite => self.file()?.write_all_at(&self.record(), 0),
            Tried::Grow => {
                let file = self.file()?;
                file.write_all_at(&self.record(), file.metadata()?.len())
            }
            Tried::Sync => self.file_to_read()?.sync_all(),
            Tried::Create => {
                let path = self.path(&format!("{FILE}.new"));
                OpenOptions::new().write(true).create_new(true).open(&path)?;
                fs::remove_file(path)
            }
            Tried::Rename => {
                let (from, to) = (self.path(FILE), self.path(&format!("{FILE}.renamed")));
                fs::rename(&from, &to)?;
                fs::rename(&to, &from)
            }
        }
    }

    /// Whether bytes that were synced would survive a power cut.
    fn sync_is_honest(&self) -> Result<bool> {
        // Other bytes than those that stand there.
        let bytes = record(!self.stamp);
        let sync = || -> io::Result<()> {
            let file = self.file()?;
            file.write_all_at(&bytes, SYNCED_AT)?;
            file.sync_data()?;
            // A sync of the node's may have come between the probe's renames.
            self.folder.sync_all()
        };
        sync().map_err(Error::system(format!("sync a probe on the disk of {}", self.node)))?;
        Ok(self
            .disk
            .durable_bytes(Path::new(FILE))?
            .is_some_and(|durable| stands(&durable, SYNCED_AT, &bytes)))
    }

    fn time_of_a_write(&self, bytes: usize) -> Result<Duration> {
        let file = self
            .file()
            .map_err(Error::system(format!("open a probe on the disk of {}", self.node)))?;
        let bytes = self.record().repeat(bytes.div_ceil(RECORD));
        let (took, done) = self.time(|| file.write_all_at(&bytes, 0));
        done.map_err(Error::system(format!("write a probe on the disk of {}", self.node)))?;
        Ok(took)
    }

    /// Past the kernel's cache. Whether it succeeds is another check's matter.
    fn time_of_a_read(&self, bytes: usize) -> Result<Duration> {
        let direct = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(self.path(FILE));
        let direct = direct.map_err(Error::system(format!("open a probe on the disk of {}", self.node)))?;
        let mut bytes = vec![0; bytes];
        Ok(self.time(|| direct.read_at(&mut bytes, 0)).0)
    }

    /// How long an operation takes of its own: not how long it waits for those of the node before its turn comes.
    fn time<T>(&self, operation: impl FnOnce() -> T) -> (Duration, T) {
        self.disk.take_queued();
        let began = Instant::now();
        let done = operation();
        let took = began.elapsed();
        (took.saturating_sub(self.disk.take_queued()), done)
    }

    fn file(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.open(self.path(FILE))
    }

    fn file_to_read(&self) -> io::Result<File> {
        File::open(self.path(FILE))
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new("/proc/self/fd").join(self.folder.as_raw_fd().to_string()).join(name)
    }

    fn record(&self) -> [u8; RECORD] {
        record(self.stamp)
    }

    fn report(&self, ok: bool, said: &str, began: Instant) -> DiskReport {
        DiskReport {
            ok,
            node: self.node.clone(),
            said: said.to_owned(),
            lost: None,
            flips: Vec::new(),
            took_us: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
        }
    }
}

impl Left {
    /// Cuts the power, and looks at what is left of the probe's bytes. `lies` says whether syncs did nothing before.
    ///
    /// # Errors
    /// If the disk's store fails.
    pub fn cut_power(self, cut: super::Cut, lies: bool) -> Result<DiskReport> {
        let began = Instant::now();
        let lost = self.disk.cut_power(cut)?;
        let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let bytes = self.disk.durable_bytes(Path::new(FILE))?.unwrap_or_default();
        let kept = stands(&bytes, 0, &record(self.stamp));
        let survived = stands(&bytes, VOLATILE_AT, &record(!self.stamp));
        let may_survive = matches!(cut, super::Cut::Torn(_));
        let said = format!(
            "synced bytes are {}, bytes that were not synced are {}",
            if kept { "there" } else { "gone" },
            if survived { "there" } else { "gone" }
        );
        Ok(DiskReport {
            // Where syncs lied nobody can say what a torn cut kept.
            ok: (kept || lies) && (!survived || may_survive) && (!lies || may_survive || !kept),
            node: self.node,
            said,
            lost: Some(lost),
            flips: Vec::new(),
            took_us,
        })
    }
}

/// Whether a record stands at a place of a file.
fn stands(bytes: &[u8], at: u64, record: &[u8; RECORD]) -> bool {
    let at = usize::try_from(at).expect("places are small");
    bytes.get(at..at + RECORD) == Some(&record[..])
}

fn record(stamp: u64) -> [u8; RECORD] {
    let mut record = [0x5a; RECORD];
    record[..8].copy_from_slice(&stamp.to_be_bytes());
    record
}

/// Where a write of the probe landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Landed {
    There,
    Elsewhere,
    Nowhere,
}

impl Landed {
    fn name(self) -> &'static str {
        match self {
            Landed::There => "where it should",
            Landed::Elsewhere => "elsewhere",
            Landed::Nowhere => "nowhere",
        }
    }
}

/// So many bytes that they take a twentieth of a second, within bounds.
fn timed_bytes(rate: NonZeroU64) -> usize {
    let bytes = (rate.get() / 20).clamp(RECORD as u64, TIMED_BYTES_MAX);
    usize::try_from(bytes).expect("at most 64 KiB").next_multiple_of(RECORD)
}

/// How a write is called: one of a single record by nothing.
fn of_bytes(bytes: usize) -> String {
    match bytes {
        RECORD => String::new(),
        _ => format!(" of {bytes} bytes"),
    }
}
