//! What the end-to-end tests share: the program under test, a folder of its own, and looks at the host.

#![allow(clippy::print_stderr, reason = "a skipped test says so")]
#![allow(dead_code, unreachable_pub, reason = "each test file is a crate of its own and uses its own part")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Runs take turns: they would steal each other's cores, and stalls make verdicts unknown.
static TURN: Mutex<()> = Mutex::new(());

/// The program, with a results folder of its own.
pub struct Squall {
    folder: TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// What a command said.
pub struct Said {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    /// Everything, for an assertion's message.
    pub fn text(&self) -> String {
        format!("{}\n--- stdout\n{}\n--- stderr\n{}", self.status, self.stdout, self.stderr)
    }
}

impl Squall {
    pub fn new() -> Squall {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Squall {
            folder: tempfile::tempdir().expect("a temporary folder"),
            _turn: turn,
        }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The newest run.
    pub fn latest(&self) -> PathBuf {
        std::fs::canonicalize(self.folder().join("results/latest")).unwrap_or_else(|_| self.folder().join("results/latest"))
    }

    pub fn spawn(&self, args: &[&str]) -> Child {
        self.spawn_with(args, &[])
    }

    pub fn spawn_with(&self, args: &[&str], env: &[(&str, &str)]) -> Child {
        self.spawn_program(Path::new(env!("CARGO_BIN_EXE_squall")), args, env)
    }

    /// Starts another copy of the program.
    pub fn spawn_program(&self, program: &Path, args: &[&str], env: &[(&str, &str)]) -> Child {
        let mut command = self.command(program, args);
        command.envs(env.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the program can be started")
    }

    /// What a command that must succeed writes to stdout, where that is no text.
    pub fn run_for_bytes(&self, args: &[&str]) -> Vec<u8> {
        let output = self.spawn(args).wait_with_output().expect("the program can be awaited");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Starts it with a stderr of the caller's, such as a terminal, and without a stdout.
    pub fn spawn_on(&self, args: &[&str], stderr: Stdio) -> Child {
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_squall")), args);
        command.stdout(Stdio::null()).stderr(stderr);
        command.spawn().expect("the program can be started")
    }

    fn command(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(self.folder())
            // How the test finds the processes of its own runs among all others.
            .env("SQUALL_TEST", self.mark())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Said {
        finish(self.spawn(args))
    }

    fn mark(&self) -> String {
        self.folder().display().to_string()
    }

    /// Processes of this program's runs: those that carry the test's folder in their command line or environment.
    pub fn processes(&self) -> Vec<String> {
        let mark = self.mark();
        let carries = |file: PathBuf| std::fs::read(file).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(&mark));
        std::fs::read_dir("/proc")
            .expect("/proc can be read")
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| {
                path.join("stat").exists() && path.file_name().is_some_and(|name| name != std::process::id().to_string().as_str())
            })
            .filter(|path| carries(path.join("cmdline")) || carries(path.join("environ")))
            .map(|path| String::from_utf8_lossy(&std::fs::read(path.join("cmdline")).unwrap_or_default()).replace('\0', " "))
            .collect()
    }

    /// Waits until `condition` holds.
    pub fn wait_for(&self, what: &str, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !condition() {
            assert!(Instant::now() < deadline, "waited 30 s for {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

pub fn finish(child: Child) -> Said {
    let output = child.wait_with_output().expect("the program can be awaited");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said {
        status: output.status,
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

pub fn exit_code(said: &Said) -> i32 {
    said.status.code().unwrap_or(-1)
}

pub fn interrupt(child: &Child) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid fits"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("the program can be signalled");
}

/// The program, if this machine can make its sandbox.
pub fn sandbox_or_skip() -> Option<Squall> {
    let squall = Squall::new();
    let doctor = squall.run(&["doctor"]);
    if exit_code(&doctor) == 0 {
        return Some(squall);
    }
    skip("this machine cannot make the sandbox; see `squall doctor`");
    None
}

/// The program, if nodes can also have disks of ours here.
pub fn disks_or_skip() -> Option<Squall> {
    let squall = sandbox_or_skip()?;
    match std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse") {
        Ok(_) => Some(squall),
        Err(error) => {
            skip(&format!("no disk of ours can be mounted: {error}"));
            None
        }
    }
}

/// Runs a cluster with this schedule alone, planned with these options, and returns the stages of its faults, each with its `time`.
pub fn play(squall: &Squall, system: &str, options: &[&str], schedule: &[Value]) -> Vec<Value> {
    let words = [&["plan", system, "--faults", "none", "--seed", "4"], options].concat();
    let plan = squall.run(&words);
    let mut plan: Value = serde_json::from_str(&plan.stdout).unwrap_or_else(|error| panic!("{error}: {}", plan.text()));
    plan["schedule"] = json!(schedule);
    let path = squall.folder().join("plan.json");
    std::fs::write(&path, plan.to_string()).expect("a plan");
    let run = squall.run(&["run", "--plan", &path.display().to_string()]);
    // A run this short need not prove anything about the store; it must not accuse it, nor fail.
    assert!(matches!(exit_code(&run), 0 | 2 | 3), "{}", run.text());
    let history = std::fs::read_to_string(squall.latest().join("history.jsonl")).expect("a history");
    let events = history.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events
        .filter(|event| event["process"] == "nemesis")
        .map(|event| {
            let mut stage = event["value"].clone();
            stage["time"] = event["time"].clone();
            stage
        })
        .collect()
}

/// The first stage of this name of a fault.
pub fn stage(stages: &[Value], id: u64, name: &str) -> Value {
    let found = stages.iter().find(|stage| stage["id"] == id && stage["stage"] == name);
    found.unwrap_or_else(|| panic!("fault {id} was never {name}: {stages:?}")).clone()
}

/// What the proofs of a stage that is as it should be say.
pub fn said(stages: &[Value], id: u64, name: &str) -> String {
    let stage = stage(stages, id, name);
    assert_eq!(stage["probe"]["ok"], true, "{stage}");
    let probe = &stage["probe"];
    let proofs = probe["proofs"].as_array().cloned().unwrap_or_else(|| vec![probe["proof"].clone()]);
    proofs
        .iter()
        .filter_map(|proof| proof["answered"]["said"].as_str())
        .collect::<Vec<_>>()
        .join("; ")
}

/// The nodes of the history's end that its final reads were answered by.
pub fn final_readers(squall: &Squall) -> Vec<String> {
    let history = std::fs::read_to_string(squall.latest().join("history.jsonl")).expect("a history");
    let events: Vec<Value> = history.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let is_final = |event: &Value| event["f"] == "phase" && event["value"]["name"] == "final";
    let begun = events.iter().position(is_final).expect("final reads");
    let read = events[begun..].iter().filter(|event| event["type"] == "ok" && event["f"] == "read");
    let mut nodes: Vec<String> = read.filter_map(|event| Some(event["node"].as_str()?.to_owned())).collect();
    nodes.sort();
    nodes.dedup();
    nodes
}

/// Says why a test does not run here; in CI that is a failure.
pub fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none_or(|value| value != "true"), "skipped in CI: {why}");
    eprintln!("skipped: {why}");
}

pub fn have(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// What a run could leave on the host: links, mounts, cgroups.
pub fn host() -> (Vec<String>, String, Vec<PathBuf>) {
    let links = std::fs::read_dir("/sys/class/net").map(|entries| {
        let mut names: Vec<String> = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    });
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("mounts can be read");
    let mut cgroups = Vec::new();
    let mut open = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = open.pop() {
        for path in std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() && !path.is_symlink() {
                if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("squall")) {
                    cgroups.push(path.clone());
                }
                open.push(path);
            }
        }
    }
    (links.unwrap_or_default(), mounts, cgroups)
}
