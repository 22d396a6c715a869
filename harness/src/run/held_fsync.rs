//! Fsyncs that faults wait for: a disk asks before each whether it is to hold it, and does until the fault is applied.
//!
//! The counterpart of `run/gate.rs` for programs that are not ours: the disk is ours, whoever writes to it.

use std::sync::Arc;

use squall_nemeses::disk::Disk;
use tokio::runtime::Handle;

use super::gate::{HOLD_BOUND, Watch};
use crate::schedule::when::Seen;

/// Lets whoever waits know of every fsync of a node, before it is done. To be called on the runtime, whose tasks let the fsyncs go.
pub(super) fn watch(node: &str, disk: &Disk, events: &Arc<Watch>) {
    let (node, events, held, runtime) = (node.to_owned(), Arc::clone(events), disk.clone(), Handle::current());
    disk.ask_before_fsync(move || {
        if !events.is_awaited() {
            return false;
        }
        let Some(released) = events.saw(&node, Seen::Syncs) else {
            return false;
        };
        let disk = held.clone();
        runtime.spawn(async move {
            // However it ends, the node goes on.
            let _ = tokio::time::timeout(HOLD_BOUND, released).await;
            disk.release();
        });
        true
    });
}
