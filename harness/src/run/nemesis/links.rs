//! Cut, bad and healed links, and the datagrams and connections that prove them.

use std::sync::Arc;

use anyhow::{Context, Result};
use squall_nemeses::effect::Prepared;
use squall_nemeses::links::Applied;
use squall_nemeses::{Change, Mechanism, Proof, State};

use super::{Nemesis, blocking};

impl Nemesis {
    /// Changes all links at once, if anything of them changes.
    pub(super) async fn change_links(&self, change: &Change) -> Result<Option<(Applied, Prepared)>> {
        let Some(links) = change.network.clone() else { return Ok(None) };
        let (network, turned) = (Arc::clone(&self.network), change.turned.clone());
        let changed = blocking(move || network.apply(&links, &turned)).await;
        changed.context("change links").map(Some)
    }

    /// Proves that the links that are bad in another way than before are so; nothing if there are none.
    pub(super) async fn prove_turned(&self, change: &Change, mut prepared: Prepared) -> Result<Option<Proof>> {
        if change.turned.is_empty() {
            return Ok(None);
        }
        let (network, turned) = (Arc::clone(&self.network), change.turned.clone());
        let report = blocking(move || network.prove_turned(&turned, &mut prepared)).await;
        report.map(Proof::from).map(Some).context("probe the links that changed")
    }

    /// Like [`Nemesis::prove_turned`] for what only became better: where nothing can be seen of it, nothing speaks against it.
    pub(super) async fn prove_better(&self, change: &Change, prepared: Prepared) -> Result<Option<Proof>> {
        let proof = self.prove_turned(change, prepared).await?;
        Ok(proof.filter(|proof| proof.effect.as_ref().is_none_or(|effect| !effect.saw_nothing())))
    }

    /// Proves that exactly the cuts of `state` are cut.
    pub(super) async fn prove_links(&self, state: &State) -> Result<Proof> {
        let network = Arc::clone(&self.network);
        let (cuts, links) = (state.cuts.clone(), state.links.clone());
        blocking(move || network.prove(&cuts, &links))
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
