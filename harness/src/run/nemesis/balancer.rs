//! The balancer in front of the nodes, and the connections through it that prove what is wrong with it.

use std::sync::Arc;

use anyhow::{Context, Result};
use squall_nemeses::{Change, Proof};

use super::{Nemesis, blocking};

impl Nemesis {
    /// Changes what is wrong with the balancer, if that changes.
    pub(super) async fn change_balancer(&self, change: &Change) -> Result<Option<Proof>> {
        let Some((before, now)) = change.balancer else { return Ok(None) };
        let network = Arc::clone(&self.network);
        let report = blocking(move || network.rebalance(before, now)).await;
        report.map(Proof::from).map(Some).context("change the balancer")
    }
}
