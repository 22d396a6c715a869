//! The kernel's requests, one method each: what is wrong with the disk first, then the core, then the answer.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use fuser::{
    BsdFileFlags, Errno, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig, LockOwner, OpenFlags,
    RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request,
    TimeOrNow, WriteFlags,
};

use super::answers::{BELIEVED, answer_attributes, answer_empty, answer_entry, attributes, listing, own_gid, own_uid};
use super::core::{Astray, BLOCK, Core, errno};
use super::inode::{Kind, now};
use super::serve::{Caching, Shared};
use super::trouble::{Operation, Trouble};

/// Longest write that the kernel sends in one request, in bytes.
const WRITE_BYTES_MAX: u32 = 1 << 20;

/// The requests of one mount.
pub(super) struct Requests {
    shared: Arc<Shared>,
    /// Of which age of the disk the mount is.
    age: u64,
    caching: Caching,
    /// What each open directory showed when its reading began.
    listings: Mutex<Listings>,
}

#[derive(Default)]
struct Listings {
    next: u64,
    open: HashMap<u64, Vec<(u64, FileType, OsString)>>,
}

impl Requests {
    pub(super) fn new(shared: Arc<Shared>, caching: Caching) -> Requests {
        let age = shared.age();
        Requests {
            shared,
            age,
            caching,
            listings: Mutex::default(),
        }
    }

    /// Does an operation on the disk and answers, at once or later, unless something is wrong with that.
    fn on_disk<T: 'static>(
        &self,
        asked_by: &Request,
        asked: Asked,
        work: impl FnOnce(&mut Core) -> io::Result<T> + Send + 'static,
        answer: impl FnOnce(io::Result<T>) + Send + 'static,
    ) {
        let Some(trouble) = self.shared.trouble() else {
            return answer(self.shared.core_of(self.age).and_then(|mut core| work(&mut core)));
        };
        let (shared, age) = (Arc::clone(&self.shared), self.age);
        let no_room = || (trouble.packed && asked.needs > self.shared.room()).then_some(libc::ENOSPC);
        let failure = trouble.error(asked.operation, asked.grows).or_else(no_room);
        let of_node = is_of_node(asked_by);
        if failure.is_some() {
            self.shared.count_failure(of_node);
        }
        self.later(&trouble, asked.moves, of_node, move || {
            answer(match failure {
                Some(number) => Err(errno(number)),
                None => shared.core_of(age).and_then(|mut core| work(&mut core)),
            });
        });
    }

    fn later(&self, trouble: &Trouble, moves: u64, of_node: bool, job: impl FnOnce() + Send + 'static) {
        self.shared.schedule(Some(trouble), moves, of_node, Box::new(job));
    }

    fn sync(&self, asked_by: &Request, ino: INodeNo, only_data: bool, reply: ReplyEmpty) {
        let (shared, age, of_node) = (Arc::clone(&self.shared), self.age, is_of_node(asked_by));
        let job = move || answer_empty(reply, shared.sync(age, ino.0, only_data, of_node));
        let gated = Arc::clone(&self.shared);
        let pass = move || {
            // A probe's fsync is none that somebody waits for.
            if of_node {
                gated.gate().pass(Box::new(job));
            } else {
                job();
            }
        };
        let trouble = self.shared.trouble();
        self.shared.schedule(trouble.as_ref(), 0, of_node, Box::new(pass));
    }

    /// Names a new inode and answers with it.
    fn make(&self, asked_by: &Request, parent: INodeNo, name: &OsStr, kind: Kind, mode: u32, reply: ReplyEntry) {
        let name = name.to_owned();
        let work = move |core: &mut Core| {
            let ino = core.create(parent.0, &name, kind, mode)?;
            attributes(core, ino)
        };
        self.on_disk(asked_by, Asked::new_name(), work, |made| answer_entry(reply, made));
    }

    fn quick<T>(&self, work: impl FnOnce(&mut Core) -> io::Result<T>) -> io::Result<T> {
        self.shared.core_of(self.age).and_then(|mut core| work(&mut core))
    }
}

impl Filesystem for Requests {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let _ = config.set_max_write(WRITE_BYTES_MAX);
        if self.caching == Caching::Back {
            let refused = config.add_capabilities(InitFlags::FUSE_WRITEBACK_CACHE);
            refused.map_err(|_| io::Error::new(io::ErrorKind::Unsupported, "the kernel has no write-back cache for FUSE"))?;
        }
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.quick(|core| {
            let ino = core.lookup(parent.0, name)?;
            attributes(core, ino)
        });
        answer_entry(reply, found);
    }

    fn getattr(&self, _request: &Request, ino: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        answer_attributes(reply, self.quick(|core| attributes(core, ino.0)));
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        accessed: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _changed: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _created: Option<SystemTime>,
        _flags_changed: Option<SystemTime>,
        _backed_up: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        if uid.is_some_and(|uid| uid != own_uid()) || gid.is_some_and(|gid| gid != own_gid()) {
            // Everything is its owner's: whoever runs the node.
            return reply.error(Errno::EPERM);
        }
        let time = |time: TimeOrNow| match time {
            TimeOrNow::SpecificTime(time) => time,
            TimeOrNow::Now => now(),
        };
        let (accessed, modified) = (accessed.map(time), modified.map(time));
        let work = move |core: &mut Core| {
            if let Some(mode) = mode {
                core.set_mode(ino.0, mode)?;
            }
            if let Some(size) = size {
                core.resize(ino.0, size)?;
            }
            core.set_times(ino.0, accessed, modified)?;
            attributes(core, ino.0)
        };
        let operation = if size.is_some() { Operation::Write } else { Operation::Names };
        self.on_disk(request, Asked::of(operation), work, |set| answer_attributes(reply, set));
    }

    fn readlink(&self, _request: &Request, ino: INodeNo, reply: ReplyData) {
        let target = self.quick(|core| match &core.inode(ino.0)?.kind {
            Kind::Link(target) => Ok(target.clone()),
            _ => Err(errno(libc::EINVAL)),
        });
        match target {
            Ok(target) => reply.data(target.as_encoded_bytes()),
            Err(error) => reply.error(error.into()),
        }
    }

    fn mknod(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, _device: u32, reply: ReplyEntry) {
        let kind = match mode & libc::S_IFMT {
            libc::S_IFREG => Kind::File,
            kind @ (libc::S_IFIFO | libc::S_IFSOCK) => Kind::Special(kind),
            _ => return reply.error(Errno::EPERM),
        };
        self.make(request, parent, name, kind, mode & !umask, reply);
    }

    fn mkdir(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        self.make(request, parent, name, Kind::Directory, mode & !umask, reply);
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        self.make(request, parent, name, Kind::Link(target.into()), 0o777, reply);
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.to_owned();
        let work = move |core: &mut Core| core.remove(parent.0, &name, false);
        self.on_disk(request, Asked::of(Operation::Names), work, |removed| answer_empty(reply, removed));
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.to_owned();
        let work = move |core: &mut Core| core.remove(parent.0, &name, true);
        self.on_disk(request, Asked::of(Operation::Names), work, |removed| answer_empty(reply, removed));
    }

    fn rename(&self, request: &Request, from: INodeNo, name: &OsStr, to: INodeNo, new_name: &OsStr, flags: RenameFlags, reply: ReplyEmpty) {
        let (name, new_name) = (name.to_owned(), new_name.to_owned());
        let work = move |core: &mut Core| {
            let (from, to) = ((from.0, name.as_os_str()), (to.0, new_name.as_os_str()));
            match flags {
                RenameFlags::RENAME_EXCHANGE => core.exchange(from, to),
                RenameFlags::RENAME_NOREPLACE => core.rename(from, to, false),
                flags if flags.is_empty() => core.rename(from, to, true),
                _ => Err(errno(libc::EINVAL)),
            }
        };
        self.on_disk(request, Asked::of(Operation::Names), work, |renamed| answer_empty(reply, renamed));
    }

    fn link(&self, request: &Request, ino: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let name = name.to_owned();
        let work = move |core: &mut Core| {
            core.link(ino.0, parent.0, &name)?;
            attributes(core, ino.0)
        };
        self.on_disk(request, Asked::new_name(), work, |linked| answer_entry(reply, linked));
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let is_to_write = flags.0 & libc::O_ACCMODE != libc::O_RDONLY;
        if is_to_write && self.shared.trouble().is_some_and(|trouble| trouble.read_only) {
            self.shared.count_failure(is_of_node(request));
            return reply.error(Errno::EROFS);
        }
        match self.quick(|core| core.open_inode(ino.0)) {
            Ok(()) => reply.opened(FileHandle(ino.0), FopenFlags::FOPEN_KEEP_CACHE),
            Err(error) => reply.error(error.into()),
        }
    }

    fn create(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, _flags: i32, reply: ReplyCreate) {
        let name = name.to_owned();
        let work = move |core: &mut Core| {
            let ino = core.create(parent.0, &name, Kind::File, mode & !umask)?;
            core.open_inode(ino)?;
            attributes(core, ino)
        };
        self.on_disk(request, Asked::new_name(), work, |made| match made {
            Ok(made) => reply.created(&BELIEVED, &made, Generation(0), FileHandle(made.ino.0), FopenFlags::empty()),
            Err(error) => reply.error(error.into()),
        });
    }

    fn read(
        &self,
        request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let work = move |core: &mut Core| {
            let mut bytes = vec![0; usize::try_from(size).map_err(|_| errno(libc::EINVAL))?];
            let count = core.read(ino.0, offset, &mut bytes)?;
            bytes.truncate(count);
            Ok(bytes)
        };
        self.on_disk(request, Asked::to_read(u64::from(size)), work, |read| match read {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error.into()),
        });
    }

    fn write(
        &self,
        request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        flags: OpenFlags,
        _lock: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let count = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let write = move |core: &mut Core, data: &[u8]| {
            core.write(ino.0, offset, data)?;
            if flags.0 & libc::O_DSYNC == 0 {
                Ok(())
            } else {
                core.sync(ino.0, flags.0 & libc::O_SYNC != libc::O_SYNC)
            }
        };
        let answer = move |written: io::Result<()>| match written {
            Ok(()) => reply.written(count),
            Err(error) => reply.error(error.into()),
        };
        let Some(trouble) = self.shared.trouble() else {
            // The usual way, without a copy of the bytes.
            return answer(self.quick(|core| write(core, data)));
        };
        let end = offset + data.len() as u64;
        let grows = trouble.full && self.quick(|core| Ok(core.inode(ino.0)?.length < end)).unwrap_or(true);
        let (data, of_node) = (data.to_vec(), is_of_node(request));
        let astray = self.shared.goes_astray(&trouble, of_node);
        let shared = Arc::clone(&self.shared);
        let work = move |core: &mut Core| {
            let bytes = data.as_slice();
            match astray {
                Some(seed) if shared.misdirect(core, &Astray { ino: ino.0, offset, bytes }, seed, of_node)? => write(core, &[]),
                _ => write(core, bytes),
            }
        };
        self.on_disk(request, Asked::to_write(u64::from(count), grows), work, answer);
    }

    fn fallocate(&self, request: &Request, ino: INodeNo, _handle: FileHandle, offset: u64, length: u64, mode: i32, reply: ReplyEmpty) {
        let work = move |core: &mut Core| core.allocate(ino.0, offset, length, mode);
        let grows = mode & libc::FALLOC_FL_PUNCH_HOLE == 0;
        let asked = Asked {
            moves: 0,
            ..Asked::to_write(if grows { length } else { 0 }, grows)
        };
        self.on_disk(request, asked, work, |done| answer_empty(reply, done));
    }

    fn release(
        &self,
        _request: &Request,
        _ino: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        _lock: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        let closed = self.quick(|core| {
            core.close(handle.0);
            Ok(())
        });
        answer_empty(reply, closed);
    }

    fn fsync(&self, request: &Request, ino: INodeNo, _handle: FileHandle, only_data: bool, reply: ReplyEmpty) {
        self.sync(request, ino, only_data, reply);
    }

    fn fsyncdir(&self, request: &Request, ino: INodeNo, _handle: FileHandle, only_data: bool, reply: ReplyEmpty) {
        self.sync(request, ino, only_data, reply);
    }

    fn opendir(&self, _request: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let mut listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        listings.next += 1;
        reply.opened(FileHandle(listings.next), FopenFlags::empty());
    }

    fn readdir(&self, _request: &Request, ino: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let mut listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        if offset == 0 || !listings.open.contains_key(&handle.0) {
            match self.quick(|core| listing(core, ino.0)) {
                Ok(listing) => listings.open.insert(handle.0, listing),
                Err(error) => return reply.error(error.into()),
            };
        }
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        for (place, (ino, kind, name)) in listings.open.get(&handle.0).into_iter().flatten().enumerate().skip(from) {
            if reply.add(INodeNo(*ino), place as u64 + 1, *kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(&self, _request: &Request, _ino: INodeNo, handle: FileHandle, _flags: OpenFlags, reply: ReplyEmpty) {
        self.listings.lock().unwrap_or_else(PoisonError::into_inner).open.remove(&handle.0);
        reply.ok();
    }

    fn statfs(&self, _request: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        let trouble = self.shared.trouble().unwrap_or_default();
        if trouble.packed {
            let (all, free) = (self.shared.limit() / BLOCK, self.shared.room() / BLOCK);
            let files = self.quick(|core| core.room()).map_or((0, 0), |room| (room.f_files, room.f_ffree));
            let block = u32::try_from(BLOCK).expect("4096");
            return reply.statfs(all, free, free, files.0, files.1, block, 255, block);
        }
        let is_full = trouble.full;
        match self.quick(|core| core.room()) {
            Ok(room) => {
                let (free, available) = if is_full { (0, 0) } else { (room.f_bfree, room.f_bavail) };
                reply.statfs(
                    room.f_blocks,
                    free,
                    available,
                    room.f_files,
                    room.f_ffree,
                    4096,
                    255,
                    u32::try_from(room.f_frsize).unwrap_or(4096),
                );
            }
            Err(error) => reply.error(error.into()),
        }
    }
}

/// An operation, as far as what is wrong with the disk matters to it.
#[derive(Clone, Copy)]
struct Asked {
    operation: Operation,
    /// Whether it makes something longer, or new.
    grows: bool,
    /// How much room it must find on a disk that is packed, in bytes.
    needs: u64,
    /// How many bytes it reads or writes.
    moves: u64,
}

impl Asked {
    fn of(operation: Operation) -> Asked {
        Asked {
            operation,
            grows: false,
            needs: 0,
            moves: 0,
        }
    }

    fn new_name() -> Asked {
        Asked {
            grows: true,
            needs: BLOCK,
            ..Asked::of(Operation::Names)
        }
    }

    fn to_read(moves: u64) -> Asked {
        Asked {
            moves,
            ..Asked::of(Operation::Read)
        }
    }

    /// Old bytes stay until the new ones stand, so that a write needs room even where it replaces others.
    fn to_write(moves: u64, grows: bool) -> Asked {
        Asked {
            grows,
            needs: moves.div_ceil(BLOCK) * BLOCK,
            moves,
            ..Asked::of(Operation::Write)
        }
    }
}

/// Whether a process of the node asks. The kernel gives pids as the mount's own pid namespace has them, and to whoever is not in it 0.
fn is_of_node(request: &Request) -> bool {
    request.pid() != 0
}
