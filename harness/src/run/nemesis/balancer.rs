//! The balancer in front of the nodes, and the connections through it that prove what is wrong with it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use squall_nemeses::{Change, Proof, State};
use tokio::time::{Instant, sleep_until};

use super::{Nemesis, blocking};

/// How often ports are used up that connections gave back: short against a fault, and long against the 10 ms that it takes for five nodes.
const REFILL: Duration = Duration::from_millis(200);

impl Nemesis {
    /// Changes what is wrong with the balancer, if that changes.
    pub(super) async fn change_balancer(&self, change: &Change, after: &State) -> Result<Option<Proof>> {
        let Some((before, now)) = change.balancer else { return Ok(None) };
        let network = Arc::clone(&self.network);
        let is_reached = after.is_reached_by_clients(&self.nodes);
        let report = blocking(move || network.rebalance(before, now, is_reached)).await;
        report.map(Proof::from).map(Some).context("change the balancer")
    }

    /// Until then, uses up whatever ports connections give back that stood when all others were used up.
    pub(super) async fn keep_ports_used_up(&self, until: Instant) -> Result<()> {
        while Instant::now() < until {
            let network = Arc::clone(&self.network);
            let refilled = blocking(move || network.refill_balancer()).await;
            refilled.context("use up the balancer's ports again")?;
            sleep_until(until.min(Instant::now() + REFILL)).await;
        }
        Ok(())
    }
}
