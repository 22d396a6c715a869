//! The nemesis: plays the schedule, proves each injection and each heal, and records every stage.
//!
//! One lock holds the desired state of the world; whoever changes it applies the change and proves it before letting go, so stages of
//! different faults never interleave half-done.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;
use serde_json::{Value, json};
use squall_checker::history::mark::{FaultStage, Stage};
use squall_nemeses::partition::Cuts;
use squall_nemeses::process::{self, Paused};
use squall_nemeses::{Asks, Change, Fault, KeyRoles, Proof, Receipt, Resolved, Roles, State, World};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{Instrument, info, info_span};

use super::binding::Activity;
use super::freeze::{self, FrozenNode};
use super::members::{HEAL_BOUND, INJECT_BOUND};
use super::network::Network;
use crate::cluster::Cluster;
use crate::plan::Injection;
use crate::record::Pen;

/// How long a signal may take to be seen in `/proc`: idle it needs milliseconds, so this is patience with a loaded machine.
const SIGNAL_BOUND: Duration = Duration::from_secs(5);
/// How long a restarted node is asked for its incarnation. It may be held up by another fault; then its process alone is the proof.
const ANSWER_BOUND: Duration = Duration::from_secs(2);
/// How long all nodes together are asked who leads or who holds a key.
const ROLES_BOUND: Duration = Duration::from_millis(500);

/// What came of an attempt to inject a fault.
enum Injected {
    /// Nothing was done.
    Not,
    /// It is in force.
    As(Box<Resolved>),
    /// The system was asked and did not confirm it; it may come to be in force.
    Perhaps,
}

/// Injects and heals faults, and records their stages.
pub(super) struct Nemesis {
    cluster: Arc<Cluster>,
    network: Arc<Network>,
    pen: Pen,
    activity: Arc<Activity>,
    nodes: Vec<String>,
    world: Mutex<World>,
}

impl Nemesis {
    /// A nemesis that has done nothing yet.
    pub(super) fn new(cluster: Arc<Cluster>, network: Arc<Network>, pen: Pen, activity: Arc<Activity>) -> Arc<Nemesis> {
        let nodes = cluster.members().iter().map(|member| member.id.clone()).collect();
        Arc::new(Nemesis {
            cluster,
            network,
            pen,
            activity,
            nodes,
            world: Mutex::default(),
        })
    }

    /// The nodes it torments.
    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Plays the whole schedule. Dropping the future leaves faults in force: call [`Nemesis::heal_all`] afterwards, always.
    ///
    /// # Errors
    /// When a mechanism fails; a fault that does not bite is no error but a probe that says so.
    pub(super) async fn play(self: &Arc<Self>, schedule: &[Injection], began: Instant) -> Result<()> {
        let mut lives = JoinSet::new();
        for injection in schedule {
            let span = info_span!("fault", id = injection.id, kind = injection.fault.kind());
            lives.spawn(Arc::clone(self).live(injection.clone(), began).instrument(span));
        }
        while let Some(life) = lives.join_next().await {
            life.context("a fault's task")??;
        }
        Ok(())
    }

    /// Freezes all nodes, with the faults in force as they are. The schedule must not be played any more.
    pub(super) async fn freeze_all(&self) -> Vec<FrozenNode> {
        // Whatever was just being injected or healed ends first, so that nothing is resumed afterwards.
        let _world = self.world.lock().await;
        freeze::freeze_all(&self.cluster, &self.pen).await
    }

    /// Takes every fault away that is still in force, and proves it.
    ///
    /// # Errors
    /// When a mechanism fails.
    pub(super) async fn heal_all(&self) -> Result<()> {
        let mut world = self.world.lock().await;
        let before = world.desired();
        let active: Vec<u64> = world.active().collect();
        world.heal_all();
        if active.is_empty() {
            return Ok(());
        }
        let change = State::default().change_from(&before);
        let mut resumed = self.change(&change, &Cuts::new()).await?;
        resumed.extend([self.prove_links(Cuts::new()).await?]);
        // What the system does not do in time is the judge's matter: its nodes will not be ready.
        self.ask_system(&change, HEAL_BOUND).await;
        let ok = resumed.iter().all(|proof| proof.ok);
        self.network.faults_in_force.store(0, Ordering::Relaxed);
        for id in active {
            self.pen
                .fault("heal-all", stage(id, Stage::Healed).probe(&json!({"ok": ok, "proofs": resumed})));
        }
        Ok(())
    }

    /// One injection from its hour to its heal.
    async fn live(self: Arc<Self>, injection: Injection, began: Instant) -> Result<()> {
        tokio::time::sleep_until(began + Duration::from_millis(injection.at_ms)).await;
        let injected = self.inject(&injection).await?;
        if matches!(injected, Injected::Not) {
            return Ok(());
        }
        tokio::time::sleep_until(began + Duration::from_millis(injection.at_ms + injection.for_ms)).await;
        match injected {
            Injected::Not => Ok(()),
            Injected::As(resolved) => self.heal(&injection, &resolved).await,
            Injected::Perhaps => {
                self.undo(injection.id).await;
                Ok(())
            }
        }
    }

    /// Takes back what the system was asked for and did not confirm. The history has it as skipped, so nothing is said of its end.
    async fn undo(&self, id: u64) {
        let mut world = self.world.lock().await;
        let before = world.desired();
        if world.heal(id).is_some() {
            let change = world.desired().change_from(&before);
            drop(world);
            self.ask_system(&change, HEAL_BOUND).await;
        }
    }

    async fn inject(&self, injection: &Injection) -> Result<Injected> {
        let (id, kind) = (injection.id, injection.fault.kind());
        let mut world = self.world.lock().await;
        self.count_drops(&injection.fault).await?;
        self.pen.fault(kind, stage(id, Stage::Asked).asked(&injection.fault));
        let resolved = match self.resolve(&injection.fault, &world).await {
            Ok(resolved) => resolved,
            Err(why) => {
                info!(why, "skipped");
                self.pen.fault(kind, skipped(id, why));
                return Ok(Injected::Not);
            }
        };
        let before = world.desired();
        world.inject(id, resolved.state.clone());
        let after = world.desired();
        self.show_in_force(&world);

        let change = after.change_from(&before);
        let links = match &change.cuts {
            Some(cuts) => Some(self.apply_links(cuts.clone()).await?),
            None => None,
        };
        let mut proofs = self.change_processes(&change).await?;
        if matches!(injection.fault, Fault::Transfer { .. } | Fault::Membership { .. }) {
            // The world is let go: an answer may take an election.
            drop(world);
            proofs = self.ask_system(&change, INJECT_BOUND).await;
            if let Some(why) = proofs.iter().find_map(unanswered) {
                info!(why, "skipped");
                self.pen.fault(kind, skipped(id, why));
                return Ok(Injected::Perhaps);
            }
        }
        self.pen.fault(
            kind,
            stage(id, Stage::Applied).resolved(&Receipt {
                resolved: resolved.clone(),
                links,
            }),
        );
        if matches!(injection.fault, Fault::Partition { .. }) {
            proofs.push(self.prove_links(after.cuts.clone()).await?);
        }
        // A fault that changed nothing (its node was down already) proved nothing.
        let probe = proofs
            .into_iter()
            .reduce(worse)
            .map_or(json!({"ok": false, "reason": "nothing changed"}), value);
        info!(%probe, "probed");
        self.pen.fault(kind, stage(id, Stage::Probed).probe(&probe));
        Ok(Injected::As(Box::new(resolved)))
    }

    async fn heal(&self, injection: &Injection, resolved: &Resolved) -> Result<()> {
        let (id, kind) = (injection.id, injection.fault.kind());
        let mut world = self.world.lock().await;
        self.count_drops(&injection.fault).await?;
        self.pen.fault(kind, stage(id, Stage::HealAsked));
        let before = world.desired();
        if world.heal(id).is_none() {
            return Ok(()); // healed with all others meanwhile
        }
        let after = world.desired();
        self.show_in_force(&world);
        let change = after.change_from(&before);
        let probe = match &injection.fault {
            Fault::Partition { .. } => {
                self.change(&change, &after.cuts).await?;
                value(self.prove_links(after.cuts.clone()).await?)
            }
            Fault::Pause { .. } => {
                let proofs = self.change(&change, &after.cuts).await?;
                // Continued by nobody: it was killed meanwhile, or another pause still holds it.
                proofs
                    .into_iter()
                    .reduce(worse)
                    .map_or(json!({"ok": true, "reason": "not paused by this fault any more"}), value)
            }
            Fault::Transfer { .. } => json!({"ok": true, "reason": "nothing is to be healed"}),
            Fault::Membership { .. } => {
                drop(world);
                let proofs = self.ask_system(&change, HEAL_BOUND).await;
                // Nothing of ours is left in force. A cluster that takes nobody in is not alive, which the recovery shows: who does not vote
                // is not ready.
                json!({"ok": true, "proof": proofs.into_iter().next()})
            }
            Fault::Kill { .. } => {
                self.change(&change, &after.cuts).await?;
                let node = resolved.node.as_deref().unwrap_or_default().to_owned();
                self.prove_return(world, &node).await
            }
        };
        info!(%probe, "healed");
        self.pen.fault(kind, stage(id, Stage::Healed).probe(&probe));
        Ok(())
    }

    /// The process is back; if the system counts its starts and answers, it says so itself. The world is let go: an answer may take long.
    async fn prove_return(&self, world: MutexGuard<'_, World>, node: &str) -> Value {
        let still_down = world.desired().down.contains(node);
        drop(world);
        if still_down {
            return json!({"ok": true, "reason": "another fault keeps it down"});
        }
        // That its program runs again was seen when it was launched. It may be gone by now: by itself, which is a finding of its own, or
        // by the next fault. What is left to ask is whether it is a new process, if the system can tell.
        let status = self.cluster.ask_ready(node, ANSWER_BOUND).await;
        let incarnation = status.ok().and_then(|status| status.incarnation);
        let is_new = self.cluster.saw_incarnation(node, incarnation);
        json!({"ok": is_new, "launched": true, "incarnation": incarnation})
    }

    async fn resolve(&self, fault: &Fault, world: &World) -> Result<Resolved, String> {
        let mut now = world.desired();
        now.down
            .extend(self.nodes.iter().filter(|node| !self.cluster.is_running(node)).cloned());
        let roles = self.find_roles(fault.asks(), &now.down).await;
        fault.resolve(&self.nodes, &now, &roles).map_err(|skipped| skipped.to_string())
    }

    async fn find_roles(&self, asks: Asks, down: &BTreeSet<String>) -> Roles {
        let key = asks.key_pick.and_then(|pick| self.activity.pick(pick));
        let mut questions = JoinSet::new();
        for member in self.cluster.members().iter().filter(|member| !down.contains(&member.id)) {
            let (system, member, key) = (Arc::clone(self.cluster.system()), member.clone(), key.clone());
            questions.spawn(async move {
                let leads = if asks.leader {
                    system.is_leader(&member).await.ok().flatten().unwrap_or(false)
                } else {
                    false
                };
                let replicas = match &key {
                    Some(key) => system.replicas(&member, key).await.ok().flatten(),
                    None => None,
                };
                (member.id, leads, replicas)
            });
        }
        let mut roles = Roles::default();
        let deadline = Instant::now() + ROLES_BOUND;
        while let Ok(Some(answer)) = tokio::time::timeout_at(deadline, questions.join_next()).await {
            let Ok((node, leads, replicas)) = answer else { continue };
            if leads {
                roles.leader = Some(node);
            }
            if let (Some(key), Some(replicas)) = (&key, replicas) {
                roles.key = Some(KeyRoles {
                    key: key.to_string(),
                    coordinator: None,
                    replicas,
                });
            }
            let key_known = roles.key.is_some() || key.is_none();
            if key_known && (roles.leader.is_some() || !asks.leader) {
                break;
            }
        }
        roles
    }

    /// Applies a whole change; `cuts` are those that stand afterwards.
    async fn change(&self, change: &Change, cuts: &Cuts) -> Result<Vec<Proof>> {
        if change.cuts.is_some() {
            self.apply_links(cuts.clone()).await?;
        }
        self.change_processes(change).await
    }

    async fn change_processes(&self, change: &Change) -> Result<Vec<Proof>> {
        let mut proofs = Vec::new();
        for node in &change.kill {
            let Some(init_pid) = self.cluster.target(node).init_pid else {
                continue;
            };
            self.cluster.expect_exit(node);
            let killed = blocking(move || Ok(process::kill(init_pid, SIGNAL_BOUND)?)).await?;
            self.cluster.wait_gone(node, SIGNAL_BOUND).await?;
            proofs.push(Proof::from(killed));
        }
        for node in &change.resume {
            proofs.extend(self.signal_node(node, process::resume).await?);
        }
        for node in &change.restart {
            self.cluster.start(node).await?;
        }
        for node in &change.pause {
            proofs.extend(self.signal_node(node, process::pause).await?);
        }
        Ok(proofs)
    }

    async fn signal_node(&self, node: &str, act: fn(u32, Duration) -> squall_nemeses::Result<Paused>) -> Result<Option<Proof>> {
        let Some(init_pid) = self.cluster.target(node).init_pid else {
            return Ok(None);
        };
        match blocking(move || Ok(act(init_pid, SIGNAL_BOUND)?)).await {
            Ok(paused) => Ok(Some(Proof::from(paused))),
            // It ended by itself between the look and the signal: that is the watcher's finding, not ours.
            Err(_) if !self.cluster.is_running(node) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn apply_links(&self, cuts: Cuts) -> Result<squall_nemeses::links::Applied> {
        let network = Arc::clone(&self.network);
        blocking(move || network.apply(&cuts)).await.context("cut or heal links")
    }

    async fn prove_links(&self, cuts: Cuts) -> Result<Proof> {
        let network = Arc::clone(&self.network);
        blocking(move || network.prove(&cuts))
            .await
            .map(Proof::from)
            .context("probe the links")
    }

    async fn count_drops(&self, fault: &Fault) -> Result<()> {
        if matches!(fault, Fault::Partition { .. }) {
            let network = Arc::clone(&self.network);
            blocking(move || {
                network.count_drops();
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    fn show_in_force(&self, world: &World) {
        self.network.faults_in_force.store(world.active().count() as u64, Ordering::Relaxed);
    }
}

/// Runs blocking work off the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panic) if panic.is_panic() => bail!("a fault's mechanism panicked"),
        Err(error) => Err(anyhow!(error)),
    }
}

fn worse(one: Proof, other: Proof) -> Proof {
    if one.ok { other } else { one }
}

fn value(data: impl Serialize) -> Value {
    serde_json::to_value(data).expect("receipts and proofs have string keys")
}

/// What the system said instead of doing what it was asked for.
fn unanswered(proof: &Proof) -> Option<String> {
    let answered = proof.answered.as_ref().filter(|answered| !answered.ok)?;
    Some(format!("{}; undone when its time is over, in case it happens later", answered.said))
}

/// The stage of a fault that was not injected.
fn skipped(id: u64, why: String) -> FaultStage {
    FaultStage {
        reason: Some(why),
        ..stage(id, Stage::Skipped)
    }
}

/// A stage with nothing but its number.
fn stage(id: u64, stage: Stage) -> FaultStage {
    FaultStage {
        id,
        stage,
        asked: None,
        resolved: None,
        probe: None,
        reason: None,
    }
}

/// Fills one field of a stage.
trait Fill {
    fn asked(self, fault: &Fault) -> FaultStage;
    fn resolved(self, receipt: &Receipt) -> FaultStage;
    fn probe(self, probe: &Value) -> FaultStage;
}

impl Fill for FaultStage {
    fn asked(self, fault: &Fault) -> FaultStage {
        FaultStage {
            asked: Some(value(fault)),
            ..self
        }
    }

    fn resolved(self, receipt: &Receipt) -> FaultStage {
        FaultStage {
            resolved: Some(value(receipt)),
            ..self
        }
    }

    fn probe(self, probe: &Value) -> FaultStage {
        FaultStage {
            probe: Some(probe.clone()),
            ..self
        }
    }
}
