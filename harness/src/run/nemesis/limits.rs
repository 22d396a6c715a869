//! Limited nodes: what their groups and processes may use, and what proves it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use squall_nemeses::limits::{NodeGroup, Relimited, load};
use squall_nemeses::{Change, Proof, State};

use tokio::task::JoinSet;

use super::{Nemesis, blocking};
use crate::sandbox::groups;

/// How long a limit may take to be seen: a burner needs 300 ms, so this is patience with a loaded machine.
const BURN_BOUND: Duration = Duration::from_secs(5);
/// How long a node whose descriptors are to be limited may take to be ready.
const READY_BOUND: Duration = Duration::from_secs(2);
/// How long the kernel may take to kill a node for want of memory: a hog takes 100 MiB in a tenth of a second.
const MEMORY_BOUND: Duration = Duration::from_secs(10);

impl Nemesis {
    /// Changes what nodes may use. A node whose memory is taken is dead afterwards.
    pub(super) async fn change_limits(&self, change: &Change) -> Result<Vec<Proof>> {
        let mut proofs = Vec::new();
        // All at once: each takes a third of a second to be seen.
        let mut burning = JoinSet::new();
        for (node, Relimited { before, now }) in &change.limits {
            if before.cpu_percent != now.cpu_percent {
                let (node, group) = (node.clone(), self.cluster.group(node).clone());
                burning.spawn(limit_cpu(node, group, now.cpu_percent));
            }
        }
        while let Some(burnt) = burning.join_next().await {
            proofs.push(burnt.context("the task of a limit")??);
        }
        for (node, Relimited { before, now }) in &change.limits {
            if before.spare_memory_kib != now.spare_memory_kib {
                match now.spare_memory_kib {
                    Some(spare_kib) => proofs.extend(self.exhaust(node, spare_kib).await?),
                    None => self.lift_memory(node).await?,
                }
            }
            // One that is about to be started again has limits of its own.
            if before.spare_descriptors != now.spare_descriptors && !change.restart.contains(node) {
                proofs.extend(self.limit_descriptors(node, now.spare_descriptors).await?);
            }
        }
        Ok(proofs)
    }

    /// A node that was started meanwhile is to be limited as before. Groups outlive their processes, so this is about descriptors alone.
    pub(super) async fn limit_restarted(&self, change: &Change, after: &State) -> Result<()> {
        for node in &change.restart {
            let limits = after.limits.get(node);
            if let Some(spare) = limits.and_then(|limits| limits.spare_descriptors) {
                let proof = self.limit_descriptors(node, Some(spare)).await?;
                if proof.is_some_and(|proof| !proof.ok) {
                    bail!("{node} was started again and does not have the limit of descriptors that it had");
                }
            }
        }
        Ok(())
    }

    /// `None` if the node has ended by itself this moment, which is its watcher's finding.
    async fn exhaust(&self, node: &str, spare_kib: u32) -> Result<Option<Proof>> {
        let group = self.cluster.group(node).clone();
        let Some(init_pid) = self.cluster.target(node).init_pid else {
            return Ok(None);
        };
        self.cluster.expect_exit(node);
        let exhaust = move || {
            let hog = |bytes| groups::hog(&group, bytes);
            Ok(load::exhaust(&group, spare_kib, init_pid, hog, MEMORY_BOUND)?)
        };
        let exhausted = blocking(exhaust).await.with_context(|| format!("take the memory of {node}"))?;
        if exhausted.ok {
            self.cluster.wait_gone(node, MEMORY_BOUND).await?;
        }
        Ok(Some(Proof::from(exhausted).on(node)))
    }

    async fn lift_memory(&self, node: &str) -> Result<()> {
        let group = self.cluster.group(node).clone();
        let lift = move || {
            group.limit_memory(None)?;
            Ok(())
        };
        blocking(lift).await.with_context(|| format!("give {node} its memory back"))
    }

    async fn limit_descriptors(&self, node: &str, spare: Option<u32>) -> Result<Option<Proof>> {
        // One that is starting has opened little yet, and what would be left to it does not let it start: no fault of its own.
        if spare.is_some() && self.cluster.ask_ready(node, READY_BOUND).await.is_err() {
            return Ok(None);
        }
        let Some(init_pid) = self.cluster.target(node).init_pid else {
            return Ok(None);
        };
        let limits = self.descriptors.lock().expect("no holder of this lock panics").remove(node);
        let limit = move || {
            let mut limits = limits.unwrap_or_default();
            let done = limits.limit(init_pid, spare)?;
            Ok((limits, done))
        };
        let (limits, done) = blocking(limit).await.with_context(|| format!("limit the descriptors of {node}"))?;
        self.descriptors
            .lock()
            .expect("no holder of this lock panics")
            .insert(node.to_owned(), limits);
        // It ended by itself between the look and the limit.
        Ok((done.ok || self.cluster.is_running(node)).then(|| Proof::from(done).on(node)))
    }
}

async fn limit_cpu(node: String, group: NodeGroup, percent: Option<u32>) -> Result<Proof> {
    let prove = move || {
        group.limit_cpu(percent)?;
        Ok(load::prove_cpu(&group, percent, || groups::burner(&group), BURN_BOUND)?)
    };
    let burnt = blocking(prove).await;
    let burnt = burnt.with_context(|| format!("limit the processor time of {node}"))?;
    Ok(Proof::from(burnt).on(&node))
}
