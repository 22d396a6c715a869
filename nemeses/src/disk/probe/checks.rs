//! What a probe tries on a disk, and what has to come of it.

use std::io;

use super::super::{Operation, SyncTrouble, Trouble};

/// What a probe tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tried {
    Read,
    Overwrite,
    Grow,
    Sync,
    Rename,
    Create,
}

/// One thing tried, with the error number it has to end in.
pub(super) struct Check {
    pub(super) operation: Tried,
    pub(super) expected: Option<i32>,
}

impl Tried {
    pub(super) fn name(self) -> &'static str {
        match self {
            Tried::Read => "read",
            Tried::Overwrite => "overwrite",
            Tried::Grow => "append",
            Tried::Sync => "fsync",
            Tried::Rename => "rename",
            Tried::Create => "create",
        }
    }
}

/// What has to come of each operation where this is wrong with the disk, in the order in which they are tried.
pub(super) fn checks(trouble: &Trouble) -> Vec<Check> {
    let broken = |operation: Operation| trouble.error(operation, false);
    let packed = trouble.packed.then_some(libc::ENOSPC);
    let write = broken(Operation::Write).or(packed);
    // An fsync that fails does so once for what was written before it.
    let first_sync = broken(Operation::Sync).or((trouble.sync == Some(SyncTrouble::Fails) && write.is_none()).then_some(libc::EIO));
    let no_room = trouble.full.then_some(libc::ENOSPC);
    let check = |operation, expected| Check { operation, expected };
    vec![
        check(Tried::Read, broken(Operation::Read)),
        check(Tried::Overwrite, write),
        check(Tried::Sync, first_sync),
        check(Tried::Sync, broken(Operation::Sync)),
        check(Tried::Grow, write.or(no_room)),
        check(Tried::Rename, broken(Operation::Names)),
        check(Tried::Create, broken(Operation::Names).or(no_room).or(packed)),
    ]
}

/// Whether a sync that succeeds can be had, and so be told from a lie.
pub(super) fn syncs_can_be_judged(trouble: &Trouble) -> bool {
    let syncs = trouble.sync != Some(SyncTrouble::Fails) && !trouble.broken.contains(&Operation::Sync);
    syncs && trouble.lets_write() && trouble.misdirects.is_none()
}

pub(super) fn number(done: io::Result<()>) -> Option<i32> {
    done.err().map(|error| error.raw_os_error().unwrap_or(-1))
}

pub(super) fn outcome(seen: Option<i32>) -> String {
    match seen {
        None => "works".into(),
        Some(number) => format!("fails ({})", rustix::io::Errno::from_raw_os_error(number)),
    }
}
