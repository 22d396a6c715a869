//! The last look before a heal, at the faults that one look at their beginning does not prove: those that may cease by themselves, and those that only the
//! node's own operations meet.

use std::sync::Arc;

use anyhow::{Context, Result};
use squall_nemeses::disk::probe::DiskReport;
use squall_nemeses::{Proof, Resolved, State};

use super::{Nemesis, blocking};

impl Nemesis {
    /// Whether a fault that is in force bites still, or did meanwhile; none of those whose first proof holds as long as they do.
    pub(super) async fn prove_still(&self, resolved: &Resolved, now: &State) -> Result<Vec<Proof>> {
        if resolved.state.balancer.no_ports {
            let network = Arc::clone(&self.network);
            let is_reached = now.is_reached_by_clients(&self.nodes);
            let report = blocking(move || network.prove_exhausted(is_reached)).await;
            return report
                .map(|report| vec![Proof::from(report)])
                .context("probe the balancer before the heal");
        }
        let misdirected = resolved.state.disks.iter().filter(|(_, trouble)| trouble.misdirects.is_some());
        let strays = |node: &String| Ok(Proof::from(DiskReport::of_strays(node, &self.disk(node)?)));
        misdirected.map(|(node, _)| strays(node)).collect()
    }
}
