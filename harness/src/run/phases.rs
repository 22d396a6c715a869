//! The phases of a run: start, warm-up, storm, recovery, final reads; and a violation on the way, which stops all of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::anyhow;
use squall_checker::history::mark::Finding;
use squall_workloads::Workload;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::info;

use super::binding::{Activity, BALANCER, BoundClient};
use super::client_thread::ClientThread;
use super::clients::{ClientReport, Driver, Seat, Settings, drive_client};
use super::figures::{self, Figures};
use super::freeze::{self, FrozenNode, Held};
use super::gate::Watch;
use super::header::seats;
use super::lifeline::{Stop, StopSwitch};
use super::nemesis::Nemesis;
use super::network::Network;
use super::stall::StallMeter;
use super::{clock_watch, final_reads};
use crate::cluster::Cluster;
use crate::plan::Plan;
use crate::record::{Pen, RunClock};
use crate::report::progress::{Progress, Tick};
use crate::report::stdout;
use crate::results::RunFolder;
use crate::sandbox::enter;
use crate::systems::Member;

/// A run whose sandbox, recording and cluster are there.
pub(super) struct Run {
    pub(super) plan: Plan,
    pub(super) workload: Workload,
    pub(super) clients: ClientThread,
    pub(super) cluster: Arc<Cluster>,
    pub(super) network: Arc<Network>,
    /// What happens on the nodes, for faults that wait for it.
    pub(super) events: Arc<Watch>,
    pub(super) pen: Pen,
    pub(super) clock: RunClock,
    pub(super) switch: StopSwitch,
    pub(super) stall: StallMeter,
    pub(super) folder: RunFolder,
    /// How long frozen nodes are held at a violation; none: it does not stop the run.
    pub(super) hold: Option<Duration>,
}

/// The clients of a run, while they work.
struct Load {
    began: Instant,
    stop: watch::Sender<bool>,
    clients: Vec<JoinHandle<ClientReport>>,
}

impl Run {
    /// Plays all phases; an early end says why.
    pub(super) async fn play(&self) -> Result<(), Stop> {
        let bound = Duration::from_millis(self.plan.timing.start_bound_ms);
        self.unless_stopped(self.start_cluster(bound)).await??;
        self.unless_stopped(clock_watch::watch(&self.cluster, &self.pen)).await?;
        let activity = Activity::new(self.plan.workload.clients());
        let load = self.start_load(&activity);
        let figures = Figures::collect(Arc::clone(&self.cluster));
        let progress = self.show_progress(load.began, &activity);
        let nemesis = Nemesis::new(
            Arc::clone(&self.cluster),
            Arc::clone(&self.network),
            self.pen.clone(),
            activity,
            Arc::clone(&self.events),
            self.plan.topology.clone(),
        );

        let recovered = match self.storm(&load, &nemesis).await {
            // What a person is to find stays as it is.
            Err(stop @ Stop::Violation(_)) => Err(stop),
            stormed => {
                // Also when stopped early: nothing may stay cut or paused, or the last operations and the end would hang.
                let healed = match nemesis.heal_all().await {
                    Ok(()) if !self.plan.schedule.is_empty() => nemesis.last_look().await,
                    healed => healed,
                };
                match stormed.and(healed.map_err(|error| Stop::HarnessError(format!("{error:#}")))) {
                    Ok(()) => self.recover(&load).await,
                    stopped => stopped,
                }
            }
        };
        let _ = load.stop.send(true);
        let mut frozen = self.freeze_at_violation(&recovered, &nemesis).await;
        let keys = self.end_load(load).await;
        let finished = match recovered {
            Ok(()) => self.final_reads(keys).await,
            stopped => stopped,
        };
        progress.abort();
        figures.record(&self.pen, &self.network).await;
        // A client's task may have failed when everything else was done.
        let ended = finished.and(self.switch.reason().map_or(Ok(()), Err));
        if frozen.is_none() {
            frozen = self.freeze_at_violation(&ended, &nemesis).await;
        }
        if let (Err(Stop::Violation(why)), Some(nodes)) = (&ended, frozen) {
            self.hold(why, nodes).await;
        }
        ended
    }

    /// Lets every node say how it is, and freezes it, if a violation was seen.
    async fn freeze_at_violation(&self, ended: &Result<(), Stop>, nemesis: &Nemesis) -> Option<Vec<FrozenNode>> {
        let Err(Stop::Violation(_)) = ended else { return None };
        freeze::save_statuses(&self.cluster, &self.folder).await;
        Some(nemesis.freeze_all().await)
    }

    /// Waits, with everything frozen, until a person has seen enough.
    async fn hold(&self, why: &str, nodes: Vec<FrozenNode>) {
        let hold = self.hold.unwrap_or_default();
        if hold.is_zero() {
            stdout::note(&format!(
                "{why}; the nodes were frozen, their status, logs and data are in the run folder"
            ));
            return;
        }
        let held = Held {
            why: why.to_owned(),
            nodes,
            hold_ms: u64::try_from(hold.as_millis()).unwrap_or(u64::MAX),
        };
        enter::say_held(&serde_json::to_string(&held).expect("a held run has string keys"));
        tokio::select! {
            () = tokio::time::sleep(hold) => {}
            () = self.switch.asked_from_outside() => {}
        }
    }

    /// Waits for `work`, unless the run is to stop before.
    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, Stop> {
        tokio::select! {
            biased;
            stop = self.switch.thrown() => Err(stop),
            done = work => Ok(done),
        }
    }

    fn enter_phase(&self, name: &str) {
        info!(phase = name, "phase");
        self.stall.phase_ends();
        self.pen.finding(Finding::Phase { name: name.into() });
    }

    async fn start_cluster(&self, bound: Duration) -> Result<(), Stop> {
        let start = |member: &Member| {
            let (cluster, node) = (Arc::clone(&self.cluster), member.id.clone());
            tokio::spawn(async move {
                cluster.start(&node).await?;
                cluster
                    .wait_ready(&node, "start", bound)
                    .await
                    .ok_or_else(|| anyhow!("{node} never became ready"))
            })
        };
        let starts: Vec<_> = self.cluster.members().iter().map(start).collect();
        for start in starts {
            match start.await {
                Ok(Ok(status)) => info!(status = status.said, "ready"),
                Ok(Err(error)) => return Err(Stop::HarnessError(format!("{error:#}"))),
                Err(panic) => return Err(Stop::HarnessError(panic.to_string())),
            }
        }
        Ok(())
    }

    fn start_load(&self, activity: &Arc<Activity>) -> Load {
        self.enter_phase("warm-up");
        let (nodes, n_members): (Arc<[Member]>, usize) = match self.network.balancer() {
            Some(address) => {
                let balancer = Member {
                    id: BALANCER.into(),
                    address,
                };
                ([balancer].into(), 1)
            }
            None => (self.cluster.nodes().into(), self.cluster.members().len()),
        };
        let stop = watch::Sender::new(false);
        let began_ns = self.clock.now_ns();
        let clients = (0..self.plan.workload.clients())
            .map(|number| {
                let client = BoundClient::new(
                    Arc::clone(self.cluster.system()),
                    (Arc::clone(&nodes), n_members),
                    self.plan.bind,
                    number,
                    Arc::clone(activity),
                );
                let settings = Settings {
                    operation_timeout: self.operation_timeout(),
                    seed: self.plan.seed,
                    retry: self.plan.workload.options().retry,
                };
                let driver = Driver::new(Box::new(client), self.pen.clone(), self.seat(number), settings);
                self.clients
                    .spawn(drive_client(driver, self.workload.generator(number), began_ns, stop.subscribe()))
            })
            .collect();
        Load {
            began: Instant::now(),
            stop,
            clients,
        }
    }

    fn seat(&self, number: u32) -> Seat {
        Seat {
            number,
            of: seats(&self.plan),
        }
    }

    fn operation_timeout(&self) -> Duration {
        Duration::from_millis(self.plan.timing.operation_timeout_ms)
    }

    /// Warm-up and storm: the schedule, played to its end.
    async fn storm(&self, load: &Load, nemesis: &Arc<Nemesis>) -> Result<(), Stop> {
        let timing = self.plan.timing;
        self.unless_stopped(tokio::time::sleep_until(load.began + Duration::from_millis(timing.warm_up_ms)))
            .await?;
        self.enter_phase("storm");
        let end = load.began + Duration::from_millis(timing.warm_up_ms + timing.storm_ms);
        let played = self.unless_stopped(nemesis.play(&self.plan.schedule, load.began, end)).await?;
        played.map_err(|error| Stop::HarnessError(format!("{error:#}")))?;
        self.unless_stopped(tokio::time::sleep_until(end)).await
    }

    /// Load goes on; every node is asked until it is ready.
    async fn recover(&self, load: &Load) -> Result<(), Stop> {
        self.enter_phase("recovery");
        let began = Instant::now();
        let bound = Duration::from_millis(self.plan.timing.recovery_bound_ms);
        let ask = |member: &Member| {
            let (cluster, node) = (Arc::clone(&self.cluster), member.id.clone());
            tokio::spawn(async move { cluster.wait_ready(&node, "recovery", bound).await })
        };
        let live = self.cluster.members().iter().filter(|member| self.cluster.is_running(&member.id));
        let asks: Vec<_> = live.map(ask).collect();
        for ask in asks {
            // Not becoming ready is a finding, which the judge weighs.
            let _ = self.unless_stopped(ask).await?;
        }
        // If the storm ended late, clients still get half of the recovery to prove that the cluster serves again.
        let planned = load.began + Duration::from_millis(self.plan.timing.total_ms());
        let least = began + Duration::from_millis(self.plan.timing.recovery_ms / 2);
        self.unless_stopped(tokio::time::sleep_until(planned.max(least))).await
    }

    /// Waits for the clients to end their last operations; returns the keys they wrote.
    async fn end_load(&self, load: Load) -> BTreeSet<Arc<str>> {
        let mut written = BTreeSet::new();
        let (mut reconnects, mut succeeded_after_retry) = (0, 0);
        for client in load.clients {
            match client.await {
                Ok(report) => {
                    reconnects += report.reconnects;
                    succeeded_after_retry += report.succeeded_after_retry;
                    written.extend(report.written);
                }
                Err(panic) => self.switch.stop(Stop::HarnessError(format!("a client's task: {panic}"))),
            }
        }
        figures::record_clients(&self.pen, reconnects, succeeded_after_retry);
        written
    }

    async fn final_reads(&self, keys: BTreeSet<Arc<str>>) -> Result<(), Stop> {
        self.enter_phase("final");
        let bound = Duration::from_millis(self.plan.timing.recovery_bound_ms);
        let first = self.seat(self.plan.workload.clients());
        let reads = final_reads::read_everything(
            &self.cluster,
            &self.pen,
            self.workload.kind().read(),
            keys,
            first,
            self.operation_timeout(),
            bound,
        );
        self.unless_stopped(reads).await
    }

    fn show_progress(&self, began: Instant, activity: &Arc<Activity>) -> JoinHandle<()> {
        let timing = self.plan.timing;
        let (network, activity) = (Arc::clone(&self.network), Arc::clone(activity));
        tokio::spawn(async move {
            let mut progress = Progress::start(Duration::from_millis(timing.total_ms()));
            let mut beat = tokio::time::interval(Duration::from_millis(100));
            loop {
                beat.tick().await;
                let elapsed = began.elapsed();
                let phase = timing.phase_at(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
                let (operations, faults) = (activity.completed(), network.faults_in_force.load(Ordering::Relaxed));
                progress.tick(Tick {
                    elapsed,
                    operations,
                    faults,
                    phase,
                });
            }
        })
    }
}
