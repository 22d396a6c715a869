//! What the kernel is told: inodes as it wants them described, folders as it lists them, and replies.

use std::ffi::OsString;
use std::io;
use std::time::{Duration, SystemTime};

use fuser::{FileAttr, FileType, Generation, INodeNo, ReplyAttr, ReplyEmpty, ReplyEntry};

use super::core::Core;
use super::inode::{Inode, Kind};

/// How long the kernel may believe what we told it: nobody but the kernel changes anything.
pub(super) const BELIEVED: Duration = Duration::from_secs(3_600);

pub(super) fn listing(core: &Core, dir: u64) -> io::Result<Vec<(u64, FileType, OsString)>> {
    let entries = core.entries(dir)?.into_iter();
    entries.map(|(ino, name)| Ok((ino, file_type(core.inode(ino)?), name))).collect()
}

fn file_type(inode: &Inode) -> FileType {
    match inode.kind {
        Kind::File => FileType::RegularFile,
        Kind::Directory => FileType::Directory,
        Kind::Link(_) => FileType::Symlink,
        Kind::Special(libc::S_IFIFO) => FileType::NamedPipe,
        Kind::Special(_) => FileType::Socket,
    }
}

pub(super) fn attributes(core: &Core, ino: u64) -> io::Result<FileAttr> {
    let inode = core.inode(ino)?;
    let size = match &inode.kind {
        Kind::Link(target) => target.len() as u64,
        _ => inode.length,
    };
    Ok(FileAttr {
        ino: INodeNo(ino),
        size,
        blocks: size.div_ceil(512),
        atime: inode.accessed,
        mtime: inode.modified,
        ctime: inode.changed,
        crtime: SystemTime::UNIX_EPOCH,
        kind: file_type(inode),
        perm: inode.mode,
        nlink: core.links(ino),
        // An inode of an id that is not mapped here would make the kernel refuse to create in it.
        uid: own_uid(),
        gid: own_gid(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    })
}

pub(super) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

pub(super) fn own_gid() -> u32 {
    rustix::process::getegid().as_raw()
}

pub(super) fn answer_empty(reply: ReplyEmpty, done: io::Result<()>) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error.into()),
    }
}

pub(super) fn answer_entry(reply: ReplyEntry, made: io::Result<FileAttr>) {
    match made {
        Ok(made) => reply.entry(&BELIEVED, &made, Generation(0)),
        Err(error) => reply.error(error.into()),
    }
}

pub(super) fn answer_attributes(reply: ReplyAttr, known: io::Result<FileAttr>) {
    match known {
        Ok(known) => reply.attr(&BELIEVED, &known),
        Err(error) => reply.error(error.into()),
    }
}
