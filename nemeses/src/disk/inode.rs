//! One file, directory or link, without its names.

use std::ffi::OsString;
use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use super::unsynced::Unsynced;

/// What an inode is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Link(OsString),
    /// A pipe or a socket, by the type bits of its mode: a name without bytes.
    Special(u32),
}

/// One inode.
#[derive(Debug)]
pub(super) struct Inode {
    pub(super) kind: Kind,
    /// Permission bits.
    pub(super) mode: u16,
    /// Those a power cut leaves, and the sequence of the first change since; `None` if they are the same.
    pub(super) durable_mode: Option<(u16, u64)>,
    /// Length of a file, in bytes.
    pub(super) length: u64,
    /// How many names it has.
    pub(super) links: u32,
    /// How many open handles.
    pub(super) open: u32,
    /// Its bytes, while it is open.
    pub(super) file: Option<Arc<File>>,
    /// What of its bytes is not durable.
    pub(super) unsynced: Option<Unsynced>,
    /// It was truncated to nothing since it was last closed.
    pub(super) truncated: bool,
    pub(super) accessed: SystemTime,
    pub(super) modified: SystemTime,
    pub(super) changed: SystemTime,
}

impl Inode {
    pub(super) fn new(kind: Kind, mode: u16) -> Inode {
        let now = now();
        Inode {
            kind,
            mode,
            durable_mode: None,
            length: 0,
            links: 1,
            open: 0,
            file: None,
            unsynced: None,
            truncated: false,
            accessed: now,
            modified: now,
            changed: now,
        }
    }

    pub(super) fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }
}

/// The wall clock, which file times are in (stat(2)). Nothing is measured by it.
pub(super) fn now() -> SystemTime {
    let now = clock_gettime(ClockId::Realtime);
    let seconds = Duration::from_secs(u64::try_from(now.tv_sec).unwrap_or(0));
    SystemTime::UNIX_EPOCH + seconds + Duration::from_nanos(u64::try_from(now.tv_nsec).unwrap_or(0))
}
