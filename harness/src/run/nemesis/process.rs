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
            let Some(init_pid) = self.cluster.target(node).init_pid else {
                continue;
            };
            self.cluster.expect_exit(node);
            let killed = blocking(move || Ok(process::kill(init_pid, SIGNAL_BOUND)?)).await?;
            self.cluster.wait_gone(node, SIGNAL_BOUND).await?;
            proofs.push(Proof::from(killed));
        }
        for node in &change.resume {
            proofs.extend(self.signal_node(node, process::resume).await?);
        }
        for node in &change.restart {
            self.cluster.start(node).await?;
        }
        for node in &change.pause {
            proofs.extend(self.signal_node(node, process::pause).await?);
        }
        Ok(proofs)
    }

    async fn signal_node(&self, node: &str, act: fn(u32, Duration) -> squall_nemeses::Result<Paused>) -> Result<Option<Proof>> {
        let Some(init_pid) = self.cluster.target(node).init_pid else {
            return Ok(None);
        };
        match blocking(move || Ok(act(init_pid, SIGNAL_BOUND)?)).await {
            Ok(paused) => Ok(Some(Proof::from(paused))),
            // It ended by itself between the look and the signal: that is the watcher's finding, not ours.
            Err(_) if !self.cluster.is_running(node) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
