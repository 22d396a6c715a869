//! Figures that no operation shows: queues, fsyncs, retransmissions, drops. They end as counters in the history, for the report.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use squall_checker::history::mark::Finding;
use tokio::task::JoinHandle;

use super::network::Network;
use crate::cluster::Cluster;
use crate::record::Pen;

/// Between two questions to the nodes. A killed node takes its maxima with it: at most this much of them is missed.
const PAUSE: Duration = Duration::from_millis(500);

type ByNode = BTreeMap<String, BTreeMap<String, u64>>;

/// Collects what nodes say of themselves while the load runs.
pub(super) struct Figures {
    seen: Arc<Mutex<ByNode>>,
    collector: JoinHandle<()>,
}

impl Figures {
    /// Starts to ask.
    pub(super) fn collect(cluster: Arc<Cluster>) -> Figures {
        let seen: Arc<Mutex<ByNode>> = Arc::default();
        let into = Arc::clone(&seen);
        let collector = tokio::spawn(async move {
            loop {
                tokio::time::sleep(PAUSE).await;
                for member in cluster.nodes() {
                    // A node that is down or cut off has nothing to say now.
                    if let Ok(status) = cluster.system().status(member).await {
                        let mut seen = into.lock().expect("no holder of this lock panics");
                        keep_largest(seen.entry(member.id.clone()).or_default(), status.figures);
                    }
                }
            }
        });
        Figures { seen, collector }
    }

    /// Ends the collection and records everything, with what the kernel counted for each node's network.
    pub(super) async fn record(self, pen: &Pen, network: &Arc<Network>) {
        self.collector.abort();
        let network = Arc::clone(network);
        let counted = tokio::task::spawn_blocking(move || network.counters()).await.unwrap_or_default();
        let mut all = std::mem::take(&mut *self.seen.lock().expect("no holder of this lock panics"));
        for (node, counters) in counted {
            all.entry(node).or_default().extend(counters);
        }
        for (node, counters) in all {
            pen.finding(Finding::Counters { node, counters });
        }
    }
}

/// Records what the clients counted: connections made anew, and operations that succeeded after they had been asked more than once.
pub(super) fn record_clients(pen: &Pen, retries: u64, succeeded_after_retry: u64) {
    pen.finding(Finding::Counters {
        node: "clients".into(),
        counters: BTreeMap::from([("retries".into(), retries), ("retried_ok".into(), succeeded_after_retry)]),
    });
}

/// Every figure of a node is a maximum or only grows, within one life of its process; over several lives the largest is kept.
fn keep_largest(known: &mut BTreeMap<String, u64>, said: BTreeMap<String, u64>) {
    for (name, figure) in said {
        let known = known.entry(name).or_default();
        *known = (*known).max(figure);
    }
}
