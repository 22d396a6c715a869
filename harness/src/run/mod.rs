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
mod header;
mod held_fsync;
mod held_packet;
mod lifeline;
pub(crate) mod members;
pub(crate) mod nemesis;
mod network;
mod online;
mod phases;
pub mod stall;
mod trace_watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use squall_checker::history::mark::{EndReason, Finding};
use tokio::sync::watch;
use tracing::info;

use self::client_thread::ClientThread;
use self::gate::Watch;
use self::header::header;
use self::lifeline::{Stop, StopSwitch};
use self::network::Network;
use self::online::OnlineCheck;
use self::phases::Run;
use self::stall::StallMeter;
use self::trace_watch::TraceWatch;
use crate::clocks::Clocks;
use crate::cluster::Cluster;
use crate::plan::Plan;
use crate::record::{self, Recorder, RunClock};
use crate::results::RunFolder;
use crate::sandbox::Star;
use crate::sandbox::disks::Disks;
use crate::sandbox::enter::{self, Orders};
use crate::sandbox::groups::Provided;
use crate::systems::{System, SystemPlan};

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
    let star = Star::build(&plan.node_names(), plan.network_kind(), plan.topology.as_ref(), plan.overlay)
        .context("build the sandbox's network")?;
    // From here on there are threads, and this thread and all it starts are in the clients' namespace.
    let switch = StopSwitch::new();
    lifeline::listen(switch.clone()).context("listen to the outside")?;
    let network = Arc::new(Network::open(&star, &folder, &plan, &provided)?);
    let disks = match &provided.no_disks {
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
        (provided, disks, orders.hold_ms),
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
    (provided, disks, hold_ms): (Provided, Option<Disks>, Option<u64>),
) -> Result<()> {
    let clock = RunClock::start();
    let header = header(&plan, system.as_ref(), &folder, &network, &provided.left_out);
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
        true => Some(Clocks::create(&plan.node_names(), plan.seed).context("make clocks that can be moved")?),
        false => None,
    };
    // Where no disk holds an fsync, our nodes are kept at what comes right before.
    let gate = (plan.needs_gates() || (plan.holds_fsyncs() && disks.is_none())).then_some(gate::GATE);
    let cluster = Cluster::new(
        system,
        (&star, plan.system.nodes() as usize),
        &folder,
        (&provided.groups, disks, gate),
        clocks,
        pen.clone(),
        clock.clone(),
    )?;
    let events = Arc::new(Watch::default());
    if gate.is_some() {
        for member in cluster.nodes() {
            gate::open(&member.id, cluster.folder(&member.id), &events)?;
        }
    }
    if plan.holds_fsyncs() {
        for member in cluster.nodes() {
            if let Some(disk) = cluster.disk(&member.id) {
                held_fsync::watch(&member.id, disk, &events);
            }
        }
    }
    if plan.holds_packets() {
        held_packet::watch(&network, &events).context("have packets held")?;
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
    is_raft.then(|| plan.node_names().into_iter().map(trace).collect())
}

/// The nodes' disks, if any fault of the plan needs them.
fn open_disks(plan: &Plan, folder: &RunFolder) -> Result<Option<Disks>> {
    if !plan.needs_disks() {
        return Ok(None);
    }
    let nodes: Vec<_> = plan
        .node_names()
        .into_iter()
        .map(|node| (node.clone(), folder.disk(&node), folder.node(&node).data()))
        .collect();
    let disks = Disks::open(&nodes, Path::new("/run"), plan.disk_rules).context("open the nodes' disks")?;
    Ok(Some(disks))
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
