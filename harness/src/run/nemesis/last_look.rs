//! The last look: when every fault has been healed, nothing may be left of any, before everything is read once more.
//!
//! Each heal proved what it ended. This looks at the nodes as they are, whatever was asked of them, so that what no heal knew of is found too. What is
//! found is a failure of the harness: what the system then did is not its own.

use anyhow::{Context, Result, bail};
use squall_nemeses::clock::true_ns;
use squall_nemeses::disk::{Disk, Trouble};
use squall_nemeses::{Proof, State, process};

use super::{Nemesis, blocking};

/// What is seen of one node.
#[derive(Debug, Default)]
struct Look {
    node: String,
    is_stopped: bool,
    clock_off_ns: i64,
    disk: Trouble,
}

impl Look {
    /// What of a fault is left on it.
    fn left(&self) -> Option<String> {
        let node = &self.node;
        if self.is_stopped {
            return Some(format!("all processes of {node} are stopped"));
        }
        if self.clock_off_ns != 0 {
            return Some(format!("the clock of {node} is off by {} ns", self.clock_off_ns));
        }
        (self.disk != Trouble::default()).then(|| format!("the disk of {node} is in trouble: {:?}", self.disk))
    }
}

impl Nemesis {
    /// Looks at every link and every node that runs.
    ///
    /// # Errors
    /// Names what is left of a fault; or when it cannot be looked at.
    pub(in crate::run) async fn last_look(&self) -> Result<()> {
        let left = match self.prove_links(&State::default()).await? {
            Proof { ok: true, .. } => self.look_at_nodes().await?,
            Proof { links, .. } => Some(format!("not every link is whole: {links:?}")),
        };
        match left {
            Some(left) => bail!("after every fault was healed, {left}"),
            None => Ok(()),
        }
    }

    async fn look_at_nodes(&self) -> Result<Option<String>> {
        for member in self.cluster.nodes() {
            let node = &member.id;
            let Some(init_pid) = self.cluster.target(node).init_pid else {
                continue;
            };
            let now_ns = true_ns();
            let look = Look {
                node: node.clone(),
                is_stopped: blocking(move || Ok(process::is_paused(init_pid)?))
                    .await
                    .context("look at the processes")?,
                clock_off_ns: self.cluster.clocks().map_or(0, |clocks| clocks.slot(node).shows(now_ns) - now_ns),
                disk: self.cluster.disk(node).map(Disk::trouble).unwrap_or_default(),
            };
            let left = look.left();
            if left.is_some() {
                return Ok(left);
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(look: Look, left: Option<&str>) {
        let look = Look { node: "n2".into(), ..look };
        assert_eq!(look.left().as_deref(), left);
    }

    #[test]
    fn names_what_is_left_of_a_fault_and_on_which_node() {
        check(Look::default(), None);
        let stopped = Look {
            is_stopped: true,
            ..Look::default()
        };
        check(stopped, Some("all processes of n2 are stopped"));
        let off = Look {
            clock_off_ns: -5,
            ..Look::default()
        };
        check(off, Some("the clock of n2 is off by -5 ns"));
        let disk = Trouble {
            full: true,
            ..Trouble::default()
        };
        let look = Look {
            node: "n2".into(),
            disk,
            ..Look::default()
        };
        let left = look.left().expect("a disk without room");
        assert!(
            left.starts_with("the disk of n2 is in trouble: ") && left.contains("full: true"),
            "{left}"
        );
    }
}
