//! What happens at a violation: every node says how it is, is frozen, and waits for a person to look.
//!
//! Faults in force stay: what a person finds is what the violation was made of.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use squall_checker::history::mark::Finding;
use squall_nemeses::process;
use tokio::task::JoinSet;
use tracing::warn;

use crate::cluster::Cluster;
use crate::record::Pen;
use crate::results::RunFolder;

/// How long all nodes together may take to say how they are, while they still can. One that is paused or cut off never does.
const STATUS_BOUND: Duration = Duration::from_millis(500);
/// How long a node's processes may take to show that they are stopped; see the nemesis.
const STOP_BOUND: Duration = Duration::from_secs(5);

/// A frozen node, as the inside of the sandbox tells the outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenNode {
    /// The node.
    pub node: String,
    /// Its pid 1, by the number that the inside sees.
    pub init_pid: u32,
}

/// What the inside tells the outside when everything is frozen and waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// What was seen.
    pub why: String,
    /// The nodes that run.
    pub nodes: Vec<FrozenNode>,
    /// How long they are held, in milliseconds.
    pub hold_ms: u64,
}

/// Asks every node how it is and writes it to its `status.json`, with the reason where it does not answer.
pub(super) async fn save_statuses(cluster: &Arc<Cluster>, folder: &RunFolder) {
    let mut asking = JoinSet::new();
    for member in cluster.nodes() {
        let (cluster, member) = (Arc::clone(cluster), member.clone());
        let path = folder.node(&member.id).status();
        asking.spawn(async move {
            let said = tokio::time::timeout(STATUS_BOUND, cluster.system().status(&member)).await;
            let status = match said {
                Ok(Ok(status)) => json!({
                    "answered": true, "ready": status.ready, "said": status.said,
                    "incarnation": status.incarnation, "figures": status.figures,
                }),
                Ok(Err(error)) => json!({"answered": false, "reason": format!("{error:#}")}),
                Err(_) => json!({"answered": false, "reason": format!("no answer within {} ms", STATUS_BOUND.as_millis())}),
            };
            let target = cluster.target(&member.id);
            let status = json!({
                "node": member.id, "address": member.address, "running": target.init_pid.is_some(),
                "status": status, "log_tail": cluster.log_tail(&member.id),
            });
            std::fs::write(&path, format!("{status:#}\n"))
        });
    }
    while let Some(written) = asking.join_next().await {
        if let Ok(Err(error)) = written {
            warn!(%error, "a node's status was not saved");
        }
    }
}

/// Stops the processes of every node that runs, all at once, and records the proof. The caller sees to it that nobody resumes them.
pub(super) async fn freeze_all(cluster: &Arc<Cluster>, pen: &Pen) -> Vec<FrozenNode> {
    let mut stopping = JoinSet::new();
    for member in cluster.nodes() {
        let node = member.id.clone();
        let Some(init_pid) = cluster.target(&node).init_pid else { continue };
        stopping.spawn_blocking(move || (FrozenNode { node, init_pid }, process::pause(init_pid, STOP_BOUND)));
    }
    let mut frozen = Vec::new();
    while let Some(stopped) = stopping.join_next().await {
        let Ok((node, paused)) = stopped else { continue };
        match paused {
            Ok(paused) => {
                pen.finding(Finding::Frozen {
                    node: node.node.clone(),
                    ok: paused.ok,
                    init_pid: node.init_pid,
                    duration_us: paused.duration_us,
                });
                frozen.push(node);
            }
            // It ended by itself this moment, which its watcher records.
            Err(error) => warn!(%error, node = node.node, "not frozen"),
        }
    }
    frozen.sort_by(|one, other| one.node.cmp(&other.node));
    frozen
}
