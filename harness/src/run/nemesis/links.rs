//! Cut and healed links, and the datagrams that prove them.

use std::sync::Arc;

use anyhow::{Context, Result};
use squall_nemeses::links::Applied;
use squall_nemeses::partition::Cuts;
use squall_nemeses::{Mechanism, Proof};

use super::{Nemesis, blocking};

impl Nemesis {
    pub(super) async fn apply_links(&self, cuts: Cuts) -> Result<Applied> {
        let network = Arc::clone(&self.network);
        blocking(move || network.apply(&cuts)).await.context("cut or heal links")
    }

    /// Proves that exactly `cuts` are cut.
    pub(super) async fn prove_links(&self, cuts: Cuts) -> Result<Proof> {
        let network = Arc::clone(&self.network);
        blocking(move || network.prove(&cuts))
            .await
            .map(Proof::from)
            .context("probe the links")
    }

    /// Reads the counters of the standing cuts, which go with them.
    pub(super) async fn count_drops(&self, mechanism: Mechanism) -> Result<()> {
        if mechanism == Mechanism::Cuts {
            let network = Arc::clone(&self.network);
            blocking(move || {
                network.count_drops();
                Ok(())
            })
            .await?;
        }
        Ok(())
    }
}
