//! The node processes of a run: started, watched, asked whether they are ready.
//!
//! Every end of a node process is recorded, with what was known about it: asked for by a fault, or not.

mod comings;
mod log;
mod ready;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use squall_checker::history::mark::Finding;
use squall_nemeses::Target;
use squall_nemeses::disk::Disk;
use squall_nemeses::limits::{Groups, NodeGroup};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::comings::Comings;
use self::log::{Tail, pump_log};
use crate::clocks::Clocks;
use crate::record::{Pen, RunClock};
use crate::results::RunFolder;
use crate::sandbox::Star;
use crate::sandbox::disks::Disks;
use crate::sandbox::place::{Launch, NodeCommand, describe_exit};
use crate::systems::{Cast, Joining, Member, NodeFiles, System};

/// By which a node of ours is told how many nodes were started before it and with it (node/src/lamport.rs).
const START: &str = "SQUALL_START";

/// How long a process may take from its start to having a pid 1: generous, as only a broken sandbox ever exceeds it.
const LAUNCH_BOUND: Duration = Duration::from_secs(30);
/// Room on the disk below which a run ends: less than a second's worth of history and traces.
const FREE_BYTES_MIN: u64 = 1 << 20;
/// How long the rest of an ended process's log may take to be copied.
const LOG_BOUND: Duration = Duration::from_millis(500);

/// All nodes of the cluster under test: its members at first, and spare nodes, which faults let join and leave.
pub struct Cluster {
    system: Arc<dyn System>,
    /// The members, and behind them the spare nodes.
    nodes: Vec<Member>,
    n_members: usize,
    /// Who came into the cluster while it served, and who went.
    comings: Comings,
    /// Nodes that ran at any time.
    known: Mutex<BTreeSet<String>>,
    disks: Option<Disks>,
    places: BTreeMap<String, Place>,
    running: Mutex<BTreeMap<String, Running>>,
    /// Why the harness cannot go on, once a process of its own has failed.
    failure: watch::Sender<Option<String>>,
    /// How each node's last process ended.
    ends: Mutex<BTreeMap<String, String>>,
    /// The last incarnation each node told.
    incarnations: Mutex<BTreeMap<String, u64>>,
    /// How often any node was started.
    n_starts: AtomicU64,
    /// The nodes' clocks, if they can be moved.
    clocks: Option<Clocks>,
    pen: Pen,
    clock: RunClock,
}

struct Place {
    namespace: PathBuf,
    interface: String,
    folder: PathBuf,
    run_folder: PathBuf,
    files: NodeFiles,
    log: PathBuf,
    tail: Arc<Mutex<Tail>>,
    group: NodeGroup,
}

struct Running {
    init_pid: u32,
    /// Set before a fault ends the process, so that its end is no finding against the system.
    exit_expected: bool,
    /// It is to be no member any more, and may end by itself at any time from then on.
    departs: bool,
    watcher: JoinHandle<()>,
}

impl Cluster {
    /// Prepares the nodes' folders; starts nothing. The first `n_members` nodes are members, the others are spare. Below the run's groups each node
    /// gets one; at its gate it can be kept, if it has one.
    ///
    /// # Errors
    /// If a folder cannot be made.
    pub fn new(
        system: Arc<dyn System>,
        (star, n_members): (&Star, usize),
        folder: &RunFolder,
        (groups, disks, gate): (&Groups, Option<Disks>, Option<&'static str>),
        clocks: Option<Clocks>,
        pen: Pen,
        clock: RunClock,
    ) -> Result<Arc<Cluster>> {
        let mut nodes = Vec::new();
        let mut places = BTreeMap::new();
        for node in &star.nodes {
            let paths = folder.node(&node.id);
            paths.create()?;
            let member = Member {
                id: node.id.clone(),
                address: node.address,
            };
            let place = Place {
                namespace: node.namespace.clone(),
                interface: node.interface.clone(),
                folder: paths.root().to_owned(),
                run_folder: folder.root().to_owned(),
                files: NodeFiles {
                    data: paths.data(),
                    trace: paths.trace(),
                    gate,
                },
                log: paths.log(),
                tail: Arc::default(),
                group: NodeGroup::create(groups, &node.id)?,
            };
            places.insert(node.id.clone(), place);
            nodes.push(member);
        }
        let cluster = Arc::new(Cluster {
            system,
            n_members: n_members.min(nodes.len()),
            nodes,
            comings: Comings::default(),
            known: Mutex::default(),
            disks,
            places,
            running: Mutex::default(),
            failure: watch::Sender::new(None),
            ends: Mutex::default(),
            incarnations: Mutex::default(),
            n_starts: AtomicU64::new(0),
            clocks,
            pen,
            clock,
        });
        if cluster.system.joining() == Joining::Announced {
            cluster.spares().iter().for_each(|spare| cluster.comings.has_left(&spare.id));
        }
        for member in &cluster.nodes {
            let command = cluster.command(member);
            let path = folder.node(&member.id).command();
            std::fs::write(&path, command.line() + "\n").with_context(|| format!("write {}", path.display()))?;
        }
        Ok(cluster)
    }

    /// The members at first, in order of their numbers.
    pub fn members(&self) -> &[Member] {
        &self.nodes[..self.n_members]
    }

    /// All nodes: the members, and behind them the spare nodes.
    pub fn nodes(&self) -> &[Member] {
        &self.nodes
    }

    /// The spare nodes.
    pub fn spares(&self) -> &[Member] {
        &self.nodes[self.n_members..]
    }

    /// Whether a node is a spare one.
    pub fn is_spare(&self, node: &str) -> bool {
        self.spares().iter().any(|spare| spare.id == node)
    }

    /// Whether a node ran at any time, so that it has data.
    pub fn has_run(&self, node: &str) -> bool {
        self.known.lock().expect("no holder of this lock panics").contains(node)
    }

    /// Who came into the cluster while it served, and who went.
    pub(crate) fn comings(&self) -> &Comings {
        &self.comings
    }

    /// Says that a node that was announced serves. With `may_end` another fault may end it all the same.
    pub fn has_entered(&self, node: &str, may_end: bool) {
        self.comings.has_entered(node);
        if !may_end {
            self.expect_no_exit(node);
        }
    }

    fn command(&self, member: &Member) -> NodeCommand {
        let entry = self.comings.entry(&member.id);
        let cast = Cast {
            founders: self.members(),
            spares: self.spares(),
            entry: entry.as_ref(),
        };
        self.system.command(member, cast, &self.places[&member.id].files)
    }

    /// The system under test.
    pub fn system(&self) -> &Arc<dyn System> {
        &self.system
    }

    /// A node's disk, if the run has faults of disks.
    pub fn disk(&self, node: &str) -> Option<&Disk> {
        self.disks.as_ref()?.disk(node)
    }

    /// The nodes' clocks, if they can be moved.
    pub fn clocks(&self) -> Option<&Clocks> {
        self.clocks.as_ref()
    }

    /// Tells when a process of the harness itself has failed, and how.
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        self.failure.subscribe()
    }

    /// Whether a node's process runs (a paused one does).
    pub fn is_running(&self, node: &str) -> bool {
        self.running().contains_key(node)
    }

    /// What faults need to know about a node, now.
    ///
    /// # Panics
    /// If there is no such node: plans are validated before.
    pub fn target(&self, node: &str) -> Target {
        let place = &self.places[node];
        Target {
            id: node.to_owned(),
            address: self.member(node).address,
            namespace: place.namespace.clone(),
            interface: place.interface.clone(),
            init_pid: self.running().get(node).map(|running| running.init_pid),
            data: place.files.data.clone(),
        }
    }

    /// The control group in which a node's processes are.
    ///
    /// # Panics
    /// If there is no such node: plans are validated before.
    pub fn group(&self, node: &str) -> &NodeGroup {
        &self.places[node].group
    }

    /// The folder in which a node runs.
    ///
    /// # Panics
    /// If there is no such node: plans are validated before.
    pub fn folder(&self, node: &str) -> &Path {
        &self.places[node].folder
    }

    /// Starts a node that does not run.
    ///
    /// # Errors
    /// If its process cannot be made; the text carries what the launcher said.
    pub async fn start(self: &Arc<Self>, node: &str) -> Result<()> {
        if self.is_running(node) {
            bail!("{node} runs already");
        }
        let place = &self.places[node];
        let member = self.member(node);
        let mut command = self.command(member);
        let nth = self.n_starts.fetch_add(1, Ordering::Relaxed) + 1;
        // Whoever writes traces stamps their events.
        if self.system.traces() {
            command.env.insert(START.to_owned(), nth.to_string());
        }
        let launch = Launch {
            node: node.to_owned(),
            namespace: place.namespace.clone(),
            run_folder: place.run_folder.clone(),
            folder: place.folder.clone(),
            doors: place.group.doors(),
            command,
            disk: self.disks.as_ref().and_then(|disks| disks.door(node)).cloned(),
            clock: self.clocks.as_ref().map(|clocks| clocks.of_node(node)),
        };
        let mut child = Command::from(launch.command()?).spawn().with_context(|| format!("launch {node}"))?;
        let stdout = child.stdout.take().expect("stdout was asked to be a pipe");
        let stderr = child.stderr.take().expect("stderr was asked to be a pipe");
        let pump = tokio::spawn(pump_log(stderr, place.log.clone(), Arc::clone(&place.tail), self.clock.clone()));
        let mut said = BufReader::new(stdout.take(64)).lines();
        let heard = tokio::time::timeout(LAUNCH_BOUND, async {
            let init_pid = said.next_line().await.ok()??.strip_prefix("init ")?.parse::<u32>().ok()?;
            (said.next_line().await.ok()?? == "started").then_some(init_pid)
        });
        let heard = heard.await;
        let is_late = heard.is_err();
        let Some(init_pid) = heard.ok().flatten() else {
            // Before its own program runs, whatever fails is ours and not the system's.
            let _ = child.kill().await;
            let _ = tokio::time::timeout(LOG_BOUND, pump).await;
            let why = match (self.log_tail(node).join("; "), is_late) {
                (said, false) => said,
                (said, true) => format!("not within {} s; is the machine too busy? {said}", LAUNCH_BOUND.as_secs()),
            };
            bail!("{node} was not launched: {why}");
        };
        self.known.lock().expect("no holder of this lock panics").insert(node.to_owned());
        let watcher = tokio::spawn(Arc::clone(self).watch(node.to_owned(), child, pump));
        self.running().insert(
            node.to_owned(),
            Running {
                init_pid,
                exit_expected: self.may_rightly_end(node),
                departs: false,
                watcher,
            },
        );
        Ok(())
    }

    /// Says that a fault is about to end a node's process, or may end it.
    pub fn expect_exit(&self, node: &str) {
        if let Some(running) = self.running().get_mut(node) {
            running.exit_expected = true;
        }
    }

    /// Says that a node is about to be taken out of the members for good, upon which some systems end it; or, if not `departs`, that it certainly
    /// was not.
    pub fn expect_departure(&self, node: &str, departs: bool) {
        if let Some(running) = self.running().get_mut(node) {
            running.departs = departs;
        }
    }

    /// Says that whatever was asked about a node that is a member has come about by now, or never will, so that it is to stay.
    pub fn settle(&self, node: &str) {
        self.comings.settle(node);
        self.expect_departure(node, false);
        self.expect_no_exit(node);
    }

    /// Says that nothing may end a node's process any more, if it is to stay.
    pub fn expect_no_exit(&self, node: &str) {
        if let Some(running) = self.running().get_mut(node) {
            running.exit_expected = self.may_rightly_end(node);
        }
    }

    /// Whether it may end by itself at every start: what is damaged for good may rightly be refused, and so may who is no member.
    fn may_rightly_end(&self, node: &str) -> bool {
        self.is_damaged(node) || self.comings.may_end(node)
    }

    /// Whether its disk was damaged for good.
    fn is_damaged(&self, node: &str) -> bool {
        self.disk(node).is_some_and(Disk::is_damaged)
    }

    /// Waits until a node's process is gone and its end recorded.
    ///
    /// # Errors
    /// If it still runs after `bound`.
    pub async fn wait_gone(&self, node: &str, bound: Duration) -> Result<()> {
        let deadline = Instant::now() + bound;
        while self.is_running(node) {
            if Instant::now() > deadline {
                bail!("{node} still runs {} ms after it was killed", bound.as_millis());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Kills every node and waits for their ends; they are expected.
    pub async fn stop_all(&self) {
        let stopping: Vec<(u32, JoinHandle<()>)> = {
            let mut running = self.running();
            running.values_mut().for_each(|node| node.exit_expected = true);
            std::mem::take(&mut *running)
                .into_values()
                .map(|node| (node.init_pid, node.watcher))
                .collect()
        };
        for (init_pid, _) in &stopping {
            // A node that ended this moment is as good as a killed one.
            let _ = squall_nemeses::process::signal(*init_pid, squall_nemeses::process::Signal::Kill);
        }
        for (_, watcher) in stopping {
            let _ = tokio::time::timeout(Duration::from_secs(2), watcher).await;
        }
    }

    /// The last lines of a node's log.
    pub fn log_tail(&self, node: &str) -> Vec<String> {
        self.places[node]
            .tail
            .lock()
            .expect("no holder of this lock panics")
            .iter()
            .cloned()
            .collect()
    }

    /// A node as others see it.
    ///
    /// # Panics
    /// If there is no such node: plans are validated before.
    pub fn member(&self, node: &str) -> &Member {
        self.nodes
            .iter()
            .find(|member| member.id == node)
            .expect("nodes are named by validated plans")
    }

    fn running(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().expect("no holder of this lock panics")
    }

    async fn watch(self: Arc<Self>, node: String, mut child: Child, pump: JoinHandle<()>) {
        let status = child.wait().await.ok().and_then(|status| status.code());
        // The log ends with the process; its tail belongs to the finding.
        let _ = tokio::time::timeout(LOG_BOUND, pump).await;
        let Some(code) = status else {
            // The launcher mirrors its node's end in an exit code; killed itself, it says nothing about the node.
            self.failure.send_replace(Some(format!("the launcher of {node} was killed")));
            self.running().remove(&node);
            return;
        };
        self.ends
            .lock()
            .expect("no holder of this lock panics")
            .insert(node.clone(), describe_exit(code));
        let ended = self.running().remove(&node);
        // After `stop_all` the map is empty and nobody asks any more.
        let Some(ended) = ended else { return };
        // Nodes share the disk with the recording. One that ends for want of room on it says nothing about the system.
        let asked_for = ended.exit_expected || ended.departs;
        let no_room = !asked_for && is_full(&self.places[&node].run_folder);
        let expected = asked_for || no_room;
        let status = describe_exit(code)
            + if no_room {
                ", for want of room on the disk of the run folder"
            } else {
                ""
            };
        self.pen.finding(Finding::Exit {
            log_tail: if expected { Vec::new() } else { self.log_tail(&node) },
            node,
            expected,
            status,
        });
    }
}

/// Whether the disk has too little room for anybody to go on.
pub(crate) fn is_full(folder: &Path) -> bool {
    rustix::fs::statvfs(folder).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < FREE_BYTES_MIN)
}
