//! Spare nodes: started to join a cluster that serves, taken out of it again, and stopped once they are out.
//!
//! A spare node runs only while a fault wants it to be a member, and until the cluster shows that it is none any more: a voter that is stopped is a
//! node that is down. What a leader did not confirm in time is asked for again when everything else is healed ([`Nemesis::sweep_spares`]).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};
use squall_checker::history::mark::Stage;
use squall_nemeses::{Answered, Change, Proof, State};
use tokio::sync::MutexGuard;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tracing::warn;

use super::Nemesis;
use super::stages::{Fill, stage};
use crate::run::members::{HEAL_BOUND, NO_LEADER, Wish};
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

    /// A change without restarts of spare nodes that are to run no more, or run already.
    pub(super) fn without_departed(&self, change: &Change, after: &State) -> Change {
        let mut change = change.clone();
        change.restart.retain(|node| {
            let is_wanted = after.joined.contains(node) && !self.cluster.is_running(node);
            is_wanted || !self.cluster.is_spare(node)
        });
        change
    }

    /// Whether a node is a spare one that does not run, so that nothing of it is to be seen.
    pub(super) fn has_departed(&self, node: &str) -> bool {
        self.cluster.is_spare(node) && !self.cluster.is_running(node)
    }

    /// Asks for everything in `change` that only the system can do, each wish for as long as `bound`, and starts and stops spare nodes around it.
    /// The first proof that is not as it should be is the last one.
    ///
    /// # Errors
    /// If a process cannot be started or stopped.
    pub(super) async fn move_members(&self, change: &Change, bound: Duration) -> Result<Vec<Proof>> {
        let joining = self.cluster.system().joining();
        let Ok(_turn) = self.take_turn(joining, change, bound).await else {
            let said = "other members come or go all the time".to_owned();
            let (ok, duration_us) = (false, micros(bound));
            return Ok(vec![Proof::from(Answered { ok, said, duration_us })]);
        };
        self.taken
            .lock()
            .expect("no holder of this lock panics")
            .extend(change.join.iter().cloned());
        for node in &change.leave {
            self.cluster.expect_departure(node);
        }
        let newcomers = self.never_there(&change.join);
        let mut proofs = match joining {
            Joining::Started => {
                self.start_spares(&change.join).await?;
                self.ask_system(change, bound).await
            }
            Joining::Announced => self.announce(change, bound).await?,
        };
        if proofs.iter().any(|proof| !proof.ok) {
            return Ok(proofs);
        }
        for node in &change.join {
            proofs.push(Proof::from(self.see_serving(node, newcomers.contains(node), bound).await));
        }
        for node in &change.leave {
            proofs.extend(self.stop_spare(node).await?);
        }
        Ok(proofs)
    }

    /// Who is started as a member must know all others: while it is, nobody comes or goes. Who is to leave waits for as long as it takes.
    async fn take_turn(&self, joining: Joining, change: &Change, bound: Duration) -> Result<Option<MutexGuard<'_, ()>>, Elapsed> {
        match joining {
            Joining::Started => Ok(None),
            Joining::Announced if change.join.is_empty() => Ok(Some(self.turn.lock().await)),
            Joining::Announced => timeout(bound, self.turn.lock()).await.map(Some),
        }
    }

    /// Of these nodes those that join with nothing.
    fn never_there(&self, nodes: &BTreeSet<String>) -> BTreeSet<String> {
        let with_nothing = self.cluster.system().joining() == Joining::Announced;
        let is_new = |node: &&String| with_nothing || !self.cluster.has_run(node);
        nodes.iter().filter(is_new).cloned().collect()
    }

    async fn start_spares(&self, nodes: &BTreeSet<String>) -> Result<()> {
        for node in nodes.iter().filter(|node| !self.cluster.is_running(node)) {
            self.cluster.start(node).await?;
        }
        Ok(())
    }

    /// Nodes that are made members before they are started, one after the other: the next is taken in when the one before serves.
    async fn announce(&self, change: &Change, bound: Duration) -> Result<Vec<Proof>> {
        let mut proofs = Vec::new();
        for node in &change.join {
            let wish = Wish::Members {
                add: vec![node.clone()],
                remove: Vec::new(),
            };
            let answered = self.ask_until(&wish, bound).await;
            let is_in = answered.ok;
            proofs.push(Proof::from(answered));
            if !is_in {
                return Ok(proofs);
            }
            self.cluster.announce(node, self.voters_with(node).await);
            self.cluster.start(node).await?;
            let served = self.see_serving(node, true, bound).await;
            if !served.ok {
                proofs.push(Proof::from(served));
                return Ok(proofs);
            }
            self.cluster.has_entered(node);
        }
        let rest = Change {
            join: BTreeSet::new(),
            ..change.clone()
        };
        proofs.extend(self.ask_system(&rest, bound).await);
        Ok(proofs)
    }

    /// Who votes now, and this node.
    async fn voters_with(&self, node: &str) -> Vec<Member> {
        let voters = self.newest_leader().await.map(|(_, standing)| standing.voters).unwrap_or_default();
        let is_in = |member: &&Member| member.id == node || voters.contains(&member.id);
        self.cluster.nodes().iter().filter(is_in).cloned().collect()
    }

    async fn see_serving(&self, node: &str, is_new: bool, bound: Duration) -> Answered {
        let began = Instant::now();
        let (ok, said) = match self.cluster.ask_ready(node, bound).await {
            Ok(_) if is_new => (true, format!("{node}, which was never there before, votes and serves")),
            Ok(_) => (true, format!("{node}, which came back with what it had, votes and serves")),
            Err(why) => (false, format!("{node} was taken in and does not serve: {why}")),
        };
        Answered {
            ok,
            said,
            duration_us: micros(began.elapsed()),
        }
    }

    /// Ends the process of a node that is no member any more. `None` if it has none.
    async fn stop_spare(&self, node: &str) -> Result<Option<Proof>> {
        if self.cluster.system().joining() == Joining::Announced && self.cluster.wait_gone(node, EXIT_BOUND).await.is_ok() {
            return Ok(None);
        }
        match self.kill_node(node, true).await {
            // It ended by itself between the look and the signal.
            Err(_) if !self.cluster.is_running(node) => Ok(None),
            stopped => stopped,
        }
    }

    /// The end of a fault that asked the system for something, as the history has it. What is not confirmed is no failure of ours: a cluster that takes
    /// nobody in or out is not alive, which the recovery shows, and spare nodes run on until the sweep.
    pub(super) async fn heal_members(&self, id: u64, change: &Change) -> Result<Value> {
        let proofs = self.move_members(change, HEAL_BOUND).await?;
        if !change.leave.is_empty() && proofs.iter().any(|proof| !proof.ok) {
            self.lingering.lock().expect("no holder of this lock panics").insert(id);
        }
        let ok = proofs.iter().all(|proof| proof.ok || proof.answered.is_some());
        Ok(match &proofs[..] {
            [] => json!({"ok": true, "reason": "nothing is to be healed"}),
            [proof] => json!({"ok": ok, "proof": proof}),
            proofs => json!({"ok": ok, "proofs": proofs}),
        })
    }

    /// Takes every spare node out that is still a member, now that nothing else is wrong, and stops it. A cluster with a leader that does not let
    /// it go has not been healed.
    pub(super) async fn sweep_spares(&self) -> Result<()> {
        // Whoever was ever to join: a request that nobody answered may have been done later.
        let taken = self.taken.lock().expect("no holder of this lock panics").clone();
        if taken.is_empty() {
            return Ok(());
        }
        let change = Change {
            leave: taken,
            ..Change::default()
        };
        let proofs = self.move_members(&change, HEAL_BOUND).await?;
        let without_leader = |proof: &Proof| proof.answered.as_ref().is_some_and(|answered| answered.said == NO_LEADER);
        let ok = proofs.iter().all(|proof| proof.ok || without_leader(proof));
        if !ok {
            warn!(?proofs, "spare nodes are still members");
        }
        let lingering = std::mem::take(&mut *self.lingering.lock().expect("no holder of this lock panics"));
        for id in lingering {
            let probe = json!({"ok": ok, "proofs": proofs});
            self.pen.fault("heal-all", stage(id, Stage::Healed).probe(&probe));
        }
        Ok(())
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
