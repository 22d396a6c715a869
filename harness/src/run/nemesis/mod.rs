//! The nemesis: plays the schedule, proves each injection and each heal, and records every stage.
//!
//! One lock holds the desired state of the world; whoever changes it applies the change and proves it before letting go, so stages of
//! different faults never interleave half-done.
//!
//! - this file: the schedule, each injection from its hour to its heal
//! - [`trigger`]: events that faults wait for
//! - [`roles`]: who is hit, settled when a fault is due
//! - [`inject`], [`heal`]: the two ends of a fault, with the proof that belongs to its mechanism
//! - [`still`]: the last look before a heal, at faults that may have ceased; [`last_look`]: after all heals, at everything
//! - [`beat`]: faults that come and go while they are in force
//! - [`apply`]: one change of the world, mechanism by mechanism: [`links`], [`balancer`], [`clocks`], [`limits`], [`process`], and what the system
//!   is asked for (`run/members.rs`), with the nodes that join and leave by it: [`spares`];
//!   and step by step where they are announced before they run: [`announced`], [`steps`]
//! - [`proofs`], [`stages`], [`back_end`]: what goes into the history
//!
//! A new kind of fault of a known mechanism needs nothing here. A new mechanism is a file beside [`links`], a line in [`apply`], and an arm in
//! [`inject`] and in [`heal`].

mod announced;
mod apply;
mod back_end;
mod balancer;
mod beat;
pub(crate) mod clocks;
mod disks;
mod heal;
mod inject;
mod last_look;
mod limits;
mod links;
mod process;
mod proofs;
mod roles;
mod spares;
mod stages;
mod steps;
mod still;
mod trigger;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use squall_nemeses::limits::descriptors::Descriptors;
use squall_nemeses::{Topology, World};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{Instrument, info_span};

use self::heal::Course;
use self::inject::Injected;
use super::binding::Activity;
use super::freeze::{self, FrozenNode};
use super::gate::Watch;
use super::network::Network;
use crate::cluster::Cluster;
use crate::plan::Injection;
use crate::record::Pen;

/// Injects and heals faults, and records their stages.
pub(super) struct Nemesis {
    cluster: Arc<Cluster>,
    network: Arc<Network>,
    pen: Pen,
    activity: Arc<Activity>,
    watch: Arc<Watch>,
    nodes: Vec<String>,
    /// The failure domains of the nodes, if they are in any.
    topology: Option<Topology>,
    world: Mutex<World>,
    /// Tells the bytes of one probe of a disk from those of another.
    stamp: AtomicU64,
    /// What nodes whose descriptors are limited had before.
    descriptors: std::sync::Mutex<BTreeMap<String, Descriptors>>,
    /// Healed faults whose spare nodes nobody confirmed to be out.
    lingering: std::sync::Mutex<BTreeSet<u64>>,
    /// Spare nodes that were ever to join.
    taken: std::sync::Mutex<BTreeSet<String>>,
    /// Held while members change, where that must be one after the other.
    turn: Mutex<()>,
    /// When a member came or went last, there.
    moved: std::sync::Mutex<Option<Instant>>,
}

impl Nemesis {
    /// A nemesis that has done nothing yet.
    pub(super) fn new(
        cluster: Arc<Cluster>,
        network: Arc<Network>,
        pen: Pen,
        activity: Arc<Activity>,
        watch: Arc<Watch>,
        topology: Option<Topology>,
    ) -> Arc<Nemesis> {
        let nodes = cluster.members().iter().map(|member| member.id.clone()).collect();
        Arc::new(Nemesis {
            cluster,
            network,
            pen,
            activity,
            watch,
            nodes,
            topology,
            world: Mutex::default(),
            stamp: AtomicU64::new(0),
            descriptors: std::sync::Mutex::default(),
            lingering: std::sync::Mutex::default(),
            taken: std::sync::Mutex::default(),
            turn: Mutex::default(),
            moved: std::sync::Mutex::default(),
        })
    }

    /// The nodes it torments.
    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Plays the whole schedule, from the beginning of the load to the end of the storm. Dropping the future leaves faults in force: call [`Nemesis::heal_all`] afterwards, always.
    ///
    /// # Errors
    /// When a mechanism fails; a fault that does not bite is no error but a probe that says so.
    pub(super) async fn play(self: &Arc<Self>, schedule: &[Injection], began: Instant, end: Instant) -> Result<()> {
        let mut lives = JoinSet::new();
        let late = end + self.cluster.system().join_bound();
        for (injection, is_last) in with_last_of_kind(schedule) {
            let last = Last {
                in_time: end - Duration::from_millis(injection.for_ms),
                late,
            };
            let span = info_span!("fault", id = injection.id, kind = injection.fault.kind());
            let times = Times {
                began,
                end,
                last: is_last.then_some(last),
            };
            lives.spawn(Arc::clone(self).live(injection.clone(), times).instrument(span));
        }
        while let Some(life) = lives.join_next().await {
            life.context("a fault's task")??;
        }
        Ok(())
    }

    /// Freezes all nodes, with the faults in force as they are. The schedule must not be played any more.
    pub(super) async fn freeze_all(&self) -> Vec<FrozenNode> {
        // Whatever was just being injected or healed ends first, so that nothing is resumed afterwards.
        let _world = self.world.lock().await;
        freeze::freeze_all(&self.cluster, &self.pen).await
    }

    /// One injection from its hour to its heal.
    async fn live(self: Arc<Self>, injection: Injection, times: Times) -> Result<()> {
        let Times { began, end, last } = times;
        let lasts = Duration::from_millis(injection.for_ms);
        tokio::time::sleep_until(began + Duration::from_millis(injection.at_ms)).await;
        let event = match &injection.when {
            None if injection.asks().leader => {
                // As for an event: so long that it can still stay as long as it should.
                self.await_leader(end - lasts).await;
                None
            }
            None => None,
            Some(when) => match self.wait_for(when, end - lasts).await {
                Ok(event) => Some(event),
                Err(why) => {
                    self.skip(&injection, format!("it waited for {when}, which {why}"), Injected::Not);
                    return Ok(());
                }
            },
        };
        let due = Instant::now();
        let injected = self.inject(&injection, event.as_ref(), last).await?;
        // Whoever was kept at the event goes on, into the fault.
        let packet = match event {
            Some(event) => event.let_go().await,
            None => None,
        };
        match injected {
            Injected::Not => Ok(()),
            Injected::As(resolved, since) => {
                // It lasts as long as planned, however long it waited for its role and its turn, but never past the storm for that, unless it came after it.
                let until = match last {
                    Some(_) if since >= end => since + lasts,
                    _ => (since + lasts).min(end.max(due + lasts)),
                };
                let beats = match injection.fault.pulse() {
                    Some(pulse) => Some(self.beat(injection.id, &resolved.state, pulse, until).await?),
                    None => None,
                };
                if resolved.state.balancer.no_ports {
                    self.keep_ports_used_up(until).await?;
                }
                tokio::time::sleep_until(until).await;
                self.heal(&injection, &resolved, Course { beats, packet }).await
            }
            Injected::Perhaps => {
                tokio::time::sleep_until(due + lasts).await;
                self.undo(injection.id).await
            }
        }
    }

    fn next_stamp(&self) -> u64 {
        self.stamp.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn show_in_force(&self, world: &World) {
        self.network.faults_in_force.store(world.active().count() as u64, Ordering::Relaxed);
    }
}

/// When a fault may be in force.
struct Times {
    /// The beginning of the load.
    began: Instant,
    /// The end of the storm.
    end: Instant,
    /// Of the last of its kind.
    last: Option<Last>,
}

/// How long the last fault of its kind waits if it cannot be yet: without it the kind might never bite, and the run prove nothing.
#[derive(Clone, Copy)]
struct Last {
    /// Until it could not stay any more as long as it should: for whatever is in its way, most of all other faults.
    in_time: Instant,
    /// Where the system makes it wait until nothing else is wrong.
    late: Instant,
}

/// Each injection, and whether it is the last of its kind.
fn with_last_of_kind(schedule: &[Injection]) -> Vec<(&Injection, bool)> {
    let mut seen = BTreeSet::new();
    let mut marked: Vec<_> = schedule
        .iter()
        .rev()
        .map(|injection| (injection, seen.insert(injection.fault.kind())))
        .collect();
    marked.reverse();
    marked
}

/// Runs blocking work off the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panic) if panic.is_panic() => bail!("a fault's mechanism panicked"),
        Err(error) => Err(anyhow!(error)),
    }
}
