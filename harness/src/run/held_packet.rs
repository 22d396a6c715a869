//! Packets that faults wait for: the switch asks before each whether it is to hold it, and does until the fault is applied.
//!
//! The counterpart of `run/held_fsync.rs` for what goes from one to another, whatever the program.

use std::sync::{Arc, Weak};

use anyhow::Result;
use squall_nemeses::switch::Passing;
use tokio::runtime::Handle;

use super::gate::{HOLD_BOUND, Hold, Watch};
use super::network::Network;
use crate::schedule::packet::Packet;

/// Lets whoever waits know of every packet with a payload, before it enters its link. To be called on the runtime, whose tasks let the packets go.
///
/// # Errors
/// If the network is no switch.
pub(super) fn watch(network: &Arc<Network>, events: &Arc<Watch>) -> Result<()> {
    let (events, runtime, held_by) = (Arc::clone(events), Handle::current(), Arc::downgrade(network));
    network.ask_before_packet(move |passing: &Passing<'_>| {
        if !events.is_awaited() {
            return false;
        }
        let packet = Packet {
            from: passing.from,
            to: passing.to,
            bytes: passing.bytes,
        };
        let Some(hold) = events.saw_packet(&packet) else {
            return false;
        };
        runtime.spawn(let_go(hold, held_by.clone(), passing.number));
        true
    })
}

/// Lets packet `number` go when it may, and tells what became of it.
async fn let_go((released, tell): Hold, network: Weak<Network>, number: u64) {
    // However it ends, the packet goes on.
    let _ = tokio::time::timeout(HOLD_BOUND, released).await;
    let release = move || network.upgrade()?.release_packet(number);
    if let Ok(Some(fate)) = tokio::task::spawn_blocking(release).await {
        // Whoever does not wait for the packet any more does not miss it.
        let _ = tell.send(fate);
    }
}
