//! One run of one subject: `squall run` as a process of its own, and what it found.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use squall_checker::verdict::Verdict;

use super::rounds::Faults;
use super::subject::Subject;
use crate::results::{self, LATEST, RunFolder};
use crate::supervise::spawn_unblocked;

/// Who noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Oracle {
    /// What clients saw.
    History,
    /// What nodes told of their inside.
    Trace,
    /// Nothing went on after the heal.
    Liveness,
    /// A node ended by itself.
    Crash,
}

impl Oracle {
    pub(super) const ALL: [Oracle; 4] = [Oracle::History, Oracle::Trace, Oracle::Liveness, Oracle::Crash];

    pub(super) fn name(self) -> &'static str {
        match self {
            Oracle::History => "history",
            Oracle::Trace => "trace",
            Oracle::Liveness => "liveness",
            Oracle::Crash => "crash",
        }
    }
}

/// What came of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    /// `None` if it left no verdict.
    pub(super) verdict: Option<Verdict>,
    /// Who noticed, if it was invalid.
    pub(super) oracles: BTreeSet<Oracle>,
    /// The rules that are broken: `linearizability`, `trace T8`.
    pub(super) rules: BTreeSet<String>,
    /// What it said last, if it left no verdict.
    pub(super) last_words: String,
}

/// A run that is going on.
pub(super) struct Running {
    pub(super) subject: usize,
    pub(super) faults: Faults,
    pub(super) seed: u64,
    pub(super) began: Instant,
    /// Where its folder is made.
    pub(super) out: PathBuf,
    child: Child,
}

impl Running {
    /// Starts it.
    ///
    /// # Errors
    /// If the process or its folder cannot be made.
    pub(super) fn start(number: usize, subject: Subject, faults: Faults, seed: u64, out: PathBuf) -> Result<Running> {
        fs::create_dir_all(&out).with_context(|| format!("make {}", out.display()))?;
        let says = File::create(out.join("says.txt")).context("make a file for what a run says")?;
        let mut command = Command::new("/proc/self/exe");
        command
            .args(["run", "--supervised", "--out"])
            .arg(&out)
            .args(subject.arguments(faults, seed))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(says)
            // A group of its own: a terminal's ctrl-C reaches us alone and is passed on once.
            .process_group(0);
        Ok(Running {
            subject: number,
            faults,
            seed,
            began: Instant::now(),
            child: spawn_unblocked(&mut command).context("start a run")?,
            out,
        })
    }

    /// What came of it, once it has ended.
    ///
    /// # Errors
    /// If waiting fails.
    pub(super) fn ended(&mut self) -> Result<Option<Outcome>> {
        let ended = self.child.try_wait().context("wait for a run")?;
        Ok(ended.map(|_| outcome(&self.out)))
    }

    /// Asks it to end, and awaits that.
    pub(super) fn end(&mut self) {
        // It may have ended this moment; then there is nothing to ask.
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

#[derive(Deserialize)]
struct VerdictFile {
    verdict: Verdict,
    findings: Vec<Finding>,
}

#[derive(Deserialize)]
struct Finding {
    rule: String,
    verdict: Verdict,
    #[serde(default)]
    class: Option<String>,
}

/// Reads what a run left in `out`.
fn outcome(out: &Path) -> Outcome {
    let run = results::open(Path::new(LATEST), out).ok();
    let verdict = run.and_then(|run| run.folder().map(RunFolder::verdict));
    let text = verdict.and_then(|path| fs::read_to_string(path).ok());
    let file = text.and_then(|text| serde_json::from_str::<VerdictFile>(&text).ok());
    let Some(file) = file else {
        let said = fs::read_to_string(out.join("says.txt")).unwrap_or_default();
        let last_words = said
            .lines()
            .rev()
            .find(|line| line.starts_with("error:"))
            .unwrap_or_default()
            .to_owned();
        return Outcome {
            verdict: None,
            oracles: BTreeSet::new(),
            rules: BTreeSet::new(),
            last_words,
        };
    };
    let broken: Vec<&Finding> = file.findings.iter().filter(|finding| finding.verdict == Verdict::Invalid).collect();
    Outcome {
        verdict: Some(file.verdict),
        oracles: broken.iter().map(|finding| oracle(finding)).collect(),
        rules: broken.iter().map(|finding| finding.rule.clone()).collect(),
        last_words: String::new(),
    }
}

fn oracle(finding: &Finding) -> Oracle {
    match finding.class.as_deref() {
        Some("liveness") => Oracle::Liveness,
        Some("crash") => Oracle::Crash,
        _ if finding.rule.starts_with("trace") => Oracle::Trace,
        _ => Oracle::History,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(verdict: &str) -> Outcome {
        let out = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(out.path(), "raft", 7).unwrap();
        fs::write(folder.history(), "").unwrap();
        fs::write(folder.verdict(), verdict).unwrap();
        fs::write(out.path().join("says.txt"), "seed 7\nerror: no namespace\nhint: …\n").unwrap();
        outcome(out.path())
    }

    #[test]
    fn tells_who_noticed_and_by_which_rule() {
        let found = of(r#"{"verdict":"invalid","findings":[
            {"rule":"trace T8","verdict":"invalid","class":"safety","message":"m"},
            {"rule":"linearizability","verdict":"invalid","class":"safety","message":"m"},
            {"rule":"readiness","verdict":"invalid","class":"liveness","message":"m"},
            {"rule":"vacuity","verdict":"vacuous","message":"m"}]}"#);
        assert_eq!(found.verdict, Some(Verdict::Invalid));
        let names: Vec<&str> = found.oracles.iter().map(|oracle| oracle.name()).collect();
        assert_eq!(names, ["history", "trace", "liveness"]);
        assert_eq!(
            found.rules.into_iter().collect::<Vec<_>>(),
            ["linearizability", "readiness", "trace T8"]
        );
    }

    #[test]
    fn a_run_without_a_verdict_is_none() {
        let none = of("half a fi");
        assert_eq!((none.verdict, none.last_words.as_str()), (None, "error: no namespace"));
    }
}
