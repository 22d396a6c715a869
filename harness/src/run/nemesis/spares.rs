//! Spare nodes: started to join a cluster that serves, taken out of it again, and stopped once they are out.
//!
//! A spare node runs only while a fault wants it to be a member, and until the cluster shows that it is none any more: a voter that is stopped is a
//! node that is down. What a leader did not confirm in time is asked for again when everything else is healed ([`Nemesis::sweep_members`]), and so is
//! every member of the plan that was ever taken out, where who is out ends.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};
use squall_checker::history::mark::Stage;
use squall_nemeses::{Answered, Change, Proof, State};
use tracing::warn;

use super::Nemesis;
use super::announced::Patience;
use super::stages::{Fill, stage};
use crate::run::members::{HEAL_BOUND, NO_LEADER};
use crate::systems::{Joining, Member};

/// How long a node that was taken out may take to end by itself, where such nodes do; then it is killed.
const EXIT_BOUND: Duration = Duration::from_secs(2);

impl Nemesis {
    /// The spare nodes that a fault can take now: they do not run, no fault has to do with them, and who never ran comes first.
    pub(super) fn free_spares(&self, now: &State) -> Vec<String> {
        let is_free = |spare: &&Member| {
            let claimed = [&now.joined, &now.down, &now.paused];
            !self.cluster.is_running(&spare.id) && claimed.iter().all(|nodes| !nodes.contains(&spare.id))
        };
        let mut free: Vec<String> = self.cluster.spares().iter().filter(is_free).map(|spare| spare.id.clone()).collect();
        free.sort_by_key(|spare| self.cluster.has_run(spare));
        free
    }

    /// A change without restarts of nodes that are to run no more, or run already: of spare ones, and of members that are out and come back with nothing.
    pub(super) fn without_departed(&self, change: &Change, after: &State) -> Change {
        let mut change = change.clone();
        change.restart.retain(|node| {
            let is_wanted = !self.cluster.is_spare(node) || (after.joined.contains(node) && !self.cluster.is_running(node));
            is_wanted && !self.cluster.comings().is_out(node)
        });
        change
    }

    /// Whether a node is one that is out, or a spare one, and does not run, so that nothing of it is to be seen.
    pub(super) fn has_departed(&self, node: &str) -> bool {
        let may_be_out = self.cluster.is_spare(node) || self.cluster.comings().is_out(node);
        may_be_out && !self.cluster.is_running(node)
    }

    /// Asks for everything in `change` that only the system can do, with `patience`, and starts and stops nodes that come and go around it.
    /// The first proof that is not as it should be is the last one.
    ///
    /// # Errors
    /// If a process cannot be started or stopped.
    pub(super) async fn move_members(&self, change: &Change, patience: impl Into<Patience>) -> Result<Vec<Proof>> {
        let patience = patience.into();
        self.taken
            .lock()
            .expect("no holder of this lock panics")
            .extend(change.join.iter().cloned());
        match self.cluster.system().joining() {
            Joining::Started => self.move_started(change, patience.bound).await,
            Joining::Announced => {
                let mut proofs = self.move_announced(change, patience).await?;
                if proofs.iter().all(|proof| proof.ok) {
                    proofs.extend(self.ask_system(&leadership_of(change), patience.bound).await);
                }
                Ok(proofs)
            }
        }
    }

    /// Members that run before they are asked in, and after they are out.
    async fn move_started(&self, change: &Change, bound: Duration) -> Result<Vec<Proof>> {
        for node in &change.leave {
            self.cluster.expect_departure(node, true);
        }
        let newcomers: BTreeSet<&String> = change.join.iter().filter(|node| !self.cluster.has_run(node)).collect();
        self.start_spares(&change.join).await?;
        let mut proofs = self.ask_system(change, bound).await;
        if proofs.iter().any(|proof| !proof.ok) {
            return Ok(proofs);
        }
        for node in &change.join {
            let is_new = newcomers.contains(node);
            let how = if is_new {
                "was never there before"
            } else {
                "came back with what it had"
            };
            proofs.push(Proof::from(self.see_serving(node, how, bound).await));
        }
        for node in &change.leave {
            proofs.extend(self.stop_gone(node).await?);
        }
        Ok(proofs)
    }

    async fn start_spares(&self, nodes: &BTreeSet<String>) -> Result<()> {
        for node in nodes.iter().filter(|node| !self.cluster.is_running(node)) {
            self.cluster.start(node).await?;
        }
        Ok(())
    }

    pub(super) async fn see_serving(&self, node: &str, how: &str, bound: Duration) -> Answered {
        let began = Instant::now();
        let (ok, said) = match self.cluster.ask_ready(node, bound).await {
            Ok(_) => (true, format!("{node}, which {how}, votes and serves")),
            Err(why) => (false, format!("{node} was taken in and does not serve: {why}")),
        };
        Answered {
            ok,
            said,
            duration_us: micros(began.elapsed()),
        }
    }

    /// Sees the process of a node end that ran and is no member any more, and ends it if it does not.
    pub(super) async fn see_gone(&self, node: &str) -> Result<Option<Proof>> {
        let began = Instant::now();
        if self.cluster.wait_gone(node, EXIT_BOUND).await.is_err() {
            return self.stop_gone(node).await;
        }
        Ok(Some(Proof::from(Answered {
            ok: true,
            said: format!("{node} is out, and {}", self.cluster.how_it_ended(node)),
            duration_us: micros(began.elapsed()),
        })))
    }

    /// Ends the process of a node that is no member any more. `None` if it has none.
    pub(super) async fn stop_gone(&self, node: &str) -> Result<Option<Proof>> {
        // No fault kills or starts it meanwhile.
        let _world = self.world.lock().await;
        match self.kill_node(node, true).await {
            // It ended by itself between the look and the signal.
            Err(_) if !self.cluster.is_running(node) => Ok(None),
            stopped => stopped,
        }
    }

    /// The end of a fault that asked the system for something, as the history has it. What is not confirmed is no failure of ours: a cluster that takes
    /// nobody in or out is not alive, which the recovery shows. `None` if it is not healed yet, other faults being in the way: that is left to the sweep.
    pub(super) async fn heal_members(&self, id: u64, change: &Change) -> Result<Option<Value>> {
        let proofs = self.move_members(change, HEAL_BOUND).await?;
        let is_swept = !change.leave.is_empty() || (!change.add.is_empty() && self.cluster.system().joining() == Joining::Announced);
        if is_swept && proofs.iter().any(|proof| !proof.ok) {
            warn!(id, ?proofs, "not healed yet");
            self.lingering.lock().expect("no holder of this lock panics").insert(id);
            return Ok(None);
        }
        let ok = proofs.iter().all(|proof| proof.ok || proof.answered.is_some());
        Ok(Some(match &proofs[..] {
            [] => json!({"ok": true, "reason": "nothing is to be healed"}),
            [proof] => json!({"ok": ok, "proof": proof}),
            proofs => json!({"ok": ok, "proofs": proofs}),
        }))
    }

    /// Takes every spare node out that is still a member, now that nothing else is wrong, and stops it; and brings every member of the plan back that is
    /// out. A cluster with a leader that does not let them go, or come, has not been healed.
    pub(super) async fn sweep_members(&self) -> Result<()> {
        // Whoever was ever to join or to leave: a request that nobody answered may have been done later.
        let change = Change {
            leave: self.taken.lock().expect("no holder of this lock panics").clone(),
            add: self.cluster.comings().touched(),
            ..Change::default()
        };
        if change.leave.is_empty() && change.add.is_empty() {
            return Ok(());
        }
        let proofs = self.move_members(&change, HEAL_BOUND).await?;
        let without_leader = |proof: &Proof| proof.answered.as_ref().is_some_and(|answered| answered.said == NO_LEADER);
        let ok = proofs.iter().all(|proof| proof.ok || without_leader(proof));
        if proofs.iter().all(|proof| proof.ok) {
            // Nothing is wrong, and each of them serves through a majority: a request that nobody answered is done by now, or lost.
            change.add.iter().for_each(|node| self.cluster.settle(node));
        }
        if !ok {
            warn!(?proofs, "the members are not those of the plan");
        }
        let lingering = std::mem::take(&mut *self.lingering.lock().expect("no holder of this lock panics"));
        for id in lingering {
            let probe = json!({"ok": ok, "proofs": proofs});
            self.pen.fault("heal-all", stage(id, Stage::Healed).probe(&probe));
        }
        Ok(())
    }
}

/// Of a change who is to lead.
fn leadership_of(change: &Change) -> Change {
    Change {
        transfer: change.transfer.clone(),
        ..Change::default()
    }
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
