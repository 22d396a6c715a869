//! Snapshots: the state instead of the log that led to it (Ongaro and Ousterhout 2014, §7).
//!
//! A few entries before the snapshot stay in the log, so that a follower that is a little behind needs no snapshot.

use super::core::{RaftCore, Step};
use super::entry::Command;
use super::machine::Machine;
use super::membership::{Configs, Membership};
use super::message::{RaftBody, SnapshotPart};
use super::record::{self, Record, encode, first_part};
use crate::bugs::Bug;
use crate::core::Now;
use crate::members::Text;
use crate::trace::{Place, RaftEvent};

/// Bytes of a snapshot in one message, before its quotes are escaped: a frame takes more than six times as much.
const PART_BYTES_MAX: usize = 128 << 10;

/// The part of `--snapshot-every` that stays in the log in any case.
const KEPT_PART: u64 = 4;

/// A state and its place.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    /// The last entry in it.
    pub(super) last: Place,
    /// The configuration there.
    membership: Membership,
    data: Text,
}

impl Default for Snapshot {
    fn default() -> Snapshot {
        Snapshot {
            last: (0, 0),
            membership: Membership::default(),
            data: "".into(),
        }
    }
}

/// A snapshot that arrives, from the disk or from a leader.
#[derive(Debug)]
pub(super) struct Incoming {
    last: Place,
    membership: Membership,
    length: u64,
    data: String,
}

impl Incoming {
    pub(super) fn new(last: Place, membership: Membership, length: u64) -> Incoming {
        Incoming {
            last,
            membership,
            length,
            data: String::new(),
        }
    }

    fn is_complete(&self) -> bool {
        self.data.len() as u64 >= self.length
    }
}

/// A snapshot on its way to a member. It goes on even if a newer one is taken meanwhile.
#[derive(Debug)]
pub(super) struct Delivery {
    snapshot: Snapshot,
    offset: usize,
}

impl Delivery {
    pub(super) fn new(snapshot: &Snapshot) -> Delivery {
        Delivery {
            snapshot: snapshot.clone(),
            offset: 0,
        }
    }

    /// What the member lacks next.
    pub(super) fn part(&self) -> SnapshotPart {
        let Snapshot { last, membership, data } = &self.snapshot;
        SnapshotPart {
            last: *last,
            membership: membership.clone(),
            offset: self.offset as u64,
            length: data.len() as u64,
            data: first_part(&data[self.offset..], PART_BYTES_MAX).into(),
        }
    }

    /// The member says what it wants next: whether that is news.
    pub(super) fn goes_on(&mut self, index: u64, next: u64) -> bool {
        let next = usize::try_from(next).unwrap_or(usize::MAX);
        let is_news = index == self.snapshot.last.0 && next != self.offset && self.snapshot.data.is_char_boundary(next);
        if is_news {
            self.offset = next;
        }
        is_news
    }

    /// Whether a member that has everything up to `index` needs it no more.
    pub(super) fn is_contained_in(&self, index: u64) -> bool {
        index >= self.snapshot.last.0
    }
}

impl RaftCore {
    /// Sums up what is applied.
    pub(super) fn take_snapshot(&mut self, step: &mut Step<'_>) {
        let last_index = self.applied + u64::from(self.has(Bug::R22) && self.log.last_index() > self.applied);
        let Some(term_at) = self.log.term_at(last_index) else { return };
        self.snapshot = Snapshot {
            last: (last_index, term_at),
            membership: self.configs.at(self.applied).clone(),
            data: self.machine.encode().into(),
        };
        step.trace(RaftEvent::SnapTake {
            index: self.applied,
            term_at,
            state_hash: self.machine.hash(),
        });
        self.log.compact(self.compaction_index(step.now));
        self.configs.forget_before(self.applied);
        self.compact_disk(step);
    }

    /// Up to where the log is not needed any more. A leader keeps what a member lacks that answers, but no more than what led to the last
    /// two snapshots: under load a member is always a little behind, and a snapshot each time would only add to it.
    fn compaction_index(&self, now: Now) -> u64 {
        let every = self.config.snapshot_every;
        let enough = self.applied.saturating_sub(every / KEPT_PART);
        let slowest = self.slowest_heard(now).unwrap_or(enough);
        slowest.clamp(self.applied.saturating_sub(every).min(enough), enough)
    }

    /// Replaces the disk's log by what is still needed.
    fn compact_disk(&mut self, step: &mut Step<'_>) {
        let acquaintance = &self.acquaintance;
        let mut records = vec![encode(&Record::Identity(acquaintance.identity.clone()))];
        if acquaintance.is_confirmed {
            records.push(encode(&Record::Confirmed {}));
        }
        records.extend(acquaintance.births.iter().map(|(member, birth)| {
            encode(&Record::Met {
                member: member.clone(),
                birth: *birth,
            })
        }));
        records.push(encode(&self.hard_record()));
        let Snapshot { last, membership, data } = &self.snapshot;
        records.push(encode(&Record::Snapshot {
            last: *last,
            membership: membership.clone(),
            length: data.len() as u64,
        }));
        records.extend(record::parts(data).map(|part| encode(&Record::Part(part))));
        records.push(encode(&Record::Base(self.log.base())));
        records.extend(self.log.entries().map(|entry| encode(&Record::Entry(entry.clone()))));
        self.record_compaction(step, records);
    }

    /// A part of a snapshot on the disk.
    pub(super) fn load_part(&mut self, part: &Text) -> Result<(), String> {
        let mut incoming = self.incoming.take().ok_or("a part of a snapshot stands behind no snapshot")?;
        incoming.data.push_str(part);
        if !incoming.is_complete() {
            self.incoming = Some(incoming);
            return Ok(());
        }
        self.machine = Machine::decode(&incoming.data)?;
        self.log.reset(incoming.last);
        self.stand_on(incoming);
        Ok(())
    }

    /// The state machine is the snapshot's: what that says about everything else.
    fn stand_on(&mut self, incoming: Incoming) {
        let Incoming {
            last, membership, data, ..
        } = incoming;
        self.configs = Configs::new(last.0, membership.clone());
        for entry in self.log.entries() {
            if let Command::Config(later) = entry.command()
                && entry.index() > last.0
            {
                self.configs.push(entry.index(), later.clone());
            }
        }
        self.snapshot = Snapshot {
            last,
            membership,
            data: data.into(),
        };
        self.commit = self.commit.max(last.0);
        self.applied = last.0;
    }

    pub(super) fn on_snapshot(&mut self, step: &mut Step<'_>, from: &Text, part: SnapshotPart) {
        if part.last.0 <= self.commit && !self.has(Bug::R25) {
            // Everything in it is here: what is committed here is the leader's too.
            let last = (self.commit, self.log.term_at(self.commit).unwrap_or(0));
            return self.send_after_all(step, from, RaftBody::Appended { last });
        }
        let mut incoming = match self
            .incoming
            .take()
            .filter(|incoming| incoming.last == part.last && incoming.length == part.length)
        {
            Some(incoming) => incoming,
            None => Incoming::new(part.last, part.membership, part.length),
        };
        if part.offset == incoming.data.len() as u64 {
            incoming.data.push_str(&part.data);
        }
        if incoming.is_complete() {
            return self.install(step, from, incoming);
        }
        let (index, next) = (incoming.last.0, incoming.data.len() as u64);
        self.incoming = Some(incoming);
        self.send_after_hard(step, from, RaftBody::SnapshotReply { index, next });
    }

    /// Replaces the state machine. Of the log only what lies behind the snapshot stays, and only if the snapshot's last entry is in it.
    fn install(&mut self, step: &mut Step<'_>, from: &Text, incoming: Incoming) {
        let Ok(machine) = Machine::decode(&incoming.data) else {
            // A leader of another build: it sends it all again, and nothing is harmed.
            return;
        };
        let last = incoming.last;
        if !self.has(Bug::R24) {
            self.machine = machine;
        }
        let keeps_suffix = self.log.holds(last) || (self.has(Bug::R23) && self.log.last_index() > last.0);
        if keeps_suffix {
            self.log.compact(last.0);
        } else {
            self.log.reset(last);
        }
        self.stand_on(incoming);
        step.trace(RaftEvent::SnapInstall {
            index: last.0,
            term_at: last.1,
            state_hash: self.machine.hash(),
            from: from.clone(),
        });
        step.trace(RaftEvent::Commit {
            to: self.commit,
            term_at: last.1,
            by: "snapshot",
            term: self.hard.term,
        });
        self.trace_config(step, "committed");
        self.compact_disk(step);
        self.disk.replaced(self.log.last(), !keeps_suffix);
        self.send_after_all(step, from, RaftBody::Appended { last });
    }
}
