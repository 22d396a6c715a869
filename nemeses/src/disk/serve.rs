//! A disk and its control: what is wrong with it, its power, held syncs; and the thread that serves its mount.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fuser::{Config, Session, SessionACL};

use super::core::{Astray, Core, Flip, Lost, errno};
use super::forget::Forgets;
use super::gate::{Gate, Job, Later};
use super::probe::FILE as PROBE;
use super::requests::Requests;
use super::rules::{Cut, Rules};
use super::store::Store;
use super::trouble::{Operation, Rot, SyncTrouble, Trouble, time_of};
use crate::awake::keep_awake;
use crate::error::{Error, Result};

/// Where writes wait that no sync has asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Caching {
    /// With us: every write reaches the disk's log at once, and an error is that write's own.
    #[default]
    Through,
    /// In the kernel, which loses them in a power cut as any kernel does. Small writes cost a tenth; a full disk shows at the next sync only, and a torn
    /// cut can keep only what the kernel had written back.
    Back,
}

/// A disk that can lose power.
#[derive(Clone)]
pub struct Disk(Arc<Shared>);

/// A mount that is being served; it ends with the mount.
pub struct Served {
    thread: JoinHandle<io::Result<()>>,
}

pub(super) struct Shared {
    core: Mutex<Core>,
    trouble: Mutex<Trouble>,
    /// Nothing is wrong: the trouble need not be looked at.
    is_well: AtomicBool,
    /// Counts power cuts. What a mount of an earlier age still asks for is not done.
    age: AtomicU64,
    /// Operations of the node that failed because of the trouble.
    failures: AtomicU64,
    /// It was damaged for good.
    damaged: AtomicBool,
    /// Writes of the node that a misdirecting disk was asked for, and those that landed elsewhere.
    writes: AtomicU64,
    misplaced: AtomicU64,
    /// The most it may hold, in bytes, while it is packed.
    limit: AtomicU64,
    /// When the operations that were asked for until now are done, on a disk with a rate.
    busy_until: Mutex<Option<Instant>>,
    /// How long operations of probes waited for others with that, in nanoseconds.
    queued_ns: AtomicU64,
    gate: Gate,
    later: Later,
    forgets: Forgets,
}

impl Disk {
    /// A disk whose bytes are in `objects` and whose names are mirrored in `mirror`, two folders of one file system. What stands in the mirror is its
    /// first content.
    ///
    /// # Errors
    /// If the folders cannot be had.
    pub fn open(objects: &Path, mirror: &Path, rules: Rules) -> Result<Disk> {
        let open = || -> io::Result<Shared> {
            Ok(Shared {
                core: Mutex::new(Core::open(Store::new(objects, mirror)?, rules)?),
                trouble: Mutex::default(),
                is_well: AtomicBool::new(true),
                age: AtomicU64::new(0),
                failures: AtomicU64::new(0),
                damaged: AtomicBool::new(false),
                writes: AtomicU64::new(0),
                misplaced: AtomicU64::new(0),
                limit: AtomicU64::new(u64::MAX),
                busy_until: Mutex::default(),
                queued_ns: AtomicU64::new(0),
                gate: Gate::default(),
                later: Later::start()?,
                forgets: Forgets::start()?,
            })
        };
        let shared = open().map_err(Error::system(format!("open a disk in {}", objects.display())))?;
        Ok(Disk(Arc::new(shared)))
    }

    /// Serves a mounted device on a thread of its own until the mount is gone.
    ///
    /// # Errors
    /// If the kernel and we do not understand each other.
    pub fn serve(&self, device: OwnedFd, caching: Caching) -> Result<Served> {
        let requests = Requests::new(Arc::clone(&self.0), caching);
        let session = Session::from_fd(requests, device, SessionACL::All, Config::default()).map_err(Error::system("serve a disk"))?;
        let shared = Arc::clone(&self.0);
        shared.forgets.serve(Some(session.notifier()));
        let thread = std::thread::Builder::new().name("disk".into()).spawn(move || {
            let _awake = keep_awake();
            let ended = session.run();
            // Whoever keeps the device keeps the mount waiting for answers.
            shared.forgets.serve(None);
            ended
        });
        Ok(Served {
            thread: thread.map_err(Error::system("start a disk's thread"))?,
        })
    }

    /// Makes this wrong with the disk and nothing else. Its power is cut by [`Disk::cut_power`], not here.
    pub fn set_trouble(&self, trouble: Trouble) {
        let mut before = self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut core = self.0.core();
            core.lies = trouble.sync == Some(SyncTrouble::Lies);
            if trouble.packed && !before.packed {
                self.0.limit.store(core.used_bytes(), Ordering::Release);
            }
        }
        if trouble.misdirects != before.misdirects {
            self.0.writes.store(0, Ordering::Release);
        }
        let is_well = trouble == Trouble::default();
        let is_as_slow = trouble.is_as_slow_as(&before);
        *before = trouble;
        drop(before);
        self.0.is_well.store(is_well, Ordering::Release);
        if !is_as_slow {
            self.0.hurry();
        }
    }

    /// What is wrong with it.
    #[must_use]
    pub fn trouble(&self) -> Trouble {
        self.0.trouble().unwrap_or_default()
    }

    /// Flips bits of durable bytes, once, for good; whoever reads them from now on sees it. The probe's file is hit only if it is named. Says which
    /// they were: fewer than wanted if there is nothing durable.
    ///
    /// # Errors
    /// If the backing store fails.
    pub fn rot(&self, rot: &Rot) -> Result<Vec<Flip>> {
        let rotten = self.0.core().rot(rot, Path::new(PROBE));
        let (flips, stale) = rotten.map_err(Error::system("flip bits of a disk"))?;
        if !flips.is_empty() && rot.file.as_deref() != Some(PROBE) {
            self.0.damaged.store(true, Ordering::Release);
        }
        // Not while the core is held: the kernel may be waiting for an answer from it.
        self.0.forgets.now(&stale);
        Ok(flips)
    }

    /// Whether it was ever damaged for good, so that a program may rightly refuse what is on it.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.0.damaged.load(Ordering::Acquire)
    }

    /// How many writes of the node's processes landed elsewhere, since [`Disk::take_misplaced`].
    #[must_use]
    pub fn n_misplaced(&self) -> u64 {
        self.0.misplaced.load(Ordering::Acquire)
    }

    /// How many writes of the node's processes landed elsewhere, since this was asked last.
    pub fn take_misplaced(&self) -> u64 {
        self.0.misplaced.swap(0, Ordering::AcqRel)
    }

    /// How long operations that are no node's waited for their turn on a disk with a rate, since this was asked last. What is left of their time is
    /// their own.
    pub(super) fn take_queued(&self) -> Duration {
        Duration::from_nanos(self.0.queued_ns.swap(0, Ordering::AcqRel))
    }

    /// How many bytes more it may hold while it is packed; `None` if it is not.
    #[must_use]
    pub fn room(&self) -> Option<u64> {
        self.0.trouble().filter(|trouble| trouble.packed).map(|_| self.0.room())
    }

    /// Ends every mount that is served now: whatever it still asks for fails with `EIO`, what is held as well, and nothing of it is done. What is not
    /// durable stays until [`Disk::cut_power`].
    pub fn turn_off(&self) {
        let _core = self.0.core();
        self.0.age.fetch_add(1, Ordering::AcqRel);
        self.0.gate.abandon();
    }

    /// Cuts the power: what is not durable is lost, as far as `cut` says. Mounts that are served now answer `EIO` to everything from here on.
    /// Whoever wrote must be dead already: a program does not outlive its machine.
    ///
    /// # Errors
    /// If the backing store fails.
    pub fn cut_power(&self, cut: Cut) -> Result<Lost> {
        let mut core = self.0.core();
        self.0.age.fetch_add(1, Ordering::AcqRel);
        self.0.gate.abandon();
        core.lose_power(cut).map_err(Error::system("take back what was not durable"))
    }

    /// Holds the `nth` fsync from now (1 is the next) and all after it, until [`Disk::release`].
    pub fn hold_fsync(&self, nth: u64) {
        self.0.gate.hold(nth);
    }

    /// Has `asker` say of every fsync of the node's that would pass whether it is to be held; if so it is, and all after it, until [`Disk::release`].
    /// It is asked on the disk's own thread, so it must neither wait nor use the disk.
    pub fn ask_before_fsync(&self, asker: impl Fn() -> bool + Send + Sync + 'static) {
        self.0.gate.ask(Arc::new(asker));
    }

    /// Whether an fsync is held; waits up to `bound` for one.
    pub fn wait_held(&self, bound: Duration) -> bool {
        self.0.gate.wait_held(bound)
    }

    /// Lets held fsyncs do their work, and says how many they were.
    pub fn release(&self) -> usize {
        self.0.gate.release()
    }

    /// How many fsyncs the disk was asked for.
    pub fn fsyncs(&self) -> u64 {
        self.0.gate.seen()
    }

    /// How many operations of the node's processes failed because of what was wrong with the disk, since this was asked last.
    pub fn take_failures(&self) -> u64 {
        self.0.failures.swap(0, Ordering::AcqRel)
    }

    /// What a clean power cut would leave of a file, by its path below the mount; `None` if it would leave no such file.
    ///
    /// # Errors
    /// If the backing store fails.
    pub fn durable_bytes(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        let bytes = self.0.core().durable_bytes(path);
        bytes.map_err(Error::system(format!("look up what is durable of {}", path.display())))
    }
}

impl Served {
    /// Whether the mount is gone.
    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until the mount is gone.
    ///
    /// # Errors
    /// If it did not end by itself.
    pub fn join(self) -> Result<()> {
        match self.thread.join() {
            // A mount that goes while a request is on its way is aborted.
            Ok(Err(error)) if error.raw_os_error() == Some(libc::ECONNABORTED) => Ok(()),
            Ok(ended) => ended.map_err(Error::system("serve a disk")),
            Err(_) => Err(Error::Unusable("the thread of a disk panicked".into())),
        }
    }
}

impl Shared {
    pub(super) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn age(&self) -> u64 {
        self.age.load(Ordering::Acquire)
    }

    /// The core, for a mount of this age.
    pub(super) fn core_of(&self, age: u64) -> io::Result<MutexGuard<'_, Core>> {
        let core = self.core();
        // Under the lock: a power cut changes the age under it.
        if self.age() == age { Ok(core) } else { Err(errno(libc::EIO)) }
    }

    /// What is wrong now; `None` if nothing is.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        if self.is_well.load(Ordering::Acquire) {
            return None;
        }
        Some(self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Does an operation on so many bytes now, or later on a slow disk.
    pub(super) fn schedule(&self, trouble: Option<&Trouble>, bytes: u64, of_node: bool, job: Job) {
        match trouble.map_or(Duration::ZERO, |trouble| self.wait_of(trouble, bytes, of_node)) {
            Duration::ZERO => job(),
            wait => {
                self.later.after(wait, job);
                // It was healed in between.
                let now = self.trouble().unwrap_or_default();
                if trouble.is_some_and(|trouble| !trouble.is_as_slow_as(&now)) {
                    self.hurry();
                }
            }
        }
    }

    /// Nothing waits any longer for a slowness that is over: with a rate of 1 KiB/s one operation may have had a minute to go.
    fn hurry(&self) {
        *self.busy_until.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.later.hurry();
    }

    /// With a rate, one operation is done after the other.
    fn wait_of(&self, trouble: &Trouble, bytes: u64, of_node: bool) -> Duration {
        let delay = Duration::from_micros(trouble.delay_us);
        let Some(rate) = trouble.bytes_per_s.filter(|_| bytes > 0) else {
            return delay;
        };
        let now = Instant::now();
        let mut busy_until = self.busy_until.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = busy_until.map_or(now, |until| until.max(now));
        let done = turn + time_of(bytes, rate);
        *busy_until = Some(done);
        if !of_node {
            let queued_ns = u64::try_from((turn - now).as_nanos()).unwrap_or(u64::MAX);
            self.queued_ns.fetch_add(queued_ns, Ordering::AcqRel);
        }
        delay + (done - now)
    }

    /// How many bytes more a packed disk may hold.
    pub(super) fn room(&self) -> u64 {
        self.limit().saturating_sub(self.core().used_bytes())
    }

    /// How many bytes a packed disk may hold.
    pub(super) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Acquire)
    }

    /// The seed by which this write goes astray, if it does. Every write of a probe does.
    pub(super) fn goes_astray(&self, trouble: &Trouble, of_node: bool) -> Option<u64> {
        let misdirects = trouble.misdirects?;
        if !of_node {
            return Some(misdirects.seed);
        }
        let place = self.writes.fetch_add(1, Ordering::AcqRel);
        let is_due = place.is_multiple_of(u64::from(misdirects.every.get()));
        is_due.then(|| misdirects.seed.wrapping_add(place))
    }

    /// Does a write in another place than it should; `false` if there is none.
    pub(super) fn misdirect(&self, core: &mut Core, write: &Astray<'_>, seed: u64, of_node: bool) -> io::Result<bool> {
        let Some(stale) = core.misdirect(write, Path::new(PROBE), seed)? else {
            return Ok(false);
        };
        if of_node {
            self.misplaced.fetch_add(1, Ordering::AcqRel);
            self.damaged.store(true, Ordering::Release);
        }
        // The kernel holds the page of this very write until it is answered.
        self.forgets.soon(&stale);
        Ok(true)
    }

    /// Syncs, if nothing is wrong with that.
    pub(super) fn sync(&self, age: u64, ino: u64, only_data: bool, of_node: bool) -> io::Result<()> {
        let trouble = self.trouble().unwrap_or_default();
        let mut core = self.core_of(age)?;
        let broken = trouble.error(Operation::Sync, false).is_some();
        if broken || (trouble.sync == Some(SyncTrouble::Fails) && core.fail_sync(ino)) {
            self.count_failure(of_node);
            return Err(errno(libc::EIO));
        }
        core.sync(ino, only_data)
    }

    pub(super) fn count_failure(&self, of_node: bool) {
        self.failures.fetch_add(u64::from(of_node), Ordering::AcqRel);
    }

    pub(super) fn gate(&self) -> &Gate {
        &self.gate
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    /// A node that keeps a narrow disk busy makes a probe wait for its turn, which says nothing of the disk's rate.
    #[test]
    fn tells_what_a_probe_waits_for_others_from_what_it_takes_itself() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(&folder.path().join("objects"), &folder.path().join("mirror"), Rules::PosixStrict).unwrap();
        let narrow = Trouble {
            bytes_per_s: NonZeroU64::new(1_000),
            ..Trouble::default()
        };
        let second = Duration::from_secs(1);
        assert!(disk.0.wait_of(&narrow, 60_000, true) <= 60 * second);
        assert_eq!(disk.take_queued(), Duration::ZERO, "that was the node itself");
        let waits = disk.0.wait_of(&narrow, 2_000, false);
        let own = waits - disk.take_queued();
        assert_eq!(own.as_millis(), 2_000, "of {waits:?}");
        assert_eq!(disk.take_queued(), Duration::ZERO, "it is asked for once");
    }
}
