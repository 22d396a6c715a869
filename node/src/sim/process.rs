//! One life of a node: its core, its log, its clocks, and what waits for it while it is paused. The same parts as in
//! [`driver`](crate::driver), without sockets.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::disk::SimDisk;
use crate::core::{Core, Effect, Event, Now, Stamp};
use crate::lamport::Lamport;
use crate::wal::{Batch, Wal};

/// Stands for the log's path in messages.
const WAL_NAME: &str = "the simulated disk";

/// What arrived for a core.
#[derive(Clone, Debug)]
pub(super) struct Inbound<M> {
    /// The sender's stamp.
    pub(super) stamp: Stamp,
    pub(super) event: Event<M>,
}

impl<M> Inbound<M> {
    /// Something that nobody sent.
    pub(super) fn of_kernel(event: Event<M>) -> Inbound<M> {
        let stamp = Stamp {
            incarnation: 0,
            lamport: 0,
        };
        Inbound { stamp, event }
    }
}

/// A wake on the agenda.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EnteredWake {
    /// What the core wanted.
    pub(super) wanted_ns: u64,
    /// When it will be.
    pub(super) due_ns: u64,
}

/// What the disk is to do in one go: replace the log, if there is a content, then append.
#[derive(Debug, Default)]
struct Work {
    content: Option<Vec<Vec<u8>>>,
    /// Records, replacements among them, that the content stands for.
    covered: u64,
    batch: Batch,
}

/// A running node.
pub(super) struct Process<C: Core> {
    core: C,
    pub(super) lamport: Lamport,
    pub(super) next_seq: u64,
    wal: Wal<SimDisk>,
    /// What is collected while the disk is busy.
    collecting: Work,
    /// Records at the disk; 0 if it is idle.
    at_disk: u64,
    /// Records of this life that are durable.
    durable: u64,
    /// Some while it is paused.
    inbox: Option<Vec<Inbound<C::Message>>>,
    /// The wake that is entered for it.
    pub(super) wake: Option<EnteredWake>,
}

impl<C: Core> Process<C> {
    /// Starts a life, the `nth` of all nodes: replays the log into the core. Returns how many records it held, too.
    ///
    /// # Errors
    /// Why the node refuses to start, in words.
    pub(super) fn start(core: C, nth: u64, disk: SimDisk) -> Result<(Process<C>, u64), String> {
        let mut core = core;
        let replay = || Wal::recover(disk, Path::new(WAL_NAME), &mut |record| core.load(record));
        let (wal, recovered) = caught(replay)?.map_err(|error| error.to_string())?;
        let process = Process {
            core,
            lamport: Lamport::of_start(nth),
            next_seq: 0,
            wal,
            collecting: Work::default(),
            at_disk: 0,
            durable: 0,
            inbox: None,
            wake: None,
        };
        Ok((process, recovered.records))
    }

    pub(super) fn core(&self) -> &C {
        &self.core
    }

    /// Steps the core.
    ///
    /// # Errors
    /// The message of its panic: a real process would have ended.
    pub(super) fn step(&mut self, now: Now, event: Event<C::Message>, effects: &mut Vec<Effect<C::Message>>) -> Result<(), String> {
        caught(|| self.core.step(now, event, effects))
    }

    /// Adds a record to the next batch.
    pub(super) fn append(&mut self, record: &[u8]) {
        self.collecting.batch.push(record);
    }

    /// Replaces the log by these records: what was collected before is in them.
    pub(super) fn replace(&mut self, records: Vec<Vec<u8>>) {
        let work = &mut self.collecting;
        work.covered += u64::from(work.batch.records()) + 1;
        work.batch.clear();
        work.content = Some(records);
    }

    /// Hands to the disk what was collected, unless it is busy or there is nothing: true if an fsync begins.
    pub(super) fn submit(&mut self) -> bool {
        let work = &mut self.collecting;
        let records = work.covered + u64::from(work.batch.records());
        if self.at_disk > 0 || records == 0 {
            return false;
        }
        self.at_disk = records;
        let replaced = work.content.take().map_or(Ok(()), |records| self.wal.replace(&records));
        let committed = replaced.and_then(|()| self.wal.commit(&mut work.batch));
        committed.expect("the simulated disk takes every write");
        work.batch.clear();
        work.covered = 0;
        true
    }

    /// The fsync returned: how many records of this life are durable.
    pub(super) fn synced(&mut self) -> u64 {
        self.durable += std::mem::take(&mut self.at_disk);
        self.durable
    }

    pub(super) fn is_paused(&self) -> bool {
        self.inbox.is_some()
    }

    pub(super) fn pause(&mut self) {
        self.inbox.get_or_insert_default();
    }

    /// Continues; returns what arrived meanwhile, what the disk said first, as the driver looks there first.
    pub(super) fn resume(&mut self) -> Vec<Inbound<C::Message>> {
        let mut inbox = self.inbox.take().unwrap_or_default();
        inbox.sort_by_key(|inbound| !matches!(inbound.event, Event::Durable { .. }));
        inbox
    }

    /// Keeps what arrives while it is paused; gives it back if it is not.
    pub(super) fn keep(&mut self, inbound: Inbound<C::Message>) -> Option<Inbound<C::Message>> {
        match &mut self.inbox {
            None => Some(inbound),
            Some(inbox) => {
                inbox.push(inbound);
                None
            }
        }
    }
}

/// Runs a core's code; its panic ends the simulated process, not the simulator. Whatever it left half-done is dropped with the core.
fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        format!("panicked: {}", text.unwrap_or("without a message"))
    })
}
