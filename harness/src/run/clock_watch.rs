//! The self-test of clock faults: who reads the time past the redirect is found out before the load begins, and the history says so.

use std::sync::Arc;
use std::time::Duration;

use squall_checker::history::mark::Finding;
use squall_nemeses::clock::{Past, count_past};

use crate::cluster::Cluster;
use crate::record::Pen;
use crate::systems::Member;

/// How long each node's system calls are watched while it is asked for its status: dozens of answers, and heartbeats of its own.
const WINDOW: Duration = Duration::from_millis(100);

/// Watches all nodes at once, if their clocks can be moved, and records what was seen.
pub(super) async fn watch(cluster: &Arc<Cluster>, pen: &Pen) {
    let watches: Vec<_> = cluster
        .members()
        .iter()
        .map(|member| tokio::spawn(watch_node(Arc::clone(cluster), member.clone())))
        .collect();
    for watch in watches {
        if let Ok(Some(finding)) = watch.await {
            pen.finding(finding);
        }
    }
}

async fn watch_node(cluster: Arc<Cluster>, member: Member) -> Option<Finding> {
    let clocks = cluster.clocks()?;
    let init_pid = cluster.target(&member.id).init_pid?;
    let page = clocks.path(&member.id);
    let mut counting = tokio::task::spawn_blocking(move || count_past(init_pid, &page, WINDOW));
    let counted = loop {
        tokio::select! {
            counted = &mut counting => break counted,
            // Whatever it says: it is asked so that it reads its clock.
            _ = cluster.system().status(&member) => {}
        }
    };
    let (past, reason) = match counted {
        Ok(Ok(past)) => (past, None),
        Ok(Err(error)) => (Past::default(), Some(error.to_string())),
        Err(panic) => (Past::default(), Some(panic.to_string())),
    };
    clocks.watched(&member.id, past.clone());
    Some(Finding::ClockWatch {
        monotonic_offset_s: clocks.monotonic_offset_s(&member.id),
        node: member.id,
        n_past: past.n_reads,
        n_calls: past.n_calls,
        n_unreached: past.n_unreached,
        program: past.program,
        reason,
    })
}
