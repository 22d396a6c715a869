//! Killed, restarted, stopped and continued nodes, and what is seen of their processes.

use std::time::Duration;

use anyhow::Result;
use squall_nemeses::process::{self, Paused};
use squall_nemeses::{Change, Proof};

use super::{Nemesis, blocking};

/// How long a signal may take to be seen in `/proc`: idle it needs milliseconds, so this is patience with a loaded machine.
const SIGNAL_BOUND: Duration = Duration::from_secs(5);

impl Nemesis {
    pub(super) async fn change_processes(&self, change: &Change) -> Result<Vec<Proof>> {
        let mut proofs = Vec::new();
        for node in &change.kill {
            let power_stays = !change.cuts_of_power.contains_key(node);
            proofs.extend(self.kill_node(node, power_stays).await?);
        }
        for node in &change.resume {
            proofs.extend(self.signal_node(node, process::resume).await?);
        }
        for node in &change.restart {
            self.cluster.start(node).await?;
        }
        for node in &change.pause {
            let disk = self.cluster.disk(node).cloned();
            // A process that waits for its disk stops with the answer, before it can see it.
            let answer = move || {
                if let Some(disk) = disk {
                    disk.release();
                }
            };
            let pause = move |init_pid, bound| process::pause_and(init_pid, bound, answer);
            proofs.extend(self.signal_node(node, pause).await?);
        }
        Ok(proofs)
    }

    /// Kills a node, if it runs, and waits for its end. What its disk held of it is done if the power stays, and else never.
    pub(super) async fn kill_node(&self, node: &str, power_stays: bool) -> Result<Option<Proof>> {
        let Some(init_pid) = self.cluster.target(node).init_pid else {
            return Ok(None);
        };
        self.cluster.expect_exit(node);
        let disk = self.cluster.disk(node).cloned();
        // A process that waits for an answer of its disk dies only with the answer (fuse(4)), but then before it can see it.
        let answer = move || match disk {
            Some(disk) if power_stays => {
                disk.release();
            }
            Some(disk) => disk.turn_off(),
            None => {}
        };
        let killed = blocking(move || Ok(process::kill_and(init_pid, SIGNAL_BOUND, answer)?)).await?;
        self.cluster.wait_gone(node, SIGNAL_BOUND).await?;
        Ok(Some(Proof::from(killed).on(node)))
    }

    async fn signal_node(
        &self,
        node: &str,
        act: impl FnOnce(u32, Duration) -> squall_nemeses::Result<Paused> + Send + 'static,
    ) -> Result<Option<Proof>> {
        let Some(init_pid) = self.cluster.target(node).init_pid else {
            return Ok(None);
        };
        match blocking(move || Ok(act(init_pid, SIGNAL_BOUND)?)).await {
            Ok(paused) => Ok(Some(Proof::from(paused).on(node))),
            // It ended by itself between the look and the signal: that is the watcher's finding, not ours.
            Err(_) if !self.cluster.is_running(node) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
