//! One change of the world, applied: mechanism by mechanism, in the order in which they depend on each other.

use std::collections::BTreeMap;

use anyhow::Result;
use squall_nemeses::effect::Prepared;
use squall_nemeses::{Change, Proof, State, clock, links};

use super::Nemesis;

/// What applying a change came to.
pub(super) struct Applied {
    /// The change of the links, if there was one.
    pub(super) links: Option<links::Applied>,
    /// What proves, together with the change, that links are bad in another way now.
    pub(super) prepared: Prepared,
    /// The clocks that were set. They are proved by whoever asked for them, by what they show.
    pub(super) clocks: BTreeMap<String, clock::Set>,
    /// What was seen of every other mechanism that changed. Cuts are proved by whoever asked for them, as a whole.
    pub(super) proofs: Vec<Proof>,
}

impl Nemesis {
    /// Applies all of a change but what only the system can do; `after` is the state that it leads to.
    pub(super) async fn apply(&self, change: &Change, after: &State) -> Result<Applied> {
        let change = &self.without_departed(change, after);
        let (links, prepared) = self.change_links(change).await?.unzip();
        let clocks = self.set_clocks(change)?;
        // Before the processes: whom the kernel is to kill must run, and who is started again needs its memory back.
        let mut proofs = self.change_limits(change).await?;
        proofs.extend(self.change_balancer(change, after).await?);
        // Before the kills and restarts, too: who is to lose power leaves its probe's bytes, and who is started again needs its disk.
        let (of_disks, doomed) = self.change_disks(change, after).await?;
        proofs.extend(of_disks);
        proofs.extend(self.change_processes(change).await?);
        proofs.extend(self.cut_power(doomed).await?);
        self.expect_exits_of_restarted(change, after);
        self.limit_restarted(change, after).await?;
        Ok(Applied {
            links,
            prepared: prepared.unwrap_or_default(),
            clocks,
            proofs,
        })
    }
}
