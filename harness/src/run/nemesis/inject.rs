//! The beginning of a fault: resolved, applied, and seen to bite.

use anyhow::Result;
use serde_json::json;
use squall_checker::history::mark::Stage;
use squall_nemeses::{Capability, Change, Mechanism, Proof, Receipt, Resolved, World};
use tokio::sync::MutexGuard;
use tokio::time::Instant;
use tracing::info;

use super::announced::Patience;
use super::clocks::Must;
use super::proofs::of_bite;
use super::stages::{Fill, skipped, stage};
use super::steps::Goal;
use super::trigger::Event;
use super::{Last, Nemesis};
use crate::plan::Injection;
use crate::run::members::{INJECT_BOUND, PAUSE};
use crate::systems::Joining;

/// What came of an attempt to inject a fault.
pub(super) enum Injected {
    /// Nothing was done.
    Not,
    /// It is in force, since then.
    As(Box<Resolved>, Instant),
    /// The system was asked and did not confirm it; it may come to be in force.
    Perhaps,
}

impl Nemesis {
    /// Injects a fault; `event` is what it waited for. Of the `last` of its kind it is said how long it may wait.
    pub(super) async fn inject(&self, injection: &Injection, event: Option<&Event>, last: Option<Last>) -> Result<Injected> {
        let (id, kind, mechanism) = (injection.id, injection.fault.kind(), injection.fault.mechanism());
        self.pen.fault(kind, stage(id, Stage::Asked).asked(&injection.fault));
        let asked = Instant::now();
        let (mut world, resolved) = self.resolve_in_time(injection, event, last).await;
        let waited_ms = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.count_drops(mechanism).await?;
        let resolved = match resolved {
            Ok(resolved) => resolved,
            Err(why) => return Ok(self.skip(injection, why, Injected::Not)),
        };
        let before = world.desired();
        world.inject(id, resolved.state.clone());
        let after = world.desired();
        self.show_in_force(&world);

        let change = after.change_from(&before);
        let applied = self.apply(&change, &after).await?;
        let mut since = Instant::now();
        let mut proofs = applied.proofs;
        if matches!(mechanism, Mechanism::System | Mechanism::Clocks) {
            // The world is let go: an answer may take an election, and a drift its time to show.
            drop(world);
        }
        if mechanism == Mechanism::System {
            let asked = self
                .move_members(&change, self.patience(&change, last.map(|last| last.late)))
                .await?;
            if let Some(why) = asked.iter().find_map(unanswered) {
                return self.take_back(injection, &change, why).await;
            }
            proofs.extend(asked);
            since = Instant::now();
        }
        self.pen.fault(
            kind,
            stage(id, Stage::Applied).resolved(&Receipt {
                back_end: self.back_end(&injection.fault, &resolved, applied.links.as_ref()),
                resolved: resolved.clone(),
                links: applied.links,
                clocks: applied.clocks,
                beat: injection.fault.pulse(),
                waited_ms,
                trigger: event.map(Event::receipt),
            }),
        );
        proofs.extend(self.prove_turned(&change, applied.prepared).await?);
        if mechanism == Mechanism::Cuts {
            proofs.push(self.prove_links(&after).await?);
        }
        if mechanism == Mechanism::Clocks {
            proofs.extend(self.prove_clocks(resolved.state.clocks.keys(), Must::Bite).await?);
        }
        let probe = match mechanism == Mechanism::System && proofs.len() > 1 {
            false => of_bite(mechanism, &resolved, proofs),
            // Who was taken in or out, by whom, and that it serves or ended.
            true => json!({"ok": proofs.iter().all(|proof| proof.ok), "proofs": proofs}),
        };
        info!(%probe, "probed");
        self.pen.fault(kind, stage(id, Stage::Probed).probe(&probe));
        Ok(Injected::As(Box::new(resolved), since))
    }

    /// How long the system is asked. One that makes its members wait until they were together for long is asked for that long; and the last fault of
    /// its kind until it was `late`, when nothing else is wrong any more.
    fn patience(&self, change: &Change, late: Option<Instant>) -> Patience {
        let system = self.cluster.system();
        let announces = system.joining() == Joining::Announced && Goal::of(change) != Goal::default();
        let bound = match announces || !change.join.is_empty() {
            true => system.join_bound(),
            false => INJECT_BOUND,
        };
        let patience = Patience::from(bound);
        match late.filter(|_| announces) {
            Some(late) => Patience {
                until: patience.until.max(late),
                is_last: true,
                ..patience
            },
            None => patience,
        }
    }

    /// What a fault comes to. The last of its kind waits for what is in its way, and a change of the members, where they wait for one another, until
    /// the others are back.
    async fn resolve_in_time(
        &self,
        injection: &Injection,
        event: Option<&Event>,
        last: Option<Last>,
    ) -> (MutexGuard<'_, World>, Result<Resolved, String>) {
        let system = self.cluster.system();
        let changes = |needed: &Capability| matches!(needed, Capability::Membership | Capability::Grow);
        let is_change = injection.fault.info().needs.iter().any(changes) && system.joining() == Joining::Announced;
        // One that waited for an event is for that moment.
        let last = last.filter(|_| event.is_none());
        let until = || {
            let Last { in_time, late } = last?;
            let patience = Patience {
                bound: system.join_bound(),
                until: late,
                is_last: true,
            };
            Some(if is_change { self.deadline(patience) } else { in_time })
        };
        loop {
            let (world, resolved) = self.resolve(injection, event).await;
            match (&resolved, until()) {
                (Err(_), Some(until)) if Instant::now() < until => drop(world),
                _ => return (world, resolved),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What the system did not confirm is undone: when the fault's time is over, in case it happens later; at once, if a node was killed for it.
    async fn take_back(&self, injection: &Injection, change: &Change, why: String) -> Result<Injected> {
        if change.kill.is_empty() {
            let why = format!("{why}; undone when its time is over, in case it happens later");
            return Ok(self.skip(injection, why, Injected::Perhaps));
        }
        self.undo(injection.id).await?;
        Ok(self.skip(injection, format!("{why}; undone at once"), Injected::Not))
    }

    pub(super) fn skip(&self, injection: &Injection, why: String, injected: Injected) -> Injected {
        info!(why, "skipped");
        self.pen.fault(injection.fault.kind(), skipped(injection.id, why));
        injected
    }
}

/// What the system said instead of doing what it was asked for.
fn unanswered(proof: &Proof) -> Option<String> {
    let answered = proof.answered.as_ref().filter(|answered| !answered.ok)?;
    Some(answered.said.clone())
}
