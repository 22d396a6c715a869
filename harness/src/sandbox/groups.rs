//! The control groups of a run: the one thing that it makes on the host, because they have no private form.
//!
//! `/sys` is read-only inside, and whoever makes a group must see to it that it goes away. So a process of its own keeps them: it makes them
//! before the sandbox, says where they are, and removes them when the controller is gone, by its end or by SIGKILL. It is no child of the
//! sandbox and dies with nobody; if it was killed as well, the next run that makes groups removes what it left.
//!
//! A run none of whose faults needs a group makes none.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use squall_nemeses::limits::{Controller, Groups, NodeGroup, load};

use super::mounts::SQUALL;
use crate::plan::{Plan, fault_info};
use crate::supervise::spawn_unblocked;

/// How long the groups of a dead sandbox may stay in use: the kernel needs a tenth of a second for all of its processes on a loaded machine.
const REMOVE_BOUND: Duration = Duration::from_secs(20);

/// What the outside gives to the inside; travels as JSON in an argument.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provided {
    /// The run's groups.
    pub groups: Groups,
    /// Kinds of faults that this machine cannot do, and why: the schedule is played without them.
    pub left_out: BTreeMap<String, String>,
    /// Why no node can have a disk of ours, if one is needed and cannot be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_disks: Option<String>,
}

impl Provided {
    /// The folders that must be writable inside.
    pub fn folders(&self) -> Vec<PathBuf> {
        self.groups.folders.values().map(|folder| folder.path.clone()).collect()
    }
}

/// The process that keeps the groups of a run, seen from the controller.
pub struct Keeper {
    child: Child,
    /// Its end tells the keeper that we are gone.
    lifeline: ChildStdin,
    provided: Provided,
}

impl Keeper {
    /// Starts the keeper of a run's groups, if any fault of the plan needs one.
    ///
    /// # Errors
    /// If it cannot be started or does not answer; a machine that refuses is no error, see [`Keeper::provided`].
    pub fn start(plan: &Plan, run: &str) -> Result<Option<Keeper>> {
        let needed: BTreeMap<&str, Controller> = plan
            .kinds()
            .into_iter()
            .filter_map(|kind| Some((kind, controller(kind)?)))
            .collect();
        if needed.is_empty() {
            return Ok(None);
        }
        let mut command = Command::new("/proc/self/exe");
        command
            .args(["__groups", run])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A process group of its own: ctrl-C must not end it before the sandbox.
            .process_group(0);
        let mut child = spawn_unblocked(&mut command).context("start the keeper of the control groups")?;
        let lifeline = child.stdin.take().expect("stdin was asked to be a pipe");
        let mut said = String::new();
        BufReader::new(child.stdout.take().expect("stdout was asked to be a pipe"))
            .read_line(&mut said)
            .context("hear from the keeper of the control groups")?;
        let groups: Groups = serde_json::from_str(&said).map_err(|_| anyhow!("the keeper of the control groups died"))?;
        let refused = |(kind, controller): (&str, Controller)| {
            let why = groups.refused.get(&controller)?;
            Some((
                kind.to_owned(),
                format!("no control group can limit {}: {why}; `squall doctor` says more", controller.name()),
            ))
        };
        let left_out = needed.into_iter().filter_map(refused).collect();
        Ok(Some(Keeper {
            child,
            lifeline,
            provided: Provided {
                groups,
                left_out,
                no_disks: None,
            },
        }))
    }

    /// What there is.
    pub fn provided(&self) -> &Provided {
        &self.provided
    }

    /// Waits until the groups are removed; nothing may run in them any more.
    ///
    /// # Errors
    /// If one is still there.
    pub fn end(mut self) -> Result<()> {
        drop(self.lifeline);
        let status = self.child.wait().context("wait for the keeper of the control groups")?;
        if !status.success() {
            bail!("the control groups of the run were not removed; the next run that makes some removes them");
        }
        Ok(())
    }
}

/// The controller that a kind of fault needs.
fn controller(kind: &str) -> Option<Controller> {
    fault_info(kind).ok()?.controller()
}

/// The keeper itself (`squall __groups RUN`).
///
/// # Errors
/// If the groups cannot be told of, or not removed.
pub fn keep(run: &str) -> Result<i32> {
    let groups = Groups::create(run).context("find out where control groups are")?;
    let said = serde_json::to_string(&groups).context("describe the control groups")?;
    let mut stdout = std::io::stdout().lock();
    // A controller that is gone already is seen right below.
    let _ = writeln!(stdout, "{said}").and_then(|()| stdout.flush());
    // Ends when nobody holds the other end any more, whatever the reason.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    groups.remove(REMOVE_BOUND)?;
    Ok(0)
}

/// A process that burns in a node's group and prints how much time it got, in microseconds.
pub fn burner(group: &NodeGroup) -> Command {
    let mut command = Command::new(SQUALL);
    command.env_clear().arg("__burn").args(group.doors());
    command
}

/// A process that takes memory in a node's group until it is killed.
pub fn hog(group: &NodeGroup, bytes: u64) -> Command {
    let mut command = Command::new(SQUALL);
    command.env_clear().arg("__hog").arg(bytes.to_string()).args(group.doors());
    command
}

/// The burner itself (`squall __burn DOOR…`).
///
/// # Errors
/// If it cannot join the group.
pub fn burn(doors: &[PathBuf]) -> Result<u64> {
    let got = load::burn(doors, load::BURN)?;
    Ok(u64::try_from(got.as_micros()).unwrap_or(u64::MAX))
}
