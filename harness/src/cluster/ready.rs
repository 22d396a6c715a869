//! Whether nodes are ready, as they say themselves.

use std::time::{Duration, Instant};

use squall_checker::history::mark::Finding;

use super::Cluster;
use crate::systems::NodeStatus;

/// Pause between two questions to a node that is not ready yet: short against a start, long against a question.
const ASK_PAUSE: Duration = Duration::from_millis(10);

impl Cluster {
    /// Asks a node until it is ready or the bound ends.
    ///
    /// # Errors
    /// The last thing that was heard of it, if it did not become ready.
    pub async fn ask_ready(&self, node: &str, bound: Duration) -> Result<NodeStatus, String> {
        let began = Instant::now();
        let member = self.member(node);
        loop {
            if !self.is_running(node) {
                return Err(self.how_it_ended(node));
            }
            let said = match self.system.status(member).await {
                Ok(status) if status.ready => return Ok(status),
                Ok(status) => status.said,
                Err(error) => format!("{error:#}"),
            };
            if began.elapsed() > bound {
                return Err(said);
            }
            tokio::time::sleep(ASK_PAUSE).await;
        }
    }

    /// Asks a node until it is ready or the bound ends, and records which. `at` is `start` or `recovery`.
    pub async fn wait_ready(&self, node: &str, at: &str, bound: Duration) -> Option<NodeStatus> {
        let began = Instant::now();
        let asked = self.ask_ready(node, bound).await;
        if asked.is_err() && self.is_damaged(node) && !self.is_running(node) {
            return None; // it refused what a fault did to its disk, as it may
        }
        let reason = asked.as_ref().err().cloned();
        self.pen.finding(Finding::Ready {
            node: node.to_owned(),
            at: at.to_owned(),
            ok: asked.is_ok(),
            after_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            log_tail: if reason.is_some() { self.log_tail(node) } else { Vec::new() },
            reason,
        });
        let status = asked.ok()?;
        self.saw_incarnation(node, status.incarnation);
        Some(status)
    }

    /// Takes note of a node's incarnation; `false` if it was seen before, so that the process cannot have been started anew. A system
    /// that does not count its starts is always new.
    pub fn saw_incarnation(&self, node: &str, incarnation: Option<u64>) -> bool {
        let Some(incarnation) = incarnation else { return true };
        let mut seen = self.incarnations.lock().expect("no holder of this lock panics");
        seen.insert(node.to_owned(), incarnation).is_none_or(|before| before < incarnation)
    }

    /// How a node's process ended that does not run.
    pub(crate) fn how_it_ended(&self, node: &str) -> String {
        let ends = self.ends.lock().expect("no holder of this lock panics");
        ends.get(node).map_or_else(
            || "its process does not run".into(),
            |status| format!("its process ended with {status}"),
        )
    }
}
