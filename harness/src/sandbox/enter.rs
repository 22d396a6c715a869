//! The way in: from the user's shell to pid 1 of a sandbox.
//!
//! [`Guardian::launch`] runs outside, [`enter`] is the process in between, and what [`enter`] starts is the inside.
//! Outside and inside talk over the standard input and output of the chain: the outside writes `go` (ids are mapped) and later
//! `stop` (ctrl-C); end of file means that the outside is dead. The process in between writes `unshared` or `refused`, the inside
//! `held …` when it holds frozen nodes, and its last words.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail};
use nix::sched::CloneFlags;
use nix::unistd::{getegid, geteuid};

use super::mounts::{self, Tree};
use crate::supervise::{Ended, Signals, spawn_unblocked};

/// Ids mapped for root: enough for every system account, and for databases that insist on a user of their own.
const MAPPED_IDS: u64 = 65_536;

/// First word of the line by which the inside tells that it holds frozen nodes.
const HELD: &str = "held ";

/// Most that the inside may say, in bytes: the nodes it holds and an explanation.
const SAID_BYTES_MAX: u64 = 1 << 20;

/// What the inside is to do beside the plan, and with what; handed on as arguments.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Orders {
    /// Stop at the first violation and hold the nodes for so many milliseconds
    #[arg(long)]
    pub hold_ms: Option<u64>,
    /// What the outside provides, as JSON
    #[arg(long)]
    pub provided: Option<String>,
}

/// The outside of a running sandbox.
pub struct Guardian {
    child: Child,
    /// Kept open: its end tells the inside that we are dead.
    lifeline: ChildStdin,
    /// Reads what the inside says until it ends.
    listener: JoinHandle<String>,
    signals: Signals,
}

/// How the inside ended.
pub struct Left {
    /// Its status, and whether it was asked to stop.
    pub ended: Ended,
    /// What it said last: why it failed.
    pub last_words: String,
}

impl Guardian {
    /// Starts `squall __inside FOLDER` as pid 1 of fresh namespaces. The calling process must have one thread only. With `hold_ms` in its orders the run stops
    /// at its first violation and holds the frozen nodes; `on_held` is then called, from another thread, with what the inside says about
    /// them and with the pid below which all of its processes are.
    ///
    /// # Errors
    /// When no namespaces can be had; the text names what refuses and what to type.
    pub fn launch(folder: &Path, orders: &Orders, on_held: fn(&str, u32)) -> Result<Guardian> {
        let signals = Signals::take()?;
        let chain = match start(folder, orders, true)? {
            Start::Entered(chain) => chain,
            Start::Refused(why) if geteuid().is_root() => match start(folder, orders, false)? {
                Start::Entered(chain) => chain,
                Start::Refused(again) => {
                    bail!("no namespaces to run in: {why}; without a user namespace: {again}; `squall doctor` says what to type")
                }
            },
            Start::Refused(why) => bail!("no user namespace to run in: {why}; `squall doctor` says what to type"),
        };
        let Chain { child, lifeline, answers } = chain;
        let pid = child.id();
        let listener = std::thread::Builder::new()
            .name("listener".into())
            .spawn(move || listen(answers, |held| on_held(held, pid)))
            .context("start the listener")?;
        Ok(Guardian {
            child,
            lifeline,
            listener,
            signals,
        })
    }

    /// Waits for the inside to end. The first SIGINT, SIGTERM or SIGHUP asks it to stop, the second kills it.
    ///
    /// # Errors
    /// Only if waiting itself fails.
    pub fn wait(mut self) -> Result<Left> {
        let lifeline = &mut self.lifeline;
        let ended = self.signals.wait_for(&mut self.child, |_| {
            // A broken pipe means that the inside is ending by itself.
            let _ = lifeline.write_all(b"stop\n");
        })?;
        // Nobody holds the other end of its pipe any more. A listener that panicked has told so.
        let last_words = self.listener.join().unwrap_or_default();
        Ok(Left { ended, last_words })
    }
}

/// Reads lines until the inside is gone. Its last words are those that tell of nothing else; a killed inside left none.
fn listen(answers: BufReader<ChildStdout>, on_held: impl Fn(&str)) -> String {
    let mut last_words = String::new();
    for line in answers.take(SAID_BYTES_MAX).lines().map_while(Result::ok) {
        match line.strip_prefix(HELD) {
            Some(held) => on_held(held),
            None => last_words = line,
        }
    }
    last_words.trim().to_owned()
}

/// The started process in between, and the pipes to it.
struct Chain {
    child: Child,
    lifeline: ChildStdin,
    answers: BufReader<ChildStdout>,
}

enum Start {
    Entered(Chain),
    Refused(String),
}

fn start(folder: &Path, orders: &Orders, user_namespace: bool) -> Result<Start> {
    let root = geteuid().is_root();
    let mut command = Command::new("/proc/self/exe");
    command
        .arg("__enter")
        .args(user_namespace.then_some("--user-namespace"))
        .args(orders.arguments())
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // A process group of its own: ctrl-C reaches us alone, and the nodes learn of it in order.
        .process_group(0);
    let mut child = spawn_unblocked(&mut command).context("start the sandbox process")?;
    let mut lifeline = child.stdin.take().expect("stdin was asked to be a pipe");
    let mut answers = BufReader::new(child.stdout.take().expect("stdout was asked to be a pipe"));
    let mut answer = String::new();
    answers.read_line(&mut answer).context("hear from the sandbox process")?;
    match answer.trim_end().split_once(' ').unwrap_or((answer.trim_end(), "")) {
        ("unshared", _) => {
            if user_namespace && root {
                map_root_ids(child.id())?;
            }
            lifeline.write_all(b"go\n").context("let the sandbox process go on")?;
            Ok(Start::Entered(Chain { child, lifeline, answers }))
        }
        (_, why) => {
            child.wait().context("wait for the refused sandbox process")?;
            Ok(Start::Refused(if why.is_empty() {
                "the sandbox process died".into()
            } else {
                why.into()
            }))
        }
    }
}

impl Orders {
    fn arguments(&self) -> impl Iterator<Item = String> {
        let hold = self.hold_ms.map(|hold_ms| format!("--hold-ms={hold_ms}"));
        let provided = self.provided.as_ref().map(|provided| format!("--provided={provided}"));
        hold.into_iter().chain(provided)
    }
}

/// Maps ids 0–65535 of the child's user namespace to the same ids here; only a process outside may map more than its own.
fn map_root_ids(pid: u32) -> Result<()> {
    for map in ["uid_map", "gid_map"] {
        let own = fs::read_to_string(format!("/proc/self/{map}")).with_context(|| format!("read own {map}"))?;
        let available = own
            .lines()
            .next()
            .and_then(|line| line.split_whitespace().nth(2))
            .and_then(|count| count.parse().ok());
        let count = available.unwrap_or(1u64).min(MAPPED_IDS);
        fs::write(format!("/proc/{pid}/{map}"), format!("0 0 {count}\n")).with_context(|| format!("write {map} of the sandbox"))?;
    }
    Ok(())
}

/// The process in between (`squall __enter`): unshares, waits until its ids are mapped, starts pid 1 and mirrors its end.
///
/// # Errors
/// When a step fails; a refused namespace is no error but the answer `refused` to the outside.
pub fn enter(folder: &Path, orders: &Orders, user_namespace: bool) -> Result<i32> {
    seal_descriptors().context("seal inherited descriptors")?;
    let mut flags =
        CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC;
    let (uid, gid) = (geteuid(), getegid());
    if user_namespace {
        flags |= CloneFlags::CLONE_NEWUSER;
    }
    if let Err(error) = nix::sched::unshare(flags) {
        answer(&format!("refused unshare: {}", error.desc()))?;
        return Ok(1);
    }
    // After unshare: becoming root of a new user namespace may clear the setting.
    die_with_parent()?;
    if user_namespace && !uid.is_root() {
        let mapped = fs::write("/proc/self/setgroups", "deny")
            .and_then(|()| fs::write("/proc/self/uid_map", format!("0 {uid} 1\n")))
            .and_then(|()| fs::write("/proc/self/gid_map", format!("0 {gid} 1\n")));
        if let Err(error) = mapped {
            answer(&format!("refused map of user ids: {error}"))?;
            return Ok(1);
        }
    }
    answer("unshared")?;
    if !heard_go() {
        return Ok(1); // the outside died before it could map our ids
    }
    let mut inside = Command::new("/proc/self/exe")
        .arg("__inside")
        .args(orders.arguments())
        .arg(folder)
        .spawn()
        .context("start pid 1 of the sandbox")?;
    let status = inside.wait().context("wait for pid 1 of the sandbox")?;
    Ok(super::place::mirror(status))
}

/// Reads `go\n` byte by byte: what follows in the pipe (`stop`) belongs to pid 1, and a buffer would swallow it.
fn heard_go() -> bool {
    let mut byte = [0u8; 1];
    (0..3).all(|_| matches!(nix::unistd::read(std::io::stdin().as_fd(), &mut byte), Ok(1)))
}

fn answer(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.write_all(b"\n"))
        .and_then(|()| stdout.flush())
        .context("answer the outside")
}

/// Marks every descriptor but the standard three close-on-exec: what a careless parent left open (a CI's pipe, an editor's socket) must not
/// reach a node through five generations.
#[allow(unsafe_code, reason = "no safe wrapper exists for close_range(2)")]
fn seal_descriptors() -> std::io::Result<()> {
    // SAFETY: with CLOSE_RANGE_CLOEXEC the call closes nothing and touches no memory; it only sets a flag on descriptors.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

/// Makes the kernel kill this process when the one that started it dies.
///
/// # Errors
/// If the kernel refuses, which it does not.
pub fn die_with_parent() -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).context("set the parent death signal")
}

/// Tells the outside why the inside fails; one line.
pub fn say_last_words(words: &str) {
    // An outside that is gone needs no explanation.
    let _ = answer(&words.replace('\n', " "));
}

/// Tells the outside that frozen nodes are held; `held` says which, on one line.
pub fn say_held(held: &str) {
    // An outside that is gone ends us by other means.
    let _ = answer(&format!("{HELD}{held}"));
}

/// First steps of pid 1 (`squall __inside`), before it starts a thread: dies with its parent and closes the file tree but for the run
/// folder and what is to stay `open`.
///
/// # Errors
/// Names the step that failed.
pub fn settle(folder: &Path, binaries: &[PathBuf], open: &[PathBuf]) -> Result<()> {
    die_with_parent()?;
    let squall = fs::read_link("/proc/self/exe").context("find the running binary")?;
    mounts::build(&Tree {
        writable: folder,
        squall: &squall,
        open,
        files: binaries,
        close: None,
        bare_devices: false,
    })
}
