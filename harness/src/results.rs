//! Where a run keeps its files: the one place that knows the layout of a run folder.
//!
//! ```text
//! DIR/latest -> 20260214T093012Z-quorum-seed7      replaced atomically by every new run
//! DIR/20260214T093012Z-quorum-seed7/
//!   plan.json  resolved.json  doctor.json          what was meant, what this machine could, what it is
//!   replay.json                                    the plan with whom each fault struck
//!   history.jsonl                                  what happened: the only input of the judge
//!   history.sqh                                    the same as bytes that load fast; never judged unless it is named itself
//!   verdict.json  report.txt                       what it is worth
//!   witness.txt  witness.jsonl                     the proof, when a rule is broken
//!   squall.log                                     the harness's own log
//!   nodes/n1/{data/, log.txt, trace.jsonl, command.txt}
//!   nodes/n1/status.json                           how the node was, when a violation stopped the run
//! ```
//!
//! A run folder is never used twice: its name is taken with `mkdir`, which fails if it exists, so that two runs that start in the
//! same second cannot share one. Everything but the history can be written again from the history.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

pub use self::error::ResultsError;
pub use self::input::{Input, open};
pub use self::store::JudgementFiles;

mod error;
mod input;
mod store;
#[cfg(test)]
mod tests;

/// The name under which the newest run of a results folder can be reached.
pub const LATEST: &str = "latest";

/// 100 runs of one system and one seed within one second: past that something else is wrong than a name that is taken.
const NAME_ATTEMPTS: u32 = 100;

/// Longest part of a system's name that goes into a folder name, in characters. Names of files end at 255 bytes.
const NAME_CHARS_MAX: usize = 40;

/// One run's folder. Its methods name every file in it; none of them touches the disk unless it says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    root: PathBuf,
}

impl RunFolder {
    /// Makes a new folder `<UTC time>-<system>-seed<seed>[-k]` in `out_dir` (made if absent) and points `latest` at it.
    ///
    /// To be called before the sandbox is entered: inside, `out_dir` is read-only but for the folder made here.
    ///
    /// # Errors
    /// [`ResultsError::NotWritable`] where `out_dir` does not let a folder be made; [`ResultsError::Io`] for a full or failing disk.
    /// A `latest` that cannot be replaced (somebody made a folder of that name, the file system has no links) is only logged: it is
    /// a convenience, and no reason to lose a run.
    pub fn create(out_dir: &Path, system: &str, seed: u64) -> Result<RunFolder, ResultsError> {
        RunFolder::create_at(out_dir, system, seed, Utc::now())
    }

    fn create_at(out_dir: &Path, system: &str, seed: u64, started: DateTime<Utc>) -> Result<RunFolder, ResultsError> {
        fs::create_dir_all(out_dir).map_err(|cause| ResultsError::new(out_dir, cause))?;
        let name = format!("{}-{}-seed{seed}", started.format("%Y%m%dT%H%M%SZ"), safe_name(system));
        let root = take_free_name(out_dir, &name)?;
        let folder = RunFolder { root };
        fs::create_dir(folder.nodes()).map_err(|cause| ResultsError::new(&folder.nodes(), cause))?;
        if let Err(error) = folder.become_latest(out_dir) {
            tracing::warn!(%error, "`latest` still names an older run");
        }
        Ok(folder)
    }

    /// Points `out_dir/latest` at this folder. The new link is made beside and renamed over the old one, so that a reader sees
    /// either, never none.
    fn become_latest(&self, out_dir: &Path) -> io::Result<()> {
        let Some(name) = self.root.file_name() else { return Ok(()) };
        // The run's own name is unique, so no two runs meet at the intermediate link.
        let beside = out_dir.join(format!(".latest-{}", name.to_string_lossy()));
        std::os::unix::fs::symlink(name, &beside)?;
        fs::rename(&beside, out_dir.join(LATEST)).inspect_err(|_| {
            // Best effort: the error that matters is the rename's.
            let _ = fs::remove_file(&beside);
        })
    }

    /// Makes a folder of exactly this path, for supervisors that have chosen the name. No `latest` is touched.
    ///
    /// # Errors
    /// As [`RunFolder::create`]; a folder that exists is [`ResultsError::NotWritable`].
    pub fn create_exactly(path: &Path) -> Result<RunFolder, ResultsError> {
        fs::create_dir(path).map_err(|cause| ResultsError::new(path, cause))?;
        let folder = RunFolder { root: path.to_path_buf() };
        fs::create_dir(folder.nodes()).map_err(|cause| ResultsError::new(&folder.nodes(), cause))?;
        Ok(folder)
    }

    /// The folder at `root`, whose existence the caller vouches for (the inner process of a run is told its folder by the outer one).
    pub fn at(root: impl Into<PathBuf>) -> RunFolder {
        RunFolder { root: root.into() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder's own name.
    pub fn name(&self) -> String {
        self.root
            .file_name()
            .unwrap_or(self.root.as_os_str())
            .to_string_lossy()
            .into_owned()
    }

    /// What a person should type to name this run: `DIR/latest` while that is this run, else the folder's path.
    pub fn typed(&self) -> PathBuf {
        let latest = self.root.with_file_name(LATEST);
        let names_us = fs::canonicalize(&latest)
            .ok()
            .zip(fs::canonicalize(&self.root).ok())
            .is_some_and(|(one, other)| one == other);
        let path = if names_us { latest } else { self.root.clone() };
        path.strip_prefix("./").map(Path::to_path_buf).unwrap_or(path)
    }

    /// The same for a file of this run: `DIR/latest/witness.txt`.
    pub fn as_typed(&self, file: &Path) -> PathBuf {
        file.strip_prefix(&self.root)
            .map_or_else(|_| file.to_path_buf(), |inside| self.typed().join(inside))
    }

    /// The plan as drawn from version, options and seed.
    pub fn plan(&self) -> PathBuf {
        self.root.join("plan.json")
    }

    /// The plan with whom each of its faults struck, to be run again on the same nodes.
    pub fn replay(&self) -> PathBuf {
        self.root.join("replay.json")
    }

    /// What of the plan this machine and system can do, with the back ends chosen.
    pub fn resolved(&self) -> PathBuf {
        self.root.join("resolved.json")
    }

    /// Packets, a file for each node and one for the clients, if they were asked for.
    pub fn packets(&self) -> PathBuf {
        self.root.join("pcap")
    }

    /// What `squall doctor` found when the run started.
    pub fn doctor(&self) -> PathBuf {
        self.root.join("doctor.json")
    }

    /// The history.
    pub fn history(&self) -> PathBuf {
        self.root.join("history.jsonl")
    }

    /// The history as bytes; missing if it could not be written.
    pub fn binary_history(&self) -> PathBuf {
        self.root.join("history.sqh")
    }

    /// The judgement, for programs.
    pub fn verdict(&self) -> PathBuf {
        self.root.join("verdict.json")
    }

    /// The proof, for people; exists only if a rule is broken.
    pub fn witness_text(&self) -> PathBuf {
        self.root.join("witness.txt")
    }

    /// The proof as a picture; exists only if a rule is broken.
    pub fn witness_picture(&self) -> PathBuf {
        self.root.join("witness.svg")
    }

    /// The proof as a page around the picture; exists only if a rule is broken.
    pub fn witness_page(&self) -> PathBuf {
        self.root.join("witness.html")
    }

    /// The messages around a broken trace rule as a picture; exists only if such a rule is broken.
    pub fn spacetime_picture(&self) -> PathBuf {
        self.root.join("spacetime.svg")
    }

    /// The same as a page around the picture; exists only if such a rule is broken.
    pub fn spacetime_page(&self) -> PathBuf {
        self.root.join("spacetime.html")
    }

    /// The proof as a history that can be judged; exists only if a rule is broken.
    pub fn witness_history(&self) -> PathBuf {
        self.root.join("witness.jsonl")
    }

    /// The judgement and all numbers, for people.
    pub fn report(&self) -> PathBuf {
        self.root.join("report.txt")
    }

    /// The harness's own log.
    pub fn log(&self) -> PathBuf {
        self.root.join("squall.log")
    }

    /// The folder of all nodes.
    pub fn nodes(&self) -> PathBuf {
        self.root.join("nodes")
    }

    /// The bytes of one node's disk while the run lasts, where it has faults of disks.
    pub fn disk(&self, id: &str) -> PathBuf {
        self.disks().join(safe_name(id))
    }

    /// The folder of all of them; it goes at the end of a run, since the nodes' data folders show the same.
    pub fn disks(&self) -> PathBuf {
        self.root.join("disks")
    }

    /// The folder of one node.
    pub fn node(&self, id: &str) -> NodeFolder {
        NodeFolder {
            root: self.nodes().join(safe_name(id)),
        }
    }
}

/// One node's part of a run folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFolder {
    root: PathBuf,
}

impl NodeFolder {
    /// Makes the folder and its data folder.
    ///
    /// # Errors
    /// As [`RunFolder::create`].
    pub fn create(&self) -> Result<(), ResultsError> {
        fs::create_dir_all(self.data()).map_err(|cause| ResultsError::new(&self.data(), cause))
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the node keeps its data: the only part that disk faults may touch.
    pub fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// What the node wrote to stdout and stderr, stamped by the harness.
    pub fn log(&self) -> PathBuf {
        self.root.join("log.txt")
    }

    /// The node's own event stream.
    pub fn trace(&self) -> PathBuf {
        self.root.join("trace.jsonl")
    }

    /// How it was when a violation stopped the run; exists only then.
    pub fn status(&self) -> PathBuf {
        self.root.join("status.json")
    }

    /// The command line that starts it.
    pub fn command(&self) -> PathBuf {
        self.root.join("command.txt")
    }
}

/// Makes the first of `name`, `name-2`, `name-3`, … that does not exist.
fn take_free_name(out_dir: &Path, name: &str) -> Result<PathBuf, ResultsError> {
    let mut path = out_dir.join(name);
    for attempt in 2..=NAME_ATTEMPTS {
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => path = out_dir.join(format!("{name}-{attempt}")),
            Err(cause) => return Err(ResultsError::new(&path, cause)),
        }
    }
    fs::create_dir(&path).map_err(|cause| ResultsError::new(&path, cause))?;
    Ok(path)
}

/// `text` as one path component: letters, digits, `.`, `_` and `-` stay, the rest becomes `-`. Never empty, `.` or `..`, because a
/// name may come from a plan that somebody sent.
fn safe_name(text: &str) -> String {
    let kept: String = text
        .chars()
        .take(NAME_CHARS_MAX)
        .map(|char| {
            if char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-') {
                char
            } else {
                '-'
            }
        })
        .collect();
    if kept.starts_with('.') || kept.is_empty() {
        format!("_{kept}")
    } else {
        kept
    }
}
