//! One run, inside its sandbox: start, warm up, storm, recover, read everything once more, end.
//!
//! Everything that decides the verdict goes into the history; nothing is judged here. The outside judges the file afterwards, by the
//! code of `squall check`.

mod back_off;
mod binding;
pub mod client_thread;
pub mod clients;
mod clock_watch;
mod figures;
mod final_reads;
pub mod freeze;
mod gate;
mod held_fsync;
mod lifeline;
pub(crate) mod members;
pub(crate) mod nemesis;
mod network;
mod online;
pub mod stall;
mod trace_watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use squall_checker::history::mark::{EndReason, Finding, Header};
use squall_nemeses::limits::Groups;
use squall_workloads::Workload;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::info;

use self::binding::{Activity, BALANCER, BoundClient};
use self::client_thread::ClientThread;
use self::clients::{ClientReport, Driver, Seat, Settings, drive_client};
use self::figures::Figures;
use self::freeze::{FrozenNode, Held};
use self::gate::Watch;
use self::lifeline::{Stop, StopSwitch};
use self::nemesis::Nemesis;
use self::network::Network;
use self::online::OnlineCheck;
use self::stall::StallMeter;
use self::trace_watch::TraceWatch;
use crate::clocks::Clocks;
use crate::cluster::Cluster;
use crate::plan::{Plan, node_names};
use crate::record::{self, Pen, Recorder, RunClock};
use crate::report::progress::{Progress, Tick};
use crate::report::stdout;
use crate::results::RunFolder;
use crate::sandbox::Star;
use crate::sandbox::disks::Disks;
use crate::sandbox::enter::{self, Orders};
use crate::sandbox::groups::Provided;
use crate::systems::{Member, System, SystemPlan};

/// Between two looks at the room on the disk.
const DISK_PAUSE: Duration = Duration::from_millis(200);

/// Runs the plan in `folder` as pid 1 of a fresh sandbox (`squall __inside`). With `hold_ms` in its orders it stops at the first violation and holds the
/// frozen nodes for so long.
///
/// # Errors
/// When the harness cannot do its work; what it recorded until then stays.
pub fn inside(folder: &Path, orders: &Orders) -> Result<i32> {
    let provided = orders.provided.as_deref().map(serde_json::from_str::<Provided>).transpose();
    let provided = provided.context("read what the outside provides")?.unwrap_or_default();
    let folder = RunFolder::at(folder);
    let text = std::fs::read_to_string(folder.plan()).context("read the plan")?;
    let mut plan = Plan::from_json(&text).map_err(|error| anyhow!(error)).context("read the plan")?;
    plan.leave_out(&provided.left_out);
    let system: Arc<dyn System> = plan.system.open()?.into();
    enter::settle(folder.root(), &system.binaries(), &provided.folders()).context("close the sandbox's file tree")?;
    crate::log::to_file(&folder.log())?;
    let star = Star::build(
        &node_names(plan.system.nodes()),
        plan.network_kind(),
        plan.topology.as_ref(),
        plan.overlay,
    )
    .context("build the sandbox's network")?;
    // From here on there are threads, and this thread and all it starts are in the clients' namespace.
    let switch = StopSwitch::new();
    lifeline::listen(switch.clone()).context("listen to the outside")?;
    let network = Arc::new(Network::open(&star, &folder, &plan, &provided)?);
    let disks = match provided.no_disks {
        None => open_disks(&plan, &folder)?,
        Some(_) => None,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start the runtime")?;
    let done = runtime.block_on(record(
        plan,
        system,
        star,
        network,
        folder,
        switch,
        (provided.groups, disks, orders.hold_ms),
    ));
    // Tasks that still wait for something die with the process: everything worth waiting for was waited for.
    runtime.shutdown_background();
    if let Err(error) = &done {
        enter::say_last_words(&format!("{error:#}"));
    }
    done.map(|()| 0)
}

/// Records the whole run, whatever happens, and the reason of its end.
async fn record(
    plan: Plan,
    system: Arc<dyn System>,
    star: Star,
    network: Arc<Network>,
    folder: RunFolder,
    switch: StopSwitch,
    (groups, disks, hold_ms): (Groups, Option<Disks>, Option<u64>),
) -> Result<()> {
    let clock = RunClock::start();
    let header = header(&plan, system.as_ref(), &folder, &network);
    let (recorder, tapped) = match hold_ms {
        // The online check knows registers, and none that hold several values.
        Some(_) if !plan.system.reads_are_sets() => {
            let (tap, tapped) = record::tap();
            let recorder = Recorder::create_tapped(&folder.history(), &header, clock.clone(), tap);
            (recorder, Some(tapped))
        }
        _ => (Recorder::create(&folder.history(), &header, clock.clone()), None),
    };
    let recorder = recorder.context("create the history")?;
    let pen = recorder.pen();
    if plan.pcap {
        network.capture(&folder, &clock)?;
    }
    watch_for(recorder.failed(), switch.clone(), Stop::RecordingFailed);
    let online = tapped
        .map(|tapped| OnlineCheck::start(tapped, pen.clone(), switch.clone()))
        .transpose()
        .context("start the online check")?;
    let traces = online_traces(&plan, &folder).filter(|_| hold_ms.is_some());
    let trace_watch = traces
        .map(|traces| TraceWatch::start(traces, pen.clone(), switch.clone()))
        .transpose()
        .context("start the trace watch")?;
    watch_disk(&folder, switch.clone());
    let stall = StallMeter::start(pen.clone()).context("start the stall meter")?;
    let clocks = match plan.moves_clocks() {
        true => Some(Clocks::create(&node_names(plan.system.nodes()), plan.seed).context("make clocks that can be moved")?),
        false => None,
    };
    // Where no disk holds an fsync, our nodes are kept at what comes right before.
    let gate = (plan.needs_gates() || (plan.holds_fsyncs() && disks.is_none())).then_some(gate::GATE);
    let cluster = Cluster::new(system, &star, &folder, (&groups, disks, gate), clocks, pen.clone(), clock.clone())?;
    let events = Arc::new(Watch::default());
    if gate.is_some() {
        for member in cluster.members() {
            gate::open(&member.id, cluster.folder(&member.id), &events)?;
        }
    }
    if plan.holds_fsyncs() {
        for member in cluster.members() {
            if let Some(disk) = cluster.disk(&member.id) {
                held_fsync::watch(&member.id, disk, &events);
            }
        }
    }
    watch_for(cluster.failure(), switch.clone(), Stop::HarnessError);
    let workload = plan
        .workload
        .open()
        .map_err(|error| anyhow!(error))
        .context("set up the workload")?;
    let clients = ClientThread::start().context("start the clients' thread")?;
    let run = Run {
        plan,
        workload,
        clients,
        cluster,
        network,
        events,
        pen: pen.clone(),
        clock,
        switch,
        stall,
        folder,
        hold: hold_ms.map(Duration::from_millis),
    };

    let ended = run.play().await;
    run.cluster.stop_all().await;
    if let Err(error) = run.network.stop_capture() {
        tracing::warn!(%error, "packets are not all written");
    }
    run.stall.stop();
    // The nodes' data folders show the same bytes; a run of which this is left over has them twice under two names.
    let _ = std::fs::remove_dir_all(run.folder.disks());
    let (reason, detail) = match ended {
        Ok(()) => (EndReason::Complete, None),
        Err(Stop::Interrupted) => (EndReason::Interrupted, None),
        Err(Stop::Violation(what)) => (EndReason::Violation, Some(what)),
        Err(Stop::RecordingFailed(why)) => (EndReason::HarnessError, Some(format!("the history cannot be written: {why}"))),
        Err(Stop::HarnessError(why)) => (EndReason::HarnessError, Some(why)),
    };
    if let Some(online) = online {
        online.end();
    }
    if let Some(trace_watch) = trace_watch {
        trace_watch.end();
    }
    info!(?reason, ?detail, "end");
    pen.finding(Finding::End { reason, detail });
    let recorded = tokio::task::spawn_blocking(move || recorder.close())
        .await
        .context("close the history")?;
    recorded.context("write the history")?;
    Ok(())
}

/// Where the nodes' traces are, if there are rules that can be asked of them while the run goes on.
fn online_traces(plan: &Plan, folder: &RunFolder) -> Option<BTreeMap<String, PathBuf>> {
    let trace = |node: String| {
        let path = folder.node(&node).trace();
        (node, path)
    };
    let is_raft = matches!(plan.system, SystemPlan::Raft(_));
    is_raft.then(|| node_names(plan.system.nodes()).into_iter().map(trace).collect())
}

/// The nodes' disks, if any fault of the plan needs them.
fn open_disks(plan: &Plan, folder: &RunFolder) -> Result<Option<Disks>> {
    if !plan.needs_disks() {
        return Ok(None);
    }
    let nodes: Vec<_> = node_names(plan.system.nodes())
        .into_iter()
        .map(|node| (node.clone(), folder.disk(&node), folder.node(&node).data()))
        .collect();
    let disks = Disks::open(&nodes, Path::new("/run"), plan.disk_rules).context("open the nodes' disks")?;
    Ok(Some(disks))
}

fn header(plan: &Plan, system: &dyn System, folder: &RunFolder, network: &Network) -> Header {
    Header {
        squall_history: 1,
        run: folder.name(),
        seed: plan.seed,
        clock: Default::default(),
        requested: plan.requested.clone(),
        system: describe(plan, system, network),
        nodes: node_names(plan.system.nodes()),
        workload: plan.workload.name().into(),
        clients: plan.workload.clients(),
        traces: system.traces(),
        extra: plan.header_extra(seats(plan)),
    }
}

/// The system, and the network where it is not the kernel's with cuts alone: figures of different ones are not to be compared.
fn describe(plan: &Plan, system: &dyn System, network: &Network) -> String {
    let network = network.label().map(|label| format!(", {label}")).unwrap_or_default();
    let extras = [(plan.overlay.is_some(), ", VXLAN"), (plan.balancer, ", behind a balancer")];
    let extras: String = extras.iter().filter(|(has, _)| *has).map(|(_, text)| *text).collect();
    let domains = plan.topology.as_ref().map_or_else(String::new, |topology| format!(", {topology}"));
    format!("{}, {} nodes{domains}{extras}{network}", system.describe(), plan.system.nodes())
}

/// Every process of the run gets a seat of its own: clients first, then one final reader per node.
fn seats(plan: &Plan) -> u32 {
    plan.workload.clients() + plan.system.nodes()
}

/// Throws the switch when something of the harness's own has failed.
fn watch_for(mut failure: watch::Receiver<Option<String>>, switch: StopSwitch, stop: fn(String) -> Stop) {
    tokio::spawn(async move {
        if let Ok(reason) = failure.wait_for(Option::is_some).await {
            switch.stop(stop(reason.clone().unwrap_or_default()));
        }
    });
}

/// Ends the run while there is still room for its end, and before the nodes fail for want of room.
fn watch_disk(folder: &RunFolder, switch: StopSwitch) {
    let root = folder.root().to_owned();
    tokio::spawn(async move {
        while !crate::cluster::is_full(&root) {
            tokio::time::sleep(DISK_PAUSE).await;
        }
        switch.stop(Stop::RecordingFailed("the disk of the run folder is full".into()));
    });
}

struct Run {
    plan: Plan,
    workload: Workload,
    clients: ClientThread,
    cluster: Arc<Cluster>,
    network: Arc<Network>,
    /// What happens on the nodes, for faults that wait for it.
    events: Arc<Watch>,
    pen: Pen,
    clock: RunClock,
    switch: StopSwitch,
    stall: StallMeter,
    folder: RunFolder,
    /// How long frozen nodes are held at a violation; none: it does not stop the run.
    hold: Option<Duration>,
}

/// The clients of a run, while they work.
struct Load {
    began: Instant,
    stop: watch::Sender<bool>,
    clients: Vec<JoinHandle<ClientReport>>,
}

impl Run {
    /// Plays all phases; an early end says why.
    async fn play(&self) -> Result<(), Stop> {
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
                let healed = nemesis.heal_all().await;
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
        let members: Arc<[Member]> = match self.network.balancer() {
            Some(address) => [Member {
                id: BALANCER.into(),
                address,
            }]
            .into(),
            None => self.cluster.members().into(),
        };
        let stop = watch::Sender::new(false);
        let began_ns = self.clock.now_ns();
        let clients = (0..self.plan.workload.clients())
            .map(|number| {
                let client = BoundClient::new(
                    Arc::clone(self.cluster.system()),
                    Arc::clone(&members),
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
