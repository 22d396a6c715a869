//! Where a run keeps its files: the one place that knows the layout of a run folder.
//!
//! ```text
//! DIR/latest -> 20260214T093012Z-quorum-seed7      replaced atomically by every new run
//! DIR/20260214T093012Z-quorum-seed7/
//!   plan.json  resolved.json  doctor.json          what was meant, what this machine could, what it is
//!   history.jsonl                                  what happened: the only input of the judge
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
use thiserror::Error;

use crate::report::witness::Picture;

/// The name under which the newest run of a results folder can be reached.
pub const LATEST: &str = "latest";

/// 100 runs of one system and one seed within one second: past that something else is wrong than a name that is taken.
const NAME_ATTEMPTS: u32 = 100;

/// Longest part of a system's name that goes into a folder name, in characters. Names of files end at 255 bytes.
const NAME_CHARS_MAX: usize = 40;

/// What kept a run folder from being made, found or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ResultsError {
    /// The place exists but may not be written.
    #[error("cannot write `{path}`: {cause}", path = path.display())]
    NotWritable {
        /// What was to be written.
        path: PathBuf,
        /// The system's answer.
        cause: io::Error,
    },
    /// Neither a run folder nor a history file.
    #[error("no run at `{path}`", path = path.display())]
    NotFound {
        /// What the user named.
        path: PathBuf,
        /// Where else it was looked for.
        out_dir: PathBuf,
    },
    /// A folder that holds no history.
    #[error("`{path}` is not a run folder: it has no history.jsonl", path = path.display())]
    NotARun {
        /// The folder.
        path: PathBuf,
    },
    /// Anything else the file system may answer: disk full, an I/O error.
    #[error("cannot write `{path}`: {cause}", path = path.display())]
    Io {
        /// What was to be written or read.
        path: PathBuf,
        /// The system's answer.
        cause: io::Error,
    },
}

impl ResultsError {
    fn new(path: &Path, cause: io::Error) -> ResultsError {
        let path = path.to_path_buf();
        match cause.kind() {
            // Missing, although its parents are made: /proc and its like. Already there: a file in the place of the folder.
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::NotFound
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidFilename => ResultsError::NotWritable { path, cause },
            _ => ResultsError::Io { path, cause },
        }
    }

    /// Whether the user named a place that cannot serve (exit 254) rather than the machine failing underneath (exit 255).
    pub fn is_usage(&self) -> bool {
        !matches!(self, ResultsError::Io { .. })
    }

    /// What the user can do about it, one line.
    pub fn hint(&self) -> String {
        match self {
            ResultsError::NotWritable { .. } => "choose a folder you may write with `--out DIR`".into(),
            ResultsError::NotFound { out_dir, .. } => {
                format!("name a run folder or a history file; runs are kept in `{}`", out_dir.display())
            }
            ResultsError::NotARun { .. } => "name the folder of one run, or its history file".into(),
            ResultsError::Io { .. } => "see whether the disk is full or failing".into(),
        }
    }
}

/// One run's folder. Its methods name every file in it; none of them touches the disk unless it says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    root: PathBuf,
}

/// What a user may hand to `squall check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A whole run, with its traces.
    Folder(RunFolder),
    /// A history alone: nothing is written beside it, and no trace rule can be applied.
    File(PathBuf),
}

impl Input {
    /// The history to judge.
    pub fn history(&self) -> PathBuf {
        match self {
            Input::Folder(folder) => folder.history(),
            Input::File(path) => path.clone(),
        }
    }

    /// The run folder, if it is one.
    pub fn folder(&self) -> Option<&RunFolder> {
        match self {
            Input::Folder(folder) => Some(folder),
            Input::File(_) => None,
        }
    }
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

    /// What of the plan this machine and system can do, with the back ends chosen.
    pub fn resolved(&self) -> PathBuf {
        self.root.join("resolved.json")
    }

    /// What `squall doctor` found when the run started.
    pub fn doctor(&self) -> PathBuf {
        self.root.join("doctor.json")
    }

    /// The history.
    pub fn history(&self) -> PathBuf {
        self.root.join("history.jsonl")
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

/// Finds what the user named: a path to a run folder or to a history file, the name of a run in `out_dir`, or `latest`.
///
/// # Errors
/// [`ResultsError::NotFound`] and [`ResultsError::NotARun`].
pub fn open(named: &Path, out_dir: &Path) -> Result<Input, ResultsError> {
    let in_out_dir = out_dir.join(named);
    // `latest` first in the results folder: a file of that name in the working folder is not what anybody means.
    let candidates = if named == Path::new(LATEST) {
        [in_out_dir.as_path(), named]
    } else {
        [named, in_out_dir.as_path()]
    };
    let Some(found) = candidates.into_iter().find(|path| path.exists()) else {
        return Err(ResultsError::NotFound {
            path: named.to_path_buf(),
            out_dir: out_dir.to_path_buf(),
        });
    };
    if !found.is_dir() {
        return Ok(Input::File(found.to_path_buf()));
    }
    let folder = RunFolder {
        root: resolve_latest(found),
    };
    if !folder.history().is_file() {
        return Err(ResultsError::NotARun { path: found.to_path_buf() });
    }
    Ok(Input::Folder(folder))
}

/// The run behind a link `latest`, so that a run that starts meanwhile cannot move the ground; any other path as it is.
fn resolve_latest(path: &Path) -> PathBuf {
    match (path.file_name(), fs::read_link(path)) {
        (Some(name), Ok(target)) if name == LATEST => path.with_file_name(target),
        _ => path.to_path_buf(),
    }
}

/// The texts that follow from a history, as [`crate::report`] renders them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgementFiles {
    /// `verdict.json`.
    pub verdict: String,
    /// `report.txt`.
    pub report: String,
    /// `witness.txt` and `witness.jsonl`.
    pub witness: Option<(String, String)>,
    /// `witness.svg` and `witness.html`.
    pub picture: Option<Picture>,
}

impl RunFolder {
    /// Writes what the judge found and removes what an earlier judgement left. Each file is replaced whole, never seen half.
    ///
    /// # Errors
    /// [`ResultsError::NotWritable`] for a folder that may only be read: `squall check` then prints and goes on.
    pub fn write_judgement(&self, files: &JudgementFiles) -> Result<(), ResultsError> {
        match &files.witness {
            Some((text, history)) => {
                replace(&self.witness_text(), text)?;
                replace(&self.witness_history(), history)?;
            }
            None => {
                remove(&self.witness_text())?;
                remove(&self.witness_history())?;
            }
        }
        match &files.picture {
            Some(picture) => {
                replace(&self.witness_picture(), &picture.svg)?;
                replace(&self.witness_page(), &picture.html)?;
            }
            None => {
                remove(&self.witness_picture())?;
                remove(&self.witness_page())?;
            }
        }
        replace(&self.report(), &files.report)?;
        // Last: who sees a verdict finds the proof beside it.
        replace(&self.verdict(), &files.verdict)
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

fn replace(path: &Path, text: &str) -> Result<(), ResultsError> {
    let beside = path.with_extension("new");
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path));
    written.map_err(|cause| {
        // Best effort: the error that matters is the one above.
        let _ = fs::remove_file(&beside);
        ResultsError::new(path, cause)
    })
}

fn remove(path: &Path) -> Result<(), ResultsError> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(ResultsError::new(path, cause)),
        _ => Ok(()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn noon() -> DateTime<Utc> {
        "2026-02-14T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn names_a_run_by_time_system_and_seed_and_points_latest_at_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("deep/results");
        let first = RunFolder::create_at(&out, "quorum", 7, noon()).unwrap();
        assert_eq!(first.name(), "20260214T120000Z-quorum-seed7");
        assert_eq!(first.typed(), out.join("latest"));
        let second = RunFolder::create_at(&out, "quorum", 7, noon()).unwrap();
        assert_eq!(second.name(), "20260214T120000Z-quorum-seed7-2");
        assert_eq!(second.typed(), out.join("latest"));
        assert_eq!(first.typed(), first.root());
        assert_eq!(second.as_typed(&second.witness_text()), out.join("latest/witness.txt"));
        let entries: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(entries.len(), 3, "two runs and `latest`, nothing in between: {entries:?}");
    }

    #[test]
    fn never_gives_one_folder_to_two_runs_that_start_together() {
        let dir = tempfile::tempdir().unwrap();
        let names: Vec<String> = std::thread::scope(|scope| {
            let started: Vec<_> = (0..16)
                .map(|_| scope.spawn(|| RunFolder::create_at(dir.path(), "etcd", 1, noon()).unwrap().name()))
                .collect();
            started.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let distinct: std::collections::BTreeSet<&String> = names.iter().collect();
        assert_eq!(distinct.len(), 16, "{names:?}");
        assert!(names.contains(&fs::read_link(dir.path().join(LATEST)).unwrap().to_string_lossy().into_owned()));
    }

    #[test]
    fn keeps_a_folder_named_latest_that_somebody_else_made() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("latest/precious")).unwrap();
        let run = RunFolder::create_at(dir.path(), "quorum", 7, noon()).unwrap();
        assert!(dir.path().join("latest/precious").is_dir());
        assert_eq!(run.typed(), run.root());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "no intermediate link is left");
    }

    #[test]
    fn makes_no_path_out_of_a_name() {
        for (hostile, expected) in [
            ("../../etc", "_..-..-etc"),
            ("", "_"),
            ("a/b\n\u{1b}[31m", "a-b--[31m".replace('[', "-").as_str()),
        ] {
            assert_eq!(safe_name(hostile), expected);
        }
        assert_eq!(RunFolder::at("/r").node("..").data(), Path::new("/r/nodes/_../data"));
    }

    #[test]
    fn a_place_that_cannot_hold_results_is_a_usage_error_with_a_hint() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("results");
        fs::write(&file, "").unwrap();
        for place in [
            file.as_path(),
            &file.join("below"),
            Path::new("/proc/nope"),
            &dir.path().join("x".repeat(300)),
        ] {
            let error = RunFolder::create_at(place, "quorum", 7, noon()).unwrap_err();
            assert!(error.is_usage(), "{error:?}");
        }
        let error = RunFolder::create_at(&file, "quorum", 7, noon()).unwrap_err();
        assert!(error.to_string().contains("results"), "{error}");
        assert!(error.hint().contains("--out DIR"));
    }

    #[test]
    fn a_full_disk_is_not_the_users_fault() {
        let error = ResultsError::new(Path::new("x"), io::Error::from(io::ErrorKind::StorageFull));
        assert!(!error.is_usage());
    }

    #[test]
    fn opens_a_run_by_path_by_name_and_as_latest_and_a_bare_file() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunFolder::create_at(dir.path(), "quorum", 7, noon()).unwrap();
        let error = open(Path::new("latest"), dir.path()).unwrap_err();
        assert!(
            matches!(error, ResultsError::NotARun { .. }),
            "a run without a history yet: {error:?}"
        );
        fs::write(run.history(), "").unwrap();
        for named in [Path::new("latest"), run.root(), Path::new(&run.name()), &dir.path().join("latest")] {
            let input = open(named, dir.path()).unwrap();
            assert_eq!(input, Input::Folder(run.clone()), "{named:?}");
            assert_eq!(input.history(), run.history());
        }
        assert_eq!(open(&run.history(), dir.path()).unwrap(), Input::File(run.history()));
        let error = open(Path::new("nosuch"), dir.path()).unwrap_err();
        assert!(
            error.is_usage() && error.hint().contains(&dir.path().display().to_string()),
            "{error:?}"
        );
    }

    #[test]
    fn removes_the_witness_of_an_earlier_judgement() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunFolder::create_at(dir.path(), "quorum", 7, noon()).unwrap();
        let mut files = JudgementFiles {
            verdict: "1\n".into(),
            report: "r\n".into(),
            witness: Some(("w\n".into(), "{}\n".into())),
            picture: Some(Picture {
                svg: "s\n".into(),
                html: "h\n".into(),
            }),
        };
        run.write_judgement(&files).unwrap();
        assert_eq!(fs::read_to_string(run.witness_text()).unwrap(), "w\n");
        assert_eq!(fs::read_to_string(run.witness_history()).unwrap(), "{}\n");
        assert_eq!(fs::read_to_string(run.witness_picture()).unwrap(), "s\n");
        assert_eq!(fs::read_to_string(run.witness_page()).unwrap(), "h\n");
        files.witness = None;
        files.picture = None;
        files.verdict = "2\n".into();
        run.write_judgement(&files).unwrap();
        assert!(!run.witness_text().exists() && !run.witness_history().exists());
        assert!(!run.witness_picture().exists() && !run.witness_page().exists());
        assert_eq!(fs::read_to_string(run.verdict()).unwrap(), "2\n");
    }
}
