//! A node's place: its own network (made before), processes, mounts, host name, and a tiny pid 1.
//!
//! A plain daemon as pid 1 ignores SIGTERM and does not reap what its children leave, so an init of ours stands above it. Killing
//! that init kills the whole place at once, which is how `kill -9` of a node with many processes is one atomic act.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use squall_nemeses::clock::Follower;

use super::enter::die_with_parent;
use super::mounts::{self, SQUALL, Tree};
use crate::supervise::spawn_unblocked;

/// Everything needed to start one node in its place; travels as JSON in an argument.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Launch {
    /// The node's name, its host name too.
    pub node: String,
    /// Its network namespace, as a path.
    pub namespace: PathBuf,
    /// The run folder: read-only for the node …
    pub run_folder: PathBuf,
    /// … but for this folder in it.
    pub folder: PathBuf,
    /// Files of the control groups to join, by which a process joins them.
    pub doors: Vec<PathBuf>,
    /// What to run.
    pub command: NodeCommand,
    /// Its clocks, if they can be moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<NodeClock>,
}

/// The clocks of a node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeClock {
    /// The page that moves its wall clock.
    pub page: PathBuf,
    /// By how much its monotonic and boot-time clocks are ahead of the host's, in seconds.
    pub monotonic_offset_s: u64,
}

/// A command line with a clean environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeCommand {
    /// Absolute path of the program; [`NodeCommand::squall`] for the running binary.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its whole environment.
    pub env: BTreeMap<String, String>,
}

impl NodeCommand {
    /// `squall ARGS`, run from the binary of this very run.
    pub fn squall(args: Vec<String>) -> NodeCommand {
        NodeCommand {
            program: SQUALL.into(),
            args,
            env: BTreeMap::new(),
        }
    }

    /// The command as a person would type it, without the environment.
    pub fn line(&self) -> String {
        std::iter::once(self.program.display().to_string())
            .chain(self.args.iter().cloned())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// The running binary, as a program inside the sandbox.
pub fn squall_program() -> &'static str {
    SQUALL
}

impl Launch {
    /// The command that launches the node from inside the sandbox. Its standard output tells `init PID` and then `started`, once the
    /// node's own program runs; an end before that is a failure of the harness. Its standard error is the log of the node (both
    /// streams), its exit status is the node's.
    pub fn command(&self) -> Result<Command> {
        let mut command = Command::new(SQUALL);
        // A node can read its pid 1's environment, and the user's holds tokens.
        command
            .env_clear()
            .arg("__launch")
            .arg(serde_json::to_string(self).context("describe the launch")?);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }
}

/// First half (`squall __launch`): joins the node's network, makes its namespaces, starts its pid 1 and mirrors its end.
///
/// # Errors
/// Names the step that failed; a person finds it in the node's log.
pub fn launch(spec: &str) -> Result<i32> {
    let launch: Launch = serde_json::from_str(spec).context("read the launch")?;
    let network = File::open(&launch.namespace).with_context(|| format!("open {}", launch.namespace.display()))?;
    nix::sched::setns(&network, CloneFlags::CLONE_NEWNET).context("join the node's network")?;
    nix::sched::unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC)
        .context("make the node's namespaces")?;
    if let Some(clock) = launch.clock.as_ref().filter(|clock| clock.monotonic_offset_s > 0) {
        shift_monotonic(clock.monotonic_offset_s).context("make the node's time namespace")?;
    }
    let mut init = Command::new(SQUALL)
        .arg("__init")
        .arg(spec)
        .stdin(Stdio::piped())
        .spawn()
        .context("start the node's pid 1")?;
    tell(&format!("init {}", init.id()))?;
    // Only now may it say `started`: the lines come in this order.
    drop(init.stdin.take());
    let ended = init.wait().context("wait for the node's pid 1")?;
    Ok(mirror(ended))
}

/// Gives the children of this process monotonic clocks that began earlier (time_namespaces(7)).
fn shift_monotonic(offset_s: u64) -> Result<()> {
    nix::sched::unshare(CloneFlags::from_bits_retain(libc::CLONE_NEWTIME)).context("unshare")?;
    let offsets = format!("monotonic {offset_s} 0\nboottime {offset_s} 0\n");
    std::fs::write("/proc/self/timens_offsets", offsets).context("write /proc/self/timens_offsets")
}

/// Second half (`squall __init`): pid 1 of the node. Closes the file tree, starts the node, reaps, passes SIGTERM on.
///
/// # Errors
/// Names the step that failed.
pub fn init(spec: &str) -> Result<i32> {
    die_with_parent()?;
    let launch: Launch = serde_json::from_str(spec).context("read the launch")?;
    let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGCHLD]);
    signals.thread_block().context("block signals")?;
    let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC).context("open a signalfd")?;
    for door in &launch.doors {
        // 0 is whoever writes it.
        std::fs::write(door, "0").with_context(|| format!("join the control group of {}", door.display()))?;
    }
    nix::unistd::sethostname(&launch.node).context("set the host name")?;
    let files = [launch.command.program.clone()]
        .into_iter()
        .filter(|program| !program.starts_with("/run/squall"))
        .chain(launch.clock.iter().map(|clock| clock.page.clone()))
        .collect::<Vec<_>>();
    mounts::build(&Tree {
        writable: &launch.folder,
        squall: SQUALL.as_ref(),
        open: &[],
        files: &files,
        close: Some(&launch.run_folder),
        bare_devices: true,
    })?;
    mounts::guard_sysctls()?;
    // Ends when our pid was told.
    std::io::stdin().read_to_end(&mut Vec::new()).context("wait for the launcher")?;

    let log = std::io::stderr().as_fd().try_clone_to_owned().context("share the log")?;
    let mut node = Command::new(&launch.command.program);
    node.args(&launch.command.args)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", &launch.folder)
        .env("LANG", "C.UTF-8")
        .envs(&launch.command.env)
        .current_dir(&launch.folder)
        .stdin(Stdio::null())
        .stdout(log);
    let (node, follower) = start(&mut node, launch.clock.as_ref())?;
    tell("started")?;
    let node = Pid::from_raw(i32::try_from(node.id()).context("a pid fits 31 bits")?);
    loop {
        if let Some(code) = reap(node, follower.as_ref())? {
            return Ok(code);
        }
        let signal = signals.read_signal().context("read a signal")?;
        if signal.is_some_and(|signal| signal.ssi_signo == Signal::SIGTERM as u32) {
            // The node may have died this moment; the next round reaps it.
            let _ = nix::sys::signal::kill(node, Signal::SIGTERM);
        }
    }
}

/// Starts the node's program, with a clock that can be moved if it is to have one.
fn start(node: &mut Command, clock: Option<&NodeClock>) -> Result<(Child, Option<Follower>)> {
    match clock {
        Some(clock) => {
            let (child, follower) = squall_nemeses::clock::spawn(node, &clock.page, spawn_unblocked)?;
            Ok((child, Some(follower)))
        }
        None => {
            let child = spawn_unblocked(node).with_context(|| format!("start {}", node.get_program().display()))?;
            Ok((child, None))
        }
    }
}

/// One line to whoever launches the node.
fn tell(line: &str) -> Result<()> {
    let mut status = std::io::stdout().lock();
    writeln!(status, "{line}")
        .and_then(|()| status.flush())
        .with_context(|| format!("tell `{line}`"))
}

/// Reaps every dead child, and lets those go on that are followed; the exit code to mirror once the node itself is among the dead.
fn reap(node: Pid, follower: Option<&Follower>) -> Result<Option<i32>> {
    // Of a followed program the threads are followed too.
    let flags = WaitPidFlag::WNOHANG | WaitPidFlag::__WALL;
    loop {
        match waitpid(None, Some(flags)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == node => return Ok(Some(code)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == node => return Ok(Some(128 + signal as i32)),
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(None),
            Ok(status) => {
                if let Some(Err(error)) = follower.map(|follower| follower.heed(&status)) {
                    // It runs with the true time, which the watch before the load sees. It is no reason to end the node.
                    let _ = writeln!(std::io::stderr(), "squall: {error}");
                }
            }
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("reap"),
        }
    }
}

/// The exit code that tells a parent how a child ended: its own, or 128 and the signal, as shells do.
pub(super) fn mirror(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// What a mirrored exit code means, for a report.
pub fn describe_exit(code: i32) -> String {
    match Signal::try_from(code - 128) {
        Ok(signal) => format!("signal {} ({})", code - 128, signal.as_str()),
        Err(_) => format!("exit status {code}"),
    }
}
