//! The last phase: every key is read once more, and every live node answers at least one read.
//!
//! What is lost and never read again would be lost unseen; and a node that came back with nothing would never be asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use squall_workloads::{Function, Operation, Outcome, Retry, final_reads};

use super::clients::{Driver, Seat, Settings};
use crate::cluster::Cluster;
use crate::record::Pen;

/// Pause before a failed final read is tried again: long enough for a node to notice that a peer is back.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Reads all `keys` by `read`, spread over the live nodes, each until it succeeds or `bound` ends. The readers take `first` and the seats
/// after it. What failed is seen by the judge in the history.
pub(super) async fn read_everything(
    cluster: &Arc<Cluster>,
    pen: &Pen,
    read: Function,
    keys: BTreeSet<Arc<str>>,
    first: Seat,
    timeout: Duration,
    bound: Duration,
) {
    let live: Vec<String> = cluster
        .members()
        .iter()
        .map(|member| member.id.clone())
        .filter(|node| cluster.is_running(node))
        .collect();
    if live.is_empty() {
        return; // every node exited by itself, which is recorded
    }
    let mut by_node: BTreeMap<String, Vec<Operation>> = BTreeMap::new();
    for read in final_reads(read, keys, &live) {
        by_node.entry(read.node).or_default().push(read.operation);
    }
    let deadline = Instant::now() + bound;
    let readers: Vec<_> = (first.number..)
        .zip(by_node)
        .map(|(number, (node, operations))| {
            let member = cluster
                .members()
                .iter()
                .find(|member| member.id == node)
                .expect("reads were spread over members");
            let client = cluster.system().client(member, &format!("final-{node}"));
            let seat = Seat { number, of: first.of };
            let driver = Driver::new(
                client,
                pen.clone(),
                seat,
                Settings {
                    operation_timeout: timeout,
                    seed: 0,
                    retry: Retry::None,
                },
            );
            tokio::spawn(read_all(driver, operations, deadline))
        })
        .collect();
    for reader in readers {
        // A reader that panicked leaves reads missing, which the judge reports as vacuous.
        let _ = reader.await;
    }
}

async fn read_all(mut driver: Driver, operations: Vec<Operation>, deadline: Instant) {
    for operation in operations {
        loop {
            match driver.attempt(&operation).await {
                Ok(Outcome::Ok(_)) => break,
                Ok(_) if Instant::now() < deadline => tokio::time::sleep(RETRY_PAUSE).await,
                Ok(_) | Err(_) => return,
            }
        }
    }
}
