//! The end of a fault: what it asked for is taken away, what others ask for stays, and both are seen.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use squall_checker::history::mark::Stage;
use squall_nemeses::disk::Disk;
use squall_nemeses::switch::Released;
use squall_nemeses::{Change, Mechanism, Proof, Resolved, State, World};
use tokio::sync::MutexGuard;
use tokio::time::Instant;
use tracing::info;

use super::Nemesis;
use super::beat::Beats;
use super::clocks::Must;
use super::proofs::{all_of, of_bite, of_heal, worse};
use super::stages::{Fill, stage, value};
use crate::plan::Injection;
use crate::run::members::HEAL_BOUND;

/// How long restarted nodes are asked for their incarnations. One may be held up by another fault; then its process alone is the proof.
const ANSWER_BOUND: Duration = Duration::from_secs(2);
/// What is left of that to each of several nodes, however long the others took: some answers of a node that serves.
const ANSWER_BOUND_LEAST: Duration = Duration::from_millis(200);

/// What happened while a fault was in force.
pub(super) struct Course {
    /// How often it came, if it came and went.
    pub(super) beats: Option<Beats>,
    /// What became of the packet that it waited for, if it did, when it was let go.
    pub(super) packet: Option<Released>,
}

impl Nemesis {
    /// Takes every fault away that is still in force, and proves it.
    ///
    /// # Errors
    /// When a mechanism fails.
    pub(in crate::run) async fn heal_all(&self) -> Result<()> {
        let mut world = self.world.lock().await;
        let before = world.desired();
        let active: Vec<u64> = world.active().collect();
        world.heal_all();
        if active.is_empty() {
            drop(world);
            return self.sweep_members().await;
        }
        let change = State::default().change_from(&before);
        let applied = self.apply(&change, &State::default()).await?;
        let mut proofs = applied.proofs;
        proofs.extend(self.prove_better(&change, applied.prepared).await?);
        proofs.push(self.prove_links(&State::default()).await?);
        proofs.extend(self.prove_clocks(before.clocks.keys(), Must::Fit).await?);
        // Nodes that come back are started with the world in hand.
        drop(world);
        // What the system does not do in time is the judge's matter: its nodes will not be ready.
        self.move_members(&change, HEAL_BOUND).await?;
        let ok = proofs.iter().all(|proof| proof.ok);
        self.network.faults_in_force.store(0, Ordering::Relaxed);
        for id in active {
            self.pen
                .fault("heal-all", stage(id, Stage::Healed).probe(&json!({"ok": ok, "proofs": proofs})));
        }
        self.sweep_members().await
    }

    /// Takes back what the system was asked for and did not confirm. The history has it as skipped, so nothing is said of its end.
    ///
    /// # Errors
    /// When a mechanism fails.
    pub(super) async fn undo(&self, id: u64) -> Result<()> {
        let mut world = self.world.lock().await;
        let before = world.desired();
        if world.heal(id).is_none() {
            return Ok(());
        }
        let after = world.desired();
        self.show_in_force(&world);
        let change = after.change_from(&before);
        self.apply(&change, &after).await?;
        drop(world);
        self.move_members(&change, HEAL_BOUND).await?;
        Ok(())
    }

    /// Takes a fault away, and says with its proof what happened in its `course`.
    pub(super) async fn heal(&self, injection: &Injection, resolved: &Resolved, course: Course) -> Result<()> {
        let (id, kind, mechanism) = (injection.id, injection.fault.kind(), injection.fault.mechanism());
        let mut world = self.world.lock().await;
        self.count_drops(mechanism).await?;
        let before = world.desired();
        if world.active().any(|active| active == id) {
            let still = self.prove_still(resolved, &before).await?;
            if !still.is_empty() {
                self.pen
                    .fault(kind, stage(id, Stage::Probed).probe(&of_bite(mechanism, resolved, still)));
            }
        }
        self.pen.fault(kind, stage(id, Stage::HealAsked));
        if world.heal(id).is_none() {
            return Ok(()); // healed with all others meanwhile
        }
        let after = world.desired();
        self.show_in_force(&world);
        let change = after.change_from(&before);
        let applied = self.apply(&change, &after).await?;
        let mut proofs = applied.proofs;
        proofs.extend(self.prove_better(&change, applied.prepared).await?);
        let healed = |proofs: Vec<Proof>, reason: &str| of_heal(mechanism, resolved, proofs, reason);
        let mut probe = match mechanism {
            // Of a lost domain the clients' links come back too.
            Mechanism::Cuts => {
                let cuts = self.prove_links(&after).await?;
                value(proofs.into_iter().fold(cuts, worse))
            }
            Mechanism::Links => healed(proofs, "other faults ask for the same, or hide it"),
            // Continued by nobody: it was killed meanwhile, or another pause still holds it.
            Mechanism::Motion => healed(proofs, "not paused by this fault any more"),
            Mechanism::Clocks => {
                drop(world);
                let proofs = self.prove_clocks(resolved.state.clocks.keys(), Must::Fit).await?;
                healed(proofs, "no clock was set")
            }
            Mechanism::Life => self.prove_returns(world, resolved).await,
            // Its nodes were killed for want of memory, or meanwhile by another fault: what is left to see is that they are back.
            Mechanism::Limits if !resolved.state.down.is_empty() => self.prove_returns(world, resolved).await,
            Mechanism::Limits => healed(proofs, "its node is down"),
            Mechanism::Balancer => healed(proofs, "another fault asks for the same"),
            Mechanism::Disks if !resolved.state.down.is_empty() => {
                let proofs = self.prove_power(world, resolved).await?;
                healed(proofs, "another fault keeps it down")
            }
            Mechanism::Disks => healed(proofs, self.why_unproved(resolved, &change)),
            Mechanism::System => {
                drop(world);
                match self.heal_members(id, &change).await? {
                    Some(probe) => probe,
                    // It is healed when the sweep has seen it.
                    None => return Ok(()),
                }
            }
        };
        if let Some(beats) = course.beats {
            probe["beats"] = value(beats);
        }
        if let Some(packet) = course.packet {
            probe["packet"] = value(packet);
        }
        info!(%probe, "healed");
        self.pen.fault(kind, stage(id, Stage::Healed).probe(&probe));
        Ok(())
    }

    /// The processes of all that were hit are back. The world is let go: an answer may take long.
    async fn prove_returns(&self, world: MutexGuard<'_, World>, resolved: &Resolved) -> Value {
        let down = world.desired().down;
        drop(world);
        let until = Instant::now() + ANSWER_BOUND;
        let mut probes = Vec::new();
        for node in &resolved.nodes {
            let mut probe = self.prove_return(node, down.contains(node), until).await;
            probe["node"] = json!(node);
            probes.push(probe);
        }
        all_of(probes)
    }

    /// The process is back; if the system counts its starts and answers, it says so itself.
    async fn prove_return(&self, node: &str, still_down: bool, until: Instant) -> Value {
        if self.has_departed(node) {
            return json!({"ok": true, "reason": "it left the cluster meanwhile"});
        }
        if still_down {
            return json!({"ok": true, "reason": "another fault keeps it down"});
        }
        // That its program runs again was seen when it was launched. It may be gone by now: by itself, which is a finding of its own, or
        // by the next fault. What is left to ask is whether it is a new process, if the system can tell.
        let bound = (until - Instant::now()).max(ANSWER_BOUND_LEAST);
        let status = self.cluster.ask_ready(node, bound).await;
        let incarnation = status.ok().and_then(|status| status.incarnation);
        let is_new = self.cluster.saw_incarnation(node, incarnation);
        json!({"ok": is_new, "launched": true, "incarnation": incarnation})
    }

    /// Why nothing was seen of a mended disk. Damage that was done stays: a node that refuses it is right.
    fn why_unproved(&self, resolved: &Resolved, change: &Change) -> &'static str {
        let is_damaged = |node: &String| self.cluster.disk(node).is_some_and(Disk::is_damaged);
        let changes = |node: &String| change.disks.contains_key(node);
        if !resolved.state.disks.keys().any(changes) {
            "other faults ask for the same"
        } else if resolved.state.disks.keys().any(is_damaged) {
            "nothing more is damaged; what was stays, and its node does not run on it"
        } else {
            "its node is down"
        }
    }
}
